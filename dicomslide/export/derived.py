"""Levels that a slide does not store, computed from other levels."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomslide.export.calibration import Calibration
from dicomslide.export.grid import Block, BlockReader

__all__ = ["Derivation", "Nearest", "Reduced", "Reduction", "mean_of_four", "mode_of_four"]

# Elements of another level that are in memory together
_TOGETHER = 2**24

Reduction = Callable[[NDArray, NDArray, NDArray, NDArray], NDArray]


@dataclass(frozen=True)
class Reduced:
    """Rule by which each element is made from two by two elements of another level.

    Parameters
    ----------
    reduce : callable
        Makes one array of the four arrays of top left, top right, bottom left and bottom right
        elements
    times : int
        Number of times that this is done
    """

    reduce: Reduction
    times: int = 1

    def source(self, block: Block, shape: tuple[int, ...]) -> Block:
        """The region of the other level, of a given shape, that a block is made from."""
        factor = 2**self.times
        start, stop = list(block.start), list(block.stop)
        for axis in (2, 3):
            start[axis] = min(block.start[axis] * factor, shape[axis] - 1)
            stop[axis] = min(block.stop[axis] * factor, shape[axis])
        return Block.of(start, stop)

    def make(self, block: Block, source: NDArray) -> NDArray:
        """Make a block from its region of the other level."""
        wanted = [size * 2**self.times for size in block.shape[2:]]
        # Padding repeats the elements at the edge, which changes neither their mean nor their mode
        padding = [(0, n - size) for n, size in zip(wanted, source.shape[2:], strict=True)]
        pixels = np.pad(source, [(0, 0), (0, 0), *padding], mode="edge")
        for _ in range(self.times):
            pixels = self.reduce(
                pixels[..., ::2, ::2],
                pixels[..., ::2, 1::2],
                pixels[..., 1::2, ::2],
                pixels[..., 1::2, 1::2],
            )
        return pixels


@dataclass(frozen=True)
class Nearest:
    """Rule by which each element is the one of another level in which its centre lies.

    Parameters
    ----------
    here, there : Calibration
        Positions of the elements of this level and of the other one
    """

    here: Calibration
    there: Calibration

    def source(self, block: Block, shape: tuple[int, ...]) -> Block:
        """The region of the other level, of a given shape, that a block is made from."""
        start, stop = list(block.start), list(block.stop)
        for axis in (2, 3):
            indices = self._indices(block, axis)
            start[axis], stop[axis] = (
                int(np.clip(index, 0, shape[axis] - 1)) for index in (indices[0], indices[-1])
            )
            stop[axis] += 1
        return Block.of(start, stop)

    def make(self, block: Block, source: NDArray) -> NDArray:
        """Make a block from its region of the other level."""
        rows, columns = (self._indices(block, axis) for axis in (2, 3))
        rows = np.clip(rows - max(rows[0], 0), 0, source.shape[2] - 1)
        columns = np.clip(columns - max(columns[0], 0), 0, source.shape[3] - 1)
        return source[:, :, rows[:, np.newaxis], columns]

    def _indices(self, block: Block, axis: int) -> NDArray[np.intp]:
        here = np.arange(block.start[axis], block.stop[axis])
        centres = self.here.translation[axis - 1] + self.here.scale[axis - 1] * here
        # Rounding errors must not decide for a centre on the edge between two elements
        places = (centres - self.there.edge(axis - 1)) / self.there.scale[axis - 1]
        return np.floor(np.round(places, 6)).astype(np.intp)


@dataclass(frozen=True)
class Derivation:
    """Derivation of a level from another one of its image.

    Parameters
    ----------
    level : int
        Index of the other level
    rule : Reduced or Nearest
        Rule by which elements are made from those of the other level
    """

    level: int
    rule: Reduced | Nearest

    def read(self, block: Block, array: BlockReader) -> NDArray:
        """Make a block from the array of the other level, in parts if it takes much of that."""
        source = self.rule.source(block, array.grid.shape)
        axis = max((1, 2, 3), key=lambda axis: block.shape[axis])
        if math.prod(source.shape) <= _TOGETHER or block.shape[axis] == 1:
            return self.rule.make(block, array.read(source))
        return np.concatenate([self.read(half, array) for half in block.split(axis)], axis)


def mean_of_four(a: NDArray, b: NDArray, c: NDArray, d: NDArray) -> NDArray:
    """Compute the mean of four arrays, rounded to the nearest integer for integers, halves up."""
    if a.dtype.kind == "f":
        return ((a + b) + (c + d)) / a.dtype.type(4)
    wide = {1: np.int16, 2: np.int32}.get(a.dtype.itemsize, np.int64)
    total = a.astype(wide) + b + c + d
    return ((total + 2) // 4).astype(a.dtype)


def mode_of_four(a: NDArray, b: NDArray, c: NDArray, d: NDArray) -> NDArray:
    """Compute the most frequent value of four arrays, or the largest of several such values."""
    values = (a, b, c, d)
    counts = [sum((value == other).view(np.int8) for other in values) for value in values]
    best, most = a, counts[0]
    for value, count in zip(values[1:], counts[1:], strict=True):
        better = (count > most) | ((count == most) & (value > best))
        best, most = np.where(better, value, best), np.maximum(most, count)
    return best
