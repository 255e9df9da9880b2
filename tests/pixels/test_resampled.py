"""Means over the areas of larger and smaller pixels, beside the definition in plain NumPy."""

import math
import pickle
import tracemalloc
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomslide import TotalPixelMatrix, open_slide
from dicomslide.pixels import resampled
from dicomslide.pixels.resampled import ResampledArray
from dicomslide.testing import SegmentationOptions

# The small slide of the fixture make_slide
SIZE, TILE = (70, 90), (16, 24)
SCALES = [(1, 1), (2, 2), (2.5, 2.5), (1.28, 3), (0.5, 0.25), (0.7, 0.7), (40, 7), (500, 500)]


@pytest.fixture(scope="module")
def matrix(make_slide, open_counted):
    client, metadata = open_counted(make_slide().paths[0])
    return TotalPixelMatrix(client, metadata, max_frame_cache_size=0), client.requests


@pytest.fixture(scope="module")
def pixels(make_slide):
    return make_slide().levels[0].pixels()


def overlaps(scale: float, extent: int) -> list[list[Fraction]]:
    """Length of each source pixel in each pixel of a scale, along an axis."""
    step = Fraction(str(scale))
    count = max(math.ceil(extent / step), 1)
    return [
        [max(min(j + 1, step * (i + 1)) - max(j, step * i), Fraction(0)) for j in range(extent)]
        for i in range(count)
    ]


def means(pixels, scale):
    """The mean over each area, in exact fractions along each axis."""
    down, across = (np.array(overlaps(s, n)) for s, n in zip(scale, pixels.shape[:2], strict=True))
    total = np.einsum("ij,jkc,lk->ilc", down.astype(float), pixels, across.astype(float))
    return total / np.multiply.outer(down.sum(1), across.sum(1)).astype(float)[..., np.newaxis]


@pytest.mark.parametrize("scale", SCALES)
def test_values_are_means_over_areas(matrix, pixels, scale):
    array = ResampledArray(matrix[0].array, scale)
    expected = np.rint(means(pixels.astype(float), scale).round(9))
    assert array.shape == expected.shape
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array[...], expected)


@pytest.mark.parametrize("scale", SCALES)
def test_values_do_not_depend_on_blocks(matrix, scale, monkeypatch):
    array = ResampledArray(matrix[0].array, scale)
    whole = array[...]
    # A block is one frame
    monkeypatch.setattr(resampled, "_BLOCK_BYTES", 1)
    np.testing.assert_array_equal(array[...], whole)


def test_whole_factors_are_box_averages(matrix, pixels):
    """70 x 90 pixels are 35 x 45 squares of 2 x 2, and 14 x 18 of 5 x 5."""
    for factor in (2, 5):
        boxes = pixels.reshape(70 // factor, factor, 90 // factor, factor, 3)
        found = ResampledArray(matrix[0].array, (factor, factor))[...]
        np.testing.assert_array_equal(found, np.rint(boxes.mean(axis=(1, 3))))


def test_whole_fractions_repeat_pixels(matrix, pixels):
    found = ResampledArray(matrix[0].array, (1 / 3, 1 / 2))[...]
    np.testing.assert_array_equal(found, pixels.repeat(3, axis=0).repeat(2, axis=1))


@given(
    start=st.tuples(st.integers(-20, 60), st.integers(-20, 70)),
    count=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    step=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    scale=st.tuples(st.floats(0.2, 30).map(lambda x: round(x, 3)), st.sampled_from([0.5, 1.5, 4])),
)
def test_a_part_has_the_values_of_the_whole(matrix, take_region, start, count, step, scale):
    array = ResampledArray(matrix[0].array, scale)
    rows, columns = (range(a, a + n * s, s) for a, n, s in zip(start, count, step, strict=True))
    span = tuple(n * s for n, s in zip(count, step, strict=True))
    expected = take_region(array[...], start, span, 255)[:: step[0], :: step[1]]
    np.testing.assert_array_equal(array.read(rows, columns), expected)


@pytest.mark.parametrize("key", [np.s_[3, 4, 1], np.s_[::-3, 2:9, :2], np.s_[5], np.s_[..., 0]])
def test_resampled_array_is_indexed_like_one_of_numpy(matrix, key):
    array = ResampledArray(matrix[0].array, (2, 3))
    np.testing.assert_array_equal(array[key], array[...][key])


def test_reads_the_frames_under_a_part_once(matrix, monkeypatch):
    monkeypatch.setattr(resampled, "_BLOCK_BYTES", 1)
    array, requests = ResampledArray(matrix[0].array, (4, 4)), matrix[1]
    requests.clear()
    # Rows 16 to 48 and columns 24 to 72 of the source
    array[4:12, 6:18]
    assert sorted(frame for frames in requests for frame in frames) == [5, 6, 9, 10]


@pytest.fixture(scope="module")
def annotated(make_slide):
    """A slide with segments and a map of floats."""
    written = make_slide(
        segmentations=(SegmentationOptions("BINARY", ("nucleus", "stroma")),),
        parametric_maps=("float",),
    )
    return open_slide(written.folder)


class TestKinds:
    def test_segments_have_the_pixel_at_the_centre(self, annotated):
        (index, *_) = annotated.find_segments()
        matrix = annotated.get_total_pixel_matrix(0, index)
        found = ResampledArray(matrix.array, (3, 3))[...]
        assert found.dtype == bool
        np.testing.assert_array_equal(found[:23], matrix[1::3, 1::3][:23])
        smaller = ResampledArray(matrix.array, (0.5, 0.5))[...]
        np.testing.assert_array_equal(smaller, matrix[...].repeat(2, axis=0).repeat(2, axis=1))

    def test_values_that_are_not_known_do_not_count_in_means(self, annotated):
        index = annotated.num_channels - 1
        array = annotated.get_total_pixel_matrix(0, index).array
        assert array.dtype.kind == "f"
        # The same map as part of a larger grid, NaN around it
        placed = array.placed((3, 5), (80, 100))
        values = placed[...].astype(float)
        assert np.isnan(values).any()
        found = ResampledArray(placed, (4, 4))[...]
        with np.errstate(invalid="ignore"):
            boxes = values.reshape(20, 4, 25, 4, 1)
            known = (~np.isnan(boxes)).sum(axis=(1, 3))
            expected = np.nansum(boxes, axis=(1, 3)) / known
        np.testing.assert_allclose(found, expected, rtol=1e-6)


class TestDask:
    @pytest.mark.parametrize("chunks", ["auto", "frames", (7, 9), -1, 12])
    @pytest.mark.parametrize("scale", [(2.5, 2.5), (0.5, 0.5)])
    def test_dask_array_has_the_same_values(self, matrix, chunks, scale):
        array = ResampledArray(matrix[0].array, scale)
        lazy = array.to_dask(chunks)
        assert lazy.shape == array.shape
        np.testing.assert_array_equal(lazy.compute(scheduler="sync"), array[...])

    def test_chunks_are_those_of_the_source(self, matrix):
        """16 x 24 pixels of the source are 8 x 12 of twice the size."""
        array = ResampledArray(matrix[0].array, (2, 2))
        assert array.to_dask("frames").chunksize == (8, 12, 3)
        # Smaller pixels: as many of them as a frame has
        assert ResampledArray(matrix[0].array, (0.5, 0.5)).to_dask("frames").chunksize == (
            16,
            24,
            3,
        )
        assert array.to_dask((5, 6)).chunksize == (5, 6, 3)

    def test_names_tell_scales_apart(self, matrix):
        array = matrix[0].array
        names = {
            ResampledArray(array, scale).to_dask("frames").name
            for scale in ((2, 2), (2, 3), (2, 2))
        }
        assert len(names) == 2

    def test_nothing_is_read_before_computing(self, matrix):
        matrix[1].clear()
        ResampledArray(matrix[0].array, (2, 2)).to_dask()[3:5, 2:9]
        assert matrix[1] == []

    def test_pickled_array_has_the_same_values(self, matrix):
        array = ResampledArray(matrix[0].array, (2, 3))
        copy = pickle.loads(pickle.dumps(array))
        assert copy.token == array.token
        np.testing.assert_array_equal(copy[3:9, 4:11], array[3:9, 4:11])


def test_memory_is_bounded_by_that_of_a_block(make_slide, monkeypatch):
    """A picture of few pixels is made of 31 MB of stored ones."""
    written = make_slide(size=(3200, 3200), tile=(200, 200))
    monkeypatch.setattr(resampled, "_BLOCK_BYTES", 2**20)
    array = replace(open_slide(written.folder).get_total_pixel_matrix(0).array, threads=1)
    tracemalloc.start()
    try:
        ResampledArray(array, (320, 320))[...]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**24
