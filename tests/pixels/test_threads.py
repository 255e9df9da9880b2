"""Frames are decoded on several threads, each once, and errors reach the caller."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dicomslide.pixels.threads import ahead, default_threads, for_each, set_threads


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

    def test_reads_of_any_size_share_their_threads(self):
        before = set(threading.enumerate())
        for count in range(4, 24):
            for_each(lambda _: time.sleep(1e-4), list(range(count)), 12)
        assert len(set(threading.enumerate()) - before) <= 11

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

    def test_threads_that_are_busy_elsewhere_are_not_waited_for(self):
        release, done = threading.Event(), []

        def occupy(_):
            done.append(release.wait(30))

        with ThreadPoolExecutor(1) as other:
            blocked = other.submit(for_each, occupy, list(range(8)), 3)
            taken = []
            for_each(taken.append, list(range(100)), 3)
            assert sorted(taken) == list(range(100))
            assert done == []
            release.set()
            blocked.result(30)
        assert done == [True] * 8

    def test_works_after_an_exception(self):
        with pytest.raises(ZeroDivisionError):
            for_each(lambda item: 1 / item, list(range(40)), 2)
        taken = []
        for_each(taken.append, list(range(40)), 2)
        assert len(taken) == 40


class TestAhead:
    @pytest.mark.parametrize("most", [1, 2, 7])
    @pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
    def test_results_come_in_order(self, count, most):
        assert list(ahead(str, range(count), most)) == [str(item) for item in range(count)]

    def test_several_are_made_at_the_same_time(self):
        # Passes only when three items are made together
        barrier = threading.Barrier(3, timeout=10)
        assert list(ahead(lambda item: item + 0 * barrier.wait(), range(6), 3)) == [*range(6)]

    def test_next_is_made_while_the_caller_uses_one(self):
        # Passes only when making an item and using the one before happen together
        barrier = threading.Barrier(2, timeout=10)

        def make(item):
            if item:
                barrier.wait()
            return item

        used = []
        for item in ahead(make, range(5)):
            if item < 4:
                barrier.wait()
            used.append(item)
        assert used == list(range(5))

    @pytest.mark.parametrize("count", [1, 4])
    def test_never_more_than_so_many_are_ahead(self, count):
        made, taken = [], []

        def items():
            for item in range(20):
                taken.append(item)
                yield item

        for used, _ in enumerate(ahead(made.append, items(), count), 1):
            time.sleep(0.002)
            assert used <= len(made) <= len(taken) <= used + count

    def test_single_item_stays_on_the_thread_of_the_caller(self):
        assert list(ahead(lambda _: threading.get_ident(), [1])) == [threading.get_ident()]

    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_exception_comes_after_the_results_before_it(self, count):
        results = ahead(lambda item: 1 / (count - 1 - item), range(count))
        assert [next(results) for _ in range(count - 1)] == [
            1 / (count - 1 - item) for item in range(count - 1)
        ]
        with pytest.raises(ZeroDivisionError):
            next(results)

    def test_nothing_is_begun_when_the_caller_stops(self):
        made = []

        def make(item):
            time.sleep(0.01)
            made.append(item)

        results = ahead(make, range(20))
        next(results)
        results.close()
        time.sleep(0.05)
        assert len(made) <= 2


class TestDefaultThreads:
    def test_main_thread_may_use_the_processors(self):
        assert threading.current_thread() is threading.main_thread()
        assert default_threads() >= 1

    def test_reads_on_other_threads_decode_on_one(self):
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(default_threads).result() == 1


class TestSetThreads:
    @pytest.fixture(autouse=True)
    def _restored(self):
        yield
        set_threads(None)

    def test_number_of_threads_is_for_reads_on_the_main_thread(self):
        set_threads(3)
        assert default_threads() == 3
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(default_threads).result() == 1

    def test_none_is_the_default_again(self):
        before = default_threads()
        set_threads(before + 1)
        set_threads(None)
        assert default_threads() == before

    def test_number_of_threads_must_be_positive(self):
        with pytest.raises(ValueError, match="got 0"):
            set_threads(0)

    @pytest.mark.parametrize("count", [1.5, "2", True])
    def test_number_of_threads_must_be_an_integer(self, count):
        with pytest.raises(TypeError, match="count"):
            set_threads(count)


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


def test_a_process_of_multiprocessing_decodes_on_one_thread_unless_it_says_otherwise():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(default_threads) == 1
        pool.apply(set_threads, (3,))
        assert pool.apply(default_threads) == 3
