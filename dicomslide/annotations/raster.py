"""Annotations as lazy arrays of pixels."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import dask.base
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dicomslide.annotations.filling import fill, ranges
from dicomslide.annotations.group import AnnotationGroup
from dicomslide.annotations.places import Place
from dicomslide.annotations.shapes import bounding_boxes, outlines
from dicomslide.annotations.vectors import Vectors, VectorSource
from dicomslide.pixels.chunks import as_dask
from dicomslide.processes import make_lock
from dicomslide.sources.holding import Holder
from dicomslide.tree.coordinates import pixel_coordinates
from dicomslide.tree.schema import COLUMNS, ROWS

__all__ = ["rasterize"]

# In pixels, so that errors of rounding do not decide which tiles an annotation touches
_MARGIN = 1e-6


def rasterize(group: AnnotationGroup, level: int) -> xr.DataArray:
    """Draw a group on the pixels of a level: see `AnnotationGroup.rasterize`."""
    place = group._place
    grid, tile = place.levels[level].grid, place.levels[level].tile
    array = _Labels(group._source, group.graphic_type, place, level)
    token = dask.base.tokenize(group._source.token, group.graphic_type, place, level)
    sizes = min(tile[0], grid.size[0]), min(tile[1], grid.size[1])
    coordinates = pixel_coordinates(place.levels[0].grid.geometry, grid)
    return xr.DataArray(
        as_dask(array, f"annotations-{token}", sizes),
        coordinates.coords,
        (ROWS, COLUMNS),
        "annotation",
        {"long_name": f"numbers of annotations of {group.label}"},
    )


class _Index(NamedTuple):
    """Annotations by the tiles of a level that they touch.

    Parameters
    ----------
    bounds : numpy.ndarray
        Place of the first annotation of each tile, and the number of all places
    annotations : numpy.ndarray
        Indices of annotations, ascending for each tile
    """

    bounds: NDArray[np.int64]
    annotations: NDArray[np.int64]


@dataclass(frozen=True)
class _Labels:
    """Lazy array of the numbers of annotations on the pixels of a level.

    Parameters
    ----------
    source : VectorSource
        Points of the group
    graphic_type : str
        Graphic Type
    place : Place
        Coordinate system of the points
    level : int
        Index of the level
    """

    source: VectorSource
    graphic_type: str
    place: Place
    level: int

    @property
    def ndim(self) -> int:
        return 2

    @property
    def shape(self) -> tuple[int, int]:
        return self.place.levels[self.level].grid.size

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint32)

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.source, self.graphic_type, self.place, self.level)

    def __getitem__(self, key: Any) -> NDArray[np.uint32]:
        rows, columns = (
            np.arange(length)[index] for length, index in zip(self.shape, key, strict=True)
        )
        if not rows.size or not columns.size:
            return np.zeros((*rows.shape, *columns.shape), self.dtype)
        first = int(rows.min()), int(columns.min())
        window = int(rows.max()) + 1 - first[0], int(columns.max()) + 1 - first[1]
        return self._draw(first, window)[rows - first[0]][..., columns - first[1]]

    def _draw(self, first: tuple[int, int], window: tuple[int, int]) -> NDArray[np.uint32]:
        """Draw the annotations that touch a window, which starts at a row and a column."""
        # One thread makes the index, as all chunks need the same one
        with _indexing:
            index = _indices.get(self, self._index)
        tile = self.place.levels[self.level].tile
        across = math.ceil(self.shape[1] / tile[1])
        touched = (
            row * across + column
            for row in range(first[0] // tile[0], -(-(first[0] + window[0]) // tile[0]))
            for column in range(first[1] // tile[1], -(-(first[1] + window[1]) // tile[1]))
        )
        found = [index.annotations[index.bounds[n] : index.bounds[n + 1]] for n in touched]
        drawn = np.zeros(window, self.dtype)
        chosen = np.unique(np.concatenate(found))
        if len(chosen):
            points, starts = outlines(self.graphic_type, self.source.read().of(chosen))
            pixels = self.place.to_level(self.level).apply(points)
            # From the centre of the first pixel on, instead of its corner
            own = Vectors(pixels - (first[1] + 0.5, first[0] + 0.5), starts)
            owners, flat = fill(self.graphic_type, own, window)
            # Of several values for a pixel the last one is kept, which has the largest number
            drawn.ravel()[flat] = chosen[owners] + 1
        return drawn

    def _index(self) -> _Index:
        """Sort the annotations by the tiles that their bounding boxes touch."""
        tile = np.array(self.place.levels[self.level].tile)
        counts = -(-np.array(self.shape) // tile)
        boxes = bounding_boxes(
            self.graphic_type, self.source.read(), self.place.to_level(self.level)
        )
        # What lies on the edge of a tile is drawn in both
        low = (boxes[:, 1::-1] - _MARGIN) // tile
        high = (boxes[:, :1:-1] + _MARGIN) // tile + 1
        start = np.clip(low, 0, counts).astype(np.int64)
        stop = np.clip(high, 0, counts).astype(np.int64)
        extent = np.maximum(stop - start, 0)
        owners, place = ranges(np.zeros(len(boxes), np.int64), extent[:, 0] * extent[:, 1])
        row, column = np.divmod(place, extent[owners, 1])
        tiles = (start[owners, 0] + row) * counts[1] + start[owners, 1] + column
        order = np.argsort(tiles, kind="stable")
        bounds = np.searchsorted(tiles[order], np.arange(counts.prod() + 1))
        return _Index(bounds, owners[order])


def _bytes_of(index: _Index) -> int:
    return index.bounds.nbytes + index.annotations.nbytes


_indices = Holder("annotations", _bytes_of)
_indexing = make_lock()


def _arrived(*arguments: Any) -> _Labels:
    return _indices.arrived(_Labels, *arguments)
