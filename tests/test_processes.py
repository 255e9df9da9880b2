"""Locks that neither a fork nor Ctrl-C leaves locked."""

import signal
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager

import pytest

from dicomslide.processes import make_lock
from dicomslide.sources.readahead import ReadAhead
from tests.interrupts import interrupted

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="there are no timers that interrupt"
)


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


class Endless:
    """A finalizer that only an exception ends, which Python then loses."""

    def __del__(self) -> None:
        while True:
            pass


def test_interrupt_that_python_loses_comes_again():
    with interrupted(0.1):
        Endless()
        while True:
            pass


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
