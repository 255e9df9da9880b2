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
        """Value around the array, and of frames that are empty: 0 or NaN."""

    def read_back(self) -> "Form":
        """Return the form of arrays of what was stored, as this package reads them."""

    def stored(self, values: NDArray) -> Iterator[NDArray]:
        """Yield each stored layer of a part of the array, of shape (rows, columns).

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
        """Encode a block of shape (layers, rows, columns), as an array of one object."""
        layers = [self._frames(layer) for layer in self.form.stored(block)]
        found = np.empty((1, 1, 1), object)
        found[0, 0, 0] = layers
        return found

    def _frames(self, layer: NDArray) -> list[list[bytes | None]]:
        rows, columns = (range(0, n, t) for n, t in zip(layer.shape, self.tile, strict=True))
        return [[self._frame(layer, row, column) for column in columns] for row in rows]

    def _frame(self, layer: NDArray, row: int, column: int) -> bytes | None:
        inside = layer[row : row + self.tile[0], column : column + self.tile[1]]
        # The background is either NaN or 0
        is_empty = np.isnan(inside).all() if math.isnan(self.form.background) else not inside.any()
        return None if is_empty else self.encode(inside)

    def encode(self, inside: NDArray) -> bytes:
        """Encode a frame, which the background fills up to its size."""
        if inside.shape == self.tile:
            return encode_frame(inside[..., np.newaxis], self.form.pixel_format)
        frame = np.full((*self.tile, 1), self.form.background, self.form.pixel_format.dtype)
        frame[: inside.shape[0], : inside.shape[1], 0] = inside
        return encode_frame(frame, self.form.pixel_format)
