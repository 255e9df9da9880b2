"""Warnings that are given once for an image, however many of its frames give rise to them."""

import warnings
from typing import Any

from dicomslide.processes import make_lock

__all__ = ["Notice"]


class Notice:
    """A warning about the frames of one image, of which only the first one is given.

    It may be given from any thread. Pickled, it is one that no frame has given rise to, and one
    process has one notice for each key.

    Parameters
    ----------
    key : str
        Token of the source of the frames
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._lock = make_lock()
        self.given = False

    def give(self, message: str) -> None:
        """Warn, unless that was done before."""
        with self._lock:
            first, self.given = not self.given, True
        if first:
            warnings.warn(message, stacklevel=2)

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self._key,)


# Never emptied, as arrays come and go with the tasks of a worker: it has no pixels
_arrivals: dict[str, Notice] = {}


def _arrived(key: str) -> Notice:
    return _arrivals.setdefault(key, Notice(key))
