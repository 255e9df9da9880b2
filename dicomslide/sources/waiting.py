"""Waits for servers that end after a time limit, at Ctrl-C, and at the end of the program."""

import atexit
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from dicomslide.errors import SourceError
from dicomslide.processes import remake_after_fork

__all__ = ["LONGEST", "in_background", "pause", "stopped_in_time"]

P = ParamSpec("P")
R = TypeVar("R")

LONGEST = 600.0
"""Most seconds that a request may take, from its first byte to the last one of the answer."""

_ENDS = "nothing is read any more, as the program ends"

_ending = threading.Event()


@dataclass(eq=False)
class _Wait:
    """Wait with a time limit.

    Parameters
    ----------
    stop : callable
        Makes the wait fail
    seconds : float
        Most seconds that the wait may take
    """

    stop: Callable[[], object]
    seconds: float
    reason: str = ""

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.seconds

    def end(self, reason: str) -> None:
        """Make the wait fail for a reason, which is the message of its error."""
        self.reason = reason
        self.stop()


class _Watch:
    """Watch over the waits of this process, whose thread ends those that take too long."""

    def __init__(self) -> None:
        self.remake()
        remake_after_fork(self)

    def remake(self) -> None:
        """Forget all waits; in the child of a fork, ending them would shut the parent's sockets."""
        # The lock of the event may have been held during the fork; there is no public way to renew
        _ending._at_fork_reinit()  # type: ignore[attr-defined]
        # RLock is taken in C: in Python code Ctrl-C could come after taking it, before the `with`
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._waits: set[_Wait] = set()
        self._thread: threading.Thread | None = None
        # Time at which the thread wakes up, on the monotonic clock
        self._wakes = math.inf

    def begin(self, wait: _Wait) -> None:
        """Start to watch a wait."""
        with self._lock:
            self._waits.add(wait)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="dicomslide", daemon=True)
                # While the interpreter ends no thread can start, and no deadline is needed
                with suppress(RuntimeError):
                    self._thread.start()
            elif wait.deadline < self._wakes:
                self._changed.notify()

    def forget(self, wait: _Wait) -> None:
        """Stop watching a wait, which is not ended from here on."""
        with self._lock:
            self._waits.discard(wait)

    def end_all(self, reason: str) -> None:
        """End all waits."""
        with self._lock:
            self._end(self._waits, reason)

    def _end(self, waits: Iterable[_Wait], reason: str) -> None:
        for wait in list(waits):
            self._waits.discard(wait)
            # An error of one `stop` must not keep the other waits from being ended
            with suppress(Exception):
                wait.end(reason)

    def _run(self) -> None:
        with self._lock:
            while True:
                now = time.monotonic()
                for wait in [wait for wait in self._waits if wait.deadline <= now]:
                    self._end([wait], f"takes longer than {wait.seconds:.0f} s")
                self._wakes = min((wait.deadline for wait in self._waits), default=math.inf)
                rest = self._wakes - time.monotonic()
                self._changed.wait(min(max(rest, 0.0), threading.TIMEOUT_MAX))


_watch = _Watch()


@contextmanager
def stopped_in_time(name: str, stop: Callable[[], object], seconds: float) -> Iterator[None]:
    """Stop the wait of the block when it takes too long, or when the program ends.

    Parameters
    ----------
    name : str
        Name of the file or URL in messages
    stop : callable
        Makes the wait fail at once; called from another thread
    seconds : float
        Most seconds that the block may take

    Raises
    ------
    SourceError
        When the block was stopped
    """
    wait = _Wait(stop, seconds)
    cause = None
    _watch.begin(wait)
    try:
        # Checked after `begin`: a wait that begins later than `end_all` would never be ended
        if _ending.is_set():
            raise SourceError(f"{name}: {_ENDS}")
        yield
    except Exception as error:
        if not wait.reason:
            raise
        cause = error
    finally:
        _watch.forget(wait)
    # A block that was stopped may end without an error, with a part of an answer
    if wait.reason:
        raise SourceError(f"{name}: {wait.reason}") from cause


def pause(seconds: float) -> None:
    """Sleep for some seconds, or until the program ends."""
    _ending.wait(seconds)


def in_background(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
    """Call a function on a daemon thread, which does not delay the end of the program.

    Executors are of no use for this, as the interpreter waits for their threads.
    """
    future: Future[R] = Future()

    def run(future: Future[R]) -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        finally:
            # The traceback of the error refers to this frame: a reference back would be a cycle
            del future

    thread = threading.Thread(target=run, args=(future,), name="dicomslide", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # No thread can start while the interpreter ends
        run(future)
    return future


def _end() -> None:
    _ending.set()
    _watch.end_all(_ENDS)


# Waits have to end before the interpreter joins the threads of dask, which may be in one; only this
# private function of `threading` is called so early
getattr(threading, "_register_atexit", atexit.register)(_end)
