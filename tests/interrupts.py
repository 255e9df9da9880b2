"""Code that Ctrl-C interrupts after a time, on the thread that runs it."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def interrupted(seconds: float) -> Iterator[None]:
    """Raise KeyboardInterrupt in the block after a time, which is its end."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def report(lost: "sys.UnraisableHookArgs") -> None:
        if lost.exc_type is not KeyboardInterrupt:
            hook(lost)

    hook, sys.unraisablehook = sys.unraisablehook, report
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with suppress(KeyboardInterrupt):
            # Once more each second, as Python loses what is raised in the callback of a weak
            # reference, in a finalizer, and in some functions that are no Python code
            signal.setitimer(signal.ITIMER_REAL, seconds, 1)
            try:
                yield
            finally:
                # An interrupt may come before the timer is stopped here, and is suppressed, too
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = hook
