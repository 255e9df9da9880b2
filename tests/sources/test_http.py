"""GET requests: to one origin only, again where that may help, and without telling secrets."""

import base64
import pickle
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import SimpleNamespace

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from dicomslide.errors import DicomSlideError, SourceError
from dicomslide.sources import http, retries, sessions
from dicomslide.sources.http import (
    DamagedAnswerError,
    HttpService,
    RefusedRequestError,
    Reply,
)
from dicomslide.sources.urls import join_url, without_secrets
from tests.servers.dripping import dripping
from tests.servers.faults import cut, drip, hang_up, never_end, redirect, silence, status
from tests.servers.messages import Answer
from tests.servers.serving import HttpServer

BODY = bytes(range(256)) * 40
USER, PASSWORD, TOKEN = "curator", "p@ss/wörd:1", "header.payload.signature"


@pytest.fixture
def server():
    answer = Answer(200, {"Content-Type": "application/dicom+json"}, BODY, compressible=True)
    with HttpServer(lambda _: answer) as server:
        yield server


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    """Takes note of pauses, which are not made."""
    pauses = []
    monkeypatch.setattr(retries, "waiting", SimpleNamespace(pause=pauses.append))
    return pauses


def get(service: HttpService, path: str = "/a?patient=Doe", **options) -> Reply:
    options = {"max_bytes": len(BODY), "read": lambda reply: reply, **options}
    return service.get(service.url + path, "text/x", **options)


class TestGet:
    def test_request_has_a_media_type_and_the_answer_tells_its_own(self, server):
        reply = get(HttpService.at(server.origin), params={"offset": 7})
        assert (reply.body, reply.content_type) == (BODY, "application/dicom+json")
        (request,) = server.requests
        assert request.headers["Accept"] == "text/x"
        assert request.query == [("patient", "Doe"), ("offset", "7")]

    def test_connection_is_kept(self, server):
        service = HttpService.at(server.origin)
        for _ in range(5):
            get(service)
            get(HttpService.at(server.origin + "/"))
        assert server.connections == 1

    def test_many_threads_may_ask(self, server):
        service = HttpService.at(server.origin)
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: get(service), range(60)))
        assert {reply.body for reply in replies} == {BODY}
        assert server.connections <= 8

    @pytest.mark.parametrize("fault", [status(503), hang_up(), cut(0.5), cut(0.5, chunked=True)])
    @pytest.mark.parametrize("times", [1, 4])
    def test_request_that_fails_for_a_passing_reason_is_repeated(self, server, fault, times):
        server.misbehave(fault, times=times)
        assert get(HttpService.at(server.origin)).body == BODY
        assert len(server.requests) == times + 1

    @pytest.mark.parametrize("fault", [status(503), hang_up(), cut(0.5), cut(0.5, chunked=True)])
    def test_request_is_made_five_times_at_most(self, server, slept, fault):
        server.misbehave(fault)
        with pytest.raises(SourceError, match="asked 5 times"):
            get(HttpService.at(server.origin))
        assert len(server.requests) == 5
        assert sum(slept) < 10

    def test_reader_may_want_another_answer(self, server):
        damaged = [True, True, False]

        def read(reply: Reply) -> str:
            if damaged.pop(0):
                raise DamagedAnswerError("half of it")
            return "read"

        assert get(HttpService.at(server.origin), read=read) == "read"
        damaged = [True] * 5
        with pytest.raises(SourceError, match="half of it; asked 5 times"):
            get(HttpService.at(server.origin), read=read)

    def test_error_of_the_reader_is_final(self, server):
        def read(reply: Reply) -> None:
            raise SourceError("no use")

        with pytest.raises(SourceError, match=r"^no use$"):
            get(HttpService.at(server.origin), read=read)
        assert len(server.requests) == 1

    @pytest.mark.parametrize("code", [304, 400, 401, 403, 404, 406, 414, 500, 501])
    def test_refusal_is_final_and_tells_its_status(self, server, slept, code):
        server.misbehave(status(code))
        with pytest.raises(RefusedRequestError, match=f"HTTP {code}") as caught:
            get(HttpService.at(server.origin))
        assert caught.value.status == code
        assert (len(server.requests), slept) == (1, [])

    @pytest.mark.parametrize("after", ["31", "86400", "9" * 400, "9" * 5000])
    def test_nobody_waits_longer_than_half_a_minute(self, server, slept, after):
        server.misbehave(status(503, retry_after=after))
        with pytest.raises(SourceError, match="HTTP 503"):
            get(HttpService.at(server.origin))
        assert sum(slept) < 10

    def test_answer_that_takes_too_long_is_an_error(self, server):
        server.misbehave(silence(5))
        service = HttpService.at(server.origin, timeout=0.05)
        begin = time.monotonic()
        with pytest.raises(SourceError, match="no answer in time"):
            get(service)
        # Five times, and the pauses between
        assert time.monotonic() - begin < 5

    def test_error_says_that_nothing_listens(self):
        with HttpServer(lambda _: Answer()) as server:
            pass
        with pytest.raises(SourceError, match=r"nothing listens at 127.*; asked 5 times"):
            get(HttpService.at(server.origin))

    def test_message_is_one_line_without_secrets(self, server):
        origin = server.origin.replace("//", f"//{USER}:s3cret@")
        for fault in (status(404), status(503), hang_up(), cut(0.5), never_end()):
            server.behave()
            server.misbehave(fault)
            with pytest.raises(SourceError) as caught:
                get(HttpService.at(origin))
            message = str(caught.value)
            assert message.startswith(f"{server.origin}/a: ")
            assert re.search("[\r\n]|curator|s3cret|Doe|patient|0x", message) is None

    def test_long_url_is_shortened_in_messages(self, server):
        server.misbehave(status(404))
        with pytest.raises(SourceError) as caught:
            get(HttpService.at(server.origin), "/frames/" + ",".join(map(str, range(900))))
        assert len(str(caught.value)) < 400
        assert "898,899" in str(caught.value)


class TestSize:
    def test_largest_answer_is_taken(self, server):
        service = HttpService.at(server.origin)
        assert get(service, max_bytes=len(BODY)).body == BODY
        with pytest.raises(SourceError, match=f"{len(BODY) - 1} bytes"):
            get(service, max_bytes=len(BODY) - 1)

    def test_announced_length_above_the_bound_is_an_error_at_once(self, server):
        server.misbehave(never_end(announced=10**15))
        with pytest.raises(SourceError, match=f"announces {10**15} bytes"):
            get(HttpService.at(server.origin))
        assert len(server.requests) == 1

    def test_announced_length_may_be_nonsense(self, server):
        server.misbehave(never_end(announced="9" * 5000))
        with pytest.raises(SourceError):
            get(HttpService.at(server.origin))

    def test_endless_answer_is_given_up(self, server):
        server.misbehave(never_end())
        with pytest.raises(SourceError, match="sends more than"):
            get(HttpService.at(server.origin))
        assert len(server.requests) == 1

    def test_dripping_answer_is_given_up(self, server, monkeypatch):
        monkeypatch.setattr(http, "LONGEST", 0.2)
        server.misbehave(drip(0.02))
        begin = time.monotonic()
        with pytest.raises(SourceError, match="takes longer"):
            get(HttpService.at(server.origin))
        assert time.monotonic() - begin < 3

    @pytest.mark.parametrize("own_session", [False, True])
    @pytest.mark.parametrize(
        ("start", "drop"),
        [
            (b"HTTP/1.1 2", b"0"),
            (b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
            (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
            (b"HTTP/1.1 200 OK\r\n\r\n", b"a"),
        ],
        ids=["status line", "header field", "continue", "chunk size", "body without a length"],
    )
    def test_dripping_answer_is_given_up_wherever_it_drips(
        self, monkeypatch, start, drop, own_session
    ):
        monkeypatch.setattr(http, "LONGEST", 1.0)
        with dripping(drop, start) as origin:
            service = HttpService.at(origin, make_session() if own_session else None)
            begin = time.monotonic()
            with pytest.raises(SourceError, match="takes longer than 1 s"):
                get(service)
            assert time.monotonic() - begin < 10


class TestOrigin:
    @pytest.mark.parametrize(
        ("url", "own"),
        [
            ("https://example.org/other", True),
            ("https://EXAMPLE.org:443/x", True),
            ("HTTPS://example.org", True),
            ("https://user@example.org/x", True),
            ("http://example.org/dicom-web", False),
            ("https://example.org:8443/dicom-web", False),
            ("https://example.org.evil.com/", False),
            ("https://evil.com/?https://example.org/", False),
            ("https://example.org@evil.com/", False),
            # What one library takes for a user is the host for another
            ("https://evil.com\\@example.org/", False),
            ("https://evil.com#@example.org/", False),
            ("https://example.org:x/", False),
            ("https://[example.org/", False),
            ("//example.org/x", False),
            ("/dicom-web/x", False),
            ("file:///etc/passwd", False),
            ("ftp://example.org/", False),
            ("", False),
        ],
    )
    def test_origin_is_scheme_host_and_port(self, url, own):
        assert HttpService.at("https://example.org/dicom-web").is_own(url) is own

    @pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
    def test_redirect_at_the_origin_is_followed(self, server, code):
        moved = Answer(code, {"Location": "/b/moved?x=1"})
        server.misbehave(lambda *_: moved, "/a")
        assert get(HttpService.at(server.origin)).url == f"{server.origin}/b/moved?x=1"
        assert [request.target for request in server.requests] == ["/a?patient=Doe", "/b/moved?x=1"]

    @pytest.mark.parametrize("user", ["", "user:s3cret@"])
    def test_redirect_to_another_origin_is_not_followed(self, server, user):
        with HttpServer(lambda _: Answer(200, {}, b"")) as other:
            server.misbehave(redirect(other.origin.replace("//", f"//{user}")))
            service = HttpService.at(server.origin, credentials=(USER, PASSWORD))
            with pytest.raises(SourceError, match=f"redirects to {other.origin}/a, ") as caught:
                get(service)
            assert "s3cret" not in str(caught.value)
            with pytest.raises(SourceError, match="not a part of"):
                service.get(f"{other.origin}/x", "*/*", 9, lambda reply: reply)
            assert other.requests == []

    @pytest.mark.parametrize(
        "location",
        [
            None,
            "",
            "/a",
            "file:///etc/passwd",
            "http://[bad",
            "//evil.com\\@127.0.0.1/",
            "http://127.0.0.1:99999/",
            "javascript:alert(1)",
        ],
    )
    def test_redirect_to_nowhere_is_one_error(self, server, slept, location):
        headers = {} if location is None else {"Location": location}
        server.misbehave(lambda *_: Answer(302, headers))
        with pytest.raises(SourceError, match=r"redirects|no valid"):
            get(HttpService.at(server.origin))
        assert len(server.requests) <= 6
        assert slept == []

    @given(st.text(max_size=60))
    def test_any_text_is_a_url_or_not(self, text):
        service = HttpService.at("https://example.org/dicom-web")
        for url in (text, f"https://{text}", f"https://{text}@example.org/", f"//{text}"):
            assert service.is_own(url) in (True, False)
            assert isinstance(without_secrets(url), str)
            with suppress(SourceError):
                assert isinstance(join_url("https://example.org/", url), str)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://u:p@example.org:8042/a/b?key=1#f", "https://example.org:8042/a/b"),
        ("https://u:p@q@example.org/a@b", "https://example.org/a@b"),
        ("s3://bucket/a b/c.dcm", "s3://bucket/a b/c.dcm"),
        ("simplecache::https://u:p@example.org/a?key=1", "simplecache::https://example.org/a"),
        ("zip://x::ftp://u:p@example.org/a.zip", "zip://x::ftp://example.org/a.zip"),
        ("dicomweb+https://u:p@example.org/a", "dicomweb+https://example.org/a"),
        ("/folder/a@b", "/folder/a@b"),
        ("https://[::1", "https://[::1"),
    ],
)
def test_secrets_are_left_out_of_urls(url, expected):
    assert without_secrets(url) == expected


class TestUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "example.org",
            "ftp://example.org",
            "https://",
            "https://:80/",
            "http://[::1/",
            "https:/x",
            "http://example.org:99999/",
            "http://exa mple.org/",
            "file:///etc/passwd",
        ],
    )
    def test_url_that_is_none_of_a_service_is_an_error(self, url):
        with pytest.raises(ValueError, match="source: expected the URL") as caught:
            HttpService.at(url)
        assert isinstance(caught.value, DicomSlideError)

    def test_message_has_no_secrets(self):
        with pytest.raises(ValueError, match="source") as caught:
            HttpService.at(f"ftp://{USER}:s3cret@example.org/?key=abc")
        assert re.search("s3cret|abc|curator", str(caught.value)) is None

    def test_url_of_a_service_has_no_credentials_and_no_slash_at_the_end(self):
        service = HttpService.at("https://u:s3cret@example.org/dicom-web/")
        assert service.url == "https://example.org/dicom-web"
        assert "s3cret" not in repr(service)


def make_session(token: str = TOKEN) -> requests.Session:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    return session


def make_nothing() -> None:
    pass


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class TestCredentials:
    def sent(self, server: HttpServer, service: HttpService) -> str | None:
        get(service)
        return server.requests[-1].headers["Authorization"]

    def test_requests_may_have_no_credentials(self, server):
        assert self.sent(server, HttpService.at(server.origin)) is None

    @pytest.mark.parametrize("user", [USER, "", "käthe", "医者"])
    def test_user_and_password_are_sent(self, server, user):
        service = HttpService.at(server.origin, credentials=(user, PASSWORD))
        assert self.sent(server, service) == basic(user, PASSWORD)

    def test_token_is_sent(self, server):
        service = HttpService.at(server.origin, credentials=TOKEN)
        assert self.sent(server, service) == f"Bearer {TOKEN}"

    @pytest.mark.parametrize(
        ("written", "user", "password"),
        [("u:p", "u", "p"), ("u:p%40%2F%3A", "u", "p@/:"), ("u", "u", ""), ("u:", "u", "")],
    )
    @pytest.mark.parametrize("session", [None, requests.Session])
    def test_credentials_in_the_url_are_sent(self, server, written, user, password, session):
        url = server.origin.replace("//", f"//{written}@")
        service = HttpService.at(url, session and session())
        assert self.sent(server, service) == basic(user, password)

    def test_given_ones_come_before_those_in_the_url(self, server):
        url = server.origin.replace("//", "//a:b@")
        assert self.sent(server, HttpService.at(url, credentials=TOKEN)) == f"Bearer {TOKEN}"

    def test_credentials_of_a_session_are_sent(self, server):
        assert self.sent(server, HttpService.at(server.origin, make_session())) == f"Bearer {TOKEN}"

    def test_function_makes_one_session(self, server):
        made = []

        def make() -> requests.Session:
            made.append(make_session())
            return made[-1]

        service = HttpService.at(server.origin, make)
        assert made == []
        with ThreadPoolExecutor(8) as pool:
            sent = set(pool.map(lambda _: self.sent(server, service), range(20)))
        assert sent == {f"Bearer {TOKEN}"}
        assert len(made) == 1

    def test_sessions_that_are_not_used_for_long_are_dropped(self, server):
        made = []

        def make() -> requests.Session:
            made.append(make_session())
            return made[-1]

        often = HttpService.at(server.origin, make)
        for _ in range(3 * sessions._MAX_SESSIONS):
            often.sessions.get(often.url)
            HttpService.at(server.origin, make_session).sessions.get(server.origin)
        assert len(made) == 1
        assert len(sessions._sessions) <= sessions._MAX_SESSIONS

    @pytest.mark.parametrize("credentials", [("u",), ["u", "p"], (1, "p"), 5, b"token"])
    def test_credentials_of_a_wrong_type_are_an_error(self, credentials):
        with pytest.raises(TypeError, match="credentials") as caught:
            HttpService.at("https://example.org", credentials=credentials)
        assert isinstance(caught.value, DicomSlideError)

    @pytest.mark.parametrize("token", ["s3cret\n", "s3 cret", "s3crét", "s3cret\0"])
    def test_token_that_no_header_can_have_is_an_error(self, token):
        with pytest.raises(ValueError, match="credentials: the token") as caught:
            HttpService.at("https://example.org", credentials=token)
        assert "cr" not in str(caught.value).removeprefix("credentials")

    def test_credentials_beside_a_session_are_an_error(self):
        with pytest.raises(ValueError, match="credentials"):
            HttpService.at("https://example.org", make_session(), TOKEN)
        with pytest.raises(ValueError, match="credentials"):
            HttpService.at("https://u:p@example.org", make_session)

    def test_session_of_a_wrong_type_is_an_error(self, server):
        with pytest.raises(TypeError, match="session"):
            HttpService.at(server.origin, "session")
        with pytest.raises(TypeError, match="session"):
            get(HttpService.at(server.origin, make_nothing))


CHILD = """
import pickle, sys

for argument in sys.argv[1:]:
    service = pickle.loads(bytes.fromhex(argument))
    try:
        print(len(service.get(service.url + "/a", "*/*", 1 << 20, lambda reply: reply.body)))
    except Exception as error:
        print(type(error).__name__, error)
"""

FORKED = """
import os, sys
from dicomslide.sources.http import HttpService

service = HttpService.at(sys.argv[1], credentials="token")
plain = HttpService.at(sys.argv[1])

def get():
    for one in (service, plain):
        assert len(one.get(one.url + "/a", "*/*", 1 << 20, lambda reply: reply.body)) == 10240

get()
child = os.fork()
if child == 0:
    get()
    os._exit(0)
_, status = os.waitpid(child, 0)
get()
sys.exit(os.waitstatus_to_exitcode(status))
"""


SECRET = {
    "password": lambda origin: HttpService.at(origin, credentials=(USER, PASSWORD)),
    "token": lambda origin: HttpService.at(origin, credentials=TOKEN),
    "session": lambda origin: HttpService.at(origin, make_session()),
    "url": lambda origin: HttpService.at(origin.replace("//", f"//{USER}:{TOKEN}@")),
}
PLAIN = {
    "plain": HttpService.at,
    "plain session": lambda origin: HttpService.at(origin, requests.Session()),
    "function": lambda origin: HttpService.at(origin, partial(requests.Session)),
}


class TestTravel:
    @pytest.mark.parametrize("make", PLAIN)
    def test_pickled_service_without_secrets_is_the_same(self, server, make):
        service = PLAIN[make](server.origin)
        arrived = pickle.loads(pickle.dumps(service))
        assert arrived == service
        assert arrived.sessions.get(arrived.url) is service.sessions.get(service.url)

    @pytest.mark.parametrize("make", SECRET)
    def test_secrets_are_not_pickled(self, server, make):
        service = SECRET[make](server.origin)
        data = pickle.dumps(service)
        for secret in (USER, PASSWORD, TOKEN):
            for form in (secret.encode(), base64.b64encode(secret.encode())[:-4]):
                assert form not in data
            assert secret not in repr(service)
        # In the process that opened it, the session is still there
        assert get(pickle.loads(data)).body == BODY

    def test_pickled_service_can_be_used_in_another_process(self, server):
        services = [make(server.origin) for make in (PLAIN | SECRET).values()]
        result = subprocess.run(
            [sys.executable, "-c", CHILD, *(pickle.dumps(service).hex() for service in services)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        answers = result.stdout.splitlines()
        assert answers[: len(PLAIN)] == [str(len(BODY))] * len(PLAIN)
        told = re.compile(f"SourceError {server.origin}: its session .* pass a function")
        assert [bool(told.match(answer)) for answer in answers[len(PLAIN) :]] == [True] * 4

    def test_session_goes_with_its_last_service(self, server):
        data = pickle.dumps(HttpService.at(server.origin, credentials=TOKEN))
        with pytest.raises(SourceError, match="session"):
            get(pickle.loads(data))

    def test_child_of_a_fork_has_connections_of_its_own(self, server):
        result = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", FORKED, server.origin], timeout=60, check=False
        )
        assert result.returncode == 0
        # Two services, each with one connection in each of the processes
        assert server.connections == 4
