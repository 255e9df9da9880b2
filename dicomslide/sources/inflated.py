"""Deflated data sets, read by offset like files (PS3.5 A.5)."""

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
    """Inflated data set of a file, which is compressed from an offset on.

    All bytes up to the last one that was read are held in memory. Their number is bounded, as
    readers only ask for the header and for the pixels that it declares.

    Parameters
    ----------
    file : File
        File that holds the compressed bytes
    start : int
        Offset of the first compressed byte
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
        """Identity of the file that holds the compressed bytes."""
        return self.file.identity

    @property
    def size(self) -> int:
        """Size of the data set in bytes after decompression."""
        return _content(self).size

    def close(self) -> None:
        """Drop the inflated bytes and close the file; reading it later starts again."""
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
    """Compressed bytes of a data set, and the inflated ones as far as they were read."""

    def __init__(self, part: InflatedFile) -> None:
        self._path = part.path
        # A reference to `part` would keep it alive: it is the owner of this object in a Holder
        self._file, self._start = part.file, part.start
        self._data = bytearray()
        self._more = self._pieces()
        self._size: int | None = None
        # Threads share one inflated copy, which only one of them may extend at a time
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
        """Size of the data set in bytes, which is inflated once to count them."""
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
