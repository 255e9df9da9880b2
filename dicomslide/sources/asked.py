"""What is asked of a place of files, and whether an answer is that.

What an answer says about itself is compared with what was asked for before its body is read. Of web
servers and S3 it can be had from the answers that come anyway; other packages do not show them.
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
    """Ranges of a file that are asked for.

    Parameters
    ----------
    name : str
        Name of the file in messages
    size : int
        Its size in bytes
    modified : str
        Its entity tag or the time of its last change; empty where that is not known
    blocks : tuple of tuple of int
        Start and end of each range
    """

    name: str
    size: int
    modified: str
    blocks: tuple[tuple[int, int], ...]


asked: ContextVar[Asked | None] = ContextVar("asked", default=None)
"""What the task that reads an answer has asked for."""


def check_answer(status: int, headers: Mapping[str, str]) -> int | None:
    """Compare an answer with what was asked for; errors of the server are left to others.

    Parameters
    ----------
    status : int
        Status code
    headers : mapping
        Header fields, found by their names in small letters

    Returns
    -------
    int or None
        Largest body that is as asked for; None where nothing is known to be asked for

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
            raise SourceError(f"{about.name}: the server sends a part, and not which one")
        start, end, size = int(match[1]), int(match[2]) + 1, match[3]
    if size not in ("*", str(about.size)):
        raise SourceError(
            f"{about.name}: has {size} bytes, and {about.size} when it was opened; it has changed"
        )
    if not any(start == first and end <= last for first, last in about.blocks):
        raise SourceError(f"{about.name}: bytes {start} to {end} were sent, which nobody asked for")
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length[:18]) > end - start:
        raise SourceError(f"{about.name}: {length} bytes were sent for {end - start} asked for")
    if headers.get("content-encoding", "identity") not in ("identity", ""):
        raise SourceError(f"{about.name}: a part of the file was sent compressed")
    return end - start


def _plain(mark: str) -> str:
    """Take from an entity tag what servers and packages write in different ways."""
    return mark.removeprefix("W/").strip('"')
