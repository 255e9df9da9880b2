from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest

from dicomslide.testing import (
    ORIENTATIONS,
    orientation_from_angle,
    paint,
    write_slide,
)

NATIVE = "1.2.840.10008.1.2.1"
SMALL: dict[str, Any] = {
    "size": (150, 190),
    "tile": (64, 48),
    "factors": (1, 2),
    "transfer_syntax": NATIVE,
    "label": False,
    "overview": False,
}


def _read(path: Path) -> pydicom.Dataset:
    return pydicom.dcmread(path, stop_before_pixels=True)


def _read_matrix(path: Path) -> np.ndarray:
    return hd.imread(path).get_total_pixel_matrix(apply_icc_profile=False, dtype=np.uint8)


def _digest(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "size": (150, 190),
        "tile": (64, 48),
        "factors": (1, 2),
        "thumbnail": True,
        "segmentations": ["BINARY"],
        "parametric_maps": ["float"],
    }
    one = write_slide(tmp_path / "one", **options)
    write_slide(tmp_path / "other", threads=2, **options)
    digest = _digest(tmp_path / "one")
    assert digest == _digest(tmp_path / "other")
    assert set(digest) == {path.name for path in one.paths}
    assert len(digest) == 2 + 3 + 2 + 2


def test_no_date_is_that_of_today(tmp_path: Path) -> None:
    slide = write_slide(
        tmp_path, size=(64, 64), factors=(1,), segmentations=["BINARY"], parametric_maps=["float"]
    )
    for path in slide.paths:
        for element in _read(path).iterall():
            if element.VR in ("DA", "DT") and element.value:
                assert str(element.value).startswith("20260101"), (path.name, element)


def test_another_seed_gives_other_identifiers_in_the_same_study(tmp_path: Path) -> None:
    one, other = (write_slide(tmp_path / str(s), seed=s, **SMALL) for s in (1, 2))
    datasets = [_read(slide.paths[0]) for slide in (one, other)]
    for keyword in (
        "SOPInstanceUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "PyramidUID",
        "ContainerIdentifier",
    ):
        assert datasets[0][keyword].value != datasets[1][keyword].value
    assert datasets[0].StudyInstanceUID == datasets[1].StudyInstanceUID


def test_identifiers_can_be_chosen(tmp_path: Path) -> None:
    slide = write_slide(
        tmp_path,
        **SMALL,
        container_identifier="A-1",
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.4",
        frame_of_reference_uid="1.2.5",
        patient_id="P",
    )
    dataset = _read(slide.paths[1])
    assert slide.container_identifier == dataset.ContainerIdentifier == "A-1"
    assert slide.study_instance_uid == dataset.StudyInstanceUID == "1.2.3"
    assert slide.series_instance_uid == dataset.SeriesInstanceUID == "1.2.4"
    assert slide.frame_of_reference_uid == dataset.FrameOfReferenceUID == "1.2.5"
    assert dataset.PatientID == "P"


@pytest.mark.parametrize("factors", [(1, 2, 4), (1, 1.7, 3.33)])
def test_levels_have_the_size_and_spacing_of_their_factors(
    tmp_path: Path, factors: tuple[float, ...]
) -> None:
    slide = write_slide(tmp_path, **SMALL | {"factors": factors}, pixel_spacing=(0.001, 0.0005))
    for level, factor in zip(slide.levels, factors, strict=True):
        dataset = _read(level.paths[0])
        size = (math.ceil(150 / factor), math.ceil(190 / factor))
        assert (dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns) == size == level.size
        measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        assert measures.PixelSpacing == pytest.approx([0.001 * factor, 0.0005 * factor])
        assert tuple(measures.PixelSpacing) == level.spacing
        assert dataset.NumberOfFrames == math.ceil(size[0] / 64) * math.ceil(size[1] / 48)
        np.testing.assert_array_equal(_read_matrix(level.paths[0]), level.pixels())


def test_pixels_are_those_that_paint_makes(tmp_path: Path) -> None:
    slide = write_slide(tmp_path, **SMALL, seed=7)
    expected = paint((0, 0), (75, 95), 2, base_size=(150, 190), seed=7)
    np.testing.assert_array_equal(_read_matrix(slide.paths[1]), expected)
    np.testing.assert_array_equal(slide.levels[1].pixels(), expected)
    region = slide.levels[1].pixels(region=np.s_[10:30, 50:])
    np.testing.assert_array_equal(region, expected[10:30, 50:])


def test_frames_beyond_the_matrix_are_white(tmp_path: Path) -> None:
    slide = write_slide(tmp_path, **SMALL)
    frame = pydicom.dcmread(slide.paths[0]).pixel_array[-1]
    assert (frame[150 - 128 :] == 255).all()
    assert (frame[:, 190 - 144 :] == 255).all()
    assert (frame[: 150 - 128, : 190 - 144] < 255).all()


@pytest.mark.parametrize(
    "orientation", [*ORIENTATIONS, orientation_from_angle(30), orientation_from_angle(-110, True)]
)
def test_the_centre_of_the_tissue_is_at_the_same_place_at_every_level(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    slide = write_slide(
        tmp_path, **SMALL | {"size": (160, 192), "factors": (1, 2, 3.2)}, orientation=orientation
    )
    for level in slide.levels:
        dataset = _read(level.paths[0])
        assert list(dataset.ImageOrientationSlide) == pytest.approx(orientation, abs=1e-12)
        origin = dataset.TotalPixelMatrixOriginSequence[0]
        start = np.array(
            [origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem], float
        )
        assert tuple(start) == pytest.approx(level.origin, abs=1e-9)
        row, column = (np.array(orientation[i : i + 2]) for i in (0, 3))
        rows, columns = level.size
        # 160 and 192 are multiples of the factors: the corners of all levels coincide, and the
        # centre is half the extent from the corner, which is half a pixel before the origin.
        corner = start - (row * level.spacing[1] + column * level.spacing[0]) / 2
        centre = (
            corner + row * level.spacing[1] * columns / 2 + column * level.spacing[0] * rows / 2
        )
        assert centre == pytest.approx([12.5, 27.0], abs=1e-6)


def test_the_base_origin_may_be_repeated(tmp_path: Path) -> None:
    slide = write_slide(tmp_path, **SMALL, origin=(10.0, 20.0), level_origins="same")
    assert [level.origin for level in slide.levels] == [(10.0, 20.0)] * 2
    moved = write_slide(tmp_path, **SMALL, origin=(10.0, 20.0), orientation=(1, 0, 0, 0, -1, 0))
    # Half a base pixel along the rows (+X) and the columns (-Y).
    assert moved.levels[1].origin == (10.00025, 19.99975)


def test_levels_refer_to_the_base_level(tmp_path: Path) -> None:
    slide = write_slide(tmp_path, **SMALL)
    base, level = (_read(path) for path in slide.paths)
    assert list(base.ImageType) == ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    assert list(level.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
    derivation = level.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0]
    assert derivation.SourceImageSequence[0].ReferencedSOPInstanceUID == base.SOPInstanceUID
    assert base.PyramidUID == level.PyramidUID
    assert base.SOPInstanceUID != level.SOPInstanceUID


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (0, 5)}, "size is"),
        ({"factors": (2, 4)}, "factors are"),
        ({"factors": (1, 4, 2)}, "factors are"),
        ({"sparse": "gaps"}, "must be 'complete'"),
        ({"organization": "3D"}, "organization is '3D'"),
        ({"samples": 2}, "samples is 2"),
        ({"focal_planes": 0}, "focal_planes is 0"),
        ({"concatenation": 0}, "concatenation is 0"),
        ({"optical_paths": 0}, "optical_paths must not be empty"),
        ({"level_origins": "corner"}, "level_origins is 'corner'"),
    ],
    ids=str,
)
def test_impossible_options_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_slide(tmp_path, **changes)


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="colour"):
        write_slide(tmp_path, colour="red")


def test_a_region_with_steps_is_refused(tmp_path: Path) -> None:
    slide = write_slide(tmp_path, **SMALL)
    with pytest.raises(ValueError, match="without steps"):
        slide.levels[0].pixels(region=np.s_[::2, :])
