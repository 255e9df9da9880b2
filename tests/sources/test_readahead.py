"""Frames that are read ahead: always the right ones, never many in vain, and few requests."""

import pickle
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from uuid import uuid4

import dask
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomslide.errors import FrameError
from dicomslide.pixels.chunks import as_dask
from dicomslide.sources import readahead
from dicomslide.sources.readahead import ReadAhead, frames_per_request

# Rows and columns of a grid of tiles, and the largest number of frames in a request
ROWS, COLUMNS, MOST = 34, 48, 512
COUNT = ROWS * COLUMNS


def frame_of(index: int, length: int = 8) -> bytes:
    return index.to_bytes(8, "little").ljust(length, b"\0")


class Source:
    """Frames that can be told apart, and the requests for them."""

    def __init__(self, count=COUNT, across=COLUMNS, most=MOST, length=8, pause=0.0, broken=()):
        self.ahead = ReadAhead(uuid4().hex, across)
        self.count, self.most, self.length, self.pause = count, most, length, pause
        self.broken = set(broken)
        self.requests: list[list[int]] = []

    def fetch(self, frames) -> list[bytes]:
        self.requests.append(list(frames))
        time.sleep(self.pause)
        if broken := self.broken.intersection(frames):
            raise FrameError(f"frames {sorted(broken)} are broken")
        return [frame_of(frame, self.length) for frame in frames]

    def read(self, frames) -> None:
        found = self.ahead.read(frames, self.count, self.most, self.fetch)
        assert found == [frame_of(frame, self.length) for frame in frames]

    def read_each(self, frames) -> tuple[int, int]:
        """Read frames one by one; returns the number of requests and of the frames in them."""
        before = len(self.requests)
        for frame in frames:
            self.read([frame])
        new = self.requests[before:]
        return len(new), sum(map(len, new))

    def check(self) -> None:
        """Requests are for frames that there are, each once, and for no more than allowed."""
        for request in self.requests:
            assert len(set(request)) == len(request)
            assert 0 <= min(request) <= max(request) < self.count


@pytest.fixture(autouse=True)
def _empty_buffer():
    readahead._buffer.clear()


def keep(monkeypatch, size: int) -> readahead._Buffer:
    """Make the buffer smaller."""
    monkeypatch.setitem(dask.config.config["dicomslide"]["keep"], "read-ahead", size)
    return readahead._buffer


class TestRightFrames:
    @given(
        reads=st.lists(st.lists(st.integers(0, 99), max_size=20, unique=True), max_size=20),
        across=st.integers(1, 120),
        most=st.sampled_from([1, 5, 16, 64, 512]),
        pick=st.randoms(),
    )
    def test_frames_are_right_in_any_order(self, reads, across, most, pick):
        source = Source(100, across, most)
        for frames in reads:
            source.read(frames)
        # Neighbours of what has been read
        for _ in range(30):
            first = pick.randrange(90)
            source.read([first, first + 1, first + 9])
        source.check()
        assert max(map(len, source.requests)) <= max(most, 20)

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("size", [2**27, 900])
    def test_frames_are_right_on_many_threads(self, monkeypatch, seed, size):
        """So they are where hardly any frame stays in the buffer, too."""
        keep(monkeypatch, size)
        source = Source(pause=0.001)
        pick = random.Random(seed)

        def work(start: int) -> None:
            for step in range(60):
                row, column = divmod((start * 37 + step) % COUNT, COLUMNS)
                source.read([row * COLUMNS + column, pick.randrange(COUNT)])

        with ThreadPoolExecutor(12) as pool:
            list(pool.map(work, range(12)))
        source.check()

    @pytest.mark.parametrize("size", [2**27, 900])
    def test_threads_that_want_the_same_frames_get_them(self, monkeypatch, size):
        keep(monkeypatch, size)
        source = Source(pause=0.002)
        frames = [row * COLUMNS + column for row in range(8) for column in range(8)]
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(source.read, [[frame] for frame in frames for _ in range(4)]))
        source.check()
        assert len(source.requests) < len(frames)

    def test_frame_that_is_on_its_way_is_not_asked_for_again(self):
        source = Source(pause=0.2)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(source.read, [[7]] * 8))
        assert source.requests == [[7]]

    def test_repeated_frames_are_asked_for_once(self):
        source = Source()
        source.read([9, 3, 9, 9, 3])
        assert source.requests == [[3, 9]]

    def test_large_reads_are_left_alone(self):
        source = Source()
        source.read(range(100, 130))
        assert source.requests == [list(range(100, 130))]
        source.read([])
        assert len(source.requests) == 1


@cache
def in_dask_order() -> list[int]:
    """Frames in the order in which dask takes the chunks of a reduction."""
    order = []

    class Grid:
        shape, dtype, ndim = (ROWS, COLUMNS, 1), np.dtype("u1"), 3

        def __getitem__(self, key):
            order.append(key[0].start * COLUMNS + key[1].start)
            return np.zeros((1, 1, 1), "u1")

    with dask.config.set(scheduler="synchronous"):
        as_dask(Grid(), "grid", (1, 1, 1)).mean().compute()
    return order


def in_quarters() -> list[int]:
    """Frames of each quarter of a square before those of the next, and so within the quarters."""

    def place(frame: int) -> int:
        row, column = divmod(frame, COLUMNS)
        return sum(
            (row >> bit & 1) << 2 * bit + 1 | (column >> bit & 1) << 2 * bit for bit in range(6)
        )

    return sorted(range(COUNT), key=place)


ORDERS = {
    "dask": in_dask_order,
    "quarters": in_quarters,
    "rows": lambda: list(range(COUNT)),
    "reversed": lambda: list(range(COUNT))[::-1],
    "columns": lambda: [r * COLUMNS + c for c in range(COLUMNS) for r in range(ROWS)],
    "random": lambda: random.Random(0).sample(range(COUNT), COUNT),
}
# Squares of 4, 8 and 16 tiles in the grid
SQUARES = {side: -(-ROWS // side) * -(-COLUMNS // side) for side in (4, 8, 16)}


class TestRequests:
    def test_dask_needs_a_few_for_each_large_square(self):
        """In each of 16 x 16: two single frames, squares of 4 and 8, and the rest of the square."""
        order = in_dask_order()
        assert sorted(order) == list(range(COUNT))
        source = Source()
        requests, frames = source.read_each(order)
        assert requests <= 5 * SQUARES[16]
        assert frames <= 1.03 * COUNT

    @pytest.mark.parametrize("most", [512, 255, 100, 63, 16])
    @pytest.mark.parametrize("order", [name for name in ORDERS if name != "random"])
    def test_whole_grid_needs_few_requests(self, order, most):
        """Each of the largest squares needs few requests, and so does the beginning."""
        source = Source(most=most)
        requests, frames = source.read_each(ORDERS[order]())
        side = max(side for side in SQUARES if side * side <= most)
        assert requests <= 6 * SQUARES[side] + ROWS + COLUMNS
        assert COUNT <= frames <= 1.1 * COUNT
        assert max(map(len, source.requests)) <= most
        source.check()

    def test_large_squares_are_read_at_once_beside_used_ones(self):
        """34 x 48 tiles are 9 squares of 16 x 16; the first one takes three smaller requests more.

        The order of dask is like that of the quarters, but another one in each process: the order
        of sets is part of it. Now and then it goes to where nothing near was read, and begins anew.
        """
        assert Source().read_each(in_quarters())[0] == 9 + 3
        assert Source().read_each(in_dask_order())[0] <= 9 + 3 * 4

    def test_whole_grid_in_random_order_needs_few_requests(self):
        """Little is read ahead by chance; some frames that were read alone come twice."""
        source = Source()
        requests, frames = source.read_each(ORDERS["random"]())
        assert requests <= COUNT / 3
        assert COUNT <= frames <= 1.5 * COUNT

    @pytest.mark.parametrize("order", ["dask", "columns"])
    def test_second_pass_needs_hardly_more_requests_than_the_first(self, monkeypatch, order):
        """The frames of the first pass have been dropped."""
        keep(monkeypatch, COUNT * 100 // 2)
        source = Source(length=100)
        first, *others = [source.read_each(ORDERS[order]())[0] for _ in range(4)]
        assert max(others) <= 1.5 * first < COUNT / 8

    def test_second_pass_fetches_few_frames_when_all_are_held(self):
        source = Source()
        source.read_each(in_dask_order())
        # Frames that were returned at once are not kept
        assert source.read_each(in_dask_order())[1] <= 3 * 5 * SQUARES[16]

    def test_patches_next_to_each_other_share_requests(self):
        """Each patch has 2 x 2 tiles."""
        source = Source()
        for row in range(0, ROWS, 2):
            for column in range(0, COLUMNS, 2):
                first = row * COLUMNS + column
                source.read([first, first + 1, first + COLUMNS, first + COLUMNS + 1])
        assert len(source.requests) < COUNT / 4 / 4

    def test_reads_far_apart_read_nothing_ahead(self):
        source = Source()
        frames = [r * COLUMNS + c for r in range(0, ROWS, 4) for c in range(0, COLUMNS, 4)]
        random.Random(1).shuffle(frames)
        assert source.read_each(frames) == (len(frames), len(frames))

    def test_random_reads_in_a_large_grid_read_little_ahead(self):
        source = Source(count=300 * 300, across=300)
        frames = random.Random(2).sample(range(300 * 300), 300)
        # A second read happens to be in one of 75 x 75 squares for less than 10 of 300 reads
        requests, asked = source.read_each(frames)
        assert requests <= 300
        assert asked < 300 + 16 * 20

    def test_squares_that_are_of_no_use_do_not_grow(self, monkeypatch):
        """Two frames in each of the smallest squares, and never one of the others, many times."""
        keep(monkeypatch, 200)
        source = Source()
        for _ in range(5):
            for row in range(0, ROWS - 1, 4):
                for column in range(0, COLUMNS, 4):
                    source.read_each([row * COLUMNS + column, (row + 1) * COLUMNS + column])
        assert max(map(len, source.requests)) <= 16
        assert sum(len(request) > 1 for request in source.requests) <= SQUARES[4]

    @pytest.mark.parametrize("across", [1, 3, 47, COUNT, 10 * COUNT, 2**32])
    def test_grid_of_any_width_needs_fewer_requests_than_frames(self, across):
        source = Source(across=across)
        requests, _ = source.read_each(range(COUNT))
        assert requests < COUNT / 2
        source.check()


class TestErrors:
    def test_error_of_a_frame_read_ahead_does_not_matter(self):
        source = Source(broken=[2 * COLUMNS + 2])
        for frame in (0, 1, 2, COLUMNS):
            source.read([frame])
        with pytest.raises(FrameError, match=r"\[98\]"):
            source.read([2 * COLUMNS + 2])
        source.broken.clear()
        source.read([2 * COLUMNS + 2])

    def test_threads_that_wait_are_not_disturbed(self):
        source = Source(pause=0.05, broken=[3 * COLUMNS])
        good = [frame for row in range(4) for frame in range(row * COLUMNS, row * COLUMNS + 4)]
        good.remove(3 * COLUMNS)
        errors = []

        def read(frame: int) -> None:
            try:
                source.read([frame])
            except FrameError:
                errors.append(frame)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(read, [*good, 3 * COLUMNS]))
        assert errors == [3 * COLUMNS]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
    def test_other_errors_leave_nothing_behind(self, error):
        source = Source()

        def fail(frames):
            raise error

        for _ in range(3):
            with pytest.raises(error):
                source.ahead.read([1, 2], COUNT, MOST, fail)
        source.read([1, 2])

    def test_error_reaches_each_thread_that_asked_for_the_frame(self):
        source = Source(pause=0.05, broken=[5])

        def read(frame: int) -> str:
            with pytest.raises(FrameError, match="broken") as caught:
                source.read([frame])
            return str(caught.value)

        with ThreadPoolExecutor(4) as pool:
            assert len(list(pool.map(read, [5] * 4))) == 4


class TestBuffer:
    @given(
        items=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 50)), max_size=60),
        most=st.integers(0, 120),
    )
    def test_buffer_holds_no_more_bytes_than_its_bound(self, items, most):
        buffer = readahead._Buffer()
        for frame, length in items:
            with dask.config.set({"dicomslide.keep.read-ahead": most}):
                buffer.put("key", frame, (bytes(length), readahead._Square()))
            kept = [buffer.get("key", other) for other in range(21)]
            assert sum(len(item[0]) for item in kept if item) <= most

    def test_buffer_is_bounded_for_all_sources_together(self, monkeypatch):
        buffer = keep(monkeypatch, 1000)
        sources = [Source(length=100) for _ in range(5)]
        for source in sources:
            source.read_each(range(64))
        assert sum(len(data) for data, _ in buffer._items.values()) <= 1000

    def test_sources_are_told_apart(self):
        first, second = Source(), Source(length=20)
        for source in (first, second, first, second):
            source.read_each(range(8))


class TestTravel:
    def test_process_has_one_read_ahead_for_a_key(self):
        ahead = ReadAhead(uuid4().hex, 5)
        first, second = (pickle.loads(pickle.dumps(ahead)) for _ in range(2))
        assert first is second

    def test_pickled_read_ahead_carries_no_frames(self):
        source = Source(length=10_000)
        before = len(pickle.dumps(source.ahead))
        source.read_each(range(40))
        assert len(pickle.dumps(source.ahead)) == before < 200

    def test_read_ahead_can_be_pickled_while_others_read(self):
        source = Source(pause=0.1)
        thread = threading.Thread(target=source.read, args=([3],))
        thread.start()
        arrived = pickle.loads(pickle.dumps(source.ahead))
        assert arrived.read([3], COUNT, MOST, lambda frames: [b"x"] * len(frames)) == [b"x"]
        thread.join()


class TestFramesPerRequest:
    @given(st.integers(0, 2**40), st.booleans())
    def test_frames_of_a_request_are_bounded_by_bytes_and_by_number(self, size, encapsulated):
        count = frames_per_request(size, encapsulated)
        assert 1 <= count <= 512
        # Compressed frames are taken to be an eighth
        expected = count * (size // 8 if encapsulated else size)
        assert count == 1 or expected <= 32 * 2**20

    @pytest.mark.parametrize(
        ("size", "encapsulated", "count"),
        # 32 MiB by 192 KiB; by an eighth of 768 KiB; small frames
        [(196608, False, 170), (786432, True, 341), (196608, True, 512), (0, False, 512)],
    )
    def test_frames_of_a_request_are_those_of_examples(self, size, encapsulated, count):
        assert frames_per_request(size, encapsulated) == count
