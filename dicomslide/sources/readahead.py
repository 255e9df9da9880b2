"""Read-ahead of neighbouring frames, so that each of them does not cost a request of its own.

Callers may read tile after tile, such as the tasks of a dask array with one chunk for each frame.
Their requests are then extended to the tiles around: to a square of 4 x 4 tiles from the second
read in it on, to 8 x 8 and 16 x 16 tiles as long as enough of the smaller square was used, and to
the next square of 16 x 16 at once. Dask visits the chunks of a reduction in squares like these.
Where tiles were used but have been dropped since, small squares come first again.
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

__all__ = ["ReadAhead", "encoded_bytes", "frames_per_request"]

Fetch = Callable[[Sequence[int]], list[bytes]]

# Reads of more frames than this are not extended, as their requests are large enough
_SMALL_READ = 16
# Tiles along the sides of squares; a square is worth it if one of so many frames read ahead is used
_SIDES = 4, 8, 16
_WORTH = 4
_MAX_SQUARES, _MAX_RECENT = 1024, 16
# Most frames of a request, and about how many bytes it may have
_MAX_FRAMES, _REQUEST_BYTES = 512, 32 * 2**20
# Compression ratio that is assumed, as the sizes of encoded frames are not known beforehand
_USUAL_COMPRESSION = 8


def encoded_bytes(frame_bytes: int, encapsulated: bool) -> int:
    """Estimate the size of an encoded frame from that of the decoded one, both in bytes."""
    return frame_bytes // (_USUAL_COMPRESSION if encapsulated else 1)


def frames_per_request(frame_bytes: int, encapsulated: bool) -> int:
    """Choose the number of frames of a request.

    Parameters
    ----------
    frame_bytes : int
        Size of a decoded frame in bytes
    encapsulated : bool
        Whether frames are compressed
    """
    expected = encoded_bytes(frame_bytes, encapsulated)
    return min(max(_REQUEST_BYTES // max(expected, 1), 1), _MAX_FRAMES)


@dataclass(eq=False)
class _Square:
    """Statistics of a square of tiles.

    Parameters
    ----------
    is_read : bool
        Whether the square was read ahead
    ahead, used, dropped : int
        Number of frames that were read ahead in the square, of uses of such frames, and of such
        frames that were dropped from memory
    inner : _Square, optional
        Square of half the side inside of it that was read ahead last
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
        """Whether the square was worth it, and half of its frames have been dropped since."""
        return self.was_worth_it and 2 * self.dropped >= self.ahead


class ReadAhead:
    """Read-ahead in one source, for use from any thread; unpickled ones are shared by their key.

    Parameters
    ----------
    key : str
        Token of the source
    across : int
        Frames in a row of tiles. Frames are assumed to be stored row by row; where they are not,
        the squares have other shapes
    """

    def __init__(self, key: str, across: int) -> None:
        self._key = key
        self._across = max(across, 1)
        self._lock = make_lock()
        self.remake()
        remake_after_fork(self)

    def remake(self) -> None:
        """Forget all squares and all requests; called in the child of a fork."""
        self._squares: OrderedDict[tuple[int, int, int], _Square] = OrderedDict()
        # Squares of the smallest size that hold the last reads, as keys
        self._recent: OrderedDict[tuple[int, int, int], None] = OrderedDict()
        self._coming: dict[int, Future[dict[int, bytes]]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self._key, self._across)

    def __del__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Drop all frames that were read ahead in the source."""
        _buffer.forget(self._key)

    def read(self, frames: Sequence[int], count: int, most: int, fetch: Fetch) -> list[bytes]:
        """Read encoded frames, and keep neighbours that are likely to be read next.

        Parameters
        ----------
        frames : sequence of int
            Zero-based frame indices
        count : int
            Number of frames of the source
        most : int
            Largest number of frames in a request
        fetch : callable
            Reads encoded frames by their indices

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
        # Other threads may wait for `arriving`, which is settled even if Ctrl-C interrupts this one
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
                # A frame that was only read ahead may have failed: this one is read alone
                (found[frame],) = fetch([frame])
        return [found[frame] for frame in frames]

    def _fetch(
        self,
        missing: list[int],
        ahead: dict[int, _Square],
        arriving: "Future[dict[int, bytes]]",
        fetch: Fetch,
    ) -> dict[int, bytes]:
        """Fetch frames for this read and for other threads that wait for them."""
        asked = [*missing, *ahead]
        try:
            found = dict(zip(asked, fetch(asked), strict=True))
        except DicomSlideError:
            if not ahead:
                raise
            # A frame that was only read ahead may have failed: the others are read without it
            return dict(zip(missing, fetch(missing), strict=True))
        for frame, square in ahead.items():
            _buffer.put(self._key, frame, (found[frame], square))
        arriving.set_result(found)
        return found

    def _settle(self, arriving: "Future[dict[int, bytes]]") -> None:
        """End all waits for a request; without a result the waiting threads read on their own."""
        with self._lock:
            for frame in [f for f, future in self._coming.items() if future is arriving]:
                del self._coming[frame]
        if not arriving.done():
            arriving.set_exception(DicomSlideError("read alone"))

    def _ahead(self, missing: list[int], count: int, most: int) -> dict[int, _Square]:
        """Choose the frames to read ahead, and the square that each belongs to."""
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
                # The request would be too large; the next read in the square may read ahead
                continue
            square = self._look_at(side, row, column)
            square.is_read = True
            square.ahead += len(frames)
            chosen.update(dict.fromkeys(frames, square))
            self._look_at(2 * side, row // 2, column // 2).inner = square
        return chosen

    def _place(self, frame: int) -> tuple[int, int]:
        """Compute row and column of the smallest square around a frame."""
        row, column = divmod(frame, self._across)
        return row // _SIDES[0], column // _SIDES[0]

    def _square(self, row: int, column: int, most: int) -> tuple[int, int, int] | None:
        """Choose the square around a smallest one to read ahead, if any, as (side, row, column)."""
        factors = {side: side // _SIDES[0] for side in _SIDES if side * side <= most}
        around = [(side, row // factor, column // factor) for side, factor in factors.items()]
        for key in around:
            if key in self._squares and self._squares[key].is_over:
                del self._squares[key]
        known = [self._squares.get(key) for key in around]
        if not around or any(square is not None and square.is_read for square in known):
            # No square fits into a request, or frames read ahead here were not used
            return None
        if self._is_beside_used(*around[-1]):
            return around[-1]
        for key, square in reversed(list(zip(around, known, strict=True))):
            if square is not None and square.inner is not None and square.inner.was_worth_it:
                return key
        # Only recent reads in the same square count, as old ones may be there by chance
        was_here = around[0] in self._recent
        self._recent[around[0]] = None
        self._recent.move_to_end(around[0])
        if len(self._recent) > _MAX_RECENT:
            self._recent.popitem(last=False)
        return around[0] if was_here else None

    def _is_beside_used(self, side: int, row: int, column: int) -> bool:
        """Whether half of a neighbouring square was used, so that this one is likely to be next."""
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
    """Buffer of the frames read ahead in all sources; the least recently used are dropped first."""

    def __init__(self) -> None:
        self._lock = make_lock()
        self.remake()
        remake_after_fork(self)

    def remake(self) -> None:
        """Forget all frames; called in the child of a fork."""
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
            # The garbage collector may run `forget` for another source on this thread meanwhile
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
        # `setdefault` would make a second object, which drops the frames of the key when collected
        found = _arrivals.get(key)
        if found is None:
            found = _arrivals[key] = ReadAhead(key, across)
        return found
