"""Lazy arrays of total pixel matrices, which read regions from the frames that hold them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomslide.errors import ArgumentValueError
from dicomslide.metadata.pixel_format import PixelFormat
from dicomslide.pixels.chunks import Chunks, as_dask, chunk_sizes, fewer_chunks
from dicomslide.pixels.color import ColorTransform
from dicomslide.pixels.filling import Inner, Piece, fill
from dicomslide.pixels.frames import ImageFrames
from dicomslide.pixels.indexing import (
    Axis,
    Indices,
    as_slice,
    ascending,
    normalize_index,
    outer_index,
    point_index,
    shifted,
    split_indices,
    taken,
)
from dicomslide.pixels.threads import default_threads
from dicomslide.sources.base import FrameSource
from dicomslide.tile import Tiling

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["FrameArray", "select_all"]


class Window(NamedTuple):
    """Grid of an array that is larger than, or cuts through, the total pixel matrix in it."""

    offset: tuple[int, int]
    """Row and column of the grid where the total pixel matrix begins"""
    size: tuple[int, int]
    """Rows and columns of the grid"""


@dataclass(frozen=True, eq=False)
class FrameArray:
    """Lazy array of one channel and focal plane of an image, picklable, for use from any thread.

    Parameters
    ----------
    frames : ImageFrames
        Frames of the image, shared by all of its arrays
    size : tuple of int
        Rows and columns of the total pixel matrix
    tiling : Tiling
        Positions of the frames in the total pixel matrix
    plane : tuple of int
        Indices of channel and focal plane, which tell arrays of one source apart
    transform : ColorTransform, optional
        Colour correction of the pixels
    label : int, optional
        Segment number of a label map: the array is True where the pixels have this value
    threads : int, optional
        Number of threads of a read; see `default_threads` for the default
    window : Window, optional
        Grid of the array, if it is not that of the total pixel matrix
    """

    frames: ImageFrames
    size: tuple[int, int]
    tiling: Tiling
    plane: tuple[int, int]
    transform: ColorTransform | None = None
    label: int | None = None
    threads: int | None = None
    window: Window | None = None

    @property
    def source(self) -> FrameSource:
        """Source of the encoded frames."""
        return self.frames.source

    @property
    def pixel_format(self) -> PixelFormat:
        """Pixel format of the frames."""
        return self.frames.pixel_format

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of rows, columns and samples."""
        size = self.size if self.window is None else self.window.size
        return (*size, self.pixel_format.shape[2])

    def placed(self, offset: tuple[int, int], size: tuple[int, int]) -> FrameArray:
        """Return the array on another grid, whose pixels outside the matrix are background.

        An array of floats has NaN there, and between its frames.

        Parameters
        ----------
        offset : tuple of int
            Row and column of the grid where the matrix of this array begins
        size : tuple of int
            Rows and columns of the grid
        """
        has_gaps = self.dtype.kind == "f" and not self.tiling.complete
        if offset == (0, 0) and size == self.size and not has_gaps:
            return self
        return replace(self, window=Window(offset, size))

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return 3

    @property
    def dtype(self) -> np.dtype:
        """Data type of the pixels."""
        return np.dtype(bool) if self.label is not None else self.pixel_format.dtype

    @property
    def background(self) -> float:
        """Value of pixels that no frame covers."""
        if self.label is not None:
            return 0
        if self.window is not None and self.dtype.kind == "f":
            return math.nan
        return self.pixel_format.background

    @property
    def tile_shape(self) -> tuple[int, int, int]:
        """Rows, columns and samples of a tile."""
        return self.pixel_format.shape

    @cached_property
    def token(self) -> str:
        """Key that is equal for the same pixels, also in another process.

        It depends on the frames, their version, and all that turns them into pixels.
        """
        profile = self.transform and hashlib.sha256(self.transform.profile).hexdigest()
        parts = (
            self.source.token,
            self.pixel_format.token,
            self.size,
            self.tiling.token,
            self.plane,
            self.label,
            profile,
            self.window,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def __dask_tokenize__(self) -> str:
        return self.token

    def __getitem__(self, key: Any) -> NDArray:
        """Read pixels by a basic index, as NumPy would from the whole array."""
        return self.select(normalize_index(key, self.shape))

    def outer(self, key: Sequence[Any]) -> NDArray:
        """Read pixels by integers, slices and arrays of integers that each select along an axis."""
        return self.select(outer_index(key, self.shape))

    def points(self, key: Sequence[NDArray]) -> NDArray:
        """Read single pixels by arrays of rows, columns and samples, as NumPy would."""
        rows, columns, samples = point_index(key, self.shape)
        pixels = self.read_points(rows.ravel(), columns.ravel())
        return pixels[np.arange(len(pixels)), samples.ravel()].reshape(rows.shape)

    def select(self, axes: Sequence[Axis]) -> NDArray:
        """Read pixels by the indices along rows, columns and samples."""
        return select_all([self], axes)[0]

    def select_covered(self, axes: Sequence[Axis]) -> NDArray[np.bool_]:
        """Compute which pixels of `select` lie in a frame, by its indices of rows and columns."""
        (rows, columns), dropped = zip(*axes[:2], strict=True)
        (rows, down), (columns, across) = ascending(rows), ascending(columns)
        return np.asarray(taken(self.covered(rows, columns), (down, across), dropped))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError("the pixels have to be decoded, which is a copy")
        return np.asarray(self[...], dtype=dtype)

    def read(self, rows: Indices, columns: Indices, *, crop: bool = True) -> NDArray:
        """Read the pixels at given rows and columns.

        Only the frames that hold at least one of the pixels are read, many of them with one call to
        the source.

        Parameters
        ----------
        rows, columns : range or numpy.ndarray
            Ascending indices, which may lie outside the matrix
        crop : bool
            Whether pixels of edge frames that lie outside the matrix become background

        Returns
        -------
        numpy.ndarray
            Pixels of shape (rows, columns, samples), which are background where no frame lies

        Raises
        ------
        FrameError
            When a frame cannot be located or decoded
        SourceError
            When the file or the server does not deliver
        """
        return self.read_windows([(rows, columns)], crop=crop)[0]

    def read_windows(
        self,
        windows: Sequence[tuple[Indices, Indices]],
        *,
        crop: bool = True,
        out: NDArray | None = None,
    ) -> list[NDArray]:
        """Read several windows together, as `read` reads one, and each frame once.

        A frame stays in memory until its pixels are copied to all windows that it touches.

        Parameters
        ----------
        windows : sequence of tuple
            Indices of the rows and of the columns of each window
        crop : bool
            Whether pixels of edge frames that lie outside the matrix become background
        out : numpy.ndarray, optional
            Array for windows of one size, of shape (windows, rows, columns, samples)
        """
        arrays, pieces = self._windows(windows, crop, out)
        fill(pieces, self._threads)
        return arrays

    def _windows(
        self, windows: Sequence[tuple[Indices, Indices]], crop: bool, out: NDArray | None
    ) -> tuple[list[NDArray], list[Piece]]:
        """Make the arrays of windows, and find the pieces of frames that belong into them."""
        windows = [self._in_matrix(rows, columns) for rows, columns in windows]
        if out is None:
            arrays = [self._canvas(rows, columns) for rows, columns in windows]
        else:
            arrays = list(out)
            for array, (rows, columns) in zip(arrays, windows, strict=True):
                if not self.covers(rows, columns):
                    array[...] = self.background
        pieces = [
            piece
            for out, (rows, columns) in zip(arrays, windows, strict=True)
            if out.size
            for piece in self._pieces(out, rows, columns, crop)
        ]
        return arrays, pieces

    def read_points(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray:
        """Read single pixels; only the frames that hold at least one of them are read.

        Parameters
        ----------
        rows, columns : numpy.ndarray
            Indices in any order, shape (points,)

        Returns
        -------
        numpy.ndarray
            Pixels of shape (points, samples), which are background where no frame lies
        """
        pixels = np.full((len(rows), self.shape[2]), self.background, self.dtype)
        found = list(self._points(rows, columns))
        fill([piece for piece, _ in found], self._threads)
        # Frames are pasted in their order: where they overlap, the later one is on top
        for piece, places in sorted(found, key=lambda item: item[0].frame):
            pixels[places] = piece.out[:, 0]
        return pixels

    def covered_points(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Compute which points of `read_points` lie in a frame, shape (points,)."""
        mask = np.zeros(len(rows), bool)
        for _, places in self._points(rows, columns):
            mask[places] = True
        return mask

    def covered(self, rows: Indices, columns: Indices) -> NDArray[np.bool_]:
        """Compute which pixels of a window lie in a frame and in the matrix, (rows, columns)."""
        mask = np.zeros((len(rows), len(columns)), bool)
        rows, columns = self._in_matrix(rows, columns)
        if mask.size:
            for piece in self._pieces(mask, rows, columns, crop=True):
                piece.out[piece.place] = True
        return mask

    def touches_frames(self, rows: range, columns: range) -> bool:
        """Whether any pixel of a window lies in a frame."""
        down, across = (0, 0) if self.window is None else self.window.offset
        top, left = rows.start - down, columns.start - across
        return bool(self.tiling.find(top, left, top + len(rows), left + len(columns))[0])

    def covers(self, rows: Indices, columns: Indices) -> bool:
        """Whether all pixels of a window lie in the matrix and in a frame."""
        return self.tiling.complete and all(
            len(indices) and int(indices[0]) in bound and int(indices[-1]) in bound
            for indices, bound in zip((rows, columns), self._bounds, strict=True)
        )

    @property
    def _threads(self) -> int:
        """Number of threads of a read; one where frames overlap, as their order counts then."""
        return (self.threads or default_threads()) if self.tiling.disjoint else 1

    @property
    def _bounds(self) -> tuple[range, range]:
        """Rows and columns of the matrix that lie in the grid of the array."""
        (top, left), size = self.window or Window((0, 0), self.size)
        rows, columns = (
            range(max(-start, 0), min(extent - start, whole))
            for start, extent, whole in zip((top, left), size, self.size, strict=True)
        )
        return rows, columns

    def _in_matrix(self, rows: Indices, columns: Indices) -> tuple[Indices, Indices]:
        """Convert indices of the array's grid to indices of the matrix."""
        if self.window is None:
            return rows, columns
        top, left = self.window.offset
        return shifted(rows, top), shifted(columns, left)

    def _canvas(self, rows: Indices, columns: Indices) -> NDArray:
        """Make an array for a window, filled with background unless frames cover all of it."""
        shape = (len(rows), len(columns), self.shape[2])
        if self.covers(rows, columns):
            return np.empty(shape, self.dtype)
        return np.full(shape, self.background, self.dtype)

    def _pieces(self, out: NDArray, rows: Indices, columns: Indices, crop: bool) -> Iterator[Piece]:
        """Yield a piece for each frame that holds pixels of a window, with the pixels it holds."""
        height, width = self.tile_shape[:2]
        bounds = self._bounds
        top, left = max(int(rows[0]), bounds[0].start), max(int(columns[0]), bounds[1].start)
        bottom, right = int(rows[-1]) + 1, int(columns[-1]) + 1
        if crop:
            bottom, right = min(bottom, bounds[0].stop), min(right, bounds[1].stop)
        frames, positions = self.tiling.find(top, left, bottom, right)
        # Spans are computed once for each row and column of tiles, not for each frame
        tops, lefts = map(set, zip(*positions, strict=True)) if positions else ((), ())
        down = {row: _span(rows, row, height, (top, bottom), self.size[0]) for row in tops}
        across = {
            column: _span(columns, column, width, (left, right), self.size[1]) for column in lefts
        }
        for frame, (row, column) in zip(frames, positions, strict=True):
            in_rows, inner_rows, needed_rows = down[row]
            in_columns, inner_columns, needed_columns = across[column]
            if in_rows.stop > in_rows.start and in_columns.stop > in_columns.start:
                needed, inner = (needed_rows, needed_columns), (inner_rows, inner_columns)
                yield self._piece(frame, needed, _crossed(*inner), out, (in_rows, in_columns))

    def _piece(
        self,
        frame: int,
        needed: tuple[int, int],
        inner: Inner,
        out: NDArray,
        place: tuple[slice, slice],
    ) -> Piece:
        return Piece(self.frames, frame, needed, inner, out, place, self.transform, self.label)

    def _points(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> Iterator[tuple[Piece, NDArray[np.intp]]]:
        """Yield a piece for each frame that holds points, with the indices of these points."""
        rows, columns = (np.asarray(part) for part in self._in_matrix(rows, columns))
        down, across = self._bounds
        inside = (rows >= down.start) & (rows < down.stop)
        inside &= (columns >= across.start) & (columns < across.stop)
        known = np.flatnonzero(inside)
        height, width = self.tile_shape[:2]
        # Points are grouped by cells of the regular grid, where usually one frame lies, or a few
        # frames that do not lie on the grid
        cells = rows[known] // height * self.size[1] + columns[known] // width
        order = np.argsort(cells, kind="stable")
        starts = np.flatnonzero(np.diff(cells[order])) + 1
        for places in np.split(known[order], starts) if len(known) else ():
            y, x = rows[places], columns[places]
            box = int(y.min()), int(x.min()), int(y.max()) + 1, int(x.max()) + 1
            for frame, (top, left) in zip(*self.tiling.find(*box), strict=True):
                held = (y >= top) & (y < top + height) & (x >= left) & (x < left + width)
                if held.any():
                    inner = y[held, np.newaxis] - top, x[held, np.newaxis] - left
                    needed = min(height, self.size[0] - top), min(width, self.size[1] - left)
                    out = np.empty((len(inner[0]), 1, self.shape[2]), self.dtype)
                    piece = self._piece(frame, needed, inner, out, (slice(None), slice(None)))
                    yield piece, places[held]

    def to_dask(self, chunks: Chunks = "frames") -> da.Array:
        """Make a dask array of the pixels.

        Parameters
        ----------
        chunks : {"frames", "auto"}, int or tuple of int
            Size of a chunk: see `dicomslide.pixels.chunks.chunk_sizes`

        Returns
        -------
        dask.array.Array
            Array of shape (rows, columns, samples). Nothing is read, and the cost does not grow
            with the number of frames

        Raises
        ------
        TypeError
            When a size is no integer
        ValueError
            When `chunks` is none of these, or would be more chunks than dask can hold
        """
        sizes = self.chunk_sizes(chunks)
        rows, columns = fewer_chunks(self.shape, sizes)
        if (rows, columns) != sizes[:2]:
            raise ArgumentValueError(
                f"chunks: {self.shape[0]} x {self.shape[1]} pixels in chunks of {sizes[0]} x "
                f'{sizes[1]} are more chunks than dask can hold; pass "auto" or ({rows}, {columns})'
            )
        # One thread for each task, as dask runs as many tasks at once as there are processors
        single = replace(self, threads=1)
        return as_dask(single, f"total-pixel-matrix-{self.token}", sizes)

    def chunk_sizes(self, chunks: Chunks) -> tuple[int, int, int]:
        """Choose the size of chunks: see `dicomslide.pixels.chunks.chunk_sizes`."""
        request = self.source.batch_size if self.source.remote else 0
        return chunk_sizes(chunks, self.shape, self.tile_shape, self.dtype, request)


def select_all(arrays: Sequence[FrameArray], axes: Sequence[Axis]) -> NDArray:
    """Read the same pixels of several arrays together, each frame once.

    Parameters
    ----------
    arrays : sequence of FrameArray
        Arrays of one shape and type
    axes : sequence of tuple
        Indices along rows, columns and samples, and whether the axis is dropped

    Returns
    -------
    numpy.ndarray
        Pixels, whose first dimension is that of the arrays
    """
    (rows, columns, samples), dropped = zip(*axes, strict=True)
    if not len(samples):
        # An empty selection of samples needs no frames, whatever its rows and columns
        none = [len(indices) for indices, is_dropped in axes if not is_dropped]
        return np.empty((len(arrays), *none), arrays[0].dtype)
    (rows, down), (columns, across) = ascending(rows), ascending(columns)
    of_pixel = as_slice(samples) if isinstance(samples, range) else samples
    shape = (len(rows), len(columns), arrays[0].shape[2])
    found = np.empty((len(arrays), *shape), arrays[0].dtype)
    pieces = [
        piece
        for array, out in zip(arrays, found, strict=True)
        for piece in array._windows([(rows, columns)], True, out[np.newaxis])[1]
    ]
    fill(pieces, min(array._threads for array in arrays))
    return taken(found, (slice(None), down, across, of_pixel), (False, *dropped))


def _span(
    indices: Indices, start: int, size: int, bounds: tuple[int, int], end: int
) -> tuple[slice, slice | NDArray, int]:
    """Find the pixels that a tile at `start` and a window share along an axis, within bounds.

    Returns
    -------
    tuple of slice, slice or numpy.ndarray, and int
        Their places in the window, their indices in the tile, and the number of pixels of the tile
        before `end`
    """
    places = split_indices(indices, max(start, bounds[0]), min(start + size, bounds[1]))
    inner = shifted(indices[places], start)
    return (
        places,
        slice(inner.start, inner.stop, inner.step) if isinstance(inner, range) else inner,
        min(size, end - start),
    )


def _crossed(rows: slice | NDArray, columns: slice | NDArray) -> Inner:
    """Make the index of all pixels at given rows and columns of a frame."""
    if isinstance(rows, np.ndarray) and isinstance(columns, np.ndarray):
        return rows[:, np.newaxis], columns
    return rows, columns
