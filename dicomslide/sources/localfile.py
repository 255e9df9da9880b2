"""Local files that are read by offset from any thread."""

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dicomslide.errors import SourceError
from dicomslide.sources.base import check_ranges
from dicomslide.sources.holding import Holder

__all__ = ["LocalFile"]

_open_files = Holder("open-files")


class _Handle:
    """Open file descriptor, which is closed when the object is collected."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.lock = threading.Lock()

    def read(self, offset: int, length: int) -> bytes:
        data = self._read(offset, length)
        # One system call delivers at most 2 GiB, and may deliver less on network file systems
        while len(data) < length and (more := self._read(offset + len(data), length - len(data))):
            data += more
        return data

    def read_into(self, offset: int, out: memoryview) -> int:
        """Fill `out` from an offset on, as far as the file goes; return the number of bytes."""
        if not hasattr(os, "preadv"):
            data = self.read(offset, len(out))
            out[: len(data)] = data
            return len(data)
        done = 0
        while done < len(out) and (more := os.preadv(self.descriptor, [out[done:]], offset + done)):
            done += more
        return done

    def _read(self, offset: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self.descriptor, length, offset)
        with self.lock:
            os.lseek(self.descriptor, offset, os.SEEK_SET)
            return os.read(self.descriptor, length)

    def __del__(self) -> None:
        descriptor = getattr(self, "descriptor", None)
        if descriptor is not None:
            os.close(descriptor)


@dataclass(frozen=True)
class LocalFile:
    """Local file in the state in which `at` found it; reading a changed one fails.

    The file is opened by the first read, and closed by `close`, when the object is collected, or
    when too many other files are open.

    Parameters
    ----------
    path : str
        Absolute path
    size : int
        Size in bytes
    modified : int
        Time of the last change in nanoseconds
    """

    path: str
    size: int
    modified: int

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> "LocalFile":
        """Make the object of a path from the file's present size and time of change.

        Raises
        ------
        SourceError
            When there is no such file, or its folder may not be searched
        """
        resolved = os.path.realpath(path)
        try:
            status = os.stat(resolved)
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}") from error
        return cls(resolved, status.st_size, status.st_mtime_ns)

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.path, self.size, self.modified)

    @property
    def remote(self) -> bool:
        """Whether a request costs more than the bytes that it brings."""
        return False

    @property
    def identity(self) -> tuple[Any, ...]:
        """Key that is equal in all processes for the same bytes."""
        return self.path, self.size, self.modified

    def close(self) -> None:
        """Close the file; it is opened again when it is read."""
        _open_files.drop(self)

    def read(self, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        """Read (offset, length) ranges.

        Raises
        ------
        SourceError
            When the file cannot be read, has changed, or ends before a range does
        """
        ranges = list(ranges)
        try:
            handle = self._handle()
            check_ranges(self.path, self.size, ranges)
            parts = [handle.read(offset, length) for offset, length in ranges]
        except SourceError:
            raise
        except OSError as error:
            raise self._failure(error) from error
        if any(len(part) != length for part, (_, length) in zip(parts, ranges, strict=True)):
            raise self._truncated()
        return parts

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill memory of the caller with the bytes of the file from an offset on.

        Raises
        ------
        SourceError
            When the file cannot be read, has changed, or ends before `out` is full
        """
        try:
            handle = self._handle()
            check_ranges(self.path, self.size, [(offset, len(out))])
            found = handle.read_into(offset, out)
        except SourceError:
            raise
        except OSError as error:
            raise self._failure(error) from error
        if found != len(out):
            raise self._truncated()

    def _handle(self) -> _Handle:
        """Open the file, and check that size and time of change are those of this object."""
        handle = _open_files.get(self, lambda: _Handle(self.path))
        status = os.fstat(handle.descriptor)
        if (status.st_size, status.st_mtime_ns) != (self.size, self.modified):
            raise SourceError(f"{self.path}: the file has changed since it was opened")
        return handle

    def _failure(self, error: OSError) -> SourceError:
        return SourceError(f"{self.path}: {error.strerror or error}")

    def _truncated(self) -> SourceError:
        return SourceError(f"{self.path}: the file was truncated while it was read")


def _arrived(path: str, size: int, modified: int) -> LocalFile:
    return _open_files.arrived(LocalFile, path, size, modified)
