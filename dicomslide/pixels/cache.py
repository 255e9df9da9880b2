"""Decoded frames that were used last."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any
from weakref import WeakValueDictionary

from numpy.typing import NDArray

from dicomslide.processes import make_lock

__all__ = ["FrameCache"]


class FrameCache:
    """A bounded number of decoded frames of one image, the least recently used dropped first.

    It may be used from any thread. A pickled cache arrives empty, and one process has one cache
    for each key.

    Parameters
    ----------
    key : str
        Tokens of the source of the frames and of how they are decoded
    size : int
        Number of frames that are kept; 0 keeps none
    """

    def __init__(self, key: str, size: int) -> None:
        self._key = key
        self.size = size
        self._frames: OrderedDict[int, NDArray] = OrderedDict()
        self._lock = make_lock()

    def room(self, frame_bytes: int) -> int:  # noqa: ARG002
        """How many frames of a size one read may keep."""
        return self.size

    def get_all(self, frames: Iterable[int]) -> dict[int, NDArray]:
        """Get those of some frames that are there."""
        found: dict[int, NDArray] = {}
        if not self._frames:
            return found
        with self._lock:
            for frame in frames:
                pixels = self._frames.get(frame)
                if pixels is not None:
                    self._frames.move_to_end(frame)
                    found[frame] = pixels
        return found

    def put(self, frame: int, pixels: NDArray) -> None:
        """Keep a frame, which cannot be changed any more."""
        if self.size == 0:
            return
        pixels.flags.writeable = False
        with self._lock:
            self._frames[frame] = pixels
            self._frames.move_to_end(frame)
            while len(self._frames) > self.size:
                self._frames.popitem(last=False)

    def clear(self) -> None:
        """Drop all frames."""
        with self._lock:
            self._frames.clear()

    def __len__(self) -> int:
        return len(self._frames)

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self._key, self.size)


_arrivals: WeakValueDictionary[tuple[str, int], FrameCache] = WeakValueDictionary()
_arrivals_lock = make_lock()


def _arrived(key: str, size: int) -> FrameCache:
    with _arrivals_lock:
        return _arrivals.setdefault((key, size), FrameCache(key, size))
