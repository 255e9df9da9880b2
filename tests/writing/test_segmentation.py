"""Segmentations that are written open in the same place with the same values, in any reader."""

import highdicom as hd
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomslide import open_slide, write_segmentation
from dicomslide.testing.geometry import ORIENTATIONS, orientation_from_angle
from tests.writing.results import (
    ALGORITHM,
    CATEGORY,
    LEVELS,
    NUCLEUS,
    SEGMENTS,
    assert_same_place,
    labels_on,
    open_with,
    plane_of,
)

# Native, deflated, JPEG-LS, JPEG 2000, HTJ2K, RLE and deflated frames
SYNTAXES = [
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.8.1",
]
OPEN = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", SYNTAXES[-1]}


def write(mask, path, slide, **options):
    options = {"segments": SEGMENTS, "algorithm": ALGORITHM} | options
    return write_segmentation(mask, path, slide=slide, **options)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_labels_come_back_on_their_level(written, slide, tmp_path, level, kind, sparse):
    labels = labels_on(slide, level)
    (result,) = write(labels, tmp_path / "out.dcm", slide, segmentation_type=kind, sparse=sparse)
    node = open_with(written, result.path).to_datatree()[f"level_{level}"]
    assert result.level == level
    assert_same_place(node, labels)
    for number in (1, 2):
        found = node["segmentation"].sel(segment=number).isel(focal_plane=0)
        np.testing.assert_array_equal(found, labels.values == number)
    if kind == "LABELMAP":
        np.testing.assert_array_equal(node["label_map"].isel(focal_plane=0), labels)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_highdicom_reads_the_same_labels(slide, tmp_path, kind, sparse):
    labels = labels_on(slide, 2)
    (result,) = write(labels, tmp_path / "out.dcm", slide, segmentation_type=kind, sparse=sparse)
    found = hd.seg.segread(result.path)
    assert found.segmentation_type.value == kind
    assert [found.get_segment_description(n).segment_label for n in (1, 2)] == list(SEGMENTS)
    np.testing.assert_array_equal(found.get_total_pixel_matrix(combine_segments=True), labels)
    assert found.get_segment_description(1).algorithm_identification.name == ALGORITHM[0]


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP", "FRACTIONAL"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_transfer_syntax_without_loss_keeps_the_values(
    written, slide, tmp_path, kind, syntax
):
    mask = labels_on(slide, 1) > 0
    one = {"segments": {"nucleus": (CATEGORY, NUCLEUS)}, "transfer_syntax": syntax}
    if kind == "BINARY" and syntax not in OPEN:
        with pytest.raises(ValueError, match="has no 1-bit pixels"):
            write(mask, tmp_path / "out.dcm", slide, segmentation_type=kind, **one)
        return
    (result,) = write(mask, tmp_path / "out.dcm", slide, segmentation_type=kind, **one)
    assert pydicom.dcmread(result.path).file_meta.TransferSyntaxUID == syntax
    found = open_with(written, result.path).to_datatree()["level_1/segmentation"]
    np.testing.assert_array_equal(found.isel(segment=0, focal_plane=0), mask)


def test_fractions_come_back_to_half_of_what_is_stored_for_them(written, slide, tmp_path):
    plane = plane_of(slide, 0)
    fractions = plane.copy(data=np.linspace(0, 1, plane.size).reshape(plane.shape))
    one = {"segments": {"nucleus": (CATEGORY, NUCLEUS)}}
    (result,) = write(fractions, tmp_path / "out.dcm", slide, **one)
    found = open_with(written, result.path).to_datatree()["level_0/segmentation"]
    assert np.abs(found.isel(segment=0, focal_plane=0) - fractions).max() <= 0.5 / 255 + 1e-7
    stated = pydicom.dcmread(result.path)
    assert stated.SegmentationFractionalType == "PROBABILITY"
    assert stated.MaximumFractionalValue == 255


@pytest.mark.parametrize("order", [("segment", "y", "x"), ("y", "x", "segment")])
def test_segments_may_overlap(written, slide, tmp_path, order):
    labels = labels_on(slide, 0)
    layers = (labels > 0).expand_dims(segment=[1, 2]).copy()
    layers[1] = labels == 2
    (result,) = write(layers.transpose(*order), tmp_path / "out.dcm", slide)
    found = open_with(written, result.path).to_datatree()["level_0/segmentation"]
    np.testing.assert_array_equal(found.isel(focal_plane=0), layers)
    with pytest.raises(ValueError, match="overlap"):
        write(layers, tmp_path / "map.dcm", slide, segmentation_type="LABELMAP")
    assert [path.name for path in tmp_path.iterdir()] == ["out.dcm"]


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("level", [0, 1])
def test_upright_masks_lie_on_their_level_in_every_orientation(make_slide, tmp_path, number, level):
    written = make_slide(**LEVELS, orientation=ORIENTATIONS[number])
    slide = open_slide(written.folder)
    labels = labels_on(slide, level)
    turned = labels.slide.upright()
    assert turned.dims == ("slide_y", "slide_x")
    (result,) = write(turned, tmp_path / "out.dcm", slide)
    node = open_with(written, result.path).to_datatree()[f"level_{level}"]
    assert_same_place(node, labels)
    np.testing.assert_array_equal(node["label_map"].isel(focal_plane=0), labels)


@pytest.mark.parametrize("level_origins", ["centres", "same"])
@given(angle=st.floats(-180, 180), level=st.integers(0, 2), data=st.data())
@settings(max_examples=10)
def test_a_part_of_a_level_lies_where_it_was(
    make_slide, tmp_path_factory, level_origins, angle, level, data
):
    angle = round(angle)
    written = make_slide(
        **LEVELS, orientation=orientation_from_angle(angle), level_origins=level_origins
    )
    slide = open_slide(written.folder)
    labels = labels_on(slide, level)
    top, left = (data.draw(st.integers(0, size - 2)) for size in labels.shape)
    part = labels[top : top + 20, left : left + 30]
    path = tmp_path_factory.mktemp("part") / "out.dcm"
    (result,) = write(part, path, slide)
    node = open_with(written, result.path).to_datatree()[f"level_{level}"]
    expected = np.zeros(labels.shape, np.uint8)
    expected[top : top + 20, left : left + 30] = part
    np.testing.assert_array_equal(node["label_map"].isel(focal_plane=0), expected)
    assert_same_place(node, labels)


@pytest.mark.parametrize("orientation", [ORIENTATIONS[3], orientation_from_angle(30)])
def test_a_coarser_mask_has_its_own_place(make_slide, tmp_path, orientation):
    written = make_slide(**LEVELS, orientation=orientation)
    slide = open_slide(written.folder)
    mask = (labels_on(slide, 0) > 0).coarsen(y=3, x=5, boundary="trim").max()
    (result,) = write(mask, tmp_path / "out.dcm", slide, segments={"a": (CATEGORY, NUCLEUS)})
    assert result.level is None
    found = open_with(written, result.path).to_datatree()["derived/segmentation"]
    assert_same_place(found, mask)
    np.testing.assert_array_equal(found["segmentation"].isel(segment=0, focal_plane=0), mask)


def test_a_mask_with_the_pixels_of_a_smaller_level_is_part_of_that(written, slide, tmp_path):
    mask = (labels_on(slide, 0)[:64, :88] > 0).coarsen(y=2, x=2).max()
    (result,) = write(mask, tmp_path / "out.dcm", slide, segments={"a": (CATEGORY, NUCLEUS)})
    assert result.level == 1
    node = open_with(written, result.path).to_datatree()["level_1"]
    found = node["segmentation"].isel(segment=0, focal_plane=0)
    np.testing.assert_array_equal(found[:32, :44], mask)
    assert not found[32:].any()
    assert not found[:, 44:].any()


def test_arrays_without_coordinates_are_those_of_a_level(written, slide, tmp_path):
    labels = labels_on(slide, 1)
    (result,) = write(labels.values, tmp_path / "out.dcm", slide, level=1)
    node = open_with(written, result.path).to_datatree()["level_1"]
    np.testing.assert_array_equal(node["label_map"].isel(focal_plane=0), labels)


def test_the_accessor_writes_too(slide, tmp_path):
    labels = labels_on(slide, 1)
    path = tmp_path / "out.dcm"
    (result,) = labels.slide.write_segmentation(
        path, slide=slide, segments=SEGMENTS, algorithm=ALGORITHM
    )
    assert result.path == str(path)
    assert pydicom.dcmread(path).SOPInstanceUID == result.sop_instance_uid


def test_frames_whose_bits_do_not_fill_bytes_are_packed_without_gaps(written, slide, tmp_path):
    labels = labels_on(slide, 0)
    options = {"segmentation_type": "BINARY", "tile": (7, 9), "sparse": False}
    (result,) = write(labels, tmp_path / "out.dcm", slide, **options)
    stored = pydicom.dcmread(result.path)
    # Two segments of 10 x 10 tiles, the last ones partly beyond the 70 x 90 pixels
    assert stored.NumberOfFrames == 200
    assert len(stored.PixelData) == 200 * 63 // 8 + 1
    pixels = stored.pixel_array.reshape(2, 10, 10, 7, 9).swapaxes(2, 3).reshape(2, 70, 90)
    np.testing.assert_array_equal(pixels, [labels == 1, labels == 2])
    node = open_with(written, result.path).to_datatree()["level_0"]
    np.testing.assert_array_equal(node["segmentation"].isel(focal_plane=0), pixels)


def test_empty_frames_are_left_out_or_kept(slide, tmp_path):
    labels = labels_on(slide, 0)
    # 5 x 4 tiles of which every second row has no label
    (thin,) = write(labels, tmp_path / "sparse.dcm", slide)
    (full,) = write(labels, tmp_path / "full.dcm", slide, sparse=False)
    stored = [pydicom.dcmread(result.path) for result in (thin, full)]
    assert [dataset.NumberOfFrames for dataset in stored] == [12, 20]
    organizations = [dataset.DimensionOrganizationType for dataset in stored]
    assert organizations == ["TILED_SPARSE", "TILED_FULL"]
    assert len(stored[0].PerFrameFunctionalGroupsSequence) == 12
    assert "PerFrameFunctionalGroupsSequence" not in stored[1]


def test_a_mask_of_nothing_has_one_empty_frame(written, slide, tmp_path):
    (result,) = write(labels_on(slide, 0) * 0, tmp_path / "out.dcm", slide)
    assert pydicom.dcmread(result.path).NumberOfFrames == 1
    node = open_with(written, result.path).to_datatree()["level_0"]
    assert not node["label_map"].any()


def test_the_segmentation_belongs_to_the_study_and_refers_to_its_source(written, slide, tmp_path):
    (result,) = write(labels_on(slide, 1), tmp_path, slide, series_description="nuclei")
    assert result.path == str(tmp_path / f"{result.sop_instance_uid}.dcm")
    stored = pydicom.dcmread(result.path)
    source = pydicom.dcmread(written.levels[1].paths[0], stop_before_pixels=True)
    for keyword in ("StudyInstanceUID", "PatientID", "FrameOfReferenceUID", "ContainerIdentifier"):
        assert stored[keyword].value == source[keyword].value
    assert stored.SeriesDescription == "nuclei"
    assert stored.Manufacturer == "dicomslide"
    reference = stored.ReferencedSeriesSequence[0]
    assert reference.SeriesInstanceUID == source.SeriesInstanceUID
    uid = reference.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID
    assert uid == source.SOPInstanceUID


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"segments": {}}, "there is none"),
            ({"segments": {"a": NUCLEUS}}, "category and the type"),
            ({"segments": {"a": (CATEGORY, ("1", "SCT"))}}, "expected a code"),
            ({"algorithm": None}, "name and the version"),
            ({"segmentation_type": "FRACTIONAL"}, "uint8 cannot be FRACTIONAL"),
            ({"segmentation_type": "SURFACE"}, "expected BINARY"),
            ({"segments": {"nucleus": (CATEGORY, NUCLEUS)}}, r"values \[2\]"),
            ({"transfer_syntax": "1.2.840.10008.1.2.4.50"}, "without loss"),
            ({"tile": (0, 5)}, "expected from 1"),
            ({"levels": "some"}, "expected 'given' or 'all'"),
            ({"level": 1}, "has coordinates"),
            ({"color": "red"}, "no argument 'color'"),
        ],
    )
    def test_arguments_that_cannot_be_used_are_errors(self, slide, tmp_path, change, match):
        with pytest.raises((TypeError, ValueError), match=match):
            write(labels_on(slide, 0), tmp_path / "out.dcm", slide, **change)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("mask", "match"),
        [
            (np.zeros((3, 4), np.uint8), "3 x 4 pixels, level 1 has 35 x 45"),
            (np.zeros(4, bool), "expected rows and columns"),
            (np.full((35, 45), 1.5), "expected from 0 to 1"),
            (np.full((35, 45), np.nan), "expected from 0 to 1"),
            (np.zeros((35, 45), complex), "neither bool, nor integers"),
            ([[1]], "expected a DataArray"),
        ],
    )
    def test_arrays_that_cannot_be_stored_are_errors(self, slide, tmp_path, mask, match):
        one = {"segments": {"a": (CATEGORY, NUCLEUS)}, "level": 1}
        with pytest.raises((TypeError, ValueError), match=match):
            write(mask, tmp_path / "out.dcm", slide, **one)
        assert list(tmp_path.iterdir()) == []

    def test_uneven_coordinates_are_an_error(self, slide, tmp_path):
        labels = labels_on(slide, 0).isel(y=[0, 1, 3])
        with pytest.raises(ValueError, match="not at even distances"):
            write(labels, tmp_path / "out.dcm", slide)

    def test_an_array_without_a_place_is_an_error(self, slide, tmp_path):
        labels = labels_on(slide, 0)
        with pytest.raises(ValueError, match="which level"):
            write(labels.values, tmp_path / "out.dcm", slide)

    def test_several_planes_are_an_error(self, slide, tmp_path):
        labels = labels_on(slide, 0).expand_dims(focal_plane=[0.0, 0.001])
        with pytest.raises(ValueError, match="focal_plane"):
            write(labels, tmp_path / "out.dcm", slide)

    def test_existing_files_are_replaced_only_if_asked_for(self, slide, tmp_path):
        path = tmp_path / "out.dcm"
        path.write_text("mine")
        with pytest.raises(OSError, match="already exists"):
            write(labels_on(slide, 0), path, slide)
        assert path.read_text() == "mine"
        write(labels_on(slide, 0), path, slide, overwrite=True)
        assert pydicom.dcmread(path).Modality == "SEG"


def test_every_second_pixel_cannot_be_told_from_a_level(make_slide, tmp_path):
    """Levels that state one origin are placed by their corners, half a pixel away from it."""
    slide = open_slide(make_slide(**LEVELS, level_origins="same").folder)
    with pytest.raises(ValueError, match="cannot be told from those of a level"):
        write(labels_on(slide, 0)[::2, ::2], tmp_path / "out.dcm", slide)
    assert list(tmp_path.iterdir()) == []


def test_all_images_of_the_level_are_sources(make_slide, tmp_path):
    written = make_slide(**LEVELS, samples=1, bits=16, optical_paths=3, optical_paths_in="each")
    slide = open_slide(written.folder)
    plane = slide.to_datatree()["level_1/image"].isel(channel=2, focal_plane=0)
    mask = plane.squeeze() > 0
    (result,) = write(mask, tmp_path / "out.dcm", slide, segments={"a": (CATEGORY, NUCLEUS)})
    stored = pydicom.dcmread(result.path)
    sources = {str(pydicom.dcmread(path).SOPInstanceUID) for path in written.levels[1].paths}
    assert len(sources) == 3
    referenced = {str(item.ReferencedSOPInstanceUID) for item in stored.SourceImageSequence}
    assert referenced == sources
    derivation = stored.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0]
    items = derivation.SourceImageSequence
    assert {str(item.ReferencedSOPInstanceUID) for item in items} == sources


def test_what_was_read_can_be_written_again(written, slide, tmp_path):
    labels = labels_on(slide, 1)
    (first,) = write(labels, tmp_path / "first.dcm", slide)
    opened = open_with(written, first.path)
    for number, chunks in enumerate(("frames", None)):
        read = opened.to_datatree(chunks)["level_1/label_map"]
        (again,) = write(read, tmp_path / f"again-{number}.dcm", opened)
        stored = [pydicom.dcmread(result.path) for result in (first, again)]
        assert stored[0].PixelData == stored[1].PixelData
        assert stored[0].FrameOfReferenceUID == stored[1].FrameOfReferenceUID


def test_a_name_of_one_part_is_copied_without_a_warning(make_slide, tmp_path):
    written = make_slide(**LEVELS, patient_name="Anonymous")
    slide = open_slide(written.folder)
    (result,) = write(labels_on(slide, 2), tmp_path / "out.dcm", slide)
    assert pydicom.dcmread(result.path).PatientName == "Anonymous"


def test_opening_writing_and_opening_changes_nothing_of_the_slide(written, slide, tmp_path):
    before = slide.get_image(1).metadata.to_json()
    write(labels_on(slide, 1), tmp_path / "out.dcm", slide)
    assert slide.get_image(1).metadata.to_json() == before


def test_results_come_after_what_the_slide_has(make_slide, tmp_path):
    written = make_slide(**LEVELS, segmentations=("BINARY",))
    slide = open_slide(written.folder)
    (result,) = write(labels_on(slide, 0), tmp_path / "out.dcm", slide)
    numbers = [int(pydicom.dcmread(path).SeriesNumber) for path in written.paths]
    assert int(pydicom.dcmread(result.path).SeriesNumber) == max(numbers) + 1
    labels = open_with(written, result.path).to_datatree()["level_0"]["label"].values
    assert labels[-2:].tolist() == list(SEGMENTS)
