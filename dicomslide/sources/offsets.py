"""Byte ranges of the encapsulated frames of a Part 10 file (PS3.5 8.2 and A.4)."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomslide.errors import FrameError
from dicomslide.metadata.words import counted
from dicomslide.processes import make_lock
from dicomslide.sources.base import Ranges

__all__ = ["EncapsulatedOffsets", "FrameIndex", "encapsulated_offsets", "join_fragments"]

_ITEM = b"\xfe\xff\x00\xe0"
_DELIMITER = b"\xfe\xff\xdd\xe0"
_UNDEFINED = 0xFFFFFFFF
# Bytes that are read at once for the end of the last frame, which mostly has a single fragment
_LAST_STEP = 1 << 16
# First bytes of codestreams: JPEG and JPEG-LS, JPEG 2000, JPEG XL, and boxes of the last two
_CODESTREAM_STARTS = (b"\xff\xd8", b"\xff\x4f", b"\xff\x0a", b"\x00\x00\x00\x0c")


@dataclass(frozen=True, eq=False)
class EncapsulatedOffsets:
    """Byte ranges of encapsulated frames, item headers included.

    Parameters
    ----------
    starts, ends : numpy.ndarray
        Offset in the file of each frame's first item header, and of the byte after its last
        fragment; shape (number of frames,). The end of the last frame is -1 where it is not known,
        as basic offset tables do not state it
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def know(self, frames: Sequence[int]) -> bool:
        """Whether starts and ends of frames are known."""
        return bool(self.ends[-1] >= 0) or len(self.ends) - 1 not in frames

    def check(self, count: int, start: int, end: int, name: str) -> None:
        """Check that there are so many frames, and that they lie between two offsets of a file.

        Raises
        ------
        FrameError
            When frames are missing, or one lies elsewhere
        """
        if not len(self.starts) == len(self.ends) == count:
            raise FrameError(
                f"{name}: there are offsets for {counted(len(self.starts), 'frame')}, expected "
                f"{count}"
            )
        _checked(self.starts, self.ends, start, end, name)

    def with_last_end(self, read: Ranges, end: int, name: str, step: int) -> "EncapsulatedOffsets":
        """Find the end of the last frame in a file of `end` bytes, by its items."""
        start = int(self.starts[-1])
        items = list(_walk(read, start, end, name, step))
        if not items:
            raise FrameError(f"{name}: the file is truncated; frame {len(self.starts)} is missing")
        return replace(self, ends=np.append(self.ends[:-1], items[-1][1]))


@dataclass(frozen=True)
class FrameIndex:
    """Index of the encapsulated frames of a file, which is made when it is needed.

    What was found in the file travels with a pickled index, so that other processes need not look
    for it again.

    Parameters
    ----------
    start : int
        Offset of the value of Pixel Data in bytes
    count : int
        Number of frames
    first : bytes
        First bytes of the value, as far as they are known
    extended : tuple of bytes, optional
        Values of Extended Offset Table and Extended Offset Table Lengths
    """

    start: int
    count: int
    first: bytes = field(default=b"", repr=False, compare=False)
    extended: tuple[bytes, bytes] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of_offsets(cls, start: int, offsets: EncapsulatedOffsets) -> "FrameIndex":
        """Make an index of which all byte ranges are known."""
        index = cls(start, len(offsets.starts))
        vars(index)["_found"] = offsets
        return index

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in vars(self).items() if name != "_lock"}
        if "_found" in state:
            # The tables are not needed any more
            state |= {"first": b"", "extended": None}
        return state

    def offsets(
        self, read: Ranges, size: int, name: str, step: int, frames: Sequence[int]
    ) -> EncapsulatedOffsets:
        """Find the byte ranges of frames, unless they are known.

        Parameters
        ----------
        read : callable
            Reads (offset, length) ranges of the file
        size : int
            Size of the file in bytes
        name : str
            Name of the file for messages
        step : int
            Number of bytes that are read at once to walk the items
        frames : sequence of int
            Frames whose ranges are needed

        Raises
        ------
        FrameError
            When an offset table or an item is damaged, or frames cannot be told apart without one
        """
        known = vars(self)
        found: EncapsulatedOffsets | None = known.get("_found")
        if found is not None and found.know(frames):
            return found
        # The lock keeps threads that read for the first time from each walking the items
        with known.setdefault("_lock", make_lock()):
            found = known.get("_found")
            if found is None:
                found = encapsulated_offsets(
                    self._after_first(read), name, self.start, size, self.count, self.extended, step
                )
            if not found.know(frames):
                found = found.with_last_end(read, size, name, min(step, _LAST_STEP))
            known["_found"] = found
        return found

    def _after_first(self, read: Ranges) -> Ranges:
        """Make a function that reads ranges which are among the first bytes from there."""

        def read_rest(ranges: list[tuple[int, int]]) -> list[bytes]:
            stop = self.start + len(self.first)
            if any(offset < self.start or offset + length > stop for offset, length in ranges):
                return read(ranges)
            places = [(offset - self.start, length) for offset, length in ranges]
            return [self.first[place : place + length] for place, length in places]

        return read_rest


def encapsulated_offsets(
    read: Ranges,
    name: str,
    start: int,
    end: int,
    count: int,
    extended: tuple[bytes, bytes] | None,
    step: int = 8,
) -> EncapsulatedOffsets:
    """Find the frames of an encapsulated Pixel Data element.

    The extended offset table is used where there is one, else the basic offset table. Where that is
    empty, of another length or not in ascending order, the items are walked once.

    Parameters
    ----------
    read : callable
        Reads (offset, length) ranges of the file
    name : str
        Name of the file for messages
    start, end : int
        Offset of the value of Pixel Data, and size of the file, both in bytes
    count : int
        Number of frames
    extended : tuple of bytes, optional
        Values of Extended Offset Table and Extended Offset Table Lengths
    step : int
        Number of bytes that are read at once to walk the items: one item header by default

    Raises
    ------
    FrameError
        When an offset table or an item is damaged, or frames cannot be told apart without one
    """
    (header,) = read([(start, 8)])
    tag, length = header[:4], struct.unpack("<I", header[4:])[0]
    if tag != _ITEM or length % 4 or start + 8 + length > end:
        raise FrameError(f"{name}: Pixel Data does not start with a basic offset table")
    base = start + 8 + length
    if extended is not None:
        if min(map(len, extended)) < 8 * count:
            raise FrameError(
                f"{name}: the extended offset table has {len(extended[0])} bytes of offsets and "
                f"{len(extended[1])} bytes of lengths, {count} frames need {8 * count} of each"
            )
        offsets, lengths = (np.frombuffer(v, "<u8", count).astype(np.int64) for v in extended)
        starts = base + offsets
        # Items have even lengths: a frame of an odd number of bytes is padded
        return _checked(starts, starts + 8 + lengths + lengths % 2, base, end, name)
    if length and length == 4 * count:
        (table,) = read([(start + 8, length)])
        offsets = np.frombuffer(table, "<u4").astype(np.int64)
        if offsets[0] == 0 and (np.diff(offsets) > 0).all():
            starts = base + offsets
            _checked(starts, np.append(starts[1:], end), base, end, name)
            return EncapsulatedOffsets(starts, np.append(starts[1:], -1))
    return _walked(read, name, base, end, count, step)


def join_fragments(data: bytes, name: str) -> bytes:
    """Join the fragments of a frame, given the items that hold them."""
    if data[:4] == _ITEM and int.from_bytes(data[4:8], "little") == len(data) - 8:
        return data[8:]
    fragments = []
    position = 0
    while position < len(data):
        if data[position : position + 4] != _ITEM or len(data) < position + 8:
            raise FrameError(f"{name}: no item starts where the offset table says")
        (length,) = struct.unpack_from("<I", data, position + 4)
        stop = position + 8 + length
        if stop > len(data):
            raise FrameError(f"{name}: an item of {length} bytes exceeds its frame")
        fragments.append(data[position + 8 : stop])
        position = stop
    return b"".join(fragments)


def _checked(
    starts: NDArray[np.int64], ends: NDArray[np.int64], base: int, end: int, name: str
) -> EncapsulatedOffsets:
    outside = (starts < base) | (ends > end) | (ends < starts + 8)
    if outside.any():
        frame = int(np.argmax(outside))
        raise FrameError(
            f"{name}: frame {frame + 1} lies at bytes {starts[frame]} to {ends[frame]} of a file "
            f"of {end} bytes; the file is truncated or its offset table is wrong"
        )
    return EncapsulatedOffsets(starts, ends)


def _walk(read: Ranges, position: int, end: int, name: str, step: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each item up to the Sequence Delimitation Item or the file's end."""
    block, start = b"", position
    while position + 8 <= end:
        if position + 8 > start + len(block):
            start = position
            (block,) = read([(start, min(step, end - start))])
        header = block[position - start : position - start + 8]
        tag, length = header[:4], struct.unpack("<I", header[4:])[0]
        if tag == _DELIMITER:
            return
        if tag != _ITEM or length == _UNDEFINED:
            raise FrameError(f"{name}: no item at byte {position} of Pixel Data")
        stop = position + 8 + length
        if stop > end:
            raise FrameError(
                f"{name}: an item ends at byte {stop} of a file of {end} bytes; the file is "
                "truncated"
            )
        yield position, stop
        position = stop


def _walked(
    read: Ranges, name: str, base: int, end: int, count: int, step: int
) -> EncapsulatedOffsets:
    items = np.array(list(_walk(read, base, end, name, step)), dtype=np.int64).reshape(-1, 2)
    if len(items) < count:
        raise FrameError(
            f"{name}: {counted(len(items), 'fragment')} for {counted(count, 'frame')}; frames are "
            "missing"
        )
    if count == 1:
        return EncapsulatedOffsets(items[:1, 0], items[-1:, 1])
    if len(items) > count:
        heads = read([(int(start) + 8, 4) for start in items[:, 0]])
        # All frames of an image start like its first one: fragments in between must not count if
        # they start like a codestream of another kind
        known = [kind for kind in _CODESTREAM_STARTS if heads[0].startswith(kind)]
        first = np.array([head.startswith(tuple(known)) for head in heads])
        if first.sum() != count:
            raise FrameError(
                f"{name}: {len(items)} fragments cannot be told apart into {count} frames; the "
                "image needs an offset table"
            )
        (places,) = np.nonzero(first)
        return EncapsulatedOffsets(
            items[places, 0], items[np.append(places[1:], len(items)) - 1, 1]
        )
    return EncapsulatedOffsets(items[:, 0], items[:, 1])
