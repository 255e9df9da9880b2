"""One table: transfer syntax UID to decoder."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from dicomslide.errors import FrameError, UnsupportedError
from dicomslide.metadata.pixel_format import PixelFormat
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

Decoder = Callable[[bytes, PixelFormat, tuple[int, int]], NDArray]

# Some are younger than the dictionary of pydicom
_JPEG_XL_LOSSLESS = "1.2.840.10008.1.2.4.110"
_JPEG_XL_FROM_JPEG = "1.2.840.10008.1.2.4.111"
_JPEG_XL = "1.2.840.10008.1.2.4.112"
_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
_NAMES = {
    _JPEG_XL_LOSSLESS: "JPEG XL Lossless",
    _JPEG_XL_FROM_JPEG: "JPEG XL JPEG Recompression",
    _JPEG_XL: "JPEG XL",
    _DEFLATED_FRAMES: "Deflated Image Frame Compression",
}

_DECODERS: dict[str, Decoder] = {
    str(ImplicitVRLittleEndian): decode_native,
    str(ExplicitVRLittleEndian): decode_native,
    # The data set as a whole is deflated: its frames are inflated where the file is read
    str(DeflatedExplicitVRLittleEndian): decode_native,
    str(ExplicitVRBigEndian): decode_native_big_endian,
    str(JPEGBaseline8Bit): decode_jpeg,
    str(JPEGExtended12Bit): decode_jpeg,
    str(JPEGLossless): decode_jpeg,
    str(JPEGLosslessSV1): decode_jpeg,
    str(JPEGLSLossless): decode_jpeg_ls,
    str(JPEGLSNearLossless): decode_jpeg_ls,
    str(JPEG2000Lossless): decode_jpeg2000,
    str(JPEG2000): decode_jpeg2000,
    str(HTJ2KLossless): decode_jpeg2000,
    str(HTJ2KLosslessRPCL): decode_jpeg2000,
    str(HTJ2K): decode_jpeg2000,
    _JPEG_XL_LOSSLESS: decode_jpeg_xl,
    _JPEG_XL_FROM_JPEG: decode_jpeg_xl,
    _JPEG_XL: decode_jpeg_xl,
    str(RLELossless): decode_rle,
    _DEFLATED_FRAMES: decode_deflated,
}

# Codestreams that themselves say what their components are
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
    out : numpy.ndarray, optional
        Array of the shape and type of a frame that may be overwritten, and be the result

    Returns
    -------
    numpy.ndarray
        Pixels of shape (rows, columns, samples), which may be read-only; colour is RGB, and
        monochrome is as stored

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
            # The other codecs make an array of their own
            pixels = decode_jpeg(data, pixel_format, needed, out)
        else:
            pixels = decode(data, pixel_format, needed)
    except FrameError:
        raise
    except Exception as error:
        # Each codec has exceptions of its own, some of them plain RuntimeErrors
        raise FrameError(f"it cannot be decoded: {error}") from error
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixel_format.palette is not None:
        pixels = _look_up(pixels, pixel_format)
    if pixels.shape[:2] != pixel_format.shape[:2] and covers(
        pixels.shape[:2], pixel_format, needed
    ):
        whole = np.full(pixel_format.shape, pixel_format.background, pixels.dtype)
        whole[: pixels.shape[0], : pixels.shape[1]] = pixels
        pixels = whole
    if pixels.shape != pixel_format.shape or pixels.dtype != pixel_format.dtype:
        raise FrameError(
            f"it decodes to {pixels.shape} {pixels.dtype}, expected {pixel_format.shape} "
            f"{pixel_format.dtype}"
        )
    return pixels


def find_contradiction(data: bytes, pixel_format: PixelFormat) -> str | None:
    """Compare the colours of a frame that was decoded with what its data set says.

    Parameters
    ----------
    data : bytes
        Encoded frame
    pixel_format : PixelFormat
        How it is encoded

    Returns
    -------
    str, optional
        What its codestream holds instead of the colours that Photometric Interpretation states;
        None where the two agree, or nothing but the data set tells
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
        When they cannot, naming the attribute that stands in the way
    """
    uid = pixel_format.transfer_syntax_uid
    if uid and uid not in _DECODERS:
        raise UnsupportedError(f"transfer syntax {_name(uid)} is not supported")
    if pixel_format.photometric not in PHOTOMETRIC_INTERPRETATIONS:
        raise UnsupportedError(
            f"Photometric Interpretation {pixel_format.photometric} is not supported"
        )


def supported_transfer_syntaxes() -> list[tuple[str, str]]:
    """List UID and name of the transfer syntaxes whose frames can be decoded."""
    return [(uid, _NAMES.get(uid) or UID(uid).name) for uid in _DECODERS]


def _name(uid: str) -> str:
    name = UID(uid).name
    return uid if name == uid else f"{uid} ({name})"


def _recognize(data: bytes, pixel_format: PixelFormat) -> str:
    """Tell the transfer syntax of a frame from its bytes, where its server did not."""
    if data.startswith(b"\xff\xd8\xff"):
        is_jpeg_ls = read_jpeg_header(data).process == JPEG_LS
        return str(JPEGLSLossless if is_jpeg_ls else JPEGBaseline8Bit)
    if data.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")):
        return str(JPEG2000)
    if data.startswith(b"\0\0\0\x0cJXL "):
        return _JPEG_XL
    if len(data) - 1 <= native_size(pixel_format) <= len(data):
        return str(ExplicitVRLittleEndian)
    # Pixels could start like that
    if data.startswith(b"\xff\x0a"):
        return _JPEG_XL
    if looks_like_rle(data):
        return str(RLELossless)
    raise UnsupportedError("the transfer syntax is not stated and cannot be recognized")


def _look_up(pixels: NDArray, pixel_format: PixelFormat) -> NDArray:
    """Replace stored values by their colours (PS3.3 C.7.6.3.1.5)."""
    palette = pixel_format.palette
    assert palette is not None
    table = palette.table
    indices = pixels[..., 0].astype(np.int64) - palette.first
    return table[indices.clip(0, len(table) - 1)]
