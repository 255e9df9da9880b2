"""Of local frames that are not compressed only the rows that are needed are read."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRBigEndian, RLELossless

from dicomslide import open_slide
from dicomslide.errors import SourceError
from dicomslide.sources.localfile import LocalFile

ROWS, COLUMNS = 70, 90
FORMATS = {
    "colour": {},
    "by plane": {"planar_configuration": 1},
    "12 bits": {"samples": 1, "bits": 12},
    "signed, big endian": {
        "samples": 1,
        "bits": 12,
        "signed": True,
        "transfer_syntax": ExplicitVRBigEndian,
    },
    "concatenation": {"concatenation": 2},
    "overlapping": {"organization": "TILED_SPARSE", "sparse": "overlapping"},
}


@pytest.fixture
def reads(monkeypatch):
    """Counts the bytes of each read into memory."""
    lengths, read_into = [], LocalFile.read_into

    def count(file, offset, out):
        lengths.append(len(out))
        read_into(file, offset, out)

    monkeypatch.setattr(LocalFile, "read_into", count)
    monkeypatch.setattr(LocalFile, "read", None)
    return lengths


def matrix_of(slide):
    matrix = open_slide(slide.folder, correct_color=False).get_image(0).get_total_pixel_matrix()
    # Headers are read in another way than frames
    matrix[:1, :1]
    return matrix


@pytest.fixture(scope="session")
def opened(make_slide):
    """Makes the matrix of a slide of a format, and its pixels."""

    def make(name):
        slide = make_slide(**FORMATS[name])
        return matrix_of(slide), slide.levels[0].pixels()

    return make


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=30)
@given(data=st.data())
def test_rows_have_the_pixels_of_whole_frames(opened, name, data):
    matrix, expected = opened(name)
    top, bottom = sorted(data.draw(st.tuples(*[st.integers(0, ROWS)] * 2)))
    left, right = sorted(data.draw(st.tuples(*[st.integers(0, COLUMNS)] * 2)))
    step = data.draw(st.integers(1, 20))
    window = np.s_[top:bottom:step, left:right]
    np.testing.assert_array_equal(matrix[window], expected[window])


@pytest.mark.parametrize(
    ("name", "row_bytes"),
    [
        ("colour", 24 * 3),
        ("12 bits", 24 * 2),
        ("signed, big endian", 48),
    ],
)
def test_no_other_rows_are_read(make_slide, request, name, row_bytes):
    matrix = matrix_of(make_slide(**FORMATS[name]))
    lengths = request.getfixturevalue("reads")
    # Frames are of 16 x 24 pixels: rows 12 to 15 of two of them, and rows 0 to 2 of two more
    matrix[12:19, 20:30]
    assert sorted(lengths) == [3 * row_bytes] * 2 + [4 * row_bytes] * 2
    lengths.clear()
    matrix[5, 0]
    assert lengths == [row_bytes]


def test_points_need_the_rows_between_them(make_slide, request):
    slide = make_slide()
    matrix = matrix_of(slide)
    lengths = request.getfixturevalue("reads")
    rows, columns = np.array([9, 3, 40]), np.array([1, 5, 30])
    found = matrix.array.read_points(rows, columns)
    # Rows 3 to 9 of one frame, one row of another one
    assert sorted(lengths) == [1 * 24 * 3, 7 * 24 * 3]
    np.testing.assert_array_equal(found, slide.levels[0].pixels()[rows, columns])


def test_planes_are_read_as_a_whole(make_slide, request):
    matrix = matrix_of(make_slide(planar_configuration=1))
    lengths = request.getfixturevalue("reads")
    matrix[5, 0]
    assert lengths == [16 * 24 * 3]


def test_frames_of_several_windows_are_read_once(make_slide, request):
    slide = make_slide()
    matrix = matrix_of(slide)
    lengths = request.getfixturevalue("reads")
    found = matrix.read_regions([(0, 0), (2, 4), (9, 10)], (4, 6))
    assert lengths == [13 * 24 * 3]
    pixels = slide.levels[0].pixels()
    for region, (row, column) in zip(found, [(0, 0), (2, 4), (9, 10)], strict=True):
        np.testing.assert_array_equal(region, pixels[row : row + 4, column : column + 6])


def test_compressed_frames_are_read_as_they_are(make_slide, monkeypatch):
    slide = make_slide(transfer_syntax=RLELossless)
    matrix = matrix_of(slide)
    monkeypatch.setattr(LocalFile, "read_into", None)
    np.testing.assert_array_equal(matrix[...], slide.levels[0].pixels())


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_file_that_is_cut_off_meanwhile_is_an_error(make_slide, tmp_path, monkeypatch, keep_time):
    path = tmp_path / "cut.dcm"
    path.write_bytes(make_slide().levels[0].paths[0].read_bytes())
    matrix = open_slide(path, correct_color=False).get_image(0).get_total_pixel_matrix()
    before = os.stat(path)
    os.truncate(path, before.st_size - 1000)
    if keep_time:
        # As if it were cut off between the look at the file and the read
        monkeypatch.setattr(os, "fstat", lambda _: before)
    with pytest.raises(SourceError, match="truncated while" if keep_time else "changed"):
        matrix[...]
