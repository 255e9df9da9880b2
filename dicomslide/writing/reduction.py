"""Reduction of a level to a smaller one: means of areas, or their most frequent value."""

from collections.abc import Callable
from dataclasses import dataclass

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from dicomslide.pyramid import LevelGrid

__all__ = ["Reduction", "mean_of_areas", "mode_of_areas", "reduce_level"]

Edges = NDArray[np.int64]
Reduction = Callable[[NDArray, Edges, Edges], NDArray]
"""Reduces an array (layers, rows, columns), by the first row and column of each area."""

# Rows and columns of a block of the smaller level, about
_SIDE = 1024


def mean_of_areas(pixels: NDArray, rows: Edges, columns: Edges) -> NDArray:
    """Compute the means of areas, of the values in them that are not NaN."""
    if pixels.dtype.kind != "f":
        means = _sums(pixels.astype(np.float64), rows, columns) / _counts(pixels, rows, columns)
        return np.rint(means).astype(pixels.dtype)
    known = ~np.isnan(pixels)
    sums = _sums(np.where(known, pixels, 0).astype(np.float64), rows, columns)
    counts = _sums(known.astype(np.float64), rows, columns)
    means = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means.astype(pixels.dtype)


def mode_of_areas(pixels: NDArray, rows: Edges, columns: Edges) -> NDArray:
    """Find the most frequent values in areas, the smallest one of equally frequent ones."""
    values = np.unique(pixels)
    if len(values) == 1:
        return np.full((len(pixels), len(rows), len(columns)), values[0])
    found = np.zeros((len(pixels), len(rows), len(columns)), pixels.dtype)
    most = np.zeros(found.shape, np.int64)
    for value in values:
        count = _sums((pixels == value).astype(np.int64), rows, columns)
        is_more = count > most
        found[is_more], most[is_more] = value, count[is_more]
    return found


def _sums(pixels: NDArray, rows: Edges, columns: Edges) -> NDArray:
    summed: NDArray = np.add.reduceat(np.add.reduceat(pixels, columns, axis=2), rows, axis=1)
    return summed


def _counts(pixels: NDArray, rows: Edges, columns: Edges) -> NDArray:
    return _sums(np.ones((1, *pixels.shape[1:])), rows, columns)


@dataclass(frozen=True)
class _Reducer:
    """Reducer of blocks, by the edges of areas in each row and column of blocks."""

    reduction: Reduction
    rows: tuple[Edges, ...]
    columns: tuple[Edges, ...]

    def __call__(self, block: NDArray, block_id: tuple[int, ...]) -> NDArray:
        return self.reduction(block, self.rows[block_id[1]], self.columns[block_id[2]])


def reduce_level(
    pixels: da.Array, reduction: Reduction, here: LevelGrid, there: LevelGrid
) -> da.Array:
    """Reduce all pixels of a level to those of a smaller one.

    Parameters
    ----------
    pixels : dask.array.Array
        Array of shape (layers, rows, columns), or (rows, columns)
    reduction : callable
        What is computed of the pixels in the area of each new one
    here, there : LevelGrid
        Grids of the level and of the smaller one

    Returns
    -------
    dask.array.Array
        Array of the smaller level; areas begin and end between pixels
    """
    if pixels.ndim == 2:
        return reduce_level(pixels[np.newaxis], reduction, here, there)[0]
    first_rows, first_columns = _first(here, there)
    rows, row_chunks = _blocks(first_rows, here.size[0])
    columns, column_chunks = _blocks(first_columns, here.size[1])
    start = [int(edges[0][0]) for edges in (rows, columns)]
    pixels = pixels[:, start[0] :, start[1] :]
    pixels = pixels.rechunk({1: row_chunks, 2: column_chunks})
    relative = [tuple(e - e[0] for e in edges) for edges in (rows, columns)]
    sizes = [tuple(len(e) for e in edges) for edges in (rows, columns)]
    reduced = pixels.map_blocks(
        _Reducer(reduction, *relative),
        dtype=pixels.dtype,
        chunks=(pixels.chunks[0], *sizes),
        meta=np.empty((0, 0, 0), pixels.dtype),
    )
    found: da.Array = reduced
    return found


def _first(here: LevelGrid, there: LevelGrid) -> list[Edges]:
    """Find the first row and column of the area of each pixel of the smaller level."""
    count = max(there.size)
    corners = np.stack([np.arange(count) - 0.5] * 2, axis=1)
    geometry = here.geometry.at_height(there.geometry.origin[2])
    edges = np.rint(geometry.to_pixels(there.geometry.to_slide(corners)) + 0.5).astype(np.int64)
    return [
        np.clip(edges[:size, axis], 0, most - 1)
        for axis, (size, most) in enumerate(zip(there.size, here.size, strict=True))
    ]


def _blocks(first: Edges, size: int) -> tuple[list[Edges], tuple[int, ...]]:
    """Divide areas into blocks: their first rows or columns, and the lengths of their pixels."""
    starts = list(range(0, len(first), _SIDE))
    # A block must not begin where the one before it does
    starts = [s for s in starts if s == 0 or first[s] > first[s - 1]]
    blocks = [first[a:b] for a, b in zip(starts, [*starts[1:], len(first)], strict=True)]
    ends = [int(block[0]) for block in blocks[1:]] + [size]
    return blocks, tuple(end - int(block[0]) for end, block in zip(ends, blocks, strict=True))
