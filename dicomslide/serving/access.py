"""Who may read from a server of slides: who knows its address, and pages of origins that are named.

The address has a token in its path: readers of Zarr and of Deep Zoom put names after an address,
and lose what is in its query.
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

__all__ = ["LOOPBACK", "Access", "GuardedHandler", "is_loopback", "listen"]

logger = logging.getLogger("dicomslide")

T = TypeVar("T")

LOOPBACK = "127.0.0.1"
_TOKEN_BYTES = 24
_LARGEST_PORT = 65535
# A browser keeps what it has seen only for the person who saw it
_CACHING = "private, max-age=3600"


def make_token() -> str:
    """Make a token that nobody guesses, of characters that mean nothing in a URL."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


@dataclass(frozen=True)
class Access:
    """What a request needs.

    Parameters
    ----------
    origins : frozenset of str, optional
        Origins, such as ``https://example.org``, whose pages may read answers; the server's own
        pages may anyway
    token : str, optional
        Has to be the first part of the path of each URL; by default a random one
    """

    origins: frozenset[str] = frozenset()
    token: str = field(default_factory=make_token, repr=False)

    def admits(self, token: str) -> bool:
        """Whether a token is the right one; how long it takes tells nothing about it."""
        return hmac.compare_digest(token.encode(), self.token.encode())


class GuardedHandler(RequestHandler):
    """Answers requests whose path begins with the token.

    The first group of the pattern of a route is the token. Answers say nothing about the machine:
    what went wrong is in the log.

    Parameters
    ----------
    access : Access
        What a request needs
    pool : Pool
        Threads that work for it
    """

    # Headers are set for the first time before the access is known
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
        # The token is in the address
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
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
        """Have something done on another thread, unless nobody waits for it any more.

        Parameters
        ----------
        work : callable
            What is done

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
        """Drop what nobody waits for any more."""
        if self._work is not None:
            self._work.cancel()

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log what the answer does not say; what the request got wrong, it says."""
        if isinstance(value, DicomSlideError):
            logger.error("%s", value)
        elif not isinstance(value, HTTPError):
            logger.error("a request failed", exc_info=(typ, value, tb))

    def options(self, *_: str) -> None:
        """Answer a browser that asks in advance whether a page may ask."""
        self.set_header("Access-Control-Allow-Methods", "GET, HEAD")
        self.set_header("Access-Control-Allow-Headers", "Range")
        # Pages of the internet that ask a server on this machine
        self.set_header("Access-Control-Allow-Private-Network", "true")
        self.set_status(HTTPStatus.NO_CONTENT)

    def _log(self) -> None:
        """Leave requests out of the log: the token is in their address."""

    def write_error(self, status_code: int, **about: Any) -> None:
        """Say what went wrong, and nothing about this machine."""
        is_known = isinstance(about.get("exc_info", (None, None))[1], DicomSlideError)
        hint = ": pixels cannot be read, the log of the server says why" if is_known else ""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        if status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            self.set_header("Retry-After", "1")
        self.finish(f"{status_code} {self._reason}{hint}\n")


def is_loopback(address: str) -> bool:
    """Whether only programs of this machine reach an address."""
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
        Port; 0 for one that is free

    Raises
    ------
    ValueError
        When there is no such port
    StoreError
        When that is not possible, as when the port is taken
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
