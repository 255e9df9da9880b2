"""Frames from a DICOMweb service that misbehaves: the right pixels, or an error that tells."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomslide import DicomSlideError, Slide, open_slide
from dicomslide.errors import FrameError, SourceError
from dicomslide.sources import http
from tests.servers.dicomweb import DicomwebServer
from tests.servers.faults import (
    announce,
    bomb,
    change_parts,
    cut,
    drip,
    hang_up,
    never_end,
    one_part_only,
    redirect,
    silence,
    status,
    with_headers,
)
from tests.servers.messages import Answer, Fault, Part
from tests.servers.serving import HttpServer

# Tiles of 32 x 48 pixels: this region lies in the frames 1, 2, 6 and 7 of the base level
REGION, FRAMES = (slice(10, 60), slice(20, 90)), "/frames/1,2,6,7"
MAX_ATTEMPTS = 5


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes time-outs short."""
    monkeypatch.setattr(http, "_TIMEOUT", (0.6, 0.6))
    monkeypatch.setattr(http, "LONGEST", 2.0)


@pytest.fixture
def kind() -> str:
    """How the pixels of the slide are stored."""
    return "plain"


@pytest.fixture
def server(serve, kind, slept) -> DicomwebServer:
    return serve(kind)


@pytest.fixture
def slide(server: DicomwebServer) -> Slide:
    opened = open_slide(f"dicomweb+{server.url}", correct_color=False)
    server.behave()
    return opened


@pytest.fixture
def expected(write_kind, kind) -> NDArray:
    return read(open_slide(write_kind(kind).folder, correct_color=False))


def read(slide: Slide) -> NDArray:
    return slide.get_volume_images()[0].get_total_pixel_matrix()[REGION]


def date_in(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


# Faults that may pass: the server is asked again

PASSING = {
    "closed": hang_up(),
    "reset": hang_up(reset=True),
    "408": status(408),
    "429": status(429),
    "502": status(502),
    "503": status(503),
    "504": status(504),
    "429, again in 2 s": status(429, retry_after="2"),
    "503, again at a time": status(503, retry_after=date_in(9)),
    "503, again at a time that has passed": status(503, retry_after=date_in(-99)),
    "503, again some time": status(503, retry_after="later"),
    "503, again before now": status(503, retry_after="-5"),
    "cut in a part": cut(0.6),
    "cut in a part, in chunks": cut(0.6, chunked=True),
    "cut and reset": cut(0.6, reset=True),
    "cut before the last boundary": cut(0.999, chunked=True),
    "nothing": cut(0.0),
    "nothing, in chunks": cut(0.0, chunked=True),
    "longer announced": announce(1 << 16),
    "fewer parts": change_parts(lambda parts: parts[:-1]),
    "more parts": change_parts(lambda parts: [*parts, parts[0]]),
    "no parts": change_parts(lambda _: []),
    "an empty part": change_parts(
        lambda parts: [*parts[:2], replace(parts[2], content=b""), parts[3]]
    ),
    "one frame twice": change_parts(lambda parts: [*parts[:3], parts[2]]),
}


@pytest.mark.parametrize("fault", PASSING)
def test_fault_that_passes_costs_nothing_but_time(server, slide, expected, slept, fault):
    server.misbehave(PASSING[fault], FRAMES, times=3)
    np.testing.assert_array_equal(read(slide), expected)
    assert len(server.requests) == len(slept) + 1 == 4


@pytest.mark.usefixtures("impatient")
def test_silence_that_passes_costs_nothing_but_time(server, slide, expected, slept):
    server.misbehave(silence(), FRAMES, times=1)
    np.testing.assert_array_equal(read(slide), expected)
    assert len(server.requests) == len(slept) + 1 == 2


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", [silence(), drip(0.05)], ids=["silent", "dripping"])
def test_waiting_has_an_end(server, slide, fault):
    """An answer may not come at all, or not end."""
    server.misbehave(fault, FRAMES)
    begin = time.monotonic()
    with pytest.raises(SourceError, match=re.escape(FRAMES)):
        read(slide)
    assert len(server.requests) <= MAX_ATTEMPTS
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("fault", PASSING)
def test_fault_that_does_not_pass_is_an_error(server, slide, slept, fault):
    server.misbehave(PASSING[fault], FRAMES)
    with pytest.raises((SourceError, FrameError)) as caught:
        read(slide)
    assert server.url in str(caught.value)
    assert FRAMES in str(caught.value)
    assert 2 <= len(server.requests) == len(slept) + 1 <= MAX_ATTEMPTS


def test_pauses_become_longer(server, slide, slept):
    server.misbehave(status(503), FRAMES)
    with pytest.raises(SourceError, match="503"):
        read(slide)
    assert sorted(slept) == slept
    assert 1 < sum(slept) < 30


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [("3", 3, 3.5), ("0", 0, 0.5), (date_in(12), 0, 12.5), (date_in(-60), 0, 0.5)],
    ids=["seconds", "at once", "a time", "a time that has passed"],
)
def test_server_may_say_when_it_can_be_asked_again(
    server, slide, slept, expected, retry_after, least, most
):
    server.misbehave(status(503, retry_after=retry_after), FRAMES, 1)
    np.testing.assert_array_equal(read(slide), expected)
    assert least <= slept[0] <= most


@pytest.mark.parametrize(
    "retry_after", ["1000000", "9" * 400, date_in(86400)], ids=["days", "ages", "a day"]
)
def test_nobody_waits_for_long(server, slide, slept, retry_after):
    server.misbehave(status(503, retry_after=retry_after), FRAMES)
    with pytest.raises(SourceError, match="503"):
        read(slide)
    assert sum(slept) < 60


def test_error_tells_the_reason(server, slide):
    for fault, reason in {
        hang_up(): "connection",
        status(502): "502",
        cut(0.5): "cut off",
        change_parts(lambda parts: parts[:-1]): "3 frames came, 4 were requested",
    }.items():
        server.behave()
        server.misbehave(fault, FRAMES)
        with pytest.raises(DicomSlideError, match=reason):
            read(slide)


# Answers that are unusual, but right


def shuffle(parts: list[Part]) -> list[Part]:
    return [parts[i] for i in (2, 0, 3, 1)]


def move_to(location: Callable[[str], str]) -> Fault:
    """Send the parts in another order, and tell their places in another way."""

    def change(parts: list[Part]) -> list[Part]:
        return [
            replace(part, headers=part.headers | {"Content-Location": location(place)})
            for part in shuffle(parts)
            if (place := part.headers["Content-Location"])
        ]

    return change_parts(change)


def without(name: str) -> Fault:
    return change_parts(
        lambda parts: [
            replace(part, headers={n: v for n, v in part.headers.items() if n != name})
            for part in parts
        ]
    )


UNUSUAL = {
    "other order, absolute locations": move_to(str),
    "other order, relative locations": move_to(lambda place: place[place.index("/frames/") :]),
    "other order, locations at another host": move_to(
        lambda place: "https://proxy.example.org" + place[place.index("/studies/") :]
    ),
    "other order, lower case": change_parts(
        lambda parts: [
            replace(part, headers={n.lower(): v for n, v in part.headers.items()})
            for part in shuffle(parts)
        ]
    ),
    "no locations": without("Content-Location"),
    "no types of parts": without("Content-Type"),
    "lengths of parts": change_parts(
        lambda parts: [
            replace(part, headers={**part.headers, "Content-Length": str(len(part.content))})
            for part in parts
        ]
    ),
    "chunks": lambda _, answer: replace(answer, chunked=True),
    "compressed": lambda _, answer: replace(answer, compressible=True),
    "text before the first part": lambda _, answer: replace(
        answer, body=b"This is MIME.\r\n" + answer.payload(), parts=None
    ),
    "text after the last part": lambda _, answer: replace(
        answer, body=answer.payload() + b"\r\nThat was MIME.", parts=None
    ),
    "boundary in quotes": lambda _, answer: replace(
        answer,
        boundary="a (strange): boundary/=?",
        headers={
            "Content-Type": 'multipart/related; boundary="a (strange): boundary/=?"; type="x/y"'
        },
    ),
    "boundary that is not told": with_headers(Content_Type='multipart/related; type="image/jpeg"'),
    "type with a transfer syntax in quotes": lambda _, answer: replace(
        answer,
        headers={
            "Content-Type": 'multipart/related; type="x/y; transfer-syntax=1.2.3"; boundary='
            + answer.boundary
        },
    ),
}


@pytest.mark.parametrize("answer", UNUSUAL)
def test_unusual_answer_is_understood(server, slide, expected, answer):
    server.misbehave(UNUSUAL[answer], FRAMES)
    np.testing.assert_array_equal(read(slide), expected)
    assert len(server.requests) == 1


def test_single_frame_need_not_be_a_part(server, slide, expected):
    server.misbehave(one_part_only(), "/frames/")
    matrix = slide.get_volume_images()[0].get_total_pixel_matrix()
    np.testing.assert_array_equal(matrix[10:32, 20:48], expected[:22, :28])


# Answers that are wrong, however often they are asked for


def resize(parts: list[Part]) -> list[Part]:
    """Cut the last bytes off a frame."""
    return [*parts[:2], replace(parts[2], content=parts[2].content[:-40]), parts[3]]


def fill(content: bytes) -> Fault:
    return change_parts(lambda parts: [replace(part, content=content) for part in parts])


WRONG = {
    "one part only": one_part_only(),
    "a page of HTML": lambda *_: Answer(200, {"Content-Type": "text/html"}, b"<html>Log in"),
    "an empty answer": lambda *_: Answer(204),
    "JSON": lambda *_: Answer(200, {"Content-Type": "application/json"}, b"[]"),
    "another boundary": with_headers(Content_Type="multipart/related; boundary=other"),
    "huge length": announce(10**13),
    "endless chunks": never_end(),
    "endless body": never_end(announced=10**6),
    "bomb": bomb(64),
    "a part that is too short": change_parts(resize),
    "noise": fill(b"\x13\x37" * 999),
    "zeros": fill(bytes(32 * 48 * 3)[:-1]),
    "HTML in parts": fill(b"<html>Log in</html>"),
    "other frames": change_parts(
        lambda parts: [
            replace(part, headers={**part.headers, "Content-Location": f"/frames/{n}"})
            for n, part in enumerate(parts, 1)
        ]
    ),
    "one place twice": change_parts(
        lambda parts: [replace(part, headers=parts[0].headers) for part in parts]
    ),
    "another transfer syntax": change_parts(
        lambda parts: [
            replace(
                part, headers={"Content-Type": "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"}
            )
            for part in parts
        ]
    ),
    "redirect without an end": lambda request, _: Answer(302, {"Location": request.target}),
    "redirect to nowhere": status(302),
    "redirect to a file": lambda *_: Answer(302, {"Location": "file:///etc/passwd"}),
}


# JPEG, and uncompressed pixels in the first of the parts of a concatenation
@pytest.mark.parametrize("kind", ["plain", "concatenation"])
@pytest.mark.parametrize("answer", WRONG)
def test_wrong_answer_is_an_error(server, slide, slept, answer):
    server.misbehave(WRONG[answer], FRAMES)
    begin = time.monotonic()
    with pytest.raises((SourceError, FrameError)) as caught:
        read(slide)
    message = str(caught.value)
    assert server.archive.instances[0].uid in message
    # Either all frames that were asked for are named, or the one that is wrong
    assert FRAMES in message or re.search(r"frame [1267]\b|frames \[1, 2, 6, 7\]", message)
    assert len(message) < 1000
    assert "root:" not in message
    assert len(server.requests) <= 2 * MAX_ATTEMPTS
    assert server.bytes_sent < 32 << 20
    assert time.monotonic() - begin < 15


# A list of frames, and one frame alone; 400, 406, 500 and 501 in two forms of the header Accept
REFUSED = {400: 4, 401: 1, 403: 2, 404: 2, 406: 4, 410: 2, 500: 4, 501: 4}


@pytest.mark.parametrize("kind", ["plain", "concatenation"])
@pytest.mark.parametrize("code", REFUSED)
def test_answer_that_does_not_change_is_not_asked_for_again(server, slide, slept, code):
    server.misbehave(status(code, WWW_Authenticate='Basic realm="x"'), "/frames/")
    with pytest.raises(SourceError, match=rf"/frames/[1,267]+: HTTP {code}") as caught:
        read(slide)
    assert server.archive.instances[0].uid in str(caught.value)
    assert len(server.requests) == REFUSED[code]
    assert slept == []


def test_redirect_at_the_same_origin_is_followed(server, slide, expected):
    server.misbehave(
        lambda request, _: Answer(307, {"Location": f"{request.target}?moved"}),
        lambda request: "moved" not in request.target,
    )
    np.testing.assert_array_equal(read(slide), expected)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect_to_another_origin_is_not_followed(server, slide, code):
    with HttpServer(lambda _: Answer(404)) as other:
        server.misbehave(redirect(other.origin, code), FRAMES)
        with pytest.raises(SourceError, match="redirects"):
            read(slide)
        assert other.requests == []


def test_server_that_is_gone_is_an_error(server, slide):
    server.stop()
    with pytest.raises(SourceError, match=re.escape(FRAMES)):
        read(slide)


def test_slide_can_be_read_when_the_fault_is_over(server, slide, expected):
    server.misbehave(cut(0.5), FRAMES)
    with pytest.raises(SourceError):
        read(slide)
    server.behave()
    np.testing.assert_array_equal(read(slide), expected)
