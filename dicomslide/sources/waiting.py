"""Waits for a place that end: after a while, at Ctrl-C, and when the program does."""

import atexit
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
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


class _Waits:
    """The waits of this process, by what stops them."""

    def __init__(self) -> None:
        self.remake()
        remake_after_fork(self)

    def remake(self) -> None:
        """Leave those of the parent of a fork alone: a child shares its connections."""
        self.stops: set[Callable[[str], None]] = set()


_waits = _Waits()


@contextmanager
def stopped_in_time(name: str, stop: Callable[[], object], seconds: float) -> Iterator[None]:
    """Stop what the block waits for when it takes too long, or when the program ends.

    Parameters
    ----------
    name : str
        Name of the place in messages
    stop : callable
        Makes the wait fail; called from another thread
    seconds : float
        How long it may take

    Raises
    ------
    SourceError
        When it was stopped
    """
    reasons: list[str] = []

    def end(reason: str) -> None:
        reasons.append(reason)
        stop()

    if _ending.is_set():
        raise SourceError(f"{name}: {_ENDS}")
    timer = threading.Timer(seconds, end, [f"takes longer than {seconds:.0f} s"])
    timer.daemon = True
    _waits.stops.add(end)
    cause = None
    try:
        # No thread begins while the interpreter ends, and then nobody needs a deadline
        with suppress(RuntimeError):
            timer.start()
        yield
    except Exception as error:
        if not reasons:
            raise
        cause = error
    finally:
        timer.cancel()
        _waits.stops.discard(end)
    # What was stopped may look like an answer that is over
    if reasons:
        raise SourceError(f"{name}: {reasons[0]}") from cause


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
    for stop in list(_waits.stops):
        stop(_ENDS)


# There is no public way to be called before the interpreter waits for the threads of others, such
# as those of dask, which may wait for a server
getattr(threading, "_register_atexit", atexit.register)(_end)
