"""Arrays taken onto the pixels of another one, where they lie on the slide."""

import numpy as np
import xarray as xr

from dicomslide.display.orientation import on_slide, step_along
from dicomslide.errors import ArgumentValueError
from dicomslide.tree.schema import COLUMNS, ROWS, SLIDE_X, SLIDE_Y

__all__ = ["sample_onto"]


def sample_onto(source: xr.DataArray, target: xr.DataArray) -> xr.DataArray:
    """Take the nearest pixels of an array for those of another one.

    Both are compared on the slide, whichever way they are turned, or else along the axes of the
    image that both state.

    Parameters
    ----------
    source : xarray.DataArray
        Pixels to take
    target : xarray.DataArray
        Pixels to take them for

    Returns
    -------
    xarray.DataArray
        Pixels of `source` with the rows and columns of `target`, in their order before other
        dimensions; NaN, or False, where there are none. Only pixels that are taken are read

    Raises
    ------
    ArgumentValueError
        When the two share no coordinates
    """
    names = (SLIDE_X, SLIDE_Y)
    if not (on_slide(source) and on_slide(target)):
        names = (ROWS, COLUMNS)
        if not all(n in a.coords and a[n].ndim == 1 for n in names for a in (source, target)):
            raise ArgumentValueError(
                "overlay: an array needs the coordinates slide_x and slide_y, or y and x, in "
                "millimetres along its rows and columns"
            )
    picks, places, dims = {}, {}, {}
    for name, opposite in zip(names, names[::-1], strict=True):
        own, other = source[name], target[name]
        step = step_along(own, source[opposite])
        index = np.rint(((other.values - own.values[0]) / step).round(6)).astype(int)
        found = (index >= 0) & (index < own.size)
        picks[own.dims[0]], places[other.dims[0]] = index[found], np.nonzero(found)[0]
        dims[own.dims[0]] = other.dims[0]
    taken = source.isel(picks).transpose(*picks, ...)
    is_mask = source.dtype.kind == "b"
    order = [name for name in target.dims if name in places]
    values = (
        taken.values if [dims[name] for name in picks] == order else taken.values.swapaxes(0, 1)
    )
    filled = np.full(
        (*(target.sizes[name] for name in order), *values.shape[2:]),
        False if is_mask else np.nan,
        bool if is_mask else np.result_type(values.dtype, np.float32),
    )
    filled[np.ix_(*(places[name] for name in order))] = values
    return xr.DataArray(
        filled,
        {name: target[name] for name in target.coords if set(target[name].dims) <= set(order)},
        (*order, *taken.dims[2:]),
        source.name,
        source.attrs,
    )
