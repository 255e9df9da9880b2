"""Lazy arrays that stack the frame arrays of several channels and focal planes."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomslide.pixels.array import FrameArray, select_all
from dicomslide.pixels.chunks import as_dask, fewer_chunks
from dicomslide.pixels.indexing import Axis, normalize_index, outer_index, point_index

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["FrameStack"]

_ONE_SAMPLE: Axis = range(1), True


@dataclass(frozen=True, eq=False)
class FrameStack:
    """Lazy array of shape (channels, focal planes, rows, columns, samples).

    Parameters
    ----------
    planes : tuple of tuple of FrameArray
        One array for each channel and focal plane, all of one shape and type; None where there are
        no pixels
    samples : bool
        Whether the array has the axis of samples; if not, the arrays must have a single sample
    scale : tuple of float, optional
        Slope and intercept that convert stored integers to real world values; pixels outside of
        frames are NaN then
    """

    planes: tuple[tuple[FrameArray | None, ...], ...]
    samples: bool = True
    scale: tuple[float, float] | None = None

    @property
    def arrays(self) -> Iterator[FrameArray]:
        """Frame arrays of all channels and focal planes that have one."""
        return (plane for planes in self.planes for plane in planes if plane is not None)

    @property
    def first(self) -> FrameArray:
        """First frame array, which has the shape and type of all others."""
        return next(self.arrays)

    @property
    def is_complete(self) -> bool:
        """Whether frames cover all pixels of all channels and focal planes."""
        return all(
            plane is not None and plane.window is None and plane.tiling.complete
            for planes in self.planes
            for plane in planes
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of channels, focal planes, rows, columns and, with that axis, samples."""
        rows, columns, samples = self.first.shape
        shape = (len(self.planes), len(self.planes[0]), rows, columns)
        return (*shape, samples) if self.samples else shape

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """Shape of a tile in the dimensions of the array."""
        return (1, 1, *self.first.tile_shape)[: self.ndim]

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        """Data type of the pixels."""
        return self.first.dtype if self.scale is None else np.dtype(np.float64)

    @property
    def token(self) -> str:
        """Key that is equal for the same pixels, also in another process."""
        tokens = [[plane and plane.token for plane in planes] for planes in self.planes]
        parts = tokens, self.samples, self.scale
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def __dask_tokenize__(self) -> str:
        return self.token

    def __getitem__(self, key: Any) -> NDArray:
        """Read pixels by a basic index, as NumPy would from the whole array."""
        return self._select(normalize_index(key, self.shape))

    def outer(self, key: Sequence[Any]) -> NDArray:
        """Read pixels by integers, slices and arrays of integers that each select along an axis."""
        return self._select(outer_index(key, self.shape))

    def points(self, key: Sequence[NDArray]) -> NDArray:
        """Read single values by arrays of indices, one for each axis, as NumPy would."""
        indices = [part.ravel() for part in point_index(key, self.shape)]
        channels, planes, rows, columns = indices[:4]
        values = np.empty(len(rows), self.dtype)
        # Counted, as sorting takes longer than all the rest
        places = channels * self.shape[1] + planes
        for place in np.flatnonzero(np.bincount(places)).tolist():
            c, z = divmod(place, self.shape[1])
            here = np.flatnonzero(places == place)
            samples = indices[4][here] if self.samples else 0
            pixels = self._read_points(self.planes[c][z], rows[here], columns[here])
            values[here] = pixels[np.arange(len(here)), samples]
        return values.reshape(np.broadcast(*key).shape)

    def _select(self, axes: Sequence[Axis]) -> NDArray:
        outer, inner = axes[:2], list(axes[2:])
        if not self.samples:
            inner.append(_ONE_SAMPLE)
        channels, planes = (indices for indices, _ in outer)
        places = list(product(channels, planes))
        pixels = self._read(places, inner)
        pixels = pixels.reshape(len(channels), len(planes), *_shape(inner))
        return pixels[tuple(0 if dropped else slice(None) for _, dropped in outer)]

    def _read(self, places: Sequence[tuple[int, int]], axes: Sequence[Axis]) -> NDArray:
        """Read the same pixels of several (channel, focal plane) places, shape (places, ...)."""
        found = {place: self.planes[place[0]][place[1]] for place in places}
        present = {place: plane for place, plane in found.items() if plane is not None}
        stored = select_all(list(present.values()), axes) if present else np.empty(0)
        if self.scale is None and 0 < len(places) == len(stored):
            return stored
        parts = {place: self._nothing(_shape(axes)) for place in found if place not in present}
        for (place, plane), pixels in zip(present.items(), stored, strict=True):
            if self.scale is not None:
                pixels = _scaled(pixels, self.scale, plane.select_covered(axes))
            parts[place] = pixels
        pixels = np.empty((len(places), *_shape(axes)), self.dtype)
        for index, place in enumerate(places):
            pixels[index] = parts[place]
        return pixels

    def _read_points(self, plane: FrameArray | None, rows: NDArray, columns: NDArray) -> NDArray:
        if plane is None:
            return self._nothing((len(rows), self.first.shape[2]))
        pixels = plane.read_points(rows, columns)
        if self.scale is None:
            return pixels
        return _scaled(pixels, self.scale, plane.covered_points(rows, columns))

    def _nothing(self, shape: tuple[int, ...]) -> NDArray:
        background = np.nan if self.dtype.kind == "f" else self.first.background
        return np.full(shape, background, self.dtype)

    def to_dask(self, chunks: Sequence[int], outer: Sequence[int] = (1, 1)) -> da.Array:
        """Make a dask array.

        Parameters
        ----------
        chunks : sequence of int
            Rows and columns of a chunk
        outer : sequence of int
            Number of channels and focal planes of a chunk

        Warns
        -----
        UserWarning
            When these are more chunks than dask can hold, so that they are made larger
        """
        planes = math.prod(-(-self.shape[i] // outer[i]) for i in range(2))
        rows, columns = fewer_chunks(self.first.shape, chunks, planes)
        if (rows, columns) != tuple(chunks[:2]):
            warnings.warn(
                f"an array of {' x '.join(map(str, self.shape))} in chunks of {chunks[0]} x "
                f"{chunks[1]} pixels would have more chunks than dask can hold; they have {rows} x "
                f"{columns} pixels",
                stacklevel=2,
            )
        single = tuple(
            tuple(plane and replace(plane, threads=1) for plane in planes) for planes in self.planes
        )
        sizes = (*outer, rows, columns, self.first.shape[2])[: self.ndim]
        return as_dask(replace(self, planes=single), f"frames-{self.token}", sizes)


def _shape(axes: Sequence[Axis]) -> tuple[int, ...]:
    return tuple(len(indices) for indices, dropped in axes if not dropped)


def _scaled(
    pixels: NDArray, scale: tuple[float, float], known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Convert stored integers to real world values, NaN where no frame covers them."""
    slope, intercept = scale
    known = known.reshape(known.shape + (1,) * (pixels.ndim - known.ndim))
    return np.where(known, pixels * slope + intercept, np.nan)
