"""Pixels of areas, lines and points, found for many of them together.

Coordinates are (column, row) of pixels whose centres are whole numbers. Results are pairs of the
index of an annotation and the flat index of a pixel in a window.
"""

import numpy as np
from numpy.typing import NDArray

from dicomslide.annotations.vectors import Vectors

__all__ = ["fill", "ranges"]

Pixels = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Indices of annotations, and flat indices of their pixels."""


def fill(graphic_type: str, vectors: Vectors, window: tuple[int, int]) -> Pixels:
    """Find the pixels of annotations in a window.

    Parameters
    ----------
    graphic_type : str
        POINT, POLYLINE, or anything else for areas
    vectors : Vectors
        Points of the outlines, from the centre of the first pixel of the window
    window : tuple of int
        Rows and columns

    Returns
    -------
    tuple of numpy.ndarray
        Indices of annotations in ascending order, and flat indices of their pixels
    """
    # Rounding errors of transformations, of about 1e-10 pixels, must not decide at a centre
    vectors = Vectors(vectors.points.round(6), vectors.starts)
    if graphic_type == "POINT":
        owners = np.repeat(np.arange(len(vectors.counts)), vectors.counts)
        return _inside(owners, vectors.points[:, 0], vectors.points[:, 1], window)
    if graphic_type == "POLYLINE":
        return _lines(vectors, window)
    return _areas(vectors, window)


def _areas(vectors: Vectors, window: tuple[int, int]) -> Pixels:
    """Find the pixels whose centres lie in polygons, by the even-odd rule.

    A centre on an edge is inside if the area is to its right, or below where the edge runs along a
    row: areas that share an edge share no pixel.
    """
    points, starts = vectors
    following = np.arange(1, len(points) + 1)
    following[starts[1:] - 1] = starts[:-1]
    owners = np.repeat(np.arange(len(starts) - 1), vectors.counts)
    (x, y), (x_end, y_end) = points.T, points[following].T
    # Rows whose centres an edge crosses; those on its lower end belong to the next edge
    first = np.clip(np.ceil(np.minimum(y, y_end)), 0, window[0]).astype(np.int64)
    last = np.clip(np.ceil(np.maximum(y, y_end)), 0, window[0]).astype(np.int64)
    edges, rows = ranges(first, last)
    slope = (x_end[edges] - x[edges]) / (y_end[edges] - y[edges])
    crossing = x[edges] + (rows - y[edges]) * slope
    order = np.lexsort((crossing, rows, owners[edges]))
    # Every row of an area is crossed an even number of times: in, out, in, out
    columns = np.clip(np.ceil(crossing[order].round(6)), 0, window[1]).astype(np.int64)
    entries = order[::2]
    spans, found = ranges(columns[::2], columns[1::2])
    return owners[edges][entries][spans], rows[entries][spans] * window[1] + found


def _lines(vectors: Vectors, window: tuple[int, int]) -> Pixels:
    """Find the pixels that lines pass through."""
    points, starts = vectors
    is_start = np.ones(len(points), bool)
    is_start[starts[1:] - 1] = False
    begins = np.flatnonzero(is_start)
    owners = np.repeat(np.arange(len(starts) - 1), vectors.counts)[begins]
    begin, step = points[begins], points[begins + 1] - points[begins]
    # Parts of a line between the edges of pixels, by where they start and end along it
    places, segments = [np.zeros(len(begins)), np.ones(len(begins))], [np.arange(len(begins))] * 2
    for axis in range(2):
        low, high = np.sort([begin[:, axis], begin[:, axis] + step[:, axis]], axis=0)
        most = float(window[1 - axis])
        edges = np.clip([np.floor(low + 0.5), np.ceil(high - 0.5)], -1, most + 1).astype(np.int64)
        own, edge = ranges(edges[0], edges[1])
        places.append((edge + 0.5 - begin[own, axis]) / step[own, axis])
        segments.append(own)
    place, segment = np.concatenate(places), np.concatenate(segments)
    order = np.lexsort((place, segment))
    place, segment = place[order], segment[order]
    is_part = segment[1:] == segment[:-1]
    middle = ((place[1:] + place[:-1]) / 2)[is_part]
    segment = segment[1:][is_part]
    x, y = (begin[segment] + middle[:, np.newaxis] * step[segment]).T
    return _inside(owners[segment], x, y, window)


def _inside(owners: NDArray[np.int64], x: NDArray, y: NDArray, window: tuple[int, int]) -> Pixels:
    """Find the pixels in which positions lie, and leave out those outside of the window."""
    column, row = (np.floor(values.round(6) + 0.5) for values in (x, y))
    kept = (column >= 0) & (column < window[1]) & (row >= 0) & (row < window[0])
    return owners[kept], (row[kept] * window[1] + column[kept]).astype(np.int64)


def ranges(first: NDArray[np.int64], stop: NDArray[np.int64]) -> Pixels:
    """List the integers of many ranges, each with the index of its range."""
    counts = np.maximum(stop - first, 0)
    owners = np.repeat(np.arange(len(first)), counts)
    before = np.cumsum(counts) - counts
    return owners, np.arange(len(owners)) - before[owners] + first[owners]
