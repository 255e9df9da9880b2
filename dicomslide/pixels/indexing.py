"""NumPy's basic indices as ranges."""

from typing import Any, SupportsIndex

import numpy as np

from dicomslide.errors import ArgumentTypeError, PixelIndexError

__all__ = ["Axis", "as_slice", "normalize_index", "split_range"]

Axis = tuple[range, bool]


def normalize_index(key: Any, shape: tuple[int, ...]) -> list[Axis]:
    """Turn a basic index into one range for each axis.

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


def _axis(key: Any, size: int, axis: int) -> Axis:
    if isinstance(key, slice):
        try:
            return range(size)[key], False
        except TypeError as error:
            raise ArgumentTypeError(f"index of axis {axis}: {error}") from None
    if type(key) is int:
        # Asking for a protocol takes longer than all of the rest
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


def split_range(indices: range, start: int, stop: int) -> slice:
    """Find which places of an ascending range hold values of [start, stop)."""
    first = max(-(-(start - indices.start) // indices.step), 0)
    last = min(-(-(stop - indices.start) // indices.step), len(indices))
    return slice(first, max(first, last))


def as_slice(indices: range) -> slice:
    """The slice that selects the indices of a range."""
    if not indices:
        # A negative bound would count from the end
        return slice(0, 0)
    return slice(indices.start, None if indices.stop < 0 else indices.stop, indices.step)
