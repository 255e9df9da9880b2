"""Frames to regions: what is read, how often, and what travels to other processes."""

import json
import math
import os
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import dask
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from dicomslide import TotalPixelMatrix, open_slide
from dicomslide.errors import DicomSlideError, FrameError, UnsupportedError
from dicomslide.metadata.pixel_format import PixelFormat
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.cache import FrameCache
from dicomslide.pixels.frames import ImageFrames
from dicomslide.tile import FullTiling

WHITE = 255
SIZE, TILE = (70, 90), (16, 24)
GRID = (5, 4)


ONE_BYTE = PixelFormat(
    rows=1,
    columns=1,
    samples=1,
    bits_allocated=8,
    bits_stored=8,
    high_bit=7,
    signed=False,
    floating=False,
    photometric="MONOCHROME2",
    planar=False,
    transfer_syntax_uid=ExplicitVRLittleEndian,
)


ONE_WORD = replace(ONE_BYTE, bits_allocated=16, bits_stored=16, high_bit=15)


@dataclass(frozen=True)
class NumberedFrames:
    """A source of frames of one pixel, which is their number."""

    batch_size: int
    remote: bool
    requests: list[list[int]]
    name = token = "numbers"

    def read(self, frames):
        self.requests.append(list(frames))
        return [frame.to_bytes(2, "little") for frame in frames]


@pytest.fixture(scope="session")
def small(make_slide, open_counted):
    """Makes the array of a small slide, and a list of the frames that each read asks for."""

    def make(cache=0, channel=0, focal_plane=0, **options):
        level = make_slide(**options).levels[0]
        client, metadata = open_counted(level.paths[0])
        matrix = TotalPixelMatrix(client, metadata, channel, focal_plane, cache)
        return matrix.array, client.requests, level

    return make


def frames_of(rows: range, columns: range) -> list[int]:
    """Frames of the small slide that hold at least one of the pixels."""
    tile_rows = {row // TILE[0] for row in rows if 0 <= row < SIZE[0]}
    tile_columns = {column // TILE[1] for column in columns if 0 <= column < SIZE[1]}
    return sorted(r * GRID[1] + c for r in tile_rows for c in tile_columns)


def window_of(pixels, rows: range, columns: range):
    """Pixels of a window; white where it lies outside the matrix."""
    expected = np.full((len(rows), len(columns), pixels.shape[2]), WHITE, pixels.dtype)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if 0 <= row < pixels.shape[0] and 0 <= column < pixels.shape[1]:
                expected[i, j] = pixels[row, column]
    return expected


def ranges(size: int):
    """Ascending ranges that may begin before 0 and end after the size."""
    return st.builds(
        lambda start, length, step: range(start, start + length, step),
        st.integers(-30, size + 30),
        st.integers(0, size + 20),
        st.integers(1, 30),
    )


class TestRead:
    @given(rows=ranges(SIZE[0]), columns=ranges(SIZE[1]))
    def test_window_has_its_pixels_from_one_call_for_the_frames_that_it_touches(
        self, small, rows, columns
    ):
        array, requests, level = small()
        np.testing.assert_array_equal(
            array.read(rows, columns), window_of(level.pixels(), rows, columns)
        )
        touched = frames_of(rows, columns)
        assert requests == ([touched] if touched else [])

    @given(key=hnp.basic_indices((*SIZE, 3), max_dims=3))
    def test_index_reads_like_numpy_what_it_touches(self, small, key):
        array, requests, level = small()
        expected = level.pixels()[key]
        result = array[key]
        np.testing.assert_array_equal(result, expected)
        assert result.shape == expected.shape
        assert len(requests) <= 1

    def test_windows_are_read_with_one_call_and_no_frame_twice(self, small):
        array, requests, level = small()
        windows = [
            (range(10, 20), range(30)),
            (range(12, 17), range(20, 60, 3)),
            (range(0), range(5)),
        ]
        for found, window in zip(array.read_windows(windows), windows, strict=True):
            np.testing.assert_array_equal(found, window_of(level.pixels(), *window))
        assert [sorted(request) for request in requests] == [[0, 1, 2, 4, 5, 6]]

    def test_large_window_is_read_some_frames_at_a_time(self, small):
        array, requests, level = small(tile=(3, 3))
        count = math.ceil(SIZE[0] / 3) * math.ceil(SIZE[1] / 3)
        np.testing.assert_array_equal(array[...], level.pixels())
        assert sorted(frame for request in requests for frame in request) == list(range(count))
        lengths = sorted(map(len, requests))
        # The last one has what is left
        assert lengths[1] >= 8
        assert lengths[-1] <= 64

    @given(
        count=st.integers(1, 200),
        threads=st.integers(1, 5),
        batch=st.integers(1, 64),
        remote=st.booleans(),
    )
    def test_each_frame_is_read_once_however_they_are_shared_out(
        self, count, threads, batch, remote
    ):
        source = NumberedFrames(batch, remote, [])
        frames = ImageFrames(source, ONE_BYTE, FrameCache("numbered", 0))
        tiling = FullTiling((1, count), (1, 1))
        array = FrameArray(frames, (1, count), tiling, (0, 0), threads=threads)
        np.testing.assert_array_equal(array[0, :, 0], np.arange(count))
        assert sorted(frame for request in source.requests for frame in request) == [*range(count)]
        assert max(map(len, source.requests)) <= batch

    @pytest.mark.parametrize("remote", [False, True])
    @pytest.mark.parametrize("count", [3, 200])
    def test_source_that_delivers_too_few_frames_is_an_error(self, monkeypatch, count, remote):
        source = NumberedFrames(64, remote, [])
        monkeypatch.setattr(NumberedFrames, "read", lambda _, frames: [b"\0" for _ in frames[:-1]])
        frames = ImageFrames(source, ONE_BYTE, FrameCache("numbered", 0))
        tiling = FullTiling((1, count), (1, 1))
        array = FrameArray(frames, (1, count), tiling, (0, 0), threads=2)
        with pytest.raises(FrameError, match=r"^numbers: the source delivered \d+ frames? instead"):
            array[...]

    @pytest.mark.parametrize("threads", [2, 3, 16, 32])
    @pytest.mark.parametrize("count", [65, 66, 96, 136, 400])
    def test_no_thread_gets_more_than_its_share(self, threads, count):
        source = NumberedFrames(64, False, [])
        frames = ImageFrames(source, ONE_WORD, FrameCache("numbered", 0))
        tiling = FullTiling((1, count), (1, 1))
        array = FrameArray(frames, (1, count), tiling, (0, 0), threads=threads)
        np.testing.assert_array_equal(array[0, :, 0], np.arange(count))
        assert max(map(len, source.requests)) <= -(-count // threads)

    def test_unknown_transfer_syntax_names_the_frame(self, monkeypatch):
        source = NumberedFrames(64, False, [])
        monkeypatch.setattr(NumberedFrames, "read", lambda _, frames: [b"???"] * len(frames))
        unknown = replace(ONE_BYTE, transfer_syntax_uid="")
        frames = ImageFrames(source, unknown, FrameCache("numbered", 0))
        tiling = FullTiling((1, 3), (1, 1))
        array = FrameArray(frames, (1, 3), tiling, (0, 0))
        with pytest.raises(UnsupportedError, match=r"^numbers: frame 1: the transfer syntax"):
            array[...]

    def test_frames_that_are_kept_stay_below_later_ones(self, small):
        array, _, level = small(cache=20, organization="TILED_SPARSE", sparse="overlapping")
        array[30:50, 30:50]
        np.testing.assert_array_equal(array[...], level.pixels())

    def test_later_frames_are_on_top_in_whatever_order_windows_are_read(self, small):
        array, _, level = small(organization="TILED_SPARSE", sparse="overlapping")
        places = [(row, column) for row in range(0, 64, 8) for column in range(0, 80, 8)]
        random.Random(0).shuffle(places)
        windows = [(range(row, row + 12), range(column, column + 12)) for row, column in places]
        for found, (rows, columns) in zip(array.read_windows(windows), windows, strict=True):
            np.testing.assert_array_equal(found, window_of(level.pixels(), rows, columns))

    @pytest.mark.parametrize("sparse", ["complete", "gaps", "shuffled", "off-grid", "overlapping"])
    def test_frames_may_lie_anywhere(self, small, sparse):
        array, requests, level = small(organization="TILED_SPARSE", sparse=sparse)
        np.testing.assert_array_equal(array[...], level.pixels())
        rows, columns = range(11, 52), range(7, 66)
        window = np.s_[rows.start : rows.stop, columns.start : columns.stop]
        np.testing.assert_array_equal(array.covered(rows, columns), ~level.missing(region=window))
        requests.clear()
        np.testing.assert_array_equal(array.read(rows, columns), level.pixels(region=window))
        assert requests == [
            [
                index
                for index, frame in enumerate(level.frames)
                if frame.row < 52
                and frame.row + TILE[0] > 11
                and frame.column < 66
                and frame.column + TILE[1] > 7
            ]
        ]

    def test_covered_is_false_outside_the_matrix(self, small):
        array, requests, _ = small()
        mask = array.covered(range(-2, 72), range(-3, 93))
        expected = np.zeros((74, 96), bool)
        expected[2:72, 3:93] = True
        np.testing.assert_array_equal(mask, expected)
        assert requests == []

    def test_what_edge_frames_hold_beyond_the_matrix_is_cropped_unless_asked_for(
        self, small, tmp_path, open_counted
    ):
        _, _, level = small()
        path = tmp_path / "grey.dcm"
        dataset = pydicom.dcmread(level.paths[0])
        dataset.PixelData = bytes([7]) * len(dataset.PixelData)
        dataset.save_as(path)
        array = TotalPixelMatrix(*open_counted(path)).array
        corner = range(64, 84), range(80, 100)
        cropped, whole = array.read(*corner), array.read(*corner, crop=False)
        assert (cropped[:6, :10] == 7).all()
        assert (cropped[6:] == WHITE).all()
        assert (cropped[:, 10:] == WHITE).all()
        assert (whole[:16, :16] == 7).all()
        assert (whole[16:] == WHITE).all()
        assert (whole[:, 16:] == WHITE).all()

    def test_result_can_be_changed_without_changing_what_is_read_next(self, small):
        array, _, level = small(cache=9)
        array[:16, :24][...] = 0
        np.testing.assert_array_equal(array[:16, :24], level.pixels()[:16, :24])

    def test_numpy_takes_it_for_an_array(self, small):
        array, _, level = small()
        np.testing.assert_array_equal(np.asarray(array), level.pixels())
        assert np.asarray(array, dtype=np.float32).dtype == np.float32
        with pytest.raises(ValueError, match="copy"):
            np.asarray(array, copy=False)


class TestCache:
    def test_frames_that_are_kept_are_not_read_again(self, small):
        array, requests, level = small(cache=20)
        first = array[:20, :30]
        second = array[:40, :30]
        assert requests == [[0, 1, 4, 5], [8, 9]]
        np.testing.assert_array_equal(first, level.pixels()[:20, :30])
        np.testing.assert_array_equal(second, level.pixels()[:40, :30])

    def test_without_a_cache_every_read_goes_to_the_source(self, small):
        array, requests, _ = small(cache=0)
        for _ in range(2):
            array[0, 0]
        assert requests == [[0], [0]]

    def test_frame_that_was_not_used_longest_is_dropped(self, small):
        array, requests, _ = small(cache=2)
        columns = {0: 0, 1: 24, 2: 48}
        for frame in (0, 1, 0, 2, 0, 1):
            array[0, columns[frame]]
        assert requests == [[0], [1], [2], [1]]

    def test_bound_is_that_of_the_image_whatever_is_read(self, make_slide, open_counted):
        path = make_slide(optical_paths=2, focal_planes=2).levels[0].paths[0]
        client, metadata = open_counted(path)
        matrix = TotalPixelMatrix(client, metadata, max_frame_cache_size=3)
        matrix.array[...]
        assert len(matrix.array.frames.cache) == 3

    def test_channels_and_focal_planes_of_an_image_share_it_and_are_not_mixed_up(self, make_slide):
        written = make_slide(optical_paths=2, focal_planes=2, transfer_syntax=RLELossless)
        (image,) = open_slide(written.folder, max_frame_cache_size=5).get_volume_images()
        planes = [(channel, plane) for channel in range(2) for plane in range(2)]
        arrays = [image.get_total_pixel_matrix(*plane).array for plane in planes]
        assert len({id(array.frames.cache) for array in arrays}) == 1
        for _ in range(2):
            for array, plane in zip(arrays, planes, strict=True):
                np.testing.assert_array_equal(
                    array[:3, :3], written.levels[0].pixels(*plane)[:3, :3]
                )
        assert len(arrays[0].frames.cache) == 4

    def test_images_have_caches_of_their_own(self, make_slide):
        written = make_slide(factors=(1, 2), transfer_syntax=RLELossless)
        slide = open_slide(written.folder, max_frame_cache_size=2)
        arrays = [image.get_total_pixel_matrix().array for image in slide.get_volume_images()]
        for array in arrays:
            array[...]
        assert [len(array.frames.cache) for array in arrays] == [2, 2]

    def test_cache_is_bounded_while_threads_read(self, small):
        array, _, level = small(cache=4)
        expected = level.pixels()

        def read(seed):
            generator = np.random.default_rng(seed)
            for _ in range(20):
                row, column = generator.integers(0, 60, 2).tolist()
                window = np.s_[row : row + 20, column : column + 20]
                np.testing.assert_array_equal(array[window], expected[window])
                assert len(array.frames.cache) <= 4

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(read, range(8)))


class TestBrokenFrame:
    """A frame that cannot be decoded is an error that says which, on any number of threads."""

    @pytest.fixture
    def broken(self, make_slide, tmp_path, open_counted):
        level = make_slide(transfer_syntax=JPEGBaseline8Bit).levels[0]
        data = bytearray(level.paths[0].read_bytes())
        starts = [i for i in range(len(data)) if data[i : i + 4] == b"\xff\xd8\xff\xe0"]
        assert len(starts) == GRID[0] * GRID[1]
        data[starts[6] : starts[6] + 40] = bytes(40)
        path = tmp_path / "broken.dcm"
        path.write_bytes(data)
        return path, TotalPixelMatrix(*open_counted(path), max_frame_cache_size=0).array

    def test_error_names_file_and_frame(self, broken):
        path, array = broken
        with pytest.raises(ValueError, match="frame 7") as caught:
            array[...]
        assert isinstance(caught.value, DicomSlideError)
        assert path.name in str(caught.value)

    def test_error_comes_out_of_dask(self, broken):
        with pytest.raises(ValueError, match="frame 7"):
            broken[1].to_dask().compute()

    def test_other_frames_can_be_read(self, broken):
        assert broken[1][:16].shape == (16, 90, 3)


def run_python(code: str, *arguments: object) -> str:
    """Run a program in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


READ_PICKLED = """
import json, pathlib, pickle, sys
arrays = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
print(json.dumps([(array.token, array[10:40:3, ::-7].tolist()) for array in arrays]))
"""
TOKENS = """
import json, sys
from dicomslide import open_slide
images = open_slide(sys.argv[1]).get_volume_images()
print(json.dumps([image.get_total_pixel_matrix(0).array.token for image in images]))
"""


def array_of(path: Path, channel=0, focal_plane=0, **options):
    images = open_slide(path, **options).get_volume_images(channel, focal_plane)
    return images[0].get_total_pixel_matrix(channel, focal_plane).array


class TestPickling:
    def test_pickled_array_is_small_also_after_reading(self, make_slide):
        array = array_of(make_slide(size=(700, 900)).folder)
        empty = len(pickle.dumps(array))
        array[...]
        assert len(pickle.dumps(array)) == empty < 4000

    def test_frame_index_of_a_sparse_image_travels_along(self, make_slide):
        level = make_slide(tile=(4, 4), organization="TILED_SPARSE", sparse="off-grid").levels[0]
        array = pickle.loads(pickle.dumps(array_of(level.folder)))
        np.testing.assert_array_equal(array[...], level.pixels())
        per_frame = 8 * 5
        assert len(pickle.dumps(array)) < 4000 + per_frame * len(level.frames)

    def test_array_reopens_its_file_in_another_process(self, make_slide, tmp_path):
        arrays = [
            array_of(make_slide(transfer_syntax=JPEGBaseline8Bit, offset_table=table).folder)
            for table in ("basic", "empty", "extended")
        ]
        expected = [array[10:40:3, ::-7] for array in arrays]
        path = tmp_path / "arrays.pickle"
        path.write_bytes(pickle.dumps(arrays))
        found = json.loads(run_python(READ_PICKLED, path))
        for (token, pixels), array, region in zip(found, arrays, expected, strict=True):
            assert token == array.token
            np.testing.assert_array_equal(pixels, region)

    def test_arrays_that_arrive_in_one_process_share_their_cache(self, make_slide):
        data = pickle.dumps(array_of(make_slide(transfer_syntax=RLELossless).folder))
        first, second = pickle.loads(data), pickle.loads(data)
        first[0, 0]
        assert second.frames.cache is first.frames.cache
        assert len(second.frames.cache) == 1


class TestToken:
    def test_same_pixels_same_token(self, make_slide):
        folder = make_slide().folder
        assert array_of(folder).token == array_of(folder).token
        assert dask.base.tokenize(array_of(folder)) == dask.base.tokenize(array_of(folder))
        assert array_of(folder).to_dask().name == array_of(folder).to_dask().name

    def test_same_pixels_same_token_in_another_process(self, make_slide):
        folder = make_slide(factors=(1, 2)).folder
        images = open_slide(folder).get_volume_images()
        expected = [image.get_total_pixel_matrix().array.token for image in images]
        assert json.loads(run_python(TOKENS, folder)) == expected

    def test_cache_size_changes_no_pixels(self, make_slide):
        folder = make_slide().folder
        assert array_of(folder).token == array_of(folder, max_frame_cache_size=0).token

    def test_other_pixels_other_token(self, make_slide):
        arrays = [
            array_of(make_slide().folder),
            array_of(make_slide(seed=2).folder),
            array_of(make_slide(icc_profile=True).folder),
            array_of(make_slide(icc_profile=True).folder, correct_color=False),
        ]
        planes = make_slide(optical_paths=2, focal_planes=2).folder
        arrays += [array_of(planes, channel, plane) for channel in range(2) for plane in range(2)]
        assert len({array.token for array in arrays}) == len(arrays)
        assert len({array.to_dask().name for array in arrays}) == len(arrays)

    def test_segments_of_a_label_map_have_tokens_of_their_own(self, make_slide):
        slide = open_slide(make_slide(segmentations=("LABELMAP",)).folder)
        matrices = [
            slide.get_volume_images(channel)[0].get_total_pixel_matrix(channel - 1)
            for channel in (1, 2, 3)
        ]
        assert len({matrix.array.token for matrix in matrices}) == 3

    def test_changed_file_has_another_token(self, make_slide, tmp_path):
        path = tmp_path / "slide.dcm"
        path.write_bytes(make_slide().paths[0].read_bytes())
        before = array_of(path)
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))
        assert array_of(path).token != before.token

    def test_chunks_make_other_dask_arrays(self, make_slide):
        array = array_of(make_slide().folder)
        names = {array.to_dask(chunks).name for chunks in ("frames", (32, 24), (16, 48), -1)}
        assert len(names) == 4


class TestDask:
    def test_one_chunk_is_one_frame_cropped_at_the_edges(self, small):
        array, requests, level = small()
        lazy = array.to_dask()
        assert lazy.chunks == ((16, 16, 16, 16, 6), (24, 24, 24, 18), (3,))
        assert lazy.dtype == array.dtype
        assert requests == []
        assert lazy.blocks[4, 3].compute().shape == (6, 18, 3)
        assert requests == [[19]]
        requests.clear()
        np.testing.assert_array_equal(lazy.compute(), level.pixels())
        assert sorted(requests) == [[frame] for frame in range(20)]

    def test_larger_chunks_are_read_with_one_call_each(self, small):
        array, requests, level = small()
        lazy = array.to_dask((32, 72))
        assert lazy.chunks == ((32, 32, 6), (72, 18), (3,))
        np.testing.assert_array_equal(lazy.compute(), level.pixels())
        assert sorted(requests) == sorted(
            [
                frames_of(range(top, min(top + 32, 70)), range(left, min(left + 72, 90)))
                for top in (0, 32, 64)
                for left in (0, 72)
            ]
        )

    @pytest.mark.parametrize("chunks", ["frames", (32, 72), -1])
    def test_region_reads_the_frames_that_it_touches(self, small, chunks):
        array, requests, level = small()
        region = array.to_dask(chunks)[14:20, 20:50]
        assert requests == []
        np.testing.assert_array_equal(region.compute(), level.pixels()[14:20, 20:50])
        assert sorted(frame for request in requests for frame in request) == [0, 1, 2, 4, 5, 6]

    @pytest.mark.parametrize("chunks", ["frames", (32, 48), -1])
    @pytest.mark.parametrize(
        "take",
        [
            lambda pixels: pixels[10:60][3:40:4, 80:20:-7],
            lambda pixels: pixels[[3, 40, 5, 69]],
            lambda pixels: pixels[20:, [80, 1, 2]][:, 1:],
            lambda pixels: pixels[np.arange(70) % 9 == 0],
            lambda pixels: pixels[[69, 0], 5],
            lambda pixels: pixels[..., [2, 0]][5, 3:],
            lambda pixels: pixels[-1, None, ::3, ..., 1],
            lambda pixels: pixels[40:40],
        ],
    )
    def test_any_index_of_dask_selects_what_numpy_selects(self, small, chunks, take):
        array, _, level = small()
        selected = take(array.to_dask(chunks)).compute()
        np.testing.assert_array_equal(selected, take(level.pixels()))

    def test_building_does_not_grow_with_the_number_of_frames(self, make_slide):
        graphs = []
        for tile in ((16, 24), (2, 3)):
            graph = array_of(make_slide(tile=tile, size=(70, 90)).folder).to_dask().dask
            tasks = [len(layer) for layer in graph.layers.values() if layer.is_materialized()]
            graphs.append((len(graph.layers), tasks))
        assert graphs[0] == graphs[1]
        assert sum(graphs[0][1]) <= 1

    @pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
    def test_every_scheduler_computes_the_pixels(self, make_slide, scheduler):
        level = make_slide().levels[0]
        lazy = array_of(level.folder).to_dask((32, 48))
        options = {"num_workers": 2} if scheduler == "processes" else {}
        computed = lazy.compute(scheduler=scheduler, **options)
        np.testing.assert_array_equal(computed, level.pixels())

    def test_meta_tells_type_and_dimensions_without_reading(self, small):
        array, requests, _ = small(samples=1, bits=16)
        lazy = array.to_dask()
        assert (lazy + 1).dtype == np.uint16
        assert (lazy[..., 0].mean(axis=0)).ndim == 1
        assert requests == []
