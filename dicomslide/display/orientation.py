"""Arrays of the tree on the axes of the slide: turned upright, and cut to a rectangle."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from dicomslide.arguments import number_pair
from dicomslide.display.lazily import chunked
from dicomslide.errors import ArgumentValueError, UnsupportedError
from dicomslide.tree.schema import COLUMNS, ROWS, SAMPLE, SLIDE_X, SLIDE_Y

__all__ = ["clip", "in_order", "map_nodes", "on_slide", "step_along", "upright"]

Data = TypeVar("Data", xr.DataArray, xr.Dataset, xr.DataTree)
Node = TypeVar("Node", xr.DataArray, xr.Dataset)

# Neighbours may be this much closer or farther than others, as a part of their distance
_UNEVEN = 1e-3
# Millimetres of a pixel of which nothing is known
_SMALL = 1e-3


def upright(data: Data) -> Data:
    """Turn arrays the way that the glass slide stands.

    Rows run along -Y of the slide and columns along +X, so that plots have X to the right and Y
    upwards. Turning by a multiple of 90 degrees, and mirroring, move pixels and change none.

    Parameters
    ----------
    data : xarray.DataArray, xarray.Dataset or xarray.DataTree
        Array, node or tree. Nodes of a tree that are not placed on the slide, which those of
        associated images are not, stay as they are

    Returns
    -------
    xarray.DataArray, xarray.Dataset or xarray.DataTree
        The same with the dimensions ``slide_y`` and ``slide_x`` in the place of ``y`` and ``x``,
        which stay coordinates. Nothing is read

    Raises
    ------
    UnsupportedError
        When rows and columns are not parallel to the axes of the slide
    """
    return map_nodes(data, _upright)


def clip(
    data: Data, x: tuple[float, float] | None = None, y: tuple[float, float] | None = None
) -> Data:
    """Cut arrays to a rectangle of the slide.

    Parameters
    ----------
    data : xarray.DataArray, xarray.Dataset or xarray.DataTree
        Array, node or tree, upright or not. Nodes of a tree that are not placed on the slide stay
        as they are
    x, y : tuple of float, optional
        Bounds along X and Y of the slide in millimetres, in either order; None does not cut

    Returns
    -------
    xarray.DataArray, xarray.Dataset or xarray.DataTree
        The pixels whose centres lie in the rectangle, its largest X and Y left out, as in
        `dicomslide.Slide.get_slide_region`. Nothing is read

    Raises
    ------
    TypeError, ValueError
        When bounds are no two numbers
    UnsupportedError
        When rows and columns are not parallel to the axes of the slide
    """
    bounds = {
        name: sorted(number_pair(name[-1], pair))
        for name, pair in ((SLIDE_X, x), (SLIDE_Y, y))
        if pair is not None
    }

    def cut(node: Node) -> Node:
        require_parallel(node)
        for name, (low, high) in bounds.items():
            node = node.isel({node[name].dims[0]: _inside(node[name], low, high)})
        return node

    return map_nodes(data, cut)


def map_nodes(data: Data, function: Callable[[Any], Any]) -> Data:
    """Apply a function to an array or node, or to those nodes of a tree that are on the slide.

    Raises
    ------
    UnsupportedError
        When no node of a tree is on the slide
    """
    if not isinstance(data, xr.DataTree):
        return function(data)
    nodes = {
        node.path: node.to_dataset(inherit=False)
        for node in data.subtree
        if node.has_data or node.attrs
    }
    if not any(on_slide(node) for node in nodes.values()):
        require_parallel(next(iter(nodes.values()), xr.Dataset()))
    root = data.path.rstrip("/")
    return xr.DataTree.from_dict(
        {
            path.removeprefix(root) or "/": function(node) if on_slide(node) else node
            for path, node in nodes.items()
        },
        name=data.name,
    )


def on_slide(data: xr.DataArray | xr.Dataset) -> bool:
    """Whether pixels have coordinates of the slide: X and Y, each along one dimension."""
    return all(name in data.coords and data[name].ndim == 1 for name in (SLIDE_X, SLIDE_Y))


def require_parallel(data: xr.DataArray | xr.Dataset) -> None:
    """Check that pixels have coordinates of the slide."""
    if not on_slide(data):
        raise UnsupportedError(
            "there are no coordinates slide_x and slide_y along two dimensions: the image is not "
            "parallel to the axes of the slide, or this is no level of a slide. "
            "Slide.get_slide_region reads regions of images that are oblique"
        )


def step_along(coordinate: xr.DataArray, other: xr.DataArray | None = None) -> float:
    """Get the distance from a pixel to the next one in millimetres.

    Parameters
    ----------
    coordinate : xarray.DataArray
        Positions of pixels along an axis
    other : xarray.DataArray, optional
        Those along the other axis, whose distance is taken where there is one pixel only

    Raises
    ------
    ArgumentValueError
        When pixels are not at even distances
    """
    if coordinate.size <= 1:
        # Nothing is known of a single pixel but that it is a small one
        return _SMALL if other is None else abs(step_along(other))
    values = coordinate.values.astype(np.float64)
    step = float((values[-1] - values[0]) / (values.size - 1))
    if not step or not np.abs(np.diff(values) - step).max() <= _UNEVEN * abs(step):
        raise ArgumentValueError(
            f"{coordinate.name}: pixels are not at even distances, as those of an image are"
        )
    return step


def _upright(node: Node) -> Node:
    require_parallel(node)
    across, down = (str(node[name].dims[0]) for name in (SLIDE_X, SLIDE_Y))
    runs = {across: node[SLIDE_X].values, down: -node[SLIDE_Y].values}
    flipped = [name for name, values in runs.items() if values.size and values[0] > values[-1]]
    node = node.isel(dict.fromkeys(flipped, slice(None, None, -1)))
    if across == ROWS:
        # What is lazy without dask would be read pixel by pixel once its axes are swapped
        node = chunked(node)
    if across != SLIDE_X:
        node = node.swap_dims({across: SLIDE_X, down: SLIDE_Y})
    if isinstance(node, xr.Dataset):
        return node.assign({name: in_order(array) for name, array in node.data_vars.items()})
    return in_order(node)


def in_order(array: xr.DataArray) -> xr.DataArray:
    """Put rows, columns and samples last, in this order, where the array has them."""
    axes = (SLIDE_Y, SLIDE_X) if SLIDE_X in array.dims else (ROWS, COLUMNS)
    if not {*axes} <= {*array.dims}:
        return array
    others = [name for name in array.dims if name not in axes]
    samples = [name for name in others if str(name).startswith(SAMPLE)]
    before = [name for name in others if name not in samples]
    order = (*before, *axes, *samples)
    return array if order == array.dims else array.transpose(*order)


def _inside(coordinate: xr.DataArray, low: float, high: float) -> slice:
    """Find the pixels whose centres lie in [low, high)."""
    values = coordinate.values
    step = np.abs(np.diff(values)).min(initial=np.inf) if values.size > 1 else _SMALL
    # Sums and products leave noise in coordinates, which must not decide for an edge
    places = [((values - bound) / step).round(6) for bound in (low, high)]
    (found,) = np.nonzero((places[0] >= 0) & (places[1] < 0))
    return slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0)
