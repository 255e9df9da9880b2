"""Colours of stained tissue: tables from the densities of two stains to pixel values."""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["get_lookup_table"]

# Absorbance of red, green and blue light at full density
_HAEMATOXYLIN = (0.84, 0.98, 0.48)
_COUNTERSTAINS = (
    (0.13, 0.66, 0.31),  # eosin
    (0.35, 0.66, 0.92),  # DAB (brown)
    (0.85, 0.36, 0.20),  # light green
    (0.10, 0.40, 0.95),  # orange
)
_LIGHT = (0.961, 0.957, 0.955)


def get_dtype(bits: int, signed: bool) -> np.dtype[Any]:
    """Get the smallest integer type that holds values of so many bits.

    Raises
    ------
    ValueError
        When `bits` is not from 1 to 32
    """
    if not 1 <= bits <= 32:
        raise ValueError(f"bits is {bits}, must be from 1 to 32")
    width = next(width for width in (8, 16, 32) if bits <= width)
    return np.dtype(f"{'int' if signed else 'uint'}{width}")


@lru_cache(maxsize=64)
def get_lookup_table(
    optical_path: int, focal_plane: int, samples: int, bits: int, signed: bool
) -> npt.NDArray[Any]:
    """Get the pixel value for each pair of stain densities.

    Returns
    -------
    numpy.ndarray
        Array of shape (65536, samples); the index is 256 * haematoxylin + eosin

    Raises
    ------
    ValueError
        When samples or bits are not supported
    """
    index = np.arange(65536)
    haematoxylin, eosin = (index >> 8) / 255.0, (index & 0xFF) / 255.0
    if samples == 3:
        light = _transmit(haematoxylin, eosin, optical_path)
    elif samples == 1:
        light = _emit(haematoxylin, eosin, optical_path)[:, np.newaxis]
    else:
        raise ValueError(f"samples is {samples}, must be 1 or 3")
    light = light * (1 - 0.015 * min(focal_plane, 20))
    lowest = -(2 ** (bits - 1)) if signed else 0
    table = np.rint(light * (2**bits - 1)) + lowest
    return table.astype(get_dtype(bits, signed))


def _transmit(
    haematoxylin: npt.NDArray[np.float64], counterstain: npt.NDArray[np.float64], optical_path: int
) -> npt.NDArray[np.float64]:
    """Absorb light in the stains, as the law of Beer and Lambert says."""
    turn, index = divmod(optical_path, len(_COUNTERSTAINS))
    absorbance = np.outer(haematoxylin, _HAEMATOXYLIN) + np.outer(
        counterstain, _COUNTERSTAINS[index]
    )
    absorbance *= 1 + 0.3 * turn
    return np.asarray(_LIGHT) * 10**-absorbance


def _emit(
    haematoxylin: npt.NDArray[np.float64], eosin: npt.NDArray[np.float64], optical_path: int
) -> npt.NDArray[np.float64]:
    """Make fluorescence on a dark background: nuclei, fibres, epithelium, then mixtures."""
    nuclei = np.clip((haematoxylin - 0.2) / 0.45, 0, 1)
    fibres = np.clip((eosin - 0.16) / 0.4, 0, 1) * np.clip(1 - haematoxylin / 0.3, 0, 1)
    cytoplasm = np.clip((haematoxylin - 0.05) / 0.07, 0, 1) * np.clip(
        (0.3 - haematoxylin) / 0.1, 0, 1
    )
    epithelium = cytoplasm * np.clip((eosin - 0.05) / 0.25, 0, 1)
    first, second = [(nuclei, fibres), (fibres, epithelium), (epithelium, nuclei)][optical_path % 3]
    share = optical_path // 3 / (optical_path // 3 + 2)
    background = 0.015 + 0.01 * (optical_path % 3) + 0.03 * haematoxylin + 0.02 * eosin
    return background + 0.88 * ((1 - share) * first + share * second)
