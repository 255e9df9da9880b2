"""Conversion of the DICOM JSON Model to data sets (PS3.18 F).

pydicom converts all but the Per-Frame Functional Groups, which would take seconds for tens of
thousands of frames. These are encoded as in a file, so that the values of all frames can be read
together: see `dicomslide.metadata.functional_groups`.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from inspect import Parameter, Signature
from typing import Any, ClassVar

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import format_number_as_ds

from dicomslide.errors import InvalidImageError
from dicomslide.errors.damage import reading
from dicomslide.metadata.deferred import (
    DeferredValue,
    deferred_element,
    is_bulk,
    may_hold_bulk,
)
from dicomslide.metadata.functional_groups import PER_FRAME_GROUPS
from dicomslide.metadata.header_dataset import HeaderDataset
from dicomslide.metadata.storage import ADDED_BY_SERVICES

__all__ = ["ICC_PROFILE", "bulk_data_urls", "dataset_of_json", "text_of_json"]

Json = dict[str, Any]

ICC_PROFILE = "00282000"
# Study, Series and SOP Instance UID
_UIDS = "0020000D", "0020000E", "00080018"
_GROUPS = f"{PER_FRAME_GROUPS:08X}"
# Palette Color Lookup Table Data, plain and segmented
_PALETTES = frozenset(f"00281{table}{color}" for table in ("20", "22") for color in "1234")
_USED = _PALETTES | {ICC_PROFILE, _GROUPS}
_PIXELS = "7FE0"
# Bits of a pixel of Float Pixel Data and Double Float Pixel Data
_FLOATS = {"7FE00008": 32, "7FE00009": 64}
_MAX_DEPTH = 16
# Most nested sequences, half of the bound for files, where items are counted as well
_MAX_NESTED = 32
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_TEXTS = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "LT", "SH", "ST", "TM", "UI"})
_MAX_SHORT = 0xFFFE
_MAX_DS = 16


class _UnusualError(Exception):
    """Raised for elements that the items of frames usually do not have."""


# Exceptions that occur when values of unexpected types or sizes are encoded
_UNUSUAL = (
    _UnusualError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    struct.error,
)


def text_of_json(item: Json, tag: str) -> str:
    """Read the first value of an attribute as text; empty where there is none."""
    element = item.get(tag)
    values = _values(element) if isinstance(element, dict) else []
    return str(values[0]) if values else ""


def _values(element: Json) -> list[Any]:
    """Return the values of an element as a list, which some writers omit for a single value."""
    values = element.get("Value")
    if values is None:
        return []
    return values if isinstance(values, list) else [values]


def bulk_data_urls(item: Json) -> Iterator[tuple[str, str]]:
    """Find the bulk data of a data set that are needed for its pixels.

    Yields
    ------
    tag, url : str
        Tag of the attribute in hexadecimal digits, and URL of its value
    """
    for tag, element in _elements(item):
        url = element.get("BulkDataURI")
        if isinstance(url, list) and len(url) == 1:
            (url,) = url
        if isinstance(url, str) and tag in _USED:
            yield tag, url


@dataclass(frozen=True)
class _BulkData:
    """Values of bulk data by URL, as a function."""

    values: Mapping[str, bytes]
    # pydicom asks for it with each attribute, and would find it anew each time
    __signature__: ClassVar = Signature([Parameter("url", Parameter.POSITIONAL_ONLY)])

    def __call__(self, url: str) -> bytes:
        return self.values[url]


def _elements(item: Json, depth: int = 0) -> Iterator[tuple[str, Json]]:
    for tag, element in item.items():
        if not isinstance(element, dict):
            continue
        yield tag, element
        # The many items of frames are skipped, as none of their bulk data are needed
        if element.get("vr") == "SQ" and tag != _GROUPS:
            for value in _values(element):
                if isinstance(value, dict) and depth < _MAX_DEPTH:
                    yield from _elements(value, depth + 1)


def dataset_of_json(
    item: Json,
    bulk_data: Mapping[str, bytes],
    name: str,
    defer: Callable[[str], DeferredValue] | None = None,
) -> Dataset:
    """Convert a data set from the DICOM JSON Model.

    Parameters
    ----------
    item : dict
        Data set in the DICOM JSON Model
    bulk_data : mapping
        Values of bulk data by URL. Attributes with other URLs are left out
    name : str
        Name of the image in messages
    defer : callable, optional
        Makes the values of annotations from their URLs; without it they are left out

    Raises
    ------
    InvalidImageError
        When the data set cannot be parsed
    """
    with reading(name):
        groups = item.get(_GROUPS)
        rest = {
            tag: element
            for tag, element in item.items()
            if tag != _GROUPS and tag not in ADDED_BY_SERVICES and not tag.startswith(_PIXELS)
        }
        dataset = HeaderDataset.from_json(
            _without_bulk_data(rest, bulk_data),
            bulk_data_uri_handler=_BulkData(bulk_data),
        )
        for tag, bits in _FLOATS.items():
            if tag in item:
                # The data set goes on without pixel data: Bits Allocated has to tell their kind
                dataset.BitsAllocated = bits
        encoded = _encoded_groups(groups, bulk_data) if isinstance(groups, dict) else b""
        if encoded is None:
            rest = _without_bulk_data({_GROUPS: groups}, bulk_data)
            dataset.update(HeaderDataset.from_json(rest, _BulkData(bulk_data)))
        elif encoded:
            tag = BaseTag(PER_FRAME_GROUPS)
            dataset[tag] = RawDataElement(tag, "SQ", len(encoded), encoded, 0, False, True)
        if defer is not None:
            uids = (text_of_json(item, tag) for tag in _UIDS)
            url = "studies/{}/series/{}/instances/{}/bulk".format(*uids)
            _defer(dataset, item, defer, url)
        return dataset


def _defer(dataset: Dataset, item: Json, defer: Callable[[str], DeferredValue], place: str) -> None:
    """Add values of annotations that are not in memory."""
    for tag, element in item.items():
        number, here = int(tag, 16), f"{place}/{tag.lower()}"
        if may_hold_bulk(number):
            pairs = zip(dataset[number], _values(element), strict=True)
            for index, (inner, value) in enumerate(pairs, 1):
                _defer(inner, value or {}, defer, f"{here}/{index}")
        elif is_bulk(number) and "InlineBinary" not in element:
            # Orthanc states the first number as the value of all, and has the whole one at a URL
            url = element.get("BulkDataURI", here)
            dataset[number] = deferred_element(
                number, defer(str(url[0] if isinstance(url, list) else url))
            )


def _without_bulk_data(item: Json, bulk_data: Mapping[str, bytes], depth: int = 0) -> Json:
    """Copy a data set without attributes whose bulk data are missing, and with lists of values."""
    if depth > _MAX_NESTED:
        raise InvalidImageError("sequences are nested too deeply")
    kept = {}
    for tag, element in item.items():
        url = element.get("BulkDataURI")
        if url is not None and (url[0] if isinstance(url, list) else url) not in bulk_data:
            continue
        if is_bulk(int(tag, 16)) and "InlineBinary" not in element:
            continue
        if element.get("vr") == "SQ" and element.get("Value"):
            values = [
                _without_bulk_data(value or {}, bulk_data, depth + 1) for value in _values(element)
            ]
            element = element | {"Value": values}
        elif not isinstance(element.get("Value", []), list):
            element = element | {"Value": _values(element)}
        kept[tag] = element
    return kept


def _encoded_groups(groups: Json, bulk_data: Mapping[str, bytes]) -> bytes | None:
    """Encode the items of the Per-Frame Functional Groups; None if they have unusual elements."""
    if "BulkDataURI" in groups:
        # Bulk data are already encoded, in Explicit VR Little Endian (PS3.18 8.7.3)
        url = groups["BulkDataURI"]
        return bulk_data.get(url[0] if isinstance(url, list) else url, b"")
    try:
        return _encode_items(_values(groups), 0)
    except _UNUSUAL:
        return None


def _encode_items(items: list[Json], depth: int) -> bytes:
    if depth > _MAX_DEPTH:
        raise _UnusualError
    parts = []
    for item in items:
        content = b"".join([_encode(tag, item[tag], depth) for tag in sorted(item)])
        parts += [b"\xfe\xff\x00\xe0", len(content).to_bytes(4, "little"), content]
    return b"".join(parts)


def _encode(tag: str, element: Json, depth: int) -> bytes:
    vr, values = element["vr"], _values(element)
    if vr == "SQ":
        content = _encode_items(values, depth + 1)
        return b"%b\0\0%b%b" % (_head(tag, vr), len(content).to_bytes(4, "little"), content)
    if not element.keys() <= {"vr", "Value"}:
        raise _UnusualError
    if vr in _NUMBERS:
        content = struct.pack(f"<{len(values)}{_NUMBERS[vr]}", *values)
    else:
        if vr == "DS":
            values = [_decimal(value) for value in values]
        elif vr == "IS":
            values = [_integer(value) for value in values]
        elif vr not in _TEXTS:
            raise _UnusualError
        content = "\\".join([value or "" for value in values]).encode("ascii")
        if len(content) % 2:
            content += b"\0" if vr == "UI" else b" "
    if len(content) > _MAX_SHORT:
        raise _UnusualError
    return b"%b%b%b" % (_head(tag, vr), len(content).to_bytes(2, "little"), content)


@lru_cache(maxsize=4096)
def _head(tag: str, vr: str) -> bytes:
    number = int(tag, 16)
    return struct.pack("<HH2s", number >> 16, number & 0xFFFF, vr.encode("ascii"))


def _integer(value: int | str) -> str:
    if isinstance(value, float):
        raise _UnusualError
    return str(int(value))


def _decimal(value: float | str | None) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _MAX_DS else format_number_as_ds(float(value))
