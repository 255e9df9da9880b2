"""The channels and focal planes of a Slide, and how they are found."""

import itertools
from copy import deepcopy

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.coding import Code

from dicomslide import ChannelTypes, Slide, open_slide
from dicomslide.testing import OpticalPath, SegmentationOptions
from tests.slide.small import FLUORESCENCE, SMALL, NoFrames

# Channels


@pytest.mark.parametrize("together", ["one", "each"])
def test_optical_paths_are_channels(make_slide, together):
    written = make_slide(**FLUORESCENCE, optical_paths=3, optical_paths_in=together)
    slide = open_slide(written.folder)
    assert slide.num_channels == 3
    for channel in range(3):
        assert slide.get_channel_type(channel) is ChannelTypes.OPTICAL_PATH
        assert slide.get_channel_identifier(channel) == str(channel + 1)
        assert slide.get_channel_index(str(channel + 1), ChannelTypes.OPTICAL_PATH) == channel
        for level in range(3):
            expected = written.levels[level].pixels(optical_path=channel)
            region = slide.get_image_region((0, 0), level, expected.shape[:2], channel)
            assert region.dtype == np.uint16
            assert np.array_equal(region, expected)


def test_channels_are_optical_paths_then_segments_then_parameters(annotated_slide):
    types = [annotated_slide.get_channel_type(i) for i in range(annotated_slide.num_channels)]
    assert types == (
        [ChannelTypes.OPTICAL_PATH] + [ChannelTypes.SEGMENT] * 4 + [ChannelTypes.PARAMETER] * 2
    )
    identifiers = [annotated_slide.get_channel_identifier(i) for i in range(7)]
    assert identifiers == ["1", "1", "2", "1", "2", "HAEMATOXYLIN", "EOSIN"]


def test_both_segments_of_one_number_can_be_reached(annotated_slide, annotated):
    first, second = annotated_slide.find_segments(number=1)
    for channel, segmentation in zip((first, second), annotated.segmentations, strict=True):
        region = annotated_slide.get_image_region((0, 0), 0, (90, 70), channel)
        assert region.dtype == bool
        assert np.array_equal(region[..., 0], segmentation.mask(0, 1))
    assert not np.array_equal(*(s.mask(0, 1) for s in annotated.segmentations))


def test_segments_of_one_number_can_be_reached_even_in_one_series(make_slide, tmp_path):
    written = make_slide(
        **SMALL,
        segmentations=(
            SegmentationOptions("BINARY", ("nucleus",), levels=(0,)),
            SegmentationOptions("BINARY", ("stroma",), levels=(0,)),
        ),
    )
    first, second = (pydicom.dcmread(s.paths[0]) for s in written.segmentations)
    for keyword in ("SeriesInstanceUID", "SeriesNumber", "PyramidUID"):
        setattr(second, keyword, first[keyword].value)
    second.InstanceNumber = 2
    second.save_as(tmp_path / "second.dcm")
    paths = written.levels[0].paths + written.segmentations[0].paths
    slide = open_slide([*paths, tmp_path / "second.dcm"])
    channels = slide.find_segments(number=1)
    for channel, segmentation in zip(channels, written.segmentations, strict=True):
        region = slide.get_image_region((0, 0), 0, (90, 70), channel)
        assert np.array_equal(region[..., 0], segmentation.mask(0, 1))


def test_a_channel_index_is_that_of_the_first_of_its_identifier_and_type(annotated_slide):
    assert annotated_slide.get_channel_index("1", ChannelTypes.OPTICAL_PATH) == 0
    assert annotated_slide.get_channel_index("1", ChannelTypes.SEGMENT) == 1
    assert annotated_slide.get_channel_index("EOSIN", ChannelTypes.PARAMETER) == 6


def test_a_channel_type_may_be_a_string(annotated_slide):
    assert annotated_slide.get_channel_index("2", "SEGMENT") == 2


@pytest.mark.parametrize(
    ("identifier", "kind"), [("9", "SEGMENT"), ("EOSIN", "SEGMENT"), ("1", "PARAMETER")]
)
def test_an_unknown_channel_is_a_value_error(annotated_slide, identifier, kind):
    with pytest.raises(ValueError, match="channel_identifier"):
        annotated_slide.get_channel_index(identifier, kind)


def test_an_unknown_channel_type_is_a_value_error(annotated_slide):
    with pytest.raises(ValueError, match="channel_type"):
        annotated_slide.get_channel_index("1", "COLOUR")


@pytest.mark.parametrize("index", [-1, 7, 100])
def test_an_unknown_channel_index_is_a_value_error(annotated_slide, index):
    with pytest.raises(ValueError, match="channel_index"):
        annotated_slide.get_channel_identifier(index)
    with pytest.raises(ValueError, match="channel_index"):
        annotated_slide.get_channel_type(index)
    with pytest.raises(ValueError, match="channel_index"):
        annotated_slide.get_image_region((0, 0), 0, (1, 1), channel_index=index)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_segments_of_every_kind_are_channels(make_slide, kind):
    written = make_slide(**SMALL, segmentations=(kind,))
    slide = open_slide(written.folder)
    for number in (1, 2, 3):
        channel = slide.get_channel_index(str(number), ChannelTypes.SEGMENT)
        for level, (rows, columns) in enumerate([(90, 70), (45, 35)]):
            region = slide.get_image_region((0, 0), level, (rows, columns), channel)
            assert np.array_equal(region[..., 0], written.segmentations[0].mask(level, number))


def test_images_of_one_level_may_be_tiled_differently(make_slide):
    written = make_slide(
        **SMALL,
        segmentations=(SegmentationOptions("BINARY", ("nucleus", "stroma"), tile=(50, 17)),),
    )
    slide = open_slide(written.folder)
    for channel, number in ((1, 1), (2, 2)):
        region = slide.get_image_region((11, 7), 0, (60, 50), channel)
        mask = written.segmentations[0].mask(0, number)[11:71, 7:57]
        assert np.array_equal(region[..., 0], mask)
    assert np.array_equal(
        slide.get_image_region((11, 7), 0, (60, 50)), written.levels[0].pixels()[11:71, 7:57]
    )


@pytest.mark.parametrize("kind", ["float", "double", "integer"])
def test_parameters_are_channels_with_their_stored_values(make_slide, kind):
    written = make_slide(**SMALL, parametric_maps=(kind,))
    slide = open_slide(written.folder)
    for number, identifier in enumerate(["HAEMATOXYLIN", "EOSIN"]):
        channel = slide.get_channel_index(identifier, ChannelTypes.PARAMETER)
        region = slide.get_image_region((0, 0), 1, (45, 35), channel)[..., 0]
        expected = written.parametric_maps[0].stored(1, number)
        assert region.dtype == expected.dtype
        assert np.array_equal(region, expected)


def test_a_level_without_pixels_of_a_channel_is_a_value_error(annotated_slide):
    (_, channel) = annotated_slide.find_segments(number=1)
    assert annotated_slide.get_image_region((0, 0), 0, (2, 2), channel).shape == (2, 2, 1)
    with pytest.raises(ValueError, match="level"):
        annotated_slide.get_image_region((0, 0), 1, (2, 2), channel)


# Finding optical paths and segments


PATHS = (
    OpticalPath("dapi", "Nuclei", 385.0, "DAPI"),
    OpticalPath("fitc", "Fibres", 475.0, "FITC"),
    OpticalPath("fitc-2", "Fibres", 485.0, "FITC"),
)


@pytest.fixture(scope="module", params=["one", "each"])
def stained_slide(make_slide, request):
    written = make_slide(**FLUORESCENCE, optical_paths=PATHS, optical_paths_in=request.param)
    return open_slide(written.folder)


@pytest.mark.parametrize(
    ("criteria", "identifiers"),
    [
        ({}, ["dapi", "fitc", "fitc-2"]),
        ({"identifier": "fitc"}, ["fitc"]),
        ({"description": "Fibres"}, ["fitc", "fitc-2"]),
        ({"illumination_wavelength": 475.0}, ["fitc"]),
        ({"illumination_wavelength": 475}, ["fitc"]),
        ({"description": "Fibres", "illumination_wavelength": 485.0}, ["fitc-2"]),
        ({"description": "Nuclei", "illumination_wavelength": 485.0}, []),
        ({"identifier": "dapi", "description": "Nuclei", "illumination_wavelength": 385.0},
         ["dapi"]),
        ({"identifier": "nothing"}, []),
    ],
)  # fmt: skip
def test_optical_paths_match_all_criteria(stained_slide, criteria, identifiers):
    found = stained_slide.find_optical_paths(**criteria)
    assert isinstance(found, tuple)
    assert found == tuple(sorted(found))
    assert sorted(map(stained_slide.get_channel_identifier, found)) == identifiers


def test_optical_paths_are_found_by_stain(slide):
    haematoxylin = Code("12710003", "SCT", "hematoxylin stain")
    assert slide.find_optical_paths(specimen_stain=haematoxylin) == (0,)
    assert slide.find_optical_paths(
        specimen_stain=hd.sr.CodedConcept("36879007", "SCT", "water soluble eosin stain")
    ) == (0,)
    assert slide.find_optical_paths(specimen_stain=Code("1", "SCT", "another")) == ()
    assert slide.find_optical_paths(identifier="2", specimen_stain=haematoxylin) == ()


def test_optical_paths_are_no_segments(annotated_slide):
    assert annotated_slide.find_optical_paths() == (0,)


CELL = Code("4421005", "SCT", "Cell structure")
TISSUE = Code("85756007", "SCT", "Tissue")
STROMA = Code("61647009", "SCT", "Stroma")


@pytest.mark.parametrize(
    ("criteria", "channels"),
    [
        ({}, (1, 2, 3, 4)),
        ({"number": 2}, (2, 4)),
        ({"label": "Epithelium"}, (3,)),
        ({"number": 2, "label": "Epithelium"}, ()),
        ({"property_category": CELL}, (1,)),
        ({"property_category": TISSUE}, (2, 3, 4)),
        ({"property_type": STROMA}, (2,)),
        ({"number": 2, "property_category": TISSUE, "property_type": STROMA}, (2,)),
        ({"number": 1, "property_type": STROMA}, ()),
        ({"property_type": hd.sr.CodedConcept("84640000", "SCT", "Nucleus")}, (1,)),
    ],
)
def test_segments_match_all_criteria(annotated_slide, criteria, channels):
    assert annotated_slide.find_segments(**criteria) == channels


def test_a_slide_without_segmentations_has_no_segments(slide):
    assert slide.find_segments() == ()


# Focal planes


@pytest.fixture(scope="module", params=["one", "each"])
def thick(make_slide, request):
    return make_slide(**FLUORESCENCE, focal_planes=3, focal_planes_in=request.param)


def test_focal_planes_have_offsets_in_micrometres(thick):
    slide = open_slide(thick.folder)
    assert slide.num_focal_planes == 3
    for plane, offset in enumerate([0.0, 1.5, 3.0]):
        assert slide.get_focal_plane_offset(plane) == pytest.approx(offset)
        assert slide.get_focal_plane_index(offset) == plane


def test_each_focal_plane_has_its_pixels(thick):
    slide = open_slide(thick.folder)
    for level, plane in itertools.product(range(3), range(3)):
        expected = thick.levels[level].pixels(focal_plane=plane)
        region = slide.get_image_region((0, 0), level, expected.shape[:2], focal_plane_index=plane)
        assert np.array_equal(region, expected)


def test_unknown_focal_planes_are_value_errors(thick):
    slide = open_slide(thick.folder)
    with pytest.raises(ValueError, match="focal_plane_offset"):
        slide.get_focal_plane_index(0.7)
    for index in (-1, 3):
        with pytest.raises(ValueError, match="focal_plane_index"):
            slide.get_focal_plane_offset(index)
        with pytest.raises(ValueError, match="focal_plane_index"):
            slide.get_image_region((0, 0), 0, (1, 1), focal_plane_index=index)
        with pytest.raises(ValueError, match="focal_plane_index"):
            slide.get_volume_images(focal_plane_index=index)


def test_slide_coordinates_of_a_focal_plane_have_its_height_in_millimetres(thick):
    slide = open_slide(thick.folder)
    for plane, height in enumerate([0.0, 0.0015, 0.003]):
        found = slide.map_pixel_indices_to_slide_coordinates([(0, 0)], 1, 0, plane)
        assert found[0, 2] == pytest.approx(height, abs=1e-9)


def test_levels_of_one_plane_each_show_the_same_plane(metadata):
    # Writers derive the lower levels without minding Z
    higher = deepcopy(metadata)
    for level, dataset in enumerate(higher):
        dataset.TotalPixelMatrixOriginSequence[0].ZOffsetInSlideCoordinateSystem = 2.0 - level
    slide = Slide(NoFrames(), higher)
    assert slide.num_focal_planes == 1
    assert slide.get_focal_plane_offset(0) == 2.0
    assert len(slide.get_volume_images()) == 3
