"""Frames that are not compressed: one after the other, without gaps (PS3.5 8.1.1)."""

from collections.abc import Sequence

import numpy as np

from dicomslide.sources.base import Ranges

__all__ = ["read_native_frames"]


def read_native_frames(
    read: Ranges, start: int, frame_bits: int, frames: Sequence[int]
) -> list[bytes]:
    """Read frames by their place.

    Parameters
    ----------
    read : callable
        Reads (offset, length) ranges
    start : int
        Offset of the first frame
    frame_bits : int
        Size of a frame in bits: those of one bit a pixel are packed across frames
    frames : sequence of int
        Frame indices

    Returns
    -------
    list of bytes
        Frames, each of which starts at a byte
    """
    first = [frame * frame_bits // 8 for frame in frames]
    last = [-(-(frame + 1) * frame_bits // 8) for frame in frames]
    parts = read([(start + a, b - a) for a, b in zip(first, last, strict=True)])
    if frame_bits % 8 == 0:
        return parts
    return [
        _aligned(part, frame * frame_bits % 8, frame_bits)
        for part, frame in zip(parts, frames, strict=True)
    ]


def _aligned(data: bytes, skip: int, bits: int) -> bytes:
    """Shift packed one-bit pixels so that they start at the first bit."""
    unpacked = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    return np.packbits(unpacked[skip : skip + bits], bitorder="little").tobytes()
