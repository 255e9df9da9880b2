"""Credentials reach the service that they are for, and nothing else."""

import base64
import logging
import pickle
import re
import warnings
from contextlib import suppress

import pytest
import requests
import xarray as xr
from dicomweb_client.api import DICOMwebClient

from dicomslide import find_slides, open_slide
from dicomslide.errors import SourceError
from tests.servers.faults import redirect, status
from tests.servers.messages import Answer
from tests.servers.serving import HttpServer

USER, PASSWORD, TOKEN = "ann", "pa:ss wörd", "abc.DEF-123"
SECRETS = (PASSWORD, TOKEN, "pa%3Ass", "pa:ss")


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def log_in() -> requests.Session:
    session = requests.Session()
    session.auth = (USER, PASSWORD.encode())
    return session


def with_header() -> requests.Session:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {TOKEN}"
    return session


BASIC, BEARER = basic(USER, PASSWORD), f"Bearer {TOKEN}"
# How credentials may be given, and what arrives at the service
WAYS = {
    "user and password": ({"credentials": (USER, PASSWORD)}, BASIC),
    "token": ({"credentials": TOKEN}, BEARER),
    "session": ({"session": with_header()}, BEARER),
    "function that makes a session": ({"session": log_in}, BASIC),
}


@pytest.fixture(params=WAYS)
def access(request):
    return WAYS[request.param]


def url_of(server, user: str = "") -> str:
    return f"dicomweb+{server.url}".replace("http://", f"http://{user}")


def assert_no_secrets(text: str) -> None:
    assert not [secret for secret in SECRETS if secret in text]
    assert base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode() not in text


def test_every_request_has_the_credentials(serve, access):
    options, expected = access
    server = serve("brightfield", authorization=expected)
    slide = open_slide(url_of(server), **options)
    slide.get_image_region((0, 0), 0, (150, 210))
    assert {request.headers["Authorization"] for request in server.requests} == {expected}
    assert {request.status for request in server.requests} == {200}


def test_credentials_may_be_in_the_url(serve):
    server = serve("brightfield", authorization=basic("ann", "p@ss"))
    slide = open_slide(url_of(server, "ann:p%40ss@"))
    slide.get_image_region((0, 0), 0, (150, 210))
    assert {request.status for request in server.requests} == {200}
    assert "p@ss" not in pickle.dumps(slide).decode("latin-1")


def test_client_has_credentials_of_its_own(serve):
    server = serve("brightfield", authorization=BEARER)
    (slide,) = find_slides(DICOMwebClient(server.url, session=with_header()))
    slide.get_image_region((0, 0), 0, (150, 210))
    assert {request.status for request in server.requests} == {200}


def test_engine_takes_credentials(serve, access):
    options, expected = access
    server = serve("brightfield", authorization=expected)
    tree = xr.open_datatree(url_of(server), engine="dicomslide", chunks={}, **options)
    tree["level_2"].load()
    assert {request.status for request in server.requests} == {200}


@pytest.mark.parametrize("options", [{}, {"credentials": ("ann", "wrong")}, {"credentials": "old"}])
def test_wrong_credentials_are_an_error_at_once(serve, options):
    server = serve("brightfield", authorization=BASIC)
    with pytest.raises(SourceError, match=r"401.*credentials"):
        open_slide(url_of(server), **options)
    assert len(server.requests) == 1


def test_session_and_credentials_exclude_each_other(serve):
    server = serve("brightfield", authorization=BASIC)
    with pytest.raises(ValueError, match="session"):
        open_slide(url_of(server), session=log_in, credentials=TOKEN)
    for wrong in (7, ("ann",), ("ann", 7), b"token"):
        with pytest.raises(TypeError, match="credentials"):
            open_slide(url_of(server), credentials=wrong)
    for wrong in (7, "session", object()):
        with pytest.raises(TypeError, match="session"):
            open_slide(url_of(server), session=wrong)
    assert server.requests == []


# Where they do not go


@pytest.mark.parametrize("what", ["series?", "/metadata", "/bulkdata/", "/frames/"])
def test_credentials_do_not_go_to_another_origin(serve, access, what):
    options, expected = access
    with HttpServer(lambda _: Answer(404)) as other:
        server = serve("brightfield", authorization=expected)
        server.misbehave(redirect(other.origin), what)
        # Without its profile a picture is shown with a warning, without anything else there is none
        with warnings.catch_warnings(action="ignore"), suppress(SourceError):
            slide = open_slide(url_of(server), **options)
            slide.get_image_region((0, 0), 0, (150, 210))
            assert what == "/bulkdata/"
        assert server.matching(what)
        assert other.requests == []


def test_credentials_are_not_in_errors_names_and_logs(serve, access, caplog):
    options, expected = access
    caplog.set_level(logging.DEBUG)
    server = serve("brightfield", authorization=expected)
    slide = open_slide(url_of(server), **options)
    for fault in (status(401), status(404), redirect("http://127.0.0.1:1")):
        server.behave()
        server.misbehave(fault, "/frames/")
        with pytest.raises(SourceError) as caught:
            slide.get_image_region((0, 0), 0, (150, 210))
        error: BaseException | None = caught.value
        while error is not None:
            assert_no_secrets(f"{error!r} {error}")
            error = error.__cause__ or error.__context__
    assert_no_secrets(caplog.text)
    assert_no_secrets(repr(slide))
    assert_no_secrets(repr(slide.to_datatree()))


def test_url_in_errors_has_no_password(serve, caplog):
    caplog.set_level(logging.DEBUG)
    server = serve("brightfield", authorization="another")
    with pytest.raises(SourceError, match=re.escape(server.origin)) as caught:
        open_slide(url_of(server, "ann:pa%3Ass@"))
    assert_no_secrets(str(caught.value))
    assert_no_secrets(caplog.text)


def test_credentials_are_not_in_pickles_and_graphs(serve, access):
    options, expected = access
    server = serve("brightfield", authorization=expected)
    slide = open_slide(url_of(server), **options)
    tree = slide.to_datatree()
    graph = dict(tree["level_0"]["image"].data.__dask_graph__())
    for thing in (slide, tree, graph, tree["level_0"]["image"].data):
        data = pickle.dumps(thing)
        assert_no_secrets(data.decode("latin-1"))
