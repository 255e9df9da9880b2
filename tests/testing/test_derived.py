from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest

from dicomslide.testing import (
    ParametricMapOptions,
    SegmentationOptions,
    SyntheticSlide,
    write_slide,
)

SMALL: dict[str, Any] = {
    "size": (350, 430),
    "tile": (128, 96),
    "factors": (1, 2.5),
    "label": False,
    "overview": False,
}


def _write(folder: Path, **changes: Any) -> SyntheticSlide:
    return write_slide(folder, **SMALL | changes)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("organization", ["TILED_FULL", "TILED_SPARSE"])
def test_highdicom_reads_the_expected_segments(
    tmp_path: Path, kind: Any, organization: Any
) -> None:
    slide = _write(
        tmp_path, segmentations=[SegmentationOptions(kind=kind, organization=organization)]
    )
    (segmentation,) = slide.segmentations
    assert segmentation.segments == ("Nucleus", "Epithelium", "Stroma")
    assert [path.name for path in segmentation.paths] == [
        "segmentation-0-level-0.dcm",
        "segmentation-0-level-1.dcm",
    ]
    for level, path in zip(slide.levels, segmentation.paths, strict=True):
        stored = hd.seg.segread(path)
        assert stored.SegmentationType == kind
        assert stored.DimensionOrganizationType == organization
        matrix = stored.get_total_pixel_matrix(rescale_fractional=False)
        assert matrix.shape[:2] == level.size
        for number in (1, 2, 3):
            mask = segmentation.mask(level.index, number)
            assert 0 < np.count_nonzero(mask) < mask.size
            np.testing.assert_array_equal(matrix[..., number - 1], mask)


def test_nuclei_are_dark_and_stroma_is_pink(tmp_path: Path) -> None:
    slide = _write(tmp_path, segmentations=["BINARY"])
    pixels = slide.levels[0].pixels().astype(int)
    nuclei, _, stroma = (slide.segmentations[0].mask(0, number) for number in (1, 2, 3))
    assert pixels[nuclei][:, 0].mean() < 150 < pixels[stroma][:, 0].mean()
    assert not (nuclei & stroma).any()


def test_a_segmentation_lies_on_its_source_image(tmp_path: Path) -> None:
    slide = _write(tmp_path, segmentations=["BINARY"], parametric_maps=["float"])
    derived = (*slide.segmentations, *slide.parametric_maps)
    for image in derived:
        for level, path in zip(slide.levels, image.paths, strict=True):
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            source = pydicom.dcmread(level.paths[0], stop_before_pixels=True)
            for keyword in (
                "FrameOfReferenceUID",
                "StudyInstanceUID",
                "ContainerIdentifier",
                "ImageOrientationSlide",
            ):
                assert dataset[keyword].value == source[keyword].value
            referenced = dataset.ReferencedSeriesSequence[0]
            assert referenced.SeriesInstanceUID == source.SeriesInstanceUID
            instance = referenced.ReferencedInstanceSequence[0]
            assert instance.ReferencedSOPInstanceUID == source.SOPInstanceUID
            one, other = (
                (float(o.XOffsetInSlideCoordinateSystem), float(o.YOffsetInSlideCoordinateSystem))
                for o in (d.TotalPixelMatrixOriginSequence[0] for d in (dataset, source))
            )
            assert one == pytest.approx(other)
            assert dataset.SeriesInstanceUID == image.series_instance_uid
    assert len({image.series_instance_uid for image in derived}) == 2


def test_empty_frames_can_be_left_out(tmp_path: Path) -> None:
    options: dict[str, Any] = {"organization": "TILED_SPARSE", "levels": (0,)}
    slide = _write(
        tmp_path,
        size=(600, 700),
        segmentations=[
            SegmentationOptions(**options),
            SegmentationOptions(**options, omit_empty_frames=True),
        ],
    )
    complete, omitted = (hd.seg.segread(s.paths[0]) for s in slide.segmentations)
    assert omitted.NumberOfFrames < complete.NumberOfFrames == 3 * 5 * 8
    np.testing.assert_array_equal(
        omitted.get_total_pixel_matrix(), complete.get_total_pixel_matrix()
    )


def test_segments_are_chosen_and_numbered_from_one_in_each_segmentation(tmp_path: Path) -> None:
    slide = _write(
        tmp_path,
        segmentations=[
            SegmentationOptions(segments=("tissue", "nucleus"), levels=(1,)),
            SegmentationOptions(segments=("stroma",), levels=(1, 9)),
        ],
    )
    assert [segmentation.levels for segmentation in slide.segmentations] == [(1,), (1,)]
    both, stroma = (hd.seg.segread(s.paths[0]) for s in slide.segmentations)
    assert both.segment_numbers == [1, 2]
    assert stroma.segment_numbers == [1]
    # Segments of a binary segmentation may overlap.
    tissue, nucleus = (slide.segmentations[0].mask(1, number) for number in (1, 2))
    assert (tissue & nucleus).sum() == nucleus.sum()
    description = stroma.get_segment_description(1)
    assert description.segment_label == "Stroma"
    assert description.segmented_property_category.meaning == "Tissue"
    assert "RecommendedDisplayCIELabValue" in description


@pytest.mark.parametrize("kind", ["float", "double", "integer"])
def test_highdicom_reads_the_expected_parameters(tmp_path: Path, kind: str) -> None:
    slide = _write(tmp_path, parametric_maps=[kind])
    (parametric_map,) = slide.parametric_maps
    dtype = {"float": np.float32, "double": np.float64, "integer": np.uint16}[kind]
    for level, path in zip(slide.levels, parametric_map.paths, strict=True):
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array
        assert pixels.dtype == dtype
        for index, label in enumerate(("HAEMATOXYLIN", "EOSIN")):
            values = np.full((level.size[0] + 128, level.size[1] + 96), np.nan)
            for frame, group in zip(pixels, dataset.PerFrameFunctionalGroupsSequence, strict=True):
                mapping = group.RealWorldValueMappingSequence[0]
                if mapping.LUTLabel != label:
                    continue
                position = group.PlanePositionSlideSequence[0]
                r = position.RowPositionInTotalImagePixelMatrix - 1
                c = position.ColumnPositionInTotalImagePixelMatrix - 1
                slope, intercept = mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept
                values[r : r + 128, c : c + 96] = frame * np.float64(slope) + intercept
            values = values[: level.size[0], : level.size[1]]
            np.testing.assert_array_equal(values, parametric_map.values(level.index, index))
            assert values.min() < 0.3 < values.max()


def test_integers_are_scaled_and_shifted(tmp_path: Path) -> None:
    slide = _write(tmp_path, parametric_maps=["integer"])
    parametric_map = slide.parametric_maps[0]
    stored, values = parametric_map.stored(0, 1), parametric_map.values(0, 1)
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(values, stored * 2.0**-14 - 0.5)


def test_a_single_parameter_may_be_tiled_full(tmp_path: Path) -> None:
    options = ParametricMapOptions(parameters=("eosin",), organization="TILED_FULL", tile=(64, 64))
    slide = _write(tmp_path, parametric_maps=[options])
    dataset = pydicom.dcmread(slide.parametric_maps[0].paths[0])
    assert dataset.DimensionOrganizationType == "TILED_FULL"
    frames = dataset.pixel_array.reshape(6, 7, 64, 64)
    matrix = frames.swapaxes(1, 2).reshape(6 * 64, 7 * 64)[:350, :430]
    np.testing.assert_array_equal(matrix, slide.parametric_maps[0].values(0, 0).astype(np.float32))


@pytest.mark.parametrize(
    "changes",
    [
        {"concatenation": 3},
        {"optical_paths": 2, "optical_paths_in": "each"},
        {"focal_planes": 2},
        {"organization": "TILED_SPARSE", "sparse": "shuffled"},
        {"samples": 1, "bits": 12, "transfer_syntax": "1.2.840.10008.1.2.4.90"},
    ],
    ids=str,
)
def test_every_kind_of_slide_can_be_segmented(tmp_path: Path, changes: dict[str, Any]) -> None:
    slide = _write(
        tmp_path,
        **changes,
        segmentations=[SegmentationOptions(levels=(0,))],
        parametric_maps=[ParametricMapOptions(levels=(0,))],
    )
    matrix = hd.seg.segread(slide.segmentations[0].paths[0]).get_total_pixel_matrix()
    np.testing.assert_array_equal(matrix[..., 0], slide.segmentations[0].mask(0, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "SURFACE"}, "kind is 'SURFACE'"),
        ({"segments": ("bone",)}, "segments are"),
        ({"segments": ()}, "segments are"),
        ({"kind": "LABELMAP", "segments": ("tissue", "nucleus")}, "overlaps"),
    ],
)
def test_impossible_segmentations_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SegmentationOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "complex"}, "kind is 'complex'"),
        ({"parameters": ("age",)}, "parameters are"),
        ({"organization": "TILED_FULL"}, "needs one parameter"),
    ],
)
def test_impossible_parametric_maps_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ParametricMapOptions(**options)


def test_what_a_segmentation_does_not_have_is_refused(tmp_path: Path) -> None:
    slide = _write(tmp_path, segmentations=[SegmentationOptions(levels=(1,))])
    with pytest.raises(IndexError, match="level 0"):
        slide.segmentations[0].mask(0, 1)
    with pytest.raises(IndexError, match="segment is 4"):
        slide.segmentations[0].mask(1, 4)
