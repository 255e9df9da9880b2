"""Slides that are opened in one process and read in another, which may be on another machine."""

import importlib
import operator
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicomslide import Slide, open_slide
from dicomslide.errors import SourceError
from tests.places.places import PLACES

TOKEN = "abc.DEF-123"
FACTORY = f"""
import requests

def log_in():
    session = requests.Session()
    session.headers["Authorization"] = "Bearer " + {TOKEN[::-1]!r}[::-1]
    return session
"""
# A function that the other process can import: it calls a method of what arrives there
READ = operator.methodcaller("get_image_region", (5, 7), 0, (140, 190))


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A function that makes sessions, in a module that other processes can import."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "slide_sessions.py").write_text(FACTORY)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield importlib.import_module("slide_sessions").log_in


@pytest.fixture(scope="module")
def another_process(factory: Any) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize(
    "place", [name for name in PLACES if name not in ("memory",)], indirect=True
)
def test_pixels_are_the_same_in_another_process(put, write_kind, another_process):
    slide = open_slide(**put(write_kind("brightfield")))
    expected = READ(slide)
    np.testing.assert_array_equal(another_process.submit(READ, slide).result(60), expected)


def test_pickled_slide_is_small(serve, write_kind):
    """What is pickled are the metadata of its images, and no frames."""
    slide = open_slide(f"dicomweb+{serve('brightfield').url}")
    slide.get_image_region((0, 0), 0, (150, 210))
    assert len(pickle.dumps(slide)) < 100_000


def test_array_outlives_its_slide(serve, another_process):
    slide = open_slide(f"dicomweb+{serve('fluorescence').url}")
    array = slide.get_volume_images()[0].get_total_pixel_matrix().to_dask()
    expected = array.compute()
    compute = operator.methodcaller("compute", scheduler="threads")
    np.testing.assert_array_equal(another_process.submit(compute, array).result(60), expected)
    assert len(pickle.dumps(array)) < 20_000


def test_function_that_makes_sessions_travels(serve, factory, another_process):
    server = serve("brightfield", authorization=f"Bearer {TOKEN}")
    slide = open_slide(f"dicomweb+{server.url}", session=factory)
    server.behave()
    pixels = another_process.submit(READ, slide).result(60)
    assert {request.headers["Authorization"] for request in server.requests} == {f"Bearer {TOKEN}"}
    np.testing.assert_array_equal(pixels, READ(slide))


@pytest.mark.parametrize("how", ["token", "session"])
def test_credentials_stay_in_their_process(serve, factory, another_process, how):
    """The error in the other process says what helps."""
    server = serve("brightfield", authorization=f"Bearer {TOKEN}")
    options = {"credentials": TOKEN} if how == "token" else {"session": factory()}
    slide = open_slide(f"dicomweb+{server.url}", **options)
    server.behave()
    with pytest.raises(SourceError, match="function that makes the session"):
        another_process.submit(READ, slide).result(60)
    assert server.requests == []


def test_slide_that_comes_back_to_its_process_has_its_credentials(serve, factory):
    server = serve("brightfield", authorization=f"Bearer {TOKEN}")
    slide = open_slide(f"dicomweb+{server.url}", credentials=TOKEN)
    back = pickle.loads(pickle.dumps(slide))
    assert isinstance(back, Slide)
    np.testing.assert_array_equal(READ(back), READ(slide))


def test_storage_options_are_pickled(bucket, write_kind, another_process):
    """File systems of fsspec are pickled with their options, secrets included."""
    written = write_kind("sparse")
    url = bucket.upload(written.folder, "travelling")
    slide = open_slide(url, storage_options=bucket.options)
    pixels = another_process.submit(READ, slide).result(60)
    np.testing.assert_array_equal(pixels, READ(open_slide(Path(written.folder))))
