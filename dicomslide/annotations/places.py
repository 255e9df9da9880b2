"""Coordinate systems of annotations: pixels of an image, or millimetres on the slide.

Two-dimensional coordinates are (column, row) and count from the corner of the top left pixel, whose
centre is (0.5, 0.5) (PS3.3 C.10.5.1.2); indices of pixels count from its centre. Three-dimensional
coordinates are (X, Y, Z) in millimetres in the slide coordinate system.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dicomslide.errors import InvalidImageError
from dicomslide.image import TiledImage
from dicomslide.metadata.frames import read_frame_positions
from dicomslide.metadata.geometry import ImageGeometry
from dicomslide.placement.arrangement import Arrangement
from dicomslide.pyramid import LevelGrid

__all__ = ["Affine", "Level", "Place", "Places", "from_pixels", "to_pixels"]


@dataclass(frozen=True)
class Affine:
    """Affine transformation of points.

    Parameters
    ----------
    matrix : tuple of tuple of float
        Coefficients of the coordinates of a point for each coordinate of the result
    offset : tuple of float
        Result for the point of zeros
    """

    matrix: tuple[tuple[float, ...], ...]
    offset: tuple[float, ...]

    @classmethod
    def of(cls, matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> "Affine":
        """Make a transformation from arrays of shape (m, d) and (m,)."""
        return cls(tuple(map(tuple, matrix.tolist())), tuple(offset.tolist()))

    def after(self, first: "Affine") -> "Affine":
        """Return the transformation that applies another one first."""
        matrix = np.array(self.matrix)
        return Affine.of(
            matrix @ np.array(first.matrix), matrix @ np.array(first.offset) + self.offset
        )

    @property
    def without_noise(self) -> "Affine":
        """The same for pixels, without errors of rounding: those of one grid stay what they are."""
        return Affine.of(np.round(self.matrix, 12) + 0.0, np.round(self.offset, 9) + 0.0)

    def axis(self, index: int, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Compute one coordinate of points, which have shape (n, d), with shape (n,)."""
        result = np.full(len(points), self.offset[index])
        for column, coefficient in enumerate(self.matrix[index]):
            # Coefficients are mostly 0, as images are parallel to the axes of the slide
            if coefficient:
                result += coefficient * points[:, column].astype(np.float64)
        return result

    def apply(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Transform points of shape (n, d) to shape (n, m)."""
        result = np.empty((len(points), len(self.offset)))
        for index in range(len(self.offset)):
            result[:, index] = self.axis(index, points)
        return result


@dataclass(frozen=True)
class Level:
    """Level of a slide.

    Parameters
    ----------
    grid : LevelGrid
        Grid of pixels
    tile : tuple of int
        Rows and columns of a frame
    """

    grid: LevelGrid
    tile: tuple[int, int]


@dataclass(frozen=True)
class Place:
    """Coordinate system of a group of annotations on a slide.

    Parameters
    ----------
    levels : tuple of Level
        Levels of the slide
    geometry : ImageGeometry, optional
        Position of the matrix whose pixels the coordinates are; None for three-dimensional ones
    height : float, optional
        Z in millimetres of three-dimensional coordinates that are stored without it
    """

    levels: tuple[Level, ...]
    geometry: ImageGeometry | None = None
    height: float | None = None

    @cached_property
    def to_slide(self) -> Affine:
        """Transformation of stored coordinates to (x, y, z) in millimetres."""
        if self.geometry is not None:
            return from_pixels(self.geometry)
        if self.height is None:
            return Affine.of(np.eye(3), np.zeros(3))
        return Affine.of(np.eye(3, 2), np.array([0, 0, self.height]))

    def to_level(self, level: int) -> Affine:
        """Return the transformation of stored coordinates to (column, row) of a level."""
        return to_pixels(self.levels[level].grid.geometry).after(self.to_slide).without_noise


def from_pixels(geometry: ImageGeometry) -> Affine:
    """Make the transformation of (column, row), from the corner on, to (x, y, z)."""
    between_rows, between_columns = geometry.spacing
    columns = geometry.row_direction * between_columns
    rows = geometry.column_direction * between_rows
    matrix = np.stack([columns, rows], axis=1)
    return Affine.of(matrix, np.array(geometry.origin) - matrix @ [0.5, 0.5])


def to_pixels(geometry: ImageGeometry) -> Affine:
    """Make the transformation of (x, y, z) to (column, row), from the corner on."""
    zero = geometry.to_pixels(np.zeros(3))[::-1]
    matrix = (geometry.to_pixels(np.eye(3))[:, ::-1] - zero).T
    return Affine.of(matrix, zero + 0.5)


class Places:
    """Coordinate systems that annotations of a slide may have.

    Parameters
    ----------
    arrangement : Arrangement
        Levels of the slide
    images : iterable of TiledImage
        Images of the slide, in their positions
    aliases : mapping
        SOP Instance UIDs of images by those of the instances that they are stored in
    """

    def __init__(
        self, arrangement: Arrangement, images: Iterable[TiledImage], aliases: Mapping[str, str]
    ) -> None:
        self.frame_of_reference_uid = arrangement.template[0].frame_of_reference_uid
        self._levels = tuple(
            Level(grid, _tile(image))
            for grid, image in zip(arrangement.levels, arrangement.template, strict=True)
        )
        self._aliases = aliases
        self._images = {image.uid: image for image in images}

    def has_image(self, uid: str) -> bool:
        """Whether an image, given by its SOP Instance UID, is of the slide."""
        return self._aliases.get(uid, uid) in self._images

    def on_slide(self, height: float | None = None) -> Place:
        """Return the place of three-dimensional coordinates, which may share one Z."""
        return Place(self._levels, height=height)

    def on_image(self, uid: str, frame: int | None = None) -> Place:
        """Return the place of pixels of an image, or of one of its frames, counted from 1.

        Raises
        ------
        InvalidImageError
            When the slide does not have the image, its position is not known, or it has no such
            frame
        """
        image = self._images.get(self._aliases.get(uid, uid))
        if image is None:
            raise InvalidImageError(f"refers to image {uid}, which is not one of the slide")
        geometry = image.geometry
        if frame is not None:
            positions = read_frame_positions(image.metadata).pixels
            if not 1 <= frame <= len(positions):
                raise InvalidImageError(
                    f"refers to frame {frame} of image {uid}, which has {len(positions)}"
                )
            row, column = positions[frame - 1].tolist()
            geometry = geometry.starting_at((row, column))
        return Place(self._levels, geometry)


def _tile(image: TiledImage) -> tuple[int, int]:
    rows, columns = image.get_total_pixel_matrix().array.tile_shape[:2]
    return rows, columns
