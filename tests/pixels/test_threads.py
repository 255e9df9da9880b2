"""Frames are decoded on several threads, each once, and errors reach the caller."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dicomslide.pixels.threads import default_threads, for_each


class TestForEach:
    @pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 33, 300])
    @pytest.mark.parametrize("threads", [1, 2, 3])
    def test_each_item_is_taken_once(self, count, threads):
        taken = []
        for_each(taken.append, list(range(count)), threads)
        assert sorted(taken) == list(range(count))

    def test_one_thread_is_that_of_the_caller_and_keeps_the_order(self):
        taken = []
        for_each(lambda item: taken.append((item, threading.get_ident())), list(range(100)), 1)
        assert taken == [(item, threading.get_ident()) for item in range(100)]

    def test_few_items_stay_on_the_thread_of_the_caller(self):
        idents = []
        for_each(lambda _: idents.append(threading.get_ident()), [1, 2, 3], 4)
        assert set(idents) == {threading.get_ident()}

    def test_threads_work_at_the_same_time(self):
        # Passes only when three items are in work together
        barrier = threading.Barrier(3, timeout=10)
        for_each(lambda _: barrier.wait(), list(range(12)), 3)

    def test_no_more_threads_than_asked_for(self):
        names = set()
        for_each(lambda _: names.add(threading.current_thread().name), list(range(500)), 2)
        assert 1 <= len(names) <= 2

    @pytest.mark.parametrize("threads", [1, 3])
    @pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt("broken")])
    def test_exception_reaches_the_caller(self, threads, error):
        def fail(item):
            if item == 17:
                raise error

        with pytest.raises(type(error), match="broken") as caught:
            for_each(fail, list(range(40)), threads)
        assert caught.value is error

    def test_nothing_runs_on_after_an_exception(self):
        started, ended = [], []

        def work(item):
            started.append(item)
            if item == 0:
                raise ValueError("broken")
            time.sleep(0.001)
            ended.append(item)

        with pytest.raises(ValueError, match="broken"):
            for_each(work, list(range(40)), 3)
        assert sorted(started) == sorted([0, *ended])

    def test_works_after_an_exception(self):
        with pytest.raises(ZeroDivisionError):
            for_each(lambda item: 1 / item, list(range(40)), 2)
        taken = []
        for_each(taken.append, list(range(40)), 2)
        assert len(taken) == 40


class TestDefaultThreads:
    def test_main_thread_may_use_the_processors(self):
        assert threading.current_thread() is threading.main_thread()
        assert default_threads() >= 1

    def test_other_threads_share_the_machine(self):
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(default_threads).result() == 1


FORK = """
import os, sys
from dicomslide.pixels.threads import for_each

def total():
    taken = []
    for_each(taken.append, list(range(100)), 2)
    return sum(taken)

assert total() == 4950
child = os.fork()
if child == 0:
    os._exit(0 if total() == 4950 else 1)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_child_of_a_fork_has_threads_of_its_own():
    assert subprocess.run([sys.executable, "-c", FORK], timeout=60, check=False).returncode == 0
