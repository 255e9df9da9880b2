"""Formats of stored pixels: the Image Pixel Module (PS3.3 C.7.6.3), and the encoding."""

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "DEFLATED_LITTLE_ENDIAN",
    "EXPLICIT_BIG_ENDIAN",
    "EXPLICIT_LITTLE_ENDIAN",
    "IMPLICIT_LITTLE_ENDIAN",
    "PixelFormat",
]

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"
NATIVE = (
    IMPLICIT_LITTLE_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    DEFLATED_LITTLE_ENDIAN,
    EXPLICIT_BIG_ENDIAN,
)


@dataclass(frozen=True)
class PixelFormat:
    """Stored form of pixels: the Image Pixel Module (PS3.3 C.7.6.3), and what the encoder is told.

    Parameters
    ----------
    quality : int
        1 (small) to 100 (good), for lossy transfer syntaxes
    adobe_marker : bool
        Whether a JPEG stream of RGB components says so in an Adobe APP14 segment
    floating : bool
        Whether values are Float or Double Float Pixel Data
    """

    transfer_syntax: str
    samples: int
    bits: int
    bits_allocated: int
    signed: bool
    photometric: str
    planar_configuration: int = 0
    quality: int = 90
    adobe_marker: bool = False
    floating: bool = False

    @property
    def is_native(self) -> bool:
        """Whether frames are stored without compression."""
        return self.transfer_syntax in NATIVE

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""
        if self.bits_allocated == 1:
            return np.dtype(bool)
        kind = "float" if self.floating else "int" if self.signed else "uint"
        return np.dtype(f"{kind}{self.bits_allocated}")
