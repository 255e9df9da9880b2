"""Normalization of indices of NumPy and xarray to ranges and arrays without negative numbers."""

from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from dicomslide.errors import ArgumentTypeError, PixelIndexError

__all__ = [
    "Axis",
    "Indices",
    "as_slice",
    "ascending",
    "normalize_index",
    "outer_index",
    "point_index",
    "shifted",
    "split_indices",
    "taken",
]

Indices = range | NDArray[np.int64]
Axis = tuple[Indices, bool]


def normalize_index(key: Any, shape: tuple[int, ...]) -> list[tuple[range, bool]]:
    """Convert a basic index to one range for each axis.

    Parameters
    ----------
    key : int, slice, Ellipsis or tuple of these
        Index as in ``array[key]``
    shape : tuple of int
        Shape of the array

    Returns
    -------
    list of tuple
        For each axis the selected indices and whether the axis is dropped from the result

    Raises
    ------
    IndexError
        When an integer is out of range or there are more indices than axes
    TypeError
        When an index is neither an integer, a slice nor an ellipsis
    """
    keys = list(key) if isinstance(key, tuple) else [key]
    ellipses = [place for place, item in enumerate(keys) if item is Ellipsis]
    if len(ellipses) > 1:
        raise PixelIndexError("an index can only have a single ellipsis ('...')")
    missing = len(shape) - (len(keys) - len(ellipses))
    if missing < 0:
        raise PixelIndexError(
            f"too many indices: there are {len(shape)} dimensions, but {len(keys)} were indexed"
        )
    place = ellipses[0] if ellipses else len(keys)
    keys[place : place + len(ellipses)] = [slice(None)] * missing
    return [
        _axis(item, size, axis) for axis, (item, size) in enumerate(zip(keys, shape, strict=True))
    ]


def outer_index(key: Sequence[Any], shape: tuple[int, ...]) -> list[Axis]:
    """Convert an outer index, whose items each select along their own axis.

    Parameters
    ----------
    key : sequence of int, slice or numpy.ndarray
        One item for each axis; arrays are one-dimensional integers
    shape : tuple of int
        Shape of the array

    Returns
    -------
    list of tuple
        For each axis the selected indices and whether the axis is dropped from the result

    Raises
    ------
    IndexError
        When an index is out of range
    TypeError
        When an index is neither an integer, a slice nor an array
    """
    return [
        (_checked(item, size, axis), False)
        if isinstance(item, np.ndarray)
        else _axis(item, size, axis)
        for axis, (item, size) in enumerate(zip(key, shape, strict=True))
    ]


def point_index(key: Sequence[NDArray], shape: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """Check arrays of indices, one for each axis, and broadcast them to one shape.

    Raises
    ------
    IndexError
        When an index is out of range
    """
    checked = [
        _checked(indices, size, axis)
        for axis, (indices, size) in enumerate(zip(key, shape, strict=True))
    ]
    return list(np.broadcast_arrays(*checked))


def _checked(indices: NDArray, size: int, axis: int) -> NDArray[np.int64]:
    outside = indices[(indices < -size) | (indices >= size)]
    if outside.size:
        raise PixelIndexError(
            f"index {outside[0]} is out of bounds for axis {axis} with size {size}"
        )
    return np.where(indices < 0, indices + size, indices).astype(np.int64, copy=False)


def _axis(key: Any, size: int, axis: int) -> tuple[range, bool]:
    if isinstance(key, slice):
        try:
            return range(size)[key], False
        except TypeError as error:
            raise ArgumentTypeError(f"index of axis {axis}: {error}") from None
    if type(key) is int:
        # Plain integers skip the check against a protocol, which takes longer than all the rest
        index = key
    elif isinstance(key, (bool, np.bool_)) or not isinstance(key, SupportsIndex):
        raise ArgumentTypeError(
            f"index of axis {axis} is {key!r}: only integers, slices and ellipsis are valid"
        )
    else:
        try:
            index = key.__index__()
        except TypeError as error:
            raise ArgumentTypeError(f"index of axis {axis}: {error}") from None
    if not -size <= index < size:
        raise PixelIndexError(f"index {index} is out of bounds for axis {axis} with size {size}")
    return range(index % size, index % size + 1), True


def ascending(indices: Indices) -> tuple[Indices, slice | NDArray[np.intp]]:
    """Return the unique indices in ascending order, and the place of each index among them."""
    if isinstance(indices, range):
        backwards = indices.step < 0
        return (indices[::-1] if backwards else indices), slice(None, None, -1 if backwards else 1)
    found, places = np.unique(indices, return_inverse=True)
    steps = np.diff(found)
    if len(found) and (steps == steps[:1]).all():
        step = int(steps[0]) if len(steps) else 1
        return range(int(found[0]), int(found[-1]) + 1, step), places
    return found, places


def taken(pixels: NDArray, places: Sequence[slice | NDArray], dropped: Sequence[bool]) -> NDArray:
    """Select places along each of the first axes, and drop some of these axes."""
    for axis, where in enumerate(places):
        if isinstance(where, np.ndarray):
            pixels = pixels.take(where, axis)
    pixels = pixels[tuple(where if isinstance(where, slice) else slice(None) for where in places)]
    return pixels[tuple(0 if drop else slice(None) for drop in dropped)]


def shifted(indices: Indices, by: int) -> Indices:
    """Subtract an offset from indices."""
    if isinstance(indices, range):
        return range(indices.start - by, indices.stop - by, indices.step)
    return indices - by


def split_indices(indices: Indices, start: int, stop: int) -> slice:
    """Find the slice of ascending indices whose values lie in [start, stop)."""
    if isinstance(indices, range):
        first = max(-(-(start - indices.start) // indices.step), 0)
        last = min(-(-(stop - indices.start) // indices.step), len(indices))
    else:
        first, last = np.searchsorted(indices, (start, stop)).tolist()
    return slice(first, max(first, last))


def as_slice(indices: range) -> slice:
    """Convert a range of indices to the slice that selects them."""
    if not indices:
        # Bounds of an empty range may be negative, which a slice would count from the end
        return slice(0, 0)
    return slice(indices.start, None if indices.stop < 0 else indices.stop, indices.step)
