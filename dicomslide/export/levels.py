"""The levels of an image: those that are stored, and those in between that are computed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dicomslide.export.arrays import TreeArray
from dicomslide.export.calibration import Calibration
from dicomslide.export.derived import Derivation, Nearest, Reduced, Reduction
from dicomslide.export.grid import Shape

__all__ = ["Level", "aligned_levels", "dyadic_levels", "stored_levels"]

# A stored level serves as one of a factor that it misses by less, sizes being whole numbers
_SAME_FACTOR = 0.05
# Elements that are shifted by less than this part of one are in the same place
_SAME_PLACE = 0.5
# Halving reads four times the elements each time: beyond that the nearest ones are chosen
_MOST_HALVINGS = 4


@dataclass(frozen=True)
class Level:
    """One array of an image, of shape (c, z, y, x).

    Parameters
    ----------
    pixels : TreeArray, Derivation or None
        Pixels of the tree, or how they come from another level of the image; None where only
        metadata are left to write
    shape : tuple of int
        Shape of the array
    dtype : numpy.dtype
        Type of its elements
    unit : tuple of int
        What is decoded together
    calibration : Calibration
        Where its elements lie
    """

    pixels: TreeArray | Derivation | None
    shape: Shape
    dtype: np.dtype
    unit: Shape
    calibration: Calibration

    @classmethod
    def of(cls, pixels: TreeArray, calibration: Calibration) -> "Level":
        """A level of the tree."""
        return cls(pixels, pixels.shape, pixels.dtype, pixels.unit, calibration)

    @property
    def place(self) -> tuple[Calibration, int]:
        """Where its elements lie, and in how many focal planes."""
        return self.calibration, self.shape[1]


def stored_levels(found: Sequence[tuple[TreeArray, Calibration]]) -> tuple[Level, ...]:
    """The levels as they are."""
    return tuple(Level.of(*item) for item in found)


def dyadic_levels(
    found: Sequence[tuple[TreeArray, Calibration]], reduce: Reduction, smallest: int
) -> tuple[Level, ...]:
    """Make levels of the factors 1, 2, 4, … of those that have about these factors.

    Of several the one that is closest to the factor is taken: thumbnails may be close to a level. A
    missing one is computed from the one before it. The last one has at most `smallest` rows and
    columns.
    """
    base = found[0][1]

    # Nothing is closer to factor 1 than the base itself
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
    """Give a label image the levels of its image.

    A level that it lacks is computed from the closest finer one, by `reduce` where the factor is a
    power of two and otherwise by choice of the nearest elements, or else repeats the elements of
    the closest coarser one. Nothing is left of a label image that has no level of its image, or
    none in its focal planes.
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
    """The level after the last one, computed from it."""
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
    """The power of two that is closest to the factor of a level, and by what part it is missed."""
    ratios = [level.scale[axis] / base.scale[axis] for axis in (1, 2)]
    power = round(math.log2(ratios[0]))
    return power, max(abs(ratio / 2**power - 1) for ratio in ratios)


def _halvings(here: Level, there: Level) -> int:
    """How often a level is halved to get the places of another one; 0 where that is not so."""
    this, other = here.calibration, there.calibration
    times = round(math.log2(this.scale[1] / other.scale[1]))
    if not 0 < times <= _MOST_HALVINGS:
        return 0
    for axis in (1, 2):
        # Noise of the spacing adds up from element to element
        drift = abs(this.scale[axis] / other.scale[axis] / 2**times - 1) * here.shape[axis + 1]
        shift = abs(this.edge(axis) - other.edge(axis)) / this.scale[axis]
        if drift + shift > _SAME_PLACE:
            return 0
    return times
