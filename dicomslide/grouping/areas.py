"""Spatial index of areas on a glass slide."""

import math
from itertools import product

__all__ = ["Areas", "Bounds"]

Bounds = tuple[tuple[float, float], tuple[float, float]]
"""Smallest and largest (x, y) of an area in millimetres."""

# Largest coordinates of areas in cells, in millimetres, as areas beyond them count as near to all
# others, and the smallest side of a cell
_LARGEST, _SMALLEST = 1e9, 1e-3


class Areas:
    """Index of numbered rectangles by the square cells that they lie in.

    The side of the cells is about that of a rectangle, so that the time to find the neighbours of
    an area does not depend on the number of areas, where few of them overlap.
    """

    def __init__(self) -> None:
        # Numbers of areas by the side of cells, and by column and row of a cell
        self._cells: dict[float, dict[tuple[int, int], set[int]]] = {}
        self._unbounded: set[int] = set()
        self._all: set[int] = set()

    def add(self, number: int, bounds: Bounds) -> None:
        """Add an area; several calls with one number add parts of one area."""
        self._all.add(number)
        side = _side(bounds)
        if math.isinf(side):
            self._unbounded.add(number)
            return
        cells = self._cells.setdefault(side, {})
        for place in product(*_places(bounds, side)):
            cells.setdefault(place, set()).add(number)

    def near(self, bounds: Bounds) -> set[int]:
        """Find the numbers of all areas that overlap or touch an area, and of some more."""
        if math.isinf(_side(bounds)):
            return self._all
        found = set(self._unbounded)
        for side, cells in self._cells.items():
            columns, rows = _places(bounds, side)
            if len(columns) * len(rows) > len(cells):
                found.update(*cells.values())
            else:
                found.update(*(cells.get(place, ()) for place in product(columns, rows)))
        return found


def _side(bounds: Bounds) -> float:
    """Choose the side of the cells for an area: a power of two that is at least as large."""
    (left, bottom), (right, top) = bounds
    length = max(right - left, top - bottom)
    farthest = max(map(abs, (left, bottom, right, top)))
    # Values beyond these bounds are no positions on glass, and would need too many cells
    if not (length <= _LARGEST and farthest <= _LARGEST):
        return math.inf
    return 2.0 ** math.ceil(math.log2(max(length, _SMALLEST)))


def _places(bounds: Bounds, side: float) -> tuple[range, range]:
    """Compute the columns and rows of the cells that an area lies in."""
    columns, rows = (
        range(math.floor(low / side), math.floor(high / side) + 1)
        for low, high in zip(*bounds, strict=True)
    )
    return columns, rows
