"""Pool of threads that work for requests, as long as their clients wait."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from dicomslide.errors import DicomSlideError

__all__ = ["BusyError", "Pool"]

T = TypeVar("T")

# Most requests that wait for a thread: the tiles of several screens
_MOST_WAITING = 512


class BusyError(DicomSlideError):
    """Raised for a request when too many others wait already."""


class Pool:
    """Pool of threads that work for the requests of one event loop.

    Parameters
    ----------
    threads : int, optional
        Number of threads; by default that of the processors, as each read decodes on its thread
    most_waiting : int, optional
        Most requests that may wait for a thread
    """

    def __init__(self, threads: int | None = None, most_waiting: int = _MOST_WAITING) -> None:
        count = threads or os.cpu_count() or 1
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="dicomslide-serving")
        self._free = asyncio.Semaphore(count)
        self._most_waiting = most_waiting
        self._waiting = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Call a function on another thread.

        The function is not called if the caller is cancelled before a thread is free. A call that
        has begun occupies its thread until it ends.

        Parameters
        ----------
        work : callable
            Function without parameters

        Returns
        -------
        object
            Its result

        Raises
        ------
        BusyError
            When too many requests wait already
        """
        if self._free.locked() and self._waiting >= self._most_waiting:
            raise BusyError(f"{self._waiting} requests wait already")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        loop = asyncio.get_running_loop()

        def release(_: object) -> None:
            # A loop that has ended in the meantime has no more requests, and raises RuntimeError
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._free.release)

        begun = self._executor.submit(work)
        begun.add_done_callback(release)
        return await asyncio.wrap_future(begun)

    def close(self) -> None:
        """Begin no more work, without waiting for work that has begun."""
        self._executor.shutdown(wait=False, cancel_futures=True)
