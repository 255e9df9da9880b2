"""Requests to one HTTP service: retries, limits of sizes, and checks of origins."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote

import requests
from urllib3.exceptions import (
    HTTPError,
    InvalidHeader,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)
from urllib3.util import Retry

from dicomslide.errors import ArgumentValueError, DicomSlideError, SourceError
from dicomslide.sources.connections import Line, shut_in_time
from dicomslide.sources.retries import Attempts
from dicomslide.sources.sessions import Sessions
from dicomslide.sources.unreachable import why_unreachable
from dicomslide.sources.urls import (
    join_url,
    name_of_url,
    origin_of_url,
    parse_web_url,
    without_secrets,
)
from dicomslide.sources.waiting import LONGEST

__all__ = [
    "DamagedAnswerError",
    "HttpService",
    "RefusedRequestError",
    "Reply",
    "Upload",
]

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Status codes of servers that are busy or that a proxy did not reach, so that asking again may
# help (RFC 9110 15.5.9 and 15.6)
_PASSING = frozenset({408, 429, 502, 503, 504})
_ATTEMPTS = 5
# Times are in seconds
_TIMEOUT = (10.0, 60.0)
_LONGEST_WAIT = 30.0
_PIECE = 1 << 20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Redirects that keep the method and the body (RFC 9110 15.4.8 and 15.4.9)
_KEEPING = frozenset({307, 308})
# Answer to an upload of which nothing was stored, which says why (PS3.18 10.5.3)
_CONFLICT = 409
# Fewest bytes that a service has to take in a second, as a whole upload has a time limit
_SLOWEST = 1 << 17
_MAX_REDIRECTS = 5
# Most digits of a length that are converted, as Python refuses numbers of too many digits
_MAX_DIGITS = 18
_HINTS = {
    401: "; the service wants credentials, or others than those that were given",
    403: "; the credentials do not suffice",
}


class DamagedAnswerError(Exception):
    """Raised for an answer that is damaged or cut off, so that asking again may help."""


class RefusedRequestError(SourceError):
    """Raised for an error of the server that asking again does not change.

    Parameters
    ----------
    message : str
        Message of the exception
    status : int
        Status code of the answer
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _BusyServerError(Exception):
    """Raised when the server is busy, with the seconds that it asks to wait, if it says."""

    def __init__(self, reason: str, wait: float | None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Reply:
    """Answer of a service.

    Parameters
    ----------
    url : str
        URL that was requested last, after redirects
    content_type : str
        Value of the header Content-Type
    body : bytes
        Body, decoded if it was compressed on the way
    """

    url: str
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Upload:
    """Body of a request, which is sent again when the request is.

    Parameters
    ----------
    content_type : str
        Value of the header Content-Type
    length : int
        Number of bytes
    open : callable
        Opens the body: an object with a length and a method ``read``
    """

    content_type: str
    length: int
    open: Callable[[], Any]


@dataclass(frozen=True)
class HttpService:
    """HTTP service below one URL, for use from any thread and in any process.

    Parameters
    ----------
    url : str
        URL of the service, without credentials and without a slash at the end
    timeout : float or tuple of float, optional
        Seconds to wait for a connection, and between two pieces of an answer
    sessions : Sessions
        Sessions of the processes that use the service
    """

    url: str
    timeout: Any = None
    sessions: Sessions = field(default_factory=Sessions)

    @classmethod
    def at(
        cls,
        url: str,
        session: Any = None,
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
            When the URL is not one of a service, or both a session and credentials are given
        """
        parts = parse_web_url(url)
        if parts is None:
            raise ArgumentValueError(
                "source: expected the URL of a service such as https://example.org/dicom-web, got "
                f"{name_of_url(url)!r}"
            )
        if parts.query:
            raise ArgumentValueError(
                f"source: the URL {name_of_url(url)!r} has a query; query parameters that all "
                "requests need belong into the params of a session"
            )
        if parts.auth and credentials is None:
            user, _, password = parts.auth.partition(":")
            credentials = unquote(user), unquote(password)
        sessions = Sessions.of(session, credentials)
        return cls(without_secrets(url).rstrip("/"), timeout, sessions)

    def is_own(self, url: str) -> bool:
        """Whether a URL has the scheme, the host and the port of the service."""
        origin = origin_of_url(url)
        return origin is not None and origin == origin_of_url(self.url)

    def get(
        self,
        url: str,
        accept: str,
        max_bytes: int,
        read: Callable[[Reply], T],
        params: dict[str, Any] | None = None,
    ) -> T:
        """Make a GET request, and read the answer.

        When the server is busy, the connection fails or the answer is damaged, the request is made
        again, a few times and after pauses that become longer.

        Parameters
        ----------
        url : str
            URL at the origin of the service
        accept : str
            Value of the header Accept
        max_bytes : int
            Largest body that is accepted
        read : callable
            Reads the answer; raises DamagedAnswerError where the request has to be made again
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
        return self._insist(url, accept, max_bytes, read, params, None)

    def post(
        self,
        url: str,
        accept: str,
        max_bytes: int,
        read: Callable[[Reply], T],
        upload: Upload,
    ) -> T:
        """Make a POST request, and read the answer, also that nothing was stored (HTTP 409).

        Parameters
        ----------
        url, accept, max_bytes, read
            See `get`
        upload : Upload
            Body

        Returns
        -------
        object
            What `read` returns

        Raises
        ------
        SourceError
            When the service does not take the body
        """
        return self._insist(url, accept, max_bytes, read, None, upload)

    def _insist(
        self,
        url: str,
        accept: str,
        max_bytes: int,
        read: Callable[[Reply], T],
        params: dict[str, Any] | None,
        upload: Upload | None,
    ) -> T:
        name = name_of_url(url)
        attempts = Attempts(name, _ATTEMPTS, logger)
        longest = LONGEST + (0 if upload is None else upload.length / _SLOWEST)
        while True:
            try:
                session = self.sessions.get(self.url)
                with shut_in_time(name, longest) as line:
                    reply = self._ask(session, line, url, accept, max_bytes, params, upload)
                return read(reply)
            except DicomSlideError:
                raise
            except requests.exceptions.SSLError as error:
                raise SourceError(f"{name}: {_reason(error)}") from error
            except ValueError as error:
                # The library's message on an invalid URL or header may contain secrets
                reason = "no valid request or redirect"
                raise SourceError(f"{name}: {reason} ({type(error).__name__})") from error
            except (
                _BusyServerError,
                DamagedAnswerError,
                requests.RequestException,
                HTTPError,
                OSError,
            ) as error:
                reason = why_unreachable(error, name) or _reason(error)
                cause, wait = error, getattr(error, "wait", None)
            if wait is not None and wait > _LONGEST_WAIT:
                raise SourceError(f"{name}: {reason}, try again in {wait:.0f} s") from cause
            attempts.wait(reason, cause, wait)

    def _ask(
        self,
        session: requests.Session,
        line: Line,
        url: str,
        accept: str,
        max_bytes: int,
        params: dict[str, Any] | None,
        upload: Upload | None,
    ) -> Reply:
        headers = {"Accept": accept}
        if upload is not None:
            headers["Content-Type"] = upload.content_type
        for _ in range(_MAX_REDIRECTS + 1):
            # URLs may come from the server, such as BulkDataURIs: the session and its credentials
            # must not reach another origin
            if not self.is_own(url):
                raise SourceError(f"{name_of_url(url)}: not a part of {self.url}")
            with session.request(
                "GET" if upload is None else "POST",
                url,
                params=params,
                data=None if upload is None else upload.open(),
                headers=headers,
                timeout=self.timeout or _TIMEOUT,
                stream=True,
                allow_redirects=False,
            ) as response:
                line.response = response.raw
                if response.status_code not in _REDIRECTS:
                    if upload is None or response.status_code != _CONFLICT:
                        _check_status(response)
                    content_type = response.headers.get("Content-Type", "")
                    return Reply(url, content_type, b"".join(_pieces(response, max_bytes)))
                target = join_url(response.url, response.headers.get("Location", ""))
            if not self.is_own(target):
                raise SourceError(
                    f"{name_of_url(url)}: redirects to {name_of_url(target)}, which is not a part "
                    f"of {self.url}"
                )
            if upload is not None and response.status_code not in _KEEPING:
                raise SourceError(
                    f"{name_of_url(url)}: redirects to {name_of_url(target)} with HTTP "
                    f"{response.status_code}, which is not for uploads"
                )
            url, params = target, None
        raise SourceError(f"{name_of_url(url)}: redirects more than {_MAX_REDIRECTS} times")


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
        name = name_of_url(response.url)
        raise RefusedRequestError(f"{name}: {reason}{_HINTS.get(status, '')}", status)


def _pieces(response: requests.Response, max_bytes: int) -> Iterator[bytes]:
    """Yield the pieces of a body, and raise when they exceed a size, as a body may be endless."""
    name = name_of_url(response.url)
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced[:_MAX_DIGITS]) > max_bytes:
        raise SourceError(f"{name}: announces {announced} bytes, expected {max_bytes} at most")
    size = 0
    while piece := response.raw.read1(_PIECE, decode_content=True):
        size += len(piece)
        if size > max_bytes:
            raise SourceError(f"{name}: sends more than the {max_bytes} bytes expected at most")
        yield piece


def _reason(error: BaseException) -> str:
    """Describe an error in a few words, without the URL that messages of libraries repeat."""
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
    """Return the message of the innermost of the errors that libraries wrap around each other."""
    for _ in range(10):
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((a for a in error.args if isinstance(a, BaseException)), None)
        if inner is None or inner is error:
            break
        error = inner
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    # Messages of urllib3 start with the repr of a connection, and end with the reason
    return text.rpartition(": ")[2] if isinstance(error, NewConnectionError) else text
