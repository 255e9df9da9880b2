"""What a process must not take over from the one that it was forked from.

A fork copies the memory of all threads and none of the threads but one: a lock stays locked, a
result never comes, and a connection has two users. What has any of these is remade in the child.
"""

import os
import threading
from contextlib import AbstractContextManager
from typing import Any, Protocol
from weakref import WeakSet

__all__ = ["make_lock", "remake_after_fork"]


class _Owner(Protocol):
    def remake(self) -> None:
        """Begin anew, without waiting for anything of the parent."""


_owners: WeakSet[_Owner] = WeakSet()
_locks: WeakSet[Any] = WeakSet()


def remake_after_fork(owner: _Owner) -> None:
    """Have the method `remake` of an object called in each child of this process.

    The child has only one thread then. The object is not kept alive.
    """
    _owners.add(owner)


def make_lock() -> AbstractContextManager[object]:
    """Make a lock that is free in the child of a fork, whoever had it in the parent.

    A thread that has it may take it again: what it drops meanwhile may need the lock, too. It is a
    lock of the interpreter, as Ctrl-C may come between any two lines of Python: also between those
    that take a lock, and the block that gives it back.
    """
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def _remake_all() -> None:
    for lock in list(_locks):
        # The standard library frees its own locks in this way, and offers no public one
        lock._at_fork_reinit()
    for owner in list(_owners):
        owner.remake()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_remake_all)
