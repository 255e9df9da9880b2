"""The header of a Part 10 file: all that comes before its pixel data, if any (PS3.10 7, PS3.5 7).

The top level of the data set is walked here, up to the pixel data. What pydicom gets are elements
that it parses when someone asks for them: the Per-Frame Functional Groups can be tens of thousands
of items.
"""

from dataclasses import dataclass
from io import BytesIO

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import (
    DataElement,
    RawDataElement,
    convert_raw_data_element,
    empty_value_for_VR,
)
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from dicomslide.errors import InvalidImageError, NoSlideError, UnsupportedError
from dicomslide.errors.damage import reading
from dicomslide.metadata.elements import UNDEFINED, Element, Elements, is_standard_sequence
from dicomslide.metadata.functional_groups import PER_FRAME_GROUPS
from dicomslide.sources.base import File
from dicomslide.sources.inflated import InflatedFile

__all__ = ["Header", "read_header", "read_sop_class"]

_PIXEL_DATA = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}
_PREFIX = 132
_CHARACTER_SET = 0x00080005
# Extended Offset Table and its lengths, which many frames make long
_OFFSET_TABLES = 0x7FE00001, 0x7FE00002
# A tag of pydicom takes long to compare
_GROUPS = int(PER_FRAME_GROUPS)
# The end of a sequence in front of an element of group 7FE0, with which the header ends
_END_BEFORE_PIXELS = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00\xe0\x7f"
_STEP, _MAX_STEP = 1 << 16, 1 << 20
_MAX_SEARCH, _MAX_HEADER = 1 << 28, 1 << 30
# Longer values are of no use for the pixels of a slide: they are passed over
_MAX_VALUE = 1 << 24
# Elements at the top level, and all together; a few bytes of a compressed file can be many of them
_MAX_TOP_LEVEL, _MAX_ELEMENTS = 1 << 14, 1 << 18
_MAX_RATIO = 64


@dataclass(frozen=True, eq=False)
class Header:
    """What comes before the pixel data of a file.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        All attributes but the pixel data
    file : File
        Where the offsets count
    transfer_syntax : str
        Transfer Syntax UID
    keyword : str, optional
        Pixel Data, Float Pixel Data or Double Float Pixel Data; None where there are no pixels
    start, length : int
        Where its value starts, and its length; -1 for an undefined length
    """

    dataset: Dataset
    file: File
    transfer_syntax: str
    keyword: str | None
    start: int
    length: int


class _FileElements(Elements):
    """The first bytes of a file, read as they are needed."""

    def __init__(self, file: File) -> None:
        super().__init__(file.path, bytearray())
        self.file = file
        self.limit = _MAX_VALUE
        self.origin = 0
        """Where in the file positions are counted from"""

    def allow_for(self, stored: int) -> None:
        """Allow for the header of a file of so many bytes, compressed or not."""
        self.most = _MAX_ELEMENTS + stored // 8
        self.limit = min(_MAX_VALUE + _MAX_RATIO * stored, _MAX_HEADER)

    @property
    def end(self) -> int:
        """Position of the end of the file."""
        return self.file.size - self.origin

    def need(self, stop: int) -> None:
        if stop <= len(self.data):
            return
        if stop > self.end:
            raise InvalidImageError(
                f"{self.name}: the header needs {self.origin + stop} bytes, the file has "
                f"{self.file.size}; it is damaged or truncated"
            )
        if stop > self.limit:
            raise InvalidImageError(
                f"{self.name}: the header has more than {self.limit} bytes, which are the most "
                "for a file of its size"
            )
        # Doubling keeps the number of reads small, up to where it would read many pixels as well
        ahead = min(max(len(self.data), _STEP), _MAX_STEP)
        stop = min(max(stop, len(self.data) + ahead), self.end, self.limit)
        start = len(self.data)
        self.data += self.file.read([(self.origin + start, stop - start)])[0]

    def skip_to(self, position: int) -> None:
        """Count positions from here on, and forget what comes before."""
        if position > self.end:
            self.need(position)
        self.origin += position
        self.data = bytearray()


def read_header(file: File) -> Header:
    """Read the header of a file.

    Raises
    ------
    NoSlideError
        When it is no DICOM file
    InvalidImageError
        When the header is damaged or truncated
    UnsupportedError
        When the transfer syntax is none of DICOM, so that its encoding is not known
    SourceError
        When the file cannot be read
    """
    reader = _FileElements(file)
    if not _is_dicom(reader):
        raise NoSlideError(f"{file.path}: not a DICOM file")
    start, syntax, _ = _file_meta(reader)
    if not f"{syntax}.".startswith(f"{ImplicitVRLittleEndian}."):
        raise UnsupportedError(f"{file.path}: transfer syntax {syntax!r} is not one of DICOM")
    meta = reader.data[_PREFIX:start]
    place: File = file
    if syntax == DeflatedExplicitVRLittleEndian:
        place, start = InflatedFile(file, start), 0
        reader = _FileElements(place)
    reader.allow_for(file.size)
    # All others, known here or not, are explicit and little endian (PS3.5 10)
    reader.big_endian = syntax == ExplicitVRBigEndian
    reader.implicit = syntax == ImplicitVRLittleEndian
    with reading(file.path):
        dataset, pixels = _walk(reader, start)
        dataset.file_meta = FileMetaDataset(read_dataset(BytesIO(meta), False, True))
    return Header(dataset, place, syntax, *pixels)


def read_sop_class(file: File) -> str | None:
    """Read the Media Storage SOP Class UID of a file, and no further (PS3.10 7.1).

    Returns
    -------
    str or None
        Empty where the file does not tell; None where it is no DICOM file

    Raises
    ------
    InvalidImageError
        When the File Meta Information is damaged or truncated
    SourceError
        When the file cannot be read
    """
    reader = _FileElements(file)
    return _file_meta(reader)[2] if _is_dicom(reader) else None


def _is_dicom(reader: _FileElements) -> bool:
    if reader.file.size < _PREFIX + 8:
        return False
    reader.need(_PREFIX)
    return reader.data[_PREFIX - 4 : _PREFIX] == b"DICM"


def _file_meta(reader: _FileElements) -> tuple[int, str, str]:
    """Find the end of the File Meta Information, Transfer Syntax and SOP Class UID in it."""
    position = _PREFIX
    values = {0x00020010: b"", 0x00020002: b""}
    while position + 8 <= reader.file.size:
        element = reader.element(position)
        tag, _, value, _ = element
        if tag >> 16 != 0x0002:
            break
        position = reader.end_of(element)
        if tag in values:
            values[tag] = bytes(reader.data[value:position])
    syntax, sop_class = (v.strip(b" \0").decode("ascii", "replace") for v in values.values())
    return position, syntax, sop_class


def _walk(reader: _FileElements, position: int) -> tuple[Dataset, tuple[str | None, int, int]]:
    """Walk the top level of the data set to its pixel data, or to the end of the file.

    Returns
    -------
    dataset : pydicom.dataset.Dataset
        The elements before the pixel data
    pixels : tuple
        Keyword (None for a data set without pixels), start and length of its value
    """
    elements: dict[BaseTag, RawDataElement | DataElement] = {}
    encoding: str | list[str] = default_encoding
    pixels: tuple[str | None, int, int] | None = None
    count = 0
    while position < reader.end:
        element = reader.element(position)
        number, vr, value, length = element
        if number in _PIXEL_DATA:
            start = reader.origin + value
            pixels = _PIXEL_DATA[number], start, -1 if length == UNDEFINED else length
            break
        if (count := count + 1) > _MAX_TOP_LEVEL:
            raise InvalidImageError(f"{reader.name}: has more than {_MAX_TOP_LEVEL} attributes")
        if _is_passed_over(element):
            reader.skip_to(value + length)
            position = 0
            continue
        tag = BaseTag(number)
        if number == _GROUPS:
            position, stop = _end_of_groups(reader, element)
            elements[tag] = _raw(reader, tag, b"SQ", value, stop)
        elif length != UNDEFINED:
            position = reader.end_of(element)
            elements[tag] = _raw(reader, tag, vr, value, position)
        else:
            start, position = position, reader.end_of(element)
            elements[tag] = _parse(reader, tag, start, position, encoding)
        if number == _CHARACTER_SET:
            encoding = convert_encodings(convert_raw_data_element(elements[tag]).value)
    dataset = Dataset(elements)
    dataset.set_original_encoding(reader.implicit, not reader.big_endian, encoding)
    return dataset, pixels or (None, reader.origin + position, 0)


def _is_passed_over(element: Element) -> bool:
    """Whether the value of an element is too long to be of use for an image of a slide."""
    number, vr, _, length = element
    if not _MAX_VALUE < length < UNDEFINED or number in _OFFSET_TABLES:
        return False
    # What the standard has no sequence for nobody will look into
    return bool(number >> 16 & 1) or not (vr == b"SQ" or is_standard_sequence(number))


def _raw(
    reader: _FileElements, tag: BaseTag, encoded_vr: bytes, start: int, stop: int
) -> RawDataElement:
    """Make an element that pydicom parses when someone asks for it."""
    vr = encoded_vr.decode("ascii") or None
    value = bytes(memoryview(reader.data)[start:stop]) or empty_value_for_VR(vr, raw=True)
    little_endian = not reader.big_endian
    return RawDataElement(tag, vr, stop - start, value, 0, reader.implicit, little_endian)


def _parse(
    reader: _FileElements, tag: BaseTag, start: int, stop: int, encoding: str | list[str]
) -> RawDataElement | DataElement:
    """Have pydicom parse an element of undefined length."""
    data = BytesIO(reader.data[start:stop])
    little_endian = not reader.big_endian
    return read_dataset(data, reader.implicit, little_endian, parent_encoding=encoding).get_item(
        tag
    )


def _end_of_groups(reader: _FileElements, element: Element) -> tuple[int, int]:
    """Find the end of the Per-Frame Functional Groups, and the end of their items."""
    _, _, start, length = element
    if length != UNDEFINED:
        end = start + length
        reader.need(end)
        return end, end
    if not reader.big_endian:
        # Searching is a hundred times as fast as walking; what it finds is checked by who reads it
        searched, stop = start, min(reader.end, start + _MAX_SEARCH)
        while searched < stop:
            reader.need(min(searched + _STEP, stop))
            found = reader.data.find(_END_BEFORE_PIXELS, searched)
            if found >= 0:
                return found + 8, found
            if len(reader.data) >= stop:
                break
            searched = max(len(reader.data) - len(_END_BEFORE_PIXELS), searched)
    end = reader.end_of(element)
    return end, end - 8
