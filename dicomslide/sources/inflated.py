"""Data sets that are compressed in their file (PS3.5 A.5)."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dicomslide.errors import SourceError
from dicomslide.processes import make_lock
from dicomslide.sources.base import File
from dicomslide.sources.holding import Holder

__all__ = ["InflatedFile"]

_MAX_INFLATED = 1 << 30
_PIECE = 1 << 16


@dataclass(frozen=True)
class InflatedFile:
    """What is compressed in a file from an offset on.

    Held in memory is what comes before the last byte that was read: how much that may be follows
    from what the header says of the pixels.

    Parameters
    ----------
    file : File
        The file
    start : int
        Where the compressed bytes start
    """

    file: File
    start: int

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.file, self.start)

    @property
    def path(self) -> str:
        """Path of the file."""
        return self.file.path

    @property
    def remote(self) -> bool:
        """Whether a request costs more than the bytes that it brings."""
        return False

    @property
    def identity(self) -> tuple[Any, ...]:
        """Identity of the file that it is compressed in."""
        return self.file.identity

    @property
    def size(self) -> int:
        """Number of bytes after decompression."""
        return _content(self).size

    def close(self) -> None:
        """Drop the data set, and close the file; both come back when it is read."""
        _inflated.drop(self)
        self.file.close()

    def read(self, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        """Read (offset, length) ranges; see `File.read`."""
        content = _content(self)
        before = content.held
        found = content.read(list(ranges))
        if content.held > before:
            _inflated.trim()
        return found


class _Content:
    """The data set of a file: its compressed bytes, and the others as far as they were read."""

    def __init__(self, part: InflatedFile) -> None:
        self._path = part.path
        # Not the part itself: what is held would keep its owner
        self._file, self._start = part.file, part.start
        self._data = bytearray()
        self._more = self._pieces()
        self._size: int | None = None
        # Threads that read side by side would each hold the whole data set
        self._lock = make_lock()

    @property
    def held(self) -> int:
        """Number of bytes in memory."""
        return len(self._data) + len(vars(self).get("_compressed", b""))

    @cached_property
    def _compressed(self) -> bytes:
        (compressed,) = self._file.read([(self._start, self._file.size - self._start)])
        return compressed

    @property
    def size(self) -> int:
        """Number of bytes of the data set, which are counted and not kept."""
        with self._lock:
            if self._size is None:
                size = 0
                for piece in self._pieces():
                    size += len(piece)
                    if size > _MAX_INFLATED:
                        raise SourceError(
                            f"{self._path}: the data set has more than {_MAX_INFLATED} bytes"
                        )
                self._size = size
            return self._size

    def read(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        """Read (offset, length) ranges."""
        end = max((offset + length for offset, length in ranges), default=0)
        with self._lock:
            while len(self._data) < end and (piece := next(self._more, b"")):
                self._data += piece
            if len(self._data) < end:
                raise SourceError(f"{self._path}: the compressed data set is truncated")
            return [bytes(self._data[offset : offset + length]) for offset, length in ranges]

    def _pieces(self) -> Iterator[bytes]:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for start in range(0, len(self._compressed), _PIECE):
                rest = self._compressed[start : start + _PIECE]
                while piece := inflater.decompress(rest, _PIECE):
                    yield piece
                    rest = inflater.unconsumed_tail
        except zlib.error as error:
            raise SourceError(
                f"{self._path}: the compressed data set is damaged: {error}"
            ) from error


def _content(part: InflatedFile) -> _Content:
    return _inflated.get(part, lambda: _Content(part))


_inflated = Holder("inflated", lambda content: content.held)


def _arrived(file: File, start: int) -> InflatedFile:
    return _inflated.arrived(InflatedFile, file, start)
