"""Repair of locks, connections and waits in the child of a fork.

A fork copies the memory of all threads, but only one of the threads: a lock may stay locked, a
result never arrive, and a connection have two users. Objects with any of these are remade in the
child.
"""

import os
import threading
from contextlib import AbstractContextManager
from typing import Any, Protocol
from weakref import WeakSet

__all__ = ["make_lock", "remake_after_fork"]


class _Owner(Protocol):
    def remake(self) -> None:
        """Replace the state of the parent, without waiting for its threads."""


_owners: WeakSet[_Owner] = WeakSet()
_locks: WeakSet[Any] = WeakSet()


def remake_after_fork(owner: _Owner) -> None:
    """Register an object whose method `remake` is called in each child of this process.

    The child has only one thread at that time. The object is not kept alive.
    """
    _owners.add(owner)


def make_lock() -> AbstractContextManager[object]:
    """Make a lock that is free in the child of a fork, whoever held it in the parent.

    The lock is reentrant, as the garbage collector may run methods that need it on the thread that
    holds it. It is implemented in C: Ctrl-C may interrupt Python code between any two lines, also
    after a lock is taken and before the block that releases it.
    """
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def _remake_all() -> None:
    for lock in list(_locks):
        # The standard library frees its own locks with this method; there is no public way
        lock._at_fork_reinit()
    for owner in list(_owners):
        owner.remake()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_remake_all)
