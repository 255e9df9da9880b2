"""Journal of an export: the blocks of a store that are written, with their checksums."""

import json
import re
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from dicomslide.errors import StoreError
from dicomslide.export.store import Target, naming

__all__ = ["Entry", "Journal"]

# Name of the array of the journal, which is in the store until the export is complete
_NAME = "unfinished"
_FINGERPRINT, _WRITER = "fingerprint", "writer"
# Bytes of the checksum of a row and of two lengths, and most bytes of the problems of a block
_HEADER, _TEXT = 12, 4096
_BYTES_TOGETHER = 2**22


@dataclass(frozen=True)
class Entry:
    """Entry of a block that is written.

    Parameters
    ----------
    sums : tuple of int
        CRC-32 of each chunk or shard of the block; 0 where it is only background and therefore not
        stored
    problems : tuple of str
        Messages on frames that were filled
    """

    sums: tuple[int, ...]
    problems: tuple[str, ...] = ()

    def encode(self, size: int) -> NDArray[np.uint8]:
        """Make a row of a size in bytes: a CRC-32 of the rest, two lengths, sums and problems."""
        problems = list(self.problems)
        while len(text := json.dumps(problems)) > _TEXT:
            problems = [*problems[: len(problems) // 2 - 1], "…"]
        sums = np.array(self.sums, "<u4").tobytes()
        body = np.array([len(sums), len(text)], "<u4").tobytes() + sums + text.encode("ascii")
        row = np.array([zlib.crc32(body)], "<u4").tobytes() + body
        return np.frombuffer(row.ljust(size, b"\0"), np.uint8)

    @classmethod
    def decode(cls, row: bytes) -> "Entry | None":
        """Read the entry of a row; None where none was written yet.

        Raises
        ------
        ValueError
            When the row is damaged
        """
        if not row.strip(b"\0"):
            return None
        stated, sums, text = np.frombuffer(row[:_HEADER], "<u4").tolist()
        middle = _HEADER + sums
        stop = middle + text
        if zlib.crc32(row[4:stop]) != stated:
            raise ValueError("the entry of a block is damaged")
        problems = json.loads(row[middle:stop])
        return cls(tuple(np.frombuffer(row[_HEADER:middle], "<u4").tolist()), tuple(problems))


@dataclass(frozen=True)
class Journal:
    """Array of the blocks of a store that are written, one row for each.

    The array is in the store itself, so that it is as durable as the blocks. A row is a chunk, and
    is written after its block. The array belongs to the export that was started last: each export
    checks that it still does.

    Parameters
    ----------
    target : Target
        Store that is written
    writer : str
        Identifier of this export, which tells it from others that write to the store
    """

    target: Target
    writer: str

    def begin(self, group: zarr.Group, fingerprint: str, count: int, size: int) -> None:
        """Make the array for `count` blocks of at most `size` chunks or shards each."""
        width = _HEADER + 4 * size + _TEXT
        attributes: dict[str, Any] = {
            "about": "This export is not finished",
            _FINGERPRINT: fingerprint,
            _WRITER: self.writer,
        }
        group.create_array(
            _NAME,
            shape=(max(count, 1), width),
            chunks=(1, width),
            dtype=np.uint8,
            attributes=attributes,
        )

    def resume(self, group: zarr.Group) -> None:
        """Take over the array of another export, which fails to write from now on."""
        group[_NAME].attrs[_WRITER] = self.writer

    @staticmethod
    def fingerprint(target: Target, group: zarr.Group) -> str | None:
        """Read the fingerprint of slide and options from the journal of a store; None without."""
        with naming(f"{target.name}/{_NAME}"):
            array = group.get(_NAME)
            return None if array is None else str(array.attrs.get(_FINGERPRINT))

    def end(self, group: zarr.Group) -> None:
        """Delete the journal when the store is complete."""
        del group[_NAME]

    def require(self) -> None:
        """Check that the store still belongs to this export.

        Raises
        ------
        StoreError
            When another export has taken it over, or it was deleted
        """
        self._array()

    def record(self, number: int, entry: Entry) -> None:
        """Write the entry of a block."""
        with naming(self.name):
            array = self._array()
            array[number] = entry.encode(array.shape[1])

    def entry(self, number: int) -> Entry | None:
        """Read the entry of a block; None where the block is not written."""
        (entry,) = self._entries(number, number + 1)
        return entry

    def problems(self) -> list[str]:
        """Collect the messages on frames that were filled, sorted.

        Raises
        ------
        StoreError
            When a block is not written
        """
        with naming(self.name):
            count, width = self._array().shape
        step = max(_BYTES_TOGETHER // width, 1)
        found: dict[str, None] = {}
        for start in range(0, count, step):
            for number, entry in enumerate(self._entries(start, start + step), start):
                if entry is None:
                    raise StoreError(f"{self.name}: block {number} is lost; resume the export")
                found.update(dict.fromkeys(entry.problems))
        return sorted(found, key=_by_numbers)

    @property
    def name(self) -> str:
        """Name of the journal in messages."""
        return f"{self.target.name}/{_NAME}"

    def _entries(self, start: int, stop: int) -> list[Entry | None]:
        with naming(self.name):
            return [Entry.decode(row.tobytes()) for row in np.asarray(self._array()[start:stop])]

    def _array(self) -> zarr.Array:
        place, zarr_format = self.target.place / _NAME, self.target.zarr_format
        with naming(self.name):
            try:
                array = zarr.open_array(place, mode="r+", zarr_format=zarr_format)
            except FileNotFoundError as error:
                raise StoreError(
                    f"{self.target.name}: another export has replaced or finished it, or it was "
                    "deleted, while this one was writing to it"
                ) from error
            if array.attrs.get(_WRITER) != self.writer:
                raise StoreError(f"{self.target.name}: another export has resumed this store")
        return array


def _by_numbers(text: str) -> list[tuple[int, str]]:
    """Make a sorting key that puts frame 2 before frame 10."""
    parts = re.split(r"(\d+)", text)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
