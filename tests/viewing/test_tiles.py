"""Parts of slides as pictures: pixels as they are, or averages, of the colours that are chosen."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import dicomslide
from dicomslide.display.raster import Grid, Raster
from dicomslide.display.tiles import Picture, Shown
from dicomslide.errors import ArgumentValueError, UnsupportedError


def open_picture(folder):
    return Picture(dicomslide.open_slide(folder).to_groups(chunks=None))


def block_means(pixels, factor):
    """Means of blocks of rows and columns; those at the edges have fewer pixels."""
    rows, columns = (-(-n // factor) for n in pixels.shape[:2])
    return np.array(
        [
            [
                pixels[r * factor : (r + 1) * factor, c * factor : (c + 1) * factor].mean((0, 1))
                for c in range(columns)
            ]
            for r in range(rows)
        ]
    )


@pytest.fixture(scope="module")
def colors(make_slide):
    slide = make_slide()
    return open_picture(slide.folder), slide.levels[0].pixels()


@given(st.tuples(*[st.integers(-30, 90)] * 2), st.tuples(*[st.integers(1, 60)] * 2))
def test_pixels_of_a_level_are_those_that_are_stored(colors, take_region, offset, size):
    picture, pixels = colors
    found = picture.render(picture.grid.part(offset, size))
    np.testing.assert_array_equal(found, take_region(pixels, offset, size, 255))


@pytest.mark.parametrize("power", [1, 2, 3, 6])
def test_pixels_between_levels_are_averages_of_those_that_are_there(colors, power):
    picture, pixels = colors
    grid = picture.grid.reduced(power)
    expected = block_means(pixels, 2**power)
    assert grid.size == expected.shape[:2]
    np.testing.assert_array_equal(picture.render(grid), np.rint(expected))


def test_smaller_pixels_repeat_those_that_are_stored(colors):
    picture, pixels = colors
    found = picture.render(picture.grid.reduced(-2).part((8, 12), (16, 24)))
    np.testing.assert_array_equal(found, pixels[2:6, 3:9].repeat(4, axis=0).repeat(4, axis=1))


def test_the_level_that_is_next_larger_is_read(make_slide):
    slide = make_slide(size=(256, 384), factors=(1, 4))
    picture = open_picture(slide.folder)
    for power, level, factor in ((1, 0, 2), (2, 1, 1), (3, 1, 2)):
        found = picture.render(picture.grid.reduced(power))
        expected = block_means(slide.levels[level].pixels(), factor)
        np.testing.assert_array_equal(found, np.rint(expected))


def test_reduced_grid_covers_all_pixels():
    assert Grid((0, 0), (1, 1), (5, 8)).reduced(2) == Grid((0, 0), (4, 4), (2, 2))


def test_channels_are_added_in_their_colors_within_their_windows(make_slide):
    slide = make_slide(samples=1, optical_paths=2)
    picture = open_picture(slide.folder)
    first, second = (slide.levels[0].pixels(path)[..., 0].astype(float) for path in (0, 1))
    shown = [Shown(0, "FF8000", (20, 120)), Shown(1, "0000FF", (0, 255))]
    light = ((first - 20) / 100).clip(0, 1) * 255
    expected = np.stack([light, light * 128 / 255, second], axis=-1)
    np.testing.assert_allclose(picture.render(picture.grid, shown), expected, atol=1)


def test_windows_are_chosen_from_the_smallest_level(make_slide):
    slide = make_slide(samples=1, bits=16, optical_paths=2, size=(64, 96), factors=(1, 2))
    picture = open_picture(slide.folder)
    for path, window in enumerate(picture.windows):
        pixels = slide.levels[1].pixels(path)
        assert window == tuple(np.quantile(pixels, (0.001, 0.999), method="nearest"))


def test_first_eight_channels_are_shown(make_slide):
    picture = open_picture(make_slide(samples=1, optical_paths=10).folder)
    assert [shown.index for shown in picture.shown_at_first] == list(range(8))
    eight = [Shown(index) for index in range(8)]
    np.testing.assert_array_equal(picture.render(picture.grid), picture.render(picture.grid, eight))


def test_no_channel_is_black(make_slide):
    picture = open_picture(make_slide(samples=1, optical_paths=2).folder)
    assert not picture.render(picture.grid, []).any()


@pytest.mark.parametrize("plane", [0, 1, 2, None])
def test_focal_plane_is_the_one_that_is_given_or_the_middle_one(make_slide, plane):
    slide = make_slide(focal_planes=3)
    picture = open_picture(slide.folder)
    assert picture.planes == pytest.approx([0, 0.0015, 0.003])
    expected = slide.levels[0].pixels(focal_plane=1 if plane is None else plane)
    np.testing.assert_array_equal(picture.render(picture.grid, plane=plane), expected)


def test_segments_are_laid_over_the_pixels_that_they_cover(make_slide):
    slide = make_slide(segmentations=("BINARY",))
    picture = open_picture(slide.folder)
    mask = slide.segmentations[0].mask(level=0, segment=1)
    assert 0 < mask.mean() < 1
    pixels = slide.levels[0].pixels().astype(float)
    pixels[mask] = pixels[mask] * 0.75 + np.array([0, 255, 0]) * 0.25
    found = picture.render(picture.grid, segments=[Shown(0, "00FF00", opacity=0.25)])
    np.testing.assert_array_equal(found, np.rint(pixels))


@pytest.mark.parametrize("optical_paths_in", ["one", "each"])
def test_frames_of_all_channels_are_read_together(make_slide, open_all_counted, optical_paths_in):
    slide = make_slide(samples=1, optical_paths=3, optical_paths_in=optical_paths_in)
    client, datasets = open_all_counted(slide.paths)
    picture = Picture(dicomslide.Slide(client, datasets).to_groups(chunks=None))
    shown = [Shown(index, window=(0, 255)) for index in range(3)]
    picture.render(picture.grid.part((0, 0), (32, 48)), shown)
    # Two by two frames of each channel, with one call to each source
    assert sum(map(len, client.requests)) == 12
    assert len(client.requests) == (1 if optical_paths_in == "one" else 3)


def test_picture_of_too_many_pixels_is_refused():
    pixels = xr.Variable(("y", "x", "sample"), da.zeros((2**15, 2**15, 1), np.uint8))
    grid = Grid((0, 0), (1, 1), (2**15, 2**15))
    with pytest.raises(UnsupportedError, match="too many"):
        Raster(pixels, grid).read([0], 0, grid.reduced(7))


def test_tree_without_optical_paths_is_refused():
    with pytest.raises(ArgumentValueError, match="no optical paths"):
        Picture({})
