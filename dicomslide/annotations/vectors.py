"""Points of the annotations of a group, as they are stored (PS3.3 C.37.1.2)."""

from collections.abc import Hashable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dicomslide.annotations.numbers import StoredNumbers
from dicomslide.errors import InvalidImageError
from dicomslide.processes import make_lock
from dicomslide.sources.holding import Holder

__all__ = ["POINTS_EACH", "HeldVectors", "StoredVectors", "VectorSource", "Vectors"]

POINTS_EACH = {"POINT": 1, "RECTANGLE": 4, "ELLIPSE": 4}
"""Number of points of an annotation of the graphic types for which it is fixed."""


class Vectors(NamedTuple):
    """Points of several annotations, one after the other.

    Parameters
    ----------
    points : numpy.ndarray
        Coordinates of all points as stored, shape (number of points, 2 or 3)
    starts : numpy.ndarray
        Index of the first point of each annotation, and the number of points, shape (n + 1,)
    """

    points: NDArray[np.floating]
    starts: NDArray[np.int64]

    @classmethod
    def of_counts(cls, points: NDArray[np.floating], counts: ArrayLike) -> "Vectors":
        """Divide points by the number of points of each annotation, shape (n,)."""
        return cls(points, np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]))

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of points of each annotation, shape (n,)."""
        return np.diff(self.starts)

    def of(self, indices: NDArray[np.int64]) -> "Vectors":
        """Select annotations by their indices, shape (m,)."""
        counts = self.counts[indices]
        starts = np.concatenate([[0], np.cumsum(counts)])
        # Index of each selected point: its place in its annotation, from the first point on
        own = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        return Vectors(self.points[np.repeat(self.starts[indices], counts) + own], starts)


class VectorSource(Protocol):
    """Source of the points of a group of annotations. It can be pickled and hashed."""

    @property
    def size(self) -> int:
        """Number of annotations."""

    @property
    def num_points(self) -> int:
        """Number of all points; they are read only where it is not stated."""

    @property
    def token(self) -> Hashable:
        """Key that is equal for the same points."""

    def read(self) -> Vectors:
        """Read all points."""

    def close(self) -> None:
        """Drop what is held in memory; reading it later reads it again."""


@dataclass(frozen=True, eq=False)
class HeldVectors:
    """Points in memory; a `VectorSource`.

    Parameters
    ----------
    vectors : Vectors
        The points
    token : hashable
        Key that is equal for the same points
    """

    vectors: Vectors
    token: Hashable

    @property
    def size(self) -> int:
        """Number of annotations."""
        return len(self.vectors.starts) - 1

    @property
    def num_points(self) -> int:
        """Number of all points."""
        return len(self.vectors.points)

    def read(self) -> Vectors:
        """Return all points."""
        return self.vectors

    def close(self) -> None:
        """Do nothing, as the points are kept."""


@dataclass(frozen=True)
class StoredVectors:
    """Points of a Microscopy Bulk Simple Annotations instance; a `VectorSource`.

    Parameters
    ----------
    name : str
        Name of the group in messages
    graphic_type : str
        Graphic Type
    size : int
        Number of Annotations
    coordinates : StoredNumbers
        Coordinates, point by point
    dimensions : int
        Number of coordinates of a point
    indices : StoredNumbers, optional
        Long Primitive Point Index List, for polylines and polygons
    """

    name: str
    graphic_type: str
    size: int
    coordinates: StoredNumbers
    dimensions: int
    indices: StoredNumbers | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, tuple(getattr(self, field.name) for field in fields(self))

    def check(self) -> None:
        """Check numbers of points and annotations as far as they are known without reading.

        Raises
        ------
        InvalidImageError
            When they contradict each other
        """
        if (count := self.coordinates.count) is not None:
            self._check_points(count)
        if self.indices is not None and (count := self.indices.count) is not None:
            self._check_indices(count)

    @property
    def num_points(self) -> int:
        """Number of all points; they are read only where their length is not known."""
        if self.graphic_type in POINTS_EACH:
            return POINTS_EACH[self.graphic_type] * self.size
        count = self.coordinates.count
        return len(self.read().points) if count is None else count // self.dimensions

    @property
    def token(self) -> Hashable:
        """Key that is equal for the same points."""
        return self.coordinates.token

    def read(self) -> Vectors:
        """Read all points, which stay in memory within a bound.

        Raises
        ------
        InvalidImageError
            When numbers of points and annotations contradict each other, or a coordinate is not
            finite
        SourceError
            When the file or the server does not deliver
        """
        # One thread reads, as all tasks of an array need the same points
        with _reading:
            return _vectors.get(self, self._read)

    def close(self) -> None:
        """Drop the points and close their file; reading them later reads them again."""
        _vectors.drop(self)
        self.coordinates.close()
        if self.indices is not None:
            self.indices.close()

    def _read(self) -> Vectors:
        values = self.coordinates.read()
        self._check_points(len(values))
        # A sum is finite if all numbers are, and takes a small part of the time to check each
        with np.errstate(over="ignore", invalid="ignore"):
            total = values.sum()
        if not np.isfinite(total) and not np.isfinite(values).all():
            raise InvalidImageError(f"{self.name}: a coordinate is not a finite number")
        return Vectors(values.reshape(-1, self.dimensions), self._starts(len(values)))

    def _starts(self, num_values: int) -> NDArray[np.int64]:
        if self.indices is None:
            return np.arange(self.size + 1, dtype=np.int64) * POINTS_EACH[self.graphic_type]
        # Indices are those of the first coordinate of each annotation, counted from 1
        found = self.indices.read()
        self._check_indices(len(found))
        starts = np.empty(len(found) + 1, np.int64)
        np.subtract(found, 1, out=starts[:-1], casting="unsafe")
        starts[-1] = num_values
        rising = (starts[1:] > starts[:-1]).all() and not starts[0]
        starts, rest = np.divmod(starts, self.dimensions)
        if not rising or rest.any():
            raise InvalidImageError(
                f"{self.name}: Long Primitive Point Index List does not have the first coordinates "
                f"of {self.size} annotations: expected 1, then larger numbers up to {num_values}, "
                f"each at the start of a point of {self.dimensions} coordinates"
            )
        return starts

    def _check_points(self, num_values: int) -> None:
        each = POINTS_EACH.get(self.graphic_type)
        if each is not None and num_values != self.size * each * self.dimensions:
            raise InvalidImageError(
                f"{self.name}: has {num_values} coordinates, expected "
                f"{self.size * each * self.dimensions} for {self.size} annotations of type "
                f"{self.graphic_type}"
            )
        if num_values % self.dimensions or num_values < self.size * self.dimensions:
            raise InvalidImageError(
                f"{self.name}: has {num_values} coordinates, expected at least one point of "
                f"{self.dimensions} coordinates for each of {self.size} annotations"
            )

    def _check_indices(self, count: int) -> None:
        if count != self.size:
            raise InvalidImageError(
                f"{self.name}: Long Primitive Point Index List has {count} indices, expected "
                f"{self.size}, one for each annotation"
            )


def _bytes_of(vectors: Vectors) -> int:
    return vectors.points.nbytes + vectors.starts.nbytes


_vectors = Holder("annotations", _bytes_of)
_reading = make_lock()


def _arrived(*arguments: Any) -> StoredVectors:
    return _vectors.arrived(StoredVectors, *arguments)
