"""Checks that a server sends the bytes of a file that were requested.

The header of an answer is compared with the request before the body is read. That is done for web
servers and S3; the packages for other places do not show the headers of their answers.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate

from dicomslide.errors import SourceError

__all__ = ["Asked", "asked", "check_answer"]

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_NO_RANGES = (
    "the server sends the whole file for a part of it; put simplecache:: in front of the URL to "
    "download files first"
)


@dataclass(frozen=True)
class Asked:
    """Ranges of a file that are requested.

    Parameters
    ----------
    name : str
        Name of the file in messages
    size : int
        Size of the file in bytes
    modified : str
        Entity tag or time of the last change of the file; empty where neither is known
    blocks : tuple of tuple of int
        Start and end of each range in bytes
    """

    name: str
    size: int
    modified: str
    blocks: tuple[tuple[int, int], ...]


asked: ContextVar[Asked | None] = ContextVar("asked", default=None)
"""Request of the current asyncio task, with which the answers to it are compared."""


def check_answer(status: int, headers: Mapping[str, str]) -> int | None:
    """Compare the header of an answer with the request; answers that are errors are ignored.

    Parameters
    ----------
    status : int
        Status code
    headers : mapping
        Header fields by their names in lower case

    Returns
    -------
    int or None
        Largest number of bytes that the body may have; None where no request is known

    Raises
    ------
    SourceError
        When the answer is another part of the file, the whole file, or of another file
    """
    about = asked.get()
    if about is None or not 200 <= status < 300:
        return None
    mark = headers.get("last-modified" if parsedate(about.modified) else "etag")
    if about.modified and mark and _plain(mark) != _plain(about.modified):
        raise SourceError(f"{about.name}: the file has changed since it was opened")
    if status != 206:
        if about.blocks != ((0, about.size),):
            raise SourceError(f"{about.name}: {_NO_RANGES}")
        start, end, size = 0, about.size, headers.get("content-length", "*")
    else:
        match = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if match is None:
            raise SourceError(f"{about.name}: the server sent a part without a Content-Range")
        start, end, size = int(match[1]), int(match[2]) + 1, match[3]
    if size not in ("*", str(about.size)):
        raise SourceError(
            f"{about.name}: the file has changed since it was opened, from {about.size} bytes to "
            f"{size}"
        )
    if not any(start == first and end <= last for first, last in about.blocks):
        raise SourceError(f"{about.name}: the server sent bytes {start} to {end} unasked")
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length[:18]) > end - start:
        raise SourceError(f"{about.name}: {length} bytes were sent for {end - start} asked for")
    if headers.get("content-encoding", "identity") not in ("identity", ""):
        raise SourceError(f"{about.name}: a part of the file was sent compressed")
    return end - start


def _plain(mark: str) -> str:
    """Strip the weak marker and the quotes of an entity tag, which not all servers write."""
    return mark.removeprefix("W/").strip('"')
