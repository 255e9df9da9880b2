"""One table: transfer syntax UID to decoder."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from dicomslide.errors import FrameError, UnsupportedError
from dicomslide.metadata.pixel_format import PixelFormat
from dicomslide.pixels.jpeg import read_jpeg_header

__all__ = ["check_supported", "decode_frame"]

Decoder = Callable[[bytes, PixelFormat, tuple[int, int]], NDArray]


def decode_frame(
    data: bytes, pixel_format: PixelFormat, needed: tuple[int, int] | None = None
) -> NDArray:
    """Decode one frame.

    Parameters
    ----------
    data : bytes
        Encoded frame
    pixel_format : PixelFormat
        How it is encoded
    needed : tuple of int, optional
        Rows and columns that lie within the total pixel matrix. Some writers crop the codestreams
        of edge frames; the rest of such a frame becomes background

    Returns
    -------
    numpy.ndarray
        Pixels of shape (rows, columns, samples); colour is RGB

    Raises
    ------
    UnsupportedError
        When there is no decoder for the transfer syntax
    FrameError
        When the data cannot be decoded, or decode to another size or type than the image has
    """
    if not pixel_format.transfer_syntax_uid:
        pixel_format = replace(pixel_format, transfer_syntax_uid=_recognize(data, pixel_format))
    check_supported(pixel_format)
    needed = needed or pixel_format.shape[:2]
    try:
        pixels = _DECODERS[pixel_format.transfer_syntax_uid](data, pixel_format, needed)
    except FrameError:
        raise
    except Exception as error:
        # Each codec has exceptions of its own, some of them plain RuntimeErrors
        raise FrameError(f"it cannot be decoded: {error}") from error
    if pixels.shape[:2] != pixel_format.shape[:2] and _covers(pixels.shape, pixel_format, needed):
        whole = np.full(pixel_format.shape, pixel_format.background, pixels.dtype)
        whole[: pixels.shape[0], : pixels.shape[1]] = pixels
        pixels = whole
    if pixels.shape != pixel_format.shape or pixels.dtype != pixel_format.dtype:
        raise FrameError(
            f"it decodes to {pixels.shape} {pixels.dtype}, expected {pixel_format.shape} "
            f"{pixel_format.dtype}"
        )
    return pixels


def _covers(found: tuple[int, ...], pixel_format: PixelFormat, needed: tuple[int, int]) -> bool:
    """Whether a codestream is no larger than a frame and has all rows and columns needed of it."""
    return (
        needed[0] <= found[0] <= pixel_format.rows and needed[1] <= found[1] <= pixel_format.columns
    )


def check_supported(pixel_format: PixelFormat) -> None:
    """Check that frames of a format can be decoded.

    Raises
    ------
    UnsupportedError
        When they cannot, naming the attribute that stands in the way
    """
    uid = pixel_format.transfer_syntax_uid
    if uid and uid not in _DECODERS:
        raise UnsupportedError(f"transfer syntax {_name(uid)} is not supported")
    if pixel_format.photometric not in _PHOTOMETRIC:
        raise UnsupportedError(
            f"Photometric Interpretation {pixel_format.photometric} is not supported"
        )


def _recognize(data: bytes, pixel_format: PixelFormat) -> str:
    """Tell the transfer syntax of a frame from its bytes, where its server did not."""
    if data[:2] == b"\xff\xd8":
        return str(JPEGBaseline8Bit)
    if len(data) - 1 <= -(-pixel_format.frame_bits // 8) <= len(data):
        return str(ExplicitVRLittleEndian)
    raise UnsupportedError("the transfer syntax is not stated and cannot be recognized")


def _name(uid: str) -> str:
    name = UID(uid).name
    return uid if name == uid else f"{uid} ({name})"


def _decode_native(
    data: bytes, pixel_format: PixelFormat, needed: tuple[int, int], order: Literal["<", ">"] = "<"
) -> NDArray:
    rows, columns, samples = pixel_format.rows, pixel_format.columns, pixel_format.samples
    if len(data) < -(-pixel_format.frame_bits // 8):
        raise FrameError(f"it has {len(data)} bytes, expected {-(-pixel_format.frame_bits // 8)}")
    if pixel_format.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little", count=rows * columns)
        return bits.view(bool).reshape(rows, columns, 1)
    if pixel_format.photometric == "YBR_FULL_422":
        return _ycbcr_to_rgb(_upsample_422(data, rows, columns))
    stored = pixel_format.dtype.newbyteorder(order)
    values = np.frombuffer(data, stored, count=rows * columns * samples)
    if pixel_format.planar:
        values = values.reshape(samples, rows, columns).transpose(1, 2, 0)
    pixels = values.reshape(rows, columns, samples).astype(pixel_format.dtype)
    if pixel_format.photometric == "YBR_FULL":
        return _ycbcr_to_rgb(pixels)
    return _without_unused_bits(pixels, pixel_format)


def _decode_big_endian(data: bytes, pixel_format: PixelFormat, needed: tuple[int, int]) -> NDArray:
    return _decode_native(data, pixel_format, needed, order=">")


def _without_unused_bits(pixels: NDArray, pixel_format: PixelFormat) -> NDArray:
    """Clear or sign-extend the bits above Bits Stored, which may hold anything (PS3.5 8.1.1)."""
    unused = pixel_format.bits_allocated - pixel_format.bits_stored
    if unused == 0 or pixel_format.floating:
        return pixels
    return (pixels << unused) >> unused


def _upsample_422(data: bytes, rows: int, columns: int) -> NDArray[np.uint8]:
    """Expand Y1 Y2 Cb Cr quadruples (PS3.3 C.7.6.3.1.2)."""
    if columns % 2:
        raise FrameError(f"YBR_FULL_422 needs an even number of columns, there are {columns}")
    quads = np.frombuffer(data, np.uint8, count=rows * columns * 2).reshape(rows, columns // 2, 4)
    pixels = np.empty((rows, columns, 3), np.uint8)
    pixels[..., 0] = quads[..., :2].reshape(rows, columns)
    pixels[..., 1:] = quads[..., 2:].repeat(2, axis=1)
    return pixels


def _ycbcr_to_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert full range YCbCr to RGB (PS3.3 C.7.6.3.1.2, ITU-R BT.601)."""
    if pixels.dtype != np.uint8:
        raise FrameError(f"YBR_FULL needs 8 bits, there are {pixels.dtype.itemsize * 8}")
    y, cb, cr = np.moveaxis(pixels.astype(np.float64), -1, 0)
    cb -= 128
    cr -= 128
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    return rgb.round().clip(0, 255).astype(np.uint8)


def _decode_jpeg(data: bytes, pixel_format: PixelFormat, needed: tuple[int, int]) -> NDArray:
    header = read_jpeg_header(data)
    found = header.rows, header.columns, header.components
    if found[2] != pixel_format.samples or not _covers(found, pixel_format, needed):
        expected = pixel_format.rows, pixel_format.columns, pixel_format.samples
        # Before decoding: the codestream decides how much memory its decoder takes
        raise FrameError(f"its codestream is {found} (rows, columns, samples), expected {expected}")
    if header.components == 1:
        return imagecodecs.jpeg8_decode(data)[..., np.newaxis]
    colour_space = "YCBCR" if _is_ycbcr(header.adobe_transform, pixel_format) else "RGB"
    return imagecodecs.jpeg8_decode(data, colorspace=colour_space, outcolorspace="RGB")


def _is_ycbcr(adobe_transform: int | None, pixel_format: PixelFormat) -> bool:
    """Whether a JPEG stream is YCbCr: its Adobe segment decides, else the data set does."""
    if adobe_transform is not None:
        return adobe_transform == 1
    return pixel_format.photometric != "RGB"


_PHOTOMETRIC = frozenset({"MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422"})
_DECODERS: dict[str, Decoder] = {
    str(ImplicitVRLittleEndian): _decode_native,
    str(ExplicitVRLittleEndian): _decode_native,
    str(ExplicitVRBigEndian): _decode_big_endian,
    str(JPEGBaseline8Bit): _decode_jpeg,
}
