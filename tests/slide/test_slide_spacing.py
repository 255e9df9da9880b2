"""Pixels of a slide at any distance between them: of which level, where, and what they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomslide import Slide, open_slide
from dicomslide.pixels.resampled import ResampledArray
from dicomslide.spacing import image_at_spacing
from dicomslide.testing import SegmentationOptions
from tests.slide.small import SMALL

# Half a micrometre at the base level, and levels of factors 1, 2 and 4
SIZE, BASE = (90, 70), 0.5


@pytest.fixture(scope="module")
def slide(make_slide):
    return open_slide(make_slide(**SMALL).folder)


def test_base_level_has_half_a_micrometre(slide):
    assert slide.pixel_spacings[0] == (BASE / 1000, BASE / 1000)
    assert slide.size == SIZE


@pytest.mark.parametrize("level", [0, 1, 2])
def test_spacing_of_a_level_gives_its_pixels(slide, level):
    spacing = 1000 * slide.pixel_spacings[level][0]
    for offset, size in [((0, 0), (30, 20)), ((-9, 40), (25, 25)), ((60, 33), (0, 4))]:
        found = slide.get_image_region_at_spacing(offset, spacing, size)
        np.testing.assert_array_equal(found, slide.get_image_region(offset, level, size))


@pytest.mark.parametrize(
    ("spacing", "level", "scale"),
    [
        (0.4, 0, 0.8),
        (0.505, 0, 1.01),
        (0.75, 0, 1.5),
        (0.99, 0, 1.98),
        (1.5, 1, 1.5),
        (1.999, 1, 1.999),
        (2.5, 2, 1.25),
        (20, 2, 10),
    ],
)
def test_coarsest_level_that_is_not_coarser_is_averaged(slide, spacing, level, scale):
    expected = ResampledArray(slide.get_total_pixel_matrix(level).array, (scale, scale))
    found = slide.get_image_region_at_spacing((0, 0), spacing, expected.shape[:2])
    np.testing.assert_array_equal(found, expected[...])


def test_pixels_at_a_whole_factor_are_means_of_boxes(make_slide):
    """Without other levels three times the spacing is the mean of 3 x 3 pixels."""
    written = make_slide(**{**SMALL, "factors": (1,)})
    pixels = written.levels[0].pixels()
    boxes = pixels[:90, :69].reshape(30, 3, 23, 3, 3).mean(axis=(1, 3))
    slide = open_slide(written.folder)
    found = slide.get_image_region_at_spacing((0, 0), 3 * BASE, (31, 25))
    np.testing.assert_array_equal(found[:30, :23], np.rint(boxes))
    # Of the last column one pixel in three lies in the slide
    edge = pixels[:, 69].reshape(30, 3, 3).mean(axis=1)
    np.testing.assert_array_equal(found[:30, 23], np.rint(edge))
    assert (found[30:] == 255).all()
    assert (found[:, 24:] == 255).all()


@given(offset=st.tuples(st.integers(-20, 100), st.integers(-20, 100)))
def test_region_starts_at_the_pixel_that_holds_that_of_the_base_level(slide, take_region, offset):
    """At 1.5 micrometres it is the pixel with a third of the index, rounded down."""
    whole = slide.get_image_region_at_spacing((0, 0), 1.5, (30, 24))
    start = offset[0] // 3, offset[1] // 3
    found = slide.get_image_region_at_spacing(offset, 1.5, (11, 9))
    np.testing.assert_array_equal(found, take_region(whole, start, (11, 9), 255))


def test_segments_and_other_channels_have_the_spacing_too(make_slide):
    written = make_slide(**SMALL, segmentations=(SegmentationOptions("BINARY", ("nucleus",)),))
    slide = open_slide(written.folder)
    (segment,) = slide.find_segments()
    found = slide.get_image_region_at_spacing((0, 0), 1.5, (30, 24), segment)
    assert found.dtype == bool
    expected = ResampledArray(slide.get_total_pixel_matrix(1, segment).array, (1.5, 1.5))
    np.testing.assert_array_equal(found, expected[...])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((0, 0), 0, (3, 3)), ValueError, "spacing: 0 micrometres"),
        (((0, 0), -1.0, (3, 3)), ValueError, "spacing"),
        (((0, 0), float("nan"), (3, 3)), ValueError, "spacing"),
        (((0, 0), "1", (3, 3)), TypeError, "spacing"),
        (((0, 0), 1, (3, -3)), ValueError, "size"),
        (((0, 0.5), 1, (3, 3)), TypeError, "offset"),
        (((0, 0), 1, (3, 3), 7), ValueError, "channel_index"),
        (((0, 0), 1, (3, 3), 0, 7), ValueError, "focal_plane_index"),
    ],
)
def test_arguments_that_cannot_be_used_are_errors(slide, arguments, error, message):
    with pytest.raises(error, match=message):
        slide.get_image_region_at_spacing(*arguments)


class TestLabelled:
    """The whole slide as a lazy array with coordinates."""

    @pytest.mark.parametrize("level", [0, 1, 2])
    def test_level_is_that_of_the_tree(self, slide, level):
        image = image_at_spacing(slide, 1000 * slide.pixel_spacings[level][0])
        expected = slide.to_datatree()[f"level_{level}"]["image"][0, 0]
        for name in ("y", "x", "slide_x", "slide_y"):
            np.testing.assert_array_equal(image[name], expected[name])
            assert image[name].attrs == expected[name].attrs
        np.testing.assert_array_equal(image, expected)

    def test_coordinates_are_the_middles_of_the_pixels(self, slide):
        """They begin in the middle of the first base pixel, which is 0.5 micrometres wide."""
        image = image_at_spacing(slide, 1.5)
        assert image.dims == ("y", "x", "sample")
        assert image.shape == (30, 24, 3)
        np.testing.assert_allclose(image.y * 1000, 1.5 * np.arange(30) + 0.75 - 0.25, atol=1e-9)
        np.testing.assert_allclose(image.x * 1000, 1.5 * np.arange(24) + 0.75 - 0.25, atol=1e-9)
        # Rows run along X or along Y, and either way the pixels lie around those of the base level
        base = slide.map_pixel_indices_to_slide_coordinates([(1, 1), (4, 7)], 0)[:, :2]
        for axis, name in enumerate(("slide_x", "slide_y")):
            places = [0, 2] if image[name].dims == ("x",) else [0, 1]
            np.testing.assert_allclose(image[name][places], base[:, axis], atol=1e-9)

    def test_values_are_those_of_regions(self, slide):
        image = image_at_spacing(slide, 1.5, chunks=(16, 16))
        assert image.data.chunksize == (16, 16, 3)
        expected = slide.get_image_region_at_spacing((0, 0), 1.5, image.shape[:2])
        np.testing.assert_array_equal(image, expected)
        part = image.isel(y=slice(3, 9), x=slice(20, 24))
        np.testing.assert_array_equal(part, expected[3:9, 20:])

    def test_nothing_is_read_before_computing(self, make_slide, open_all_counted):
        client, metadata = open_all_counted(make_slide(**SMALL).paths)
        image_at_spacing(Slide(client, metadata), 1.5).isel(y=slice(3, 9))
        assert client.requests == []
