"""Encoded data elements at the start of a file, which are read as they are needed."""

from io import BytesIO

from pydicom.charset import default_encoding
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from dicomslide.errors import InvalidImageError
from dicomslide.metadata.elements import Elements
from dicomslide.sources.base import File
from dicomslide.sources.knownfile import known_end

__all__ = ["MAX_VALUE", "FileElements", "parsed_element", "raw_element"]

_STEP, _MAX_STEP = 1 << 16, 1 << 20
_MAX_HEADER = 1 << 30
MAX_VALUE = 1 << 24
"""Longer values are skipped, as no attribute that is read in a header has such values."""
# Bound of all elements of a header: a few bytes of a deflated data set can hold very many
_MAX_ELEMENTS = 1 << 18
_MAX_RATIO = 64


class FileElements(Elements):
    """Elements in the first bytes of a file, which are read as they are needed.

    Parameters
    ----------
    file : File
        The file
    known : bytes
        First bytes, as far as they were read
    """

    def __init__(self, file: File, known: bytes = b"") -> None:
        super().__init__(file.path, bytearray(known))
        self.file = file
        self.limit = MAX_VALUE
        self.origin = 0
        """Offset in the file of position 0."""

    def allow_for(self, stored: int) -> None:
        """Bound elements and bytes of the header by the stored size of the file in bytes."""
        self.most = _MAX_ELEMENTS + stored // 8
        self.limit = min(MAX_VALUE + _MAX_RATIO * stored, _MAX_HEADER)

    @property
    def end(self) -> int:
        """Position of the end of the file."""
        return self.file.size - self.origin

    def need(self, stop: int) -> None:
        """Read all bytes before a position, if they are within the bounds."""
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
        # Doubling keeps the number of reads small; its bound keeps it from reading many pixels
        ahead = min(max(2 * len(self.data), _STEP), len(self.data) + _MAX_STEP)
        stop = max(stop, min(ahead, self._known_end, self.limit))
        start = len(self.data)
        self.data += self.file.read([(self.origin + start, stop - start)])[0]

    def expect(self, stop: int) -> None:
        """Read up to a position that will probably be needed, as far as the file has it."""
        self.need(min(stop, self._known_end, self.limit))

    @property
    def _known_end(self) -> int:
        return known_end(self.file, self.origin + len(self.data)) - self.origin

    def skip_to(self, position: int) -> None:
        """Drop the bytes before a position, from which positions are counted afterwards."""
        if position > self.end:
            self.need(position)
        self.origin += position
        self.data = bytearray()


def raw_element(
    reader: FileElements, tag: BaseTag, encoded_vr: bytes, start: int, stop: int
) -> RawDataElement:
    """Make an element that pydicom parses on access."""
    # Like every other unknown VR, one that is damaged matters only if the value is asked for
    vr = encoded_vr.decode(default_encoding) or None
    value = bytes(memoryview(reader.data)[start:stop]) or empty_value_for_VR(vr, raw=True)
    return RawDataElement(tag, vr, stop - start, value, 0, reader.implicit, not reader.big_endian)


def parsed_element(
    reader: FileElements, tag: BaseTag, start: int, stop: int, encoding: str | list[str]
) -> RawDataElement | DataElement:
    """Parse an element of undefined length with pydicom."""
    data = BytesIO(reader.data[start:stop])
    little_endian = not reader.big_endian
    return read_dataset(data, reader.implicit, little_endian, parent_encoding=encoding).get_item(
        tag
    )
