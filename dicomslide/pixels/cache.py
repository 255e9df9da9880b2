"""Caches of decoded frames, which keep those that were used last."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from numpy.typing import NDArray

from dicomslide.bounds import bound
from dicomslide.processes import make_lock, remake_after_fork

__all__ = ["FrameCache"]

_Key = tuple[str, int]

# A read keeps frames in at most one part in so many of the cache: large reads are seldom repeated,
# and are slower where each frame is decoded to memory of its own
_READS = 4

# Most that decoding only parts of frames may cost before frames are decoded as a whole, and most of
# its savings that count against later costs, both in whole frames
_LOST, _GAINED = 2, 64
# Part of the time of a frame that decoding takes whatever its number of rows
_CALL = 0.1
# Part of what could have been saved that counts meanwhile, so that parts are tried again some time
_TRIED = 1 / 64


class _Kept:
    """Store of decoded frames of images, which drops the least recently used first.

    Parameters
    ----------
    most : callable
        Returns the largest weight of all frames together
    weigh : callable
        Returns the weight of a frame
    """

    def __init__(self, most: Callable[[], int], weigh: Callable[[NDArray], int]) -> None:
        self.most = most
        self._weigh = weigh
        self._lock = make_lock()
        self.remake()
        remake_after_fork(self)

    def remake(self) -> None:
        """Forget all frames; called in the child of a fork."""
        self._frames: OrderedDict[_Key, NDArray] = OrderedDict()
        self._weight = 0

    def get_all(self, keys: Iterable[_Key]) -> dict[int, NDArray]:
        """Return those of some frames that are kept, by their index."""
        found: dict[int, NDArray] = {}
        if not self._frames:
            return found
        with self._lock:
            for key in keys:
                pixels = self._frames.get(key)
                if pixels is not None:
                    self._frames.move_to_end(key)
                    found[key[1]] = pixels
        return found

    def put(self, key: _Key, pixels: NDArray) -> None:
        """Keep a frame, whose array becomes read-only."""
        pixels.flags.writeable = False
        most = self.most()
        with self._lock:
            self._drop(key)
            self._frames[key] = pixels
            self._weight += self._weigh(pixels)
            while self._weight > most:
                self._drop(next(iter(self._frames)))

    def _drop(self, key: _Key) -> None:
        pixels = self._frames.pop(key, None)
        if pixels is not None:
            self._weight -= self._weigh(pixels)

    def of(self, image: str) -> list[_Key]:
        """List the keys of the frames of an image that are kept."""
        with self._lock:
            return [key for key in self._frames if key[0] == image]

    def clear(self, image: str) -> None:
        """Drop all frames of an image."""
        with self._lock:
            for key in self.of(image):
                self._drop(key)


def _size(pixels: NDArray) -> int:
    """Size in bytes of the memory of pixels, which may be a part of it."""
    return int(getattr(pixels.base, "nbytes", pixels.nbytes))


_of_process = _Kept(partial(bound, "decoded-frames"), _size)


class FrameCache:
    """Cache of the decoded frames of one image, for use from any thread.

    An unpickled cache has the frames that its process keeps for its key.

    Parameters
    ----------
    key : str
        Tokens of the source of the frames and of their pixel format
    size : int, optional
        Number of frames that are kept; 0 keeps none. By default the frames of all images of this
        process are bounded together, in bytes
    """

    def __init__(self, key: str, size: int | None = None) -> None:
        self._key = key
        self._size = size
        self._kept = _of_process if size is None else _Kept(lambda: size, lambda _: 1)
        # What decoding parts of frames saved and may still cost, in whole frames
        self._saved: float = _LOST

    def room(self, frame_bytes: int) -> int:
        """Compute the number of frames of a size in bytes that one read may keep."""
        if self._size is not None:
            return self._size
        return self._kept.most() // _READS // frame_bytes

    def get_all(self, frames: Iterable[int]) -> dict[int, NDArray]:
        """Return those of some frames that are kept, by their index."""
        return self._kept.get_all((self._key, frame) for frame in frames)

    def put(self, frame: int, pixels: NDArray) -> None:
        """Keep a frame, whose array becomes read-only."""
        self._kept.put((self._key, frame), pixels)

    def rows_to_keep(
        self, rows: Mapping[int, int], short: Collection[int], height: int
    ) -> dict[int, int]:
        """Choose how many rows to decode of frames that will be kept.

        Decoding only the first rows of a frame saves the rest, and costs a whole frame once a later
        read needs more of them. Regions at random save more than they cost, and neighbouring ones
        do not, so frames are decoded as a whole while this cost more than it saved.

        Parameters
        ----------
        rows : mapping
            Number of rows, from the top, that a read needs of each frame
        short : collection of int
            Those of the frames of which fewer rows were kept
        height : int
            Number of rows of a whole frame

        Returns
        -------
        dict
            Number of rows of each frame
        """
        self._saved -= len(short)
        saved = {
            frame: part
            for frame, needed in rows.items()
            if (part := 1 - _CALL - needed / height) > 0 and frame not in short
        }
        if self._saved < 0:
            self._saved += sum(saved.values()) * _TRIED
            return dict.fromkeys(rows, height)
        self._saved = min(self._saved + sum(saved.values()), _GAINED)
        return {frame: needed if frame in saved else height for frame, needed in rows.items()}

    def clear(self) -> None:
        """Drop all frames."""
        self._kept.clear(self._key)

    def __len__(self) -> int:
        return len(self._kept.of(self._key))

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self._key, self._size)


_arrivals: WeakValueDictionary[tuple[str, int | None], FrameCache] = WeakValueDictionary()
_arrivals_lock = make_lock()


def _arrived(key: str, size: int | None) -> FrameCache:
    with _arrivals_lock:
        return _arrivals.setdefault((key, size), FrameCache(key, size))
