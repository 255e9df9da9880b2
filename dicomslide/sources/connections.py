"""Connections of HTTP sessions that can be shut from another thread, whatever they wait for.

A time-out of a socket is one for each of its reads. A server that sends a byte now and then, of the
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
    """What the request of a thread waits for.

    Attributes
    ----------
    response : urllib3.response.BaseHTTPResponse or None
        The answer, as soon as its header is there
    """

    def __init__(self) -> None:
        self.response: Any = None
        self.connection: Any = None
        self.socket: socket.socket | None = None
        self.is_shut = False

    def shut(self) -> None:
        """Make whoever reads from the connection get an error, or the end."""
        self.is_shut = True
        for end in (self.socket, getattr(self.connection, "sock", None)):
            if end is not None:
                # It may be closed
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        # Those of adapters that know nothing of lines
        if self.response is not None:
            with suppress(OSError, ValueError, RuntimeError):
                self.response.shutdown()


_thread = threading.local()


@contextmanager
def shut_in_time(name: str, seconds: float) -> Iterator[Line]:
    """Shut the connection of the request that the block makes when it takes too long.

    Raises
    ------
    SourceError
        When that was necessary, or the program ends
    """
    line = _thread.line = Line()
    try:
        with stopped_in_time(name, line.shut, seconds):
            yield line
    finally:
        del _thread.line


class _Lined:
    """A connection that tells the line of its thread what it is."""

    sock: Any

    def connect(self) -> None:
        line = getattr(_thread, "line", None) or Line()
        line.connection = self
        super().connect()  # type: ignore[misc]
        if line.is_shut:
            raise TimeoutError("the connection came too late")

    def getresponse(self) -> Any:
        line = getattr(_thread, "line", None) or Line()
        # The connection forgets it where the server keeps no connections
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
    """Let a session make connections that can be shut, unless it makes special ones."""
    for adapter in session.adapters.values():
        manager: Any = getattr(adapter, "poolmanager", None)
        if getattr(manager, "pool_classes_by_scheme", None) is pool_classes_by_scheme:
            manager.pool_classes_by_scheme = _POOLS


# Connections of the parent of a fork: to take them apart may need a lock that it had
_of_parent: list[Any] = []


def renew_connections(session: requests.Session) -> None:
    """Give a session of the parent of a fork connections, and locks, of this process."""
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            _of_parent.extend([adapter.poolmanager, adapter.proxy_manager])
            # As adapters do where they arrive pickled
            adapter.__setstate__(adapter.__getstate__())
    if isinstance(session.cookies, RequestsCookieJar):
        session.cookies = session.cookies.copy()
    use_lines(session)
