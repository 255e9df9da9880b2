"""Outlines and bounding boxes of annotations, computed for all of them together."""

import numpy as np
from numpy.typing import NDArray

from dicomslide.annotations.places import Affine
from dicomslide.annotations.vectors import Vectors

__all__ = ["ELLIPSE_POINTS", "bounding_boxes", "counterclockwise", "is_area", "outlines"]

ELLIPSE_POINTS = 64
"""Number of points of the polygon for an ellipse, which covers 99.8 percent of its area."""
_ANGLES = np.arange(ELLIPSE_POINTS) * (2 * np.pi / ELLIPSE_POINTS)


def is_area(graphic_type: str) -> bool:
    """Whether annotations of a graphic type are areas."""
    return graphic_type in ("POLYGON", "RECTANGLE", "ELLIPSE")


def outlines(graphic_type: str, vectors: Vectors) -> Vectors:
    """Return points along annotations: those of ellipses, instead of the ends of their axes.

    Parameters
    ----------
    graphic_type : str
        Graphic Type
    vectors : Vectors
        Points as stored

    Returns
    -------
    Vectors
        Corners of areas, the first of which is not repeated, or points as stored
    """
    if graphic_type != "ELLIPSE":
        return vectors
    centre, first, second = _ellipses(vectors.points)
    found = (
        centre[:, np.newaxis]
        + np.cos(_ANGLES)[:, np.newaxis] * first[:, np.newaxis]
        + np.sin(_ANGLES)[:, np.newaxis] * second[:, np.newaxis]
    )
    starts = np.arange(len(found) + 1, dtype=np.int64) * ELLIPSE_POINTS
    return Vectors(found.reshape(-1, found.shape[2]), starts)


def bounding_boxes(graphic_type: str, vectors: Vectors, transform: Affine) -> NDArray[np.float64]:
    """Compute the bounding boxes of annotations along the first two axes of a coordinate system.

    Parameters
    ----------
    graphic_type : str
        Graphic Type
    vectors : Vectors
        Points as stored
    transform : Affine
        Transformation of the points to the coordinate system

    Returns
    -------
    numpy.ndarray
        Smallest first, smallest second, largest first and largest second coordinate, shape (n, 4)
    """
    boxes = np.empty((len(vectors.starts) - 1, 4))
    if not len(boxes):
        return boxes
    if graphic_type == "ELLIPSE":
        centre, first, second = _ellipses(transform.apply(vectors.points)[:, :2])
        reach = np.sqrt(first**2 + second**2)
        boxes[:, :2], boxes[:, 2:] = centre - reach, centre + reach
        return boxes
    for axis in range(2):
        values = transform.axis(axis, vectors.points)
        boxes[:, axis] = np.minimum.reduceat(values, vectors.starts[:-1])
        boxes[:, axis + 2] = np.maximum.reduceat(values, vectors.starts[:-1])
    return boxes


def _ellipses(
    points: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Compute the centres and the half axes of ellipses from the ends of their axes."""
    ends = points.astype(np.float64).reshape(-1, 4, points.shape[1])
    return (
        ends[:, :2].mean(axis=1),
        (ends[:, 1] - ends[:, 0]) / 2,
        (ends[:, 3] - ends[:, 2]) / 2,
    )


def counterclockwise(
    x: NDArray[np.float64], y: NDArray[np.float64], starts: NDArray[np.int64]
) -> NDArray[np.int64] | slice:
    """Find the order of points in which all rings run counterclockwise.

    Parameters
    ----------
    x, y : numpy.ndarray
        Coordinates of the corners of all rings, shape (number of corners,)
    starts : numpy.ndarray
        Index of the first corner of each ring, and the number of corners, shape (n + 1,)

    Returns
    -------
    numpy.ndarray or slice
        Indices of corners, shape (number of corners,); each ring begins with its first corner. A
        slice of all where none is turned
    """
    if not len(x):
        return slice(None)
    counts = np.diff(starts)
    # Coordinates count from the first corner, as those of a slide are large against a cell. The
    # corner after the last one is then (0, 0), so that the last term of each ring vanishes
    x, y = (values - np.repeat(values[starts[:-1]], counts) for values in (x, y))
    terms = np.zeros(len(x))
    terms[:-1] = x[:-1] * y[1:] - x[1:] * y[:-1]
    terms[starts[1:] - 1] = 0
    clockwise = np.add.reduceat(terms, starts[:-1]) < 0
    if not clockwise.any():
        return slice(None)
    order = np.arange(len(x))
    own = counts[clockwise]
    first = np.repeat(starts[:-1][clockwise], own)
    place = np.arange(len(first)) - np.repeat(np.cumsum(own) - own, own)
    size = np.repeat(own, own)
    order[first + place] = first + (size - place) % size
    return order
