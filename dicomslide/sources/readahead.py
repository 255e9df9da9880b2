"""Frames that are read before they are asked for, so that neighbours do not cost a request each.

Whoever reads tile after tile, such as the tasks of a dask array with one chunk for each frame, is
given the tiles around with the same request: a square of 4 x 4 tiles from the second read in it on,
then one of 8 x 8 and one of 16 x 16, as long as enough of the smaller one was used, and then the
next such square at once. That is also the order in which dask visits the chunks of a reduction.
Where tiles were of use and have been dropped since, it starts again.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Optional
from weakref import WeakValueDictionary

from dicomslide.bounds import bound
from dicomslide.errors import DicomSlideError
from dicomslide.processes import make_lock, remake_after_fork

__all__ = ["ReadAhead", "frames_per_request"]

Fetch = Callable[[Sequence[int]], list[bytes]]

# Reads of more frames than this are left alone: their requests are large enough
_SMALL_READ = 16
# Tiles along the sides of squares, and of how many that are read ahead one has to be used
_SIDES = 4, 8, 16
_WORTH = 4
_MAX_SQUARES, _MAX_RECENT = 1024, 16
# A request has this many frames at most, and about this many bytes
_MAX_FRAMES, _REQUEST_BYTES = 512, 32 * 2**20
# Ratio of compression that is expected before the first frame was read
_USUAL_COMPRESSION = 8


def frames_per_request(frame_bytes: int, encapsulated: bool) -> int:
    """Choose how many frames are asked for at once.

    Parameters
    ----------
    frame_bytes : int
        Size of a decoded frame
    encapsulated : bool
        Whether frames are compressed
    """
    expected = frame_bytes // (_USUAL_COMPRESSION if encapsulated else 1)
    return min(max(_REQUEST_BYTES // max(expected, 1), 1), _MAX_FRAMES)


@dataclass(eq=False)
class _Square:
    """A square of tiles that was looked at.

    Parameters
    ----------
    is_read : bool
        Whether it was read ahead
    ahead, used, dropped : int
        How many frames were read ahead in it, how often one of them was used, and how many of them
        are no longer there
    inner : _Square, optional
        The smaller square in it that was read ahead last
    """

    is_read: bool = False
    ahead: int = 0
    used: int = 0
    dropped: int = 0
    inner: Optional["_Square"] = None

    @property
    def was_worth_it(self) -> bool:
        return self.is_read and self.used * _WORTH >= self.ahead

    @property
    def is_over(self) -> bool:
        """Whether it was of use and is gone, so that who comes back starts again."""
        return self.was_worth_it and 2 * self.dropped >= self.ahead


class ReadAhead:
    """Reads ahead in one source. It may be used from any thread; one process has one for a key.

    Parameters
    ----------
    key : str
        Token of the source
    across : int
        Frames in a row of tiles. Frames are taken to be stored row by row; where they are not,
        the squares are not square
    """

    def __init__(self, key: str, across: int) -> None:
        self._key = key
        self._across = max(across, 1)
        self._lock = make_lock()
        self.remake()
        remake_after_fork(self)

    def remake(self) -> None:
        """Forget what was read and, in the child of a fork, what its parent waits for."""
        self._squares: OrderedDict[tuple[int, int, int], _Square] = OrderedDict()
        # Squares of the smallest size in which the last reads were
        self._recent: OrderedDict[tuple[int, int, int], None] = OrderedDict()
        self._coming: dict[int, Future[dict[int, bytes]]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self._key, self._across)

    def __del__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Drop what was read ahead."""
        _buffer.forget(self._key)

    def read(self, frames: Sequence[int], count: int, most: int, fetch: Fetch) -> list[bytes]:
        """Read encoded frames, and perhaps some that follow.

        Parameters
        ----------
        frames : sequence of int
            Frame indices
        count : int
            Number of frames of the source
        most : int
            Largest number of frames in a request
        fetch : callable
            Reads frames

        Returns
        -------
        list of bytes
            One item for each index, in the order asked for
        """
        if len(frames) > _SMALL_READ:
            return fetch(frames)
        found: dict[int, bytes] = {}
        coming: dict[int, Future[dict[int, bytes]]] = {}
        arriving: Future[dict[int, bytes]] = Future()
        # Whatever comes between, such as Ctrl-C, others must not wait for what does not come
        try:
            with self._lock:
                for frame in frames:
                    kept = _buffer.get(self._key, frame)
                    if kept is not None:
                        found[frame], square = kept
                        square.used += 1
                    elif frame in self._coming:
                        coming[frame] = self._coming[frame]
                missing = sorted({f for f in frames if f not in found and f not in coming})
                ahead = self._ahead(missing, count, most)
                self._coming.update(dict.fromkeys([*missing, *ahead], arriving))
            if missing:
                found.update(self._fetch(missing, ahead, arriving, fetch))
        finally:
            self._settle(arriving)
        for frame, future in coming.items():
            if future.exception() is None:
                found[frame] = future.result()[frame]
            else:
                # The frame that failed in the request may be one that was only read ahead
                (found[frame],) = fetch([frame])
        return [found[frame] for frame in frames]

    def _fetch(
        self,
        missing: list[int],
        ahead: dict[int, _Square],
        arriving: "Future[dict[int, bytes]]",
        fetch: Fetch,
    ) -> dict[int, bytes]:
        """Fetch frames for this read and for those who wait for them."""
        asked = [*missing, *ahead]
        try:
            found = dict(zip(asked, fetch(asked), strict=True))
        except DicomSlideError:
            if not ahead:
                raise
            # The failure may be that of a frame that was only read ahead
            return dict(zip(missing, fetch(missing), strict=True))
        for frame, square in ahead.items():
            _buffer.put(self._key, frame, (found[frame], square))
        arriving.set_result(found)
        return found

    def _settle(self, arriving: "Future[dict[int, bytes]]") -> None:
        """Have nobody wait for frames any more that arrived, or that do not."""
        with self._lock:
            for frame in [f for f, future in self._coming.items() if future is arriving]:
                del self._coming[frame]
        if not arriving.done():
            arriving.set_exception(DicomSlideError("read alone"))

    def _ahead(self, missing: list[int], count: int, most: int) -> dict[int, _Square]:
        """Choose the frames to read ahead, each with the square that it belongs to."""
        chosen: dict[int, _Square] = {}
        smallest = {self._place(frame) for frame in missing}
        for side, row, column in {s for place in smallest if (s := self._square(*place, most))}:
            frames = [
                frame
                for frame in self._frames(side, row, column, count)
                if not (frame in missing or frame in self._coming or frame in chosen)
                and _buffer.get(self._key, frame) is None
            ]
            if len(missing) + len(chosen) + len(frames) > most:
                # The next read in the square may read ahead
                continue
            square = self._look_at(side, row, column)
            square.is_read = True
            square.ahead += len(frames)
            chosen.update(dict.fromkeys(frames, square))
            self._look_at(2 * side, row // 2, column // 2).inner = square
        return chosen

    def _place(self, frame: int) -> tuple[int, int]:
        """Get the place of the smallest square around a frame."""
        row, column = divmod(frame, self._across)
        return row // _SIDES[0], column // _SIDES[0]

    def _square(self, row: int, column: int, most: int) -> tuple[int, int, int] | None:
        """Choose the square around a smallest one that is read ahead, if any: side and place."""
        factors = {side: side // _SIDES[0] for side in _SIDES if side * side <= most}
        around = [(side, row // factor, column // factor) for side, factor in factors.items()]
        for key in around:
            if key in self._squares and self._squares[key].is_over:
                del self._squares[key]
        known = [self._squares.get(key) for key in around]
        if not around or any(square is not None and square.is_read for square in known):
            # Its frames are too large, or what was read ahead was of no use
            return None
        if self._is_beside_used(*around[-1]):
            return around[-1]
        for key, square in reversed(list(zip(around, known, strict=True))):
            if square is not None and square.inner is not None and square.inner.was_worth_it:
                return key
        # A read just before in the same square shows a pattern; one long ago would be chance
        was_here = around[0] in self._recent
        self._recent[around[0]] = None
        self._recent.move_to_end(around[0])
        if len(self._recent) > _MAX_RECENT:
            self._recent.popitem(last=False)
        return around[0] if was_here else None

    def _is_beside_used(self, side: int, row: int, column: int) -> bool:
        """Whether most of a neighbour of a large square was of use: who reads on comes here."""
        neighbours = ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1))
        squares = (self._squares.get((side, *place)) for place in neighbours)
        return any(s is not None and s.is_read and 2 * s.used >= s.ahead for s in squares)

    def _look_at(self, side: int, row: int, column: int) -> _Square:
        square = self._squares.setdefault((side, row, column), _Square())
        self._squares.move_to_end((side, row, column))
        if len(self._squares) > _MAX_SQUARES:
            self._squares.popitem(last=False)
        return square

    def _frames(self, side: int, row: int, column: int, count: int) -> list[int]:
        columns = range(column * side, min((column + 1) * side, self._across))
        rows = range(row * side, (row + 1) * side)
        frames = (r * self._across + c for r in rows for c in columns)
        return [frame for frame in frames if frame < count]


class _Buffer:
    """Encoded frames of all sources of the process, the least recently used dropped first."""

    def __init__(self) -> None:
        self._lock = make_lock()
        self.remake()
        remake_after_fork(self)

    def remake(self) -> None:
        """Forget all frames; those of the parent of a fork would count twice."""
        self._bytes = 0
        self._items: OrderedDict[tuple[str, int], tuple[bytes, _Square]] = OrderedDict()

    def get(self, key: str, frame: int) -> tuple[bytes, _Square] | None:
        with self._lock:
            item = self._items.get((key, frame))
            if item is not None:
                self._items.move_to_end((key, frame))
            return item

    def put(self, key: str, frame: int, item: tuple[bytes, _Square]) -> None:
        most = bound("read-ahead")
        with self._lock:
            if (key, frame) not in self._items:
                self._items[key, frame] = item
                self._bytes += len(item[0])
            while self._bytes > most:
                self._drop()

    def clear(self) -> None:
        with self._lock:
            while self._items:
                self._drop()

    def forget(self, key: str) -> None:
        with self._lock:
            # Another source may be collected meanwhile, and its frames be dropped on this thread
            for item in list(self._items):
                if item[0] == key and (dropped := self._items.pop(item, None)):
                    self._bytes -= len(dropped[0])

    def _drop(self) -> None:
        _, (data, square) = self._items.popitem(last=False)
        self._bytes -= len(data)
        square.dropped += 1


_buffer = _Buffer()
_arrivals: WeakValueDictionary[str, ReadAhead] = WeakValueDictionary()
_arrivals_lock = make_lock()


def _arrived(key: str, across: int) -> ReadAhead:
    with _arrivals_lock:
        # One that is made in vain would drop the frames of the other
        found = _arrivals.get(key)
        if found is None:
            found = _arrivals[key] = ReadAhead(key, across)
        return found
