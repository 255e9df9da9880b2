"""Areas on a glass slide, found by what lies near them without looking at all of them."""

import math
from itertools import product

__all__ = ["Areas", "Bounds"]

Bounds = tuple[tuple[float, float], tuple[float, float]]
"""Smallest and largest (x, y) in millimetres."""

# Millimetres: what lies further out is compared with all areas, and no cell is smaller
_LARGEST, _SMALLEST = 1e9, 1e-3


class Areas:
    """Numbered rectangles, kept in square cells that are as large as they are.

    To find what lies near one of n areas takes as long for any n, where few of them overlap.
    """

    def __init__(self) -> None:
        # By the side of the cells, and by their place
        self._cells: dict[float, dict[tuple[int, int], set[int]]] = {}
        self._unbounded: set[int] = set()
        self._all: set[int] = set()

    def add(self, number: int, bounds: Bounds) -> None:
        """Add an area, or a part of one."""
        self._all.add(number)
        side = _side(bounds)
        if math.isinf(side):
            self._unbounded.add(number)
            return
        cells = self._cells.setdefault(side, {})
        for place in product(*_places(bounds, side)):
            cells.setdefault(place, set()).add(number)

    def near(self, bounds: Bounds) -> set[int]:
        """Find the numbers of all areas that overlap or touch an area, and of some others."""
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
    """Choose the side of the cells for an area: a power of two that is no smaller."""
    (left, bottom), (right, top) = bounds
    length = max(right - left, top - bottom)
    farthest = max(map(abs, (left, bottom, right, top)))
    # No glass slide is so large, and cells so small would be too many to count
    if not (length <= _LARGEST and farthest <= _LARGEST):
        return math.inf
    return 2.0 ** math.ceil(math.log2(max(length, _SMALLEST)))


def _places(bounds: Bounds, side: float) -> tuple[range, range]:
    """Columns and rows of the cells that an area has a part of."""
    columns, rows = (
        range(math.floor(low / side), math.floor(high / side) + 1)
        for low, high in zip(*bounds, strict=True)
    )
    return columns, rows
