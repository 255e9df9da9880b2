"""Levels of an image: those that the slide stores, and others that are computed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dicomslide.export.arrays import TreeArray
from dicomslide.export.calibration import Calibration
from dicomslide.export.derived import Derivation, Nearest, Reduced, Reduction
from dicomslide.export.grid import Shape

__all__ = ["Level", "aligned_levels", "dyadic_levels", "stored_levels"]

# Largest relative deviation of the factor of a level from a power of two, as sizes are rounded
_SAME_FACTOR = 0.05
# Largest shift of elements that count as in the same place, as a part of an element
_SAME_PLACE = 0.5
# Most halvings from one level to another; each reads four times as many elements
_MOST_HALVINGS = 4


@dataclass(frozen=True)
class Level:
    """Level of an image, an array of shape (c, z, y, x).

    Parameters
    ----------
    pixels : TreeArray, Derivation or None
        Pixels of the tree, or their derivation from another level of the image; None if only
        metadata are left to write
    shape : tuple of int
        Shape of the array
    dtype : numpy.dtype
        Data type of the elements
    unit : tuple of int
        Shape of the part that is decoded together
    calibration : Calibration
        Positions of the elements
    """

    pixels: TreeArray | Derivation | None
    shape: Shape
    dtype: np.dtype
    unit: Shape
    calibration: Calibration

    @classmethod
    def of(cls, pixels: TreeArray, calibration: Calibration) -> "Level":
        """Make a level of pixels of the tree."""
        return cls(pixels, pixels.shape, pixels.dtype, pixels.unit, calibration)

    @property
    def place(self) -> tuple[Calibration, int]:
        """Positions of the elements, and number of focal planes."""
        return self.calibration, self.shape[1]


def stored_levels(found: Sequence[tuple[TreeArray, Calibration]]) -> tuple[Level, ...]:
    """Make the levels that the slide stores."""
    return tuple(Level.of(*item) for item in found)


def dyadic_levels(
    found: Sequence[tuple[TreeArray, Calibration]], reduce: Reduction, smallest: int
) -> tuple[Level, ...]:
    """Make levels of the factors 1, 2, 4, … from stored levels of about these factors.

    Of several stored levels the closest to a factor is taken, as a thumbnail may be close to a
    level. Missing levels are computed from the level before. The last level has at most `smallest`
    rows and columns.
    """
    base = found[0][1]

    # The base level is the one of factor 1, whatever else is close to that
    closest: dict[int, float] = {0: 0.0}
    stored: dict[int, tuple[TreeArray, Calibration]] = {}
    for item in found[1:]:
        power, deviation = _deviation(item[1], base)
        if deviation < closest.get(power, _SAME_FACTOR):
            closest[power], stored[power] = deviation, item
    levels = [Level.of(*found[0])]
    while max(levels[-1].shape[2:]) > smallest or max(stored, default=0) >= len(levels):
        known = stored.get(len(levels))
        levels.append(Level.of(*known) if known else _half(levels, reduce))
    return tuple(levels)


def aligned_levels(
    found: Sequence[tuple[TreeArray, Calibration]], image: Sequence[Level], reduce: Reduction
) -> tuple[Level, ...]:
    """Make the levels of a label image, which are those of its image.

    Missing levels are computed from the closest finer one: by `reduce` if the factor is a power of
    two, otherwise from the nearest elements. Without a finer one the elements of the closest
    coarser one are repeated. The result is empty if no level has positions and focal planes of the
    image.
    """
    places = [level.place for level in image]
    own = [Level.of(*item) for item in found]
    result = {places.index(level.place): level for level in own if level.place in places}
    if not result:
        return ()
    for index in sorted(set(range(len(image))) - set(result), key=lambda i: (i < min(result), i)):
        finer = [i for i in result if i < index]
        other = max(finer) if finer else min(result)
        source, like = result[other], image[index]
        times = _halvings(like, source)
        rule = Reduced(reduce, times) if times else Nearest(like.calibration, source.calibration)
        shape = (*source.shape[:2], *like.shape[2:])
        unit = (1, 1, *like.unit[2:])
        result[index] = Level(Derivation(other, rule), shape, source.dtype, unit, like.calibration)
    return tuple(result[index] for index in range(len(image)))


def _half(levels: Sequence[Level], reduce: Reduction) -> Level:
    """Make the level after the last one, which is computed from the last one."""
    level = levels[-1]
    c, z, y, x = level.shape
    return Level(
        Derivation(len(levels) - 1, Reduced(reduce)),
        (c, z, -(-y // 2), -(-x // 2)),
        level.dtype,
        level.unit,
        level.calibration.halved(),
    )


def _deviation(level: Calibration, base: Calibration) -> tuple[int, float]:
    """Compute the power of two closest to the factor of a level, and the relative deviation."""
    ratios = [level.scale[axis] / base.scale[axis] for axis in (1, 2)]
    power = round(math.log2(ratios[0]))
    return power, max(abs(ratio / 2**power - 1) for ratio in ratios)


def _halvings(here: Level, there: Level) -> int:
    """Count the halvings that lead from the level `there` to `here`; 0 if none do."""
    this, other = here.calibration, there.calibration
    times = round(math.log2(this.scale[1] / other.scale[1]))
    if not 0 < times <= _MOST_HALVINGS:
        return 0
    for axis in (1, 2):
        # Deviations of the spacing add up from element to element
        drift = abs(this.scale[axis] / other.scale[axis] / 2**times - 1) * here.shape[axis + 1]
        shift = abs(this.edge(axis) - other.edge(axis)) / this.scale[axis]
        if drift + shift > _SAME_PLACE:
            return 0
    return times
