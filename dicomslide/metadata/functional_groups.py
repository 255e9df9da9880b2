"""The Per-Frame Functional Groups of many frames at once (PS3.3 C.7.6.16).

A sparse image has an item for each frame, tens of thousands of them, and all items have the same
elements in the same order. They are therefore walked together: one step of NumPy for each element
instead of one step of Python for each element of each frame. Items that are not alike are left to
pydicom.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from dicomslide.metadata.elements import Elements, is_standard_sequence

__all__ = ["FrameValues", "frame_groups", "read_frame_values"]

PER_FRAME_GROUPS = BaseTag(0x52009230)

_ITEM = 0xE000FFFE
_ITEM_END = 0xE00DFFFE
_SEQUENCE_END = 0xE0DDFFFE
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset(
    int.from_bytes(vr, "little") for vr in b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()
)
_SQ = int.from_bytes(b"SQ", "little")
_MAX_STEPS = 1000

Path = tuple[int, ...]


def frame_groups(dataset: Dataset) -> Sequence[Dataset]:
    """Get the Per-Frame Functional Groups, parsed by pydicom; none where the image has none.

    Raises
    ------
    InvalidImageError
        When they are damaged: pydicom would pass over that
    """
    if PER_FRAME_GROUPS not in dataset:
        return ()
    element = dataset.get_item(PER_FRAME_GROUPS)
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        name = f"image {dataset.get('SOPInstanceUID')}"
        big_endian = not element.is_little_endian
        Elements(name, element.value, big_endian, bool(element.is_implicit_VR)).check_items()
    return dataset.PerFrameFunctionalGroupsSequence or ()


@dataclass(frozen=True, eq=False)
class FrameValues:
    """Where the values of the elements of all frames lie.

    Parameters
    ----------
    data : bytes
        Value of the Per-Frame Functional Groups Sequence
    places : dict
        Tags on the way to an element (the sequences around it, then its own) to the offsets and
        the lengths of its value, each of shape (number of frames,)
    """

    data: bytes
    places: dict[Path, tuple[NDArray[np.int64], NDArray[np.int64]]]

    def integers(self, *path: int, dtype: str) -> NDArray[np.int64] | None:
        """Read a binary integer of each frame; None where frames do not have it in this type."""
        if path not in self.places:
            return None
        offsets, lengths = self.places[path]
        if (lengths != np.dtype(dtype).itemsize).any():
            return None
        return _anywhere(self.data, dtype)[offsets].astype(np.int64)

    def texts(self, *path: int) -> list[bytes] | None:
        """Read the value of each frame as stripped text; None where frames do not have it."""
        if path not in self.places:
            return None
        offsets, lengths = self.places[path]
        if lengths[0] and (lengths == lengths[0]).all():
            values = _anywhere(self.data, f"V{lengths[0]}")[offsets]
            if (values == values[0]).all():
                return [values[0].tobytes().strip(b" \0")] * len(offsets)
        starts, ends = offsets.tolist(), (offsets + lengths).tolist()
        return [self.data[a:b].strip(b" \0") for a, b in zip(starts, ends, strict=True)]


def read_frame_values(element: RawDataElement, count: int) -> FrameValues | None:
    """Find the values of the elements of all frames.

    Parameters
    ----------
    element : pydicom.dataelem.RawDataElement
        Per-Frame Functional Groups Sequence as it stands in the file, without its delimiter
    count : int
        Number of frames

    Returns
    -------
    FrameValues or None
        None where the items are not alike, or not `count`, or not little endian
    """
    data = element.value
    if not isinstance(data, bytes) or not element.is_little_endian or len(data) < 16:
        return None
    starts = _item_starts(data)
    if len(starts) != count:
        return None
    walk = _Walk(data, starts, bool(element.is_implicit_VR))
    try:
        if not walk.run(np.append(starts[1:], len(data))):
            return None
    except IndexError:
        # A position beyond the data means that a length is wrong
        return None
    return FrameValues(data, walk.places)


def _item_starts(data: bytes) -> NDArray[np.int64]:
    """Find where items start that begin with the same element as the first; the walk checks them.

    The bytes of an item's tag may be found elsewhere too: those would be too many items then.
    """
    words = np.frombuffer(data, "<u2", len(data) // 2)
    starts = np.flatnonzero(words[:-5] == words[0])
    # The tag of the item, and after its length that of an element; all have even offsets
    for place in (1, 4, 5):
        starts = starts[words[starts + place] == words[place]]
    return starts * 2


class _Walk:
    """One cursor in each item, all of them moving over the same elements."""

    def __init__(self, data: bytes, starts: NDArray[np.int64], implicit: bool) -> None:
        self.numbers = {2: _anywhere(data, "<u2"), 4: _anywhere(data, "<u4")}
        self.cursor = starts.copy()
        self.implicit = implicit
        self.places: dict[Path, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        # Tag (0 for an item) of what the cursors are in, and where it ends if that is defined
        self.open: list[tuple[int, NDArray[np.int64] | None]] = []

    def run(self, ends: NDArray[np.int64]) -> bool:
        """Walk to the ends of all items; False where they are not alike."""
        for _ in range(_MAX_STEPS):
            if not self._leave():
                return False
            if self.cursor[0] >= ends[0]:
                return not self.open and bool((self.cursor == ends).all())
            if not self._step():
                return False
        return False

    def _leave(self) -> bool:
        """Leave what ends here by its length."""
        while self.open and self.open[-1][1] is not None:
            ends = self.open[-1][1]
            if self.cursor[0] < ends[0]:
                break
            if (self.cursor != ends).any():
                return False
            self.open.pop()
        return True

    def _step(self) -> bool:
        """Move over the header of an element, and over its value if it is no sequence."""
        tag = self._common(0, 4)
        if tag is None:
            return False
        if tag in (_ITEM_END, _SEQUENCE_END):
            self.cursor += 8
            return bool(self.open) and self.open.pop()[1] is None
        if tag == _ITEM:
            return self._enter(0, self._numbers(4, 4), 8)
        tag = (tag & 0xFFFF) << 16 | tag >> 16
        header, width, is_sequence = 8, 4, False
        if self.implicit:
            is_sequence = is_standard_sequence(tag)
        else:
            vr = self._common(4, 2)
            if vr is None:
                return False
            is_sequence = vr == _SQ
            if vr in _LONG_VRS:
                header = 12
            else:
                width = 2
        lengths = self._numbers(header - width, width)
        if is_sequence:
            return self._enter(tag, lengths, header)
        if width == 4 and (lengths == _UNDEFINED).any():
            return False
        path = (*(sequence for sequence, _ in self.open if sequence), tag)
        self.places.setdefault(path, (self.cursor + header, lengths))
        self.cursor = self.cursor + header + lengths
        return True

    def _enter(self, tag: int, lengths: NDArray[np.int64], header: int) -> bool:
        undefined = lengths == _UNDEFINED
        self.cursor = self.cursor + header
        if undefined.all():
            self.open.append((tag, None))
        elif undefined.any():
            return False
        else:
            self.open.append((tag, self.cursor + lengths))
        return True

    def _numbers(self, offset: int, width: int) -> NDArray[np.int64]:
        return self.numbers[width][self.cursor + offset].astype(np.int64)

    def _common(self, offset: int, width: int) -> int | None:
        """Read a number that is the same in all items."""
        values = self.numbers[width][self.cursor + offset]
        return int(values[0]) if (values == values[0]).all() else None


def _anywhere(data: bytes, dtype: str) -> NDArray:
    """The values that start at each byte: element `i` is the one at offset `i`."""
    size = np.dtype(dtype).itemsize
    return np.ndarray((max(len(data) - size + 1, 0),), dtype, data, strides=(1,))
