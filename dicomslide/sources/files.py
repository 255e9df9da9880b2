"""Frames of image instances in DICOM Part 10 files (PS3.10 7)."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicomslide.errors import (
    InvalidImageError,
    NoSlideError,
)
from dicomslide.errors.damage import reading
from dicomslide.metadata.flavors import is_image
from dicomslide.metadata.frames import number_of_frames, tiles_across
from dicomslide.metadata.kinds import has_slide_class
from dicomslide.metadata.pixel_format import read_pixel_format
from dicomslide.metadata.transfer_syntaxes import is_encapsulated
from dicomslide.sources.base import File, FrameLocation, check_frames
from dicomslide.sources.header import FileMeta, Header, read_header
from dicomslide.sources.knownfile import known_offsets, plain_file
from dicomslide.sources.localfile import LocalFile
from dicomslide.sources.native import read_native_frames
from dicomslide.sources.offsets import EncapsulatedOffsets, FrameIndex, join_fragments
from dicomslide.sources.readahead import ReadAhead, frames_per_request

__all__ = ["FileFrames", "open_image_file"]

_REMOTE_STEP = 1 << 25
# Larger batches of a local file are read no faster, and stay in memory until they are decoded
_LOCAL_BATCH = 64
_MISSING = object()


@dataclass(frozen=True)
class FileFrames:
    """Source of the frames of an image instance in a Part 10 file.

    Parameters
    ----------
    file : File
        File, or the inflated data set in it, in which `start` counts
    sop_instance_uid : str
        SOP Instance UID
    transfer_syntax_uid : str
        Transfer Syntax UID of the file
    start, length : int
        Offset and length in bytes of the value of Pixel Data; -1 for an undefined length
    count : int
        Number of frames
    frame_bits : int
        Size of an uncompressed frame in bits; 0 for compressed frames of a local file
    index : FrameIndex, optional
        Index of encapsulated frames
    ahead : ReadAhead, optional
        Frames of a remote file that are read before they are asked for
    """

    file: File
    sop_instance_uid: str
    transfer_syntax_uid: str
    start: int
    length: int
    count: int
    frame_bits: int
    index: FrameIndex | None = None
    ahead: ReadAhead | None = None

    @property
    def name(self) -> str:
        """Path of the file."""
        return self.file.path

    @property
    def token(self) -> str:
        """Key that is equal for the same bytes and the same user."""
        parts = (*self.file.identity, self.sop_instance_uid)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    @property
    def remote(self) -> bool:
        """Whether a request costs more than the frames that it brings."""
        return self.ahead is not None

    @property
    def batch_size(self) -> int:
        """Number of frames that are best read with one call."""
        if not self.remote:
            return _LOCAL_BATCH
        return frames_per_request(self.frame_bits // 8, is_encapsulated(self.transfer_syntax_uid))

    def find_offsets(self) -> EncapsulatedOffsets | None:
        """Find the byte ranges of all frames; None where they are not compressed.

        Raises
        ------
        FrameError
            When an offset table or an item is damaged
        SourceError
            When the file does not deliver
        """
        return None if self.index is None else self._offsets([self.count - 1])

    def _offsets(self, frames: Sequence[int]) -> EncapsulatedOffsets:
        assert self.index is not None
        # One request for each item header would take longer than reading a whole remote file
        step = _REMOTE_STEP if self.remote else 8
        return self.index.offsets(self.file.read, self.file.size, self.file.path, step, frames)

    def close(self) -> None:
        """Close the file, which is opened again when it is read, and drop frames read ahead."""
        self.file.close()
        if self.ahead is not None:
            self.ahead.clear()

    def read(self, frames: Sequence[int]) -> list[bytes]:
        """Read encoded frames; see `FrameSource.read`."""
        check_frames(frames, self.count, self.file.path)
        if self.ahead is not None:
            return self.ahead.read(frames, self.count, self.batch_size, self._read)
        return self._read(frames)

    @property
    def reads_parts(self) -> bool:
        """Whether the frames lie in a local file, uncompressed and in whole bytes."""
        encapsulated = is_encapsulated(self.transfer_syntax_uid)
        return isinstance(self.file, LocalFile) and not encapsulated and self.frame_bits % 8 == 0

    def read_part(self, frame: int, start: int, out: memoryview) -> None:
        """Read a part of a frame; see `PartSource.read_part`."""
        check_frames((frame,), self.count, self.file.path)
        assert isinstance(self.file, LocalFile)
        self.file.read_into(self.start + frame * (self.frame_bits // 8) + start, out)

    def locate(self, frames: Sequence[int]) -> list[FrameLocation | None]:
        """Find where encoded frames lie; see `FrameSource.locate`."""
        check_frames(frames, self.count, self.file.path)
        if self.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
            return [None] * len(frames)
        if not is_encapsulated(self.transfer_syntax_uid):
            if self.frame_bits % 8:
                return [None] * len(frames)
            size = self.frame_bits // 8
            return [
                FrameLocation(self.file.path, self.start + frame * size, size) for frame in frames
            ]
        found: list[FrameLocation | None] = []
        offsets = self._offsets(frames)
        lengths = self.file.read([(int(offsets.starts[frame]) + 4, 4) for frame in frames])
        for frame, length in zip(frames, lengths, strict=True):
            start, end = int(offsets.starts[frame]) + 8, int(offsets.ends[frame])
            whole = int.from_bytes(length, "little") == end - start
            found.append(FrameLocation(self.file.path, start, end - start) if whole else None)
        return found

    def _read(self, frames: Sequence[int]) -> list[bytes]:
        if not is_encapsulated(self.transfer_syntax_uid):
            return read_native_frames(self.file.read, self.start, self.frame_bits, frames)
        offsets = self._offsets(frames)
        starts, ends = offsets.starts, offsets.ends
        items = self.file.read([(int(starts[f]), int(ends[f] - starts[f])) for f in frames])
        return [join_fragments(item, self.file.path) for item in items]


def open_image_file(
    path: str | os.PathLike[str] | File, meta: FileMeta | None = None
) -> tuple[Dataset, FileFrames]:
    """Read the header of an image file and find its pixel data.

    No frame is read.

    Parameters
    ----------
    path : path or File
        Path of a local file, or a file that can be read by offset
    meta : FileMeta, optional
        Its File Meta Information, if that was read before

    Returns
    -------
    dataset : pydicom.dataset.Dataset
        All attributes but the pixel data
    frames : FileFrames
        Source of the frames

    Raises
    ------
    NoSlideError
        When the file is not a DICOM image
    InvalidImageError
        When the header is damaged, or the file is too short for its frames
    SourceError
        When the file cannot be read
    """
    file = LocalFile.at(path) if isinstance(path, (str, os.PathLike)) else path
    header = read_header(file, meta)
    with reading(file.path):
        if not is_image(header.dataset):
            if has_slide_class(header.dataset):
                raise InvalidImageError(
                    f"{file.path}: Rows, Columns, Samples per Pixel and Photometric "
                    "Interpretation are needed"
                )
            raise NoSlideError(f"{file.path}: a DICOM file, but not an image")
        if header.keyword is None:
            raise InvalidImageError(f"{file.path}: there is no Pixel Data; the file is truncated")
        return header.dataset, _find_frames(header)


def _find_frames(header: Header) -> FileFrames:
    dataset, file, syntax = header.dataset, header.file, header.transfer_syntax
    if header.keyword != "PixelData":
        # The data set goes on without pixel data: Bits Allocated has to tell the kind of floats
        dataset.BitsAllocated = 32 if header.keyword == "FloatPixelData" else 64
    if not dataset.get("SOPInstanceUID"):
        raise InvalidImageError(f"{file.path}: there is no SOP Instance UID")
    count = number_of_frames(dataset)
    # The size of decoded frames sets the number of compressed frames in a request to a server
    sized = file.remote or not is_encapsulated(syntax)
    frame_bits = read_pixel_format(dataset, syntax).frame_bits if sized else 0
    index = None
    if is_encapsulated(syntax):
        if header.length >= 0:
            raise InvalidImageError(f"{file.path}: compressed Pixel Data with a length")
        index = _index(header, count)
        # The item of each frame has a header of 8 bytes
        end = header.start + max(_last_offset(index), 8 * count) + 8
    else:
        end = header.start + -(-count * frame_bits // 8)
        if header.start + header.length < end:
            raise InvalidImageError(
                f"{file.path}: Pixel Data has {header.length} bytes, {count} frames need "
                f"{end - header.start}"
            )
        # The declared length may exceed the file by the byte of padding, which some writers omit
        end = max(end, header.start + header.length - 1)
    if end > file.size:
        raise InvalidImageError(
            f"{file.path}: the file is truncated; it ends at byte {file.size}, its last frame is "
            f"expected up to byte {end} at least"
        )
    frames = FileFrames(
        file=plain_file(file),
        sop_instance_uid=str(dataset.get("SOPInstanceUID")),
        transfer_syntax_uid=syntax,
        start=header.start,
        length=header.length,
        count=count,
        frame_bits=frame_bits,
        index=index,
    )
    if not file.remote:
        return frames
    return replace(frames, ahead=ReadAhead(frames.token, tiles_across(dataset)))


def _extended_offset_table(dataset: Dataset) -> tuple[bytes, bytes] | None:
    """Read Extended Offset Table and Extended Offset Table Lengths (PS3.3 C.7.6.3.1.8)."""
    keywords = "ExtendedOffsetTable", "ExtendedOffsetTableLengths"
    offsets, lengths = (dataset.get(keyword, _MISSING) or b"" for keyword in keywords)
    if offsets is _MISSING or lengths is _MISSING:
        return None
    if not isinstance(offsets, bytes) or not isinstance(lengths, bytes):
        raise InvalidImageError(
            f"image {dataset.get('SOPInstanceUID')}: the extended offset table has no binary values"
        )
    return offsets, lengths


def _index(header: Header, count: int) -> FrameIndex:
    """Make the index of compressed frames from the offset tables that there are."""
    if (known := known_offsets(header.file)) is not None:
        known.check(count, header.start, header.file.size, header.file.path)
        return FrameIndex.of_offsets(header.start, known)
    extended = _extended_offset_table(header.dataset)
    first = _first_bytes(header, 8)
    length = int.from_bytes(first[4:], "little")
    # A basic offset table of another length is not used
    if extended is None and length == 4 * count:
        first = _first_bytes(header, 8 + length)
    return FrameIndex(header.start, count, first, extended)


def _first_bytes(header: Header, count: int) -> bytes:
    """Get the first bytes of Pixel Data, as many as the file has; those of the header are known."""
    known = header.first[:count]
    start = header.start + len(known)
    missing = min(count - len(known), header.file.size - start)
    return known + header.file.read([(start, missing)])[0] if missing > 0 else known


def _last_offset(index: FrameIndex) -> int:
    """Read the last offset of the offset table of compressed frames; 0 where there is no table."""
    if index.extended is not None:
        return int.from_bytes(index.extended[0][-8:], "little")
    return int.from_bytes(index.first[8:][-4:], "little")
