"""Frames of an image instance: reading, decoding and caching them together."""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dicomslide.errors import FrameError, UnsupportedError
from dicomslide.metadata.pixel_format import PixelFormat
from dicomslide.metadata.words import counted
from dicomslide.pixels.cache import FrameCache
from dicomslide.pixels.codecs import decode_frame, find_contradiction
from dicomslide.pixels.notice import Notice
from dicomslide.sources.base import FrameSource, PartSource, part_source
from dicomslide.sources.readahead import encoded_bytes

__all__ = ["ImageFrames"]

# Largest size in bytes of a buffer that a thread keeps for the next frame
_MOST_SCRATCH = 2**22


class _Scratch(threading.local):
    """Memory of each thread for a frame whose pixels are copied to windows at once."""

    memory: NDArray[np.uint8] = np.empty(0, np.uint8)

    def take(self, size: int) -> NDArray[np.uint8]:
        """Return memory of a size in bytes, valid until the next call on the same thread."""
        if size > _MOST_SCRATCH:
            return np.empty(size, np.uint8)
        if size > len(self.memory):
            self.memory = np.empty(size, np.uint8)
        return self.memory[:size]


_scratch = _Scratch()


@dataclass(frozen=True, eq=False)
class ImageFrames:
    """Frames of an image instance, shared by all of its arrays.

    Parameters
    ----------
    source : FrameSource
        Source of the encoded frames
    pixel_format : PixelFormat
        Pixel format of the image
    cache : FrameCache
        Cache of the decoded frames
    notice : Notice, optional
        Warning for frames that have other colours than Photometric Interpretation states
    """

    source: FrameSource
    pixel_format: PixelFormat
    cache: FrameCache
    notice: Notice = field(default_factory=lambda: Notice(""))

    def __getstate__(self) -> dict[str, Any]:
        # Cached properties are not pickled, as they are cheap to compute again
        return {name: vars(self)[name] for name in self.__dataclass_fields__}

    @cached_property
    def frame_bytes(self) -> int:
        """Size of a decoded frame in bytes."""
        return math.prod(self.pixel_format.shape) * self.pixel_format.dtype.itemsize

    @property
    def batch_bytes(self) -> int:
        """Expected size in bytes of the encoded frames that are best read with one call."""
        encapsulated = self.pixel_format.is_encapsulated
        return self.source.batch_size * encoded_bytes(self.frame_bytes, encapsulated)

    @cached_property
    def _parts(self) -> PartSource | None:
        return None if self.pixel_format.is_encapsulated else part_source(self.source)

    @property
    def in_rows(self) -> bool:
        """Whether single rows of frames can be read: of uncompressed frames of a local file."""
        return self._parts is not None

    @cached_property
    def _row_bytes(self) -> int:
        """Size of a row of pixels in bytes; 0 where a row does not lie in one piece."""
        bits, rest = divmod(self.pixel_format.frame_bits, self.pixel_format.rows)
        planes = self.pixel_format.planar and self.pixel_format.samples > 1
        return 0 if rest or bits % 8 or planes else bits // 8

    def read(self, frames: Sequence[int]) -> list[bytes]:
        """Read encoded frames.

        Raises
        ------
        FrameError
            When the source delivers another number of frames
        """
        found = self.source.read(frames) if frames else []
        if len(found) != len(frames):
            raise FrameError(
                f"{self.source.name}: the source delivered {counted(len(found), 'frame')} instead "
                f"of the {len(frames)} requested"
            )
        return found

    def read_rows(self, frame: int, rows: range) -> NDArray:
        """Read rows of an uncompressed frame, if `in_rows` is true.

        Returns
        -------
        numpy.ndarray
            Frame of shape (rows, columns, samples), valid until this thread reads or decodes
            again. Other rows than those requested may hold anything
        """
        memory = _scratch.take(self.pixel_format.frame_bits // 8)
        needed = memory.data
        if self._row_bytes:
            needed = needed[rows.start * self._row_bytes : rows.stop * self._row_bytes]
        assert self._parts is not None
        self._parts.read_part(frame, rows.start * self._row_bytes, needed)
        # The decoder of uncompressed frames passes its data to NumPy, which takes a memoryview, too
        data = cast("bytes", memory.data)
        return self._decoded(frame, data, self.pixel_format.shape[:2])

    def decode(
        self, frame: int, data: bytes, needed: tuple[int, int], rows: int, *, to_keep: bool
    ) -> NDArray:
        """Decode a frame.

        Parameters
        ----------
        frame : int
            Zero-based index of the frame
        data : bytes
            Encoded frame
        needed : tuple of int
            Rows and columns that lie within the total pixel matrix
        rows : int
            Number of rows, from the top, that are used
        to_keep : bool
            Whether the cache keeps the frame; if not, the pixels are valid until this thread reads
            or decodes again

        Returns
        -------
        numpy.ndarray
            Pixels of shape (rows, columns, samples); other rows than those that are used may be
            missing
        """
        if to_keep:
            pixels = self._decoded(frame, data, needed, rows)
            self.cache.put(frame, pixels)
            return pixels
        pixel_format = self.pixel_format
        memory = _scratch.take(self.frame_bytes)
        out = memory.view(pixel_format.dtype).reshape(pixel_format.shape)
        return self._decoded(frame, data, needed, rows, out)

    def _decoded(
        self,
        frame: int,
        data: bytes,
        needed: tuple[int, int],
        rows: int | None = None,
        out: NDArray | None = None,
    ) -> NDArray:
        pixel_format = self.pixel_format
        try:
            pixels = decode_frame(data, pixel_format, needed, out, rows)
        except (FrameError, UnsupportedError) as error:
            raise type(error)(f"{self.source.name}: frame {frame + 1}: {error}") from error
        if not self.notice.given and (found := find_contradiction(data, pixel_format)):
            self.notice.give(
                f"{self.source.name}: Photometric Interpretation is {pixel_format.photometric}, "
                f"but the frames hold {found} and are decoded as such"
            )
        return pixels
