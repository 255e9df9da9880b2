"""Writes DICOM Part 10 files frame by frame, so that a slide need not fit into memory.

The length of the pixel data, the offset table and the functional groups stand in front of the
frames. Frames are thus kept in a temporary file until all of them are there: the spool.
"""

import os
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import UID

from dicomslide.errors import ArgumentValueError
from dicomslide.writing.pixel_format import (
    DEFLATED_LITTLE_ENDIAN,
    EXPLICIT_BIG_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
)

__all__ = [
    "EncodedFrames",
    "NativeElement",
    "OffsetTable",
    "Spool",
    "check_native_length",
    "encode_dataset",
    "open_spool",
    "write_encapsulated",
    "write_native",
]

OffsetTable = Literal["basic", "empty", "extended"]
NativeElement = Literal["PixelData", "FloatPixelData", "DoubleFloatPixelData"]

_IMPLEMENTATION_CLASS_UID = "2.25.310421377203364153302152912033213113733"
_ITEM = b"\xfe\xff\x00\xe0"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0" + bytes(4)
_UNDEFINED = b"\xff\xff\xff\xff"
_MEMORY = 1 << 24
# Most bytes of one element of defined length, and largest offset of a Basic Offset Table
_LONGEST = 0xFFFFFFFE
_PER_FRAME_GROUPS = 0x52009230
# Tags and value representations of pixels that are not integers (PS3.3 C.7.6.24, C.7.6.25)
_FLOATING = {"FloatPixelData": (0x0008, b"OF"), "DoubleFloatPixelData": (0x0009, b"OD")}


@dataclass(frozen=True)
class EncodedFrames:
    """Encoded frames in a file: their lengths are known before the header is written.

    Parameters
    ----------
    file : IO[bytes]
        Frames in any order
    offsets, lengths : numpy.ndarray
        Offset of each frame in the file, and its length in bytes, without padding
    """

    file: IO[bytes]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[bytes]:
        for offset, length in zip(self.offsets.tolist(), self.lengths.tolist(), strict=True):
            self.file.seek(offset)
            yield self.file.read(length)


@dataclass
class Spool:
    """Temporary file of encoded frames, which are added in any order.

    Parameters
    ----------
    file : IO[bytes]
        File, which is written from its start
    """

    file: IO[bytes]
    _end: int = field(default=0, init=False)

    def add(self, frame: bytes) -> tuple[int, int]:
        """Add a frame; return its offset and length."""
        place = self._end, len(frame)
        self.file.write(frame)
        self._end += len(frame)
        return place

    def take(self, places: Iterable[tuple[int, int]]) -> EncodedFrames:
        """Return frames by their offsets and lengths; several may be at one place."""
        found = np.array(list(places), np.int64).reshape(-1, 2)
        return EncodedFrames(self.file, found[:, 0], found[:, 1])


@contextmanager
def open_spool(folder: str | os.PathLike[str] | None = None) -> Iterator[Spool]:
    """Make a spool, in memory while it is small, otherwise in a temporary file in a folder."""
    place = None if folder is None else os.fspath(folder)
    with tempfile.SpooledTemporaryFile(max_size=_MEMORY, dir=place) as file:
        yield Spool(file)


def check_native_length(length: int) -> None:
    """Check that a number of bytes of native pixels fits into one element (PS3.5 A.2).

    Raises
    ------
    ArgumentValueError
        When there are more than 2 ** 32 - 2
    """
    if length > _LONGEST:
        raise ArgumentValueError(
            f"{length} bytes of native Pixel Data; at most {_LONGEST} can be stored, an "
            "encapsulated transfer syntax has no such limit"
        )


def write_native(
    file: IO[bytes],
    dataset: Dataset,
    transfer_syntax: str,
    frames: Iterable[bytes],
    length: int,
    *,
    element: NativeElement = "PixelData",
    groups: Iterable[bytes] = (),
) -> None:
    """Write an instance with native (not encapsulated) pixels of `length` bytes.

    Parameters
    ----------
    file : IO[bytes]
        File to write
    dataset : pydicom.Dataset
        Data set without its pixels
    transfer_syntax : str
        Transfer Syntax UID
    frames : iterable of bytes
        Frames in their order
    length : int
        Number of bytes of all frames
    element : str, optional
        Keyword of the element that holds the pixels
    groups : iterable of bytes, optional
        Encoded items of the Per-Frame Functional Groups Sequence, instead of those of the data set

    Raises
    ------
    ArgumentValueError
        When the pixels do not fit into one element
    """
    check_native_length(length)
    padded = length + length % 2
    order = ">" if transfer_syntax == EXPLICIT_BIG_ENDIAN else "<"
    number, vr = _FLOATING.get(element, (0x0010, b"OW" if dataset.BitsAllocated > 8 else b"OB"))
    header = struct.pack(order + "HH", 0x7FE0, number)
    if transfer_syntax == IMPLICIT_LITTLE_ENDIAN:
        header += struct.pack("<I", padded)
    else:
        header += vr + bytes(2) + struct.pack(order + "I", padded)
    chunks: Iterable[bytes] = chain(
        _serialize(dataset, transfer_syntax, groups), [header], frames, [bytes(length % 2)]
    )
    if transfer_syntax == DEFLATED_LITTLE_ENDIAN:
        chunks = _deflate(chunks)
    _write_meta(file, dataset, transfer_syntax)
    file.writelines(chunks)


def _deflate(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Compress a data set (PS3.5 A.5); the result has an even length."""
    compressor = zlib.compressobj(6, wbits=-15)
    total = 0
    for chunk in chunks:
        compressed = compressor.compress(chunk)
        total += len(compressed)
        yield compressed
    rest = compressor.flush()
    yield rest + bytes((total + len(rest)) % 2)


def write_encapsulated(
    file: IO[bytes],
    dataset: Dataset,
    transfer_syntax: str,
    frames: EncodedFrames,
    offset_table: OffsetTable | None = None,
    fragments_per_frame: int = 1,
    *,
    groups: Iterable[bytes] = (),
) -> None:
    """Write an instance with encapsulated Pixel Data (PS3.5 A.4).

    Parameters
    ----------
    file : IO[bytes]
        File to write
    dataset : pydicom.Dataset
        The data set without its Pixel Data
    transfer_syntax : str
        Transfer Syntax UID
    frames : EncodedFrames
        The frames
    offset_table : str, optional
        "basic", "empty" (a Basic Offset Table without entries) or "extended" (Extended Offset Table
        attributes); by default "basic" where it can hold the offsets, otherwise "extended"
    fragments_per_frame : int, optional
        Number of fragments that each frame is split into, fewer where a frame is too short. With an
        Extended Offset Table it has to be 1 (PS3.3 C.7.6.3.1.8)
    groups : iterable of bytes, optional
        Encoded items of the Per-Frame Functional Groups Sequence, instead of those of the data set

    Raises
    ------
    ValueError
        When a Basic Offset Table cannot hold the offsets
    """
    sizes = [_fragment_sizes(length, fragments_per_frame) for length in frames.lengths.tolist()]
    offsets, position = [], 0
    for frame_sizes in sizes:
        offsets.append(position)
        position += sum(8 + size + size % 2 for size in frame_sizes)
    is_long = offsets[-1] > _LONGEST
    if offset_table is None:
        offset_table = "extended" if is_long else "basic"
    table = b""
    if offset_table == "basic":
        if is_long:
            raise ValueError(f"frames take {position} bytes; use an extended or empty offset table")
        table = struct.pack(f"<{len(offsets)}I", *offsets)
    elif offset_table == "extended":
        dataset.ExtendedOffsetTable = struct.pack(f"<{len(offsets)}Q", *offsets)
        lengths = [size + size % 2 for (size,) in sizes]
        dataset.ExtendedOffsetTableLengths = struct.pack(f"<{len(lengths)}Q", *lengths)
    _write_meta(file, dataset, transfer_syntax)
    file.writelines(_serialize(dataset, transfer_syntax, groups))
    file.write(struct.pack("<HH", 0x7FE0, 0x0010) + b"OB" + bytes(2) + _UNDEFINED)
    file.write(_ITEM + struct.pack("<I", len(table)) + table)
    for frame, frame_sizes in zip(frames, sizes, strict=True):
        start = 0
        for size in frame_sizes:
            file.write(_ITEM + struct.pack("<I", size + size % 2))
            file.write(frame[start : start + size] + bytes(size % 2))
            start += size
    file.write(_SEQUENCE_END)


def _fragment_sizes(length: int, count: int) -> list[int]:
    """Split a frame in fragments of even length; the last one may be odd and is padded."""
    step = -(-length // count)
    step += step % 2
    return [min(step, length - start) for start in range(0, length, step)]


def _write_meta(file: IO[bytes], dataset: Dataset, transfer_syntax: str) -> None:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID(_IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = "DICOMSLIDE"
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta)
    file.write(bytes(128) + b"DICM" + buffer.getvalue())


def _serialize(dataset: Dataset, transfer_syntax: str, groups: Iterable[bytes]) -> Iterator[bytes]:
    """Encode a data set, with the items of its Per-Frame Functional Groups where they are given."""
    items = iter(groups)
    first = next(items, None)
    if first is None:
        yield encode_dataset(dataset, transfer_syntax)
        return
    yield encode_dataset(dataset[:_PER_FRAME_GROUPS], transfer_syntax)
    yield struct.pack("<HH", _PER_FRAME_GROUPS >> 16, _PER_FRAME_GROUPS & 0xFFFF)
    yield (b"" if transfer_syntax == IMPLICIT_LITTLE_ENDIAN else b"SQ\0\0") + _UNDEFINED
    for item in chain([first], items):
        yield _ITEM + struct.pack("<I", len(item)) + item
    yield _SEQUENCE_END + encode_dataset(dataset[_PER_FRAME_GROUPS + 1 :], transfer_syntax)


def encode_dataset(dataset: Dataset, transfer_syntax: str) -> bytes:
    """Encode a data set, or a part of one (PS3.5 7.1)."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax == IMPLICIT_LITTLE_ENDIAN
    buffer.is_little_endian = transfer_syntax != EXPLICIT_BIG_ENDIAN
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())
