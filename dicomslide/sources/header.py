"""Header of a Part 10 file: all elements before its pixel data, if any (PS3.10 7, PS3.5 7).

This module walks the top level of the data set up to the pixel data, and gives pydicom unparsed
elements, which it parses on access: the Per-Frame Functional Groups can be tens of thousands of
items.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from dicomslide.errors import InvalidImageError, NoSlideError, UnsupportedError
from dicomslide.errors.damage import reading
from dicomslide.metadata.deferred import ANNOTATION_GROUPS
from dicomslide.metadata.elements import ITEM, UNDEFINED, Element, is_standard_sequence
from dicomslide.metadata.functional_groups import PER_FRAME_GROUPS
from dicomslide.metadata.header_dataset import HeaderDataset
from dicomslide.metadata.tags import tag_of
from dicomslide.sources.annotationgroups import read_groups
from dicomslide.sources.base import File
from dicomslide.sources.fileelements import (
    MAX_VALUE,
    FileElements,
    parsed_element,
    raw_element,
)
from dicomslide.sources.inflated import InflatedFile

__all__ = ["FileMeta", "Header", "read_file_meta", "read_header"]

_PIXEL_DATA = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}
_PREFIX = 132
_CHARACTER_SET = 0x00080005
_SOP_CLASS, _TRANSFER_SYNTAX = 0x00020002, 0x00020010
_NUMBER_OF_FRAMES = tag_of(0x00280008)
# Digits of Number of Frames, an Integer String (PS3.5 6.2)
_MAX_DIGITS = 12
# Items may be longer than the first one by a part in so many
_MARGIN = 8
# Extended Offset Table and its lengths, the only values that may be as long as they are
_OFFSET_TABLES = 0x7FE00001, 0x7FE00002
# Bytes of both tables for each frame
_TABLE_ROW = 16
# Bytes of the headers of the second table, of the pixel data and of their first item
_BEFORE_PIXELS = 12 + 12 + 8
# A plain integer, as tags of pydicom are slow to compare
_GROUPS = int(PER_FRAME_GROUPS)
# Sequence Delimitation Item in front of an element of group 7FE0, with which a header can end
_END_BEFORE_PIXELS = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00\xe0\x7f"
_STEP, _MAX_SEARCH = 1 << 16, 1 << 28
# Bound of the elements at the top level: a few bytes of a deflated data set can hold very many
_MAX_TOP_LEVEL = 1 << 14


@dataclass(frozen=True, eq=False)
class FileMeta:
    """File Meta Information of a DICOM file (PS3.10 7.1).

    Parameters
    ----------
    elements : dict
        For each tag, the header of the element, its offset in bytes, and that of its end
    transfer_syntax, sop_class : str
        Transfer Syntax UID and Media Storage SOP Class UID, empty where they are not stated
    reader : FileElements
        Elements of the file
    stop : int
        Offset in bytes of the data set, which follows
    """

    elements: dict[int, tuple[Element, int, int]]
    transfer_syntax: str
    sop_class: str
    reader: FileElements
    stop: int


@dataclass(frozen=True, eq=False)
class Header:
    """Header of a file, and the place of its pixel data.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        All attributes but the pixel data
    file : File
        File that `start` is an offset in: the given one, or the inflated data set in it
    transfer_syntax : str
        Transfer Syntax UID
    keyword : str, optional
        PixelData, FloatPixelData or DoubleFloatPixelData; None where there are no pixels
    start, length : int
        Offset and length in bytes of the value of the pixel data; -1 for an undefined length
    first : bytes
        First bytes of the value of encapsulated pixel data, as far as they were read, too
    """

    dataset: Dataset
    file: File
    transfer_syntax: str
    keyword: str | None
    start: int
    length: int
    first: bytes


def read_file_meta(file: File) -> FileMeta | None:
    """Read the File Meta Information of a file, and nothing after it.

    Returns
    -------
    FileMeta or None
        None where it is not a DICOM Part 10 file

    Raises
    ------
    InvalidImageError
        When the File Meta Information is damaged or truncated
    SourceError
        When the file cannot be read
    """
    if file.size < _PREFIX + 8:
        return None
    # Only the prefix is read at first: most of many other files beside a slide may be large
    (prefix,) = file.read([(0, _PREFIX)])
    if not prefix.endswith(b"DICM"):
        return None
    reader = FileElements(file, prefix)
    elements = {}
    uids = {_TRANSFER_SYNTAX: b"", _SOP_CLASS: b""}
    position = _PREFIX
    while position + 8 <= file.size:
        element = reader.element(position)
        tag, _, value, _ = element
        if tag >> 16 != 0x0002:
            break
        start, position = position, reader.end_of(element)
        elements[tag] = element, start, position
        if tag in uids:
            uids[tag] = bytes(reader.data[value:position])
    syntax, sop_class = (uid.strip(b" \0").decode("ascii", "replace") for uid in uids.values())
    return FileMeta(elements, syntax, sop_class, reader, position)


def read_header(file: File, meta: FileMeta | None = None) -> Header:
    """Read the header of a file.

    Parameters
    ----------
    file : File
        The file
    meta : FileMeta, optional
        Its File Meta Information, if that was read before

    Raises
    ------
    NoSlideError
        When the file is not a DICOM Part 10 file
    InvalidImageError
        When the header is damaged or truncated
    UnsupportedError
        When the transfer syntax is private, so that the encoding of the data set is not known
    SourceError
        When the file cannot be read
    """
    meta = meta or read_file_meta(file)
    if meta is None:
        raise NoSlideError(f"{file.path}: not a DICOM file")
    start, syntax, reader = meta.stop, meta.transfer_syntax, meta.reader
    if not f"{syntax}.".startswith(f"{ImplicitVRLittleEndian}."):
        raise UnsupportedError(f"{file.path}: transfer syntax {syntax!r} is not one of DICOM")
    with reading(file.path):
        # The elements of the data set may drop those before them, and change the encoding
        file_meta = _file_meta_dataset(meta)
    place: File = file
    if syntax == DeflatedExplicitVRLittleEndian:
        place, start = InflatedFile(file, start), 0
        reader = FileElements(place)
    reader.allow_for(file.size)
    # All other transfer syntaxes of DICOM, even future ones, are explicit and little endian
    # (PS3.5 10)
    reader.big_endian = syntax == ExplicitVRBigEndian
    reader.implicit = syntax == ImplicitVRLittleEndian
    with reading(file.path):
        dataset, pixels = _walk(reader, start)
        dataset.file_meta = file_meta
    return Header(dataset, place, syntax, *pixels)


def _file_meta_dataset(meta: FileMeta) -> FileMetaDataset:
    elements = {}
    for number, (element, start, stop) in meta.elements.items():
        tag = tag_of(number)
        elements[tag] = _element(meta.reader, tag, element, start, stop, default_encoding)
    return FileMetaDataset(elements)


def _walk(
    reader: FileElements, position: int
) -> tuple[Dataset, tuple[str | None, int, int, bytes]]:
    """Walk the top level of the data set to its pixel data, or to the end of the file.

    Returns
    -------
    dataset : pydicom.dataset.Dataset
        Elements before the pixel data
    pixels : tuple
        Keyword of the pixel data (None for a data set without), offset and length of its value,
        and its first bytes
    """
    elements: dict[BaseTag, RawDataElement | DataElement] = {}
    encoding: str | list[str] = default_encoding
    pixels: tuple[str | None, int, int, bytes] | None = None
    count = 0
    while position < reader.end:
        element = reader.element(position)
        number, _, value, length = element
        if number in _PIXEL_DATA:
            start, encapsulated = reader.origin + value, length == UNDEFINED
            first = bytes(memoryview(reader.data)[value:]) if encapsulated else b""
            pixels = _PIXEL_DATA[number], start, -1 if encapsulated else length, first
            break
        if (count := count + 1) > _MAX_TOP_LEVEL:
            raise InvalidImageError(f"{reader.name}: has more than {_MAX_TOP_LEVEL} attributes")
        if length > MAX_VALUE and _is_passed_over(element):
            reader.skip_to(value + length)
            position = 0
            continue
        if number == _OFFSET_TABLES[0]:
            # The lengths that follow, and the begin of the pixel data, are read with the offsets
            reader.expect(value + 2 * length + _BEFORE_PIXELS)
        tag = tag_of(number)
        if number == ANNOTATION_GROUPS:
            elements[tag], position = read_groups(reader, element, encoding)
        elif number == _GROUPS:
            position, stop = _end_of_groups(reader, element, _frames(elements))
            elements[tag] = raw_element(reader, tag, b"SQ", value, stop)
        else:
            start, position = position, reader.end_of(element)
            elements[tag] = _element(reader, tag, element, start, position, encoding)
        if number == _CHARACTER_SET:
            encoding = convert_encodings(convert_raw_data_element(elements[tag]).value)
    dataset = HeaderDataset(elements)
    dataset.set_original_encoding(reader.implicit, not reader.big_endian, encoding)
    return dataset, pixels or (None, reader.origin + position, 0, b"")


def _element(
    reader: FileElements,
    tag: BaseTag,
    element: Element,
    start: int,
    stop: int,
    encoding: str | list[str],
) -> RawDataElement | DataElement:
    """Make an element of which the header was parsed, and the end found."""
    _, vr, value, length = element
    if length != UNDEFINED:
        return raw_element(reader, tag, vr, value, stop)
    return parsed_element(reader, tag, start, stop, encoding)


def _is_passed_over(element: Element) -> bool:
    """Whether a value of more than `MAX_VALUE` bytes is none that is read here."""
    number, vr, _, length = element
    if length == UNDEFINED or number in _OFFSET_TABLES:
        return False
    # Long sequences are read if they are of the standard; private ones are never looked into
    return bool(number >> 16 & 1) or not (vr == b"SQ" or is_standard_sequence(number))


def _end_of_groups(reader: FileElements, element: Element, frames: int) -> tuple[int, int]:
    """Find the end of the Per-Frame Functional Groups Sequence, and the end of its items.

    Parameters
    ----------
    reader : FileElements
        Elements of the file
    element : Element
        Header of the sequence
    frames : int
        Number of frames, each of which should have an item
    """
    _, _, start, length = element
    if length != UNDEFINED:
        end = start + length
        reader.expect(end + _after_groups(frames))
        reader.need(end)
        return end, end
    _expect_items(reader, start, frames)
    if not reader.big_endian:
        # Searching for the end is a hundred times as fast as walking the items; a wrong match is
        # noticed when the items are parsed
        searched, stop = start, min(reader.end, start + _MAX_SEARCH)
        while searched < stop:
            reader.expect(min(searched + _STEP, stop))
            end_of_items = reader.data.find(_END_BEFORE_PIXELS, searched)
            if end_of_items >= 0:
                return end_of_items + 8, end_of_items
            before, searched = searched, len(reader.data) - len(_END_BEFORE_PIXELS)
            if len(reader.data) >= stop or searched <= before:
                break
    end = reader.end_of(element)
    return end, end - 8


def _expect_items(reader: FileElements, start: int, frames: int) -> None:
    """Read about as many bytes as the items of all frames, and offset tables behind them, have."""
    # An error of a damaged item is raised where the items are needed
    with suppress(InvalidImageError):
        item = reader.element(start)
        if item[0] == ITEM:
            expected = frames * (reader.end_of(item) - start)
            expected += expected // _MARGIN + _after_groups(frames)
            reader.expect(start + min(expected, _MAX_SEARCH))


def _after_groups(frames: int) -> int:
    """Estimate the bytes between the functional groups and the first frame."""
    return frames * _TABLE_ROW + _STEP


def _frames(elements: Mapping[BaseTag, RawDataElement | DataElement]) -> int:
    """Read Number of Frames; 1 where it is missing or damaged."""
    value = getattr(elements.get(_NUMBER_OF_FRAMES), "value", None)
    text = value.strip(b" \0") if isinstance(value, bytes) else b""
    return int(text) if text.isdigit() and len(text) <= _MAX_DIGITS else 1
