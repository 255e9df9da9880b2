"""Bounds of the caches of a process, which the configuration of dask sets."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, TypeVar

import dask.config
from dask.utils import parse_bytes

from dicomslide.errors import ArgumentValueError
from dicomslide.processes import make_lock, remake_after_fork

__all__ = ["Recent", "bound"]

T = TypeVar("T")

# The names are explained in docs/performance.md
_DEFAULTS = {
    "decoded-frames": "64 MiB",
    "read-ahead": "128 MiB",
    "file-starts": "32 MiB",
    "inflated": "1 GiB",
    "annotations": "1 GiB",
    "bulk-pixels": "512 MiB",
    "colors": "256 MiB",
    "virtual-chunks": "64 MiB",
    "open-files": 64,
}
dask.config.update_defaults({"dicomslide": {"keep": _DEFAULTS}})


def bound(name: str) -> int:
    """Read the bound of a cache, in bytes, or as a number of files for ``"open-files"``.

    Raises
    ------
    ArgumentValueError
        When the configuration has an invalid value
    """
    key = f"dicomslide.keep.{name}"
    value = dask.config.get(key, _DEFAULTS[name])
    try:
        found = _size(value)
    except (ArithmeticError, AttributeError, TypeError, ValueError):
        found = -1
    if found < 0:
        raise ArgumentValueError(
            f"{key}: expected a number of bytes such as '128 MiB', got {value!r}"
        )
    return found


# By type, as a number that is refused may equal one that is not
@lru_cache(maxsize=64, typed=True)
def _size(value: Any) -> int:
    """Parse a number of bytes, which each read of pixels asks for."""
    return int(parse_bytes(value))


class Recent:
    """Cache of objects of this process, which drops the least recently used first.

    Parameters
    ----------
    name : str
        Name of the bound of the sizes of all objects; the last object is kept whatever its size
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = make_lock()
        self.remake()
        remake_after_fork(self)

    def remake(self) -> None:
        """Forget all objects; called in the child of a fork."""
        self._things: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._being_made: dict[Hashable, AbstractContextManager[object]] = {}

    def get(self, key: Hashable, make: Callable[[], T], size: int) -> T:
        """Get the object of a key, or make it, with its size in bytes."""
        with self._lock:
            if key in self._things:
                self._things.move_to_end(key)
                thing: T = self._things[key][0]
                return thing
            turn = self._being_made.setdefault(key, make_lock())
        # The lock of a key keeps threads from making the same object at the same time
        with turn:
            with self._lock:
                if key in self._things:
                    return self._things[key][0]
            try:
                thing = make()
                most = bound(self._name)
                with self._lock:
                    self._things[key] = thing, size
                    self._bytes += size
                    while len(self._things) > 1 and self._bytes > most:
                        self._bytes -= self._things.popitem(last=False)[1][1]
            finally:
                with self._lock:
                    self._being_made.pop(key, None)
        return thing

    def drop(self, key: Hashable) -> None:
        """Drop the object of a key."""
        with self._lock:
            self._bytes -= self._things.pop(key, (None, 0))[1]

    def drop_all(self, is_meant: Callable[[Hashable], bool]) -> None:
        """Keep no longer what has keys that are meant."""
        with self._lock:
            for key in list(filter(is_meant, self._things)):
                self.drop(key)

    def __len__(self) -> int:
        return len(self._things)
