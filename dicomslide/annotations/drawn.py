"""Outlines of the annotations of a group on the slide, as simple geometries of CF 1.8 have them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomslide.annotations.places import Place
from dicomslide.annotations.shapes import (
    ELLIPSE_POINTS,
    counterclockwise,
    is_area,
    outlines,
)
from dicomslide.annotations.vectors import VectorSource
from dicomslide.processes import make_lock
from dicomslide.sources.holding import Holder

__all__ = ["DrawnColumn", "count_nodes"]


def count_nodes(graphic_type: str, source: VectorSource) -> int:
    """Count the points along the outlines of a group, which are read only where it is necessary."""
    return source.size * ELLIPSE_POINTS if graphic_type == "ELLIPSE" else source.num_points


@dataclass(frozen=True)
class DrawnColumn:
    """Lazy array of one coordinate of all points of the outlines, or of the number of points.

    Parameters
    ----------
    source : VectorSource
        Points of the group
    graphic_type : str
        Graphic Type
    place : Place
        Coordinate system of the points
    axis : int
        Index of the coordinate: X, Y or Z in millimetres; -1 for the number of points of each
        annotation
    """

    source: VectorSource
    graphic_type: str
    place: Place
    axis: int

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return 1

    @property
    def shape(self) -> tuple[int]:
        """Number of points, or of annotations."""
        if self.axis < 0:
            return (self.source.size,)
        return (count_nodes(self.graphic_type, self.source),)

    @property
    def dtype(self) -> np.dtype:
        """Data type."""
        return np.dtype(np.int64 if self.axis < 0 else np.float64)

    def __getitem__(self, key: Any) -> NDArray:
        # One thread draws, as the chunks of an array need the same outlines
        with _drawing:
            found = _drawn.get(self.source, self._draw)
        return found[self.axis][key]

    def _draw(self) -> tuple[NDArray, ...]:
        """Compute X, Y and Z of all points, and the number of points of each annotation."""
        points, starts = outlines(self.graphic_type, self.source.read())
        x, y, z = (self.place.to_slide.axis(axis, points) for axis in range(3))
        if is_area(self.graphic_type):
            # Rings run counterclockwise as seen from above (CF 7.5)
            order = counterclockwise(x, y, starts)
            x, y, z = x[order], y[order], z[order]
        return x, y, z, np.diff(starts)


def _bytes_of(arrays: tuple[NDArray, ...]) -> int:
    return sum(array.nbytes for array in arrays)


_drawn = Holder("annotations", _bytes_of)
_drawing = make_lock()
