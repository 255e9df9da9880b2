"""The drawings of tissue at every magnification and focus, which slides are put together from.

A drawing is a square of 1,024 x 1,024 base pixels (0.5 um each) that repeats without a seam.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from dicomslide.testing.painting.drawings import OVERLAYS, Canvas, draw_glass, draw_stroma
from dicomslide.testing.painting.tessellation import (
    CELLS,
    Floats,
    forget_noise,
    make_noise,
    tessellate,
)

__all__ = [
    "CELL_COPIES",
    "CROWDED_GLAND",
    "CRYPT",
    "FAT",
    "INFLAMED_STROMA",
    "LOOSE_STROMA",
    "LYMPHOID",
    "MAX_MIP",
    "MUSCLE",
    "STROMA",
    "VESSEL",
    "Atlas",
    "get_atlas",
]

# A cell that crosses the border of the square belongs to one of nine neighbouring squares
CELL_COPIES = 9 * CELLS
MAX_MIP = 6

# The drawings, in the order in which `_draw` makes them
(
    GLASS,
    STROMA,
    LOOSE_STROMA,
    MUSCLE,
    INFLAMED_STROMA,
    CRYPT,
    CROWDED_GLAND,
    LYMPHOID,
    FAT,
    VESSEL,
) = range(10)

Stains = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Atlas:
    """The drawings at one magnification.

    Parameters
    ----------
    stains : numpy.ndarray
        Stain densities, of shape (drawings, side, side): haematoxylin in the high byte, eosin in
        the low byte
    cells : numpy.ndarray
        Number of the copy of a cell that each pixel belongs to, of shape (side, side); see
        `Tessellation.copy`
    roughness : numpy.ndarray
        Distance in base pixels that the edge of the tissue is displaced by, of shape (side, side)
    centres : numpy.ndarray
        Row and column (base pixels) of the centre of each cell, of shape (cells, 2)
    """

    stains: Stains
    cells: npt.NDArray[np.uint8]
    roughness: Floats
    centres: Floats

    @property
    def side(self) -> int:
        """Number of rows and columns."""
        return len(self.cells)

    @cached_property
    def reach(self) -> float:
        """A little more than the largest roughness."""
        return float(np.abs(self.roughness).max()) + 1


@lru_cache(maxsize=16)
def get_atlas(mip: int, defocus: int = 0) -> Atlas:
    """Get the drawings reduced by two to the power of `mip`, as seen out of focus.

    Parameters
    ----------
    mip : int
        Number of times that the drawings are halved, 0 to `MAX_MIP`
    defocus : int, optional
        Radius of the blur, in base pixels
    """
    if mip == 0:
        sharp = _draw()
        if defocus == 0:
            return sharp
        stains = np.stack([_blur_stains(drawing, defocus) for drawing in sharp.stains])
        return Atlas(stains, sharp.cells, sharp.roughness, sharp.centres)
    finer = get_atlas(mip - 1, defocus)
    haematoxylin, eosin = (_halve(band) for band in _unpack(finer.stains))
    return Atlas(
        stains=_pack(haematoxylin, eosin),
        cells=np.ascontiguousarray(finer.cells[1::2, 1::2]),
        roughness=np.ascontiguousarray(finer.roughness[1::2, 1::2]),
        centres=finer.centres,
    )


def _halve(values: Stains) -> Stains:
    pairs = values[..., ::2, :] + values[..., 1::2, :]
    return (pairs[..., ::2] + pairs[..., 1::2] + np.uint16(2)) // np.uint16(4)


def _blur_stains(drawing: Stains, radius: int) -> Stains:
    bands = (_box_blur(_box_blur(band, radius), radius) for band in _unpack(drawing))
    return _pack(*bands)


def _box_blur(values: Stains, radius: int) -> Stains:
    """Average over squares of 2 * radius + 1 pixels, in integers."""
    width = 2 * radius + 1
    for axis in (0, 1):
        total = sum(
            np.roll(values, shift, axis).astype(np.uint32) for shift in range(-radius, radius + 1)
        )
        values = ((np.asarray(total) + width // 2) // width).astype(np.uint16)
    return values


@lru_cache(maxsize=1)
def _draw() -> Atlas:
    generator = np.random.default_rng(20260101)
    cells = tessellate(generator)
    stroma = draw_stroma(cells, generator)
    canvases = [draw_glass(cells, generator), stroma]
    for overlay in OVERLAYS:
        canvas = Canvas(stroma.haematoxylin.copy(), stroma.eosin.copy(), cells, generator)
        overlay(canvas)
        canvases.append(canvas)
    stains = [_pack(_round(canvas.haematoxylin), _round(canvas.eosin)) for canvas in canvases]
    roughness = 8 * make_noise(generator, 40) + 4 * make_noise(generator, 9)
    forget_noise()
    return Atlas(np.stack(stains), cells.copy, roughness, cells.centres)


def _round(values: Floats) -> Stains:
    return np.clip(np.rint(values), 0, 255).astype(np.uint16)


def _pack(haematoxylin: Stains, eosin: Stains) -> Stains:
    return haematoxylin * np.uint16(256) + eosin


def _unpack(stains: Stains) -> tuple[Stains, Stains]:
    return stains // np.uint16(256), stains % np.uint16(256)
