"""Files of which some bytes are known, as an index keeps them; and files that note what is read.

The header of a known file is read without asking for the file itself, which is only used where its
frames are read.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from dicomslide.processes import make_lock
from dicomslide.sources.base import File
from dicomslide.sources.offsets import EncapsulatedOffsets

__all__ = ["KnownFile", "NotingFile", "Parts", "known_end", "known_offsets", "plain_file"]

Parts = tuple[tuple[int, bytes], ...]
"""Offsets and bytes of parts of a file, in ascending order; no two of them touch."""


class _Wrapped:
    """File that stands in front of another one, which other processes use alone."""

    def __init__(self, file: File) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return plain_file, (self.file,)

    @property
    def path(self) -> str:
        """Name of the file in messages."""
        return self.file.path

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.file.size

    @property
    def remote(self) -> bool:
        """Whether a request costs more than the bytes that it brings."""
        return self.file.remote

    @property
    def identity(self) -> tuple[Any, ...]:
        """Key that is equal in all processes for the same bytes and the same user."""
        return self.file.identity

    def close(self) -> None:
        """Release what the file holds."""
        self.file.close()


class KnownFile(_Wrapped):
    """File of which some bytes are known.

    Parameters
    ----------
    file : File
        File itself
    parts : tuple
        Parts that are known
    offsets : EncapsulatedOffsets, optional
        Byte ranges of its frames, if they are compressed
    """

    def __init__(
        self, file: File, parts: Parts, offsets: EncapsulatedOffsets | None = None
    ) -> None:
        super().__init__(file)
        self.parts = parts
        self.offsets = offsets

    def read(self, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        """Read (offset, length) ranges: from the known parts, or else all of them from the file."""
        ranges = list(ranges)
        found = [self._find(offset, length) for offset, length in ranges]
        known = [data for data in found if data is not None]
        return known if len(known) == len(found) else self.file.read(ranges)

    def known_end(self, position: int) -> int:
        """Find where the known part ends in which a position is; the position itself without."""
        start, data = self._part_at(position)
        return max(position, start + len(data))

    def _find(self, offset: int, length: int) -> bytes | None:
        if not length:
            return b""
        start, data = self._part_at(offset)
        place = offset - start
        return data[place : place + length] if place + length <= len(data) else None

    def _part_at(self, offset: int) -> tuple[int, bytes]:
        """Find the last part that starts at an offset or before; an empty one without any."""
        number = bisect_right(self.parts, offset, key=lambda part: part[0]) - 1
        return self.parts[number] if number >= 0 else (0, b"")


class NotingFile(_Wrapped):
    """File that notes the bytes that are read of it.

    Parameters
    ----------
    file : File
        File itself
    """

    def __init__(self, file: File) -> None:
        super().__init__(file)
        self._noted: dict[int, bytes] = {}
        self._lock = make_lock()

    def read(self, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        """Read (offset, length) ranges, and note them."""
        ranges = list(ranges)
        found = self.file.read(ranges)
        with self._lock:
            for (offset, _), data in zip(ranges, found, strict=True):
                self._noted[offset] = max(self._noted.get(offset, b""), data, key=len)
        return found

    def parts(self, end: int) -> Parts:
        """Join what was read before an offset."""
        joined: list[tuple[int, bytearray]] = []
        for offset, data in sorted(self._noted.items()):
            data = data[: max(end - offset, 0)]
            if not data:
                continue
            if joined and offset <= joined[-1][0] + len(joined[-1][1]):
                start, before = joined[-1]
                before += data[max(start + len(before) - offset, 0) :]
            else:
                joined.append((offset, bytearray(data)))
        return tuple((offset, bytes(data)) for offset, data in joined)


def plain_file(file: File) -> File:
    """Return the file itself that a file stands in front of; others are their own."""
    return file.file if isinstance(file, _Wrapped) else file


def known_end(file: File, position: int) -> int:
    """Find up to where bytes from a position on are best read at once."""
    return file.known_end(position) if isinstance(file, KnownFile) else file.size


def known_offsets(file: File) -> EncapsulatedOffsets | None:
    """Return the byte ranges of the frames of a file, if they are known."""
    return file.offsets if isinstance(file, KnownFile) else None
