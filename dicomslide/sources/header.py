"""The header of a Part 10 file: all that comes before its pixel data, if any (PS3.10 7, PS3.5 7).

The top level of the data set is walked here, to find the pixel data and to set the Per-Frame
Functional Groups apart, which can be tens of thousands of items; pydicom parses the rest.
"""

from dataclasses import dataclass
from io import BytesIO

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from dicomslide.damage import reading
from dicomslide.errors import InvalidImageError, NoSlideError, UnsupportedError
from dicomslide.metadata.elements import UNDEFINED, Element, Elements
from dicomslide.metadata.functional_groups import PER_FRAME_GROUPS
from dicomslide.sources.localfile import InflatedFile, LocalFile

__all__ = ["Header", "read_header", "read_sop_class"]

_PIXEL_DATA = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}
_PREFIX = 132
# The end of a sequence in front of an element of group 7FE0, with which the header ends
_END_BEFORE_PIXELS = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00\xe0\x7f"
_STEP, _MAX_SEARCH, _MAX_HEADER = 1 << 16, 1 << 28, 1 << 30


@dataclass(frozen=True, eq=False)
class Header:
    """What comes before the pixel data of a file.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        All attributes but the pixel data
    file : LocalFile or InflatedFile
        Where the offsets count
    transfer_syntax : str
        Transfer Syntax UID
    keyword : str, optional
        Pixel Data, Float Pixel Data or Double Float Pixel Data; None where there are no pixels
    start, length : int
        Where its value starts, and its length; -1 for an undefined length
    """

    dataset: Dataset
    file: LocalFile | InflatedFile
    transfer_syntax: str
    keyword: str | None
    start: int
    length: int


class _FileElements(Elements):
    """The first bytes of a file, read as they are needed."""

    def __init__(self, file: LocalFile | InflatedFile) -> None:
        super().__init__(file.path, b"")
        self.file = file

    def need(self, stop: int) -> None:
        if stop <= len(self.data):
            return
        if stop > self.file.size:
            raise InvalidImageError(
                f"{self.name}: the header needs {stop} bytes, the file has {self.file.size}; it is "
                "damaged or truncated"
            )
        if stop > _MAX_HEADER:
            raise InvalidImageError(f"{self.name}: the header is larger than 1 GiB")
        # Doubling keeps the number of reads and of copies small
        stop = min(max(stop, 2 * len(self.data), _STEP), self.file.size)
        self.data += self.file.read([(len(self.data), stop - len(self.data))])[0]


def read_header(file: LocalFile) -> Header:
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
    place: LocalFile | InflatedFile = file
    if syntax == DeflatedExplicitVRLittleEndian:
        place, start = InflatedFile(file, start), 0
        reader = _FileElements(place)
    # All others, known here or not, are explicit and little endian (PS3.5 10)
    reader.big_endian = syntax == ExplicitVRBigEndian
    reader.implicit = syntax == ImplicitVRLittleEndian
    groups, end, pixels = _walk(reader, start)
    data = reader.data
    rest = data[start : groups[0]] + data[groups[1] : end] if groups else data[start:end]
    dataset = _parse(meta, rest, file.path, reader)
    if groups:
        _attach(dataset, reader, *groups[2:])
    return Header(dataset, place, syntax, *pixels)


def read_sop_class(file: LocalFile) -> str | None:
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
        if element.tag >> 16 != 0x0002:
            break
        position = reader.end_of(element)
        if element.tag in values:
            values[element.tag] = reader.data[element.value : position]
    syntax, sop_class = (v.strip(b" \0").decode("ascii", "replace") for v in values.values())
    return position, syntax, sop_class


def _walk(
    reader: _FileElements, position: int
) -> tuple[tuple[int, int, int, int] | None, int, tuple[str | None, int, int]]:
    """Walk the top level of the data set to its pixel data, or to the end of the file.

    Returns
    -------
    groups : tuple of int, optional
        Start and end of the Per-Frame Functional Groups, and of the items in them
    end : int
        Start of the pixel data element
    pixels : tuple
        Keyword (None for a data set without pixels), start and length of its value
    """
    groups = None
    while position < reader.file.size:
        element = reader.element(position)
        if element.tag in _PIXEL_DATA:
            length = -1 if element.length == UNDEFINED else element.length
            return groups, position, (_PIXEL_DATA[element.tag], element.value, length)
        if element.tag == PER_FRAME_GROUPS:
            end, value_end = _end_of_groups(reader, element)
            groups = position, end, element.value, value_end
        else:
            end = reader.end_of(element)
        position = end
    return groups, position, (None, position, 0)


def _end_of_groups(reader: _FileElements, element: Element) -> tuple[int, int]:
    """Find the end of the Per-Frame Functional Groups, and the end of their items."""
    if element.length != UNDEFINED:
        end = element.value + element.length
        reader.need(end)
        return end, end
    if not reader.big_endian:
        # Searching is a hundred times as fast as walking; what it finds is checked by who reads it
        searched, stop = element.value, min(reader.file.size, element.value + _MAX_SEARCH)
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


def _attach(dataset: Dataset, reader: _FileElements, value: int, stop: int) -> None:
    """Put the Per-Frame Functional Groups back, to be parsed when someone asks for them."""
    tag = BaseTag(PER_FRAME_GROUPS)
    items = reader.data[value:stop]
    dataset[tag] = RawDataElement(
        tag, "SQ", len(items), items, 0, reader.implicit, not reader.big_endian
    )


def _parse(meta: bytes, data: bytes, path: str, reader: _FileElements) -> Dataset:
    with reading(path):
        dataset = read_dataset(BytesIO(data), reader.implicit, not reader.big_endian)
        dataset.file_meta = FileMetaDataset(read_dataset(BytesIO(meta), False, True))
    return dataset
