"""Waits for a place that end: after a while, at Ctrl-C, and when the program does."""

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
"""Seconds that a request may take, from its first byte to the last one of the answer."""

_ENDS = "nothing is read any more, as the program ends"

_ending = threading.Event()


@dataclass(eq=False)
class _Wait:
    """Something that is waited for.

    Parameters
    ----------
    stop : callable
        Makes the wait fail
    seconds : float
        How long it may take
    """

    stop: Callable[[], object]
    seconds: float
    reason: str = ""

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.seconds

    def end(self, reason: str) -> None:
        """Make the wait fail."""
        self.reason = reason
        self.stop()


class _Watch:
    """The waits of this process, and one thread that ends those that take too long."""

    def __init__(self) -> None:
        self.remake()
        remake_after_fork(self)

    def remake(self) -> None:
        """Leave the waits of the parent of a fork alone: a child shares its connections."""
        # The standard library frees its own events in this way, and offers no public one
        _ending._at_fork_reinit()  # type: ignore[attr-defined]
        # Taken without Python code, in which Ctrl-C might come before the block that gives it back
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._waits: set[_Wait] = set()
        self._thread: threading.Thread | None = None
        # When the thread looks again
        self._wakes = math.inf

    def begin(self, wait: _Wait) -> None:
        """Watch a wait."""
        with self._lock:
            self._waits.add(wait)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="dicomslide", daemon=True)
                # No thread begins while the interpreter ends, and then nobody needs a deadline
                with suppress(RuntimeError):
                    self._thread.start()
            elif wait.deadline < self._wakes:
                self._changed.notify()

    def forget(self, wait: _Wait) -> None:
        """Watch a wait no more: it is not ended from here on."""
        with self._lock:
            self._waits.discard(wait)

    def end_all(self, reason: str) -> None:
        """End all waits."""
        with self._lock:
            self._end(self._waits, reason)

    def _end(self, waits: Iterable[_Wait], reason: str) -> None:
        for wait in list(waits):
            self._waits.discard(wait)
            # One that cannot be ended must not keep others waiting
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
    """Stop what the block waits for when it takes too long, or when the program ends.

    Parameters
    ----------
    name : str
        Name of the place in messages
    stop : callable
        Makes the wait fail, at once; called from another thread
    seconds : float
        How long it may take

    Raises
    ------
    SourceError
        When it was stopped
    """
    wait = _Wait(stop, seconds)
    cause = None
    _watch.begin(wait)
    try:
        # Looked at only now, so that no wait begins behind the last one that is ended
        if _ending.is_set():
            raise SourceError(f"{name}: {_ENDS}")
        yield
    except Exception as error:
        if not wait.reason:
            raise
        cause = error
    finally:
        _watch.forget(wait)
    # What was stopped may look like an answer that is over
    if wait.reason:
        raise SourceError(f"{name}: {wait.reason}") from cause


def pause(seconds: float) -> None:
    """Let some time pass, unless the program ends."""
    _ending.wait(seconds)


def in_background(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
    """Call a function on a thread that nobody has to wait for, the end of the program included.

    The threads of an executor are waited for by whoever leaves it, and by the interpreter.
    """
    future: Future[R] = Future()

    def run(future: Future[R]) -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        finally:
            # The error has this frame, which must not have the error
            del future

    thread = threading.Thread(target=run, args=(future,), name="dicomslide", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # No thread begins while the interpreter ends
        run(future)
    return future


def _end() -> None:
    _ending.set()
    _watch.end_all(_ENDS)


# There is no public way to be called before the interpreter waits for the threads of others, such
# as those of dask, which may wait for a server
getattr(threading, "_register_atexit", atexit.register)(_end)
