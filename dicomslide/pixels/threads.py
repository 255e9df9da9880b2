"""The threads that decode the frames of one read."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

__all__ = ["default_threads", "for_each"]

T = TypeVar("T")

# Below this many frames handing work to other threads costs more than it saves
_MIN_PARALLEL = 8


def default_threads() -> int:
    """How many threads a read may use: all processors, or 1 off the main thread.

    A caller that runs in a thread of its own, such as a dask worker, already shares the machine
    with others like it.
    """
    if threading.current_thread() is not threading.main_thread():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def for_each(function: Callable[[T], None], items: list[T], threads: int) -> None:
    """Call a function for each item, on several threads where that pays.

    The first exception is raised after all threads have stopped.
    """
    if threads < 2 or len(items) < _MIN_PARALLEL:
        for item in items:
            function(item)
        return

    def run(part: list[T]) -> None:
        for item in part:
            function(item)

    # A few parts for each thread even out frames that take longer than others
    parts = [items[i :: 4 * threads] for i in range(min(4 * threads, len(items)))]
    futures = [_pool(os.getpid(), threads).submit(run, part) for part in parts]
    errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None:
            raise error


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """A pool of this process: threads do not survive a fork."""
    return ThreadPoolExecutor(threads, thread_name_prefix="dicomslide")
