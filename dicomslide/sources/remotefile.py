"""Files at any URL that fsspec knows, read by offset from any thread."""

import logging
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from ftplib import error_perm
from itertools import accumulate, chain, islice, pairwise
from typing import Any, TypeGuard, TypeVar

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from dicomslide.errors import ArgumentValueError, SourceError
from dicomslide.sources.asked import Asked
from dicomslide.sources.base import check_ranges
from dicomslide.sources.filesystems import (
    ask,
    name_of_access,
    of_this_process,
    open_file_system,
    reads_side_by_side,
)
from dicomslide.sources.holding import Holder
from dicomslide.sources.retries import Attempts
from dicomslide.sources.sidebyside import FILES_AT_ONCE, side_by_side
from dicomslide.sources.turns import holds_connection, turn
from dicomslide.sources.unreachable import why_unreachable
from dicomslide.sources.urls import without_secrets

__all__ = ["RemoteFile", "find_remote_files", "is_url", "local_path"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

# First bytes of a file are kept, as its header is read in several steps. Large files have long
# headers, with offsets and positions of frames: a part in _HEAD_PART, within these bounds
_HEAD, _MOST_HEAD, _HEAD_PART = 1 << 16, 1 << 19, 1 << 9
# Number of first bytes that tell whether a file is DICOM, where its name says that it is none
_PROBE = 1 << 10
# Extensions of names that begin with a letter and may be those of DICOM files
_EXTENSIONS = ("", ".dcm", ".dicom", ".dic", ".ima", ".img")
# Ranges with gaps of up to _GAP bytes are merged into blocks of up to _BLOCK bytes
_GAP, _BLOCK = 1 << 16, 1 << 24
# File systems that read blocks side by side get about so many of them at once, of so many bytes
_SIDE_BY_SIDE, _LEAST_BLOCK, _MOST_BLOCK = 16, 1 << 20, 1 << 22
_ATTEMPTS = 4
# Keys in the information of file systems whose values change when a file does
_MARKS = ("ETag", "etag", "mtime", "LastModified", "Last-Modified", "created")
# Errors that asking again does not change
_FINAL = (
    FileNotFoundError,
    PermissionError,
    NotADirectoryError,
    IsADirectoryError,
    ImportError,
    # Raised for invalid URLs, which redirects can lead to
    ValueError,
    error_perm,
)
# Status codes that asking again does not change: all errors of the client but time-out and too many
# requests (RFC 9110 15.5.9), redirects that were not followed, and 0 for too many redirects
_FINAL_STATUS = frozenset({0, *range(300, 500)}) - {408, 429}
_DENIED = (401, 403)
_URL = re.compile(r"[\w+.:-]+://[^\s'\"]+")


_heads = Holder("file-starts", len)


@dataclass(frozen=True)
class RemoteFile:
    """File of a file system of fsspec, in the state in which it was found.

    Parameters
    ----------
    path : str
        URL, without credentials
    size : int
        Size in bytes
    modified : str
        Entity tag or time of the last change; empty where the file system tells neither
    file_system : fsspec.AbstractFileSystem
        File system that reads the file
    key : str
        Path of the file in the file system
    access : str
        Key of the user and the endpoint: see `name_of_access`
    process : int
        Identifier of the process that made the file system
    """

    path: str
    size: int
    modified: str
    file_system: AbstractFileSystem = field(repr=False)
    key: str = field(repr=False)
    access: str = ""
    process: int = field(default_factory=os.getpid, repr=False, compare=False)

    @classmethod
    def at(
        cls, url: str, size: int, modified: str, storage_options: dict[str, Any] | None
    ) -> "RemoteFile":
        """Make the file at a URL in a known state, without a request.

        Raises
        ------
        ValueError
            When no file system is known for the URL
        """
        place = _Place.at(url, storage_options or {})
        return cls(place.name, size, modified, place.file_system, place.path, place.access)

    def __reduce__(self) -> tuple[Any, ...]:
        stated = self.path, self.size, self.modified, self.file_system, self.key, self.access
        return RemoteFile, stated

    @property
    def remote(self) -> bool:
        """Whether a request costs more than the bytes that it brings."""
        return True

    @property
    def identity(self) -> tuple[Any, ...]:
        """Key that is equal in all processes for the same bytes and the same user."""
        # The user counts, as frames that one may see must not be shared with another
        return self.path, self.size, self.modified, self.access

    def read(self, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        """Read (offset, length) ranges; close ones are read with one request.

        Raises
        ------
        SourceError
            When the server does not deliver, or the file ends before a range does
        """
        ranges = list(ranges)
        check_ranges(self.path, self.size, ranges)
        stop = max((offset + length for offset, length in ranges if length), default=0)
        if not 0 < stop <= self._head_size:
            return self._fetch(ranges)
        head = self._head(stop)
        return [head[offset : offset + length] for offset, length in ranges]

    @property
    def _head_size(self) -> int:
        """Number of first bytes that are kept."""
        size = min(max(self.size // _HEAD_PART, _HEAD), _MOST_HEAD)
        # A power of two, as readers of headers double the number of bytes that they ask for
        return min(1 << max(size - 1, 0).bit_length(), self.size)

    def _head(self, stop: int) -> bytes:
        """Get the first bytes, at least up to `stop`."""
        size = _PROBE if self._is_named_otherwise and stop <= _PROBE else self._head_size
        head = _heads.get(self, lambda: self._fetch([(0, min(size, self.size))])[0])
        if stop > len(head):
            # It was only looked at before whether the file is DICOM
            _heads.drop(self)
            head = _heads.get(self, lambda: self._fetch([(0, self._head_size)])[0])
        return head

    @property
    def _is_named_otherwise(self) -> bool:
        """Whether the name of the file says that it is not DICOM, which need not be true."""
        extension = os.path.splitext(self.key)[1].lower()
        return extension not in _EXTENSIONS and extension[1:2].isalpha()

    def close(self) -> None:
        """Drop the first bytes of the file, which are kept; reading it later fetches them again."""
        _heads.drop(self)

    def _fetch(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        file_system = of_this_process(self.file_system, self.process)
        if not reads_side_by_side(file_system):
            return self._fetch_blocks(file_system, ranges, _BLOCK)
        most = _block_size(ranges)
        # Long ranges are read in parts
        parts = [
            [(start, min(most, stop - start)) for start in range(offset, stop, most)]
            for offset, stop in ((offset, offset + length) for offset, length in ranges)
        ]
        found = iter(self._fetch_blocks(file_system, list(chain.from_iterable(parts)), most))
        return [b"".join(islice(found, len(part))) for part in parts]

    def _fetch_blocks(
        self, file_system: AbstractFileSystem, ranges: list[tuple[int, int]], most: int
    ) -> list[bytes]:
        """Read ranges; those of up to `most` bytes are merged into blocks of up to as many."""
        blocks, places = _merged(ranges, most)
        if not blocks:
            return [b"" for _ in ranges]
        starts, ends = zip(*blocks, strict=True)

        def fetch() -> list[bytes]:
            found = ask(
                file_system,
                self.path,
                "cat_ranges",
                [self.key] * len(blocks),
                list(starts),
                list(ends),
                about=Asked(self.path, self.size, self.modified, tuple(blocks)),
            )
            for data, (start, end) in zip(found, blocks, strict=True):
                if isinstance(data, Exception):
                    raise data
                if len(data) != end - start:
                    raise OSError(f"{len(data)} bytes were delivered for {end - start} asked for")
            return found

        found = _persist(fetch, file_system, self.path)
        return [
            found[place][offset - starts[place] : offset - starts[place] + length]
            for (offset, length), place in zip(ranges, places, strict=True)
        ]


def _block_size(ranges: list[tuple[int, int]]) -> int:
    """Choose the size of blocks that are read side by side."""
    total = sum(length for _, length in ranges)
    return min(max(total // _SIDE_BY_SIDE, _LEAST_BLOCK), _MOST_BLOCK)


def _merged(ranges: list[tuple[int, int]], most: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Merge (offset, length) ranges that are close together into blocks of at most so many bytes.

    Returns
    -------
    blocks : list of tuple
        Start and end of each merged range
    places : list of int
        Index of the block that holds each range
    """
    blocks: list[tuple[int, int]] = []
    places = [0] * len(ranges)
    for index in sorted(range(len(ranges)), key=ranges.__getitem__):
        start, length = ranges[index]
        if not length:
            continue
        end = start + length
        if blocks and start - blocks[-1][1] <= _GAP:
            merged = blocks[-1][0], max(blocks[-1][1], end)
            if merged[1] - merged[0] <= most:
                blocks[-1] = merged
                places[index] = len(blocks) - 1
                continue
        places[index] = len(blocks)
        blocks.append((start, end))
    return blocks, places


def is_url(source: object) -> TypeGuard[str]:
    """Whether a source looks like a URL of fsspec, chained ones included."""
    return isinstance(source, str) and ("://" in source or "::" in source)


def local_path(url: str) -> str | None:
    """Return the path of a URL of a local file or folder; None for other URLs."""
    # Only local file systems are made here: making others may connect or need options
    is_local = "::" not in url and url.partition("://")[0] in LocalFileSystem.protocol
    return _open(url, {})[1] if is_local else None


def find_remote_files(
    urls: Sequence[str], storage_options: dict[str, Any] | None
) -> list[list[RemoteFile]]:
    """Find the files that URLs stand for, each for one file, or for those below a folder.

    The URLs are looked up side by side. Hidden files are left out.

    Parameters
    ----------
    urls : sequence of str
        URLs of files or of folders
    storage_options : dict, optional
        Options for the file systems

    Returns
    -------
    list of list of RemoteFile
        Files of each URL

    Raises
    ------
    ValueError
        When no file system is known for a URL
    SourceError
        When there is no such file or folder, or the server does not deliver
    """
    places = [_Place.at(url, storage_options or {}) for url in urls]
    found = side_by_side(_Place.list, places, FILES_AT_ONCE)
    files = side_by_side(
        lambda item: item[0].file(*item[1:]),
        [(place, *item) for place, items in zip(places, found, strict=True) for item in items],
        FILES_AT_ONCE,
    )
    ends = list(accumulate(map(len, found), initial=0))
    return [files[start:end] for start, end in pairwise(ends)]


@dataclass(frozen=True)
class _Place:
    """Place that a URL stands for: a file, or a folder.

    Parameters
    ----------
    url : str
        URL
    file_system : fsspec.AbstractFileSystem
        File system of the URL
    path : str
        Path in the file system
    access : str
        Key of the user and the endpoint
    """

    url: str
    file_system: AbstractFileSystem
    path: str
    access: str

    @classmethod
    def at(cls, url: str, storage_options: dict[str, Any]) -> "_Place":
        """Make the place of a URL; no request is made."""
        file_system, path = _open(url, storage_options)
        return cls(url, file_system, path, name_of_access(url, file_system, storage_options))

    @property
    def name(self) -> str:
        """URL without secrets."""
        return without_secrets(self.url)

    def list(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Find the files: the path in the file system, the URL and the information of each."""
        found = _persist(
            lambda: _list(self.file_system, self.path, self.name, self.url.endswith("/")),
            self.file_system,
            self.name,
        )
        if found.keys() == {self.path}:
            return [(self.path, self.name, found[self.path])]
        root = self.path.rstrip("/")
        return [
            (key, _url_below(self.name, key.removeprefix(root).lstrip("/")), found[key])
            for key in sorted(found)
            if not _is_passed_over(key, root)
        ]

    def file(self, key: str, name: str, information: dict[str, Any]) -> RemoteFile:
        """Make one of the files."""
        return _file(self.file_system, key, information, name, self.access)


def _url_below(url: str, path: str) -> str:
    """Make the URL of a file below a folder."""
    base, chain, outer = url.partition("::")
    if chain and "://" not in base:
        # A cache, such as "simplecache::s3://...", has the paths of what it is in front of
        return f"{base}{chain}{_url_below(outer, path)}"
    # What a chained URL such as "zip://folder::https://..." is in follows the path
    return f"{base if base.endswith('://') else base.rstrip('/') + '/'}{path}{chain}{outer}"


def _open(url: str, storage_options: dict[str, Any]) -> tuple[AbstractFileSystem, str]:
    try:
        return open_file_system(url, storage_options)
    except ImportError as error:
        raise ArgumentValueError(
            f"source: {without_secrets(url)}: a package that such URLs need is missing: "
            f"{_reason(error)}; the extras az, gs, http and s3 of dicomslide install them"
        ) from error
    except (ValueError, TypeError) as error:
        raise ArgumentValueError(f"source: {without_secrets(url)}: {_reason(error)}") from error
    except Exception as error:
        name = without_secrets(url)
        # Some file systems connect when they are made
        raise SourceError(f"{name}: {why_unreachable(error, name) or _reason(error)}") from error


def _list(file_system: AbstractFileSystem, path: str, name: str, is_folder: bool) -> dict[str, Any]:
    if not is_folder:
        information = ask(file_system, name, "info", path)
        if information.get("type") != "directory":
            return {path: information}
    found = ask(file_system, name, "find", path, detail=True)
    if not found:
        # A folder that cannot be listed looks empty; this is an error that says why
        ask(file_system, name, "info", path)
    return {key: item for key, item in found.items() if item.get("type") != "directory"}


def _is_passed_over(key: str, root: str) -> bool:
    """Whether a file is hidden, or a link by which a web server sorts its listing."""
    is_hidden = any(part.startswith(".") for part in key.removeprefix(root).split("/"))
    return is_hidden or (key.startswith(("http://", "https://")) and "?" in key)


def _file(
    file_system: AbstractFileSystem, key: str, information: dict[str, Any], name: str, access: str
) -> RemoteFile:
    if information.get("size") is None:
        # Listings of web servers have no sizes: each file is asked for
        information = _persist(lambda: ask(file_system, name, "info", key), file_system, name)
    size = information.get("size")
    if size is None:
        raise SourceError(f"{name}: the server does not tell the size of the file")
    marks = (information.get(mark) for mark in _MARKS)
    modified = next((str(mark) for mark in marks if mark), "")
    return RemoteFile(name, int(size), modified, file_system, key, access)


def _persist(function: Callable[[], T], file_system: AbstractFileSystem, name: str) -> T:
    """Call a function that makes requests, a few times where its error may pass.

    Raises
    ------
    SourceError
        When the last attempt failed
    """
    # The packages for buckets retry by themselves
    is_asked_again = name.startswith("http") or holds_connection(file_system)
    attempts = Attempts(name, _ATTEMPTS if is_asked_again else 1, logger)
    fails = False
    while True:
        try:
            with turn(file_system):
                if fails and holds_connection(file_system):
                    # A new connection, as the rest of a failed answer on the old one would be
                    # taken for the answer to this request
                    file_system._connect()
                return function()
        except SourceError:
            raise
        # Libraries behind fsspec raise exceptions of many types
        except Exception as error:
            if isinstance(error.__cause__, SourceError):
                # Some packages wrap any OSError, which includes those of `check_answer`
                raise error.__cause__ from None
            cause = _cause(error)
            reason = why_unreachable(error, name) or _reason(cause)
            if isinstance(cause, _FINAL) or getattr(cause, "status", None) in _FINAL_STATUS:
                raise SourceError(f"{name}: {reason}") from error
            attempts.wait(reason, error)
            fails = True


def _cause(error: Exception) -> BaseException:
    """Find the cause of an error, as fsspec also reports servers out of reach as not found."""
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or cause is None:
        return error
    if isinstance(cause, (LookupError, StopIteration)):
        # The file is missing in the listing of its folder, which did arrive
        return error
    return error if getattr(cause, "status", None) in (404, 410) else cause


def _reason(error: BaseException) -> str:
    """Describe an error in one line, without the secrets of URLs in it."""
    # By name, as the package for WebDAV, whose error it is, need not be installed
    if isinstance(error, FileNotFoundError) or type(error).__name__ == "ResourceNotFound":
        return "no such file or folder"
    if isinstance(error, PermissionError) or getattr(error, "status", None) in _DENIED:
        return "access is denied"
    text = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
    return _URL.sub(lambda match: without_secrets(match[0]), text)
