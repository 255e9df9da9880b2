"""Requests to a service side by side."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["AT_ONCE", "side_by_side"]

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 8
"""Requests of one caller that are on their way at the same time."""


def side_by_side(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Call a function that makes a request for each item, several at once.

    Parameters
    ----------
    function : callable
        Makes a request; called from several threads
    items : sequence
        What it is called with

    Returns
    -------
    list
        What it returns, in the order of the items
    """
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(AT_ONCE, len(items)), "dicomslide-requests") as pool:
        return list(pool.map(function, items))
