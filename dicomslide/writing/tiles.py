"""Encoding of the tiles of a block, which the workers of dask do.

They import this module and that of the form, but nothing that makes data sets.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dicomslide.writing.encoding import encode_frame
from dicomslide.writing.pixel_format import PixelFormat

__all__ = ["Form", "TileEncoder"]


class Form(Protocol):
    """Form in which values are stored.

    Forms travel to the workers of dask, and are small.
    """

    @property
    def count(self) -> int:
        """Number of layers that are stored, each in its own frames."""

    @property
    def pixel_format(self) -> PixelFormat:
        """Format of the stored pixels."""

    @property
    def is_joined(self) -> bool:
        """Whether a stored layer depends on all layers of the array, or the array has none."""

    @property
    def background(self) -> float:
        """Value around the array, and of frames that are empty."""

    def read_back(self) -> "Form":
        """Return the form of arrays of what was stored, as this package reads them."""

    def stored(self, values: NDArray) -> Iterator[NDArray]:
        """Yield each stored layer of a part of the array.

        Their shape is (rows, columns), or (rows, columns, samples) if pixels have several samples.

        Raises
        ------
        ArgumentValueError
            When a value cannot be stored
        """


@dataclass(frozen=True)
class TileEncoder:
    """Encoder of a block: returns frames by layer, row and column of tiles; None for empty ones."""

    form: Form
    tile: tuple[int, int]

    def __call__(self, block: NDArray) -> NDArray:
        """Encode a block of shape (rows, columns) or (layers, rows, columns), as one object."""
        values = block if block.ndim == 3 else block[np.newaxis]
        found = np.empty((1,) * block.ndim, object)
        found[(0,) * block.ndim] = [self._frames(layer) for layer in self.form.stored(values)]
        return found

    def _frames(self, layer: NDArray) -> list[list[bytes | None]]:
        rows, columns = (range(0, n, t) for n, t in zip(layer.shape[:2], self.tile, strict=True))
        return [[self._frame(layer, row, column) for column in columns] for row in rows]

    def _frame(self, layer: NDArray, row: int, column: int) -> bytes | None:
        inside = layer[row : row + self.tile[0], column : column + self.tile[1]]
        return None if self._is_empty(inside) else self.encode(inside)

    def _is_empty(self, inside: NDArray) -> bool:
        background = self.form.background
        if math.isnan(background):
            return bool(np.isnan(inside).all())
        return not (inside != background if background else inside).any()

    def encode(self, inside: NDArray) -> bytes:
        """Encode a frame, which the background fills up to its size."""
        stored = self.form.pixel_format
        rows, columns = inside.shape[:2]
        inside = inside.reshape(rows, columns, stored.samples)
        if (rows, columns) == self.tile:
            return encode_frame(inside, stored)
        frame = np.full((*self.tile, stored.samples), self.form.background, stored.dtype)
        frame[:rows, :columns] = inside
        return encode_frame(frame, stored)
