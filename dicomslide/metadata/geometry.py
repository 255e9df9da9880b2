"""Pixels of a total pixel matrix and millimetres on the slide (PS3.3 C.8.12.2.1).

The slide coordinate system belongs to the upright standing slide: X runs along the short side, Y
along the long side. Positions of pixels are positions of their centres.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import Dataset

from dicomslide.damage import reads_image
from dicomslide.errors import InvalidImageError
from dicomslide.metadata.functional_groups import frame_groups

__all__ = ["ImageGeometry", "pixel_spacing", "read_geometry"]

_PARALLEL = 1e-6


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
        # Adding zero turns a negative zero of the attribute into a positive one: -180 is 180
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
        """The same plane at another Z in millimetres."""
        return replace(self, origin=(self.origin[0], self.origin[1], z))

    def to_slide(self, pixel_indices: ArrayLike) -> NDArray[np.float64]:
        """Map (row, column) indices, shape (n, 2), to (x, y, z) in millimetres, shape (n, 3).

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
        """Map (x, y, z) in millimetres, shape (n, 3), to (row, column), shape (n, 2), as fractions.

        A point above or below the image plane maps to the pixel that it projects onto.
        """
        offsets = np.asarray(slide_coordinates, dtype=np.float64) - np.array(self.origin)
        indices: NDArray[np.float64] = offsets @ self._along_axes / np.array(self.spacing)
        return indices

    @cached_property
    def _along_axes(self) -> NDArray[np.float64]:
        """Distances along a column and a row for one millimetre of X, Y and Z, shape (3, 2)."""
        axes = np.stack([self.column_direction, self.row_direction], axis=-1)
        # The least squares solution is exact for cosines that rounding left slightly oblique
        return np.asarray(np.linalg.pinv(axes).T, dtype=np.float64)

    def bounds(self, size: tuple[int, int]) -> tuple[tuple[float, float], tuple[float, float]]:
        """Get the rectangle on the slide that a matrix of (rows, columns) covers.

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


def to_upright(region: NDArray, geometry: ImageGeometry) -> NDArray:
    """Turn a region of an axis-aligned image: its columns run along +X then, its rows along -Y.

    The first two axes of `region` are rows and columns; the result is a view.
    """
    row_x, row_y, column_x, column_y = (geometry.orientation[i] for i in (0, 1, 3, 4))
    if not geometry.rows_run_along_x:
        region = region.swapaxes(0, 1)
        row_x, column_y = column_x, row_y
    return region[:: -1 if column_y > 0 else 1, :: -1 if row_x < 0 else 1]


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
    if not all(math.isfinite(value) and value > 0 for value in spacing):
        raise InvalidImageError(
            f"image {dataset.get('SOPInstanceUID')}: Pixel Spacing {spacing} must be positive"
        )
    return spacing


@reads_image
def spacing_between_planes(dataset: Dataset) -> float:
    """Read Spacing Between Slices in millimetres; 0 where there is none."""
    measures = _pixel_measures(dataset)
    value = None if measures is None else measures.get("SpacingBetweenSlices")
    return 0.0 if value is None else float(value)


@reads_image
def read_geometry(dataset: Dataset) -> ImageGeometry | None:
    """Read the geometry of a tiled image.

    Returns
    -------
    ImageGeometry or None
        None where the image lacks the attributes that place it on the slide, which LABEL and
        OVERVIEW images may

    Raises
    ------
    InvalidImageError
        When an attribute is there but makes no sense
    """
    spacing = pixel_spacing(dataset)
    orientation = dataset.get("ImageOrientationSlide")
    origins = dataset.get("TotalPixelMatrixOriginSequence")
    if spacing is None or orientation is None or not origins:
        return None
    if len(orientation) != 6:
        raise InvalidImageError(f"Image Orientation (Slide) {orientation} has no six values")
    a, b, c, d, e, f = (float(value) for value in orientation)
    lengths = math.hypot(a, b, c), math.hypot(d, e, f)
    deviations = (*(abs(length - 1) for length in lengths), abs(a * d + b * e + c * f))
    if not all(deviation <= 1e-3 for deviation in deviations):
        raise InvalidImageError(
            f"Image Orientation (Slide) {[a, b, c, d, e, f]} are no direction cosines of "
            "perpendicular axes"
        )
    x, y, z = origin_of(dataset)
    return ImageGeometry((x, y, z / 1000), (a, b, c, d, e, f), spacing)


@reads_image
def origin_of(dataset: Dataset) -> tuple[float, float, float]:
    """Read Total Pixel Matrix Origin: X and Y in millimetres, Z in micrometres."""
    origins = dataset.get("TotalPixelMatrixOriginSequence")
    if not origins:
        return 0.0, 0.0, 0.0
    item = origins[0]
    x, y, z = (
        float(item.get(f"{axis}OffsetInSlideCoordinateSystem") or 0.0) for axis in ("X", "Y", "Z")
    )
    if not all(math.isfinite(value) for value in (x, y, z)):
        raise InvalidImageError(
            f"image {dataset.get('SOPInstanceUID')}: Total Pixel Matrix Origin {(x, y, z)}"
        )
    return x, y, z


def _pixel_measures(dataset: Dataset) -> Dataset | None:
    shared = dataset.get("SharedFunctionalGroupsSequence")
    measures = shared[0].get("PixelMeasuresSequence") if shared else None
    if not measures:
        groups = frame_groups(dataset)
        measures = groups[0].get("PixelMeasuresSequence") if groups else None
    return measures[0] if measures else None


@dataclass(frozen=True)
class RelativePlacement:
    """Where the pixels of a level lie on the grid of the base level.

    Along each axis the edge before pixel `i` of the level is at ``start + scale * i`` in units of
    base pixels, counted from the edge before base pixel 0.

    Parameters
    ----------
    scale : tuple of float
        Rows and columns of the base level for one of the level
    start : tuple of float
        Edge of the level's first row and column
    """

    scale: tuple[float, float]
    start: tuple[float, float]

    def centers(self, axis: int, count: int) -> NDArray:
        """Centres of the first `count` pixels along an axis, as base pixel indices."""
        return self.start[axis] + self.scale[axis] * (np.arange(count) + 0.5) - 0.5

    def pixel_at(self, base_pixel: tuple[int, int]) -> tuple[int, int]:
        """The pixel of the level in which the centre of a pixel of the base level lies."""
        row, column = (
            # Noise of the division must not decide for a centre on the edge between two pixels
            math.floor(round((base_pixel[axis] + 0.5 - self.start[axis]) / self.scale[axis], 6))
            for axis in range(2)
        )
        return row, column


def relative_placement(base: ImageGeometry, level: ImageGeometry) -> RelativePlacement:
    """Find where a level lies on the grid of the base level.

    Total Pixel Matrix Origin is the centre of the top left pixel (PS3.3 C.8.12.14.1.2), so it
    differs between the levels of an aligned pyramid. Most writers repeat the value of the base
    level at all levels, meaning the corner of the image: equal origins are read as equal corners.

    Raises
    ------
    InvalidImageError
        When the levels are not parallel
    """
    if np.abs(np.subtract(base.orientation, level.orientation)).max() > 1e-3:
        raise InvalidImageError(
            f"levels of one pyramid must be parallel, but their Image Orientation (Slide) is "
            f"{base.orientation} and {level.orientation}"
        )
    scale = level.spacing[0] / base.spacing[0], level.spacing[1] / base.spacing[1]
    if base.origin[:2] == level.origin[:2]:
        return RelativePlacement(scale, (0.0, 0.0))
    row, column = base.to_pixels(level.origin).tolist()
    return RelativePlacement(scale, (row + 0.5 - scale[0] / 2, column + 0.5 - scale[1] / 2))
