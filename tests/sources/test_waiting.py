"""Waits that end in time, all of them watched by one thread."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dicomslide.errors import SourceError
from dicomslide.sources.waiting import stopped_in_time


def wait(seconds: float, name: str = "place") -> None:
    """Wait for something that never comes; fail when that is stopped."""
    stopped = threading.Event()
    with stopped_in_time(name, stopped.set, seconds):
        assert stopped.wait(60)
        raise OSError("stopped")


def test_a_wait_that_takes_too_long_is_stopped():
    with pytest.raises(SourceError, match="place: takes longer than 0 s") as caught:
        wait(0.05)
    assert isinstance(caught.value.__cause__, OSError)


def test_an_error_in_time_is_raised_as_it_is():
    with pytest.raises(OSError, match="early"), stopped_in_time("place", lambda: None, 60):
        raise OSError("early")


def test_block_that_ends_quietly_when_it_is_stopped_is_an_error_too():
    stopped = threading.Event()
    with pytest.raises(SourceError), stopped_in_time("place", stopped.set, 0.05):
        stopped.wait(60)


def test_a_short_wait_is_stopped_beside_a_long_one_that_began_before():
    with stopped_in_time("long", lambda: None, 600), pytest.raises(SourceError, match="short"):
        wait(0.05, "short")


def test_a_wait_that_is_over_is_not_stopped():
    stopped = threading.Event()
    with stopped_in_time("place", stopped.set, 0.1):
        pass
    with pytest.raises(SourceError):
        wait(0.3)
    assert not stopped.is_set()


def test_one_thread_watches_many_waits():
    with stopped_in_time("first", lambda: None, 600):
        before = threading.active_count()
    inside = []

    def watched(_: int) -> None:
        with stopped_in_time("place", lambda: None, 600):
            barrier.wait(60)
            inside.append(threading.active_count())
            barrier.wait(60)

    barrier = threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(watched, range(8)))
    assert max(inside) <= before + 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_watches_its_own_waits():
    stopped = threading.Event()
    with stopped_in_time("of the parent", stopped.set, 600):
        child = os.fork()
        if child == 0:
            try:
                wait(0.05)
            except SourceError:
                os._exit(0 if not stopped.is_set() else 2)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
