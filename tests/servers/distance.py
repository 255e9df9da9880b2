"""How far away a server is: round trips, bandwidth, and the depth of the requests of a client.

>>> with RangeServer(slide.folder) as server:
...     server.distance = Waves()
...     open_slide([server.url(path) for path in slide.paths])
...     depth(server.requests)
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Condition, Event
from typing import Protocol

from tests.servers.messages import Request

__all__ = ["Distance", "RoundTrips", "Waves", "depth"]

# A wave is complete after so many windows of seconds without a request, in which the client
# computes only for this share of the time, and which do not last longer, as on a busy machine
_WINDOWS, _WINDOW, _IDLE, _LATE = 8, 0.05, 0.3, 1.4


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
                self._wait_until_quiet(stopping)
                self._number += 1
                self._waiting = False
                self._changed.notify_all()
            else:
                self._changed.wait_for(lambda: self._number > number)

    def _wait_until_quiet(self, stopping: Event) -> None:
        quiet, before = 0, self._activity()
        while quiet < _WINDOWS and not stopping.is_set():
            self._changed.wait(_WINDOW)
            now = self._activity()
            requests, busy, passed = (a - b for a, b in zip(now, before, strict=True))
            idle = not requests and busy < _IDLE * _WINDOW and passed < _LATE * _WINDOW
            quiet, before = quiet + 1 if idle else 0, now

    def _activity(self) -> tuple[float, float, float]:
        """Number of requests so far, seconds that this process has computed for, and the time."""
        return self._arrived, time.process_time(), time.monotonic()

    def seconds(self, _: int) -> float:
        return 0.0


def depth(requests: Iterable[Request]) -> int:
    """Length of the longest chain of requests, each of which began when the last had ended.

    It is the least number of round trips that the client waited for.
    """
    count, end = 0, float("-inf")
    for request in sorted(requests, key=lambda request: request.ended):
        if request.time > end:
            count, end = count + 1, request.ended
    return count
