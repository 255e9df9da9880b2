"""Damage to files that knows their structure: elements, sequences, offset tables and frames.

A damage takes a file and changes it in place, and says what it did. None checks that what it does
is wrong: right values are a case as good as any.
"""

import random
import struct
from collections.abc import Callable
from typing import NamedTuple

from pydicom.datadict import tag_for_keyword

from tests.fuzzing.elements import LONG, PIXEL_DATA, UNDEFINED, Element, File, Item
from tests.fuzzing.oracle import DESCRIPTION

__all__ = ["Damaged", "damage_file"]

LENGTHS = (0, 1, 2, 7, 8, 2**15, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 2, UNDEFINED)
SIZES = (0, 1, 2, 3, 4, 7, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
NUMBERS = {b"US": "H", b"SS": "h", b"UL": "I", b"SL": "i", b"FL": "f", b"FD": "d"}
NUMBERS |= {b"UV": "Q", b"SV": "q", b"OF": "f", b"OD": "d"}
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-300, 1e-30, 1e30, 1e300, 0.5)
FLOATS += (float("nan"), float("inf"), float("-inf"), 2.0**31, 2.0**63)
TEXTS = (
    b"",
    b" ",
    b"0",
    b"-1",
    b"1",
    b"2",
    b"1e308",
    b"1e-320",
    b"nan",
    b"-inf",
    b"0x10",
    b"1_0",
    b"99999999999999999999",
    b"1.5",
    b"1\\2",
    b"\\",
    b"1\\\\2",
    b"1.2.840.10008.5.1.4.1.1.77.1.6",
    b"1.2.840.10008.5.1.4.1.1.66.4",
    b"..",
    b"ORIGINAL\\PRIMARY\\VOLUME\\NONE",
    b"DERIVED\\PRIMARY\\LABEL\\NONE",
    b"TILED_FULL",
    b"TILED_SPARSE",
    b"RGB",
    b"YBR_FULL_422",
    b"PALETTE COLOR",
    b"MONOCHROME1",
    b"BINARY",
    b"../../etc/passwd",
    b"\x1b$B\x1b(J",
    b"\xff\xfe\x00",
    b"\xc3\xa9\xe2\x82",
    b"ISO 2022 IR 87\\ISO_IR 100",
    b"\x00",
    b"%s{0}",
    b"A" * 70,
    b"9" * 400,
)
VRS = (*LONG, *NUMBERS, b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"IS", b"LO", b"LT")
VRS += (b"PN", b"SH", b"ST", b"TM", b"UI", b"??", b"\0\0", b"us", b"\xff\xff")
SYNTAXES = ("1", "1.1", "1.2", "2", "5", "4.50", "4.51", "4.57", "4.70", "4.80", "4.81", "4.90")
SYNTAXES += ("4.91", "4.92", "4.100", "4.201", "4.110", "8.1", "1.98", "1.99", "")

Described = frozenset(tag_for_keyword(keyword) for keyword in DESCRIPTION)


class Damaged(NamedTuple):
    """A file after its damage, what was done, and whether the bytes of frames were touched."""

    data: bytes
    what: list[str]
    frames: bool


def damage_file(file: File, others: list[File], rng: random.Random) -> Damaged:
    """Damage a file once or a few times; `others` are files that parts are taken from."""
    what, frames, cut = [], False, False
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        kind = rng.random()
        encapsulated = _encapsulated(file)
        if kind < 0.14 and encapsulated is not None:
            what.append(rng.choice(FRAME_DAMAGES)(encapsulated, rng))
            frames = True
        elif kind < 0.26 and encapsulated is not None:
            what.append(_damage_table(file, encapsulated, rng))
        elif kind < 0.32:
            done, touches = rng.choice(WHOLE_DAMAGES)(file, others, rng)
            what.append(done)
            frames |= touches
        elif kind < 0.36:
            cut = True
        else:
            done, touches = _damage_element(file, others, rng)
            what.append(done)
            frames |= touches
    data = file.encode()
    if cut or not what:
        stop = rng.randrange(len(data))
        data = data[:stop]
        what.append(f"cut off at {stop}")
    return Damaged(data, what, frames)


# Elements


def _damage_element(file: File, others: list[File], rng: random.Random) -> tuple[str, bool]:
    elements = file.meta if rng.random() < 0.05 else file.elements
    place, index = _choose(elements, rng)
    element = place[index]
    name = f"{element.tag:08x}"
    frames = element.tag >> 4 == PIXEL_DATA >> 4
    change = rng.choice(ELEMENT_DAMAGES)
    done = change(file, place, index, rng)
    return f"{name}: {done or change.__name__.strip('_')}", frames


def _choose(elements: list[Element], rng: random.Random) -> tuple[list[Element], int]:
    """Choose an element anywhere; most of them among those that describe the pixels."""
    place = elements
    while True:
        described = [i for i, e in enumerate(place) if e.tag in Described]
        if not place:
            place.append(Element(0x00090010, b"LO", b"X "))
        index = rng.choice(described) if described and rng.random() < 0.7 else -1
        index = rng.randrange(len(place)) if index < 0 else index
        content = place[index].content
        items = [
            item.content
            for item in content
            if isinstance(item, Item) and isinstance(item.content, list)
        ]
        if not items or rng.random() < 0.25:
            return place, index
        place = rng.choice(items)


def _remove(file: File, place: list[Element], index: int, rng: random.Random) -> None:
    del place[index]


def _duplicate(file: File, place: list[Element], index: int, rng: random.Random) -> None:
    element = _copy(place[index])
    if isinstance(element.content, bytes) and rng.random() < 0.5:
        element.content = _value(file, element, rng)
    place.insert(index + rng.randrange(2), element)


def _move(file: File, place: list[Element], index: int, rng: random.Random) -> None:
    element = place.pop(index)
    place.insert(rng.randrange(len(place) + 1), element)


def _transplant(file: File, place: list[Element], index: int, rng: random.Random) -> str:
    there, other = _choose(file.elements, rng)
    there.insert(other, _copy(place[index]))
    return "copied elsewhere"


def _other_vr(file: File, place: list[Element], index: int, rng: random.Random) -> str:
    place[index].vr = rng.choice(VRS)
    return f"VR {place[index].vr!r}"


def _other_tag(file: File, place: list[Element], index: int, rng: random.Random) -> str:
    described = sorted(tag for tag in Described if tag is not None)
    tags = (*described, rng.randrange(2**32), place[index].tag ^ 1 << rng.randrange(32), PIXEL_DATA)
    place[index].tag = rng.choice(tags)
    return f"tag {place[index].tag:08x}"


def _other_value(file: File, place: list[Element], index: int, rng: random.Random) -> str:
    element = place[index]
    element.content = _value(file, element, rng)
    return f"value {element.content[:30]!r}"


def _other_number_of_values(
    file: File, place: list[Element], index: int, rng: random.Random
) -> str | None:
    element = place[index]
    if not isinstance(element.content, bytes):
        return _other_items(file, place, index, rng)
    half = len(element.content) // 4 * 2
    separator = b"" if element.vr in NUMBERS else b"\\"
    element.content = rng.choice(
        (
            separator.join([element.content] * rng.choice((2, 3, 7, 2000))),
            element.content[:half],
            element.content[: rng.randrange(len(element.content) + 1)],
            b"",
        )
    )
    return f"{len(element.content)} bytes of values"


def _other_items(file: File, place: list[Element], index: int, rng: random.Random) -> str | None:
    element = place[index]
    if isinstance(element.content, bytes):
        return _other_value(file, place, index, rng)
    items = element.content
    kind = rng.randrange(6)
    if kind == 0:
        items.clear()
    elif kind == 1:
        element.content = [Item([])]
    elif kind == 2 and items:
        del items[rng.randrange(len(items))]
    elif kind == 3 and items:
        items.insert(rng.randrange(len(items)), _copy_item(rng.choice(items)))
    elif kind == 4 and items:
        element.content = [_copy_item(rng.choice(items)) for _ in range(rng.choice((2, 30, 300)))]
    else:
        rng.shuffle(items)
    return f"{len(element.content)} items"


def _other_length(file: File, place: list[Element], index: int, rng: random.Random) -> str:
    part: Element | Item = place[index]
    if isinstance(part.content, list) and part.content and rng.random() < 0.5:
        part = rng.choice(part.content)
    size = len(file.encoding.encode([place[index]]))
    part.stated = rng.choice((*LENGTHS, size, size - 1, size + 1, size - 8, size + 8, 2 * size))
    part.stated &= UNDEFINED
    return f"length {part.stated}"


def _undefined_length(file: File, place: list[Element], index: int, rng: random.Random) -> str:
    element = place[index]
    parts: list[Element | Item] = [element]
    parts += [item for item in element.content if isinstance(item, Item)]
    for part in parts:
        part.undefined = rng.random() < 0.7
        part.delimited = rng.random() < 0.8
    return "undefined lengths"


def _other_item_tag(file: File, place: list[Element], index: int, rng: random.Random) -> str | None:
    content = place[index].content
    if not content or isinstance(content, bytes):
        return _other_tag(file, place, index, rng)
    item = rng.choice(content)
    item.tag = rng.choice((0xFFFEE00D, 0xFFFEE0DD, 0, PIXEL_DATA, 0xFFFEE001))
    return f"item tag {item.tag:08x}"


def _nest(file: File, place: list[Element], index: int, rng: random.Random) -> str:
    """Put an element deep into sequences, of undefined lengths or not, delimited or not."""
    undefined = rng.random() < 0.5
    delimited = rng.random() < 0.7
    depth = rng.choice((1, 3, 40, 400, 3000))
    tag = rng.choice((place[index].tag, 0x00400555, 0x00081140, 0x00091010, 0x52009230))
    # Encoded from the inside, as a tree of this depth could not be
    inner = file.encoding.encode([place[index]]) if rng.random() < 0.5 else b""
    for _ in range(min(depth, 400 if not undefined else depth)):
        item = Item(inner, undefined=undefined, delimited=delimited)
        element = Element(tag, b"SQ", [item], undefined=undefined, delimited=delimited)
        inner = file.encoding.encode([element])
    item = Item(inner, undefined=undefined, delimited=delimited)
    place[index] = Element(tag, b"SQ", [item], undefined=undefined, delimited=delimited)
    return f"nested {depth} deep in {tag:08x}"


def _insert(file: File, place: list[Element], index: int, rng: random.Random) -> str:
    tag = rng.choice((0x00090010, 0x00091001, 0x00080005, 0x7FE00001, 0x7FE00008, 0x00020010))
    tag = rng.choice((tag, place[index].tag + 1, rng.randrange(2**32)))
    element = Element(tag, rng.choice(VRS), b"")
    element.content = _value(file, element, rng)
    place.insert(index, element)
    return f"{tag:08x} before it"


def _huge_value(file: File, place: list[Element], index: int, rng: random.Random) -> str:
    size = rng.choice((2**16 - 2, 2**16, 2**18, 2**20))
    piece = rng.choice((b"A", b"1\\", b"\0", b"\xff", b"1.5\\"))
    place[index].content = (piece * size)[:size]
    return f"{size} bytes of {piece!r}"


ELEMENT_DAMAGES: tuple[Callable[[File, list[Element], int, random.Random], str | None], ...] = (
    _remove,
    _duplicate,
    _move,
    _transplant,
    _other_vr,
    _other_vr,
    _other_tag,
    *(_other_value,) * 8,
    _other_number_of_values,
    _other_number_of_values,
    _other_items,
    _other_items,
    _other_length,
    _other_length,
    _undefined_length,
    _other_item_tag,
    _nest,
    _insert,
    _huge_value,
)


def _value(file: File, element: Element, rng: random.Random) -> bytes:
    """A value that may be right for the VR of an element, extreme or wrong."""
    code = NUMBERS.get(element.vr)
    if isinstance(element.content, list) or rng.random() < 0.1:
        return rng.randbytes(rng.choice((0, 1, 2, 4, 8, 20)))
    if code is None:
        text = rng.choice(TEXTS)
        if rng.random() < 0.2 and element.content:
            changed = bytearray(element.content)
            changed[rng.randrange(len(changed))] = rng.randrange(256)
            text = bytes(changed)
        return text + b" " * (len(text) % 2)
    count = max(len(element.content) // struct.calcsize(code), 1)
    values = [rng.choice(FLOATS if code in "fd" else SIZES) for _ in range(min(count, 8))]
    if code in "fd":
        values = [max(min(v, 3e38), -3e38) if code == "f" else v for v in values]
    else:
        least, most = _limits(code)
        values = [min(max(value, least), most) for value in values]
    return struct.pack(f"{file.encoding.order}{len(values)}{code}", *values)


def _limits(code: str) -> tuple[int, int]:
    bits = 8 * struct.calcsize(code)
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if code.islower() else (0, 2**bits - 1)


def _copy(element: Element) -> Element:
    content = element.content
    if isinstance(content, list):
        content = list(map(_copy_item, content))
    return Element(
        element.tag, element.vr, content, element.undefined, element.stated, element.delimited
    )


def _copy_item(item: Item) -> Item:
    content = item.content
    if isinstance(content, list):
        content = list(map(_copy, content))
    return Item(content, item.undefined, item.stated, item.delimited, item.tag)


# Encapsulated pixel data


def _encapsulated(file: File) -> list[Item] | None:
    for element in file.elements:
        if element.tag == PIXEL_DATA and isinstance(element.content, list) and element.content:
            return element.content
    return None


def _damage_table(file: File, items: list[Item], rng: random.Random) -> str:
    """Damage a Basic Offset Table, or an Extended one or its lengths."""
    tables = [e for e in file.elements if e.tag in (0x7FE00001, 0x7FE00002)]
    holder: Element | Item = rng.choice([*tables, *tables, items[0]])
    code = "Q" if isinstance(holder, Element) else "I"
    if not isinstance(holder.content, bytes):
        return "no table"
    size = struct.calcsize(code)
    offsets = list(
        struct.unpack(
            f"<{len(holder.content) // size}{code}",
            holder.content[: len(holder.content) // size * size],
        )
    )
    kind = rng.randrange(9)
    if kind == 0:
        offsets = []
    elif kind == 1 and offsets:
        del offsets[rng.randrange(len(offsets)) :]
    elif kind == 2:
        offsets += [rng.choice((0, 8, 2**31, 2**32 - 1))] * rng.choice((1, 2, 1000))
    elif kind == 3:
        rng.shuffle(offsets)
    elif kind == 4:
        offsets = [0] * len(offsets)
    elif kind == 5 and offsets:
        largest = 2 ** (8 * size) - 1
        offsets[rng.randrange(len(offsets))] = rng.choice((1, largest, largest - 7, largest >> 1))
    elif kind == 6:
        step = rng.choice((-8, -1, 1, 2, 8))
        offsets = [max(offset + step, 0) for offset in offsets]
    elif kind == 7:
        holder.content += bytes(rng.choice((1, 2, 3)))
        return "odd length of offset table"
    else:
        # As if the items in front of frames were not counted
        offsets = [max(offset - 8 * n, 0) for n, offset in enumerate(offsets)]
    holder.content = struct.pack(f"<{len(offsets)}{code}", *offsets)
    return f"offset table {offsets[:6]}"


def _drop_fragment(items: list[Item], rng: random.Random) -> str:
    index = rng.randrange(len(items))
    del items[index]
    return f"fragment {index} dropped"


def _repeat_fragment(items: list[Item], rng: random.Random) -> str:
    index = rng.randrange(len(items))
    items.insert(rng.randrange(len(items) + 1), _copy_item(items[index]))
    return f"fragment {index} twice"


def _swap_fragments(items: list[Item], rng: random.Random) -> str:
    rng.shuffle(items)
    return "fragments shuffled"


def _split_fragment(items: list[Item], rng: random.Random) -> str:
    index = rng.randrange(len(items))
    content = items[index].content
    assert isinstance(content, bytes)
    stop = rng.randrange(len(content) + 1)
    items[index : index + 1] = [Item(content[:stop]), Item(content[stop:])]
    return f"fragment {index} split"


def _join_fragments(items: list[Item], rng: random.Random) -> str:
    index = rng.randrange(len(items))
    pieces = [i.content for i in items[index : index + 2] if isinstance(i.content, bytes)]
    items[index : index + 2] = [Item(b"".join(pieces))]
    return f"fragments joined at {index}"


def _many_fragments(items: list[Item], rng: random.Random) -> str:
    count = rng.choice((10, 1000, 20_000))
    items += [Item(b"")] * count
    return f"{count} empty fragments"


def _damage_header(items: list[Item], rng: random.Random) -> str:
    item = rng.choice(items)
    if rng.random() < 0.7:
        item.stated = rng.choice((*LENGTHS, len(item.content) + 2, max(len(item.content) - 2, 0)))
        return f"fragment of length {item.stated}"
    item.tag = rng.choice((0xFFFEE00D, 0xFFFEE0DD, 0, PIXEL_DATA))
    return f"fragment of tag {item.tag:08x}"


def _damage_bytes(items: list[Item], rng: random.Random) -> str:
    item = rng.choice(items[1:] or items)
    content = bytearray(item.content if isinstance(item.content, bytes) else b"")
    kind = rng.randrange(6)
    if kind == 0:
        content = content[: rng.randrange(len(content) + 1)]
    elif kind == 1:
        content = bytearray(len(content))
    elif kind == 2:
        content = bytearray(rng.randbytes(len(content)))
    elif kind == 3:
        content += rng.randbytes(rng.choice((2, 100, 2**16)))
    else:
        # Most of what a codec can be led astray by is at the start
        for _ in range(rng.choice((1, 2, 8))):
            if content:
                most = min(len(content), rng.choice((64, 700, len(content))))
                content[rng.randrange(most)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    item.content = bytes(content)
    return "bytes of a frame"


FRAME_DAMAGES: tuple[Callable[[list[Item], random.Random], str], ...] = (
    _drop_fragment,
    _repeat_fragment,
    _swap_fragments,
    _split_fragment,
    _join_fragments,
    _many_fragments,
    _damage_header,
    *(_damage_bytes,) * 6,
)


# Whole files


def _no_delimiter(file: File, others: list[File], rng: random.Random) -> tuple[str, bool]:
    file.elements[-1].delimited = False
    return "no delimiter behind the last element", True


def _trailing(file: File, others: list[File], rng: random.Random) -> tuple[str, bool]:
    size = rng.choice((1, 2, 8, 5000))
    file.rest = rng.choice((bytes(size), rng.randbytes(size), b"\xfc\xff\xfc\xff\0\0\0\0"))
    return f"{size} bytes behind the end", False


def _syntax(file: File, others: list[File], rng: random.Random) -> tuple[str, bool]:
    root = "1.2.840.10008.1.2."
    uid = (root + rng.choice(SYNTAXES)).rstrip(".")
    if rng.random() < 0.3:
        # The elements as well, but not the pixels
        changed = file.with_syntax(uid)
        file.meta, file.encoding = changed.meta, changed.encoding
    else:
        file.meta = file.with_syntax(uid).meta
    return f"transfer syntax {uid}", True


def _defined_length(file: File, others: list[File], rng: random.Random) -> tuple[str, bool]:
    last = file.elements[-1]
    last.undefined = not last.undefined
    last.delimited = rng.random() < 0.5
    return "pixel data with or without a length", True


def _pixels_of_another(file: File, others: list[File], rng: random.Random) -> tuple[str, bool]:
    file.elements[-1] = _copy(rng.choice(others).elements[-1])
    return "pixel data of another slide", True


def _elements_of_another(file: File, others: list[File], rng: random.Random) -> tuple[str, bool]:
    """Take all elements of some tags from another slide, so that they do not go together."""
    other = {element.tag: element for element in rng.choice(others).elements[:-1]}
    share = rng.choice((0.02, 0.1, 0.5))
    for index, element in enumerate(file.elements[:-1]):
        if element.tag in other and rng.random() < share:
            file.elements[index] = _copy(other[element.tag])
    return f"{share} of the elements of another slide", True


def _no_meta(file: File, others: list[File], rng: random.Random) -> tuple[str, bool]:
    if rng.random() < 0.5:
        file.meta = file.meta[: rng.randrange(len(file.meta) + 1)]
        return "elements of the meta information missing", True
    file.start = rng.choice((b"", bytes(128), file.start[:100], rng.randbytes(132)))
    return "other preamble", True


WHOLE_DAMAGES: tuple[Callable[[File, list[File], random.Random], tuple[str, bool]], ...] = (
    _no_delimiter,
    _trailing,
    _syntax,
    _syntax,
    _defined_length,
    _pixels_of_another,
    _elements_of_another,
    _elements_of_another,
    _no_meta,
)
