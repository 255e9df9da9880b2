"""Forms in which arrays are stored: their segments, parameters or colours as frames."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dicomslide.errors import ArgumentValueError
from dicomslide.writing.pixel_format import PixelFormat

__all__ = ["ImageForm", "MapForm", "SegmentForm", "SegmentationType"]

SegmentationType = Literal["BINARY", "FRACTIONAL", "LABELMAP"]

# Fractions are stored as multiples of the 255th part
_MOST = 255


@dataclass(frozen=True)
class SegmentForm:
    """Form in which segments are stored.

    Parameters
    ----------
    kind : str
        Segmentation Type
    numbers : tuple of int
        Segment numbers, in the order of the layers of the array if it has layers
    is_layered : bool
        Whether each segment is a layer of the array; otherwise its values are segment numbers, or
        those of the only segment
    is_label : bool
        Whether values are segment numbers
    transfer_syntax : str
        Transfer Syntax UID
    """

    kind: SegmentationType
    numbers: tuple[int, ...]
    is_layered: bool
    is_label: bool
    transfer_syntax: str

    @property
    def count(self) -> int:
        """Number of layers that are stored."""
        return 1 if self.kind == "LABELMAP" else len(self.numbers)

    @property
    def is_joined(self) -> bool:
        """Whether a stored layer depends on all layers of the array, or the array has none."""
        return self.kind == "LABELMAP" or not self.is_layered

    @property
    def background(self) -> float:
        """Value around the array."""
        return 0

    @property
    def pixel_format(self) -> PixelFormat:
        """Format of the stored pixels."""
        bits = 1 if self.kind == "BINARY" else 8
        if self.kind == "LABELMAP" and max(self.numbers) > np.iinfo(np.uint8).max:
            bits = 16
        return PixelFormat(self.transfer_syntax, 1, bits, bits, False, "MONOCHROME2")

    def read_back(self) -> "SegmentForm":
        """Return the form of arrays of what was stored: a layer for each segment, or labels."""
        is_label = self.kind == "LABELMAP"
        return replace(self, is_label=is_label, is_layered=not is_label)

    def stored(self, values: NDArray) -> Iterator[NDArray]:
        """Yield each stored layer of a part of the array, of shape (rows, columns)."""
        if self.is_label:
            _require_known(values, self.numbers)
        if self.kind == "LABELMAP":
            yield values[0] if self.is_label else self._joined(values)
        elif self.is_label:
            for number in self.numbers:
                yield values[0] == number
        elif self.kind == "FRACTIONAL":
            yield from (_stored_fraction(layer) for layer in values)
        else:
            yield from values

    def _joined(self, layers: NDArray) -> NDArray:
        if len(layers) > 1 and (layers.sum(axis=0, dtype=np.uint16) > 1).any():
            raise ArgumentValueError(
                "mask: segments overlap, which a LABELMAP cannot store; BINARY can"
            )
        joined = np.zeros(layers.shape[1:], self.pixel_format.dtype)
        for number, layer in zip(self.numbers, layers, strict=True):
            joined[layer] = number
        return joined


def _require_known(values: NDArray, numbers: tuple[int, ...]) -> None:
    """Check that an array holds no other values than 0 and the numbers of segments."""
    if not values.size:
        return
    low, high = int(values.min()), int(values.max())
    most = max(numbers)
    if low >= 0 and high <= most:
        known = np.zeros(most + 1, bool)
        known[[0, *numbers]] = True
        if known.all() or known[values].all():
            return
    others = sorted({*np.unique(values).tolist()} - {0, *numbers})
    raise ArgumentValueError(
        f"mask: has the values {others[:10]}, which are not numbers of segments: {list(numbers)}"
    )


def _stored_fraction(layer: NDArray) -> NDArray[np.uint8]:
    if layer.dtype == bool:
        return layer * np.uint8(_MOST)
    if layer.dtype == np.uint8:
        # As it was stored
        return layer
    # Comparisons with NaN are False
    if layer.size and not (layer.min() >= 0 and layer.max() <= 1):
        raise ArgumentValueError(
            f"mask: fractions are from {layer.min()} to {layer.max()}, expected from 0 to 1"
        )
    return np.rint(layer * np.float64(_MOST)).astype(np.uint8)


@dataclass(frozen=True)
class MapForm:
    """Form in which the values of parameters are stored.

    Parameters
    ----------
    dtype : str
        Data type of the stored values
    count : int
        Number of parameters
    transfer_syntax : str
        Transfer Syntax UID
    is_layered : bool
        Whether the array has an axis of parameters
    """

    dtype: str
    count: int
    transfer_syntax: str
    is_layered: bool

    @property
    def is_joined(self) -> bool:
        """Whether the array has no layers."""
        return not self.is_layered

    @property
    def background(self) -> float:
        """Value around the array: NaN where there is one."""
        return np.nan if self.dtype.startswith("f") else 0

    @property
    def pixel_format(self) -> PixelFormat:
        """Format of the stored pixels."""
        dtype = np.dtype(self.dtype)
        bits = dtype.itemsize * 8
        return PixelFormat(
            self.transfer_syntax, 1, bits, bits, False, "MONOCHROME2", floating=dtype.kind == "f"
        )

    def read_back(self) -> "MapForm":
        """Return the form of arrays of what was stored, with a layer for each parameter."""
        return replace(self, is_layered=True)

    def stored(self, values: NDArray) -> Iterator[NDArray]:
        """Yield each stored layer of a part of the array, of shape (rows, columns)."""
        yield from values


@dataclass(frozen=True)
class ImageForm:
    """Form in which the samples of an image are stored: one, or red, green and blue.

    Parameters
    ----------
    pixel_format : PixelFormat
        Format of the stored pixels
    """

    pixel_format: PixelFormat

    count = 1
    is_joined = True

    @property
    def background(self) -> float:
        """Value around the array: white for colour, otherwise 0."""
        return np.iinfo(self.pixel_format.dtype).max if self.pixel_format.samples == 3 else 0

    def read_back(self) -> "ImageForm":
        """Return the form of arrays of what was stored, with the samples first."""
        return self

    def stored(self, values: NDArray) -> Iterator[NDArray]:
        """Yield the only stored layer of a part of the array, of shape (rows, columns, samples)."""
        yield np.moveaxis(values, 0, -1)
