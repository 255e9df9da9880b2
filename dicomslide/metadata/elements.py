"""Parser of the headers of encoded data elements, which skips their values (PS3.5 7)."""

import math
from struct import Struct

from pydicom.datadict import dictionary_VR

from dicomslide.errors import InvalidImageError

__all__ = ["Element", "Elements", "is_standard_sequence"]

UNDEFINED = 0xFFFFFFFF
ITEM = 0xFFFEE000
_LONG_VRS = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_ITEM_END, _SEQUENCE_END = 0xFFFEE00D, 0xFFFEE0DD
_MAX_DEPTH = 64
# Parsers by whether the order is big endian: of group, element, VR and a length of two bytes, and
# of a length of four bytes
_HEADER = {False: Struct("<HH2sH").unpack_from, True: Struct(">HH2sH").unpack_from}
_LENGTH = {False: Struct("<I").unpack_from, True: Struct(">I").unpack_from}


# Not a named tuple, as making one takes as long as parsing a header, the main work of opening files
Element = tuple[int, bytes, int, int]
"""Header of a data element: tag, value representation (empty where it is not stated), position of
the value, and its length or `UNDEFINED`."""


class Elements:
    """Encoded data elements that lie one after the other.

    Parameters
    ----------
    name : str
        Name of the file or image in messages
    data : bytes or bytearray
        Encoded elements
    big_endian : bool
        Whether the bytes are in big endian order
    implicit : bool
        Whether the encoding is implicit, without value representations
    """

    most: float = math.inf
    """Most elements that may be parsed"""

    def __init__(
        self,
        name: str,
        data: bytes | bytearray,
        big_endian: bool = False,
        implicit: bool = False,
    ) -> None:
        self.name = name
        self.data = data
        self.big_endian = big_endian
        self.implicit = implicit
        self._count = 0

    def need(self, stop: int) -> None:
        """Check that `data` has all bytes before a position, or read them.

        Raises
        ------
        InvalidImageError
            When there are fewer bytes
        """
        if stop > len(self.data):
            raise InvalidImageError(
                f"{self.name}: damaged attributes: an element ends at byte {stop} of "
                f"{len(self.data)}"
            )

    def element(self, position: int) -> Element:
        """Parse the header of the element at a position.

        Raises
        ------
        InvalidImageError
            When it is cut off, or there are more than `most` elements
        """
        self._count += 1
        if self._count > self.most:
            raise InvalidImageError(f"{self.name}: has more than {self.most} data elements")
        if position + 12 > len(self.data):
            self.need(position + 8)
        group, number, vr, short = _HEADER[self.big_endian](self.data, position)
        tag = group << 16 | number
        # Some writers switch to implicit encoding within a sequence, so VRs are checked
        if self.implicit or group == 0xFFFE or not b"AA" <= vr <= b"ZZ":
            (length,) = _LENGTH[self.big_endian](self.data, position + 4)
            return tag, b"", position + 8, length
        if vr not in _LONG_VRS:
            return tag, vr, position + 8, short
        if position + 12 > len(self.data):
            self.need(position + 12)
        (length,) = _LENGTH[self.big_endian](self.data, position + 8)
        return tag, vr, position + 12, length

    def end_of(self, element: Element, depth: int = 0) -> int:
        """Find the end of the value of an element, delimiters included.

        Raises
        ------
        InvalidImageError
            When an item or a sequence does not end with its last element
        """
        tag, vr, value, length = element
        if length == UNDEFINED:
            return self._walk(element, None, depth + 1)
        end = value + length
        if end > len(self.data):
            self.need(end)
        if vr == b"SQ" or (not vr and (tag == ITEM or is_standard_sequence(tag))):
            self._walk(element, end, depth + 1)
        return end

    def check_items(self) -> None:
        """Check that the data are the items of a sequence, up to their end or its delimiter.

        Raises
        ------
        InvalidImageError
            When there is something else, or an item does not end with its last element
        """
        position = 0
        while position < len(self.data):
            item = self.element(position)
            tag = item[0]
            if tag == _SEQUENCE_END:
                return
            if tag != ITEM:
                raise self._unexpected(tag, position)
            position = self.end_of(item)

    def _unexpected(self, tag: int, position: int) -> InvalidImageError:
        return InvalidImageError(
            f"{self.name}: damaged attributes: unexpected element {tag:08X} at byte {position}"
        )

    def _walk(self, outer: Element, stop: int | None, depth: int) -> int:
        """Parse all elements of a sequence or an item; return the position of its end."""
        if depth > _MAX_DEPTH:
            raise InvalidImageError(f"{self.name}: sequences are nested too deeply")
        outer_tag, outer_vr, start, _ = outer
        position = start
        while stop is None or position < stop:
            inner = self.element(position)
            tag, vr, value, length = inner
            if stop is None and tag in (_ITEM_END, _SEQUENCE_END):
                return value
            if (tag == ITEM) == (outer_tag == ITEM):
                raise self._unexpected(tag, position)
            # The items of encapsulated pixel data are fragments, which hold no elements
            is_fragment = outer_vr in (b"OB", b"OW")
            if not is_fragment and (not vr or vr == b"SQ" or length == UNDEFINED):
                position = self.end_of(inner, depth)
            else:
                position = value + length
                if position > len(self.data):
                    self.need(position)
        if position != stop:
            raise InvalidImageError(
                f"{self.name}: damaged attributes: the content of {outer_tag:08X} at byte {start} "
                f"ends at byte {position}, expected {stop}"
            )
        return position


def is_standard_sequence(tag: int) -> bool:
    """Whether a tag is that of a sequence of the standard."""
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return False
