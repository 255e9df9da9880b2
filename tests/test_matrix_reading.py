"""How total pixel matrices are read: when, from which client, and from where."""

import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMfileClient
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicomslide import TotalPixelMatrix
from dicomslide.sources.files import open_image_file
from dicomslide.stores.files import FileStore

# The small slide of the fixture make_slide
SIZE, TILE, GRID = (70, 90), (16, 24), (5, 4)


@pytest.fixture(scope="module")
def color(make_slide, open_counted):
    """A client that counts the frames that are read, metadata and pixels of a colour image."""
    slide = make_slide()
    client, metadata = open_counted(slide.paths[0])
    return client, metadata, slide.levels[0].pixels()


@pytest.fixture(scope="module")
def pixels(color):
    return color[2]


def counting(color, **options):
    """Make a matrix and an empty list of the frames that each read will ask for."""
    client, metadata, _ = color
    client.requests.clear()
    return TotalPixelMatrix(client, metadata, **options), client.requests


def touched(offset: tuple[int, int], size: tuple[int, int]) -> list[int]:
    """Zero-based numbers of the frames of the small slide that share pixels with a region."""
    rows, columns = (
        {
            pixel // TILE[axis]
            for pixel in range(offset[axis], offset[axis] + size[axis])
            if 0 <= pixel < SIZE[axis]
        }
        for axis in range(2)
    )
    return sorted(row * GRID[1] + column for row in rows for column in columns)


class TestReading:
    """Frames are read when they are needed, each once, with one call for a region."""

    @given(
        offset=st.tuples(st.integers(-30, 80), st.integers(-30, 100)),
        size=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    )
    def test_region_reads_the_frames_that_it_touches(self, color, offset, size):
        matrix, requests = counting(color, max_frame_cache_size=0)
        matrix.read_region(offset, size)
        expected = touched(offset, size)
        assert requests == ([expected] if expected else [])

    def test_steps_skip_frames(self, color):
        matrix, requests = counting(color)
        matrix[::32, 30]
        assert requests == [[1, 9, 17]]

    def test_tiles_are_read_with_one_call(self, color):
        matrix, requests = counting(color)
        matrix[[7, 2, 11]]
        assert [sorted(frames) for frames in requests] == [[2, 7, 11]]

    def test_frames_that_are_kept_are_not_read_again(self, color):
        matrix, requests = counting(color, max_frame_cache_size=4)
        matrix[:16, :48]
        matrix[:16, :72]
        assert requests == [[0, 1], [2]]

    def test_least_recently_used_frame_is_dropped(self, color):
        matrix, requests = counting(color, max_frame_cache_size=2)
        for index in (0, 1, 0, 2, 0, 1):
            matrix[index]
        assert requests == [[0], [1], [2], [1]]

    def test_nine_frames_are_kept_by_default(self, color):
        matrix, requests = counting(color)
        for index in (*range(9), 0, 9, 0, 1):
            matrix[index]
        assert requests == [[index] for index in (*range(10), 1)]

    def test_many_threads_may_read(self, color, pixels):
        matrix, _ = counting(color, max_frame_cache_size=3)
        corners = [(row, column) for row in range(0, 60, 7) for column in range(0, 80, 7)] * 3

        def read(corner):
            return matrix[corner[0] : corner[0] + 20, corner[1] : corner[1] + 30]

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(read, corners))
        for (row, column), region in zip(corners, found, strict=True):
            np.testing.assert_array_equal(region, pixels[row : row + 20, column : column + 30])


class MemoryClient:
    """A DICOMweb client that serves the uncompressed frames of one file and keeps its requests."""

    def __init__(self, path, fault=None):
        dataset = pydicom.dcmread(path)
        size = len(dataset.PixelData) // dataset.NumberOfFrames
        self.frames = [
            dataset.PixelData[i : i + size] for i in range(0, len(dataset.PixelData), size)
        ]
        self.fault = fault
        self.requests = []

    def retrieve_instance_frames(
        self, study_instance_uid, series_instance_uid, sop_instance_uid, frame_numbers, **_
    ):
        uids = (study_instance_uid, series_instance_uid, sop_instance_uid)
        self.requests.append((uids, list(frame_numbers)))
        frames = [self.frames[number - 1] for number in frame_numbers]
        if self.fault == "refuses":
            raise OSError("service unavailable")
        return frames[1:] if self.fault == "loses a frame" else frames


class TestClients:
    """A client is anything that satisfies `dicomweb_client.api.DICOMClient`."""

    @pytest.fixture
    def folder(self, make_slide, tmp_path):
        """A folder of its own: a DICOMfileClient writes a database into it."""
        shutil.copy(make_slide().paths[0], tmp_path)
        return tmp_path

    @pytest.fixture(params=[True, False], ids=["database in memory", "database in a file"])
    def file_client(self, folder, request):
        return DICOMfileClient(f"file://{folder}", in_memory=request.param)

    @staticmethod
    def metadata_of(client: DICOMfileClient) -> Dataset:
        """Metadata as a client gives them, without File Meta Information."""
        (found,) = client.search_for_instances()
        return Dataset.from_json(
            client.retrieve_instance_metadata(
                found["0020000D"]["Value"][0],
                found["0020000E"]["Value"][0],
                found["00080018"]["Value"][0],
            )
        )

    def test_file_client_reads_the_pixels(self, file_client, pixels):
        matrix = TotalPixelMatrix(file_client, self.metadata_of(file_client))
        np.testing.assert_array_equal(matrix[...], pixels)

    def test_file_client_is_used_in_other_threads(self, file_client, pixels):
        """Its database belongs to the thread that made it."""
        metadata = self.metadata_of(file_client)
        matrix = TotalPixelMatrix(file_client, metadata)

        def read(row):
            own = TotalPixelMatrix(file_client, metadata)
            return own[row : row + 20, :], matrix[row : row + 20, :]

        rows = range(0, 60, 5)
        with ThreadPoolExecutor(4) as pool:
            for row, regions in zip(rows, pool.map(read, rows), strict=True):
                for region in regions:
                    np.testing.assert_array_equal(region, pixels[row : row + 20])

    def test_file_client_without_the_instance_is_an_error(self, file_client):
        metadata = self.metadata_of(file_client)
        metadata.SOPInstanceUID = "1.2.3"
        with pytest.raises(OSError, match=r"1\.2\.3"):
            TotalPixelMatrix(file_client, metadata)

    def test_any_other_client_is_asked_once_for_the_frames_of_a_region(
        self, color, pixels, make_slide
    ):
        client, metadata = MemoryClient(make_slide().paths[0]), color[1]
        matrix = TotalPixelMatrix(client, metadata)
        assert client.requests == []
        np.testing.assert_array_equal(matrix[10:20, 20:30], pixels[10:20, 20:30])
        uids = (metadata.StudyInstanceUID, metadata.SeriesInstanceUID, metadata.SOPInstanceUID)
        assert client.requests == [(uids, [1, 2, 5, 6])]

    def test_client_that_refuses_is_an_error(self, color, make_slide):
        matrix = TotalPixelMatrix(MemoryClient(make_slide().paths[0], "refuses"), color[1])
        with pytest.raises(OSError, match=rf"{color[1].SOPInstanceUID}.*service unavailable"):
            matrix[0]

    def test_client_that_loses_a_frame_is_an_error(self, color, make_slide):
        matrix = TotalPixelMatrix(MemoryClient(make_slide().paths[0], "loses a frame"), color[1])
        with pytest.raises(ValueError, match=rf"{color[1].SOPInstanceUID}.* 1 frame .* 2 "):
            matrix[:2]


def make_file_matrix(path, **options) -> TotalPixelMatrix:
    metadata, _ = open_image_file(path)
    return TotalPixelMatrix(FileStore(path), metadata, **options)


class TestPickling:
    def test_copy_reads_the_same_pixels(self, make_slide, pixels):
        matrix = make_file_matrix(make_slide().paths[0])
        copy = pickle.loads(pickle.dumps(matrix))
        np.testing.assert_array_equal(copy[...], pixels)
        assert copy == matrix

    def test_pickled_matrix_is_a_few_kilobytes_whatever_was_read(self, make_slide):
        """A matrix of 900 tiles, after its pixels and the positions of its tiles were used."""
        slide = make_slide(size=(90, 90), tile=(3, 3))
        matrix = make_file_matrix(slide.paths[0], max_frame_cache_size=1000)
        assert len(matrix.tile_positions) == len(matrix.tile_grid_positions) == 900
        matrix[:40, :40]
        assert len(pickle.dumps(matrix)) < 4096


@pytest.mark.parametrize(
    ("offset", "size", "error"),
    [
        ((0, 0), (-1, 4), ValueError),
        ((0, 0), (4, -1), ValueError),
        ((0, 0), (4,), ValueError),
        ((0, 0.5), (4, 4), TypeError),
        ((0, 0), (4, 4.0), TypeError),
    ],
)
def test_impossible_regions_are_errors(color, offset, size, error):
    matrix, requests = counting(color)
    with pytest.raises(error, match=r"offset|size"):
        matrix.read_region(offset, size)
    assert requests == []
