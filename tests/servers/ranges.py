"""A file server that sends ranges of bytes, with listings of its folders.

>>> with RangeServer(slide.folder) as server:
...     open_slide([f"{server.origin}/{path.name}" for path in slide.paths])
...     server.bytes_sent
"""

import html
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from tests.servers.messages import Answer, Fault, Request
from tests.servers.serving import HttpServer

__all__ = ["RangeServer", "shorten_range"]

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class RangeServer(HttpServer):
    """Serves the files of a folder.

    Parameters
    ----------
    folder : pathlib.Path
        The folder
    ranges : bool
        Whether ranges are sent (RFC 9110 14); otherwise whole files are
    lists : bool
        Whether folders are listed
    tags : bool
        Whether files have an entity tag
    shift : int
        Number of bytes by which ranges start too late
    authorization : str, optional
        Value of the header field Authorization that every request needs
    """

    def __init__(
        self,
        folder: Path,
        *,
        ranges: bool = True,
        lists: bool = True,
        tags: bool = True,
        shift: int = 0,
        authorization: str | None = None,
    ) -> None:
        super().__init__(self._send, authorization)
        self.folder = folder
        self.ranges = ranges
        self.lists = lists
        self.tags = tags
        self.shift = shift

    def url(self, path: Path) -> str:
        """URL of a file in the folder."""
        return f"{self.origin}/{quote(str(path.relative_to(self.folder)))}"

    def _send(self, request: Request) -> Answer:
        path = self.folder / request.path.lstrip("/")
        if ".." in path.parts or not path.exists():
            return Answer(404)
        if path.is_dir():
            return self._list(path) if self.lists else Answer(403)
        return self._send_file(request, path)

    def _list(self, folder: Path) -> Answer:
        links = [
            f'<li><a href="{quote(path.name)}{"/" * path.is_dir()}">{html.escape(path.name)}</a>'
            for path in sorted(folder.iterdir())
        ]
        body = f"<html><body><ul>{''.join(links)}</ul></body></html>".encode()
        return Answer(200, {"Content-Type": "text/html; charset=utf-8"}, body)

    def _send_file(self, request: Request, path: Path) -> Answer:
        status, size = path.stat(), path.stat().st_size
        headers = {"Content-Type": "application/dicom"}
        if self.tags:
            headers["ETag"] = f'"{status.st_mtime_ns:x}-{size:x}"'
        if self.ranges:
            headers["Accept-Ranges"] = "bytes"
        match = _RANGE.fullmatch(request.headers.get("Range", ""))
        if match is None or match.groups() == ("", "") or not self.ranges:
            return Answer(200, headers, path.read_bytes())
        start, stop = _bounds(*match.groups(), size)
        if start >= stop:
            return Answer(416, {**headers, "Content-Range": f"bytes */{size}"})
        with path.open("rb") as file:
            file.seek(start + self.shift)
            data = file.read(stop - start)
        first = start + self.shift
        said = f"bytes {first}-{first + len(data) - 1}/{size}"
        return Answer(206, {**headers, "Content-Range": said}, data)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """Where a range starts, and where it ends; one without a start counts from the end."""
    if not first:
        return max(size - int(last), 0), size
    return int(first), min(int(last) + 1, size) if last else size


def shorten_range(by: int) -> Fault:
    """Send fewer bytes than were asked for, and say so."""

    def apply(_: Request, answer: Answer) -> Answer:
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.headers.get("Content-Range", ""))
        if match is None or not isinstance(answer.body, bytes):
            return answer
        said = f"bytes {match[1]}-{int(match[2]) - by}/{match[3]}"
        headers = {**answer.headers, "Content-Range": said}
        return replace(answer, headers=headers, body=answer.body[:-by])

    return apply
