"""Paints synthetic tissue: each pixel is a function of its position, so any region can be made."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dicomslide.testing.painting import atlas
from dicomslide.testing.painting.section import NODES, Section, get_section
from dicomslide.testing.painting.stains import get_lookup_table
from dicomslide.testing.painting.tessellation import PERIOD

__all__ = ["paint", "stain"]

# Cell numbers and stain densities are looked up in blocks of about this many pixels, which fit the
# processor's cache
_BLOCK = 1 << 16


def paint(
    offset: tuple[int, int],
    size: tuple[int, int],
    factor: float = 1.0,
    *,
    base_size: tuple[int, int] = (1500, 2000),
    optical_path: int = 0,
    focal_plane: int = 0,
    samples: int = 3,
    bits: int = 8,
    signed: bool = False,
    seed: int = 0,
) -> npt.NDArray[Any]:
    """Paint a rectangular region of a level of a synthetic slide.

    The value of a pixel depends on its position, the factor and the keyword arguments alone:
    regions that overlap agree where they do. Pixel `i` of a level is the average around the
    position `(i + 0.5) * factor - 0.5` of the base level. Nuclei and fibres have a fixed size in
    base pixels (taken to be 0.5 um); the outline of the tissue follows `base_size`.

    Parameters
    ----------
    offset : tuple of int
        Zero-based row and column of the first pixel of the region in the matrix of the level
    size : tuple of int
        Number of rows and columns of the region
    factor : float, optional
        Size of a pixel of the level in base pixels, at least 1
    base_size : tuple of int, optional
        Number of rows and columns of the base level
    optical_path : int, optional
        Zero-based index of the optical path. For three samples: haematoxylin and eosin,
        haematoxylin and DAB, then other stains. For one sample (fluorescence): nuclei, fibres,
        epithelium, then mixtures
    focal_plane : int, optional
        Zero-based index of the focal plane. Plane 0 is in focus; each next one is blurred more and
        a little darker
    samples : int, optional
        Samples per pixel: 3 (RGB) or 1
    bits : int, optional
        Bits per sample, 1 to 32
    signed : bool, optional
        Whether values are signed (two's complement), in which case the smallest is `-2 ** (bits -
        1)`
    seed : int, optional
        Seed of the outline and the arrangement of the tissue

    Returns
    -------
    numpy.ndarray
        Array of shape (rows, columns, samples), of the smallest integer type that holds `bits`

    Raises
    ------
    ValueError
        When `factor` is below 1, or samples or bits are not supported
    """
    table = get_lookup_table(optical_path, focal_plane, samples, bits, signed)
    pixels = np.empty((*size, samples), table.dtype)
    for rows, stains in _stain_blocks(offset, size, factor, base_size, focal_plane, seed):
        table.take(stains, axis=0, out=pixels[rows], mode="clip")
    return pixels


def stain(
    offset: tuple[int, int],
    size: tuple[int, int],
    factor: float = 1.0,
    *,
    base_size: tuple[int, int] = (1500, 2000),
    focal_plane: int = 0,
    seed: int = 0,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Get the densities of the two stains, from which `paint` makes colours.

    Parameters are those of `paint`.

    Returns
    -------
    tuple of numpy.ndarray
        Densities (0 to 255) of haematoxylin and eosin, each of shape (rows, columns)
    """
    haematoxylin, eosin = np.empty(size, np.uint8), np.empty(size, np.uint8)
    for rows, stains in _stain_blocks(offset, size, factor, base_size, focal_plane, seed):
        haematoxylin[rows] = stains >> 8
        eosin[rows] = stains & 0xFF
    return haematoxylin, eosin


def _stain_blocks(
    offset: tuple[int, int],
    size: tuple[int, int],
    factor: float,
    base_size: tuple[int, int],
    defocus: int,
    seed: int,
) -> Iterator[tuple[slice, npt.NDArray[np.uint16]]]:
    """Yield slices of rows and the packed stain densities in them."""
    if factor < 1:
        raise ValueError(f"factor is {factor}, must be at least 1")
    if min(size) == 0:
        return
    section = get_section(base_size, seed)
    mip = min(int(np.log2(factor)), atlas.MAX_MIP)
    drawings = atlas.get_atlas(mip, defocus)
    columns = _Axis.place(offset[1], size[1], factor, base_size[1], section.shift[1], mip)
    height = max(1, _BLOCK // max(1, size[1]))
    for first in range(0, size[0], height):
        count = min(height, size[0] - first)
        rows = _Axis.place(offset[0] + first, count, factor, base_size[0], section.shift[0], mip)
        yield slice(first, first + count), _lookup(section, drawings, rows, columns)


@dataclass(frozen=True)
class _Axis:
    """Places of the pixels of a region along one axis.

    Parameters
    ----------
    texel : numpy.ndarray
        Index into the drawings
    period : numpy.ndarray
        Number of the copy of the drawings, counted from `first_period`
    node : numpy.ndarray
        Index of the node of the outline before the pixel
    weight : numpy.ndarray
        Weight of the node after the pixel
    """

    texel: npt.NDArray[np.intp]
    period: npt.NDArray[np.intp]
    first_period: int
    periods: int
    node: npt.NDArray[np.intp]
    weight: npt.NDArray[np.float32]

    @classmethod
    def place(
        cls, first: int, count: int, factor: float, extent: int, shift: int, mip: int
    ) -> Self:
        centre = (np.arange(first, first + count) + 0.5) * factor
        base = np.floor(centre).astype(np.intp)
        position = np.clip(centre / extent, 0, 1) * (NODES - 1)
        node = np.minimum(position.astype(np.intp), NODES - 2)
        period, texel = np.divmod(base + shift, PERIOD)
        first_period = int(period[0])
        return cls(
            texel=texel >> mip,
            period=period - first_period,
            first_period=first_period,
            periods=int(period[-1]) - first_period + 1,
            node=node,
            weight=(position - node).astype(np.float32),
        )


def _lookup(
    section: Section, drawings: atlas.Atlas, rows: _Axis, columns: _Axis
) -> npt.NDArray[np.uint16]:
    """Look up the packed stain densities of a region."""
    texel = rows.texel[:, np.newaxis] * drawings.side + columns.texel
    near = section.outline[rows.node[0] : rows.node[-1] + 2, columns.node[0] : columns.node[-1] + 2]
    reach = drawings.reach
    # Far outside and far inside of the tissue its edge need not be looked at
    if near.max() < -reach:
        drawing = texel
    else:
        kinds = _find_drawings(section, drawings, rows, columns)
        copy = rows.period[:, np.newaxis] * columns.periods + columns.period
        copy *= atlas.CELL_COPIES
        copy += drawings.cells.ravel().take(texel)
        drawing = kinds.ravel().take(copy)
        if near.min() <= reach:
            roughness = drawings.roughness.ravel().take(texel)
            # Glass is the first drawing, and the index of its first pixel is 0
            drawing *= _interpolate(section, rows, columns) + roughness > 0
        drawing += texel
    return drawings.stains.ravel().take(drawing)


def _find_drawings(
    section: Section, drawings: atlas.Atlas, rows: _Axis, columns: _Axis
) -> npt.NDArray[np.intp]:
    """Find what each copy of a cell shows, as the index of its drawing's first pixel.

    The array has shape (periods along the rows, periods along the columns, copies of cells).
    """
    cell, copy = np.divmod(np.arange(atlas.CELL_COPIES), 9)
    period_rows = np.arange(rows.periods)[:, np.newaxis, np.newaxis] + (copy // 3 - 1)
    period_columns = np.arange(columns.periods)[:, np.newaxis] + (copy % 3 - 1)
    chosen = section.choose_drawings(
        period_rows + rows.first_period,
        period_columns + columns.first_period,
        cell,
        drawings.centres,
    )
    return chosen * drawings.cells.size


def _interpolate(section: Section, rows: _Axis, columns: _Axis) -> npt.NDArray[np.float32]:
    """Interpolate the outline linearly between its nodes."""
    weight = rows.weight[:, np.newaxis]
    lines = section.outline[rows.node] * (1 - weight) + section.outline[rows.node + 1] * weight
    step = np.diff(lines, axis=1)
    return lines.take(columns.node, axis=1) + step.take(columns.node, axis=1) * columns.weight
