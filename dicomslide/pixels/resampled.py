"""Lazy arrays with larger or smaller pixels than another one, by means over their areas."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.chunks import Chunks, as_dask, chunk_sizes, fewer_chunks
from dicomslide.pixels.indexing import as_slice, normalize_index, taken

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["AreaMeans", "ResampledArray", "areas_of"]

# About the number of bytes of the source that are read and added up at once
_BLOCK_BYTES = 2**23


@dataclass(frozen=True, eq=False)
class ResampledArray:
    """Lazy array of the pixels of another one at another spacing, for use from any thread.

    Both grids begin at the same corner. A value is the mean of the source over the area of the
    pixel: each pixel of the source is weighted by the part of it that lies in the area. Where the
    source has integers, the mean is rounded to the nearest one, ties to even. The part of an area
    beyond the source and NaN do not count; an area outside the source is background. Truth values
    cannot be averaged: their value is that of the source's pixel at the centre of the area.

    The same rule makes smaller pixels, with the source constant over each of its pixels: values are
    repeated, and mixed where a new pixel lies across a border.

    Parameters
    ----------
    source : FrameArray
        Array that is resampled
    scale : tuple of float
        Rows and columns of the source for one row and one column of this array
    """

    source: FrameArray
    scale: tuple[float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of rows, columns and samples; the last row and column may exceed the source."""
        rows, columns = (
            max(int(np.ceil(round(extent / step, 6))), 1)
            for extent, step in zip(self.source.shape[:2], self.scale, strict=True)
        )
        return rows, columns, self.source.shape[2]

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return 3

    @property
    def dtype(self) -> np.dtype:
        """Data type of the pixels."""
        return self.source.dtype

    @property
    def token(self) -> str:
        """Key that is equal for the same pixels, also in another process."""
        return hashlib.sha256(repr((self.source.token, self.scale)).encode()).hexdigest()[:32]

    def __dask_tokenize__(self) -> str:
        return self.token

    def __getitem__(self, key: Any) -> NDArray:
        """Read pixels by a basic index, as NumPy would from the whole array."""
        (rows, columns, samples), dropped = zip(*normalize_index(key, self.shape), strict=True)
        places = slice(None), slice(None), as_slice(samples)
        return taken(self.read(rows, columns), places, dropped)

    def read(self, rows: range, columns: range) -> NDArray:
        """Read the pixels at given rows and columns, which may lie outside the array.

        The frames of the source are read in blocks one after the other, each frame once.

        Returns
        -------
        numpy.ndarray
            Pixels of shape (rows, columns, samples)
        """
        down, across = (
            areas_of(indices, step, extent, self.dtype.kind == "b")
            for indices, step, extent in zip(
                (rows, columns), self.scale, self.source.shape[:2], strict=True
            )
        )
        means = AreaMeans(down, across, self.shape[2], self.dtype)
        height, width = self._block()
        for top, bottom in _blocks(down, height):
            for left, right in _blocks(across, width):
                means.add(self.source.read(range(top, bottom), range(left, right)), top, left)
        return means.take(self.source.background)

    def _block(self) -> tuple[int, int]:
        """Choose rows and columns of the source that are read at once, as a square of tiles."""
        height, width, samples = self.source.tile_shape
        tile_bytes = height * width * samples * self.dtype.itemsize
        side = max(int((_BLOCK_BYTES / tile_bytes) ** 0.5), 1)
        return side * height, side * width

    def to_dask(self, chunks: Chunks = "auto") -> da.Array:
        """Make a dask array of the pixels.

        Parameters
        ----------
        chunks : {"auto", "frames"}, int or tuple of int
            Chunks for as many pixels of the source as its own chunks of that kind have, or
            (rows, columns) of this array. They are larger where these would be more chunks than
            dask can hold

        Returns
        -------
        dask.array.Array
            Array of shape (rows, columns, samples). Nothing is read

        Raises
        ------
        TypeError
            When a size is no integer
        ValueError
            When `chunks` is none of these
        """
        if isinstance(chunks, str):
            of_source = self.source.chunk_sizes(chunks)
            # Chunks do not grow where pixels become smaller, as they would take more memory
            chunks = tuple(
                max(round(size / max(step, 1)), 1)
                for size, step in zip(of_source[:2], self.scale, strict=True)
            )
        sizes = chunk_sizes(chunks, self.shape, (1, 1, self.shape[2]), self.dtype)
        rows, columns = fewer_chunks(self.shape, sizes)
        # One thread for each task, as dask runs as many tasks at once as there are processors
        single = replace(self, source=replace(self.source, threads=1))
        return as_dask(single, f"resampled-{self.token}", (rows, columns, self.shape[2]))


class AreaMeans:
    """Means of pixels over areas, to which blocks of the pixels are added one after the other.

    Parameters
    ----------
    down, across : numpy.ndarray
        Start and end of each area, in pixels: see `areas_of`
    samples : int
        Number of samples of a pixel
    dtype : numpy.dtype
        Data type of the pixels
    """

    def __init__(
        self,
        down: NDArray[np.float64],
        across: NDArray[np.float64],
        samples: int,
        dtype: np.dtype,
    ) -> None:
        self._down, self._across, self._dtype = down, across, dtype
        self._sums = np.zeros((len(down), len(across), samples))
        if dtype.kind == "f":
            # NaN does not count: weights are added up with the values
            self._weights = np.zeros(self._sums.shape)
        else:
            self._weights = np.multiply.outer(np.diff(down)[:, 0], np.diff(across))

    def add(self, pixels: NDArray, top: int, left: int) -> None:
        """Add a block of shape (rows, columns, samples) that begins at a pixel; it may change."""
        down, across = self._down - top, self._across - left
        if self._dtype.kind == "f":
            known = ~np.isnan(pixels)
            pixels[~known] = 0
            _add(self._weights, known, down, across)
        _add(self._sums, pixels, down, across)

    def take(self, background: float) -> NDArray:
        """Take the means: background where no pixel was added."""
        sums = self._sums
        weights = np.broadcast_to(self._weights, sums.shape)
        outside = weights == 0
        np.divide(sums, weights, out=sums, where=~outside)
        if self._dtype.kind in "iu":
            # Rounding errors of the weights must not decide a tie
            np.rint(sums.round(6), out=sums)
        sums[outside] = background
        return sums.astype(self._dtype)


def areas_of(indices: range, step: float, extent: int, is_centre: bool) -> NDArray[np.float64]:
    """Compute the intervals that pixels cover on an axis of the source, in its pixels.

    Returns
    -------
    numpy.ndarray
        Start and end of each pixel, or of the source's pixel at its centre, clipped to the source;
        shape (indices, 2)
    """
    places = np.array(indices, np.float64)
    if is_centre:
        starts = np.floor((step * (places + 0.5)).round(6))
        ends = starts + 1
    else:
        # Rounding errors of the products must not become pixels with tiny weights
        starts, ends = ((step * edges).round(6) for edges in (places, places + 1))
    return np.stack([starts, ends], axis=-1).clip(0, extent)


def _blocks(areas: NDArray[np.float64], step: int) -> Iterator[tuple[int, int]]:
    """Yield intervals of an axis that areas cover, cut at multiples of a step, without gaps."""
    covered = areas[areas[:, 0] < areas[:, 1]]
    if not len(covered):
        return
    first, last = int(covered.min()) // step, int(np.ceil(covered.max() / step))
    for place in range(first, last):
        low, high = place * step, (place + 1) * step
        inside = covered[(covered[:, 1] > low) & (covered[:, 0] < high)].clip(low, high)
        if len(inside):
            yield int(inside.min()), int(np.ceil(inside.max()))


def _add(
    sums: NDArray[np.float64],
    block: NDArray,
    down: NDArray[np.float64],
    across: NDArray[np.float64],
) -> None:
    """Add the pixels of a block to weighted sums; areas are counted from its first pixel."""
    rows, columns = (
        (ends[:, 1] > 0) & (ends[:, 0] < extent)
        for ends, extent in zip((down, across), block.shape[:2], strict=True)
    )
    part = _sums(block, down[rows].clip(0, block.shape[0]))
    part = _sums(part.swapaxes(0, 1), across[columns].clip(0, block.shape[1]))
    sums[np.ix_(rows, columns)] += part.swapaxes(0, 1)


def _sums(pixels: NDArray, areas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum the pixels along the first axis in each area, weighted by the part that lies in it."""
    starts, ends = areas.T
    first = np.floor(starts).astype(int)
    sums = np.zeros((len(areas), *pixels.shape[1:]))
    for place in range(int((np.ceil(ends) - first).max(initial=0))):
        here = first + place
        weights = (np.minimum(ends, here + 1) - np.maximum(starts, here)).clip(0)
        taken = pixels[here.clip(max=len(pixels) - 1)]
        sums += taken * weights[:, np.newaxis, np.newaxis]
    return sums
