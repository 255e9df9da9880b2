"""Data sets that are compressed in their file (PS3.5 A.5)."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dicomslide.errors import SourceError
from dicomslide.processes import Lock
from dicomslide.sources.base import File
from dicomslide.sources.holding import Holder

__all__ = ["InflatedFile"]

_MAX_INFLATED = 1 << 30


@dataclass(frozen=True)
class InflatedFile:
    """What is compressed in a file from an offset on, held in memory while it is used.

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
    def modified(self) -> Any:
        """What changes when the file changes."""
        return self.file.modified

    @property
    def size(self) -> int:
        """Number of bytes after decompression."""
        return len(_inflate(self))

    def close(self) -> None:
        """Drop the data set, and close the file; both come back when it is read."""
        _inflated.drop(self)
        self.file.close()

    def read(self, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        """Read (offset, length) ranges; see `File.read`."""
        data = _inflate(self)
        parts = []
        for offset, length in ranges:
            if offset + length > len(data):
                raise SourceError(f"{self.path}: the compressed data set is truncated")
            parts.append(data[offset : offset + length])
        return parts


def _inflate(part: InflatedFile) -> bytes:
    # Threads that read side by side would each hold the whole data set
    with _lock:
        return _inflated.get(part, lambda: _read(part))


_lock = Lock()
_inflated = Holder(_MAX_INFLATED)


def _arrived(file: File, start: int) -> InflatedFile:
    return _inflated.arrived(InflatedFile, file, start)


def _read(part: InflatedFile) -> tuple[bytes, int]:
    (compressed,) = part.file.read([(part.start, part.file.size - part.start)])
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(compressed, _MAX_INFLATED)
    except zlib.error as error:
        raise SourceError(f"{part.path}: the compressed data set is damaged: {error}") from error
    if inflater.unconsumed_tail:
        raise SourceError(f"{part.path}: the data set has more than {_MAX_INFLATED} bytes")
    return data, len(data)
