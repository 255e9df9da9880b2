"""Coordinates of the tree: of pixels, focal planes, samples and channels."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import xarray as xr
from xarray.coding.strings import create_vlen_dtype
from xarray.indexes import RangeIndex

from dicomslide.metadata.channel_kind import Channel, Coordinate
from dicomslide.metadata.geometry import ImageGeometry
from dicomslide.pyramid import LevelGrid
from dicomslide.tree.schema import SERIES, Variable, is_plane

__all__ = ["channel_coordinates", "other_coordinates", "pixel_coordinates", "texts"]

# Longer coordinates are computed on access, as an array of their values would take over 8 MiB
_MOST_VALUES = 2**20
_COLORS = ("R", "G", "B")


class HeldVariable(xr.Variable):
    """Variable that stays in memory unless it is chunked to given sizes.

    A plain variable becomes a dask array by `chunk`, and by the functions of xarray that open files
    with ``chunks``: coordinates then have other chunks than the pixels, and texts fail.
    """

    __slots__ = ()

    @property
    def _in_memory(self) -> bool:
        return self.chunks is None

    def chunk(self, chunks: Any = None, *args: Any, **options: Any) -> Self:
        """Make a dask array if sizes are given for the dimension; otherwise return a copy."""
        sizes = chunks.values() if isinstance(chunks, Mapping) else [chunks]
        if any(isinstance(size, int | tuple) for size in sizes):
            return super().chunk(chunks, *args, **options)
        return self.copy(deep=False)

    def to_base_variable(self) -> Self:
        """Return a copy of this type, which data sets would otherwise replace by `Variable`."""
        return self.copy(deep=False)


def pixel_coordinates(zero: ImageGeometry, grid: LevelGrid) -> xr.Dataset:
    """Make a data set of the coordinates of the pixels of a grid, in millimetres.

    ``slide_x`` and ``slide_y`` have no index, as much of xarray cannot handle two indexes along one
    dimension.

    Parameters
    ----------
    zero : ImageGeometry
        Geometry from whose top left pixel ``y`` and ``x`` are counted
    grid : LevelGrid
        Grid of pixels, parallel to those of `zero`
    """
    geometry = grid.geometry
    start = zero.to_pixels(geometry.at_height(zero.origin[2]).origin) * zero.spacing
    lines = [
        ("y", "y", start[0], geometry.spacing[0], "distance along the columns"),
        ("x", "x", start[1], geometry.spacing[1], "distance along the rows"),
        *_slide_lines(geometry),
    ]
    sizes = dict(zip("yx", grid.size, strict=True))
    dataset = xr.Dataset()
    for name, dimension, first, step, long_name in lines:
        line = _line(name, dimension, float(first), float(step), sizes[dimension])
        dataset = dataset.assign_coords(line)
        dataset[name].attrs = {"units": "mm", "long_name": long_name}
    return dataset


def _slide_lines(geometry: ImageGeometry) -> Iterator[tuple[str, str, float, float, str]]:
    """Yield the coordinates X and Y of an image whose axes are parallel to those of the slide."""
    if not geometry.is_axis_aligned:
        return
    directions = geometry.column_direction, geometry.row_direction
    for axis, letter in enumerate("xy"):
        along_x = geometry.rows_run_along_x == (axis == 0)
        step = directions[along_x][axis] * geometry.spacing[along_x]
        long_name = f"{letter.upper()} in the slide coordinate system"
        yield f"slide_{letter}", "yx"[along_x], geometry.origin[axis], step, long_name


def _line(
    name: str, dimension: str, first: float, step: float, count: int
) -> Mapping[str, xr.Variable] | xr.Coordinates:
    """Make a coordinate of evenly spaced values, which are computed on access if they are many."""
    if count <= _MOST_VALUES:
        return {name: HeldVariable(dimension, first + step * np.arange(count))}
    index = RangeIndex.linspace(
        first, first + step * count, num=count, endpoint=False, dim=dimension, coord_name=name
    )
    if name == dimension:
        return xr.Coordinates.from_xindex(index)
    return {name: index.create_variables()[name]}


def other_coordinates(
    sizes: Mapping[Hashable, int], offsets: Sequence[float] = ()
) -> dict[str, HeldVariable]:
    """Make the coordinates of the focal planes and samples of a variable.

    Parameters
    ----------
    sizes : mapping
        Lengths of the dimensions of the variable by name
    offsets : sequence of float, optional
        Z offsets of the focal planes in micrometres
    """
    found = {}
    for name, length in sizes.items():
        if is_plane(name):
            heights = [offset / 1000 for offset in offsets]
            about = {"units": "mm", "long_name": "Z offset in the slide coordinate system"}
            found[str(name)] = HeldVariable(name, heights, about)
        elif str(name).startswith("sample") and length == len(_COLORS):
            found[str(name)] = texts(str(name), _COLORS)
    return found


def channel_coordinates(
    variable: Variable, channels: Sequence[Channel], series: Sequence[str]
) -> dict[str, HeldVariable]:
    """Make the coordinates along the channels of a variable.

    Parameters
    ----------
    variable : Variable
        Variable of the channels
    channels : sequence of Channel
        Channels in the order of the variable
    series : sequence of str
        Pyramid UID of each channel, or Series Instance UID where there is none
    """
    kind, dimension = variable.kind.channels, variable.dimension
    if kind is None:
        return {}
    found = {
        coordinate.name: _along(dimension, coordinate, channels) for coordinate in kind.coordinates
    }
    if kind.series:
        found[kind.series] = texts(dimension, series, long_name=SERIES)
    return {variable.of(name): values for name, values in found.items()}


def _along(dimension: str, coordinate: Coordinate, channels: Sequence[Channel]) -> HeldVariable:
    stated = {"units": coordinate.unit, "long_name": coordinate.long_name}
    attributes = {name: text for name, text in stated.items() if text}
    values = [coordinate.value(channel) for channel in channels]
    if coordinate.type is str:
        return texts(dimension, values, **attributes)
    return HeldVariable(dimension, np.array(values, coordinate.type), attributes)


def texts(dimension: str, values: Sequence[str], **attributes: str) -> HeldVariable:
    """Make a variable of texts along a dimension, of the type that xarray reads from files.

    Texts of a fixed length would be written to Zarr with a warning, and cannot be appended to
    shorter ones.
    """
    dtype: np.dtype = create_vlen_dtype(str)  # type: ignore[no-untyped-call]
    return HeldVariable(dimension, np.array(list(values), dtype), attributes)
