"""Grids of pixels that derived images lie on, and the positions that these have to state.

An image that was made from a level repeats the position that the level states, and moves with it to
the position that the slide gives the level. Both directions are here, so that what is written for a
slide opens in its place.
"""

from dataclasses import dataclass

import numpy as np

from dicomslide.errors import ArgumentValueError
from dicomslide.metadata.geometry import ImageGeometry
from dicomslide.pyramid import LevelGrid

__all__ = ["Grids", "KnownGrid", "Place"]

# Largest distance in millimetres between where pixels lie and where they lie when opened again
_SAME_PLACE = 1e-9


@dataclass(frozen=True)
class KnownGrid:
    """Grid of pixels of a level, or of an image off the grids of the levels.

    Parameters
    ----------
    level : int or None
        Index of the level; None for an image that has none
    grid : LevelGrid
        Grid, where the slide places it
    stated : ImageGeometry
        Position that its first image states
    """

    level: int | None
    grid: LevelGrid
    stated: ImageGeometry


@dataclass(frozen=True)
class Place:
    """Place of a derived image.

    Parameters
    ----------
    level : int or None
        Index of the level on whose pixels it lies; None where there is none
    grid : LevelGrid
        Grid of the level, or else of the image
    offset : tuple of int
        Row and column of the grid where the image begins
    is_known : bool
        Whether its pixels are those of a known grid
    """

    level: int | None
    grid: LevelGrid
    offset: tuple[int, int] = (0, 0)
    is_known: bool = True

    @property
    def geometry(self) -> ImageGeometry:
        """Position of the image."""
        return self.grid.geometry.starting_at(self.offset)


@dataclass(frozen=True)
class Grids:
    """Grids of pixels that derived images may lie on.

    Parameters
    ----------
    known : tuple of KnownGrid
        Those of the levels, the largest first, then those of images off these
    """

    known: tuple[KnownGrid, ...]

    def find(self, stated: ImageGeometry, size: tuple[int, int]) -> Place:
        """Find the place of a derived image of some rows and columns by what it states."""
        for known in self.known:
            offset = stated.offset_on(known.stated, size)
            if offset is None or not _overlaps(offset, size, known.grid.size):
                continue
            geometry = known.grid.geometry.at_height(stated.origin[2])
            if known.level is None:
                return Place(None, LevelGrid(size, geometry.starting_at(offset)))
            return Place(known.level, LevelGrid(known.grid.size, geometry), offset)
        return Place(None, LevelGrid(size, stated.squared()), is_known=False)

    def state(self, geometry: ImageGeometry, size: tuple[int, int]) -> ImageGeometry:
        """Find what a derived image has to state, so that it is placed somewhere on the slide.

        Parameters
        ----------
        geometry : ImageGeometry
            Place of the image
        size : tuple of int
            Its rows and columns

        Raises
        ------
        ArgumentValueError
            When the image would be placed somewhere else, whatever it states
        """
        z = geometry.origin[2]
        stated = geometry
        for known in self.known:
            offset = geometry.offset_on(known.grid.geometry, size)
            if offset is not None and _overlaps(offset, size, known.grid.size):
                stated = known.stated.starting_at(offset)
                # Pixels within a hundredth of those of the grid are meant to be those
                geometry = known.grid.geometry.starting_at(offset)
                break
        stated, geometry = stated.at_height(z), geometry.at_height(z)
        found = self.find(stated, size).geometry
        corners = [(0, 0), (size[0] - 1, size[1] - 1)]
        distance = float(np.abs(found.to_slide(corners) - geometry.to_slide(corners)).max())
        if distance > _SAME_PLACE:
            raise ArgumentValueError(
                f"pixels at {geometry.origin[:2]} mm with spacing {geometry.spacing} cannot be "
                f"told from those of a level, which are {distance:.3g} mm away"
            )
        return stated


def _overlaps(offset: tuple[int, int], size: tuple[int, int], whole: tuple[int, int]) -> bool:
    return all(
        -count < first < total for first, count, total in zip(offset, size, whole, strict=True)
    )
