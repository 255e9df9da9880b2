"""Decoders of frames, by transfer syntax."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from dicomslide.errors import FrameError, UnsupportedError
from dicomslide.metadata.pixel_format import PixelFormat
from dicomslide.metadata.transfer_syntaxes import ROOT, TRANSFER_SYNTAXES
from dicomslide.pixels.codestream import covers
from dicomslide.pixels.jpeg import (
    JPEG_LS,
    decode_jpeg,
    decode_jpeg_ls,
    read_jpeg_colours,
    read_jpeg_header,
)
from dicomslide.pixels.jpeg2000 import decode_jpeg2000, read_jpeg2000_colours
from dicomslide.pixels.jpegxl import decode_jpeg_xl
from dicomslide.pixels.native import (
    decode_deflated,
    decode_native,
    decode_native_big_endian,
    native_size,
)
from dicomslide.pixels.rle import decode_rle, looks_like_rle

__all__ = [
    "PHOTOMETRIC_INTERPRETATIONS",
    "check_supported",
    "decode_frame",
    "find_contradiction",
    "supported_transfer_syntaxes",
]

_JPEG_XL = f"{ROOT}.4.112"

Decoder = Callable[[bytes, PixelFormat, tuple[int, int]], NDArray]

# Decoders by the end of the Transfer Syntax UID, after the root that all of them share
_BY_ENDING: dict[str, Decoder] = {
    "": decode_native,
    ".1": decode_native,
    ".1.99": decode_native,
    ".2": decode_native_big_endian,
    ".4.50": decode_jpeg,
    ".4.51": decode_jpeg,
    ".4.57": decode_jpeg,
    ".4.70": decode_jpeg,
    ".4.80": decode_jpeg_ls,
    ".4.81": decode_jpeg_ls,
    ".4.90": decode_jpeg2000,
    ".4.91": decode_jpeg2000,
    ".4.201": decode_jpeg2000,
    ".4.202": decode_jpeg2000,
    ".4.203": decode_jpeg2000,
    ".4.110": decode_jpeg_xl,
    ".4.111": decode_jpeg_xl,
    ".4.112": decode_jpeg_xl,
    ".5": decode_rle,
    ".8.1": decode_deflated,
}
_DECODERS = {uid: _BY_ENDING[uid.removeprefix(ROOT)] for uid in TRANSFER_SYNTAXES}

# Readers of the colours of codestreams that state what their components are
_COLOURS: dict[Decoder, Callable[[bytes, PixelFormat], tuple[str, bool]]] = {
    decode_jpeg: read_jpeg_colours,
    decode_jpeg2000: read_jpeg2000_colours,
}

PHOTOMETRIC_INTERPRETATIONS = (
    "MONOCHROME1",
    "MONOCHROME2",
    "PALETTE COLOR",
    "RGB",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_ICT",
    "YBR_RCT",
    "XYB",
)


def decode_frame(
    data: bytes,
    pixel_format: PixelFormat,
    needed: tuple[int, int] | None = None,
    out: NDArray | None = None,
    rows: int | None = None,
) -> NDArray:
    """Decode one frame.

    Parameters
    ----------
    data : bytes
        Encoded frame
    pixel_format : PixelFormat
        Pixel format of the image
    needed : tuple of int, optional
        Rows and columns that lie within the total pixel matrix. Some writers crop the codestreams
        of edge frames; the rest of such a frame becomes background
    out : numpy.ndarray, optional
        Array of the shape and type of a frame, which may be overwritten and returned
    rows : int, optional
        Number of rows, from the top, that are used; all by default

    Returns
    -------
    numpy.ndarray
        Pixels of shape (rows, columns, samples), which may be read-only; colour is RGB, and
        monochrome is as stored. A decoder that stops early returns only the first `rows` rows

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
        decode = _DECODERS[pixel_format.transfer_syntax_uid]
        if decode is decode_jpeg:
            # The codec for JPEG is the only one that can decode into a given array, or stop early
            pixels = decode_jpeg(data, pixel_format, needed, out, rows)
        else:
            pixels = decode(data, pixel_format, needed)
    except FrameError:
        raise
    except Exception as error:
        # Codecs raise exceptions of many types, some of them plain RuntimeErrors
        raise FrameError(f"it cannot be decoded: {error}") from error
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixel_format.palette is not None:
        pixels = _look_up(pixels, pixel_format)
    is_part = pixels.shape == (rows, *pixel_format.shape[1:])
    is_cropped = not is_part and pixels.shape[:2] != pixel_format.shape[:2]
    if is_cropped and covers(pixels.shape[:2], pixel_format, needed):
        whole = np.full(pixel_format.shape, pixel_format.background, pixels.dtype)
        whole[: pixels.shape[0], : pixels.shape[1]] = pixels
        pixels = whole
    if (pixels.shape != pixel_format.shape and not is_part) or pixels.dtype != pixel_format.dtype:
        raise FrameError(
            f"it decodes to {pixels.shape} {pixels.dtype}, expected {pixel_format.shape} "
            f"{pixel_format.dtype}"
        )
    return pixels


def find_contradiction(data: bytes, pixel_format: PixelFormat) -> str | None:
    """Compare the colours of an encoded frame with the Photometric Interpretation of its image.

    Parameters
    ----------
    data : bytes
        Encoded frame, which can be decoded
    pixel_format : PixelFormat
        Pixel format of the image

    Returns
    -------
    str, optional
        Colours of the codestream, such as "YCbCr", where the attribute states others; None where
        the two agree, or the codestream does not tell
    """
    if pixel_format.samples != 3:
        return None
    uid = pixel_format.transfer_syntax_uid or _recognize(data, pixel_format)
    read_colours = _COLOURS.get(_DECODERS[uid])
    found, agrees = read_colours(data, pixel_format) if read_colours else ("", True)
    return None if agrees else found


def check_supported(pixel_format: PixelFormat) -> None:
    """Check that frames of a format can be decoded.

    Raises
    ------
    UnsupportedError
        When there is no decoder for the transfer syntax or the Photometric Interpretation
    """
    uid = pixel_format.transfer_syntax_uid
    if uid and uid not in _DECODERS:
        raise UnsupportedError(f"transfer syntax {_name(uid)} is not supported")
    if pixel_format.photometric not in PHOTOMETRIC_INTERPRETATIONS:
        raise UnsupportedError(
            f"Photometric Interpretation {pixel_format.photometric} is not supported"
        )


def supported_transfer_syntaxes() -> list[tuple[str, str]]:
    """List the transfer syntaxes whose frames can be decoded.

    Returns
    -------
    list of tuple
        UID and name of each transfer syntax
    """
    return [(uid, syntax.name) for uid, syntax in TRANSFER_SYNTAXES.items()]


def _name(uid: str) -> str:
    name = UID(uid).name
    return uid if name == uid else f"{uid} ({name})"


def _recognize(data: bytes, pixel_format: PixelFormat) -> str:
    """Recognize the transfer syntax of a frame by its bytes, where its server does not state it."""
    if data.startswith(b"\xff\xd8\xff"):
        is_jpeg_ls = read_jpeg_header(data).process == JPEG_LS
        return str(JPEGLSLossless if is_jpeg_ls else JPEGBaseline8Bit)
    if data.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")):
        return str(JPEG2000)
    if data.startswith(b"\0\0\0\x0cJXL "):
        return _JPEG_XL
    if len(data) - 1 <= native_size(pixel_format) <= len(data):
        return str(ExplicitVRLittleEndian)
    # Checked after the size of uncompressed frames, whose first pixels may have these values
    if data.startswith(b"\xff\x0a"):
        return _JPEG_XL
    if looks_like_rle(data):
        return str(RLELossless)
    raise UnsupportedError("the transfer syntax is not stated and cannot be recognized")


def _look_up(pixels: NDArray, pixel_format: PixelFormat) -> NDArray:
    """Replace stored values by their colours in the palette (PS3.3 C.7.6.3.1.5)."""
    palette = pixel_format.palette
    assert palette is not None
    table = palette.table
    indices = pixels[..., 0].astype(np.int64) - palette.first
    return table[indices.clip(0, len(table) - 1)]
