"""Checks of the arguments of public functions."""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomslide.errors import ArgumentTypeError, ArgumentValueError, SelectionError

__all__ = [
    "integer",
    "integer_pair",
    "integer_pairs",
    "number",
    "number_pair",
    "region_size",
    "require_type",
    "selection",
]


def require_type(name: str, value: Any, *types: type) -> None:
    """Check the type of an argument.

    Raises
    ------
    ArgumentTypeError
        When the argument has none of the types
    """
    if not isinstance(value, types):
        expected = " or ".join(t.__name__ for t in types)
        raise ArgumentTypeError(f"{name}: expected {expected}, got {type(value).__name__}")


def integer(name: str, value: Any) -> int:
    """Convert an argument that must be an integer."""
    # Nearly all are, and looking up other types takes longer
    if type(value) is int:
        return value
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise ArgumentTypeError(f"{name}: expected an integer, got {type(value).__name__}")
    return int(value)


def integer_pair(name: str, value: Any) -> tuple[int, int]:
    """Convert an argument that must be two integers."""
    first, second = _pair(name, value)
    return integer(name, first), integer(name, second)


def region_size(size: Any) -> tuple[int, int]:
    """Convert an argument that must be the rows and columns of a region."""
    rows, columns = integer_pair("size", size)
    if rows < 0 or columns < 0:
        raise ArgumentValueError(f"size: {rows} x {columns} pixels is negative")
    return rows, columns


def integer_pairs(name: str, values: Any) -> NDArray[np.int64]:
    """Convert an argument that must be pairs of integers, to an array of shape (n, 2)."""
    try:
        pairs = np.asarray(values)
    except ValueError as error:
        raise ArgumentValueError(f"{name}: expected pairs of integers: {error}") from error
    if pairs.size == 0 and pairs.shape in ((0,), (0, 2)):
        return np.empty((0, 2), np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ArgumentValueError(f"{name}: expected shape (n, 2), got {pairs.shape}")
    if pairs.dtype.kind not in "iu":
        raise ArgumentTypeError(f"{name}: expected integers, got {pairs.dtype}")
    return pairs.astype(np.int64)


def number_pair(name: str, value: Any) -> tuple[float, float]:
    """Convert an argument that must be two finite numbers."""
    first, second = _pair(name, value)
    return number(name, first), number(name, second)


def number(name: str, value: Any) -> float:
    """Convert an argument that must be a finite number."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise ArgumentTypeError(f"{name}: expected a number, got {type(value).__name__}")
    if not np.isfinite(float(value)):
        raise ArgumentValueError(f"{name}: {value} is not finite")
    return float(value)


def selection(name: str, value: Any, count: int) -> int:
    """Convert the zero-based index of one of `count` levels, channels or focal planes.

    Raises
    ------
    ArgumentTypeError
        When the index is not an integer
    SelectionError
        When the index is not one of 0 to ``count - 1``
    """
    index = integer(name, value)
    if not 0 <= index < count:
        raise SelectionError(f"{name}: there is no {index}, only 0 to {count - 1}")
    return index


def _pair(name: str, value: Any) -> Any:
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, np.ndarray)):
        raise ArgumentTypeError(f"{name}: expected two values, got {type(value).__name__}")
    if len(value) != 2:
        raise ArgumentValueError(f"{name}: expected two values, got {len(value)}")
    return value
