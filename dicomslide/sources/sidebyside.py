"""Concurrent requests on threads."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from typing import TypeVar

from dicomslide.sources.waiting import in_background

__all__ = ["AT_ONCE", "FILES_AT_ONCE", "side_by_side"]

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 8
"""Number of requests of one caller to a service that run at the same time."""

FILES_AT_ONCE = 64
"""Number of files that are looked up, or whose headers are read, at the same time."""


def side_by_side(function: Callable[[T], R], items: Sequence[T], at_once: int = AT_ONCE) -> list[R]:
    """Call a function that makes a request for each item, several at once.

    After an exception no further call begins. The exception is raised when the running calls have
    ended; only Ctrl-C does not wait for them.

    Parameters
    ----------
    function : callable
        Makes a request for an item; called from several threads
    items : sequence
        Arguments of the calls
    at_once : int, optional
        Most calls that run at the same time

    Returns
    -------
    list
        Results, in the order of the items
    """
    if len(items) < 2:
        return [function(item) for item in items]
    results: dict[int, R] = {}
    todo = deque(range(len(items)))

    def work() -> None:
        while todo:
            try:
                index = todo.popleft()
            except IndexError:
                # Another thread took the last item after the check above
                return
            try:
                results[index] = function(items[index])
            except BaseException:
                todo.clear()
                raise

    workers = [in_background(work) for _ in range(min(at_once, len(items)))]
    try:
        wait(workers)
    finally:
        todo.clear()
    for worker in workers:
        worker.result()
    return [results[index] for index in range(len(items))]
