"""Opening slides of a DICOMweb service: searches, metadata and bulk data, also odd ones."""

import re
import warnings
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import xarray as xr

from dicomslide import DicomSlideError, Slide, open_slide
from dicomslide.errors import NoSlideError, SourceError
from dicomslide.sources import dicomweb
from tests.servers.dicomweb import DicomwebServer
from tests.servers.faults import bomb, change_metadata, cut, hang_up, never_end, status
from tests.servers.messages import Answer, Request
from tests.servers.serving import HttpServer

pytestmark = pytest.mark.usefixtures("slept")


def open_at(server: DicomwebServer, **options: Any) -> Slide:
    return open_slide(f"dicomweb+{server.url}", **options)


def tree(slide: Slide) -> xr.DataTree:
    return slide.to_datatree(chunks=None).load()


@pytest.fixture(scope="session")
def expected(write_kind) -> Callable[[str], xr.DataTree]:
    return lambda kind: tree(open_slide(write_kind(kind).folder))


# What services do differently


@pytest.mark.parametrize(
    "options",
    [
        {"tells_transfer_syntax": False},
        {"empty_status": 204},
        {"page_size": 1},
        {"compresses": False},
        {"bulk_threshold": 0},
        {"bulk_threshold": 1 << 20},
        {"bulk_in_parts_only": True},
        {"prefix": ""},
        {"prefix": "/deep/er/rs"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["brightfield", "derived"])
def test_services_that_answer_differently_give_the_same_slide(serve, expected, kind, options):
    xr.testing.assert_identical(tree(open_at(serve(kind, **options))), expected(kind))


@pytest.mark.parametrize("end", ["", "/"])
def test_url_may_name_study_and_series(serve, write_kind, expected, end):
    server, slide = serve("sparse"), write_kind("sparse")
    study, series = slide.study_instance_uid, slide.series_instance_uid
    for path in ("", f"/studies/{study}", f"/studies/{study}/series/{series}"):
        found = open_slide(f"dicomweb+{server.url}{path}{end}")
        xr.testing.assert_identical(tree(found), expected("sparse"))


def test_known_series_is_not_searched_for(serve, write_kind):
    server, slide = serve("sparse"), write_kind("sparse")
    open_at(
        server,
        study_instance_uid=slide.study_instance_uid,
        series_instance_uid=slide.series_instance_uid,
    )
    assert [urlsplit(request.target).path.rpartition("/")[2] for request in server.requests] == [
        "metadata"
    ]


def test_instances_are_asked_for_where_series_are_not_known(serve, expected):
    server = serve("instances")
    # Neither the service nor a proxy has metadata of whole series
    server.misbehave(
        status(404), lambda request: re.search(r"/series/[^/]+/metadata$", request.target)
    )
    xr.testing.assert_identical(tree(open_at(server)), expected("instances"))


def test_per_frame_groups_may_be_bulk_data(serve, expected):
    server = serve("sparse", bulk_sequences=["PerFrameFunctionalGroupsSequence"])
    xr.testing.assert_identical(tree(open_at(server)), expected("sparse"))


# Places of bulk data


def without_port(uri: str) -> str:
    return re.sub(r":\d+/", "/", uri)


@pytest.mark.parametrize(
    "move",
    [
        without_port,
        lambda uri: uri.replace("127.0.0.1", "localhost"),
        lambda uri: urlsplit(uri).path,
        lambda uri: "https://archive.example.org:9999" + urlsplit(uri).path,
        lambda uri: "http://user:secret@archive.example.org/elsewhere" + urlsplit(uri).path[10:],
        lambda uri: uri.replace("http://", "HTTP://"),
    ],
)
def test_bulk_data_elsewhere_are_those_of_the_service(serve, expected, move):
    server = serve("brightfield", bulk_uri=move)
    xr.testing.assert_identical(tree(open_at(server)), expected("brightfield"))


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/profile",
        "data:application/octet-stream;base64,AAAA",
        "no such place",
        "",
        "http://[::1",
        "http://127.0.0.1:99999/",
        "/dicom-web/../../secret",
        "//",
    ],
)
def test_icc_profile_that_cannot_be_had_is_one_warning(serve, write_kind, uri):
    server = serve("brightfield", bulk_uri=lambda _: uri)
    check_uncorrected(server, write_kind)


NO_PROFILE = {
    "404": status(404),
    "500": status(500),
    "closed": hang_up(),
    "cut": cut(0.5),
    "endless": never_end(),
    "bomb": bomb(2),
}


@pytest.mark.parametrize("fault", NO_PROFILE)
def test_icc_profile_that_is_not_delivered_is_one_warning(serve, write_kind, monkeypatch, fault):
    monkeypatch.setattr(dicomweb, "_MAX_BULK_DATA", 1 << 20)
    server = serve("brightfield")
    server.misbehave(NO_PROFILE[fault], "/bulkdata/")
    check_uncorrected(server, write_kind)


def check_uncorrected(server, write_kind) -> None:
    with warnings.catch_warnings(record=True, action="always") as caught:
        slide = open_at(server)
        found = tree(slide)
    assert [str(w.message) for w in caught if "colours are not corrected" in str(w.message)]
    assert len(caught) == 1
    plain = tree(open_slide(write_kind("brightfield").folder, correct_color=False))
    for level in ("level_0", "level_1", "level_2"):
        xr.testing.assert_equal(found[level]["image"], plain[level]["image"])


def test_icc_profiles_are_not_asked_for_in_vain(serve):
    server = serve("brightfield")
    open_at(server, correct_color=False)
    assert server.matching("/bulkdata/") == []


def test_bulk_data_never_come_from_another_origin(serve):
    def send(request: Request) -> Answer:
        return Answer(200, {"Content-Type": "application/octet-stream"}, b"profile")

    with HttpServer(send) as other:
        server = serve(
            "brightfield",
            bulk_uri=lambda uri: other.origin + urlsplit(uri).path,
            authorization="Bearer token",
        )
        open_at(server, credentials="token")
        server.misbehave(
            lambda request, _: Answer(302, {"Location": other.origin + request.target}),
            "/bulkdata/",
        )
        with pytest.warns(UserWarning, match="colours are not corrected"):
            open_at(server, credentials="token")
        assert other.requests == []


# Metadata that are wrong


def each(change: Callable[[dict[str, Any]], Any]):
    """Change each data set."""

    def apply(items: list[dict[str, Any]]) -> list[Any]:
        return [change(item) for item in items]

    return change_metadata(apply)


WRONG = {
    "no JSON": lambda *_: Answer(200, {}, b"<html>Log in</html>"),
    "no text": lambda *_: Answer(200, {}, b"\xff\xfe\x00"),
    "half of it": lambda _, answer: Answer(200, {}, answer.body[: len(answer.body) // 2]),
    "a number": lambda *_: Answer(200, {}, b"7"),
    "a list of texts": lambda *_: Answer(200, {}, b'["a"]'),
    "deep lists": lambda *_: Answer(200, {}, b"[" * 100_000),
    "empty data sets": each(lambda _: {}),
    "wrong tags": each(lambda item: {**item, "rows": {"vr": "US", "Value": [1]}}),
    "no VR": each(lambda item: {**item, "00280010": {"Value": [32]}}),
    "wrong VR": each(lambda item: {**item, "00280010": {"vr": "XX", "Value": [32]}}),
    "texts for numbers": each(lambda item: {**item, "00280010": {"vr": "US", "Value": ["many"]}}),
    "values that are no list": each(lambda item: {**item, "00280010": {"vr": "US", "Value": 32}}),
    "elements that are no objects": each(lambda item: {**item, "00280010": [32]}),
    "items that are no objects": each(
        lambda item: {**item, "00480105": {"vr": "SQ", "Value": [7]}}
    ),
    "no rows": each(lambda item: {tag: item[tag] for tag in item if tag != "00280010"}),
    "no UID": each(lambda item: {tag: item[tag] for tag in item if tag != "00080018"}),
    "a UID with a path": each(
        lambda item: {**item, "00080018": {"vr": "UI", "Value": ["../../../secret"]}}
    ),
    "a wrong binary value": each(
        lambda item: {**item, "00420011": {"vr": "OB", "InlineBinary": "!!!"}}
    ),
    "endless": never_end(b" " * (1 << 16), announced=1 << 40),
    "404": status(404),
    "503": status(503),
    "cut": cut(0.5),
}


@pytest.mark.parametrize("fault", WRONG)
def test_wrong_metadata_are_an_error_or_are_not_used(serve, expected, fault):
    server = serve("fluorescence")
    server.misbehave(WRONG[fault], "/metadata")
    try:
        found = tree(open_at(server))
    except DicomSlideError as error:
        assert "127.0.0.1" in str(error) or "image" in str(error)  # noqa: PT017
    else:
        xr.testing.assert_identical(found, expected("fluorescence"))
    assert len(server.requests) < 60
    assert not server.matching("/secret")


WRONG_SEARCHES = {
    "empty list": (lambda *_: Answer(200, {}, b"[]"), NoSlideError),
    "nothing": (lambda *_: Answer(200, {}, b""), NoSlideError),
    "204": (lambda *_: Answer(204), NoSlideError),
    "empty object": (lambda *_: Answer(200, {}, b"{}"), DicomSlideError),
    "empty result": (lambda *_: Answer(200, {}, b"[{}]"), DicomSlideError),
    "text": (lambda *_: Answer(200, {}, b"Not found"), SourceError),
    "401": (status(401), SourceError),
    "404": (status(404), SourceError),
    "503": (status(503), SourceError),
    "closed": (hang_up(), SourceError),
}


@pytest.mark.parametrize("search", WRONG_SEARCHES)
def test_search_that_goes_wrong_is_an_error(serve, search):
    fault, error = WRONG_SEARCHES[search]
    server = serve("sparse")
    # Where that is not there, all studies are searched for
    server.misbehave(fault, lambda r: "Modality=SM" in r.target or r.path.endswith("/studies"))
    with pytest.raises(error, match=re.escape(server.origin)):
        open_at(server)
    assert len(server.requests) <= 10


def test_service_that_does_not_know_offsets_sends_the_same_again(serve, expected):
    server = serve("sparse")
    server.misbehave(change_metadata(lambda _: found), "offset=")
    found = requests.get(f"{server.url}/series?Modality=SM").json()
    xr.testing.assert_identical(tree(open_at(server)), expected("sparse"))
    assert len(server.matching("offset=")) < 10
