"""Arrays of the tree at any distance between pixels."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

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
# A graph of more blocks takes longer to make than anybody waits for
_MOST_BLOCKS = 2**17
# Pixels of one level are in the same places up to this part of a pixel, over its whole extent
_SAME_PIXEL = 0.01


def at_spacing(data: xr.DataArray | xr.Dataset | xr.DataTree, spacing: float) -> Any:
    """Resample an array, a level or the best level of a tree: see `SlideAccessor.at_spacing`."""
    distance = number("spacing", spacing) / 1000
    if distance <= 0:
        raise ArgumentValueError(f"spacing: {spacing} micrometres are not positive")
    if isinstance(data, xr.DataTree):
        finest, *coarser = levels_of(data).values()
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
    """Make a dask array whose blocks are made of the chunks that they cover of another one."""
    import dask.array as da
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    lines = [
        list(_cut(size, scale, ends, nearest))
        for size, scale, ends in zip(sizes, scales, source.chunks[:2], strict=True)
    ]
    rest = source.numblocks[2:]
    if math.prod(map(len, lines)) * math.prod(rest) > _MOST_BLOCKS:
        raise ArgumentValueError(
            f"spacing: {sizes[0]:,} x {sizes[1]:,} pixels are more than can be computed: it is in "
            "micrometres"
        )
    name = f"resampled-{tokenize(source.name, scales, sizes, nearest)}"
    tasks = {
        (name, row, column, *others): (
            _means,
            [[(source.name, i, j, *others) for j in across.chunks] for i in down.chunks],
            down.areas,
            across.areas,
        )
        for row, down in enumerate(lines[0])
        for column, across in enumerate(lines[1])
        for others in np.ndindex(*rest)
    }
    chunks = (*(tuple(len(part.areas) for part in line) for line in lines), *source.chunks[2:])
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[source])
    return da.Array(graph, name, chunks, dtype=source.dtype)


class _Part(NamedTuple):
    """What a block covers of an axis of the source."""

    chunks: range
    """Chunks of the source"""
    areas: NDArray[np.float64]
    """Start and end of the area of each pixel, counted from the first pixel of these chunks"""


def _cut(size: int, scale: float, lengths: Sequence[int], nearest: bool) -> Iterator[_Part]:
    """Cut an axis into blocks: of about as many pixels of the source for each."""
    side = max(min(_SIDE, int(_SOURCE_SIDE / scale)), 1)
    starts = np.cumsum([0, *lengths])
    for start in range(0, size, side):
        areas = areas_of(range(start, min(start + side, size)), scale, int(starts[-1]), nearest)
        first = int(np.searchsorted(starts, areas.min(), "right")) - 1
        last = int(np.searchsorted(starts, areas.max(), "left"))
        yield _Part(range(first, max(last, first + 1)), areas - starts[first])


def _means(
    parts: list[list[NDArray]], down: NDArray[np.float64], across: NDArray[np.float64]
) -> NDArray:
    """Compute the pixels of a block from the chunks that it covers."""
    rest = parts[0][0].shape[2:]
    means = AreaMeans(down, across, math.prod(rest), parts[0][0].dtype)
    top = 0
    for row in parts:
        left = 0
        for chunk in row:
            # Floats are changed where they are added, and a chunk may be part of several blocks
            means.add(np.array(chunk.reshape(*chunk.shape[:2], -1)), top, left)
            left += chunk.shape[1]
        top += row[0].shape[0]
    return means.take(0).reshape(len(down), len(across), *rest)
