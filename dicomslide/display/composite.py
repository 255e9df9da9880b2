"""Channels of one sample as light of their colours, which adds up to one picture."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["light_of", "mix_light"]

_MOST_BITS = 16


def light_of(
    values: NDArray, window: tuple[float, float], is_inverted: bool = False
) -> NDArray[np.uint8]:
    """Say how bright pixels are shown.

    Parameters
    ----------
    values : numpy.ndarray
        Values of pixels; NaN is shown as the start of the window
    window : tuple of float
        Value that is shown as black, and value that is shown as white
    is_inverted : bool, optional
        Whether low values are bright, as those of MONOCHROME1 are

    Returns
    -------
    numpy.ndarray
        Brightness from 0 to 255, of the shape of the values
    """
    if values.dtype.kind == "u" and 8 * values.dtype.itemsize <= _MOST_BITS:
        return _table(values.dtype.str, window, is_inverted)[values]
    return _scale(values, window, is_inverted)


def mix_light(lights: Sequence[NDArray[np.uint8]], colors: Sequence[str]) -> NDArray[np.uint8]:
    """Add the light of channels.

    Parameters
    ----------
    lights : sequence of numpy.ndarray
        Brightness of each channel from 0 to 255, all of one shape
    colors : sequence of str
        Colour of each channel, six hexadecimal digits

    Returns
    -------
    numpy.ndarray
        Red, green and blue, along a last axis of its own
    """
    parts = np.array([list(bytes.fromhex(color)) for color in colors], np.float32) / 255
    added = np.stack(lights, axis=-1).astype(np.float32) @ parts
    return np.rint(np.minimum(added, 255, out=added)).astype(np.uint8)


@lru_cache(maxsize=64)
def _table(dtype: str, window: tuple[float, float], is_inverted: bool) -> NDArray[np.uint8]:
    """Brightness of all values that an integer can have."""
    values = np.arange(np.iinfo(dtype).max + 1)
    return _scale(values, window, is_inverted)


def _scale(values: NDArray, window: tuple[float, float], is_inverted: bool) -> NDArray[np.uint8]:
    start, end = window
    known = np.nan_to_num(values.astype(np.float64), nan=start)
    scaled = (known - start) / ((end - start) or 1.0)
    scaled = scaled.clip(0, 1) * 255
    return np.around(255 - scaled if is_inverted else scaled).astype(np.uint8)
