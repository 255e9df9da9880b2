"""Image instances in DICOM Part 10 files (PS3.10 7)."""

import hashlib
import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from dicomslide.errors import (
    FrameError,
    InvalidImageError,
    NoSlideError,
    SourceError,
    UnsupportedError,
)
from dicomslide.metadata.flavors import is_image
from dicomslide.metadata.frames import number_of_frames
from dicomslide.metadata.pixel_format import read_pixel_format
from dicomslide.sources.localfile import LocalFile
from dicomslide.sources.offsets import EncapsulatedOffsets, encapsulated_offsets, join_fragments

__all__ = ["FileFrames", "FileStore", "find_files", "open_image_file"]

_PIXEL_DATA = {
    (0x7FE0, 0x0010): "PixelData",
    (0x7FE0, 0x0008): "FloatPixelData",
    (0x7FE0, 0x0009): "DoubleFloatPixelData",
}
_LONG_VRS = (b"OB", b"OW", b"OF", b"OD", b"UN")
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True)
class FileFrames:
    """The frames of an image instance in a local Part 10 file.

    Parameters
    ----------
    file : LocalFile
        The file
    sop_instance_uid : str
        SOP Instance UID
    transfer_syntax_uid : str
        Transfer Syntax UID of the file
    start, length : int
        Where the value of Pixel Data starts, and its length; -1 for an undefined length
    count : int
        Number of frames
    frame_bits : int
        Size of an uncompressed frame in bits
    extended : tuple of bytes, optional
        Values of Extended Offset Table and Extended Offset Table Lengths
    """

    file: LocalFile
    sop_instance_uid: str
    transfer_syntax_uid: str
    start: int
    length: int
    count: int
    frame_bits: int
    extended: tuple[bytes, bytes] | None = None

    @property
    def name(self) -> str:
        """Path of the file."""
        return self.file.path

    @property
    def token(self) -> str:
        """A name that is the same for the same bytes."""
        parts = (self.file.path, self.file.size, self.file.modified, self.sop_instance_uid)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_offsets"}

    @cached_property
    def _offsets(self) -> EncapsulatedOffsets:
        return encapsulated_offsets(
            self.file.read, self.file.path, self.start, self.file.size, self.count, self.extended
        )

    def read(self, frames: Sequence[int]) -> list[bytes]:
        """Read encoded frames; see `FrameSource.read`."""
        for frame in frames:
            if not 0 <= frame < self.count:
                raise FrameError(f"{self.file.path}: there is no frame {frame + 1} of {self.count}")
        if self.length >= 0 and not UID(self.transfer_syntax_uid).is_encapsulated:
            return self._read_native(frames)
        starts, ends = self._offsets.starts, self._offsets.ends
        items = self.file.read([(int(starts[f]), int(ends[f] - starts[f])) for f in frames])
        return [join_fragments(item, self.file.path) for item in items]

    def _read_native(self, frames: Sequence[int]) -> list[bytes]:
        bits = self.frame_bits
        first = [frame * bits // 8 for frame in frames]
        last = [-(-(frame + 1) * bits // 8) for frame in frames]
        parts = self.file.read([(self.start + a, b - a) for a, b in zip(first, last, strict=True)])
        if bits % 8 == 0:
            return parts
        return [
            _aligned(part, frame * bits % 8, bits)
            for part, frame in zip(parts, frames, strict=True)
        ]


def _aligned(data: bytes, skip: int, bits: int) -> bytes:
    """Shift packed one-bit pixels so that they start at the first bit."""
    unpacked = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    return np.packbits(unpacked[skip : skip + bits], bitorder="little").tobytes()


class FileStore:
    """Image instances in local files, found by SOP Instance UID."""

    def __init__(self, sources: Iterable[FileFrames]) -> None:
        self._sources = {source.sop_instance_uid: source for source in sources}

    def frame_source(self, dataset: Dataset) -> FileFrames:
        """Get the source of the frames of an instance."""
        uid = str(dataset.get("SOPInstanceUID"))
        try:
            return self._sources[uid]
        except KeyError:
            raise SourceError(f"image {uid} is in none of the files") from None


def find_files(source: str | os.PathLike[str]) -> list[str]:
    """List the files of a folder and of the folders in it, or the one file that a path names.

    Hidden files and folders are left out.

    Raises
    ------
    SourceError
        When there is no such file or folder
    """
    path = os.fspath(source)
    if not os.path.exists(path):
        raise SourceError(f"{path}: no such file or folder")
    if not os.path.isdir(path):
        return [path]
    found = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [os.path.join(folder, name) for name in sorted(names) if not name.startswith(".")]
    return found


def looks_like_dicom(path: str | os.PathLike[str]) -> bool:
    """Whether a file carries the prefix of DICOM Part 10 files (PS3.10 7.1)."""
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def open_image_file(path: str | os.PathLike[str]) -> tuple[Dataset, FileFrames]:
    """Read the header of an image file and find its pixel data.

    No frame is read.

    Returns
    -------
    dataset : pydicom.dataset.Dataset
        All attributes but the pixel data
    frames : FileFrames
        Source of its frames

    Raises
    ------
    NoSlideError
        When the file is not a DICOM image
    InvalidImageError
        When the header is damaged or the file ends before its frames do
    SourceError
        When the file cannot be read
    """
    file = LocalFile.at(path)
    try:
        with open(file.path, "rb") as stream:
            dataset = pydicom.dcmread(stream, stop_before_pixels=True)
            position = stream.tell()
    except InvalidDicomError as error:
        raise NoSlideError(f"{path}: not a DICOM file") from error
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error
    except (ValueError, EOFError, struct.error, NotImplementedError, KeyError) as error:
        raise InvalidImageError(f"{path}: damaged DICOM header: {error}") from error
    if not is_image(dataset):
        raise NoSlideError(f"{path}: a DICOM file, but not an image")
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise InvalidImageError(f"{path}: no Transfer Syntax UID")
    if syntax == DeflatedExplicitVRLittleEndian:
        raise UnsupportedError(f"{path}: transfer syntax {syntax.name} is not supported yet")
    return dataset, _find_pixel_data(path, file, dataset, syntax, position)


def _find_pixel_data(
    path: str | os.PathLike[str], file: LocalFile, dataset: Dataset, syntax: UID, position: int
) -> FileFrames:
    keyword, start, length = _pixel_data_element(path, file, syntax, position)
    if keyword != "PixelData":
        # Rows x Columns of floats; the data set does not say so without its pixel data
        dataset.BitsAllocated = 32 if keyword == "FloatPixelData" else 64
    extended = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        extended = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    count = number_of_frames(dataset)
    frame_bits = read_pixel_format(dataset, syntax).frame_bits
    if not syntax.is_encapsulated:
        needed = -(-count * frame_bits // 8)
        if length < needed:
            raise InvalidImageError(
                f"{path}: Pixel Data has {length} bytes, {count} frames need {needed}"
            )
        if start + needed > file.size:
            raise InvalidImageError(
                f"{path}: the file is truncated; it ends at byte {file.size}, its frames at "
                f"{start + needed}"
            )
    elif extended is not None and len(extended[0]) >= 8:
        (last,) = struct.unpack("<Q", extended[0][-8:])
        if start + last + 8 > file.size:
            raise InvalidImageError(
                f"{path}: the file is truncated; it ends at byte {file.size}, before its last frame"
            )
    return FileFrames(
        file=file,
        sop_instance_uid=str(dataset.get("SOPInstanceUID")),
        transfer_syntax_uid=str(syntax),
        start=start,
        length=length,
        count=count,
        frame_bits=frame_bits,
        extended=extended,
    )


def _pixel_data_element(
    path: str | os.PathLike[str], file: LocalFile, syntax: UID, position: int
) -> tuple[str, int, int]:
    """Parse the header of the pixel data element: its keyword, start and length of its value."""
    head = file.read([(position, min(12, file.size - position))])[0].ljust(12, b"\0")
    order = "<" if syntax.is_little_endian else ">"
    tag = struct.unpack(order + "HH", head[:4])
    if tag not in _PIXEL_DATA:
        raise InvalidImageError(
            f"{path}: no Pixel Data after byte {position}; the file is damaged or truncated"
        )
    if syntax.is_implicit_VR:
        start, (length,) = position + 8, struct.unpack(order + "I", head[4:8])
    elif head[4:6] in _LONG_VRS:
        start, (length,) = position + 12, struct.unpack(order + "I", head[8:12])
    else:
        raise InvalidImageError(f"{path}: Pixel Data has value representation {head[4:6]!r}")
    if length == _UNDEFINED:
        if not syntax.is_encapsulated:
            raise InvalidImageError(f"{path}: uncompressed Pixel Data without a length")
        return _PIXEL_DATA[tag], start, -1
    return _PIXEL_DATA[tag], start, length
