"""Parser of encoded elements: where sequences end, and what is no sequence."""

import struct

import pytest

from dicomslide.errors import InvalidImageError
from dicomslide.metadata.elements import Elements

OPEN = 0xFFFFFFFF
LEAF = struct.pack("<HH2sH4s", 0x0010, 0x0020, b"LO", 4, b"ABCD")
UNNAMED = struct.pack("<HHI4s", 0x0010, 0x0020, 4, b"ABCD")


def item(content: bytes, length: int | None = None) -> bytes:
    end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) if length == OPEN else b""
    length = len(content) if length is None else length
    return struct.pack("<HHI", 0xFFFE, 0xE000, length) + content + end


def sequence(content: bytes, vr: bytes = b"SQ", length: int | None = None) -> bytes:
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if length == OPEN else b""
    length = len(content) if length is None else length
    head = struct.pack("<HH2sHI", 0x0040, 0x0555, vr, 0, length)
    if not vr:
        head = struct.pack("<HHI", 0x0040, 0x0555, length)
    return head + content + end


def end_of(data: bytes, implicit: bool = False) -> int:
    elements = Elements("file", data, implicit=implicit)
    return elements.end_of(elements.element(0))


@pytest.mark.parametrize("outer", [None, OPEN])
@pytest.mark.parametrize("inner", [None, OPEN])
@pytest.mark.parametrize("vr", [b"SQ", b"UN", b""])
def test_nested_sequences_end_where_they_do(vr, outer, inner):
    leaf = LEAF if vr else UNNAMED
    nested = leaf + sequence(item(leaf, inner), vr, inner) + leaf
    data = sequence(item(nested, outer), vr, outer)
    assert end_of(data + leaf, implicit=not vr) == len(data)


@pytest.mark.parametrize("outer", [None, OPEN])
@pytest.mark.parametrize("vr", [b"SQ", b""])
def test_a_nested_sequence_with_something_else_in_it_is_damaged(vr, outer):
    leaf = LEAF if vr else UNNAMED
    nested = sequence(leaf, vr)
    with pytest.raises(InvalidImageError, match=r"unexpected element 00100020"):
        end_of(sequence(item(nested, outer), vr, outer), implicit=not vr)


def test_a_value_that_is_cut_off_in_an_item_is_damaged():
    data = sequence(item(LEAF[:-4], OPEN), length=OPEN)[:-16]
    with pytest.raises(InvalidImageError, match=r"an element ends at byte \d+ of \d+"):
        end_of(data)
