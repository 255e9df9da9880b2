"""Lazy arrays of xarray: whatever selects pixels, the frames that hold them are read, no others."""

import tracemalloc
from dataclasses import replace

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dicomslide import Slide, TotalPixelMatrix
from dicomslide.pixels.stack import FrameStack

SIZES = {"channel": 2, "focal_plane": 2, "y": 40, "x": 50, "sample": 3}
TILE = (16, 24)
# TILED_FULL: the frames of a plane row by row, and the planes of a channel one after the other
GRID = (3, 3)


def frame_numbers() -> xr.DataArray:
    """The number of the frame that holds each pixel."""
    c, z, y, x, s = np.ix_(*map(np.arange, SIZES.values()))
    planes = c * SIZES["focal_plane"] + z
    places = y // TILE[0] * GRID[1] + x // TILE[1]
    return xr.DataArray(planes * GRID[0] * GRID[1] + places + 0 * s, dims=tuple(SIZES))


NUMBERS = frame_numbers()


@pytest.fixture(scope="module")
def image(make_slide, open_all_counted):
    """A lazy image, its pixels in memory, and the requests for its frames."""
    written = make_slide(size=(40, 50), optical_paths=2, focal_planes=2)
    client, datasets = open_all_counted(written.paths)
    lazy = Slide(client, datasets, 0).to_datatree(chunks=None).level_0.image.variable
    level = written.levels[0]
    pixels = np.array([[level.pixels(c, z) for z in range(2)] for c in range(2)])
    return lazy, xr.Variable(tuple(SIZES), pixels), client.requests


def along(size: int) -> st.SearchStrategy:
    """What selects along one dimension."""
    bound = st.none() | st.integers(-size - 3, size + 3)
    steps = st.sampled_from([None, 1, 2, 17, 40, -1, -3, -30])
    return st.one_of(
        st.just(slice(None)),
        st.integers(-size, size - 1),
        st.builds(slice, bound, bound, steps),
        st.lists(st.integers(-size, size - 1), max_size=4).map(lambda found: np.array(found, int)),
        st.lists(st.booleans(), min_size=size, max_size=size).map(np.array),
    )


@st.composite
def selections(draw: st.DrawFn) -> dict:
    """An index for each dimension; along some of them one point after the other."""
    together = draw(st.sets(st.sampled_from(sorted(SIZES))))
    shape = draw(st.sampled_from([(0,), (1,), (5,), (2, 3)]))
    return {
        name: xr.Variable(
            ("p", "q")[: len(shape)],
            np.reshape(
                draw(st.lists(st.integers(-size, size - 1), min_size=n, max_size=n)), shape
            ).astype(int),
        )
        if name in together
        else draw(along(size))
        for name, size in SIZES.items()
        for n in [int(np.prod(shape))]
    }


@given(key=selections())
def test_selection_reads_the_frames_of_its_pixels_once_and_no_others(image, key):
    lazy, pixels, requests = image
    requests.clear()
    found = lazy.isel(key)
    assert requests == []
    xr.testing.assert_equal(found, pixels.isel(key))
    touched = np.unique(NUMBERS.variable.isel(key).values).tolist()
    assert sorted(frame for request in requests for frame in request) == touched


@settings(max_examples=30)
@given(first=selections(), data=st.data())
def test_selection_of_a_selection_reads_the_frames_of_its_pixels(image, first, data):
    lazy, pixels, requests = image
    once = pixels.isel(first)
    # xarray may turn a slice of nothing, and a slice of that, into one of something
    assume(once.size)
    second = {name: data.draw(along(size)) for name, size in once.sizes.items()}
    requests.clear()
    xr.testing.assert_equal(lazy.isel(first).isel(second), once.isel(second))
    touched = np.unique(NUMBERS.variable.isel(first).isel(second).values).tolist()
    assert sorted(frame for request in requests for frame in request) == touched


def test_two_far_points_are_two_frames(image):
    lazy, _, requests = image
    requests.clear()
    points = {"y": xr.Variable("p", [0, 39]), "x": xr.Variable("p", [0, 49])}
    lazy.isel(channel=0, focal_plane=0).isel(points).load()
    assert requests == [[0, 8]]


def test_rows_and_columns_far_apart_are_the_frames_where_they_cross(image):
    lazy, _, requests = image
    requests.clear()
    lazy.isel(channel=0, focal_plane=0, y=[39, 0], x=[0, 49, 0]).load()
    assert requests == [[0, 2, 6, 8]]


def test_chunks_of_what_was_selected_are_its_frames(image):
    lazy, pixels, requests = image
    requests.clear()
    plane = lazy.isel(channel=0, focal_plane=0)
    corner, other = plane[:8, :30][2:6, 25:].chunk(), plane[32:, ::-1][:, :4].chunk({"y": 3})
    found = dask.compute(corner.data, other.data, scheduler="sync")
    # Columns 25 to 29 lie in the second frames of a row, 46 to 49 in the second and third ones, of
    # which three chunks hold some rows each
    assert sorted(requests) == [[1], [7, 8], [7, 8], [7, 8]]
    np.testing.assert_array_equal(found[0], pixels[0, 0, 2:6, 25:30])
    np.testing.assert_array_equal(found[1], pixels[0, 0, 32:, :-5:-1])


def test_memory_is_that_of_the_selected_pixels(make_slide, open_all_counted):
    written = make_slide(size=(1600, 2400))
    client, datasets = open_all_counted(written.paths)
    image = Slide(client, datasets, 0).to_datatree(chunks=None).level_0.image[0, 0]
    far = image.isel(y=[0, 800, 1599], x=[2399, 0])
    points = image.isel(y=xr.Variable("p", [0, 1599]), x=xr.Variable("p", [0, 2399]))
    far.copy().load()
    client.requests.clear()
    tracemalloc.start()
    try:
        far.load()
        points.load()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(map(len, client.requests)) == 3 * 2 + 2
    # The rectangle around these pixels has 11.5 MB; some 10,000 frames lie in it
    assert peak < 5e6


@pytest.mark.parametrize("sparse", ["complete", "gaps", "shuffled", "off-grid", "overlapping"])
@settings(max_examples=20)
@given(
    rows=st.lists(st.integers(0, 69), max_size=6), columns=st.lists(st.integers(0, 89), max_size=6)
)
def test_frames_may_lie_anywhere(make_slide, open_counted, sparse, rows, columns):
    level = make_slide(organization="TILED_SPARSE", sparse=sparse).levels[0]
    client, metadata = open_counted(level.paths[0])
    array = TotalPixelMatrix(client, metadata, max_frame_cache_size=0).array
    pixels, whole = level.pixels(), slice(None)

    def touched(places):
        return [
            number
            for number, frame in enumerate(level.frames)
            if any(
                frame.row <= row < frame.row + TILE[0]
                and frame.column <= column < frame.column + TILE[1]
                for row, column in places
            )
        ]

    crossing = [(row, column) for row in rows for column in columns]
    found = array.outer((np.array(rows, int), np.array(columns, int), whole))
    np.testing.assert_array_equal(found, pixels[np.ix_(rows, columns)])
    assert sorted(frame for request in client.requests for frame in request) == touched(crossing)
    client.requests.clear()
    points = list(zip(rows, columns, strict=False))
    y, x = (np.array(part, int) for part in zip(*points, strict=True)) if points else ([], [])
    y, x = np.array(y, int), np.array(x, int)
    np.testing.assert_array_equal(array.read_points(y, x), pixels[y, x])
    assert sorted(frame for request in client.requests for frame in request) == touched(points)


@settings(max_examples=20)
@given(data=st.data())
def test_points_beyond_the_frames_of_a_scaled_map_are_not_known(make_slide, open_counted, data):
    level = make_slide(samples=1, bits=16, organization="TILED_SPARSE", sparse="gaps").levels[0]
    array = TotalPixelMatrix(*open_counted(level.paths[0])).array
    offset, size = (-5, 12), (80, 100)
    stack = FrameStack(((array.placed(offset, size),),), samples=False, scale=(0.5, 3.0))
    expected = np.full(size, np.nan)
    pixels = np.where(level.missing(), np.nan, level.pixels()[..., 0] * 0.5 + 3.0)
    expected[:65, 12:102] = pixels[5:, :88]
    y, x = (
        np.array(data.draw(st.lists(st.integers(0, end - 1), min_size=5, max_size=5)))
        for end in size
    )
    zero = np.zeros(5, int)
    np.testing.assert_array_equal(stack.points((zero, zero, y, x)), expected[y, x])
    np.testing.assert_array_equal(stack.outer((0, 0, y, x)), expected[np.ix_(y, x)])
    empty = replace(stack, planes=((None, *stack.planes[0]),))
    found = empty.points((zero, np.array([0, 1, 0, 1, 0]), y, x))
    np.testing.assert_array_equal(np.isnan(found[::2]), True)
    np.testing.assert_array_equal(found[1::2], expected[y, x][1::2])


@pytest.mark.parametrize(("y", "x"), [(40, 0), (-41, 0), (0, 50)])
def test_points_outside_the_matrix_are_index_errors(image, y, x):
    lazy, _, _ = image
    array = lazy._data.array.stack
    key = [np.array([0, index]) for index in (0, 0, y, x, 0)]
    with pytest.raises(IndexError, match="out of bounds"):
        array.points(key)
    with pytest.raises(IndexError, match="out of bounds"):
        array.outer(key)
