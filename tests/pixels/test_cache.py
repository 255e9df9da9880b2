"""The cache of decoded frames: bounded, least recently used first, from any thread."""

import gc
import pickle
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomslide.pixels.cache import FrameCache

FRAMES = [np.full((1, 1, 1), value) for value in range(10)]

frames = st.integers(0, 9)
calls = st.lists(st.tuples(st.sampled_from(["get", "put"]), frames), max_size=40)


@given(st.integers(0, 5), calls)
def test_keeps_the_frames_that_were_used_last(size, calls):
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
def test_is_bounded_from_many_threads(size):
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
    def test_arrives_empty_and_stays_bounded(self):
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
