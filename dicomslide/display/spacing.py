"""Arrays of the tree at any distance between pixels."""

import math
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dicomslide.arguments import number
from dicomslide.display.lazily import chunked
from dicomslide.display.orientation import step_along
from dicomslide.display.picture import levels_of
from dicomslide.errors import ArgumentValueError
from dicomslide.pixels.resampled import AreaMeans, areas_of
from dicomslide.tree.schema import COLUMNS, LABEL_MAP, ROWS, SLIDE_X, SLIDE_Y

__all__ = ["at_spacing"]

# Rows and columns of a chunk, and of what it is made from
_SIDE, _SOURCE_SIDE = 1024, 4096
# Pixels of one level are in the same places up to this part of a pixel, over its whole extent
_SAME_PIXEL = 0.01


def at_spacing(data: xr.DataArray | xr.Dataset | xr.DataTree, spacing: float) -> Any:
    """Resample an array, a level or the best level of a tree: see `SlideAccessor.at_spacing`."""
    distance = number("spacing", spacing) / 1000
    if distance <= 0:
        raise ArgumentValueError(f"spacing: {spacing} micrometres are not positive")
    if isinstance(data, xr.DataTree):
        finest, *coarser = levels_of(data)
        data = finest
        for level in coarser:
            if min(_scales(level, distance)) >= 1 or _is_level(level, distance):
                data = level
    if _is_level(data, distance):
        return data
    if isinstance(data, xr.DataArray):
        return _resampled(data, distance)
    arrays = {name: _resampled(array, distance) for name, array in data.data_vars.items()}
    attributes = data.attrs | {"pixel_spacing": [distance, distance]}
    attributes.pop("downsampling_factor", None)
    return xr.Dataset(arrays, attrs=attributes)


def _lines(data: xr.DataArray | xr.Dataset) -> tuple[str, str]:
    """Names of the dimensions of rows and columns, upright or not."""
    names = (SLIDE_Y, SLIDE_X) if SLIDE_Y in data.dims else (ROWS, COLUMNS)
    if any(name not in data.coords or data.sizes.get(name, 0) < 2 for name in names):
        raise ArgumentValueError(
            "spacing: an array needs coordinates in millimetres along two pixels at least of its "
            "dimensions y and x"
        )
    return names


def _scales(data: xr.DataArray | xr.Dataset, distance: float) -> tuple[float, float]:
    """Rows and columns of an array for a distance in millimetres."""
    down, across = (round(distance / abs(step_along(data[name])), 9) for name in _lines(data))
    return down, across


def _is_level(data: xr.DataArray | xr.Dataset, distance: float) -> bool:
    drifts = [
        abs(scale - 1) * data.sizes[name]
        for scale, name in zip(_scales(data, distance), _lines(data), strict=True)
    ]
    return max(drifts) < _SAME_PIXEL


def _resampled(array: xr.DataArray, distance: float) -> xr.DataArray:
    lines = _lines(array)
    if not set(lines) <= set(array.dims):
        return array
    scales = _scales(array, distance)
    sizes = tuple(
        max(math.ceil(round(array.sizes[name] / scale, 6)), 1)
        for name, scale in zip(lines, scales, strict=True)
    )
    others = [name for name in array.dims if name not in lines]
    source = chunked(array).transpose(*lines, *others)
    if source.chunks is None:
        source = source.chunk()
    # Numbers of segments have no mean
    is_nearest = array.dtype.kind == "b" or LABEL_MAP.find(str(array.name)) is not None
    made = _blocks(source.data, scales, sizes, is_nearest)
    coordinates: dict[Any, Any] = {
        name: line for name, line in array.coords.items() if not {*line.dims} & {*lines}
    }
    for name, line in array.coords.items():
        if line.dims in ((lines[0],), (lines[1],)) and line.dtype.kind == "f":
            axis = lines.index(str(line.dims[0]))
            own, scale = step_along(line), scales[axis]
            first = float(line[0]) + own * (scale / 2 - 0.5)
            values = first + own * scale * np.arange(sizes[axis])
            coordinates[name] = (line.dims, values, line.attrs)
    result = xr.DataArray(made, coordinates, source.dims, array.name, array.attrs)
    result.encoding = {
        key: value
        for key, value in array.encoding.items()
        if key in ("bits_stored", "photometric_interpretation")
    }
    return result.transpose(*array.dims)


def _blocks(source: Any, scales: tuple[float, float], sizes: tuple[int, ...], nearest: bool) -> Any:
    """Make a dask array of blocks that are made of parts of another one."""
    import dask.array as da

    sides = [max(min(_SIDE, int(_SOURCE_SIDE / scale)), 1) for scale in scales]
    rows = []
    for top in range(0, sizes[0], sides[0]):
        row = []
        for left in range(0, sizes[1], sides[1]):
            areas, parts = [], []
            for start, side, size, scale, extent in zip(
                (top, left), sides, sizes, scales, source.shape, strict=False
            ):
                found = areas_of(range(start, min(start + side, size)), scale, extent, nearest)
                first, last = int(found.min()), math.ceil(found.max())
                areas.append(found - first)
                parts.append(slice(first, last))
            block = source[tuple(parts)].rechunk({0: -1, 1: -1})
            row.append(
                block.map_blocks(
                    partial(_means, down=areas[0], across=areas[1]),
                    chunks=((len(areas[0]),), (len(areas[1]),), *block.chunks[2:]),
                    dtype=source.dtype,
                )
            )
        rows.append(row)
    return da.concatenate([da.concatenate(row, axis=1) for row in rows], axis=0)


def _means(pixels: NDArray, down: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray:
    rows, columns, *rest = pixels.shape
    flat = np.array(pixels.reshape(rows, columns, -1))
    means = AreaMeans(down, across, flat.shape[2], pixels.dtype)
    means.add(flat, 0, 0)
    return means.take(0).reshape(len(down), len(across), *rest)
