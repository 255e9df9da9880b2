"""How large the chunks of dask arrays are."""

import math
from dataclasses import replace
from types import SimpleNamespace

import dask
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomslide import open_slide
from dicomslide.errors import DicomSlideError
from dicomslide.pixels import chunks as chunks_module
from dicomslide.pixels.chunks import chunk_sizes

SHAPE, TILE_SHAPE = (1000, 3000, 3), (256, 512, 3)
UINT8 = np.dtype(np.uint8)


class TestChunkSizes:
    @pytest.mark.parametrize(
        ("chunks", "expected"),
        [
            ("frames", (256, 512, 3)),
            ((256, 512), (256, 512, 3)),
            ((512, 1024), (512, 1024, 3)),
            ((512, 1024, 3), (512, 1024, 3)),
            ((1, 1), (256, 512, 3)),
            # 500 is nearer to 2 frames than to 1
            ((500, 512), (512, 512, 3)),
            ((-1, 512), (1000, 512, 3)),
            ((256, -1), (256, 3000, 3)),
            (-1, SHAPE),
            (512, (512, 512, 3)),
            (1024, (1000, 1024, 3)),
            (10**9, SHAPE),
        ],
    )
    def test_wanted_sizes_become_whole_frames(self, chunks, expected):
        assert chunk_sizes(chunks, SHAPE, TILE_SHAPE, UINT8) == expected

    @given(
        chunks=st.sampled_from(["frames", "auto", -1])
        | st.integers(1, 9000)
        | st.tuples(*[st.just(-1) | st.integers(1, 9000)] * 2),
        shape=st.tuples(st.integers(1, 9000), st.integers(1, 9000), st.sampled_from([1, 3])),
        tile=st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
        dtype=st.sampled_from([bool, np.uint8, np.uint16, np.float64]),
    )
    def test_sizes_are_whole_multiples_of_frames_or_the_whole_axis(
        self, chunks, shape, tile, dtype
    ):
        sizes = chunk_sizes(chunks, shape, (*tile, shape[2]), np.dtype(dtype))
        assert sizes[2] == shape[2]
        for axis in range(2):
            assert 1 <= sizes[axis] <= shape[axis]
            assert sizes[axis] % tile[axis] == 0 or sizes[axis] == shape[axis]
            wanted = chunks[axis] if isinstance(chunks, tuple) else chunks
            if wanted == -1 or (isinstance(wanted, int) and wanted >= shape[axis]):
                assert sizes[axis] == shape[axis]

    @pytest.mark.parametrize(
        "chunks", ["tiles", "", (256,), (256, 256, 3, 1), 0, -2, (0, 256), (256, -5)]
    )
    def test_other_chunks_are_refused(self, chunks):
        with pytest.raises(ValueError, match="chunks") as caught:
            chunk_sizes(chunks, SHAPE, TILE_SHAPE, UINT8)
        assert isinstance(caught.value, DicomSlideError)

    @pytest.mark.parametrize("chunks", [1.5, None, {1: 2}, {"y": 256}, object()])
    def test_other_types_are_refused_with_what_is_taken(self, chunks):
        with pytest.raises(TypeError, match=r'"frames", "auto", an integer or \(rows, columns\)'):
            chunk_sizes(chunks, SHAPE, TILE_SHAPE, UINT8)

    @pytest.mark.parametrize("chunks", [1.5, None, {1: 2}, object(), (256.0, 256), True])
    def test_other_types_are_refused(self, chunks):
        with pytest.raises(TypeError, match="chunks") as caught:
            chunk_sizes(chunks, SHAPE, TILE_SHAPE, UINT8)
        assert isinstance(caught.value, DicomSlideError)

    def test_integers_of_numpy_are_integers(self):
        sizes = chunk_sizes((np.int64(512), np.int32(512)), SHAPE, TILE_SHAPE, UINT8)
        assert sizes == (512, 512, 3)


MIB = 2**20
# 136 x 192 frames of 240 x 240 pixels, each of 169 KiB
LARGE, FRAME = (32640, 46080, 3), (240, 240, 3)


@pytest.fixture
def machine(monkeypatch):
    """Chooses automatic chunks for a machine with so many threads and so much memory."""

    def choose(shape, tile_shape, threads=2, memory=2**40, request=0):
        monkeypatch.setattr(chunks_module, "_memory", lambda: memory)
        with dask.config.set(num_workers=threads):
            return chunk_sizes("auto", shape, tile_shape, UINT8, request)

    return choose


class TestAuto:
    @pytest.mark.parametrize(("tile", "side"), [(240, 8), (256, 8), (512, 4), (1024, 2), (2048, 1)])
    def test_chunks_are_squares_of_frames_of_up_to_sixteen_mebibytes(self, machine, tile, side):
        rows, columns, samples = machine(LARGE, (tile, tile, 3))
        assert (rows, columns, samples) == (side * tile, side * tile, 3)
        assert 4 * MIB < rows * columns * samples <= 16 * MIB

    @pytest.mark.parametrize("threads", [1, 2, 8, 32])
    def test_there_is_work_for_all_threads(self, machine, threads):
        for shape in (LARGE, (8160, 11520, 3), (4080, 5760, 3)):
            sizes = machine(shape, FRAME, threads)
            count = math.prod(-(-shape[i] // sizes[i]) for i in range(2))
            assert count >= 4 * threads or math.prod(sizes) < 8 * MIB

    def test_small_matrices_are_not_cut_into_frames_for_the_sake_of_threads(self, machine):
        # A task would cost more than its frame
        assert machine((960, 960, 3), FRAME, threads=64) == (960, 960, 3)

    def test_chunks_of_all_threads_fit_into_memory_many_times(self, machine):
        for gibibytes in (1, 2, 4, 8):
            sizes = machine(LARGE, FRAME, 16, gibibytes * 1024 * MIB)
            assert math.prod(sizes) * 16 * 64 <= gibibytes * 1024 * MIB

    def test_large_frames_are_chunks_even_where_memory_is_small(self, machine):
        assert machine(LARGE, (4096, 4096, 3), 16, 1024 * MIB) == (4096, 4096, 3)

    def test_a_remote_source_is_asked_for_full_requests(self, machine):
        assert machine(LARGE, FRAME, request=512) == (16 * 240, 16 * 240, 3)
        assert math.prod(machine(LARGE, (1024, 1024, 3), request=512)) <= 64 * MIB
        # Servers of small requests are no reason for small chunks
        assert machine(LARGE, FRAME, request=10) == (8 * 240, 8 * 240, 3)

    @pytest.mark.parametrize("shape", [(240, 240 * 500, 3), (240 * 500, 240, 3)])
    def test_strips_are_cut_across(self, machine, shape):
        sizes = machine(shape, FRAME)
        assert min(sizes[:2]) == 240
        assert 4 * MIB < math.prod(sizes) <= 16 * MIB

    @given(
        shape=st.tuples(st.integers(1, 9000), st.integers(1, 9000), st.sampled_from([1, 3])),
        tile=st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    )
    def test_sides_are_powers_of_two_so_that_chunks_of_levels_lie_on_each_other(self, shape, tile):
        sizes = chunk_sizes("auto", shape, (*tile, shape[2]), UINT8)
        sides = {2**n * tile[i] for n in range(14) for i in range(2)}
        assert all(sizes[i] in sides or sizes[i] == shape[i] for i in range(2))

    def test_this_machine_has_memory(self):
        assert 2**27 < chunks_module._memory() <= 2**40

    def test_all_levels_of_a_slide_have_them(self, make_slide):
        slide = open_slide(make_slide(size=(600, 800), factors=(1, 2)).folder)
        with dask.config.set(num_workers=1):
            tree = slide.to_datatree("auto")
        for name, size in (("level_0", (600, 800)), ("level_1", (300, 400))):
            array = tree[name].image.data
            # Frames are 16 x 24 pixels; one chunk for all has less than 2 MiB
            assert array.chunksize == (1, 1, *size, 3)

    @pytest.mark.parametrize(("remote", "side"), [(False, 8), (True, 16)])
    def test_an_array_asks_its_source(self, make_slide, remote, side):
        written = make_slide(size=(300, 300), tile=(256, 256))
        array = open_slide(written.folder).get_volume_images()[0].get_total_pixel_matrix().array
        source = SimpleNamespace(remote=remote, batch_size=256)
        with dask.config.set(num_workers=2):
            frames = replace(array.frames, source=source)
            sizes = replace(array, frames=frames, size=LARGE[:2]).chunk_sizes("auto")
        assert sizes == (side * 256, side * 256, 3)
