"""The cache of decoded frames: bounded, least recently used first, from any thread."""

import gc
import pickle
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import dask
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import RLELossless

from dicomslide import open_slide
from dicomslide.pixels.cache import FrameCache

FRAMES = [np.full((1, 1, 1), value) for value in range(10)]

frames = st.integers(0, 9)
calls = st.lists(st.tuples(st.sampled_from(["get", "put"]), frames), max_size=40)


@given(st.integers(0, 5), calls)
def test_cache_keeps_the_frames_that_were_used_last(size, calls):
    cache = FrameCache("key", size)
    used = OrderedDict()
    for name, frame in calls:
        if name == "put":
            cache.put(frame, FRAMES[frame])
            used[frame] = None
        else:
            expected = FRAMES[frame] if frame in used else None
            assert cache.get_all([frame]).get(frame) is expected
        if frame in used:
            used.move_to_end(frame)
        while len(used) > size:
            used.popitem(last=False)
        assert len(cache) == len(used)
    assert cache.get_all(range(10)) == {frame: FRAMES[frame] for frame in sorted(used)}


@pytest.mark.parametrize("size", [0, 3])
def test_cache_is_bounded_from_many_threads(size):
    cache = FrameCache("key", size)
    sizes = []

    def use(seed):
        for frame in np.random.default_rng(seed).integers(0, 10, 500).tolist():
            found = cache.get_all([frame])
            assert not found or found[frame] is FRAMES[frame]
            cache.put(frame, FRAMES[frame])
            sizes.append(len(cache))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    assert max(sizes) <= size


class TestPickling:
    def test_pickled_cache_arrives_empty_and_stays_bounded(self):
        cache = FrameCache("empty", 2)
        cache.put(0, np.zeros(10_000))
        data = pickle.dumps(cache)
        assert len(data) < 200
        arrived = pickle.loads(data)
        assert len(arrived) == 0
        for frame in range(3):
            arrived.put(frame, FRAMES[frame])
        assert len(arrived) == 2

    def test_arrivals_of_one_key_are_one_cache(self):
        first, second = (pickle.loads(pickle.dumps(FrameCache("one", 2))) for _ in range(2))
        assert first is second

    @pytest.mark.parametrize("other", [FrameCache("other", 2), FrameCache("one", 3)])
    def test_other_key_or_size_is_another_cache(self, other):
        arrived = pickle.loads(pickle.dumps(FrameCache("one", 2)))
        assert pickle.loads(pickle.dumps(other)) is not arrived

    def test_cache_that_nobody_uses_is_forgotten(self):
        data = pickle.dumps(FrameCache("forgotten", 2))
        arrived = pickle.loads(data)
        arrived.put(0, FRAMES[0])
        del arrived
        gc.collect()
        assert len(pickle.loads(data)) == 0


class TestSharedBound:
    @pytest.fixture(autouse=True)
    def _bound(self):
        with dask.config.set({"dicomslide.keep.decoded-frames": 3 * FRAMES[0].nbytes}):
            yield

    def test_images_share_it_the_least_recently_used_frame_is_dropped(self):
        first, second = FrameCache("first"), FrameCache("second")
        first.put(0, FRAMES[0])
        second.put(0, FRAMES[1])
        first.put(1, FRAMES[2])
        first.get_all([0])
        second.put(1, FRAMES[3])
        assert first.get_all(range(10)) == {0: FRAMES[0], 1: FRAMES[2]}
        assert second.get_all(range(10)) == {1: FRAMES[3]}
        first.clear()
        assert (len(first), len(second)) == (0, 1)
        second.clear()

    def test_a_frame_that_is_put_twice_counts_once(self):
        cache = FrameCache("twice")
        for frame in (0, 1, 0, 0, 2):
            cache.put(frame, FRAMES[frame])
        assert len(cache) == 3
        cache.clear()

    def test_a_larger_frame_is_not_kept(self):
        cache = FrameCache("larger")
        cache.put(0, np.zeros(4 * FRAMES[0].size))
        assert len(cache) == 0
        assert cache.room(4 * FRAMES[0].nbytes) == 0

    def test_a_part_counts_with_all_of_its_memory(self):
        cache = FrameCache("part")
        whole = np.zeros((4, *FRAMES[0].shape[1:]))
        for frame in range(3):
            cache.put(frame, whole.copy()[:1])
        assert len(cache) == 0
        cache.put(0, whole[:3].copy()[:1])
        assert len(cache) == 1
        cache.clear()

    def test_pickled_cache_has_the_bound_of_the_process_that_it_arrives_in(self):
        cache = pickle.loads(pickle.dumps(FrameCache("arrived")))
        cache.put(0, FRAMES[0])
        assert len(FrameCache("arrived")) == 1
        cache.clear()


class TestRowsToKeep:
    """Only the first rows of frames are decoded where that saves more than it costs."""

    HEIGHT = 100

    def decode(self, reads):
        """Decode what reads need, as pairs of a frame and its rows; the sum of decoded rows."""
        cache, kept, decoded = FrameCache("rows", 1000), {}, 0
        for frame, rows in reads:
            if kept.get(frame, 0) < rows:
                short = {frame} & kept.keys()
                kept |= cache.rows_to_keep({frame: rows}, short, self.HEIGHT)
                decoded += kept[frame]
        return decoded

    reads = st.lists(st.tuples(st.integers(0, 99), st.integers(1, HEIGHT)), max_size=600)

    @given(reads)
    def test_hardly_more_is_decoded_than_of_whole_frames(self, reads):
        """What is lost: 2 frames, and a part of each frame that is decoded as a whole."""
        whole = self.HEIGHT * len({frame for frame, _ in reads})
        assert self.decode(reads) <= 1.02 * whole + 3 * self.HEIGHT

    def test_a_frame_that_is_read_once_has_only_its_rows(self):
        assert self.decode((frame, 30) for frame in range(500)) == 500 * 30

    def test_a_frame_that_is_nearly_needed_is_decoded_as_a_whole(self):
        assert self.decode((frame, 95) for frame in range(500)) == 500 * 100

    def test_frames_that_are_read_from_the_top_to_the_bottom_are_soon_decoded_once(self):
        reads = [(frame, rows) for frame in range(500) for rows in (25, 50, 75, 100)]
        assert 500 * 100 <= self.decode(reads) <= 1.03 * 500 * 100

    def test_a_frame_that_is_needed_once_more_changes_nothing(self):
        assert self.decode([(0, 30), (0, 60), (1, 30)]) == 30 + 100 + 30

    def test_what_was_saved_long_ago_does_not_count(self):
        once = [(frame, 10) for frame in range(1000)]
        again = [(frame, rows) for frame in range(1000, 2000) for rows in (50, 100)]
        # Each of at most 64 / 0.6 frames costs 50 rows more
        assert self.decode(once + again) <= 1000 * 10 + 1000 * 100 + 110 * 50 + 2000

    def test_rows_are_tried_again_when_reads_change(self):
        there = [(frame, rows) for frame in range(500) for rows in (50, 100)]
        here = [(frame, 10) for frame in range(500, 1000)]
        assert self.decode(there + here) - self.decode(there) < 0.2 * 500 * 100


def test_overlapping_regions_decode_each_frame_once(make_slide, decoded):
    slide = make_slide(transfer_syntax=RLELossless)
    matrix = open_slide(slide.folder, correct_color=False).get_image(0).get_total_pixel_matrix()
    expected = slide.levels[0].pixels()
    for row in range(0, 60, 5):
        for column in range(0, 80, 5):
            window = np.s_[row : row + 10, column : column + 10]
            np.testing.assert_array_equal(matrix[window], expected[window])
    # 5 x 4 frames of 16 x 24 pixels
    assert len(decoded) == 20


def test_frames_of_all_images_are_bounded_together(make_slide):
    written = make_slide(factors=(1, 2), transfer_syntax=RLELossless)
    slide = open_slide(written.folder)
    arrays = [image.get_total_pixel_matrix().array for image in slide.get_volume_images()]
    frame_bytes = 16 * 24 * 3
    with dask.config.set({"dicomslide.keep.decoded-frames": 8 * frame_bytes}):
        for array in arrays * 2:
            for place in product(range(0, 35, 16), range(0, 45, 24)):
                array[place]
            # 3 x 2 frames of each image
            assert sum(len(each.frames.cache) for each in arrays) in (6, 8)
        assert [len(each.frames.cache) for each in arrays] == [2, 6]
        # One read keeps its last frames, as many as a quarter holds
        slide.close()
        arrays[0][...]
        assert [len(each.frames.cache) for each in arrays] == [2, 0]
    slide.close()
    assert [len(array.frames.cache) for array in arrays] == [0, 0]


def test_nothing_is_kept_where_the_bound_is_0(make_slide, decoded):
    slide = open_slide(make_slide(transfer_syntax=RLELossless).folder)
    with dask.config.set({"dicomslide.keep.decoded-frames": 0}):
        for _ in range(2):
            slide.get_image_region((0, 0), 0, (5, 5))
    assert len(decoded) == 2
