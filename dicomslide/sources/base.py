"""The seam between the places where frames are kept and everything above."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from pydicom.dataset import Dataset

from dicomslide.errors import SourceError

__all__ = ["File", "FrameSource", "FrameStore", "Ranges", "check_ranges", "image_name"]

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
    def modified(self) -> Any:
        """What changes when the file changes."""

    def read(self, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        """Read (offset, length) ranges."""

    def close(self) -> None:
        """Let go of what is held for the file; it comes back when the file is read."""


@runtime_checkable
class FrameSource(Protocol):
    """The encoded frames of one image instance.

    A source can be pickled and used from any thread. It holds no pixels.
    """

    @property
    def name(self) -> str:
        """Name of the instance in messages: its file or its URL."""

    @property
    def token(self) -> str:
        """A name that is the same for the same bytes, also in another process."""

    @property
    def transfer_syntax_uid(self) -> str:
        """Transfer Syntax UID of the frames."""

    @property
    def remote(self) -> bool:
        """Whether a request costs more than the frames that it brings."""

    @property
    def batch_size(self) -> int:
        """How many frames are best read with one call."""

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


def image_name(source: FrameSource) -> str:
    """Name of an image in messages, from that of its file or URL."""
    name = os.path.basename(source.name)
    return name if name.startswith("image ") else f"image {name}"


@runtime_checkable
class FrameStore(Protocol):
    """A collection of image instances that knows where the frames of each are."""

    def frame_source(self, dataset: Dataset) -> FrameSource:
        """Get the source of the frames of an instance, by its SOP Instance UID."""
