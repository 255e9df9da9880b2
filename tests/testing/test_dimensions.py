from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from dicomslide.testing import (
    OpticalPath,
    SyntheticSlide,
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


def _assemble(slide: SyntheticSlide, level: int) -> dict[tuple[str, float], np.ndarray]:
    """Put the frames of a level together by their positions; the background is white or 0."""
    expected = slide.levels[level]
    shape = (*expected.size, slide.options.samples)
    white = slide.options.samples == 3
    matrices: dict[tuple[str, float], np.ndarray] = {}
    for path in expected.paths:
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns, shape[2])
        shared = dataset.SharedFunctionalGroupsSequence[0]
        for frame, group in zip(pixels, dataset.PerFrameFunctionalGroupsSequence, strict=True):
            position = group.PlanePositionSlideSequence[0]
            channel = (
                group if "OpticalPathIdentificationSequence" in group else shared
            ).OpticalPathIdentificationSequence[0]
            key = (channel.OpticalPathIdentifier, float(position.ZOffsetInSlideCoordinateSystem))
            matrix = matrices.setdefault(key, np.full(shape, 255 if white else 0, pixels.dtype))
            r = position.RowPositionInTotalImagePixelMatrix - 1
            c = position.ColumnPositionInTotalImagePixelMatrix - 1
            part = matrix[r : r + dataset.Rows, c : c + dataset.Columns]
            part[:] = frame[: part.shape[0], : part.shape[1]]
    return matrices


@pytest.mark.parametrize("organization", ["TILED_SPARSE", None])
@pytest.mark.parametrize("sparse", ["complete", "gaps", "shuffled", "off-grid", "overlapping"])
def test_frames_at_their_positions_make_the_expected_matrix(
    tmp_path: Path, organization: str | None, sparse: str
) -> None:
    slide = write_slide(tmp_path, **SMALL, organization=organization, sparse=sparse, seed=5)
    dataset = _read(slide.paths[0])
    assert dataset.get("DimensionOrganizationType") == organization
    for index, level in enumerate(slide.levels):
        matrix = _assemble(slide, index)["1", 0.0]
        np.testing.assert_array_equal(level.pixels(), matrix)
        missing = level.missing()
        assert missing.any() == (sparse in ("gaps", "off-grid"))
        assert (matrix[missing] == 255).all()
        assert (matrix[~missing] < 255).all()
        part = level.pixels(region=np.s_[20:70, 30:90])
        np.testing.assert_array_equal(part, matrix[20:70, 30:90])


def test_overlapping_frames_show_which_one_counts(tmp_path: Path) -> None:
    slide = write_slide(tmp_path, **SMALL, organization="TILED_SPARSE", sparse="overlapping")
    frames = pydicom.dcmread(slide.paths[0]).pixel_array
    # Frames are 48 columns wide and 36 apart: the last 12 of one are the first 12 of the next.
    assert (frames[0][:, 36:] != frames[1][:, :12]).any(axis=-1).mean() > 0.9


def test_positions_are_those_of_the_top_left_pixels(tmp_path: Path) -> None:
    slide = write_slide(
        tmp_path,
        **SMALL,
        organization="TILED_SPARSE",
        orientation=(0, -1, 0, -1, 0, 0),
        origin=(12.0, 30.0),
        pixel_spacing=(0.002, 0.001),
    )
    group = _read(slide.paths[0]).PerFrameFunctionalGroupsSequence[5]
    position = group.PlanePositionSlideSequence[0]
    # Frame 5 is the second of the second row of four: 64 rows down (-X), 48 columns right (-Y).
    assert position.RowPositionInTotalImagePixelMatrix == 65
    assert position.ColumnPositionInTotalImagePixelMatrix == 49
    assert position.XOffsetInSlideCoordinateSystem == pytest.approx(12.0 - 64 * 0.002)
    assert position.YOffsetInSlideCoordinateSystem == pytest.approx(30.0 - 48 * 0.001)
    assert group.FrameContentSequence[0].DimensionIndexValues == [1, 1, 2, 2]


@pytest.mark.parametrize("paths_in", ["one", "each"])
@pytest.mark.parametrize("planes_in", ["one", "each"])
@pytest.mark.parametrize("samples", [1, 3])
def test_optical_paths_and_focal_planes_are_together_or_apart(
    tmp_path: Path, paths_in: str, planes_in: str, samples: int
) -> None:
    slide = write_slide(
        tmp_path,
        **SMALL,
        samples=samples,
        optical_paths=2,
        optical_paths_in=paths_in,
        focal_planes=3,
        focal_planes_in=planes_in,
        focal_plane_spacing=2.5,
        organization="TILED_SPARSE",
    )
    level = slide.levels[0]
    count = (2 if paths_in == "each" else 1) * (3 if planes_in == "each" else 1)
    assert len(level.paths) == count
    matrices = _assemble(slide, 0)
    assert set(matrices) == {(path, z) for path in "12" for z in (0.0, 2.5, 5.0)}
    for (path, z), matrix in matrices.items():
        np.testing.assert_array_equal(level.pixels(int(path) - 1, round(z / 2.5)), matrix)


def test_tiled_full_has_focal_planes_before_optical_paths(tmp_path: Path) -> None:
    slide = write_slide(tmp_path, **SMALL, samples=1, optical_paths=2, focal_planes=2)
    dataset = pydicom.dcmread(slide.paths[0])
    assert dataset.NumberOfOpticalPaths == 2
    assert dataset.TotalPixelMatrixFocalPlanes == 2
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.SpacingBetweenSlices == 0.0015
    tiles = dataset.pixel_array.reshape(2, 2, 12, 64, 48)
    for path in range(2):
        for plane in range(2):
            corner = tiles[path, plane, 0]
            expected = slide.levels[0].pixels(path, plane)[:64, :48, 0]
            np.testing.assert_array_equal(corner, expected)


def test_single_focal_planes_have_their_own_z(tmp_path: Path) -> None:
    slide = write_slide(tmp_path, **SMALL, focal_planes=2, focal_planes_in="each")
    heights = [
        _read(path).TotalPixelMatrixOriginSequence[0].ZOffsetInSlideCoordinateSystem
        for path in slide.levels[0].paths
    ]
    assert heights == [0, 1.5]


def test_optical_paths_are_described(tmp_path: Path) -> None:
    paths = [OpticalPath("a", "first", 405.0, "DAPI"), OpticalPath("b", None, None, "eosin")]
    slide = write_slide(tmp_path, **SMALL, samples=1, optical_paths=paths)
    items = _read(slide.paths[0]).OpticalPathSequence
    assert [item.OpticalPathIdentifier for item in items] == ["a", "b"]
    assert items[0].OpticalPathDescription == "first"
    assert items[0].IlluminationWaveLength == 405.0
    assert "OpticalPathDescription" not in items[1]
    assert "IlluminationWaveLength" not in items[1]
    assert items[1].ChannelDescriptionCodeSequence[0].CodeMeaning == "water soluble eosin stain"
    assert slide.optical_paths == tuple(paths)


@pytest.mark.parametrize("organization", ["TILED_FULL", "TILED_SPARSE"])
def test_a_concatenation_has_all_frames_in_order(tmp_path: Path, organization: str) -> None:
    whole = write_slide(tmp_path / "whole", **SMALL, organization=organization)
    slide = write_slide(tmp_path / "parts", **SMALL, organization=organization, concatenation=5)
    parts = [pydicom.dcmread(path) for path in slide.levels[0].paths]
    frames = np.concatenate([part.pixel_array for part in parts])
    np.testing.assert_array_equal(frames, pydicom.dcmread(whole.paths[0]).pixel_array)
    assert [part.InConcatenationNumber for part in parts] == [1, 2, 3, 4, 5]
    assert {part.InConcatenationTotalNumber for part in parts} == {5}
    assert len({part.ConcatenationUID for part in parts}) == 1
    assert len({part.SOPInstanceUIDOfConcatenationSource for part in parts}) == 1
    assert len({part.SOPInstanceUID for part in parts}) == 5
    offsets = np.cumsum([0, *(part.NumberOfFrames for part in parts)])
    assert [part.ConcatenationFrameOffsetNumber for part in parts] == list(offsets[:-1])
    assert offsets[-1] == 12
    assert len(slide.levels[1].paths) == 1


def test_a_concatenation_has_no_more_parts_than_frames(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="12 frames"):
        write_slide(tmp_path, **SMALL, concatenation=13)
