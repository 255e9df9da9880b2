"""What a process must not take over from the one that it was forked from.

A fork copies the memory of all threads and none of the threads but one: a lock stays locked, a
result never comes, and a connection has two users. What has any of these is remade in the child.
"""

import os
import threading
from types import TracebackType
from typing import Protocol
from weakref import WeakSet

__all__ = ["Lock", "remake_after_fork"]


class _Owner(Protocol):
    def remake(self) -> None:
        """Begin anew, without waiting for anything of the parent."""


_owners: WeakSet[_Owner] = WeakSet()


def remake_after_fork(owner: _Owner) -> None:
    """Have the method `remake` of an object called in each child of this process.

    The child has only one thread then. The object is not kept alive.
    """
    _owners.add(owner)


class Lock:
    """A lock that is free in the child of a fork, whoever had it in the parent.

    A thread that has it may take it again: what it drops meanwhile may need the lock, too.
    """

    def __init__(self) -> None:
        self.remake()
        remake_after_fork(self)

    def remake(self) -> None:
        """Make the lock anew."""
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()


def _remake_all() -> None:
    for owner in list(_owners):
        owner.remake()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_remake_all)
