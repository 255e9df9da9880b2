"""The table of encoders: from transfer syntax UID to what can be encoded and how."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dicomslide.writing import encoders
from dicomslide.writing.encoders import Pixels
from dicomslide.writing.pixel_format import (
    DEFLATED_LITTLE_ENDIAN,
    EXPLICIT_BIG_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    PixelFormat,
)

__all__ = ["ENCODINGS", "check_pixel_format", "encode_frame", "get_encoding"]


@dataclass(frozen=True)
class Encoding:
    """An entry of the table of encoders.

    Parameters
    ----------
    encode : callable
        Turns a frame of shape (rows, columns, samples) into bytes
    color : tuple of str
        Photometric interpretations of three samples that the encoder makes, the usual one first
    bits : tuple of int
        Values of Bits Stored that the encoder takes
    signed : bool
        Whether the encoder takes signed values
    planar : bool
        Whether Planar Configuration can be 1
    """

    encode: Callable[[Pixels, PixelFormat], bytes]
    color: tuple[str, ...]
    bits: tuple[int, ...] = tuple(range(1, 17))
    signed: bool = False
    planar: bool = False


def get_encoding(transfer_syntax: str) -> Encoding:
    """Look up how frames are encoded in a transfer syntax.

    Raises
    ------
    ValueError
        When the transfer syntax is not in the table
    """
    try:
        return ENCODINGS[transfer_syntax]
    except KeyError:
        raise ValueError(
            f"transfer_syntax is {transfer_syntax}, must be one of {', '.join(ENCODINGS)}"
        ) from None


def check_pixel_format(pixel_format: PixelFormat) -> None:
    """Check that frames of a format can be encoded.

    Raises
    ------
    ValueError
        When the transfer syntax, or its encoder, does not go with the other properties
    """
    encoding = get_encoding(pixel_format.transfer_syntax)
    allowed = encoding.color if pixel_format.samples == 3 else ("MONOCHROME2", "MONOCHROME1")
    where = f"with transfer syntax {pixel_format.transfer_syntax}"
    if pixel_format.photometric not in allowed:
        raise ValueError(
            f"photometric is {pixel_format.photometric}, must be one of {', '.join(allowed)} "
            f"for {pixel_format.samples} samples {where}"
        )
    if pixel_format.bits not in encoding.bits:
        raise ValueError(
            f"bits is {pixel_format.bits}, "
            f"must be from {min(encoding.bits)} to {max(encoding.bits)} {where}"
        )
    if pixel_format.signed and not encoding.signed:
        raise ValueError(f"signed values cannot be encoded {where}")
    if (
        pixel_format.bits_allocated not in (8, 16, 32)
        or pixel_format.bits > pixel_format.bits_allocated
    ):
        raise ValueError(
            f"bits_allocated is {pixel_format.bits_allocated}, "
            f"must be 8, 16 or 32 and at least {pixel_format.bits}"
        )
    planar = (0, 1) if encoding.planar else (0,)
    if pixel_format.planar_configuration not in planar:
        raise ValueError(
            f"planar_configuration is {pixel_format.planar_configuration}, "
            f"must be one of {planar} {where}"
        )
    if pixel_format.photometric.startswith("YBR_FULL") and pixel_format.bits != 8:
        raise ValueError(
            f"photometric {pixel_format.photometric} needs 8 bits, not {pixel_format.bits}"
        )


def encode_frame(pixels: Pixels, pixel_format: PixelFormat) -> bytes:
    """Encode a frame of shape (rows, columns, samples); colours are given as RGB."""
    pixels = np.ascontiguousarray(pixels.astype(pixel_format.dtype, copy=False))
    return ENCODINGS[pixel_format.transfer_syntax].encode(pixels, pixel_format)


_PLAIN = ("RGB", "YBR_FULL")
_ANY_BITS = tuple(range(1, 33))
_TO_16 = tuple(range(8, 17))
_native = Encoding(encoders.encode_native, _PLAIN, _ANY_BITS, signed=True, planar=True)

ENCODINGS: dict[str, Encoding] = {
    IMPLICIT_LITTLE_ENDIAN: _native,
    EXPLICIT_LITTLE_ENDIAN: _native,
    DEFLATED_LITTLE_ENDIAN: _native,
    EXPLICIT_BIG_ENDIAN: _native,
    "1.2.840.10008.1.2.5": Encoding(
        encoders.encode_rle, _PLAIN, _ANY_BITS, signed=True, planar=True
    ),
    "1.2.840.10008.1.2.8.1": Encoding(
        encoders.encode_deflated_frame, _PLAIN, _ANY_BITS, signed=True
    ),
    "1.2.840.10008.1.2.4.50": Encoding(
        encoders.encode_jpeg, ("YBR_FULL_422", "YBR_FULL", "RGB"), (8,)
    ),
    "1.2.840.10008.1.2.4.51": Encoding(
        encoders.encode_jpeg, ("YBR_FULL_422", "YBR_FULL", "RGB"), (8, 12)
    ),
    "1.2.840.10008.1.2.4.57": Encoding(encoders.encode_jpeg_lossless, ("RGB",), _TO_16),
    "1.2.840.10008.1.2.4.70": Encoding(encoders.encode_jpeg_lossless, ("RGB",), _TO_16),
    "1.2.840.10008.1.2.4.80": Encoding(encoders.encode_jpeg_ls, ("RGB",), _TO_16),
    "1.2.840.10008.1.2.4.81": Encoding(encoders.encode_jpeg_ls_near_lossless, ("RGB",), _TO_16),
    "1.2.840.10008.1.2.4.90": Encoding(
        encoders.encode_jpeg2000, ("YBR_RCT", "RGB"), _TO_16, signed=True
    ),
    "1.2.840.10008.1.2.4.91": Encoding(
        encoders.encode_jpeg2000_lossy, ("YBR_ICT", "RGB"), _TO_16, signed=True
    ),
    "1.2.840.10008.1.2.4.201": Encoding(encoders.encode_htj2k, ("YBR_RCT", "RGB"), (8, 16)),
    "1.2.840.10008.1.2.4.202": Encoding(encoders.encode_htj2k, ("YBR_RCT", "RGB"), (8, 16)),
    "1.2.840.10008.1.2.4.203": Encoding(encoders.encode_htj2k_lossy, ("YBR_ICT", "RGB"), (8, 16)),
    "1.2.840.10008.1.2.4.110": Encoding(encoders.encode_jpeg_xl, ("RGB",), (8, 16)),
    "1.2.840.10008.1.2.4.111": Encoding(
        encoders.encode_jpeg_xl_from_jpeg, ("YBR_FULL_422", "YBR_FULL", "RGB"), (8,)
    ),
    "1.2.840.10008.1.2.4.112": Encoding(encoders.encode_jpeg_xl_lossy, ("XYB", "RGB"), (8, 16)),
}
