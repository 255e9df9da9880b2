"""Messages of several parts (RFC 2046 5.1, PS3.18 8.6.1)."""

from dataclasses import dataclass
from email.message import Message
from typing import Any

from dicomslide.sources.http import DamagedAnswerError, Reply

__all__ = ["Part", "parse_content_type", "read_parts"]

_END_OF_HEADERS = b"\r\n\r\n"
_MAX_HEADERS = 16384
# Digits of a length; Python does not convert any number of them
_MAX_DIGITS = 18


@dataclass(frozen=True)
class Part:
    """A part of a message.

    Parameters
    ----------
    content_type : str
        Value of its header Content-Type
    location : str
        Value of its header Content-Location
    content : bytes
        What it holds
    """

    content_type: str
    location: str
    content: bytes


def parse_content_type(value: str) -> tuple[str, dict[str, str]]:
    """Split a Content-Type into media type and parameters, both with lower case names."""
    message = Message()
    message["Content-Type"] = value
    # The type comes first; a text may be a tuple with its charset and language (RFC 2231)
    found: list[tuple[str, Any]] = message.get_params(failobj=[])[1:]
    parameters = {name.lower(): v[2] if isinstance(v, tuple) else v for name, v in found}
    return message.get_content_type(), parameters


def read_parts(reply: Reply, max_parts: int) -> list[Part]:
    """Take a message apart.

    A message that is not multipart is one part.

    Parameters
    ----------
    reply : Reply
        Answer of a server
    max_parts : int
        One part more than this ends the search

    Raises
    ------
    DamagedAnswerError
        When the message ends too early, or has no parts
    """
    media_type, parameters = parse_content_type(reply.content_type)
    body = reply.body
    if not media_type.startswith("multipart/"):
        return [Part(reply.content_type, "", body)]
    boundary = parameters.get("boundary", "").encode("latin-1", "replace")
    if not boundary:
        # Some servers leave it out, and some of these send one part without any
        if not body.startswith(b"--"):
            return [Part("", "", body)]
        boundary = body[2 : max(body.find(b"\r\n"), 2)]
    delimiter = b"\r\n--" + boundary
    # The first delimiter may stand at the very start
    position = 0 if body.startswith(delimiter[2:]) else body.find(delimiter) + 2
    if position == 1:
        raise DamagedAnswerError("a multipart answer without parts")
    position += len(delimiter) - 2
    parts: list[Part] = []
    while body[position : position + 2] != b"--":
        if len(parts) > max_parts:
            raise DamagedAnswerError(f"the answer has more than {max_parts} parts")
        part, position = _read_part(body, position, delimiter)
        parts.append(part)
    return parts


def _read_part(body: bytes, position: int, delimiter: bytes) -> tuple[Part, int]:
    """Read the part after a delimiter; return the place after the next one, too."""
    # A part without headers starts with an empty line
    start = body.find(_END_OF_HEADERS, position, position + _MAX_HEADERS)
    if start < 0:
        raise DamagedAnswerError("the answer was cut off, or a part has no headers")
    headers = _headers(body[position:start])
    start += len(_END_OF_HEADERS)
    end = -1
    length = headers.get("content-length", "")
    if length.isdecimal() and len(length) <= _MAX_DIGITS:
        # The length spares a search, and what is in the part cannot end it
        end = start + int(length)
        if body[end : end + len(delimiter)] != delimiter:
            raise DamagedAnswerError(f"a part does not end after its {length} bytes")
    else:
        end = body.find(delimiter, start)
        if end < 0:
            raise DamagedAnswerError("the answer was cut off in a part")
    part = Part(
        headers.get("content-type", ""), headers.get("content-location", ""), body[start:end]
    )
    return part, end + len(delimiter)


def _headers(data: bytes) -> dict[str, str]:
    lines = data.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
