"""Requests that arrive at a server, and its answers, right or wrong."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.message import Message
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["Answer", "Fault", "Part", "Request"]


@dataclass
class Request:
    """A request that arrived, and what became of it.

    `sent` counts the bytes of the body of the answer; `connection` tells connections apart; `time`
    and `ended` are when it arrived, and when the last piece of the answer was sent.
    """

    method: str
    target: str
    headers: Message
    body: bytes
    connection: int
    time: float
    status: int = 0
    sent: int = 0
    ended: float = float("inf")

    @property
    def path(self) -> str:
        """The path without the query, percent signs decoded."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> list[tuple[str, str]]:
        """Names and values of the query."""
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)


@dataclass(frozen=True)
class Part:
    """A part of a multipart body."""

    headers: dict[str, str]
    content: bytes


@dataclass(frozen=True)
class Answer:
    """An answer, and how it is sent.

    Parameters
    ----------
    status : int
        Status code; 0 where the connection is closed without an answer
    headers : dict
        Header fields; Content-Length or Transfer-Encoding are added
    body : bytes or iterable of bytes
        Body; an iterable is sent in chunks
    parts : tuple of Part, optional
        Parts of a multipart body, which replace `body`
    boundary : str
        What lies between the parts
    chunked : bool
        Whether the body is sent in chunks, without its length
    compressible : bool
        Whether the body is compressed for a client that takes gzip
    announced : int, optional
        Content-Length, where it is not the length of the body
    stop_after : float, optional
        Share of the body, which has to be bytes, after which the connection is closed
    reset : bool
        Whether a connection that is closed early is reset
    delay : float
        Seconds before anything is sent
    pause : float
        Seconds between two bytes of the body
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""
    parts: tuple[Part, ...] | None = None
    boundary: str = "next-part"
    chunked: bool = False
    compressible: bool = False
    announced: int | None = None
    stop_after: float | None = None
    reset: bool = False
    delay: float = 0.0
    pause: float = 0.0

    def payload(self) -> bytes | Iterable[bytes]:
        """The body, with its parts put together (RFC 2046 5.1.1)."""
        if self.parts is None:
            return self.body
        pieces = []
        for part in self.parts:
            head = "".join(f"{name}: {value}\r\n" for name, value in part.headers.items())
            pieces.append(f"--{self.boundary}\r\n{head}\r\n".encode() + part.content + b"\r\n")
        return b"".join(pieces) + f"--{self.boundary}--\r\n".encode()


Fault = Callable[[Request, Answer], Answer]
