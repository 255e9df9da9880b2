"""Files on a server that misbehaves: the right pixels, or an error that tells."""

import re
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from dicomslide import DicomSlideError, Slide, open_slide
from dicomslide.errors import FrameError, SourceError
from dicomslide.sources import remotefile
from dicomslide.testing import SyntheticSlide
from tests.servers.faults import cut, drip, hang_up, redirect, silence, status
from tests.servers.messages import Answer, Request
from tests.servers.ranges import RangeServer, shorten_range
from tests.servers.serving import HttpServer

MAX_ATTEMPTS = 5
PLACES = ("http", "s3")
SLOW = ("s3", "closed")


@pytest.fixture(autouse=True)
def keep_little(monkeypatch: pytest.MonkeyPatch, slept: list[float]) -> None:
    """Keeps no frames with the first bytes of a file."""
    monkeypatch.setattr(remotefile, "_MOST_HEAD", 256)


@pytest.fixture(scope="session")
def written(write_kind) -> SyntheticSlide:
    """JPEG frames and their levels."""
    return write_kind("brightfield")


@pytest.fixture(params=PLACES)
def opened(request, written) -> Iterator[tuple[Slide, HttpServer]]:
    """A slide and the server of its files, which has forgotten what was before."""
    if request.param == "s3":
        bucket = request.getfixturevalue("bucket")
        url = bucket.upload(written.folder, "faults")
        # botocore asks again as well as s3fs does, after longer and longer pauses
        options = {**bucket.options, "config_kwargs": {"retries": {"max_attempts": 1}}}
        slide = open_slide(url, storage_options=options, max_frame_cache_size=0)
        read(slide)
        bucket.server.behave()
        yield slide, bucket.server
        bucket.server.behave()
    else:
        with RangeServer(written.folder) as server:
            slide = open_slide([server.url(path) for path in written.paths], max_frame_cache_size=0)
            read(slide)
            server.behave()
            yield slide, server


def read(slide: Slide) -> NDArray:
    return slide.get_image_region((0, 0), 0, (150, 210))


@pytest.fixture(scope="session")
def expected(written) -> NDArray:
    return read(open_slide(written.folder))


def is_range(request: Request) -> bool:
    return request.method == "GET" and "Range" in request.headers


FAULTS = {
    "closed": hang_up(),
    "reset": hang_up(reset=True),
    "429": status(429),
    "500": status(500),
    "503": status(503),
    "cut": cut(0.5),
    "cut and reset": cut(0.5, reset=True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_that_passes_costs_nothing_but_time(opened, expected, fault):
    slide, server = opened
    server.misbehave(FAULTS[fault], is_range, times=1)
    np.testing.assert_array_equal(read(slide), expected)


# s3fs takes a minute to see that a server which hangs up does not do better
LASTING = [(place, fault) for place in PLACES for fault in FAULTS if (place, fault) != SLOW]


@pytest.mark.parametrize(("opened", "fault"), LASTING, indirect=["opened"])
def test_fault_that_does_not_pass_is_an_error(opened, slept, fault):
    slide, server = opened
    server.misbehave(FAULTS[fault], is_range)
    with pytest.raises(SourceError, match=r"level-0\.dcm"):
        read(slide)
    assert len(slept) < MAX_ATTEMPTS
    # Some file systems ask again on their own
    assert len(server.requests) <= 60


def test_fewer_bytes_than_asked_for_are_an_error(opened):
    slide, server = opened
    server.misbehave(shorten_range(7), is_range)
    with pytest.raises(SourceError, match=r"level-0\.dcm.*bytes were delivered"):
        read(slide)


@pytest.mark.parametrize("code", [403, 404])
def test_refusal_is_told_in_the_error(opened, code):
    slide, server = opened
    server.misbehave(status(code), is_range)
    with pytest.raises(
        SourceError, match=r"level-0\.dcm: (no such file|access is denied|.*40[34])"
    ):
        read(slide)


# Of a web server only


@pytest.fixture
def server(written) -> Iterator[RangeServer]:
    with RangeServer(written.folder) as found:
        yield found


def urls(server: RangeServer, written: SyntheticSlide) -> list[str]:
    return [server.url(path) for path in written.paths]


@pytest.mark.parametrize("fault", [silence(), drip(0.05)], ids=["silent", "dripping"])
def test_time_to_wait_may_be_given_with_the_storage_options(server, written, fault):
    options = {"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=0.8)}}
    slide = open_slide(urls(server, written), storage_options=options)
    server.behave()
    server.misbehave(fault, is_range)
    begin = time.monotonic()
    with pytest.raises(SourceError, match=r"level-0\.dcm"):
        read(slide)
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("lists", [True, False])
def test_server_without_ranges_is_an_error(written, lists):
    """Whole files are not downloaded for each range; the error says what helps."""
    with RangeServer(written.folder, ranges=False, lists=lists) as server:
        with pytest.raises(SourceError, match="simplecache"):
            open_slide(urls(server, written))
        total = sum(path.stat().st_size for path in written.paths)
        assert server.bytes_sent <= 5 * total


def test_server_without_ranges_can_be_read_through_a_cache(written, expected, tmp_path):
    with RangeServer(written.folder, ranges=False) as server:
        slide = open_slide(
            [f"simplecache::{url}" for url in urls(server, written)],
            storage_options={"simplecache": {"cache_storage": str(tmp_path)}},
        )
        np.testing.assert_array_equal(read(slide), expected)


@pytest.mark.parametrize("shift", [1, 8, 4000])
def test_other_ranges_than_those_asked_for_are_an_error(server, written, shift):
    slide = open_slide(urls(server, written))
    server.shift = shift
    with pytest.raises((SourceError, FrameError), match=r"level-0\.dcm"):
        read(slide)


@pytest.mark.parametrize("page", [b"<html>Log in</html>", b"", bytes(1000)])
def test_page_in_place_of_a_file_is_an_error(server, written, page):
    server.misbehave(lambda *_: Answer(200, {"Content-Type": "text/html"}, page), ".dcm")
    with pytest.raises(DicomSlideError, match="127"):
        open_slide(urls(server, written))


def test_server_without_entity_tags_can_be_read(written, expected):
    with RangeServer(written.folder, tags=False) as server:
        np.testing.assert_array_equal(read(open_slide(urls(server, written))), expected)


@pytest.mark.parametrize("length", [10, 5000, 10**6])
def test_file_that_was_replaced_is_an_error(write_kind, tmp_path, length):
    """The frames of the other file lie elsewhere."""
    other = write_kind("sparse").levels[0].paths[0].read_bytes()
    path = tmp_path / "level-0.dcm"
    path.write_bytes(write_kind("brightfield").levels[0].paths[0].read_bytes())
    with RangeServer(tmp_path) as server:
        slide = open_slide([server.url(path)], max_frame_cache_size=0)
        read(slide)
        path.write_bytes((other * (1 + length // len(other)))[:length])
        with pytest.raises((SourceError, FrameError), match=r"level-0\.dcm"):
            read(slide)


def test_files_that_are_not_slides_are_passed_over_in_a_folder(written, expected, tmp_path):
    for path in written.paths:
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "notes.txt").write_text("no slide")
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / ".hidden.dcm").write_bytes(b"\0" * 200)
    (tmp_path / "ct.dcm").write_bytes(ct_image())
    with RangeServer(tmp_path) as server:
        np.testing.assert_array_equal(read(open_slide(f"{server.origin}/")), expected)


def ct_image() -> bytes:
    with open(pydicom.data.get_testdata_file("CT_small.dcm"), "rb") as file:
        return file.read()


# Credentials


def bearer(token: str) -> dict[str, Any]:
    return {"client_kwargs": {"headers": {"Authorization": f"Bearer {token}"}}}


def test_credentials_are_told_with_the_storage_options(written, expected):
    with RangeServer(written.folder, authorization="Bearer s3cret") as server:
        slide = open_slide(urls(server, written), storage_options=bearer("s3cret"))
        np.testing.assert_array_equal(read(slide), expected)
        with pytest.raises(SourceError, match=r"401|access is denied") as caught:
            open_slide(urls(server, written), storage_options=bearer("wr0ng"))
    assert "wr0ng" not in str(caught.value)


def test_credentials_do_not_go_to_another_origin(written):
    with (
        HttpServer(lambda _: Answer(404)) as other,
        RangeServer(written.folder, authorization="Bearer s3cret") as server,
    ):
        slide = open_slide(urls(server, written), storage_options=bearer("s3cret"))
        server.misbehave(redirect(other.origin.replace("127.0.0.1", "localhost")), is_range)
        with pytest.raises(SourceError, match=r"level-0\.dcm"):
            read(slide)
        assert not [request for request in other.requests if "Authorization" in request.headers]


@pytest.mark.parametrize("where", ["ann:s3cret@", ""])
def test_errors_do_not_show_what_is_in_a_url(server, where):
    url = f"{server.origin}/none.dcm?signature=s3cret".replace("http://", f"http://{where}")
    with pytest.raises(SourceError, match=re.escape(server.origin)) as caught:
        open_slide([url])
    assert "s3cret" not in str(caught.value)
