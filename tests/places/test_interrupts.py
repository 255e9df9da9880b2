"""Reads that end early: at Ctrl-C while a server is silent, and when the program ends."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.servers.faults import silence
from tests.servers.ranges import RangeServer
from tests.servers.serving import HttpServer

OPEN = """
import atexit
import signal
import sys
import threading

import dicomslide
from dicomslide.sources import remotefile

# What runs in the background of a shell ignores Ctrl-C, and so does what it starts
signal.signal(signal.SIGINT, signal.default_int_handler)
# No frames are kept with the first bytes of a file
remotefile._MOST_HEAD = 256
source = sys.argv[1].split()

def open_slide():
    return dicomslide.open_slide(source if len(source) > 1 else source[0])

def read():
    return slide.get_image_region((0, 0), 0, (150, 210))

def read_frames():
    matrix = slide.get_image(0).get_total_pixel_matrix()
    return matrix.to_dask().compute(scheduler="threads")

def read_late():
    if threading.current_thread() is not threading.main_thread():
        threading.main_thread().join()
    try:
        print(read().shape)
    except dicomslide.DicomSlideError as error:
        print(type(error).__name__, error)

slide = open_slide()
print(flush=True)
input()
"""
WAYS = {"region": "read()", "dask": "read_frames()", "opening": "open_slide()"}
LATE = {
    "exit": "atexit.register(read_late)",
    "thread": "threading.Thread(target=read_late).start()",
}


@contextmanager
def run(program: str, source: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", OPEN + program, source]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            # It has opened the slide
            assert process.stdout.readline() == "\n"
            yield process
        finally:
            process.kill()


@pytest.fixture(params=["dicomweb", "http"])
def served(request, write_kind, serve) -> Iterator[tuple[str, HttpServer]]:
    """What a slide is opened with, and the server behind it."""
    if request.param == "dicomweb":
        server = serve("brightfield")
        yield f"dicomweb+{server.url}", server
    else:
        written = write_kind("brightfield")
        with RangeServer(written.folder) as server:
            yield " ".join(map(server.url, written.paths)), server


@pytest.mark.parametrize("way", WAYS)
def test_interrupted_while_the_server_is_silent(served, way):
    source, server = served
    with run(WAYS[way], source) as process:
        server.behave()
        server.misbehave(silence())
        process.stdin.write("\n")
        process.stdin.flush()
        while process.poll() is None and not server.requests:
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        _, errors = process.communicate(timeout=60)
        assert time.monotonic() - begin < 5
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize("when", LATE)
def test_read_when_the_program_ends_is_a_clear_error(served, when):
    source, _ = served
    with run(LATE[when], source) as process:
        output, errors = process.communicate("\n", timeout=60)
    assert re.search(r"^SourceError .*: nothing is read any more, as the program ends$", output)
    assert errors == ""


@pytest.mark.parametrize("when", LATE)
def test_local_files_are_read_until_the_end(write_kind, when):
    with run(LATE[when], str(write_kind("brightfield").folder)) as process:
        output, errors = process.communicate("\n", timeout=60)
    assert (output, errors) == ("(150, 210, 3)\n", "")
