"""Regions of the slide, upright, from the pixels of one total pixel matrix."""

import numpy as np
from numpy.typing import NDArray

from dicomslide.errors import ArgumentValueError
from dicomslide.matrix import TotalPixelMatrix
from dicomslide.metadata.geometry import ImageGeometry, to_upright

__all__ = ["nearest_pixels", "read_slide_region"]


def nearest_pixels(geometry: ImageGeometry, slide_coordinates: object) -> NDArray[np.int64]:
    """Find the pixels whose centres are nearest to positions on the slide, ties to the even index.

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
    # A map and its inverse agree to about 1e-10 pixels; that noise must not decide a tie
    pixels = geometry.to_pixels(slide_coordinates).round(6)  # type: ignore[arg-type]
    return np.around(pixels).astype(np.int64)


def read_slide_region(
    matrix: TotalPixelMatrix,
    geometry: ImageGeometry,
    offset: tuple[float, float],
    size: tuple[float, float],
) -> NDArray:
    """Read a rectangle of the slide.

    Parameters
    ----------
    matrix : TotalPixelMatrix
        Pixels
    geometry : ImageGeometry
        Where they lie
    offset : tuple of float
        Smallest x and y in millimetres
    size : tuple of float
        Width along X and height along Y in millimetres

    Returns
    -------
    numpy.ndarray
        Pixels of shape (rows, columns, samples): columns run along +X, rows along -Y

    Raises
    ------
    ArgumentValueError
        When the size is negative
    """
    if min(size) < 0:
        raise ArgumentValueError(f"size: {size} mm is negative")
    if not geometry.is_axis_aligned:
        return _resample(matrix, geometry, offset, size)
    z = geometry.origin[2]
    (x, y), (width, height) = offset, size
    corners = nearest_pixels(geometry, [(x, y, z), (x + width, y + height, z)])
    first = corners.min(axis=0)
    extent = corners.max(axis=0) - first
    region = matrix.read_region((int(first[0]), int(first[1])), (int(extent[0]), int(extent[1])))
    return to_upright(region, geometry)


def _resample(
    matrix: TotalPixelMatrix,
    geometry: ImageGeometry,
    offset: tuple[float, float],
    size: tuple[float, float],
) -> NDArray:
    step_x, step_y = geometry.spacing_xy
    rows, columns = round(size[1] / step_y), round(size[0] / step_x)
    if rows == 0 or columns == 0:
        return np.empty((rows, columns, matrix.shape[2]), matrix.dtype)
    x = offset[0] + step_x * np.arange(columns)
    y = offset[1] + size[1] - step_y * np.arange(rows)
    points = np.empty((rows, columns, 3))
    points[..., 0], points[..., 1], points[..., 2] = x, y[:, np.newaxis], geometry.origin[2]
    positions = geometry.to_pixels(points)
    corner = np.floor(positions.min(axis=(0, 1))).astype(int)
    extent = np.ceil(positions.max(axis=(0, 1))).astype(int) - corner + 2
    source = matrix.read_region((int(corner[0]), int(corner[1])), (int(extent[0]), int(extent[1])))
    return _interpolate(source, positions - corner)


def _interpolate(source: NDArray, positions: NDArray[np.float64]) -> NDArray:
    """Take values at fractional (row, column) positions: the nearest for bool, else bilinear."""
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
