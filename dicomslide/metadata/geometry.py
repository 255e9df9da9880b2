"""Geometry of images: conversion between pixels and millimetres on the slide (PS3.3 C.8.12.2.1).

The slide coordinate system belongs to the upright standing slide: X runs along the short side, Y
along the long side. Positions of pixels are positions of their centres.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import Dataset

from dicomslide.errors import InvalidImageError
from dicomslide.errors.damage import reads_image
from dicomslide.metadata.functional_groups import frame_groups

__all__ = [
    "ImageGeometry",
    "are_of_one_level",
    "has_origin",
    "origin_of",
    "pixel_spacing",
    "read_geometry",
    "spacing_between_planes",
    "to_upright",
]

_PARALLEL = 1e-6
# Largest difference between the direction cosines of images that are meant to be parallel
_SAME_AXES = 1e-3
# Largest ratio between the Pixel Spacings of images of one level
_SAME_LEVEL = 1.25
# Largest distance between two centres that count as one pixel, in pixels
_SAME_PIXEL = 0.01
# Lengths above this, and below its inverse, are taken for damage, so that products stay finite
_MOST_MM = 1e12


@dataclass(frozen=True)
class ImageGeometry:
    """Affine relation between the pixels of one total pixel matrix and the slide.

    Parameters
    ----------
    origin : tuple of three floats
        (X, Y, Z) of the centre of the top left pixel in millimetres
    orientation : tuple of six floats
        Image Orientation (Slide): direction cosines of a row (towards higher column indices), then
        of a column (towards higher row indices)
    spacing : tuple of two floats
        Pixel Spacing in millimetres: between rows, between columns
    """

    origin: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    spacing: tuple[float, float]

    @property
    def row_direction(self) -> NDArray[np.float64]:
        """Unit vector along a row, shape (3,)."""
        return np.array(self.orientation[:3])

    @property
    def column_direction(self) -> NDArray[np.float64]:
        """Unit vector along a column, shape (3,)."""
        return np.array(self.orientation[3:])

    @property
    def rotation(self) -> float:
        """Counterclockwise angle in degrees that turns the image upright on the slide."""
        # Adding zero turns a negative zero of the attribute into zero, and -180 degrees into 180
        return math.degrees(math.atan2(self.orientation[1] + 0.0, self.orientation[0] + 0.0))

    @property
    def is_axis_aligned(self) -> bool:
        """Whether rows and columns are parallel to the X and Y axes of the slide."""
        return all(
            min(abs(x), abs(y)) < _PARALLEL and abs(z) < _PARALLEL
            for x, y, z in (self.orientation[:3], self.orientation[3:])
        )

    @property
    def rows_run_along_x(self) -> bool:
        """Whether a row of pixels is closer to the X axis than to the Y axis."""
        return abs(self.orientation[0]) >= abs(self.orientation[1])

    @property
    def spacing_xy(self) -> tuple[float, float]:
        """Distance in millimetres between neighbouring pixels closest to the X and the Y axis."""
        between_rows, between_columns = self.spacing
        if self.rows_run_along_x:
            return between_columns, between_rows
        return between_rows, between_columns

    def at_height(self, z: float) -> "ImageGeometry":
        """Return this geometry at another Z in millimetres."""
        return replace(self, origin=(self.origin[0], self.origin[1], z))

    def squared(self) -> "ImageGeometry":
        """Return this geometry with axes exactly parallel to those of the slide, if nearly so."""
        if not self.is_axis_aligned:
            return self
        a, b, c, d, e, f = (round(cosine) + 0.0 for cosine in self.orientation)
        return replace(self, orientation=(a, b, c, d, e, f))

    def is_parallel_to(self, other: "ImageGeometry") -> bool:
        """Whether rows and columns run in the same directions as those of another image."""
        pairs = zip(self.orientation, other.orientation, strict=True)
        return all(abs(here - there) <= _SAME_AXES for here, there in pairs)

    def scale_to(self, base: "ImageGeometry") -> tuple[float, float]:
        """Compute the rows and columns of a finer image for one row and column of this image."""
        # Rounding removes errors of the division, as Decimal Strings have fewer digits
        rows, columns = (
            round(here / there, 9) for here, there in zip(self.spacing, base.spacing, strict=True)
        )
        return rows, columns

    def starting_at(self, offset: tuple[int, int]) -> "ImageGeometry":
        """Return the geometry of the same pixels, counted from another (row, column)."""
        x, y, _ = self.to_slide(offset).tolist()
        return replace(self, origin=(x, y, self.origin[2]))

    def repeats_origin_of(self, base: "ImageGeometry") -> bool:
        """Whether Total Pixel Matrix Origin is that of another image, apart from Z."""
        x, y, _ = self.origin
        if (x, y) == base.origin[:2]:
            return True
        return bool(np.abs(base.to_pixels((x, y, base.origin[2]))).max() < _SAME_PIXEL)

    def as_level_of(self, base: "ImageGeometry") -> "ImageGeometry":
        """Return the geometry of this level when it is aligned with the base level.

        Total Pixel Matrix Origin is the centre of the top left pixel (PS3.3 C.8.12.14.1.2), so it
        differs between the levels of an aligned pyramid. Most writers repeat the value of the base
        level at all levels, meaning the corner of the image: equal origins are read as equal
        corners, and others as they are stated.

        Raises
        ------
        InvalidImageError
            When the levels are not parallel
        """
        if not self.is_parallel_to(base):
            raise InvalidImageError(
                "levels of one pyramid must be parallel, but their Image Orientation (Slide) is "
                f"{base.orientation} and {self.orientation}"
            )
        x, y, z = self.origin
        if self.repeats_origin_of(base):
            half_pixels = [scale / 2 - 0.5 for scale in self.scale_to(base)]
            x, y, _ = base.to_slide(half_pixels).tolist()
        return ImageGeometry((x, y, z), base.orientation, self.spacing)

    def offset_on(self, grid: "ImageGeometry", size: tuple[int, int]) -> tuple[int, int] | None:
        """Find the pixel of a grid that is the top left pixel of this image.

        Parameters
        ----------
        grid : ImageGeometry
            Geometry of the grid
        size : tuple of int
            Rows and columns of this image

        Returns
        -------
        tuple of int or None
            Row and column, which may lie outside of the area of the grid; None where the pixels of
            the image do not lie on those of the grid within a hundredth of a pixel
        """
        if not self.is_parallel_to(grid):
            return None
        last = size[0] - 1, size[1] - 1
        x, y, z = np.transpose(self.to_slide([(0, 0), last]))
        corners = grid.to_pixels(np.transpose([x, y, np.full_like(z, grid.origin[2])]))
        offset = np.around(corners[0])
        if np.abs(corners - (offset, offset + last)).max() > _SAME_PIXEL:
            return None
        return int(offset[0]), int(offset[1])

    def to_slide(self, pixel_indices: ArrayLike) -> NDArray[np.float64]:
        """Convert (row, column) indices, shape (n, 2), to (x, y, z) in millimetres, shape (n, 3).

        Indices may be fractions and may lie outside the matrix.
        """
        indices = np.asarray(pixel_indices, dtype=np.float64)
        offsets = indices * np.array(self.spacing)
        position: NDArray[np.float64] = (
            np.array(self.origin)
            + offsets[..., :1] * self.column_direction
            + offsets[..., 1:] * self.row_direction
        )
        return position

    def to_pixels(self, slide_coordinates: ArrayLike) -> NDArray[np.float64]:
        """Convert (x, y, z) in millimetres, shape (n, 3), to fractional (row, column), (n, 2).

        A point above or below the image plane is projected onto it.
        """
        offsets = np.asarray(slide_coordinates, dtype=np.float64) - np.array(self.origin)
        indices: NDArray[np.float64] = (
            offsets @ _along_axes(tuple(self.orientation)) / np.array(self.spacing)
        )
        return indices

    def pixels_at(self, positions: ArrayLike) -> NDArray[np.int64]:
        """Find the (row, column) of the pixels in which positions, shape (n, 3), lie."""
        # Rounding errors must not decide for a position on the edge between two pixels
        return np.floor(self.to_pixels(positions).round(6) + 0.5).astype(np.int64)

    def bounds(self, size: tuple[int, int]) -> tuple[tuple[float, float], tuple[float, float]]:
        """Compute the rectangle on the slide that a matrix of (rows, columns) covers.

        Returns
        -------
        tuple
            Smallest and largest (x, y) of the outer edges of the pixels, in millimetres
        """
        rows, columns = size
        corners = self.to_slide(
            [(r, c) for r in (-0.5, rows - 0.5) for c in (-0.5, columns - 0.5)]
        )[:, :2]
        low, high = corners.min(axis=0), corners.max(axis=0)
        return (float(low[0]), float(low[1])), (float(high[0]), float(high[1]))


@lru_cache(maxsize=64)
def _along_axes(orientation: tuple[float, ...]) -> NDArray[np.float64]:
    """Compute the distances along a column and a row for one millimetre of X, Y and Z, (3, 2)."""
    axes = np.array([orientation[3:], orientation[:3]]).T
    # Least squares, as rounded direction cosines are not exactly perpendicular
    along = np.asarray(np.linalg.pinv(axes).T, dtype=np.float64)
    along.flags.writeable = False
    return along


def to_upright(region: NDArray, geometry: ImageGeometry) -> NDArray:
    """Turn a region of an axis-aligned image upright: columns increase along +X, rows along -Y.

    The first two axes of `region` are rows and columns. The result is a view.
    """
    row_x, row_y, column_x, column_y = (geometry.orientation[i] for i in (0, 1, 3, 4))
    if not geometry.rows_run_along_x:
        region = region.swapaxes(0, 1)
        row_x, column_y = column_x, row_y
    return region[:: -1 if column_y > 0 else 1, :: -1 if row_x < 0 else 1]


def are_of_one_level(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Whether two Pixel Spacings are those of one level, which writers may round."""
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    return max(*ratios, *(1 / ratio for ratio in ratios)) <= _SAME_LEVEL


@reads_image
def pixel_spacing(dataset: Dataset) -> tuple[float, float] | None:
    """Read Pixel Spacing in millimetres (between rows, between columns); None where there is none.

    Pixel Measures are a shared functional group (PS3.3 C.7.6.16.2.1); some writers put them into
    the first frame's group instead.
    """
    measures = _pixel_measures(dataset)
    values = None if measures is None else measures.get("PixelSpacing")
    if not values or len(values) != 2:
        return None
    spacing = float(values[0]), float(values[1])
    if not all(1 / _MOST_MM <= value <= _MOST_MM for value in spacing):
        raise InvalidImageError(
            f"image {dataset.get('SOPInstanceUID')}: Pixel Spacing is {spacing}, expected positive "
            "millimetres"
        )
    return spacing


@reads_image
def spacing_between_planes(dataset: Dataset) -> float:
    """Read Spacing Between Slices in millimetres; 0 where there is none."""
    measures = _pixel_measures(dataset)
    value = None if measures is None else measures.get("SpacingBetweenSlices")
    between = 0.0 if value is None else float(value)
    if not abs(between) <= _MOST_MM:
        raise InvalidImageError(
            f"image {dataset.get('SOPInstanceUID')}: Spacing Between Slices is {between} mm, "
            f"expected at most {_MOST_MM:g}"
        )
    return between


@reads_image
def read_geometry(dataset: Dataset) -> ImageGeometry | None:
    """Read the geometry of a tiled image.

    Returns
    -------
    ImageGeometry or None
        None where the image lacks attributes of its position on the slide, as LABEL and OVERVIEW
        images may

    Raises
    ------
    InvalidImageError
        When an attribute has an invalid value
    """
    spacing = pixel_spacing(dataset)
    orientation = dataset.get("ImageOrientationSlide")
    if spacing is None or orientation is None or not has_origin(dataset):
        return None
    if len(orientation) != 6:
        raise InvalidImageError(f"Image Orientation (Slide) is {orientation}, expected six values")
    a, b, c, d, e, f = (float(value) for value in orientation)
    lengths = math.hypot(a, b, c), math.hypot(d, e, f)
    deviations = (*(abs(length - 1) for length in lengths), abs(a * d + b * e + c * f))
    if not all(deviation <= 1e-3 for deviation in deviations):
        raise InvalidImageError(
            f"Image Orientation (Slide) is {[a, b, c, d, e, f]}, expected direction cosines of "
            "perpendicular axes"
        )
    x, y, z = origin_of(dataset)
    return ImageGeometry((x, y, z / 1000), (a, b, c, d, e, f), spacing)


@reads_image
def has_origin(dataset: Dataset) -> bool:
    """Whether Total Pixel Matrix Origin is stated; an empty item does not count."""
    origins = dataset.get("TotalPixelMatrixOriginSequence")
    return bool(origins) and origins[0].get("XOffsetInSlideCoordinateSystem") is not None


@reads_image
def origin_of(dataset: Dataset) -> tuple[float, float, float]:
    """Read Total Pixel Matrix Origin: X and Y in millimetres, Z in micrometres; 0 if missing."""
    origins = dataset.get("TotalPixelMatrixOriginSequence")
    if not origins:
        return 0.0, 0.0, 0.0
    item = origins[0]
    x, y, z = (
        float(item.get(f"{axis}OffsetInSlideCoordinateSystem") or 0.0) for axis in ("X", "Y", "Z")
    )
    if not all(abs(value) <= _MOST_MM for value in (x, y, z)):
        raise InvalidImageError(
            f"image {dataset.get('SOPInstanceUID')}: Total Pixel Matrix Origin is {(x, y, z)}, "
            f"expected at most {_MOST_MM:g}"
        )
    return x, y, z


def _pixel_measures(dataset: Dataset) -> Dataset | None:
    shared = dataset.get("SharedFunctionalGroupsSequence")
    measures = shared[0].get("PixelMeasuresSequence") if shared else None
    if not measures:
        groups = frame_groups(dataset)
        measures = groups[0].get("PixelMeasuresSequence") if groups else None
    return measures[0] if measures else None
