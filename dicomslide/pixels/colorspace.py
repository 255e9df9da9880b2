"""Conversion of luminance and chrominance to RGB (PS3.3 C.7.6.3.1.2)."""

import numpy as np
from numpy.typing import NDArray

from dicomslide.metadata.pixel_format import PixelFormat

__all__ = ["components_to_rgb", "ybr_to_rgb"]

# From Y = 0.299 R + 0.587 G + 0.114 B, Cr = (R - Y) / 1.402 and Cb = (B - Y) / 1.772
_RED, _BLUE = 1.402, 1.772
_GREEN_CB, _GREEN_CR = -0.114 * _BLUE / 0.587, -0.299 * _RED / 0.587


def components_to_rgb(pixels: NDArray, pixel_format: PixelFormat) -> NDArray:
    """Convert stored components to RGB where the Photometric Interpretation is YBR_FULL.

    YBR_ICT and YBR_RCT name transforms within a codestream, which its decoder undoes.
    """
    if pixel_format.photometric.startswith("YBR_FULL"):
        return ybr_to_rgb(pixels, pixel_format.bits_stored)
    return pixels


def ybr_to_rgb(pixels: NDArray, bits: int) -> NDArray:
    """Convert full range YCbCr to RGB, rounded to the nearest value.

    Parameters
    ----------
    pixels : numpy.ndarray
        Unsigned integers of shape (rows, columns, 3)
    bits : int
        Number of bits of each that are used

    Returns
    -------
    numpy.ndarray
        RGB of the same shape and type
    """
    # Fixed-point numbers, with as many binary places as the sums leave room for
    places = 20 if bits <= 8 else 28
    half, one = 1 << bits - 1, 1 << places
    wide: NDArray[np.signedinteger] = np.empty((3, *pixels.shape[:2]), "i4" if bits <= 8 else "i8")
    for i, component in enumerate(wide):
        component[...] = pixels[..., i]
    y, cb, cr = wide
    y <<= places
    y += one >> 1
    cb -= half
    cr -= half
    red = y + round(_RED * one) * cr
    green = y + round(_GREEN_CB * one) * cb + round(_GREEN_CR * one) * cr
    blue = y + round(_BLUE * one) * cb
    rgb = np.empty_like(pixels, order="C")
    for i, value in enumerate((red, green, blue)):
        value >>= places
        rgb[..., i] = value.clip(0, 2 * half - 1, out=value)
    return rgb
