"""Per-Frame Functional Groups of sparse images, encoded without a data set for each frame.

An image may have hundreds of thousands of frames. Their items have the same elements in the same
order (PS3.3 C.7.6.16, C.8.12.6.1), which are encoded here from numbers.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ImplicitVRLittleEndian

from dicomslide.metadata.geometry import ImageGeometry

__all__ = ["FrameGroups"]

_ITEM = 0xE000FFFE
_DIMENSION_INDEX_VALUES = 0x00209157
_FRAME_CONTENT = 0x00209111
_PLANE_POSITION = 0x0048021A
_X, _Y, _Z = 0x0040072A, 0x0040073A, 0x0040074A
_COLUMN, _ROW = 0x0048021E, 0x0048021F
_LONG = frozenset({b"SQ"})


@dataclass(frozen=True)
class FrameGroups:
    """Encoder of the items of the Per-Frame Functional Groups Sequence.

    Parameters
    ----------
    tile : tuple of int
        Rows and columns of a frame
    geometry : ImageGeometry
        Position that the image states
    pointers : tuple of int
        Dimension Index Pointers; those that are not rows or columns are of the layer
    layers : tuple of bytes
        Encoded elements that identify each layer; empty where it needs none
    before_position : bool
        Whether these come before the Plane Position (Slide) Sequence
    transfer_syntax : str
        Transfer Syntax UID of the data set
    """

    tile: tuple[int, int]
    geometry: ImageGeometry
    pointers: tuple[int, ...]
    layers: tuple[bytes, ...]
    before_position: bool
    transfer_syntax: str

    def items(self, frames: NDArray[np.int64]) -> Iterator[bytes]:
        """Encode the items of frames.

        Parameters
        ----------
        frames : numpy.ndarray
            Layer, row and column of tiles of each frame, shape (n, 3)
        """
        offsets = frames[:, 1:] * np.array(self.tile)
        positions = self.geometry.to_slide(offsets)
        # Dimension Index Values count the values that occur (PS3.3 C.7.6.17.1)
        counted = [np.unique(frames[:, axis], return_inverse=True)[1] + 1 for axis in range(3)]
        axes = {_ROW: 1, _COLUMN: 2}
        index = np.stack([counted[axes.get(pointer, 0)] for pointer in self.pointers], axis=1)
        z = self._decimal(_Z, self.geometry.origin[2] * 1000)
        for layer, values, (row, column), (x, y, _) in zip(
            frames[:, 0].tolist(), index.tolist(), offsets.tolist(), positions.tolist(), strict=True
        ):
            packed = struct.pack(f"<{len(values)}I", *values)
            content = self._element(_DIMENSION_INDEX_VALUES, b"UL", packed)
            position = (
                self._decimal(_X, x)
                + self._decimal(_Y, y)
                + z
                + self._element(_COLUMN, b"SL", struct.pack("<i", column + 1))
                + self._element(_ROW, b"SL", struct.pack("<i", row + 1))
            )
            parts = [self._sequence(_PLANE_POSITION, position), self.layers[layer]]
            if self.before_position:
                parts.reverse()
            yield self._sequence(_FRAME_CONTENT, content) + b"".join(parts)

    def _decimal(self, tag: int, value: float) -> bytes:
        """Encode a Decimal String with a billionth of its unit, of an even length."""
        text = f"{value + 0.0:.9f}"
        return self._element(tag, b"DS", (text + " " * (len(text) % 2)).encode())

    def _element(self, tag: int, vr: bytes, value: bytes) -> bytes:
        return encode_element(tag, vr, value, self.transfer_syntax)

    def _sequence(self, tag: int, item: bytes) -> bytes:
        value = struct.pack("<HHI", _ITEM & 0xFFFF, _ITEM >> 16, len(item)) + item
        return self._element(tag, b"SQ", value)


def encode_element(tag: int, vr: bytes, value: bytes, transfer_syntax: str) -> bytes:
    """Encode an element in little endian (PS3.5 7.1)."""
    header = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if transfer_syntax == ImplicitVRLittleEndian:
        return header + struct.pack("<I", len(value)) + value
    if vr in _LONG:
        return header + vr + bytes(2) + struct.pack("<I", len(value)) + value
    return header + vr + struct.pack("<H", len(value)) + value
