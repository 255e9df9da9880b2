"""The threads that decode the frames of one read."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from multiprocessing import parent_process
from typing import TypeVar

from dicomslide.arguments import integer
from dicomslide.errors import ArgumentValueError
from dicomslide.sources.waiting import in_background

__all__ = ["default_threads", "for_each", "one_ahead", "set_threads"]

T = TypeVar("T")
R = TypeVar("R")

# Below this many frames handing work to other threads costs more than it saves
_MIN_PARALLEL = 4

_chosen: int | None = None


def set_threads(count: int | None) -> None:
    """Choose how many threads of this process decode the frames of one read.

    This is for reads on the main thread. Reads on any other thread, such as the tasks of dask,
    share the machine with others like them and use one thread; so do those of a process that
    `multiprocessing` started, such as a worker of a data loader, unless it calls this itself.

    Parameters
    ----------
    count : int, optional
        Number of threads; None for the default: as many as there are processors, and one in a
        process that `multiprocessing` started

    Raises
    ------
    TypeError
        When `count` is no integer
    ValueError
        When `count` is not positive
    """
    global _chosen
    if count is not None and integer("count", count) < 1:
        raise ArgumentValueError(f"count: {count} threads, at least one is needed")
    _chosen = count


def default_threads() -> int:
    """How many threads a read may use: see `set_threads`."""
    if threading.current_thread() is not threading.main_thread():
        return 1
    if _chosen is not None:
        return _chosen
    if parent_process() is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def for_each(function: Callable[[T], None], items: Sequence[T], threads: int) -> None:
    """Call a function for each item, on several threads where that pays: the caller's and others.

    Each thread begins with a part of the items of its own and goes on with what others have left.
    Threads that fill an array side by side would clear the same new pages of memory at once.

    After an exception no further item is begun. It is raised after all threads have stopped.
    """
    count = len(items)
    # The pool has the threads of the largest read, whatever size the first one has
    others_at_most, threads = threads - 1, min(threads, count)
    if threads < 2 or count < _MIN_PARALLEL:
        for item in items:
            function(item)
        return
    parts = [
        deque(items[count * i // threads : count * (i + 1) // threads]) for i in range(threads)
    ]

    def run(own: deque[T]) -> None:
        try:
            for item in _take(own, parts):
                function(item)
        except BaseException:
            for part in parts:
                part.clear()
            raise

    pool = _pool(os.getpid(), others_at_most)
    others: list[Future[None]] = []
    # The pool takes nothing more when the program ends; then the caller does it all
    with suppress(RuntimeError):
        others.extend(pool.submit(run, part) for part in parts[1:])
    try:
        run(parts[0])
    finally:
        # Those that have not begun, as other reads keep the pool busy, have nothing left to do
        begun = [other for other in others if not other.cancel()]
        wait(begun)
    for other in begun:
        other.result()


def _take(own: deque[T], parts: list[deque[T]]) -> Iterator[T]:
    """Take the items of a part from its front, then those of the longest part from its end."""
    while any(parts):
        try:
            yield own.popleft() if own else max(parts, key=len).pop()
        except IndexError:
            # Another thread took the last item in between
            continue


def one_ahead(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Yield the result for each item; while the caller uses one, the next is being made.

    A caller that stops early, as at Ctrl-C, does not wait for the one that is being made.
    """
    if len(items) < 2:
        yield from map(function, items)
        return
    coming = in_background(function, items[0])
    for item in items[1:]:
        result = coming.result()
        coming = in_background(function, item)
        yield result
    yield coming.result()


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads beside that of the caller; those of a process do not survive its fork."""
    return ThreadPoolExecutor(threads, thread_name_prefix="dicomslide")
