"""How far away a server is: round trips, bandwidth, and the depth of the requests of a client.

>>> with RangeServer(slide.folder) as server:
...     server.distance = Waves()
...     open_slide([server.url(path) for path in slide.paths])
...     depth(server.requests)
"""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Event, get_native_id
from typing import Protocol

from tests.servers.messages import Request

__all__ = ["Distance", "RoundTrips", "Waves", "depth"]

# A wave is complete after so many windows of seconds without a request, in which the client
# computes only for this share of the time, and after which none of its threads could compute
_WINDOWS, _WINDOW, _IDLE = 4, 0.05, 0.3
# In seconds; a wave ends then even if the client is never idle
_LONGEST_WAVE = 60


class Distance(Protocol):
    """What delays the answers of a server."""

    def travel(self, stopping: Event) -> None:
        """Wait before an answer is sent, at most until the server stops."""

    def seconds(self, size: int, /) -> float:
        """Time that a number of bytes takes on one connection."""


@dataclass
class RoundTrips:
    """The same delay for each request, and the same bandwidth for each connection.

    Parameters
    ----------
    delay : float
        Seconds before each answer
    bandwidth : float
        Bytes of an answer in a second
    """

    delay: float
    bandwidth: float = float("inf")

    def travel(self, stopping: Event) -> None:
        stopping.wait(self.delay)

    def seconds(self, size: int) -> float:
        return size / self.bandwidth


class Waves:
    """Answers wait until a client in this process makes no more requests, and are then sent.

    So requests that do not wait for each other are one wave however slow the machine is, and the
    depth of requests does not depend on the timing of threads.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._number = 0
        self._arrived = 0
        self._waiting = False

    def travel(self, stopping: Event) -> None:
        with self._changed:
            number, is_first = self._number, not self._waiting
            self._arrived += 1
            self._waiting = True
            if is_first:
                try:
                    self._wait_until_quiet(stopping)
                finally:
                    self._number += 1
                    self._waiting = False
                    self._changed.notify_all()
            else:
                self._changed.wait_for(lambda: self._number > number)

    def _wait_until_quiet(self, stopping: Event) -> None:
        quiet, end = 0, time.monotonic() + _LONGEST_WAVE
        while quiet < _WINDOWS and not stopping.is_set() and time.monotonic() < end:
            # Looking at the threads takes time, which is not that of the client
            arrived, computed = self._arrived, time.process_time()
            self._changed.wait(_WINDOW)
            busy = time.process_time() - computed
            idle = self._arrived == arrived and busy < _IDLE * _WINDOW
            quiet = quiet + 1 if idle and not _other_threads_run() else 0

    def seconds(self, _: int) -> float:
        return 0.0


def _other_threads_run() -> bool:
    """Whether a thread of this process but the calling one computes or waits for a processor.

    On a busy machine a thread may wait so long that its process seems to be idle.
    """
    tasks = Path("/proc/self/task")
    for task in os.listdir(tasks) if tasks.exists() else ():
        # The thread may have ended since
        with suppress(OSError):
            state = (tasks / task / "stat").read_text().rpartition(")")[2].split()[0]
            if state in "RD" and int(task) != get_native_id():
                return True
    return False


def depth(requests: Iterable[Request]) -> int:
    """Length of the longest chain of requests, each of which began when the last had ended.

    It is the least number of round trips that the client waited for.
    """
    count, end = 0, float("-inf")
    for request in sorted(requests, key=lambda request: request.ended):
        if request.time > end:
            count, end = count + 1, request.ended
    return count
