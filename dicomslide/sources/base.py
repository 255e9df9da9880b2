"""The seam between the places where frames are kept and everything above."""

import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from dicomslide.errors import FrameError, SourceError

__all__ = [
    "File",
    "FrameLocation",
    "FrameSource",
    "PartSource",
    "Ranges",
    "check_frames",
    "check_ranges",
    "image_name",
    "part_source",
]

Ranges = Callable[[list[tuple[int, int]]], list[bytes]]


class File(Protocol):
    """A file that is read by offset: on a disk, at another place, or inside of a file."""

    @property
    def path(self) -> str:
        """Name of the file in messages."""

    @property
    def size(self) -> int:
        """Size in bytes."""

    @property
    def remote(self) -> bool:
        """Whether a request costs more than the bytes that it brings."""

    @property
    def identity(self) -> tuple[Any, ...]:
        """What is the same for the same bytes, seen by the same user, in every process."""

    def read(self, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        """Read (offset, length) ranges."""

    def close(self) -> None:
        """Let go of what is held for the file; it comes back when the file is read."""


@dataclass(frozen=True)
class FrameLocation:
    """Where an encoded frame lies in one piece.

    Parameters
    ----------
    path : str
        Path or URL of the file, without secrets
    offset, length : int
        Its bytes
    """

    path: str
    offset: int
    length: int


@runtime_checkable
class FrameSource(Protocol):
    """The encoded frames of one image instance.

    A source can be pickled and used from any thread. It holds no pixels. Classes that inherit from
    this one need to define `name`, `token`, `transfer_syntax_uid` and `read`.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the instance in messages: its file or its URL, without secrets."""

    @property
    @abstractmethod
    def token(self) -> str:
        """A name that is the same for the same bytes, also in another process.

        It says which version of the frames it is, and who may see them where not everybody may:
        decoded frames of sources with equal tokens are shared.
        """

    @property
    @abstractmethod
    def transfer_syntax_uid(self) -> str:
        """Transfer Syntax UID of the frames; empty where it is not known before they are read."""

    @property
    def remote(self) -> bool:
        """Whether a request costs more than the frames that it brings."""
        return True

    @property
    def batch_size(self) -> int:
        """How many frames are best read with one call."""
        return 64

    @abstractmethod
    def read(self, frames: Sequence[int]) -> list[bytes]:
        """Read encoded frames, all in one go.

        Parameters
        ----------
        frames : sequence of int
            Zero-based frame indices

        Returns
        -------
        list of bytes
            One item for each index, in the order asked for. One-bit frames start at a byte

        Raises
        ------
        FrameError
            When a frame is not where the offset table says
        SourceError
            When the place does not deliver
        """

    def locate(self, frames: Sequence[int]) -> "list[FrameLocation | None]":
        """Find where encoded frames lie, so that others can read them.

        Parameters
        ----------
        frames : sequence of int
            Zero-based frame indices

        Returns
        -------
        list of FrameLocation or None
            One item for each index; None for a frame that is in several pieces, does not start at
            a byte, or of which the source does not know where it lies
        """
        return [None] * len(frames)

    def close(self) -> None:
        """Let go of what is held for the frames; it comes back when they are read."""


@runtime_checkable
class PartSource(Protocol):
    """A frame source that may be able to read parts of frames that are not compressed."""

    @property
    def reads_parts(self) -> bool:
        """Whether it can, for about the cost of the bytes of a part."""

    def read_part(self, frame: int, start: int, out: memoryview) -> None:
        """Read a part of a frame.

        Parameters
        ----------
        frame : int
            Zero-based frame index
        start : int
            Offset of the part within the frame
        out : memoryview
            Takes up as many bytes as it has

        Raises
        ------
        FrameError
            When there is no such frame
        SourceError
            When the place does not deliver
        """


def part_source(source: FrameSource) -> PartSource | None:
    """Get a source as one that reads parts of its frames, if it can."""
    return source if isinstance(source, PartSource) and source.reads_parts else None


def check_ranges(path: str, size: int, ranges: Iterable[tuple[int, int]]) -> None:
    """Check that (offset, length) ranges end within a file, before anything is read of them.

    Raises
    ------
    SourceError
        When one does not
    """
    for offset, length in ranges:
        if offset + length > size:
            raise SourceError(
                f"{path}: ends at byte {size}, expected data up to byte {offset + length}; the "
                "file is truncated"
            )


def check_frames(frames: Sequence[int], count: int, name: str) -> None:
    """Check that frames exist.

    Raises
    ------
    FrameError
        When one of the frames is not among the `count` frames of the image
    """
    outside = [frame + 1 for frame in frames if not 0 <= frame < count]
    if outside:
        raise FrameError(f"{name}: frames {outside} are not among its {count}")


def image_name(source: FrameSource) -> str:
    """Name of an image in messages, from that of its file or URL."""
    name = os.path.basename(source.name)
    return name if name.startswith("image ") else f"image {name}"
