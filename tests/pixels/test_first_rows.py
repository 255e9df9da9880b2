"""JPEG frames are decoded as far down as a read needs, whatever is kept of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import JPEGBaseline8Bit

from dicomslide import open_slide

HEIGHT, WIDTH = 48, 40
ROWS, COLUMNS = 200, 180


@pytest.fixture(scope="module")
def written(make_slide):
    # Rows 192 to 199 are the first ones of frames of which the rest is beyond the matrix
    return make_slide(
        size=(ROWS, COLUMNS), tile=(HEIGHT, WIDTH), transfer_syntax=JPEGBaseline8Bit, factors=(1,)
    )


@pytest.fixture(scope="module")
def matrix_with(written):
    """Opens the matrix of the slide with a size of its cache of frames."""

    def open_matrix(size):
        options = {} if size is None else {"max_frame_cache_size": size}
        slide = open_slide(written.folder, correct_color=False, **options)
        return slide.get_image(0).get_total_pixel_matrix()

    return open_matrix


@pytest.fixture(scope="module")
def pixels(written):
    """All pixels, read at once: each frame is decoded as a whole, or as far as the matrix goes."""
    slide = open_slide(written.folder, correct_color=False, max_frame_cache_size=0)
    return slide.get_image(0).get_total_pixel_matrix()[...]


def indices(length):
    """Slices of any step, and lists of indices."""
    bound = st.integers(-length, length)
    step = st.integers(-9, 9).filter(bool)
    return st.one_of(
        st.builds(slice, bound, bound, step),
        st.lists(st.integers(0, length - 1), min_size=1, max_size=5).map(np.array),
    )


windows = st.lists(st.tuples(indices(ROWS), indices(COLUMNS)), min_size=1, max_size=6)


@pytest.mark.parametrize("size", [None, 0, 1, 3])
@given(windows=windows)
def test_parts_are_those_of_the_whole(matrix_with, pixels, size, windows):
    array = matrix_with(size).array
    for rows, columns in windows:
        found = array.outer((rows, columns, slice(None)))
        np.testing.assert_array_equal(found, pixels[rows][:, columns])
    y, x, sample = (np.array(part) for part in ([3, 60, 197], [100, 5, 179], [0, 1, 2]))
    np.testing.assert_array_equal(array.points((y, x, sample)), pixels[y, x, sample])


def test_frames_that_are_not_kept_have_the_rows_that_are_read(matrix_with, rows_decoded):
    matrix = matrix_with(0)
    matrix[HEIGHT : HEIGHT + 10, 0:WIDTH]
    # One more, as the last row may have other colours
    assert rows_decoded == [11]
    rows_decoded.clear()
    # Of the frame above only the last row is needed, and of the lower one the first
    matrix[HEIGHT - 1 : HEIGHT + 1, 0:WIDTH]
    assert rows_decoded == [HEIGHT, 2]


def test_frames_beyond_the_matrix_are_decoded_as_far_as_it_goes(matrix_with, rows_decoded):
    matrix_with(0)[...]
    assert sorted(set(rows_decoded)) == [ROWS % HEIGHT + 1, HEIGHT]


def test_regions_that_are_read_together_share_what_is_decoded(matrix_with, pixels, rows_decoded):
    matrix = matrix_with(0)
    places = [(2, 0), (20, 10), (11, 30)]
    found = matrix.read_regions(places, (5, 10))
    assert rows_decoded == [26]
    for region, (row, column) in zip(found, places, strict=True):
        np.testing.assert_array_equal(region, pixels[row : row + 5, column : column + 10])


def test_kept_rows_are_read_again_and_more_of_them_decoded_once(matrix_with, pixels, rows_decoded):
    matrix = matrix_with(3)
    for rows, expected in ((10, [11]), (10, []), (5, []), (30, [HEIGHT]), (48, []), (12, [])):
        np.testing.assert_array_equal(matrix[:rows, :WIDTH], pixels[:rows, :WIDTH])
        assert rows_decoded == expected
        rows_decoded.clear()


def test_reads_from_the_top_to_the_bottom_soon_decode_each_frame_once(matrix_with, rows_decoded):
    matrix = matrix_with(None)
    for _ in range(10):
        for row in range(0, 192, 12):
            matrix[row : row + 12, :]
        matrix.array.frames.cache.clear()
    # 4 x 5 frames, ten times
    whole = 10 * 20 * HEIGHT
    assert whole < sum(rows_decoded) <= 1.02 * whole + 3 * HEIGHT
    assert rows_decoded[-200:].count(HEIGHT) >= 190
