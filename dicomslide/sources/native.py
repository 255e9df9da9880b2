"""Reader of native frames, which lie one after the other without gaps (PS3.5 8.1.1)."""

from collections.abc import Sequence

import numpy as np

from dicomslide.sources.base import Ranges

__all__ = ["read_native_frames"]


def read_native_frames(
    read: Ranges, start: int, frame_bits: int, frames: Sequence[int]
) -> list[bytes]:
    """Read native frames by their indices.

    Parameters
    ----------
    read : callable
        Reads (offset, length) ranges
    start : int
        Offset of the first frame in bytes
    frame_bits : int
        Size of a frame in bits; frames of one bit a pixel need not start at a byte in the file
    frames : sequence of int
        Zero-based frame indices

    Returns
    -------
    list of bytes
        One item for each index; the first pixel is in the first bit of the first byte
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
    """Drop the first `skip` of packed one-bit pixels, so that `bits` pixels start at a byte."""
    unpacked = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    return np.packbits(unpacked[skip : skip + bits], bitorder="little").tobytes()
