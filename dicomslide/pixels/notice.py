"""Warnings that are given once for an image, however many of its frames cause them."""

import warnings
from typing import Any

from dicomslide.processes import make_lock

__all__ = ["Notice"]


class Notice:
    """Warning about the frames of one image, which is given once, from any thread.

    Unpickled notices with the same key are one object, so that a process warns once.

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
        """Warn with a message, unless the warning was given before."""
        with self._lock:
            first, self.given = not self.given, True
        if first:
            warnings.warn(message, stacklevel=2)

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self._key,)


# Not weak references: arrays come and go with the tasks of a worker, which must not warn again
_arrivals: dict[str, Notice] = {}


def _arrived(key: str) -> Notice:
    return _arrivals.setdefault(key, Notice(key))
