"""Writes DICOM Part 10 files frame by frame, so that a slide need not fit into memory."""

import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Literal

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import UID

from dicomslide.testing.pixel_format import (
    DEFLATED_LITTLE_ENDIAN,
    EXPLICIT_BIG_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
)

__all__ = ["OffsetTable", "spool_frames", "write_encapsulated", "write_native"]

OffsetTable = Literal["basic", "empty", "extended"]

_IMPLEMENTATION_CLASS_UID = "2.25.310421377203364153302152912033213113733"
_ITEM = b"\xfe\xff\x00\xe0"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0" + bytes(4)
_UNDEFINED = b"\xff\xff\xff\xff"
_MEMORY = 1 << 26


@dataclass(frozen=True)
class EncodedFrames:
    """Encoded frames in a file: their lengths are known before the header is written.

    Parameters
    ----------
    file : IO[bytes]
        The frames, one after the other
    lengths : list of int
        Length of each frame in bytes, without padding
    """

    file: IO[bytes]
    lengths: list[int]

    def __iter__(self) -> Iterator[bytes]:
        self.file.seek(0)
        return (self.file.read(length) for length in self.lengths)


@contextmanager
def spool_frames(frames: Iterable[bytes], folder: Path) -> Iterator[EncodedFrames]:
    """Keep frames in memory while they are small, otherwise in a temporary file in `folder`."""
    with tempfile.SpooledTemporaryFile(max_size=_MEMORY, dir=str(folder)) as file:
        yield EncodedFrames(file, [file.write(frame) for frame in frames])


def write_native(
    path: Path, dataset: Dataset, transfer_syntax: str, frames: Iterable[bytes], length: int
) -> None:
    """Write an instance with native (not encapsulated) Pixel Data of `length` bytes.

    Raises
    ------
    ValueError
        When the pixels do not fit into one element (PS3.5 A.2 allows 2 ** 32 - 2 bytes)
    """
    padded = length + length % 2
    if padded > 0xFFFFFFFE:
        raise ValueError(
            f"{path.name}: {length} bytes of native Pixel Data; at most 4294967294 can be stored"
        )
    order = ">" if transfer_syntax == EXPLICIT_BIG_ENDIAN else "<"
    tag = struct.pack(order + "HH", 0x7FE0, 0x0010)
    if transfer_syntax == IMPLICIT_LITTLE_ENDIAN:
        header = tag + struct.pack("<I", padded)
    else:
        vr = b"OW" if dataset.BitsAllocated > 8 else b"OB"
        header = tag + vr + bytes(2) + struct.pack(order + "I", padded)
    chunks: Iterable[bytes] = chain(
        [_serialize(dataset, transfer_syntax), header], frames, [bytes(length % 2)]
    )
    if transfer_syntax == DEFLATED_LITTLE_ENDIAN:
        chunks = _deflate(chunks)
    with path.open("wb") as file:
        _write_meta(file, dataset, transfer_syntax)
        for chunk in chunks:
            file.write(chunk)


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
    path: Path,
    dataset: Dataset,
    transfer_syntax: str,
    frames: EncodedFrames,
    offset_table: OffsetTable = "basic",
    fragments_per_frame: int = 1,
) -> None:
    """Write an instance with encapsulated Pixel Data (PS3.5 A.4).

    Parameters
    ----------
    path : pathlib.Path
        File to write
    dataset : pydicom.Dataset
        The data set without its Pixel Data
    transfer_syntax : str
        Transfer Syntax UID
    frames : EncodedFrames
        The frames
    offset_table : str, optional
        "basic", "empty" (a Basic Offset Table without entries) or "extended" (Extended Offset Table
        attributes)
    fragments_per_frame : int, optional
        Number of fragments that each frame is split into, fewer where a frame is too short. With an
        Extended Offset Table it has to be 1 (PS3.3 C.7.6.3.1.8)

    Raises
    ------
    ValueError
        When a Basic Offset Table cannot hold the offsets
    """
    sizes = [_fragment_sizes(length, fragments_per_frame) for length in frames.lengths]
    offsets, position = [], 0
    for frame_sizes in sizes:
        offsets.append(position)
        position += sum(8 + size + size % 2 for size in frame_sizes)
    table = b""
    if offset_table == "basic":
        if offsets[-1] > 0xFFFFFFFE:
            raise ValueError(
                f"{path.name}: frames take {position} bytes; use an extended or empty offset table"
            )
        table = struct.pack(f"<{len(offsets)}I", *offsets)
    elif offset_table == "extended":
        dataset.ExtendedOffsetTable = struct.pack(f"<{len(offsets)}Q", *offsets)
        lengths = [size + size % 2 for (size,) in sizes]
        dataset.ExtendedOffsetTableLengths = struct.pack(f"<{len(lengths)}Q", *lengths)
    with path.open("wb") as file:
        _write_meta(file, dataset, transfer_syntax)
        file.write(_serialize(dataset, transfer_syntax))
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
    meta.ImplementationVersionName = "DICOMSLIDE_TEST"
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta)
    file.write(bytes(128) + b"DICM" + buffer.getvalue())


def _serialize(dataset: Dataset, transfer_syntax: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax == IMPLICIT_LITTLE_ENDIAN
    buffer.is_little_endian = transfer_syntax != EXPLICIT_BIG_ENDIAN
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())
