"""Data sets as trees of elements whose every part can be made wrong (PS3.5 7 and A.4).

A tree that was not changed is encoded to the bytes that it was read from.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache

from pydicom.datadict import dictionary_VR
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

__all__ = ["PIXEL_DATA", "Element", "File", "Item", "read_file"]

PIXEL_DATA = 0x7FE00010
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
TRANSFER_SYNTAX = 0x00020010


@dataclass
class Item:
    """An item of a sequence, or of encapsulated pixel data.

    Parameters
    ----------
    content : list of Element or bytes
        Its elements; of pixel data its bytes
    undefined : bool
        Whether its length is undefined, so that it is delimited
    stated : int, optional
        Length in its header, where it is not the right one
    delimited : bool
        Whether there is a delimiter behind an item of undefined length
    tag : int
        Its tag
    """

    content: "list[Element] | bytes"
    undefined: bool = False
    stated: int | None = None
    delimited: bool = True
    tag: int = ITEM


@dataclass
class Element:
    """An element of a data set; see `Item` for the parameters that both have.

    Parameters
    ----------
    tag : int
        Its tag
    vr : bytes
        Its value representation
    content : list of Item or bytes
        Its items, or its value as it is stored
    """

    tag: int
    vr: bytes
    content: list[Item] | bytes
    undefined: bool = False
    stated: int | None = None
    delimited: bool = True


@dataclass(frozen=True)
class Encoding:
    """How elements are encoded."""

    implicit: bool = False
    big_endian: bool = False

    @property
    def order(self) -> str:
        """Byte order as `struct` names it."""
        return ">" if self.big_endian else "<"

    def header(self, tag: int, length: int) -> bytes:
        """Encode tag and length of an item, or of an element in implicit VR."""
        return struct.pack(f"{self.order}HHI", tag >> 16, tag & 0xFFFF, length)

    def encode(self, elements: list[Element]) -> bytes:
        """Encode elements."""
        return b"".join(map(self._element, elements))

    def _element(self, element: Element) -> bytes:
        if isinstance(element.content, bytes):
            content = element.content
        else:
            content = b"".join(map(self._item, element.content))
        length = _length(element, content)
        end = self.header(SEQUENCE_END, 0) if element.undefined and element.delimited else b""
        if self.implicit:
            return self.header(element.tag, length) + content + end
        tag = struct.pack(f"{self.order}HH", element.tag >> 16, element.tag & 0xFFFF)
        if element.vr in LONG:
            start = tag + element.vr + bytes(2) + struct.pack(f"{self.order}I", length)
        else:
            start = tag + element.vr + struct.pack(f"{self.order}H", length & 0xFFFF)
        return start + content + end

    def _item(self, item: Item) -> bytes:
        content = item.content if isinstance(item.content, bytes) else self.encode(item.content)
        end = self.header(ITEM_END, 0) if item.undefined and item.delimited else b""
        return self.header(item.tag, _length(item, content)) + content + end

    def decode(self, data: bytes, position: int, end: int) -> Iterator[tuple[Element, int]]:
        """Decode elements up to an end or a delimiter; gives each and where it ends."""
        while position < end:
            group, number = struct.unpack_from(f"{self.order}HH", data, position)
            tag = group << 16 | number
            if tag == ITEM_END:
                return
            vr, length, position = self._start(data, position, tag)
            undefined = length == UNDEFINED
            content: list[Item] | bytes
            if undefined or vr == b"SQ":
                stop = end if undefined else position + length
                content, position = self._items(data, position, stop, vr == b"SQ")
            else:
                content = data[position : position + length]
                position += length
            yield Element(tag, vr, content, undefined), position

    def _start(self, data: bytes, position: int, tag: int) -> tuple[bytes, int, int]:
        if self.implicit:
            (length,) = struct.unpack_from(f"{self.order}I", data, position + 4)
            return _usual_vr(tag), length, position + 8
        vr = data[position + 4 : position + 6]
        if vr in LONG:
            (length,) = struct.unpack_from(f"{self.order}I", data, position + 8)
            return vr, length, position + 12
        (length,) = struct.unpack_from(f"{self.order}H", data, position + 6)
        return vr, length, position + 8

    def _items(
        self, data: bytes, position: int, end: int, of_elements: bool
    ) -> tuple[list[Item], int]:
        items = []
        while position < end:
            group, number, length = struct.unpack_from(f"{self.order}HHI", data, position)
            position += 8
            if (group << 16 | number) == SEQUENCE_END:
                break
            if not of_elements:
                items.append(Item(data[position : position + length]))
                position += length
                continue
            undefined = length == UNDEFINED
            stop = end if undefined else position + length
            elements = []
            for element, behind in self.decode(data, position, stop):
                elements.append(element)
                position = behind
            items.append(Item(elements, undefined))
            position += 8 * undefined
        return items, position


def _length(part: Element | Item, content: bytes) -> int:
    if part.stated is not None:
        return part.stated
    return UNDEFINED if part.undefined else len(content)


@cache
def _usual_vr(tag: int) -> bytes:
    try:
        return dictionary_VR(tag)[:2].encode()
    except KeyError:
        return b"UN"


@dataclass
class File:
    """A Part 10 file (PS3.10 7)."""

    start: bytes
    meta: list[Element]
    elements: list[Element]
    encoding: Encoding
    deflated: bool
    rest: bytes = field(default=b"")

    def encode(self) -> bytes:
        """Encode the file."""
        data = self.encoding.encode(self.elements) + self.rest
        if self.deflated:
            compressor = zlib.compressobj(6, wbits=-15)
            data = compressor.compress(data) + compressor.flush()
            data += bytes(len(data) % 2)
        return self.start + Encoding().encode(self.meta) + data

    def with_syntax(self, syntax: str) -> "File":
        """The file in another of the transfer syntaxes of uncompressed pixels.

        Values of numbers are not swapped.
        """
        value = syntax.encode() + bytes(len(syntax) % 2)
        meta = [replace(e, content=value) if e.tag == TRANSFER_SYNTAX else e for e in self.meta]
        return replace(self, meta=meta, encoding=_encoding(syntax))


def _encoding(syntax: str) -> Encoding:
    return Encoding(syntax == ImplicitVRLittleEndian, syntax == ExplicitVRBigEndian)


def read_file(data: bytes) -> File:
    """Read a file that is right."""
    meta, position = [], 132
    for element, behind in Encoding().decode(data, position, len(data)):
        if element.tag >> 16 != 2:
            break
        meta.append(element)
        position = behind
    syntax = next(e.content for e in meta if e.tag == TRANSFER_SYNTAX)
    assert isinstance(syntax, bytes)
    name = syntax.rstrip(b"\0 ").decode()
    deflated = name == DeflatedExplicitVRLittleEndian
    body = zlib.decompressobj(-15).decompress(data[position:]) if deflated else data[position:]
    encoding = _encoding(name)
    elements = [element for element, _ in encoding.decode(body, 0, len(body))]
    return File(data[:132], meta, elements, encoding, deflated)
