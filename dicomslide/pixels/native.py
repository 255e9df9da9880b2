"""Decoding of native frames, and of frames compressed with deflate (PS3.5 8.1.1, A.4.13)."""

import zlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dicomslide.errors import FrameError
from dicomslide.metadata.pixel_format import PixelFormat
from dicomslide.pixels.colorspace import components_to_rgb, ybr_to_rgb

__all__ = [
    "clear_unused_bits",
    "decode_deflated",
    "decode_native",
    "decode_native_big_endian",
    "native_size",
]


def native_size(pixel_format: PixelFormat) -> int:
    """Compute the size of an uncompressed frame in bytes."""
    return -(-pixel_format.frame_bits // 8)


def decode_native(
    data: bytes,
    pixel_format: PixelFormat,
    needed: tuple[int, int],
    order: Literal["<", ">"] = "<",
) -> NDArray:
    """Decode a native frame in a byte order, ``"<"`` or ``">"``; see `decode_frame`."""
    size = native_size(pixel_format)
    # A frame may be padded to an even length
    if not size <= len(data) <= size + 1:
        raise FrameError(f"it has {len(data)} bytes, expected {size}")
    rows, columns, samples = pixel_format.rows, pixel_format.columns, pixel_format.samples
    if pixel_format.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little", count=rows * columns)
        return bits.view(bool).reshape(rows, columns, 1)
    if pixel_format.photometric == "YBR_FULL_422":
        return ybr_to_rgb(_upsample_422(data, pixel_format), pixel_format.bits_stored)
    stored = pixel_format.stored_dtype
    values = np.frombuffer(data, stored.newbyteorder(order), count=rows * columns * samples)
    values = values.astype(stored, copy=False)
    if pixel_format.planar:
        pixels = values.reshape(samples, rows, columns).transpose(1, 2, 0)
    else:
        pixels = values.reshape(rows, columns, samples)
    return components_to_rgb(clear_unused_bits(pixels, pixel_format), pixel_format)


def decode_native_big_endian(
    data: bytes, pixel_format: PixelFormat, needed: tuple[int, int]
) -> NDArray:
    """Decode a native frame whose values have the most significant byte first."""
    return decode_native(data, pixel_format, needed, order=">")


def decode_deflated(data: bytes, pixel_format: PixelFormat, needed: tuple[int, int]) -> NDArray:
    """Decode a frame that is compressed with raw deflate (RFC 1951); see `decode_frame`."""
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    native = inflater.decompress(data, native_size(pixel_format) + 2)
    if not inflater.eof:
        raise FrameError("its deflated data are cut off or too long")
    return decode_native(native, pixel_format, needed)


def clear_unused_bits(pixels: NDArray, pixel_format: PixelFormat) -> NDArray:
    """Clear or sign-extend the bits outside Bits Stored, which may hold anything (PS3.5 8.1.1)."""
    unused = pixel_format.bits_allocated - pixel_format.bits_stored
    if unused == 0 or pixel_format.floating:
        return pixels
    above = pixel_format.bits_allocated - 1 - pixel_format.high_bit
    return pixels << above >> unused


def _upsample_422(data: bytes, pixel_format: PixelFormat) -> NDArray[np.uint8]:
    """Expand quadruples of Y1 Y2 Cb Cr to two pixels each (PS3.3 C.7.6.3.1.2)."""
    rows, columns = pixel_format.rows, pixel_format.columns
    if columns % 2 or pixel_format.bits_allocated != 8:
        raise FrameError(
            "YBR_FULL_422 needs an even number of columns and 8 bits, there are "
            f"{columns} and {pixel_format.bits_allocated}"
        )
    quads = np.frombuffer(data, np.uint8, count=rows * columns * 2).reshape(rows, columns // 2, 4)
    pixels = np.empty((rows, columns, 3), np.uint8)
    pixels[..., 0] = quads[..., :2].reshape(rows, columns)
    pixels[..., 1:] = quads[..., 2:].repeat(2, axis=1)
    return pixels
