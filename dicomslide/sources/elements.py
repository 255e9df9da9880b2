"""Data elements one after the other, without their values (PS3.5 7)."""

import struct
from dataclasses import dataclass
from typing import Literal

from dicomslide.errors import InvalidImageError
from dicomslide.metadata.functional_groups import is_standard_sequence
from dicomslide.sources.localfile import InflatedFile, LocalFile

__all__ = ["Element", "ElementReader"]

UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_FIRST_READ = 1 << 16
_MAX_HEADER = 1 << 30
_MAX_DEPTH = 64


@dataclass(frozen=True)
class Element:
    """The header of a data element.

    Parameters
    ----------
    tag : int
        Tag
    vr : bytes
        Value representation; empty where it is not stated
    value, length : int
        Where the value starts, and its length or `UNDEFINED`
    """

    tag: int
    vr: bytes
    value: int
    length: int


class ElementReader:
    """The first bytes of a file, read as they are needed."""

    def __init__(self, file: LocalFile | InflatedFile) -> None:
        self.file = file
        self.data = b""
        self.order: Literal["<", ">"] = "<"
        self.implicit = False

    def need(self, stop: int) -> None:
        """Have the bytes before an offset.

        Raises
        ------
        InvalidImageError
            When the file has fewer
        """
        if stop <= len(self.data):
            return
        if stop > self.file.size:
            raise InvalidImageError(
                f"{self.file.path}: the header needs {stop} bytes, the file has {self.file.size}; "
                "it is damaged or truncated"
            )
        if stop > _MAX_HEADER:
            raise InvalidImageError(f"{self.file.path}: the header is larger than 1 GiB")
        # Doubling keeps the number of reads and of copies small
        stop = min(max(stop, 2 * len(self.data), _FIRST_READ), self.file.size)
        self.data += self.file.read([(len(self.data), stop - len(self.data))])[0]

    def element(self, position: int, *, implicit: bool) -> Element:
        """Parse the header of an element."""
        self.need(position + 8)
        group, number, vr, short = struct.unpack_from(self.order + "HH2sH", self.data, position)
        tag = group << 16 | number
        if implicit or group == 0xFFFE:
            (length,) = struct.unpack_from(self.order + "I", self.data, position + 4)
            return Element(tag, b"", position + 8, length)
        if vr not in _LONG_VRS:
            return Element(tag, vr, position + 8, short)
        self.need(position + 12)
        (length,) = struct.unpack_from(self.order + "I", self.data, position + 8)
        return Element(tag, vr, position + 12, length)

    def end_of(self, element: Element, *, implicit: bool, depth: int = 0) -> int:
        """Find the end of the value of an element, delimiters included.

        Raises
        ------
        InvalidImageError
            When what is in an item or a sequence does not end where that ends
        """
        if element.length == UNDEFINED:
            # What has an unknown representation and no length is encoded implicitly (PS3.5 6.2.2)
            implicit = implicit or element.vr == b"UN"
            return self._walk(element, None, implicit, depth + 1)
        end = element.value + element.length
        self.need(end)
        is_sequence = element.vr == b"SQ" or (implicit and is_standard_sequence(element.tag))
        if is_sequence or element.tag == _ITEM:
            self._walk(element, end, implicit, depth + 1)
        return end

    def _walk(self, outer: Element, stop: int | None, implicit: bool, depth: int) -> int:
        """Move over all that is in a sequence or an item, to its end or to its delimiter."""
        if depth > _MAX_DEPTH:
            raise InvalidImageError(f"{self.file.path}: sequences are nested too deeply")
        position = outer.value
        while stop is None or position < stop:
            inner = self.element(position, implicit=implicit)
            if inner.tag in (_ITEM_END, _SEQUENCE_END) and stop is None:
                return inner.value
            if (inner.tag == _ITEM) == (outer.tag == _ITEM):
                raise InvalidImageError(
                    f"{self.file.path}: damaged DICOM header: {inner.tag:08X} at byte {position}"
                )
            if outer.vr in (b"OB", b"OW"):
                # Fragments have no elements in them
                position = inner.value + inner.length
                self.need(position)
            else:
                position = self.end_of(inner, implicit=implicit, depth=depth)
        if position != stop:
            raise InvalidImageError(
                f"{self.file.path}: damaged DICOM header: what is in {outer.tag:08X} at byte "
                f"{outer.value} ends at byte {position}, expected {stop}"
            )
        return position
