"""Measurements of annotations (PS3.3 C.37.1.2)."""

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dicomslide.annotations.numbers import StoredNumbers
from dicomslide.errors import InvalidImageError
from dicomslide.metadata.codes import CodeItem

__all__ = ["HeldValues", "Measurement", "StoredValues", "ValueSource"]


class ValueSource(Protocol):
    """Source of a value for each annotation of a group. It can be pickled."""

    @property
    def dtype(self) -> np.dtype:
        """Data type of the values."""

    @property
    def token(self) -> Hashable:
        """Key that is equal for the same values."""

    def read(self) -> NDArray[np.floating]:
        """Read the values, shape (n,)."""


@dataclass(frozen=True, eq=False)
class HeldValues:
    """Values in memory; a `ValueSource`."""

    values: NDArray[np.floating]
    token: Hashable

    @property
    def dtype(self) -> np.dtype:
        """Data type of the values."""
        return self.values.dtype

    def read(self) -> NDArray[np.floating]:
        """Return the values."""
        return self.values


@dataclass(frozen=True)
class StoredValues:
    """Values of a Microscopy Bulk Simple Annotations instance; a `ValueSource`.

    Parameters
    ----------
    name : str
        Name of the measurement in messages
    size : int
        Number of annotations
    numbers : StoredNumbers
        Floating Point Values
    indices : StoredNumbers, optional
        Annotation Index List: numbers of the annotations that have a value, from 1 on; by default
        all have one
    """

    name: str
    size: int
    numbers: StoredNumbers
    indices: StoredNumbers | None = None

    @property
    def dtype(self) -> np.dtype:
        """Data type of the values."""
        return np.dtype(np.float32)

    @property
    def token(self) -> Hashable:
        """Key that is equal for the same values."""
        return self.numbers.token

    def read(self) -> NDArray[np.floating]:
        """Read the values; NaN for annotations without one.

        Raises
        ------
        InvalidImageError
            When there are more or fewer values than annotations, or an index of none
        SourceError
            When the file or the server does not deliver
        """
        found = self.numbers.read().astype(np.float32, copy=False)
        if self.indices is None:
            self._check_count(found, self.size)
            return found
        indices = self.indices.read()
        self._check_count(found, len(indices))
        if len(indices) and not 1 <= indices.min() <= indices.max() <= self.size:
            raise InvalidImageError(
                f"{self.name}: Annotation Index List has numbers from {indices.min()} to "
                f"{indices.max()}, expected 1 to {self.size}"
            )
        values = np.full(self.size, np.nan, np.float32)
        values[indices.astype(np.int64) - 1] = found
        return values

    def _check_count(self, found: NDArray, expected: int) -> None:
        if len(found) != expected:
            raise InvalidImageError(f"{self.name}: has {len(found)} values, expected {expected}")


@dataclass(frozen=True, eq=False)
class Measurement:
    """Measurement of the annotations of a group.

    Parameters
    ----------
    name, unit : CodeItem
        What was measured, and the unit (UCUM)
    """

    name: CodeItem
    unit: CodeItem
    source: ValueSource = field(repr=False)

    @cached_property
    def values(self) -> NDArray[np.floating]:
        """Value of each annotation, shape (n,); NaN where it was not measured.

        Raises
        ------
        ValueError
            When the values contradict the number of annotations
        OSError
            When they cannot be read
        """
        return self.source.read()

    def of(self, indices: NDArray[np.int64]) -> "Measurement":
        """Return the measurement of some of the annotations."""
        token = self.source.token, hashlib.sha256(indices.tobytes()).hexdigest()
        return replace(self, source=HeldValues(self.values[indices], token))
