"""Parser of the Per-Frame Functional Groups of many frames at once (PS3.3 C.7.6.16).

A sparse image has an item for each frame, tens of thousands of them, and usually all items have the
same elements in the same order. These are parsed together: with one step of NumPy for each element
instead of one step of Python for each element of each frame. Items that differ are left to pydicom.
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
    """Return the items of the Per-Frame Functional Groups Sequence, parsed by pydicom.

    Raises
    ------
    InvalidImageError
        When the items are damaged, which pydicom itself would not notice
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
    """Positions of the values of the elements of all frames.

    Parameters
    ----------
    data : bytes
        Value of the Per-Frame Functional Groups Sequence
    places : dict
        Offsets and lengths of an element's values in all frames, each of shape (number of frames,),
        by the tags of the sequences around the element and its own tag
    """

    data: bytes
    places: dict[Path, tuple[NDArray[np.int64], NDArray[np.int64]]]

    def integers(self, *path: int, dtype: str) -> NDArray[np.int64] | None:
        """Read a binary integer of each frame; None where frames lack it or have another size."""
        if path not in self.places:
            return None
        offsets, lengths = self.places[path]
        if (lengths != np.dtype(dtype).itemsize).any():
            return None
        return _anywhere(self.data, dtype)[offsets].astype(np.int64)

    def texts(self, *path: int) -> list[bytes] | None:
        """Read the value of each frame as stripped text; None where frames lack it."""
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
        Unparsed Per-Frame Functional Groups Sequence, without its delimiter
    count : int
        Number of frames

    Returns
    -------
    FrameValues or None
        None where the elements of items differ, there are not `count` items, or the order is big
        endian
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
        # A wrong length led to a position beyond the data
        return None
    return FrameValues(data, walk.places)


def _item_starts(data: bytes) -> NDArray[np.int64]:
    """Find the positions of items that begin with the same element as the first item.

    Other bytes may look like the start of an item. They only make the number of items wrong, so
    that pydicom parses the items.
    """
    words = np.frombuffer(data, "<u2", len(data) // 2)
    starts = np.flatnonzero(words[:-5] == words[0])
    # Words of the item's tag, and behind its length of the first element's tag, at even offsets
    for place in (1, 4, 5):
        starts = starts[words[starts + place] == words[place]]
    return starts * 2


class _Walk:
    """Parser with one cursor in each item, all of which move over the same elements."""

    def __init__(self, data: bytes, starts: NDArray[np.int64], implicit: bool) -> None:
        self.numbers = {2: _anywhere(data, "<u2"), 4: _anywhere(data, "<u4")}
        self.cursor = starts.copy()
        self.implicit = implicit
        self.places: dict[Path, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        # Sequences and items around the cursors: tag (0 for an item), and end if it is defined
        self.open: list[tuple[int, NDArray[np.int64] | None]] = []

    def run(self, ends: NDArray[np.int64]) -> bool:
        """Parse to the ends of all items; return False where their elements differ."""
        for _ in range(_MAX_STEPS):
            if not self._leave():
                return False
            if self.cursor[0] >= ends[0]:
                return not self.open and bool((self.cursor == ends).all())
            if not self._step():
                return False
        return False

    def _leave(self) -> bool:
        """Leave sequences and items that end here by their length; return False if not all do."""
        while self.open and self.open[-1][1] is not None:
            ends = self.open[-1][1]
            if self.cursor[0] < ends[0]:
                break
            if (self.cursor != ends).any():
                return False
            self.open.pop()
        return True

    def _step(self) -> bool:
        """Parse the header of an element; skip its value, or enter it if it is a sequence."""
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
        """Read a number that is the same in all items; None if it is not."""
        values = self.numbers[width][self.cursor + offset]
        return int(values[0]) if (values == values[0]).all() else None


def _anywhere(data: bytes, dtype: str) -> NDArray:
    """Make a view of overlapping values, whose element `i` starts at byte `i` of the data."""
    size = np.dtype(dtype).itemsize
    return np.ndarray((max(len(data) - size + 1, 0),), dtype, data, strides=(1,))
