"""Arrays that are computed when they are used, also those of xarray that dask knows nothing of."""

from typing import TypeVar

import xarray as xr

__all__ = ["chunked"]

Array = TypeVar("Array", xr.DataArray, xr.Dataset)

# Rows and columns of a chunk, about
_SIDE = 2048


def chunked(data: Array, whole: str | None = None) -> Array:
    """Make dask arrays of pixels that xarray reads lazily.

    Functions that compute on arrays, and transposing them, read what is lazy without dask at once,
    or pixel by pixel. What is in memory, and what are dask arrays already, stays as it is.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        Pixels
    whole : str, optional
        Name of a dimension that is not cut

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        The same pixels. Chunks are whole frames
    """
    if isinstance(data, xr.Dataset):
        return data.assign({name: chunked(array) for name, array in data.data_vars.items()})
    if data.variable._in_memory or data.chunks is not None:
        return data
    frame = data.encoding.get("preferred_chunks", {})
    sizes = dict.fromkeys(data.dims, 1)
    for name in data.dims[-3:]:
        size = max(min(int(frame.get(name, data.sizes[name])), data.sizes[name]), 1)
        sizes[name] = max(_SIDE // size, 1) * size
    return data.chunk(sizes)
