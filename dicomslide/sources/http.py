"""GET requests to one HTTP service: the place for its sessions, retries, limits and origin."""

import logging
import os
import re
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote, urljoin
from weakref import WeakValueDictionary

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import (
    HTTPError,
    InvalidHeader,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)
from urllib3.util import Retry, Url, parse_url

from dicomslide.errors import ArgumentTypeError, ArgumentValueError, DicomSlideError, SourceError

__all__ = [
    "DamagedAnswerError",
    "HttpService",
    "RefusedRequestError",
    "Reply",
    "join_url",
    "without_secrets",
]

logger = logging.getLogger(__name__)

T = TypeVar("T")
SessionFactory = Callable[[], requests.Session]

# What may pass: the server is busy, or a proxy did not reach it (RFC 9110 15.5.9 and 15.6)
_PASSING = frozenset({408, 429, 502, 503, 504})
_ATTEMPTS = 5
# All in seconds
_FIRST_PAUSE, _LONGEST_PAUSE, _JITTER = 0.2, 10.0, 0.2
_TIMEOUT = (10.0, 60.0)
_LONGEST_WAIT = 30.0
_LONGEST_ANSWER = 600.0
_PIECE = 1 << 20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_MAX_SESSIONS = 32
_MAX_NAME = 320
# User and password, query and fragment, also inside of chained URLs; and what splits lines
_SECRETS = re.compile(r"(?<=//)[^/?#]*@|[?#].*|[\t\r\n]", re.DOTALL)
# Digits of a length; Python does not convert any number of them
_MAX_DIGITS = 18
_DEFAULT_PORTS = {"http": 80, "https": 443}
_USUAL_HEADERS = frozenset({"user-agent", "accept", "accept-encoding", "connection", "host"})
_HINTS = {
    401: "; the service wants credentials",
    403: "; the credentials do not suffice",
}


class DamagedAnswerError(Exception):
    """An answer that did not arrive as the server meant it; asking again may help."""


class RefusedRequestError(SourceError):
    """The server answered with an error that asking again does not change.

    Parameters
    ----------
    message : str
        Message
    status : int
        Status code of the answer
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _BusyServerError(Exception):
    """The server asks to come again, after a number of seconds if it says."""

    def __init__(self, reason: str, wait: float | None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Reply:
    """An answer of the service.

    Parameters
    ----------
    url : str
        Where it is from
    content_type : str
        Value of the header Content-Type
    body : bytes
        Body
    """

    url: str
    content_type: str
    body: bytes


class _Held:
    """A session that stays in its process."""

    def __init__(self, session: requests.Session) -> None:
        self.session = session
        self.process = os.getpid()


@dataclass(frozen=True)
class HttpService:
    """A service below one URL, for use from any thread.

    Pickled, it consists of its URL and the function that makes its sessions. A session that was
    given itself may hold secrets: it does not leave its process.

    Parameters
    ----------
    url : str
        URL of the service, without credentials and without a slash at the end
    timeout : float or tuple of float, optional
        Seconds to wait for a connection, and between two pieces of an answer
    factory : callable, optional
        Makes a session
    key : str
        Tells services of one URL with different sessions apart
    """

    url: str
    timeout: Any = None
    factory: SessionFactory | None = field(default=None, repr=False, compare=False)
    key: str = field(default="", repr=False)
    _held: _Held | None = field(default=None, repr=False, compare=False)

    @classmethod
    def at(
        cls,
        url: str,
        session: requests.Session | SessionFactory | None = None,
        credentials: tuple[str, str] | str | None = None,
        timeout: Any = None,
    ) -> "HttpService":
        """Make the service of a URL.

        Parameters
        ----------
        url : str
            URL that starts with ``http://`` or ``https://``
        session : requests.Session or callable, optional
            Session, or a function without arguments that makes one
        credentials : tuple of str or str, optional
            User and password for basic authentication, or a bearer token
        timeout : float or tuple of float, optional
            Seconds to wait for a connection, and between two pieces of an answer

        Raises
        ------
        TypeError
            When an argument has the wrong type
        ValueError
            When it is no URL of a service, or there are both a session and credentials
        """
        parts = _parse(url)
        if parts is None:
            raise ArgumentValueError(
                "source: expected the URL of a service such as https://example.org/dicom-web, got "
                f"{_name(url)!r}"
            )
        if parts.auth and credentials is None:
            user, _, password = parts.auth.partition(":")
            credentials = unquote(user), unquote(password)
            if _is_plain(session):
                session = None
        url = without_secrets(url).rstrip("/")
        if session is None and credentials is None:
            return cls(url, timeout)
        key = uuid.uuid4().hex
        if credentials is None:
            if not isinstance(session, requests.Session):
                if not callable(session):
                    raise ArgumentTypeError(
                        "session: expected a requests.Session or a function that makes one, got "
                        f"{type(session).__name__}"
                    )
                return cls(url, timeout, session, key)
            if _is_plain(session):
                return cls(url, timeout)
        elif session is not None:
            raise ArgumentValueError("credentials: the session has its own, give one of them only")
        else:
            session = _plain_session()
            session.auth = _authentication(credentials)
        held = _held_sessions[key] = _Held(session)
        return cls(url, timeout, key=key, _held=held)

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.url, self.timeout, self.factory, self.key)

    def is_own(self, url: str) -> bool:
        """Whether a URL has the scheme, the host and the port of the service."""
        origin = _origin(url)
        return origin is not None and origin == _origin(self.url)

    def get(
        self,
        url: str,
        accept: str,
        max_bytes: int,
        read: Callable[[Reply], T],
        params: dict[str, Any] | None = None,
    ) -> T:
        """Get what is at a URL of the service, and read it.

        When the server is busy, the connection fails or the answer is damaged, the server is asked
        again, a few times and after pauses that become longer.

        Parameters
        ----------
        url : str
            URL at the origin of the service
        accept : str
            Value of the header Accept
        max_bytes : int
            Largest body that is taken
        read : callable
            Reads the answer; raises DamagedAnswerError where the server has to be asked again
        params : dict, optional
            Query parameters

        Returns
        -------
        object
            What `read` returns

        Raises
        ------
        SourceError
            When the service does not deliver
        """
        retry = Retry(
            total=_ATTEMPTS - 1,
            backoff_factor=_FIRST_PAUSE,
            backoff_max=_LONGEST_PAUSE,
            backoff_jitter=_JITTER,
        )
        name = _name(url)
        while True:
            try:
                return read(self._ask(url, accept, max_bytes, params))
            except DicomSlideError:
                raise
            except requests.exceptions.SSLError as error:
                raise SourceError(f"{name}: {_reason(error)}") from error
            except ValueError as error:
                # Of a URL or a header; what the library says may show the secrets in them
                reason = "no valid request or redirect"
                raise SourceError(f"{name}: {reason} ({type(error).__name__})") from error
            except (
                _BusyServerError,
                DamagedAnswerError,
                requests.RequestException,
                HTTPError,
                OSError,
            ) as error:
                reason, cause, wait = _reason(error), error, getattr(error, "wait", None)
            if wait is not None and wait > _LONGEST_WAIT:
                raise SourceError(f"{name}: {reason}, come again in {wait:.0f} s") from cause
            try:
                retry = retry.increment("GET", name)
            except MaxRetryError:
                raise SourceError(f"{name}: {reason}; asked {_ATTEMPTS} times") from cause
            logger.info("%s: asked again: %s", name, reason)
            time.sleep(retry.get_backoff_time() if wait is None else wait)

    def _ask(self, url: str, accept: str, max_bytes: int, params: dict[str, Any] | None) -> Reply:
        session = self._session()
        for _ in range(_MAX_REDIRECTS + 1):
            # Redirects, BulkDataURIs: nothing of the session goes to another origin
            if not self.is_own(url):
                raise SourceError(f"{_name(url)}: not a part of {self.url}")
            with session.get(
                url,
                params=params,
                headers={"Accept": accept},
                timeout=self.timeout or _TIMEOUT,
                stream=True,
                allow_redirects=False,
            ) as response:
                if response.status_code not in _REDIRECTS:
                    _check_status(response)
                    content_type = response.headers.get("Content-Type", "")
                    return Reply(url, content_type, b"".join(_pieces(response, max_bytes)))
                target = join_url(response.url, response.headers.get("Location", ""))
            if not self.is_own(target):
                raise SourceError(
                    f"{_name(url)}: redirects to {_name(target)}, which is not a part of {self.url}"
                )
            url, params = target, None
        raise SourceError(f"{_name(url)}: redirects more than {_MAX_REDIRECTS} times")

    def _session(self) -> requests.Session:
        if self._held is not None:
            if self._held.process != os.getpid():
                # After a fork, connections belong to the parent
                self._held.process = os.getpid()
                self._held.session.close()
            return self._held.session
        if self.key and self.factory is None:
            raise SourceError(
                f"{self.url}: its session with credentials stays in the process that opened it; "
                "for other processes pass a function that makes the session"
            )
        key = (os.getpid(), self.url, self.key)
        with _lock:
            session = _sessions.get(key)
            if session is None:
                session = (self.factory or _plain_session)()
                if not isinstance(session, requests.Session):
                    raise ArgumentTypeError(
                        "session: the function has to make a requests.Session, it made "
                        f"{type(session).__name__}"
                    )
                _sessions[key] = session
                if len(_sessions) > _MAX_SESSIONS:
                    _sessions.popitem(last=False)
            _sessions.move_to_end(key)
            return session


_held_sessions: WeakValueDictionary[str, _Held] = WeakValueDictionary()
_sessions: OrderedDict[tuple[int, str, str], requests.Session] = OrderedDict()
_lock = threading.Lock()


def _arrived(url: str, timeout: Any, factory: SessionFactory | None, key: str) -> HttpService:
    return HttpService(url, timeout, factory, key, _held_sessions.get(key))


def without_secrets(url: str) -> str:
    """Leave user, password and query, which may identify a patient, out of a URL."""
    return _SECRETS.sub("", url)


def join_url(base: str, url: str) -> str:
    """Make a URL absolute; a SourceError is raised where it is none."""
    try:
        return urljoin(base, url)
    except ValueError as error:
        raise SourceError(f"{_name(base)}: refers to {_name(url)!r}, which is no URL") from error


def _name(url: str) -> str:
    """What messages call a URL: those of hundreds of frames are shortened."""
    name = without_secrets(url)
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 20]}…{name[-20:]}"


def _parse(url: str) -> Url | None:
    """Take the URL of a service apart as the library does that connects; None for others."""
    try:
        parts = parse_url(url)
    except ValueError:
        return None
    return parts if parts.scheme in _DEFAULT_PORTS and parts.host else None


def _origin(url: str) -> tuple[str | None, str | None, int] | None:
    parts = _parse(url)
    return parts and (parts.scheme, parts.host, parts.port or _DEFAULT_PORTS[str(parts.scheme)])


def _plain_session() -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_MAX_SESSIONS))
    return session


def _is_plain(session: Any) -> bool:
    """Whether a session is as good as a new one."""
    return (
        type(session) is requests.Session
        and session.auth is None
        and session.cert is None
        and session.verify is True
        and session.trust_env
        and not session.cookies
        and not session.params
        and not session.proxies
        and not any(session.hooks.values())
        and {name.lower() for name in session.headers} <= _USUAL_HEADERS
        and all(type(adapter) is HTTPAdapter for adapter in session.adapters.values())
    )


def _authentication(credentials: tuple[str, str] | str) -> Any:
    if isinstance(credentials, str):
        # Such as the end of the line in a file; messages of libraries would show the token
        if not credentials.isascii() or not credentials.isprintable() or " " in credentials:
            raise ArgumentValueError("credentials: the token has characters that no token has")
        return _Bearer(credentials)
    if (
        isinstance(credentials, tuple)
        and len(credentials) == 2
        and all(isinstance(part, str) for part in credentials)
    ):
        # In UTF-8 (RFC 7617 2.1), which is not the default of the library
        return tuple(part.encode() for part in credentials)
    raise ArgumentTypeError("credentials: expected (user, password) or a token")


class _Bearer(requests.auth.AuthBase):
    """Puts a bearer token into requests (RFC 6750)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _check_status(response: requests.Response) -> None:
    status = response.status_code
    reason = f"HTTP {status} {response.reason or ''}".strip()
    if status in _PASSING:
        try:
            wait = Retry().get_retry_after(response.raw)
        except (InvalidHeader, ValueError, OverflowError):
            wait = None
        raise _BusyServerError(reason, wait)
    if not 200 <= status < 300:
        name = _name(response.url)
        raise RefusedRequestError(f"{name}: {reason}{_HINTS.get(status, '')}", status)


def _pieces(response: requests.Response, max_bytes: int) -> Iterator[bytes]:
    """Read a body that may be endless."""
    name = _name(response.url)
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced[:_MAX_DIGITS]) > max_bytes:
        raise SourceError(f"{name}: announces {announced} bytes, expected {max_bytes} at most")
    size, end = 0, time.monotonic() + _LONGEST_ANSWER
    # What has arrived, so that the clock is looked at however slowly it does
    while piece := response.raw.read1(_PIECE, decode_content=True):
        size += len(piece)
        if size > max_bytes:
            raise SourceError(f"{name}: sends more than the {max_bytes} bytes expected at most")
        if time.monotonic() > end:
            raise SourceError(f"{name}: takes longer than {_LONGEST_ANSWER:.0f} s")
        yield piece


def _reason(error: BaseException) -> str:
    """Say in a few words what went wrong; what libraries say repeats the URL."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, (requests.exceptions.Timeout, ReadTimeoutError)):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return f"no secure connection: {_innermost(error)}"
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, ProtocolError)):
        return f"the answer was cut off: {_innermost(error)}"
    if isinstance(error, requests.exceptions.ConnectionError):
        return f"no connection: {_innermost(error)}"
    return _innermost(error) or type(error).__name__


def _innermost(error: BaseException) -> str:
    """Find the reason in what libraries have wrapped around it."""
    for _ in range(10):
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((a for a in error.args if isinstance(a, BaseException)), None)
        if inner is None or inner is error:
            break
        error = inner
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    # What failed comes before the reason, and has been named already
    return text.rpartition(": ")[2] if isinstance(error, NewConnectionError) else text
