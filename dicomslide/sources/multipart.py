"""Parser of multipart messages (RFC 2046 5.1, PS3.18 8.6.1)."""

from dataclasses import dataclass
from email.message import Message
from typing import Any

from dicomslide.sources.http import DamagedAnswerError, Reply

__all__ = ["Part", "parse_content_type", "read_parts"]

_END_OF_HEADERS = b"\r\n\r\n"
_MAX_HEADERS = 16384
# Most digits of a length that are converted, as Python refuses numbers of too many digits
_MAX_DIGITS = 18


@dataclass(frozen=True)
class Part:
    """Part of a multipart message.

    Parameters
    ----------
    content_type : str
        Value of the header Content-Type of the part; empty without
    location : str
        Value of the header Content-Location of the part; empty without
    content : bytes
        Body of the part
    """

    content_type: str
    location: str
    content: bytes


def parse_content_type(value: str) -> tuple[str, dict[str, str]]:
    """Split a Content-Type into the media type and the parameters by lower case names."""
    message = Message()
    message["Content-Type"] = value
    # The first item is the media type; a value may be a tuple that ends with the text (RFC 2231)
    found: list[tuple[str, Any]] = message.get_params(failobj=[])[1:]
    parameters = {name.lower(): v[2] if isinstance(v, tuple) else v for name, v in found}
    return message.get_content_type(), parameters


def read_parts(reply: Reply, max_parts: int) -> list[Part]:
    """Split a message into its parts; a message that is not multipart is one part.

    Parameters
    ----------
    reply : Reply
        Answer of a server
    max_parts : int
        Largest number of parts that is expected

    Raises
    ------
    DamagedAnswerError
        When the message ends too early, has no parts, or far more than `max_parts`
    """
    media_type, parameters = parse_content_type(reply.content_type)
    body = reply.body
    if not media_type.startswith("multipart/"):
        return [Part(reply.content_type, "", body)]
    boundary = parameters.get("boundary", "").encode("latin-1", "replace")
    if not boundary:
        # Some servers do not declare the boundary, and some of these send the body without one
        if not body.startswith(b"--"):
            return [Part("", "", body)]
        boundary = body[2 : max(body.find(b"\r\n"), 2)]
    delimiter = b"\r\n--" + boundary
    # The first delimiter needs no line break in front where the body starts with it
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
    """Read the part that follows a delimiter; return it and the position after the next one."""
    # The headers end with an empty line, with which a part without headers starts
    start = body.find(_END_OF_HEADERS, position, position + _MAX_HEADERS)
    if start < 0:
        raise DamagedAnswerError("the answer was cut off, or a part has no headers")
    headers = _headers(body[position:start])
    start += len(_END_OF_HEADERS)
    end = -1
    length = headers.get("content-length", "")
    if length.isdecimal() and len(length) <= _MAX_DIGITS:
        # A declared length spares the search, and bytes of the part cannot pass for a delimiter
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
