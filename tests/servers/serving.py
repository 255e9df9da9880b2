"""An HTTP/1.1 server that keeps connections alive, records every request and can misbehave.

What it answers is a function from `Request` to `Answer`; what it does wrong are functions from the
right answer to another one, see `tests.servers.faults`.
"""

import gzip
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, Self

from tests.servers.distance import Distance, RoundTrips
from tests.servers.messages import Answer, Fault, Request

__all__ = ["HttpServer"]

_PIECE = 1 << 16
_used_ports: set[int] = set()


@dataclass
class _Planned:
    """A fault, the requests it is for, and how often it is still to happen."""

    fault: Fault
    when: Callable[[Request], bool]
    remaining: float


class HttpServer:
    """Answers requests on a free port of the loopback interface while the context lasts.

    Parameters
    ----------
    answer : callable
        What is answered to a request
    authorization : str, optional
        Value of the header field Authorization that every request needs

    Attributes
    ----------
    requests : list of Request
        All requests so far
    errors : list of Exception
        What went wrong in `answer`: a mistake of the tests
    distance : Distance
        What delays the answers; nothing, unless it is set
    """

    def __init__(
        self, answer: Callable[[Request], Answer], authorization: str | None = None
    ) -> None:
        self._answer = answer
        self.authorization = authorization
        self._planned: list[_Planned] = []
        self._lock = Lock()
        self._connections: set[socket.socket] = set()
        self.requests: list[Request] = []
        self.errors: list[Exception] = []
        self.distance: Distance = RoundTrips(0)
        self.stopping = Event()
        self.connections = 0
        self._server = _bind(self)
        self._thread = Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        if self.errors and kind is None:
            raise ExceptionGroup("the server failed to answer", self.errors)

    def stop(self) -> None:
        """Close the port and all connections."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        # The server waits for a connection, without asking now and then whether it is to stop
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        with self._lock:
            for connection in self._connections:
                _shut(connection)
        self._server.server_close()

    def _serve(self) -> None:
        while not self.stopping.is_set():
            self._server.handle_request()

    @property
    def port(self) -> int:
        """The port."""
        return self._server.server_port

    @property
    def origin(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def bytes_sent(self) -> int:
        """Bytes of all bodies that were sent."""
        return sum(request.sent for request in self.requests)

    def misbehave(
        self,
        fault: Fault,
        when: str | Callable[[Request], bool] = "",
        times: float = float("inf"),
    ) -> None:
        """Let a fault happen to requests; of several the first one that is left happens.

        Parameters
        ----------
        fault : callable
            What happens
        when : str or callable
            What the target of a request has to contain, or whether it is for this request
        times : float
            How often it happens
        """
        matches = when if callable(when) else lambda request: when in request.target
        self._planned.append(_Planned(fault, matches, times))

    def behave(self) -> None:
        """Forget all faults and requests."""
        with self._lock:
            self._planned.clear()
            self.requests.clear()

    def matching(self, text: str) -> list[Request]:
        """Requests whose target contains a text."""
        return [request for request in self.requests if text in request.target]

    def respond(self, request: Request) -> Answer:
        """Make the answer to a request, right or wrong."""
        if self.authorization and request.headers.get("Authorization") != self.authorization:
            return Answer(401, {"WWW-Authenticate": 'Basic realm="slides"'}, b"who are you?\n")
        answer = self._answer(request)
        with self._lock:
            for planned in self._planned:
                if planned.remaining > 0 and planned.when(request):
                    planned.remaining -= 1
                    return planned.fault(request, answer)
        return answer

    @contextmanager
    def connected(self, connection: socket.socket) -> Iterator[int]:
        """Keep a connection among those that are closed in the end; gives its number."""
        with self._lock:
            self._connections.add(connection)
            self.connections += 1
            number = self.connections
        # It may have been opened while the others were closed
        if self.stopping.is_set():
            _shut(connection)
        try:
            yield number
        finally:
            with self._lock:
                self._connections.discard(connection)


def _bind(owner: HttpServer) -> "_Server":
    """Take a port that no server had before: clients may remember what was there."""
    while True:
        server = _Server(owner)
        if server.server_port not in _used_ports:
            _used_ports.add(server.server_port)
            return server
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, owner: HttpServer) -> None:
        self.owner = owner
        self.to_reset: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: Any) -> None:
        error = sys.exception()
        # Clients may go away whenever they like
        if isinstance(error, Exception) and not isinstance(error, ConnectionError):
            self.owner.errors.append(error)

    def shutdown_request(self, request: Any) -> None:
        if request in self.to_reset:
            self.to_reset.discard(request)
            # Closed with unsent data thrown away, which is a reset
            request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.close()
        else:
            super().shutdown_request(request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        with self.server.owner.connected(self.connection) as self.number:
            super().handle()

    def do_GET(self) -> None:
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        arrived = time.monotonic()
        request = Request(self.command, self.path, self.headers, body, self.number, arrived)
        owner.requests.append(request)
        answer = owner.respond(request)
        if answer.delay:
            owner.stopping.wait(answer.delay)
        owner.distance.travel(owner.stopping)
        request.status = answer.status
        # Set before the answer is sent: the client may be done before this thread goes on
        request.ended = time.monotonic()
        if answer.status and not owner.stopping.is_set():
            self._send(request, answer)
        else:
            self._close(answer)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _send(self, request: Request, answer: Answer) -> None:
        body, headers = answer.payload(), dict(answer.headers)
        whole = isinstance(body, bytes)
        takes_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
        if whole and answer.compressible and takes_gzip:
            body, headers["Content-Encoding"] = gzip.compress(body, 1, mtime=0), "gzip"
        length = len(body) if whole and answer.announced is None else answer.announced
        chunked = answer.chunked or length is None
        empty = answer.status in (204, 304)
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        if not empty:
            name, value = (
                ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", length)
            )
            self.send_header(name, str(value))
        self.end_headers()
        if request.method == "HEAD" or empty:
            return
        if answer.stop_after is not None:
            body = body[: int(answer.stop_after * len(body))]
        start, distance = request.ended, self.server.owner.distance
        for piece in _split(body, 1 if answer.pause else _PIECE) if whole else body:
            due = start + distance.seconds(request.sent + len(piece))
            if self.server.owner.stopping.wait(max(answer.pause, due - time.monotonic())):
                break
            # Counted first: the client may be done before this thread goes on
            request.sent += len(piece)
            request.ended = time.monotonic()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        if answer.stop_after is not None or answer.announced is not None:
            self._close(answer)
        elif chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _close(self, answer: Answer) -> None:
        self.close_connection = True
        if answer.reset:
            self.server.to_reset.add(self.connection)

    def log_message(self, *_: Any) -> None:
        pass


def _split(body: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def _shut(connection: socket.socket) -> None:
    # The other side may have been quicker
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
