"""A server in front of another one, which counts what passes and can misbehave."""

from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.servers.messages import Answer, Request
from tests.servers.serving import HttpServer

__all__ = ["ForwardingServer"]

_OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class ForwardingServer(HttpServer):
    """Forwards requests to the server at `origin`, as they are but for the connection."""

    def __init__(self, origin: str) -> None:
        super().__init__(self._forward)
        self._target = urlsplit(origin).netloc

    def _forward(self, request: Request) -> Answer:
        sent = {name: value for name, value in request.headers.items() if _is_kept(name)}
        with closing(HTTPConnection(self._target, timeout=60)) as connection:
            connection.request(request.method, request.target, request.body or None, sent)
            response = connection.getresponse()
            received = {n.title(): value for n, value in response.getheaders() if _is_kept(n)}
            length = response.getheader("Content-Length") if request.method == "HEAD" else None
            return Answer(
                response.status,
                received,
                response.read(),
                announced=int(length) if length is not None else None,
            )


def _is_kept(name: str) -> bool:
    return name.lower() not in _OF_ONE_CONNECTION
