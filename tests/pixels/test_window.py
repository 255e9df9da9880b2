"""Arrays as parts of a larger or smaller grid of pixels."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicomslide import TotalPixelMatrix
from dicomslide.pixels.stack import FrameStack
from dicomslide.testing import ParametricMapOptions

SIZE, TILE = (20, 26), (8, 12)
GREY = {"size": SIZE, "tile": TILE, "samples": 1, "bits": 16, "organization": "TILED_SPARSE"}

places = st.tuples(*[st.integers(-30, 40)] * 2)
grids = st.tuples(*[st.integers(1, 45)] * 2)
steps = st.sampled_from([1, 1, 2, 3, -1, -2])
slices = st.builds(slice, *[st.none() | st.integers(-50, 50)] * 2, steps)


@pytest.fixture(scope="module", params=["complete", "gaps", "off-grid", "overlapping"])
def image(request, make_slide, open_counted):
    """An array of integers, its pixels, and where no frame is."""
    level = make_slide(**GREY, sparse=request.param).levels[0]
    client, metadata = open_counted(level.paths[0])
    array = TotalPixelMatrix(client, metadata, max_frame_cache_size=0).array
    return array, level.pixels()[..., 0], level.missing()


@pytest.fixture(scope="module")
def densities(make_slide, open_counted):
    """An array of floats, and its pixels."""
    written = make_slide(**GREY, parametric_maps=(ParametricMapOptions("float", ("eosin",)),))
    (found,) = written.parametric_maps
    client, metadata = open_counted(found.paths[0])
    return TotalPixelMatrix(client, metadata, max_frame_cache_size=0).array, found.stored(0, 0)


def place(
    pixels: NDArray, offset: tuple[int, int], size: tuple[int, int], around: float
) -> NDArray:
    """The law: each pixel of the grid is that of the matrix there, or what is around it."""
    rows, columns = (np.arange(size[i]) - offset[i] for i in range(2))
    inside = np.logical_and.outer(
        (rows >= 0) & (rows < pixels.shape[0]), (columns >= 0) & (columns < pixels.shape[1])
    )
    clipped = pixels[
        np.ix_(rows.clip(0, pixels.shape[0] - 1), columns.clip(0, pixels.shape[1] - 1))
    ]
    return np.where(inside, clipped, np.asarray(around, pixels.dtype))


@settings(max_examples=20)
@given(offset=places, size=grids, key=st.tuples(slices, slices))
def test_any_part_of_a_placed_array_is_that_of_numpy(image, offset, size, key):
    array, pixels, missing = image
    placed = array.placed(offset, size)
    assert placed.shape == (*size, 1)
    np.testing.assert_array_equal(placed[key][..., 0], place(pixels, offset, size, 0)[key])
    covered = ~place(missing, offset, size, True)
    np.testing.assert_array_equal(placed.covered(range(size[0]), range(size[1])), covered)


@settings(max_examples=20)
@given(offset=places, size=grids, chunks=st.tuples(*[st.integers(1, 40)] * 2))
def test_chunks_of_a_placed_array_are_those_of_numpy(image, offset, size, chunks):
    array, pixels, _ = image
    lazy = array.placed(offset, size).to_dask(chunks)
    expected = place(pixels, offset, size, 0)
    np.testing.assert_array_equal(lazy.compute(scheduler="sync")[..., 0], expected)


@settings(max_examples=20)
@given(offset=places, size=grids, corner=places, extent=grids)
def test_windows_may_reach_beyond_the_grid(image, offset, size, corner, extent):
    array, pixels, _ = image
    placed = array.placed(offset, size)
    rows, columns = (range(corner[i], corner[i] + extent[i]) for i in range(2))
    expected = place(place(pixels, offset, size, 0), (-corner[0], -corner[1]), extent, 0)
    np.testing.assert_array_equal(placed.read(rows, columns)[..., 0], expected)


@settings(max_examples=20)
@given(offset=places, size=grids, key=st.tuples(slices, slices))
def test_floats_are_not_known_around_the_matrix(densities, offset, size, key):
    array, pixels = densities
    placed = array.placed(offset, size)
    around = 0 if placed.window is None else np.nan
    np.testing.assert_array_equal(placed[key][..., 0], place(pixels, offset, size, around)[key])


@settings(max_examples=20)
@given(
    offset=places,
    size=grids,
    key=st.tuples(
        *[st.integers(0, 0) | st.just(slice(None))] * 2, *[st.integers(0, 0) | slices] * 2
    ),
)
def test_scaled_integers_are_not_known_where_no_frame_is(image, offset, size, key):
    array, pixels, missing = image
    stack = FrameStack(((array.placed(offset, size), None),), samples=False, scale=(0.5, -2.0))
    expected = np.full((1, 2, *size), np.nan)
    expected[0, 0] = place(np.where(missing, np.nan, pixels * 0.5 - 2.0), offset, size, np.nan)
    np.testing.assert_array_equal(stack[key], expected[key])
    lazy = stack.to_dask((8, 12))
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), expected)


@settings(max_examples=20)
@given(offset=places, other=places, size=grids)
def test_tokens_tell_places_apart(image, offset, other, size):
    array, *_ = image
    first, second = array.placed(offset, size), array.placed(other, size)
    assert (first.token == second.token) == (offset == other)
    assert replace(first, threads=1).token == first.token
