"""Colours that are laid over a picture where something is."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["lay_over"]


def lay_over(
    picture: NDArray[np.uint8],
    amount: NDArray,
    color: str | NDArray[np.uint8],
    opacity: float = 0.5,
) -> NDArray[np.uint8]:
    """Lay a colour over a picture.

    Parameters
    ----------
    picture : numpy.ndarray
        Red, green and blue along the last axis
    amount : numpy.ndarray
        How much of each pixel is covered: a mask, or parts from 0 to 1; NaN covers nothing
    color : str or numpy.ndarray
        Six hexadecimal digits, or red, green and blue for each pixel
    opacity : float, optional
        How much of a pixel that is wholly covered the colour hides, from 0 to 1

    Returns
    -------
    numpy.ndarray
        Red, green and blue
    """
    over = np.array(list(bytes.fromhex(color)) if isinstance(color, str) else color, np.float32)
    part = np.nan_to_num(amount.astype(np.float32)).clip(0, 1)[..., np.newaxis] * opacity
    return np.rint(picture + part * (over - picture)).astype(np.uint8)
