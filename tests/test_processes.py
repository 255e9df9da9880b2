"""Locks that neither a fork nor Ctrl-C leaves locked."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress

import pytest

from dicomslide.processes import make_lock
from dicomslide.sources.readahead import ReadAhead

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="there are no timers that interrupt"
)


@contextmanager
def interrupted(seconds: float) -> Iterator[None]:
    """Raise KeyboardInterrupt in the block after a time, which is its end."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with suppress(KeyboardInterrupt):
            # Again after a second: an exception in a function that is no Python code may be lost
            signal.setitimer(signal.ITIMER_REAL, seconds, 1)
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def is_free(lock: AbstractContextManager[object]) -> bool:
    """Whether another thread gets a lock."""
    found: list[bool] = []

    def take() -> None:
        with lock:
            found.append(True)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    thread.join(60)
    return bool(found)


def as_bytes(frames: Sequence[int]) -> list[bytes]:
    return [bytes([frame]) for frame in frames]


def test_lock_that_is_interrupted_is_free():
    lock = make_lock()
    for attempt in range(60):
        with interrupted(0.0005 + attempt * 1e-5):
            while True:
                with lock:
                    pass
        assert is_free(lock)


def test_reads_that_are_interrupted_leave_nobody_waiting():
    """Each frame is still there for a reader on another thread."""
    for attempt in range(60):
        ahead = ReadAhead("key", 8)
        frame = 0
        with interrupted(0.0005 + attempt * 1e-5):
            while True:
                frame = (frame + 1) % 60
                ahead.read([frame], 64, 512, as_bytes)
        found: list[list[bytes]] = []

        def read(ahead: ReadAhead = ahead, found: list[list[bytes]] = found) -> None:
            found.extend(ahead.read([number], 64, 512, as_bytes) for number in range(64))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        thread.join(60)
        assert found == [[bytes([number])] for number in range(64)]
        ahead.clear()
