"""Slices of larger chunks of dask arrays read only the frames that they touch."""

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomslide import Slide, optimize_slices

SIZE, TILE, GRID = (70, 90), (16, 24), (5, 4)
# Two by two frames
CHUNKS = (32, 48)


@pytest.fixture(scope="module")
def opened(make_slide, open_all_counted):
    """A slide of two channels whose frames are counted, and its pixels."""
    written = make_slide(optical_paths=2, transfer_syntax="1.2.840.10008.1.2.5")
    client, datasets = open_all_counted(written.paths)
    level = written.levels[0]
    pixels = np.array([[level.pixels(channel)] for channel in range(2)])
    return Slide(client, datasets, 0), pixels, client.requests


@pytest.fixture(params=["made", "chunked later"])
def image(opened, request):
    """A labelled image in chunks of two by two frames, the pixels of its first plane, requests."""
    slide, pixels, requests = opened
    requests.clear()
    if request.param == "made":
        image = slide.to_datatree(CHUNKS).level_0.image
    else:
        lazy = slide.to_datatree(None).level_0.image
        image = lazy.chunk(dict(zip("yx", CHUNKS, strict=True)))
    with dask.config.set(array_optimize=optimize_slices, scheduler="sync"):
        yield image, pixels[0, 0], requests


def counted(requests) -> list[int]:
    return sorted(frame for request in requests for frame in request)


def frames_of(rows, columns) -> list[int]:
    """Frames of the pixels at some rows and columns of the first channel."""
    return sorted({y // TILE[0] * GRID[1] + x // TILE[1] for y in rows for x in columns})


def along(size: int) -> st.SearchStrategy:
    # dask takes a start before the first element for the first one where the step is negative
    bound = st.none() | st.integers(-size, size + 3)
    steps = st.sampled_from([None, 1, 2, 7, 20, 50, -1, -3, -40])
    number = st.integers(-size, size - 1) if size else st.nothing()
    return st.just(slice(None)) | number | st.builds(slice, bound, bound, steps)


@settings(max_examples=30)
@given(data=st.data(), chunks=st.sampled_from([CHUNKS, -1]))
def test_slices_of_slices_are_those_of_numpy_and_read_the_frames_of_their_pixels(
    opened, data, chunks
):
    slide, pixels, requests = opened
    places = np.indices(SIZE) // np.reshape(TILE, (2, 1, 1))
    numbers = (places[0] * GRID[1] + places[1])[..., np.newaxis]
    numbers = numbers + np.reshape([0, GRID[0] * GRID[1]], (2, 1, 1, 1, 1)) + np.zeros(3, int)
    lazy = slide.to_datatree(chunks).level_0.image.data
    for _ in range(data.draw(st.integers(1, 3))):
        key = tuple(data.draw(along(size)) for size in lazy.shape)
        lazy, pixels, numbers = lazy[key], pixels[key], numbers[key]
    requests.clear()
    with dask.config.set(array_optimize=optimize_slices, scheduler="sync"):
        np.testing.assert_array_equal(lazy.compute(), pixels)
    assert counted(requests) == np.unique(numbers).tolist()


def test_pixels_of_a_selection_by_position_read_their_frames_only(image):
    lazy, pixels, requests = image
    plane = lazy.isel(channel=0, focal_plane=0)
    np.testing.assert_array_equal(plane[30:34, 50:60], pixels[30:34, 50:60])
    assert counted(requests) == frames_of((30, 33), (50, 59))


def test_coordinates_of_a_selection_by_position_read_their_frames_only(image):
    lazy, pixels, requests = image
    rows = lazy.isel(channel=0, focal_plane=0, y=slice(10, 60))
    found = rows.sel(y=slice(0.0149, 0.0201), x=slice(0.0249, 0.0301))
    np.testing.assert_array_equal(found, pixels[30:41, 50:61])
    assert counted(requests) == frames_of(range(30, 41), range(50, 61))


def test_two_slices_that_are_computed_together_read_their_frames_only(image):
    lazy, pixels, requests = image
    plane = lazy.isel(channel=0, focal_plane=0).data
    # Opposite corners of one chunk
    first, second = dask.compute(plane[:4, :4], plane[28:31, 40:47])
    np.testing.assert_array_equal(first, pixels[:4, :4])
    np.testing.assert_array_equal(second, pixels[28:31, 40:47])
    assert counted(requests) == [0, 5]


@pytest.mark.parametrize("region", [np.s_[:, :], np.s_[3:20, 60:70]])
def test_samples_that_are_computed_together_share_their_frames(image, region):
    lazy, pixels, requests = image
    part = lazy.isel(channel=0, focal_plane=0)[region]
    found = dask.compute(*[part.isel(sample=i).data for i in range(3)])
    np.testing.assert_array_equal(np.stack(found, -1), pixels[region])
    touched = [np.arange(size)[rows] for size, rows in zip(SIZE, region, strict=True)]
    assert counted(requests) == frames_of(*touched)


def test_differences_of_neighbours_read_each_frame_once(image):
    lazy, pixels, requests = image
    grey = lazy.isel(channel=0, focal_plane=0, sample=0).data.astype(int)
    expected = np.diff(pixels[..., 0].astype(int), axis=0)
    np.testing.assert_array_equal((grey[1:] - grey[:-1]).compute(), expected)
    assert counted(requests) == list(range(20))


def test_neighbourhoods_of_a_slice_are_within_its_frames(image):
    lazy, pixels, requests = image
    plane = lazy.isel(channel=0, focal_plane=0).data
    # Two pixels around rows 14 to 17 and columns 22 to 25
    part = plane[12:20, 20:28].map_overlap(np.negative, depth=(2, 2, 0), boundary="none")
    np.testing.assert_array_equal(part[2:-2, 2:-2].compute(), -pixels[14:18, 22:26])
    assert counted(requests) == [0, 1, 4, 5]


@pytest.mark.parametrize(
    "key", [np.s_[..., [2, 0]], np.s_[:, :, np.arange(67) % 3 == 0], np.s_[..., None], np.s_[5:5]]
)
def test_other_indices_are_those_of_dask(image, opened, key):
    lazy = image[0].data[:, :, 3:]
    np.testing.assert_array_equal(lazy[key].compute(), opened[1][:, :, 3:][key])


def test_other_arrays_are_optimized_as_dask_does_it(image):
    numbers = np.arange(100).reshape(10, 10)
    lazy = da.from_array(numbers, chunks=5)
    np.testing.assert_array_equal(lazy[2:9][:, 3][1:4].compute(), numbers[2:9][:, 3][1:4])
    assert optimize_slices({"a": 1, "b": (abs, "a")}, ["b"])
