"""Slides that are opened in one process and read in children that it forks."""

import multiprocessing
import operator
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from dicomslide import Slide, open_slide
from dicomslide.errors import DicomSlideError
from dicomslide.sources import remotefile
from tests.places.places import PLACES
from tests.servers.faults import silence
from tests.servers.messages import Request
from tests.servers.ranges import RangeServer
from tests.servers.serving import HttpServer

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here"),
    # What Python says of any fork beside threads
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

READ = operator.methodcaller("get_image_region", (5, 7), 0, (140, 190))
SECONDS = 60


def in_child(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a forked child, which may not take for ever."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=lambda: there.send(function(*args)))
    child.start()
    try:
        assert here.poll(SECONDS), "the child waits for something"
        found = here.recv()
        child.join(SECONDS)
        assert child.exitcode == 0
        return found
    finally:
        child.kill()
        child.join()


@contextmanager
def being_read(slide: Slide) -> Iterator[None]:
    """Read a slide on two other threads, again and again."""
    over = Event()

    def read() -> None:
        while not over.is_set():
            READ(slide)

    threads = [Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_child_reads_while_its_parent_does(put, write_kind):
    slide = open_slide(**put(write_kind("brightfield")))
    expected = READ(slide)
    with being_read(slide):
        for _ in range(3):
            np.testing.assert_array_equal(in_child(READ, slide), expected)
    np.testing.assert_array_equal(READ(slide), expected)


@pytest.mark.parametrize("credentials", [None, "token"])
def test_child_does_not_wait_for_what_its_parent_waits_for(serve, write_kind, credentials):
    expected = READ(open_slide(write_kind("brightfield").folder))
    server = serve("brightfield")
    slide = open_slide(f"dicomweb+{server.url}", credentials=credentials)
    with waiting_for(server, slide, lambda request: "/frames/" in request.target):
        np.testing.assert_array_equal(in_child(READ, slide), expected)


def test_child_does_not_wait_for_the_offsets_that_its_parent_looks_for(
    write_kind, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remotefile, "_MOST_HEAD", 256)
    written = write_kind("sparse")
    expected = READ(open_slide(written.folder))
    with RangeServer(written.folder) as server:
        slide = open_slide([server.url(path) for path in written.paths])
        with waiting_for(server, slide, lambda request: request.method == "GET"):
            np.testing.assert_array_equal(in_child(READ, slide), expected)


@contextmanager
def waiting_for(
    server: HttpServer, slide: Slide, when: Callable[[Request], bool]
) -> Iterator[None]:
    """Let another thread wait for the first answer of a server that is silent once."""
    server.behave()
    server.misbehave(silence(), when, times=1)

    def read() -> None:
        with suppress(DicomSlideError):
            READ(slide)

    thread = Thread(target=read)
    thread.start()
    try:
        while not server.requests and thread.is_alive():
            time.sleep(0.01)
        assert thread.is_alive()
        yield
    finally:
        server.stop()
        thread.join()


@pytest.mark.parametrize("place", ["dicomweb", "http"])
def test_end_of_a_child_leaves_its_parent_alone(serve, write_kind, monkeypatch, place):
    monkeypatch.setattr(remotefile, "_MOST_HEAD", 256)
    written = write_kind("brightfield")
    expected = READ(open_slide(written.folder))
    with RangeServer(written.folder) as files:
        if place == "dicomweb":
            server = serve("brightfield")
            slide = open_slide(f"dicomweb+{server.url}")
        else:
            server = files
            slide = open_slide([files.url(path) for path in written.paths])
        server.behave()
        server.misbehave(silence(2), times=1)
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit(READ, slide)
            while not server.requests:
                time.sleep(0.01)
            assert in_child(os.getppid) == os.getpid()
            np.testing.assert_array_equal(read.result(), expected)
        targets = [(request.target, request.headers["Range"]) for request in server.requests]
        assert len(targets) == len(set(targets))


class Patches:
    """Patches of a slide by their number, as data sets for training are."""

    def __init__(self, slide: Slide) -> None:
        self.slide = slide

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> np.ndarray:
        row, column = divmod(index, 4)
        return self.slide.get_image_region((row * 40, column * 40), 0, (48, 48))


_patches: list[Patches] = []


def patch_of_worker(index: int) -> np.ndarray:
    return _patches[-1][index]


@pytest.mark.parametrize("place", ["folder", "dicomweb", "s3", "http files"], indirect=True)
def test_forked_workers_load_patches(put, write_kind):
    patches = Patches(open_slide(**put(write_kind("brightfield"))))
    expected = [patches[index] for index in range(len(patches))]
    context = multiprocessing.get_context("fork")
    with context.Pool(2, _patches.append, (patches,)) as pool:
        for epoch in range(2):
            loaded = pool.map_async(patch_of_worker, range(len(patches)), chunksize=1)
            np.testing.assert_array_equal(loaded.get(SECONDS), expected, f"epoch {epoch}")
