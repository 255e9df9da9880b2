"""Threads that decode the frames of one read."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from itertools import chain, islice
from multiprocessing import parent_process
from typing import TypeVar

from dicomslide.arguments import integer
from dicomslide.errors import ArgumentValueError
from dicomslide.sources.waiting import in_background

__all__ = ["ahead", "default_threads", "for_each", "set_threads"]

T = TypeVar("T")
R = TypeVar("R")

# Fewer items than this are not worth the cost of handing work to other threads
_MIN_PARALLEL = 4

_chosen: int | None = None


def set_threads(count: int | None) -> None:
    """Set the number of threads of this process that decode the frames of one read.

    The number holds for reads on the main thread. Reads on other threads, such as tasks of dask,
    use one thread, as others run beside them. So do reads of a process that `multiprocessing`
    started, such as a worker of a data loader, unless the process calls this function itself.

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
        raise ArgumentValueError(f"count: expected at least one thread, got {count}")
    _chosen = count


def default_threads() -> int:
    """Return the number of threads that a read on this thread may use: see `set_threads`."""
    if threading.current_thread() is not threading.main_thread():
        return 1
    if _chosen is not None:
        return _chosen
    if parent_process() is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def for_each(function: Callable[[T], None], items: Sequence[T], threads: int) -> None:
    """Call a function for each item, on the caller's thread and on others where that pays.

    Each thread begins with its own part of the items, and goes on with items that others have left.
    Neighbouring items go to one thread, as threads that write to the same new pages of memory wait
    for each other.

    After an exception no further call begins. It is raised when all threads have stopped.
    """
    count = len(items)
    # The pool has all threads that reads may need, even if this one needs fewer
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
    # The pool refuses work while the program ends; the caller's thread then does all of it
    with suppress(RuntimeError):
        others.extend(pool.submit(run, part) for part in parts[1:])
    try:
        run(parts[0])
    finally:
        # All items are taken: work that has not begun, as other reads keep the pool busy, is
        # not needed any more
        begun = [other for other in others if not other.cancel()]
        wait(begun)
    for other in begun:
        other.result()


def _take(own: deque[T], parts: list[deque[T]]) -> Iterator[T]:
    """Yield items from the front of one's own part, then from the end of the longest part."""
    while any(parts):
        try:
            yield own.popleft() if own else max(parts, key=len).pop()
        except IndexError:
            # Another thread took the last item after the check above
            continue


def ahead(function: Callable[[T], R], items: Iterable[T], count: int = 1) -> Iterator[R]:
    """Yield the result for each item, while those of the next items are computed.

    A caller that stops early, as at Ctrl-C, does not wait for these.

    Parameters
    ----------
    function : callable
        Computes the result for an item; called on other threads
    items : iterable
        Arguments of the calls, which are taken as they are needed
    count : int, optional
        Number of items that are ahead of the one that the caller has
    """
    rest = iter(items)
    first = list(islice(rest, 2))
    if len(first) < 2:
        yield from map(function, first)
        return
    rest = chain(first, rest)
    coming = deque(in_background(function, item) for item in islice(rest, count))
    while coming:
        result = coming.popleft().result()
        coming.extend(in_background(function, item) for item in islice(rest, 1))
        yield result


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Make the pool of threads of a process, each once; a fork does not copy threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix="dicomslide")
