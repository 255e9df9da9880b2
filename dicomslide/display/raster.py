"""Pixels of any level at any distance, by averaging or repeating those that are stored."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dicomslide.errors import ArgumentValueError, UnsupportedError
from dicomslide.tree.schema import COLUMNS, ROWS, SAMPLE, is_plane, plane_dimension

__all__ = ["Grid", "Raster", "Values", "coarsest"]

_AXES = (ROWS, COLUMNS)
# A level serves for pixels that are smaller than its own by less than this part
_SAME_FACTOR = 0.05
# Positions come from decimal numbers: an element may begin this much of one before it should
_ROUNDING = 1e-6
# Neighbours may be this much closer or farther than others, as a part of their distance
_UNEVEN = 1e-3
# Positions that are looked at together: a coordinate may be longer than memory is large
_TOGETHER = 2**16
# Values that are read for one picture
_MOST_READ = 2**26


@dataclass(frozen=True)
class Grid:
    """Pixels at even distances, in rows and columns along the axes of the image.

    Parameters
    ----------
    corner : tuple of float
        y and x of the outer corner of the first pixel, in millimetres
    step : tuple of float
        Distance between rows, and between columns, in millimetres
    size : tuple of int
        Rows and columns
    """

    corner: tuple[float, float]
    step: tuple[float, float]
    size: tuple[int, int]

    def reduced(self, power: int) -> Self:
        """Get the grid whose pixels stand for 2^power by 2^power of this one; the last for fewer.

        A negative power makes smaller pixels.
        """
        factor = 2.0**power
        rows, columns = (max(math.ceil(count / factor), 1) for count in self.size)
        step = self.step[0] * factor, self.step[1] * factor
        return type(self)(self.corner, step, (rows, columns))

    def part(self, offset: tuple[int, int], size: tuple[int, int]) -> Self:
        """Get a rectangle of rows and columns, which may extend beyond the grid on any side."""
        row, column = offset
        corner = self.corner[0] + row * self.step[0], self.corner[1] + column * self.step[1]
        return type(self)(corner, self.step, size)


class Values(NamedTuple):
    """Pixels of a picture."""

    pixels: NDArray
    """Shape (channels, rows, columns, samples), of the type that is stored, or floats if averages
    were made"""
    inside: NDArray[np.bool_]
    """Shape (rows, columns): whether there is anything"""


@dataclass(frozen=True, eq=False)
class Raster:
    """A variable of the tree, and where its pixels lie.

    Parameters
    ----------
    variable : xarray.Variable
        Pixels, lazy or not, along ``y``, ``x`` and perhaps channels, focal planes and samples
    grid : Grid
        Where they lie
    planes : tuple of float
        Focal planes in millimetres
    """

    variable: xr.Variable
    grid: Grid
    planes: tuple[float, ...] = (0.0,)

    @classmethod
    def of(cls, image: xr.DataArray) -> Self:
        """Take a variable of a node of the tree, or what was computed of one.

        Raises
        ------
        ArgumentValueError
            When its rows or columns are not at even distances
        """
        name = image.name or "the image"
        if missing := [axis for axis in _AXES if axis not in image.dims]:
            raise ArgumentValueError(f"{name} has no dimension {missing[0]!r}, only {image.dims}")
        lines = [_line(image, axis) for axis in _AXES]
        # One row or column alone has no distance to another: pixels are squares then
        known = next((step for _, step in lines if step is not None), 1.0)
        steps, corners = [], []
        for axis, (first, distance) in zip(_AXES, lines, strict=True):
            step = abs(known) if distance is None else distance
            if step < 0:
                image = image.isel({axis: slice(None, None, -1)})
                first, step = first + step * (image.sizes[axis] - 1), -step
            steps.append(step)
            corners.append(first - step / 2)
        size = image.sizes[ROWS], image.sizes[COLUMNS]
        plane = plane_dimension((*image.dims, *image.coords))
        heights = np.atleast_1d(image[plane].values) if plane in image.coords else [0.0]
        grid = Grid((corners[0], corners[1]), (steps[0], steps[1]), size)
        return cls(image.variable, grid, tuple(map(float, heights)))

    @property
    def samples(self) -> int:
        """Samples of a pixel."""
        return math.prod(self.variable.sizes[name] for name in self._samples)

    @property
    def _samples(self) -> list[Hashable]:
        return [name for name in self.variable.dims if str(name).startswith(SAMPLE)]

    def plane_at(self, height: float) -> int:
        """Find the focal plane that is nearest to a height in millimetres."""
        return int(np.abs(np.array(self.planes) - height).argmin())

    def read(
        self, channels: Sequence[int], plane: int, grid: Grid, *, is_averaged: bool = True
    ) -> Values:
        """Read pixels at the distances of another grid.

        Each is the average of those that it covers: as many along each axis as its length holds,
        the nearest ones to its centre. All channels are read with one call.

        Parameters
        ----------
        channels : sequence of int
            Channels
        plane : int
            Focal plane
        grid : Grid
            What is wanted
        is_averaged : bool, optional
            False for numbers that stand for something: the nearest ones are chosen

        Raises
        ------
        UnsupportedError
            When too many pixels would have to be read
        """
        lines = [_cover(self.grid, grid, axis, is_averaged) for axis in range(2)]
        inside = np.logical_and.outer(*(line.weights.any(axis=1) for line in lines))
        samples = self.samples
        if not inside.any():
            shape = (len(channels), *grid.size, samples)
            return Values(np.zeros(shape, self.variable.dtype), inside)
        rows, columns = (line.read for line in lines)
        if len(rows) * len(columns) * len(channels) * samples > _MOST_READ:
            raise UnsupportedError(
                f"a picture of {grid.size[0]} x {grid.size[1]} pixels takes {len(rows)} x "
                f"{len(columns)} of the closest level, which are too many"
            )
        places: dict[Hashable, Any] = {
            ROWS: slice(rows.start, rows.stop),
            COLUMNS: slice(columns.start, columns.stop),
        }
        for name in self.variable.dims:
            if is_plane(name):
                places[name] = plane
            elif name not in (*places, *self._samples):
                places[name] = list(channels)
        # The variable itself would keep what it loads, and read single pixels if it were turned
        loaded = self.variable.isel(places).compute()
        before = (name for name in loaded.dims if name not in (*_AXES, *self._samples))
        pixels = loaded.transpose(*before, *_AXES, *self._samples).values
        pixels = pixels.reshape(len(channels), len(rows), len(columns), samples)
        return Values(_average(pixels, lines), inside)


def _line(image: xr.DataArray, axis: str) -> tuple[float, float | None]:
    """Find the first position along an axis, and the distance to the next if there is one."""
    positions, count = image[axis].variable, image.sizes[axis]
    if not count:
        raise ArgumentValueError(f"{image.name or 'the image'}: there is nothing along {axis}")
    first, last = (float(positions[index].values) for index in (0, -1))
    if count == 1:
        return first, None
    step = (last - first) / (count - 1)
    for start in range(0, count - 1, _TOGETHER):
        part = np.asarray(positions[start : start + _TOGETHER + 1].values, np.float64)
        if not np.abs(np.diff(part) - step).max() <= _UNEVEN * abs(step) or not step:
            raise ArgumentValueError(
                f"{image.name or 'the image'}: positions along {axis} are not at even distances"
            )
    return first, step


def coarsest(rasters: Sequence[Raster], grid: Grid) -> Raster:
    """Choose the raster that has the fewest pixels for a grid, and as many as it has."""
    enough = [
        raster
        for raster in rasters
        if all(
            own <= wanted * (1 + _SAME_FACTOR)
            for own, wanted in zip(raster.grid.step, grid.step, strict=True)
        )
    ]
    if enough:
        return max(enough, key=lambda raster: raster.grid.step)
    return min(rasters, key=lambda raster: raster.grid.step)


class _Line(NamedTuple):
    """What is read for the pixels along an axis."""

    read: range
    """Pixels that are read"""
    places: NDArray[np.int64]
    """Shape (pixels, n): which of those that are read each pixel is the average of"""
    weights: NDArray[np.bool_]
    """Shape (pixels, n): whether these are there"""


def _cover(own: Grid, wanted: Grid, axis: int, is_averaged: bool) -> _Line:
    """Find the pixels that those of another grid cover along an axis."""
    step, count = own.step[axis], own.size[axis]
    ratio = wanted.step[axis] / step
    number = max(math.ceil(ratio - _SAME_FACTOR), 1) if is_averaged else 1
    start = (wanted.corner[axis] - own.corner[axis]) / step
    centres = start + (np.arange(wanted.size[axis]) + 0.5) * ratio
    first = np.floor(centres - number / 2 + 0.5 - _ROUNDING).astype(np.int64)
    places = first[:, np.newaxis] + np.arange(number)
    # Beyond an edge fewer are averaged
    weights = (places >= 0) & (places < count)
    low, high = np.clip([places[0, 0], places[-1, -1] + 1], 0, count).tolist()
    return _Line(range(low, high), places - low, weights)


def _average(pixels: NDArray, lines: Sequence[_Line]) -> NDArray:
    """Make one pixel of several: averages, of the known ones where there are NaN."""
    if all(line.places.shape[1] == 1 for line in lines):
        for axis, line in enumerate(lines, 1):
            pixels = _take(pixels, line.places[:, 0], axis)
        return pixels
    dtype = _sum_type(pixels.dtype, math.prod(line.places.shape[1] for line in lines))
    known: NDArray = np.ones((1, 1, 1, 1), dtype)
    if pixels.dtype.kind == "f" and np.isnan(pixels).any():
        known = (~np.isnan(pixels)).astype(dtype)
        pixels = np.nan_to_num(pixels)
    for axis, line in enumerate(lines, 1):
        pixels = _add(pixels, line, axis, dtype)
        known = _add(known, line, axis, dtype)
    with np.errstate(invalid="ignore"):
        # Nothing is known where nothing is there
        return np.asarray(np.true_divide(pixels, known, dtype=np.result_type(dtype, np.float32)))


def _sum_type(dtype: np.dtype, count: int) -> np.dtype:
    """Choose the type of sums of so many values: integers add up fast, and without rounding."""
    if dtype.kind in "bu" and count * (2 ** (8 * dtype.itemsize) - 1) < 2**32:
        return np.dtype(np.uint32)
    return np.dtype(np.float32) if dtype == np.float32 else np.dtype(np.float64)


def _add(values: NDArray, line: _Line, axis: int, dtype: np.dtype) -> NDArray:
    """Add the values of the pixels that each pixel stands for along an axis."""
    shape = tuple(-1 if i == axis else 1 for i in range(values.ndim))
    total = None
    for places, weights in zip(line.places.T, line.weights.T, strict=True):
        part = values if values.shape[axis] == 1 else _take(values, places, axis)
        if not weights.all() or part.shape[axis] != len(places):
            part = part * weights.astype(dtype).reshape(shape)
        total = part.astype(dtype) if total is None else np.add(total, part, out=total)
    return np.asarray(total)


def _take(values: NDArray, places: NDArray[np.int64], axis: int) -> NDArray:
    """Take elements along an axis, those beyond the ends being the outermost ones."""
    last = values.shape[axis] - 1
    step = int(places[1] - places[0]) if len(places) > 1 else 1
    if step > 0 and places[0] >= 0 and places[-1] <= last and (np.diff(places) == step).all():
        # No copy is made
        every = slice(int(places[0]), int(places[-1]) + 1, step)
        return values[(slice(None),) * axis + (every,)]
    return values.take(places.clip(0, last), axis)
