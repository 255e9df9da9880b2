"""Reading of upright regions of the slide from one total pixel matrix."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dicomslide.errors import ArgumentValueError
from dicomslide.matrix import TotalPixelMatrix
from dicomslide.metadata.geometry import ImageGeometry, to_upright

__all__ = ["nearest_pixels", "read_annotated_region", "read_slide_region"]


def nearest_pixels(geometry: ImageGeometry, slide_coordinates: object) -> NDArray[np.int64]:
    """Find the pixels with the nearest centres to positions on the slide; ties go to even indices.

    Parameters
    ----------
    geometry : ImageGeometry
        Geometry of the image
    slide_coordinates : array_like
        (x, y, z) in millimetres, shape (n, 3)

    Returns
    -------
    numpy.ndarray
        (row, column) indices, shape (n, 2)
    """
    # Rounding errors of the transform, of about 1e-10 pixels, must not decide a tie
    pixels = geometry.to_pixels(slide_coordinates).round(6)  # type: ignore[arg-type]
    return np.around(pixels).astype(np.int64)


def read_slide_region(
    matrix: TotalPixelMatrix,
    geometry: ImageGeometry,
    offset: tuple[float, float],
    size: tuple[float, float],
) -> NDArray:
    """Read a rectangle of the slide: the pixels whose centres lie in it.

    Parameters
    ----------
    matrix : TotalPixelMatrix
        Total pixel matrix that is read
    geometry : ImageGeometry
        Position of the matrix
    offset : tuple of float
        Smallest x and y in millimetres
    size : tuple of float
        Width along X and height along Y in millimetres; centres on the far edges are excluded

    Returns
    -------
    numpy.ndarray
        Pixels of shape (rows, columns, samples): columns run along +X, rows along -Y. Where the
        axes of the image are not parallel to those of the slide, pixels are interpolated linearly
        (segments: nearest pixel) on a grid that begins at `offset`

    Raises
    ------
    ArgumentValueError
        When the size is negative
    """
    if min(size) < 0:
        raise ArgumentValueError(f"size: {size} mm is negative")
    if not geometry.is_axis_aligned:
        step_x, step_y = geometry.spacing_xy
        counts = _count(size[1] / step_y), _count(size[0] / step_x)
        return _resample(matrix, geometry, offset, counts)
    return _read_upright(matrix, geometry, _pixels_in(geometry, offset, size))


def read_annotated_region(
    matrix: TotalPixelMatrix,
    geometry: ImageGeometry,
    low: Sequence[float] | NDArray[np.float64],
    high: Sequence[float] | NDArray[np.float64],
    margin: Sequence[float],
    pixels: Sequence[int],
) -> NDArray:
    """Read the bounding box of an annotation, which may be smaller than a pixel.

    Parameters
    ----------
    matrix : TotalPixelMatrix
        Total pixel matrix that is read
    geometry : ImageGeometry
        Position of the matrix
    low, high : sequence of float
        Smallest and largest (x, y) in millimetres
    margin : sequence of float
        Margin at the left (-X), top (+Y), right (+X) and bottom (-Y), in millimetres
    pixels : sequence of int
        Further margin at these sides, in pixels

    Returns
    -------
    numpy.ndarray
        Pixels as of `read_slide_region`; at least the pixel nearest to the centre of the box
    """
    left, top, right, bottom = margin
    offset = float(low[0]) - left, float(low[1]) - bottom
    size = float(high[0]) + right - offset[0], float(high[1]) + top - offset[1]
    more_left, more_top, more_right, more_bottom = pixels
    if not geometry.is_axis_aligned:
        step_x, step_y = geometry.spacing_xy
        columns = max(_count(size[0] / step_x), 1) + more_left + more_right
        rows = max(_count(size[1] / step_y), 1) + more_top + more_bottom
        corner = offset[0] - more_left * step_x, offset[1] - more_bottom * step_y
        return _resample(matrix, geometry, corner, (rows, columns))
    found = _pixels_in(geometry, offset, size)
    center = (offset[0] + size[0] / 2, offset[1] + size[1] / 2, geometry.origin[2])
    nearest = nearest_pixels(geometry, [center])[0].tolist()
    rows_and_columns = [
        indices if len(indices) else range(index, index + 1)
        for indices, index in zip(found, nearest, strict=True)
    ]
    # Pixels to add towards smaller and larger coordinates, along X and along Y
    x, y = (more_left, more_right), (more_bottom, more_top)
    along_columns, along_rows = (x, y) if geometry.rows_run_along_x else (y, x)
    padded = []
    for indices, (below, above), direction in zip(
        rows_and_columns, (along_rows, along_columns), _directions(geometry), strict=True
    ):
        before, after = (below, above) if direction > 0 else (above, below)
        padded.append(range(indices.start - before, indices.stop + after))
    return _read_upright(matrix, geometry, (padded[0], padded[1]))


def _directions(geometry: ImageGeometry) -> tuple[float, float]:
    """Return the signs of the steps along X or Y from row to row, and from column to column."""
    row, column = geometry.row_direction, geometry.column_direction
    along = (1, 0) if geometry.rows_run_along_x else (0, 1)
    return float(np.sign(column[along[0]])), float(np.sign(row[along[1]]))


def _pixels_in(
    geometry: ImageGeometry, offset: tuple[float, float], size: tuple[float, float]
) -> tuple[range, range]:
    """Find rows and columns of an aligned image whose centres lie in [offset, offset + size)."""
    (x, y), (width, height), z = offset, size, geometry.origin[2]
    # Rounding errors of the transform, of about 1e-10 pixels, must not decide at an edge
    corners = geometry.to_pixels([(x, y, z), (x + width, y + height, z)]).round(6)
    ranges = []
    for near, far in corners.T:
        # Where indices descend along the axis of the slide the far edge has the smaller index
        start, stop = (
            (np.ceil(near), np.ceil(far))
            if near <= far
            else (np.floor(far) + 1, np.floor(near) + 1)
        )
        ranges.append(range(int(start), int(stop)))
    return ranges[0], ranges[1]


def _read_upright(
    matrix: TotalPixelMatrix, geometry: ImageGeometry, pixels: tuple[range, range]
) -> NDArray:
    rows, columns = pixels
    region = matrix.read_region((rows.start, columns.start), (len(rows), len(columns)))
    return to_upright(region, geometry)


def _count(length: float) -> int:
    """Count the steps that begin within a length, up to rounding errors."""
    return math.ceil(round(length, 6))


def _resample(
    matrix: TotalPixelMatrix,
    geometry: ImageGeometry,
    offset: tuple[float, float],
    size: tuple[int, int],
) -> NDArray:
    step_x, step_y = geometry.spacing_xy
    rows, columns = size
    if rows == 0 or columns == 0:
        return np.empty((rows, columns, matrix.shape[2]), matrix.dtype)
    x = offset[0] + step_x * np.arange(columns)
    y = offset[1] + step_y * np.arange(rows)[::-1]
    points = np.empty((rows, columns, 3))
    points[..., 0], points[..., 1], points[..., 2] = x, y[:, np.newaxis], geometry.origin[2]
    positions = geometry.to_pixels(points)
    corner = np.floor(positions.min(axis=(0, 1))).astype(int)
    extent = np.ceil(positions.max(axis=(0, 1))).astype(int) - corner + 2
    source = matrix.read_region((int(corner[0]), int(corner[1])), (int(extent[0]), int(extent[1])))
    return _interpolate(source, positions - corner)


def _interpolate(source: NDArray, positions: NDArray[np.float64]) -> NDArray:
    """Interpolate at fractional (row, column) positions: the nearest for bool, else bilinear."""
    if source.dtype == bool:
        nearest = np.around(positions.round(6)).astype(int)
        return source[nearest[..., 0], nearest[..., 1]]
    low = np.floor(positions).astype(int)
    row, column = low[..., 0], low[..., 1]
    down, across = np.moveaxis(positions - low, -1, 0)[..., np.newaxis]
    upper = source[row, column] * (1 - across) + source[row, column + 1] * across
    lower = source[row + 1, column] * (1 - across) + source[row + 1, column + 1] * across
    values = upper * (1 - down) + lower * down
    if np.issubdtype(source.dtype, np.integer):
        values = np.around(values)
    return values.astype(source.dtype)
