"""Interfaces of files and frame sources, which the rest of the package reads from."""

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
    """File that is read by offset: on a disk, on a server, or compressed in another file."""

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
        """Key that is equal in all processes for the same bytes and the same user."""

    def read(self, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        """Read (offset, length) ranges."""

    def close(self) -> None:
        """Release handles and buffers of the file; reading it later acquires them again."""


@dataclass(frozen=True)
class FrameLocation:
    """Byte range of an encoded frame that lies in one piece.

    Parameters
    ----------
    path : str
        Path or URL of the file, without secrets
    offset, length : int
        First byte and number of bytes of the frame in the file
    """

    path: str
    offset: int
    length: int


@runtime_checkable
class FrameSource(Protocol):
    """Source of the encoded frames of one image instance.

    Sources can be pickled and used from any thread, and hold no pixels. Classes that inherit from
    this one need to define `name`, `token`, `transfer_syntax_uid` and `read`.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the instance in messages: its file or its URL, without secrets."""

    @property
    @abstractmethod
    def token(self) -> str:
        """Key that is equal for the same bytes, also in another process.

        Sources with equal tokens share decoded frames. The token must therefore change with the
        version of the frames, and with the user where not everybody may see them.
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
        """Number of frames that are best read with one call."""
        return 64

    @abstractmethod
    def read(self, frames: Sequence[int]) -> list[bytes]:
        """Read encoded frames, all with one call.

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
            When a frame does not exist, or is not where the offset table says
        SourceError
            When the file or the server does not deliver
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
            a byte, or whose location the source does not know
        """
        return [None] * len(frames)

    def close(self) -> None:
        """Release what is held for the frames; reading them later acquires it again."""


@runtime_checkable
class PartSource(Protocol):
    """Frame source that may be able to read parts of frames that are not compressed."""

    @property
    def reads_parts(self) -> bool:
        """Whether the source reads a part of a frame at about the cost of its bytes."""

    def read_part(self, frame: int, start: int, out: memoryview) -> None:
        """Read a part of a frame.

        Parameters
        ----------
        frame : int
            Zero-based frame index
        start : int
            Offset of the part within the frame
        out : memoryview
            Writable memory that is filled; its size is the number of bytes read

        Raises
        ------
        FrameError
            When there is no such frame
        SourceError
            When the file does not deliver
        """


def part_source(source: FrameSource) -> PartSource | None:
    """Return a source that reads parts of its frames as a PartSource, others as None."""
    return source if isinstance(source, PartSource) and source.reads_parts else None


def check_ranges(path: str, size: int, ranges: Iterable[tuple[int, int]]) -> None:
    """Check that (offset, length) ranges end within a file of a size in bytes.

    Raises
    ------
    SourceError
        When a range ends after the file
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
        raise FrameError(f"{name}: frames {outside} do not exist, there are {count}")


def image_name(source: FrameSource) -> str:
    """Name of an image in messages, from that of its file or URL."""
    name = os.path.basename(source.name)
    return name if name.startswith("image ") else f"image {name}"
