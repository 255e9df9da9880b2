"""Placing of arrays on a slide: from the coordinates of their pixels to what an image states."""

from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dicomslide.arguments import require_type, selection
from dicomslide.display.lazily import chunked
from dicomslide.display.orientation import step_along
from dicomslide.enum import ChannelTypes
from dicomslide.errors import ArgumentTypeError, ArgumentValueError
from dicomslide.image import TiledImage
from dicomslide.metadata.geometry import ImageGeometry
from dicomslide.placement.grids import Place
from dicomslide.slide import Slide
from dicomslide.tree.schema import COLUMNS, ROWS, SLIDE_X, SLIDE_Y, is_plane

__all__ = ["PlacedPixels", "layers_of", "place_array", "place_on_level"]

# Rows and columns of the chunks of arrays in memory
_SIDE = 2048


@dataclass(frozen=True)
class PlacedPixels:
    """Pixels with their place on a slide.

    Parameters
    ----------
    pixels : dask.array.Array
        Array of shape (rows, columns), or (layers, rows, columns)
    layers : numpy.ndarray or None
        Values of the coordinate along the layers; None where there is none
    stated : ImageGeometry
        Position that an image of these pixels has to state
    place : Place
        Where the slide then places it
    sources : tuple of TiledImage
        Images of the slide that show the same pixels, or else its base level
    """

    pixels: da.Array
    layers: NDArray | None
    stated: ImageGeometry
    place: Place
    sources: tuple[TiledImage, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Number of rows and columns."""
        rows, columns = self.pixels.shape[-2:]
        return int(rows), int(columns)

    @property
    def is_layered(self) -> bool:
        """Whether there is an axis of layers."""
        return self.pixels.ndim == 3

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of the frames of the source, which those of an image of it may have."""
        dataset = self.sources[0].metadata
        return int(dataset.Rows), int(dataset.Columns)


def place_array(array: Any, slide: Slide, level: int | None, dimension: str) -> PlacedPixels:
    """Place an array on a slide.

    Rows and columns of the result run as those of the levels, if they are parallel to them: arrays
    that were turned upright are turned back.

    Parameters
    ----------
    array : xarray.DataArray, numpy.ndarray or dask.array.Array
        Pixels, with coordinates ``y`` and ``x``, or ``slide_y`` and ``slide_x``, in millimetres; or
        without coordinates all pixels of a level
    slide : Slide
        Slide that the coordinates belong to
    level : int or None
        Level that an array without coordinates lies on
    dimension : str
        Name of the dimension of layers

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        When the array has no pixels, its place is not known, or there are more dimensions
    """
    require_type("slide", slide, Slide)
    data = _labelled(array, slide, level, dimension)
    down, across = _axes(data)
    data = chunked(_with_layers_first(data, dimension, down, across))
    if 0 in data.shape:
        raise ArgumentValueError(f"array: shape {data.shape} has no pixels")
    base = slide._arrangement.levels[0].geometry
    # Turned so that rows and columns run along those of the levels
    geometry = _geometry_of(data, base)
    if abs(geometry.row_direction @ base.row_direction) < abs(
        geometry.column_direction @ base.row_direction
    ):
        data = data.transpose(*data.dims[:-2], data.dims[-1], data.dims[-2])
        geometry = _geometry_of(data, base)
    flips = {
        name: slice(None, None, -1)
        for name, own, other in (
            (data.dims[-2], geometry.column_direction, base.column_direction),
            (data.dims[-1], geometry.row_direction, base.row_direction),
        )
        if own @ other < 0
    }
    data = data.isel(flips)
    geometry = _at_plane(_geometry_of(data, base), data, slide)
    layers = data[data.dims[0]].values if data.ndim == 3 and data.dims[0] in data.coords else None
    return _placed(layers_of(data), layers, geometry, slide)


def place_on_level(pixels: da.Array, like: PlacedPixels, level: int, slide: Slide) -> PlacedPixels:
    """Place all pixels of a level, whose layers are those of other pixels."""
    geometry = slide._arrangement.levels[level].geometry
    return _placed(pixels, like.layers, geometry.at_height(like.place.geometry.origin[2]), slide)


def layers_of(data: xr.DataArray) -> da.Array:
    """Return an array as a dask array, in chunks that suit what is in memory."""
    if data.chunks is not None:
        return data.data
    values = data.values
    chunks = (1,) * (values.ndim - 2) + (_SIDE, _SIDE)
    return da.from_array(values, chunks=chunks, name=False)


def _labelled(array: Any, slide: Slide, level: int | None, dimension: str) -> xr.DataArray:
    """Make an array with coordinates, those of a level where it has none."""
    if not isinstance(array, xr.DataArray):
        if not isinstance(array, np.ndarray | da.Array):
            raise ArgumentTypeError(
                f"array: expected a DataArray, NumPy or dask array, got {type(array).__name__}"
            )
        if array.ndim not in (2, 3):
            raise ArgumentValueError(
                f"array: shape {array.shape}, expected rows and columns, after layers if any"
            )
        array = xr.DataArray(array, dims=(*[dimension] * (array.ndim - 2), ROWS, COLUMNS))
    if _names(array) is not None:
        if level is not None:
            raise ArgumentValueError("level: the array has coordinates, which tell where it lies")
        return array
    if level is None:
        raise ArgumentValueError(
            "array: has no coordinates of the slide, neither y and x nor slide_y and slide_x; say "
            "which level it lies on"
        )
    grid = slide._arrangement.levels[selection("level", level, slide.num_levels)]
    if not {ROWS, COLUMNS} <= {*array.dims}:
        raise ArgumentValueError(f"array: has no dimensions y and x, only {array.dims}")
    size = array.sizes[ROWS], array.sizes[COLUMNS]
    if size != grid.size:
        raise ArgumentValueError(
            f"array: has {size[0]} x {size[1]} pixels, level {level} has "
            f"{grid.size[0]} x {grid.size[1]}"
        )
    zero = slide._arrangement.levels[0].geometry
    start = zero.to_pixels(grid.geometry.at_height(zero.origin[2]).origin) * zero.spacing
    lines = {
        name: first + step * np.arange(count)
        for name, first, step, count in zip(
            (ROWS, COLUMNS), start, grid.geometry.spacing, size, strict=True
        )
    }
    return array.assign_coords(lines)


def _names(data: xr.DataArray) -> tuple[str, str] | None:
    """Find the coordinates that tell where pixels lie: those of the slide, or of the levels."""
    for pair in ((SLIDE_Y, SLIDE_X), (ROWS, COLUMNS)):
        if all(name in data.coords and data[name].ndim == 1 for name in pair):
            return pair
    return None


def _axes(data: xr.DataArray) -> tuple[str, str]:
    """Find the dimensions of the two coordinates.

    Raises
    ------
    ArgumentValueError
        When both are along one dimension
    """
    names = _names(data)
    assert names is not None
    first, second = (str(data[name].dims[0]) for name in names)
    if first == second:
        raise ArgumentValueError(f"array: {names[0]} and {names[1]} are both along {first}")
    return first, second


def _with_layers_first(data: xr.DataArray, dimension: str, down: str, across: str) -> xr.DataArray:
    """Order the dimensions as layers, rows and columns, and drop those of length 1."""
    others = [name for name in data.dims if name not in (down, across)]
    kept = [name for name in others if str(name).split("_")[0] == dimension]
    kept = kept or [name for name in others if data.sizes[name] > 1]
    dropped = [name for name in others if name not in kept]
    left = [str(name) for name in dropped if data.sizes[name] > 1] + list(map(str, kept[1:]))
    if left or (kept and is_plane(kept[0])):
        raise ArgumentValueError(
            f"array: dimensions {data.dims}; expected rows, columns and {dimension!r} at most; "
            f"select one of {', '.join(left or map(str, kept))}"
        )
    data = data.isel(dict.fromkeys(dropped, 0))
    return data.transpose(*kept, down, across)


def _geometry_of(data: xr.DataArray, base: ImageGeometry) -> ImageGeometry:
    """Read where the pixels lie, whose rows and columns are the last dimensions."""
    names = _names(data)
    assert names is not None
    lines = [data[name] for name in names]
    steps = [step_along(line, other) for line, other in zip(lines, lines[::-1], strict=True)]
    first = [float(line.values[0]) for line in lines]
    if names == (SLIDE_Y, SLIDE_X):
        directions = [np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])]
        origin = (first[1], first[0], base.origin[2])
    else:
        directions = [base.column_direction, base.row_direction]
        x, y, z = base.to_slide(np.divide(first, base.spacing)).tolist()
        origin = (x, y, z)
    found = {
        line.dims[0]: (np.sign(step) * direction, abs(step))
        for line, step, direction in zip(lines, steps, directions, strict=True)
    }
    (down, between_rows), (across, between_columns) = (found[name] for name in data.dims[-2:])
    a, b, c, d, e, f = (float(cosine) + 0.0 for cosine in (*across, *down))
    return ImageGeometry(origin, (a, b, c, d, e, f), (between_rows, between_columns))


def _at_plane(geometry: ImageGeometry, data: xr.DataArray, slide: Slide) -> ImageGeometry:
    """Return a geometry in the focal plane of the array, or else in that of the slide."""
    for name, coordinate in data.coords.items():
        if is_plane(name) and coordinate.size == 1:
            return geometry.at_height(float(coordinate.values.reshape(())))
    offsets = slide._arrangement.offsets
    return geometry.at_height(offsets[len(offsets) // 2] / 1000)


def _placed(
    pixels: da.Array, layers: NDArray | None, geometry: ImageGeometry, slide: Slide
) -> PlacedPixels:
    size = int(pixels.shape[-2]), int(pixels.shape[-1])
    grids = slide._arrangement.grids
    stated = grids.state(geometry, size)
    place = grids.find(stated, size)
    sources = _sources(slide, 0 if place.level is None else place.level)
    return PlacedPixels(pixels, layers, stated, place, sources)


def _sources(slide: Slide, level: int) -> tuple[TiledImage, ...]:
    """Find the images of a level that results may be derived from, the usual one first."""
    arrangement = slide._arrangement
    found = [arrangement.template[level]]
    for channel in arrangement.channels:
        if channel.type is ChannelTypes.OPTICAL_PATH:
            found += [plane.image for (index, _), plane in channel.planes.items() if index == level]
    return tuple(dict.fromkeys(found))
