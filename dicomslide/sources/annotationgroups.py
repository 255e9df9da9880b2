"""Annotation Group Sequence of a file, without the coordinates of its annotations (PS3.3 C.37.1.2).

A group can have millions of points. Long values are left in the file: see
`dicomslide.metadata.deferred`.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from dicomslide.errors import InvalidImageError
from dicomslide.metadata.deferred import deferred_element, is_bulk, may_hold_bulk
from dicomslide.metadata.elements import UNDEFINED, Element
from dicomslide.sources.base import File
from dicomslide.sources.fileelements import FileElements, parsed_element, raw_element
from dicomslide.sources.knownfile import plain_file
from dicomslide.sources.localfile import LocalFile

__all__ = ["FileValue", "read_groups"]

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
# Shorter values are kept, as the bytes around them are read anyway
_MOST_KEPT = 1 << 10
# Groups, their measurements, and the values of these
_MAX_DEPTH = 3


@dataclass(frozen=True)
class FileValue:
    """Value of a data element in a file; a `DeferredValue`.

    Parameters
    ----------
    file : File
        File, or the inflated data set in it, in which `start` counts
    start, length : int
        Offset and length in bytes of the value
    big_endian : bool
        Whether numbers are in big endian order
    """

    file: File
    start: int
    length: int
    big_endian: bool

    @property
    def token(self) -> Hashable:
        """Key that is equal in all processes for the same bytes and the same user."""
        return *self.file.identity, self.start

    def fetch(self) -> bytes | memoryview:
        """Read the value; see `DeferredValue.fetch`."""
        if not isinstance(self.file, LocalFile):
            return self.file.read([(self.start, self.length)])[0]
        # Filling memory of NumPy takes a third of the time to make bytes
        found = np.empty(self.length, np.uint8).data
        self.file.read_into(self.start, found)
        return found.toreadonly()

    def close(self) -> None:
        """Close the file; it is opened again when it is read."""
        self.file.close()


def read_groups(
    reader: FileElements, element: Element, encoding: str | list[str]
) -> tuple[DataElement, int]:
    """Read the Annotation Group Sequence.

    Parameters
    ----------
    reader : FileElements
        Elements of the file; those before the end of the sequence may be dropped
    element : Element
        Header of the sequence
    encoding : str or list of str
        Specific Character Set of the data set

    Returns
    -------
    sequence : pydicom.dataelem.DataElement
        Element whose items have deferred values
    position : int
        Position of the end of the sequence

    Raises
    ------
    InvalidImageError
        When the sequence is damaged
    """
    items, end = _Walk(reader, encoding).items(element, 1)
    return deferred_element(element[0], Sequence(items)), end - reader.origin


@dataclass(frozen=True)
class _Walk:
    """Walk through nested items; places are offsets in the file, as the reader drops bytes."""

    reader: FileElements
    encoding: str | list[str]

    def items(self, sequence: Element, depth: int) -> tuple[list[Dataset], int]:
        """Read the items of a sequence, and find its end."""
        reader = self.reader
        if depth > _MAX_DEPTH:
            raise InvalidImageError(f"{reader.name}: sequences are nested too deeply")
        found = []
        place, stop = self._inside(sequence)
        while item := self._header(place, stop, _SEQUENCE_END):
            if item[0] != _ITEM:
                raise InvalidImageError(
                    f"{reader.name}: damaged attributes: unexpected element {item[0]:08X} at byte "
                    f"{place}"
                )
            elements, place = self._elements(item, depth)
            dataset = Dataset(elements)
            dataset.set_original_encoding(reader.implicit, not reader.big_endian, self.encoding)
            found.append(dataset)
        return found, self._end(place, stop)

    def _elements(
        self, item: Element, depth: int
    ) -> tuple[dict[BaseTag, RawDataElement | DataElement], int]:
        """Read the elements of an item, and find its end."""
        reader = self.reader
        elements: dict[BaseTag, RawDataElement | DataElement] = {}
        place, stop = self._inside(item)
        while element := self._header(place, stop, _ITEM_END):
            number, vr, value, length = element
            tag = BaseTag(number)
            if may_hold_bulk(number):
                items, place = self.items(element, depth + 1)
                elements[tag] = deferred_element(number, Sequence(items))
            elif is_bulk(number) and _MOST_KEPT < length < UNDEFINED:
                start, place = reader.origin + value, reader.origin + value + length
                if value + length > reader.end:
                    # Raises that the file is truncated
                    reader.need(value + length)
                bulk = FileValue(plain_file(reader.file), start, length, reader.big_endian)
                elements[tag] = deferred_element(number, bulk)
            else:
                end = reader.end_of(element)
                elements[tag] = (
                    parsed_element(reader, tag, place - reader.origin, end, self.encoding)
                    if length == UNDEFINED
                    else raw_element(reader, tag, vr, value, end)
                )
                place = reader.origin + end
        return elements, self._end(place, stop)

    def _inside(self, outer: Element) -> tuple[int, int | None]:
        """Find where the content of a sequence or an item starts and, if it is stated, ends."""
        _, _, value, length = outer
        start = self.reader.origin + value
        return start, None if length == UNDEFINED else start + length

    def _header(self, place: int, stop: int | None, delimiter: int) -> Element | None:
        """Parse the header of the next element; None at the end of the sequence or item."""
        reader = self.reader
        if stop is not None and place >= stop:
            return None
        if place > reader.origin + len(reader.data):
            reader.skip_to(place - reader.origin)
        element = reader.element(place - reader.origin)
        return None if stop is None and element[0] == delimiter else element

    def _end(self, place: int, stop: int | None) -> int:
        """Find the end of a sequence or an item, behind its delimiter if it has one."""
        if stop is not None and place != stop:
            raise InvalidImageError(
                f"{self.reader.name}: damaged attributes: the content of an item ends at byte "
                f"{place}, expected {stop}"
            )
        return place if stop is not None else place + 8
