"""Access to a server of slides: for programs with its token, and for pages of allowed origins.

The token is in the path of URLs: readers of Zarr and of Deep Zoom append names to an address, and
lose its query.
"""

import asyncio
import hmac
import logging
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, TypeVar

from tornado.web import Finish, HTTPError, RequestHandler

from dicomslide.errors import ArgumentValueError, DicomSlideError, StoreError
from dicomslide.serving.pool import BusyError, Pool

__all__ = [
    "LIMITS",
    "LOOPBACK",
    "Access",
    "GuardedHandler",
    "NothingHandler",
    "is_loopback",
    "listen",
]

logger = logging.getLogger("dicomslide")

T = TypeVar("T")

LOOPBACK = "127.0.0.1"
# Requests have short headers and no bodies; viewers use a connection again after minutes
LIMITS = {"max_header_size": 2**16, "max_body_size": 0, "idle_connection_timeout": 300}
_TOKEN_BYTES = 24
_LARGEST_PORT = 65535
# "private" keeps proxies from storing answers for other users
_CACHING = "private, max-age=3600"


def make_token() -> str:
    """Make a random token that cannot be guessed, of characters that need no escapes in a URL."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


@dataclass(frozen=True)
class Access:
    """Token and origins that requests are checked against.

    Parameters
    ----------
    origins : frozenset of str, optional
        Origins, such as ``https://example.org``, whose pages may read answers; the server's own
        pages may anyway
    token : str, optional
        First part of the path of all URLs; by default a random one
    """

    origins: frozenset[str] = frozenset()
    token: str = field(default_factory=make_token, repr=False)

    def admits(self, token: str) -> bool:
        """Whether a token is the right one, compared in constant time."""
        return hmac.compare_digest(token.encode(), self.token.encode())


class GuardedHandler(RequestHandler):
    """Handler of requests whose path begins with the token.

    The first group of the pattern of a route is the token. Answers reveal nothing about the
    machine: errors are described in the log only.

    Parameters
    ----------
    access : Access
        Token and origins that requests are checked against
    pool : Pool
        Threads that read pixels and metadata
    """

    # Tornado sets default headers before it calls `initialize`
    access: Access | None = None

    def initialize(self, access: Access, pool: Pool) -> None:
        """Take the settings of the route."""
        self.access, self._pool = access, pool
        self._work: asyncio.Future[Any] | None = None
        self.set_default_headers()

    def set_default_headers(self) -> None:
        """Set the headers of all answers, errors among them."""
        self.clear_header("Server")
        self.set_header("Cache-Control", _CACHING)
        self.set_header("X-Content-Type-Options", "nosniff")
        # Pages that are linked to must not learn the token, which is in the URL
        self.set_header("Referrer-Policy", "no-referrer")
        # A browser asks for the pictures of a page without naming the origin of the page
        is_open = self.access is not None and bool(self.access.origins)
        policy = "cross-origin" if is_open else "same-origin"
        self.set_header("Cross-Origin-Resource-Policy", policy)
        self.set_header("Vary", "Origin")
        origin = self.request.headers.get("Origin", "")
        if self.access is not None and origin in self.access.origins:
            self.set_header("Access-Control-Allow-Origin", origin)
            self.set_header(
                "Access-Control-Expose-Headers", "Accept-Ranges, Content-Length, Content-Range"
            )

    def prepare(self) -> None:
        """Check the token.

        Raises
        ------
        tornado.web.HTTPError
            403 when it is wrong
        """
        assert self.access is not None
        if not self.access.admits(self.path_args[0]):
            raise HTTPError(HTTPStatus.FORBIDDEN)

    async def perform(self, work: Callable[[], T]) -> T:
        """Call a function on another thread, unless the client closes the connection before.

        Parameters
        ----------
        work : callable
            Function without parameters

        Returns
        -------
        object
            Its result

        Raises
        ------
        tornado.web.HTTPError
            503 when too many requests wait already
        """
        self._work = asyncio.ensure_future(self._pool.run(work))
        try:
            return await self._work
        except asyncio.CancelledError:
            raise Finish from None
        except BusyError:
            raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE) from None

    def on_connection_close(self) -> None:
        """Cancel the work for a client that has closed the connection."""
        if self._work is not None:
            self._work.cancel()

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log the errors that answers do not describe; faults of requests are not logged."""
        if isinstance(value, DicomSlideError):
            logger.error("%s", value)
        elif not isinstance(value, HTTPError):
            logger.error("a request failed", exc_info=(typ, value, tb))

    def options(self, *_: str) -> None:
        """Answer the preflight request of a browser (CORS)."""
        self.set_header("Access-Control-Allow-Methods", "GET, HEAD")
        self.set_header("Access-Control-Allow-Headers", "Range")
        # Browsers ask for this header before a public page may read from a loopback address
        self.set_header("Access-Control-Allow-Private-Network", "true")
        self.set_status(HTTPStatus.NO_CONTENT)

    def _log(self) -> None:
        """Log no requests, as their URLs contain the token."""

    def write_error(self, status_code: int, **about: Any) -> None:
        """Answer with the status and its reason, and nothing about this machine."""
        is_known = isinstance(about.get("exc_info", (None, None))[1], DicomSlideError)
        hint = ": pixels cannot be read, the log of the server says why" if is_known else ""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        if status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            self.set_header("Retry-After", "1")
        self.finish(f"{status_code} {self._reason}{hint}\n")


class NothingHandler(GuardedHandler):
    """Handler of all other paths, which also checks the token."""

    def get(self, *_: str) -> None:
        """Answer that the path does not exist.

        Raises
        ------
        tornado.web.HTTPError
            404, always
        """
        raise HTTPError(HTTPStatus.NOT_FOUND)

    head = get


def is_loopback(address: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if address == "localhost":
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def listen(address: str, port: int) -> socket.socket:
    """Open the socket of a server.

    Parameters
    ----------
    address : str
        Address or name of an interface of this machine
    port : int
        Port; 0 for a free one

    Returns
    -------
    socket.socket
        Listening socket, which does not block

    Raises
    ------
    ValueError
        When the port is not one of 0 to 65535
    StoreError
        When the socket cannot be opened, for instance as the port is in use
    """
    if not 0 <= port <= _LARGEST_PORT:
        raise ArgumentValueError(f"port: {port} is none, expected 0 to {_LARGEST_PORT}")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        opened = socket.create_server((address, port), family=family)
    except OSError as error:
        raise StoreError(f"{address}, port {port}: cannot listen there: {error}") from error
    opened.setblocking(False)
    return opened
