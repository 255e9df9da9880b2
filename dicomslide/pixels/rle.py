"""Decoding of frames in RLE Lossless (PS3.5 Annex G)."""

import struct
from itertools import pairwise

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from dicomslide.errors import FrameError
from dicomslide.metadata.pixel_format import PixelFormat
from dicomslide.pixels.colorspace import components_to_rgb
from dicomslide.pixels.native import clear_unused_bits

__all__ = ["decode_rle", "looks_like_rle"]

_HEADER = struct.Struct("<16I")
# Most zeros that a segment may decode to after its pixels, as some writers pad more than needed
_MAX_PADDING = 128


def looks_like_rle(data: bytes) -> bool:
    """Whether data start with a header of RLE segments."""
    return len(data) > 64 and 1 <= data[0] <= 15 and data[1:8] == b"\0\0\0\x40\0\0\0"


def decode_rle(data: bytes, pixel_format: PixelFormat, needed: tuple[int, int]) -> NDArray:
    """Decode a frame of run-length encoded byte planes; see `decode_frame`."""
    rows, columns, samples = pixel_format.rows, pixel_format.columns, pixel_format.samples
    if pixel_format.bits_allocated == 1:
        raise FrameError("RLE Lossless needs whole bytes, Bits Allocated is 1")
    stored = pixel_format.stored_dtype
    segments = _split(data, samples * stored.itemsize)
    size = rows * columns
    planes = np.empty((size, samples, stored.itemsize), np.uint8)
    for number, segment in enumerate(segments):
        sample, byte = divmod(number, stored.itemsize)
        # The size of the output is bounded, as a few bytes of runs could fill any memory
        plane = imagecodecs.packbits_decode(segment, out=size + _MAX_PADDING)
        if len(plane) < size or any(plane[size:]):
            raise FrameError(f"its segment {number + 1} has {len(plane)} bytes, expected {size}")
        planes[:, sample, byte] = np.frombuffer(plane, np.uint8, count=size)
    # The first byte plane of a sample holds the most significant bytes
    pixels = planes.view(stored.newbyteorder(">")).reshape(rows, columns, samples).astype(stored)
    return components_to_rgb(clear_unused_bits(pixels, pixel_format), pixel_format)


def _split(data: bytes, expected: int) -> list[bytes]:
    """Split a frame into its segments, and check their number."""
    if len(data) < _HEADER.size:
        raise FrameError("its header of RLE segments is cut off")
    count, *offsets = _HEADER.unpack_from(data)
    if count != expected:
        raise FrameError(f"it has {count} RLE segments, expected {expected}")
    bounds = [*offsets[:count], len(data)]
    if bounds[0] < _HEADER.size or bounds != sorted(bounds):
        raise FrameError(f"its RLE segments start at bytes {bounds[:-1]} of {len(data)}")
    return [data[start:end] for start, end in pairwise(bounds)]
