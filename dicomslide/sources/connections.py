"""Connections of HTTP sessions that another thread can shut down, whatever they wait for.

The time-out of a socket holds for each single read. A server that sends a byte now and then, of the
status line, of the header fields or of ``100 Continue`` after ``100 Continue``, never reaches it.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import pool_classes_by_scheme

from dicomslide.sources.waiting import stopped_in_time

__all__ = ["Line", "renew_connections", "shut_in_time", "use_lines"]


class Line:
    """Connection, socket and response that the request of a thread uses.

    Attributes
    ----------
    response : urllib3.response.BaseHTTPResponse or None
        Response, as soon as its header has arrived
    """

    def __init__(self) -> None:
        self.response: Any = None
        self.connection: Any = None
        self.socket: socket.socket | None = None
        self.is_shut = False

    def shut(self) -> None:
        """Shut the connection down, so that reads from it fail or end at once."""
        self.is_shut = True
        for end in (self.socket, getattr(self.connection, "sock", None)):
            if end is not None:
                # The socket may be closed already
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        # Adapters of other packages make connections that do not register with a Line
        if self.response is not None:
            with suppress(OSError, ValueError, RuntimeError):
                self.response.shutdown()


_thread = threading.local()


@contextmanager
def shut_in_time(name: str, seconds: float) -> Iterator[Line]:
    """Shut the connection of the block's HTTP request down if the block takes too long.

    Raises
    ------
    SourceError
        When the block took more than `seconds`, or the program ends
    """
    line = _thread.line = Line()
    try:
        with stopped_in_time(name, line.shut, seconds):
            yield line
    finally:
        del _thread.line


class _Lined:
    """Mixin for connections that register with the Line of the thread that uses them."""

    sock: Any

    def connect(self) -> None:
        line = getattr(_thread, "line", None) or Line()
        line.connection = self
        super().connect()  # type: ignore[misc]
        if line.is_shut:
            raise TimeoutError("the connection came too late")

    def getresponse(self) -> Any:
        line = getattr(_thread, "line", None) or Line()
        # The socket is kept too: urllib3 drops it where the server does not keep connections alive
        line.connection, line.socket = self, self.sock
        return super().getresponse()  # type: ignore[misc]


class _Connection(_Lined, HTTPConnection):
    pass


class _SecureConnection(_Lined, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


def use_lines(session: requests.Session) -> None:
    """Make a session use connections that can be shut down, unless it has special pools."""
    for adapter in session.adapters.values():
        manager: Any = getattr(adapter, "poolmanager", None)
        if getattr(manager, "pool_classes_by_scheme", None) is pool_classes_by_scheme:
            manager.pool_classes_by_scheme = _POOLS


# Connections of the parent process stay referenced in the child of a fork: closing them may need
# a lock that a thread of the parent held during the fork
_of_parent: list[Any] = []


def renew_connections(session: requests.Session) -> None:
    """Give a session of the parent process new connections and locks in the child of a fork."""
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            _of_parent.extend([adapter.poolmanager, adapter.proxy_manager])
            # Restoring its pickled state gives an adapter new pools
            adapter.__setstate__(adapter.__getstate__())
    if isinstance(session.cookies, RequestsCookieJar):
        session.cookies = session.cookies.copy()
    use_lines(session)
