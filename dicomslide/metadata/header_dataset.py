"""Data sets of images whose values are looked up quickly."""

from functools import lru_cache
from typing import Any

from pydicom.charset import default_encoding
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import VR

__all__ = ["HeaderDataset", "tag_of"]

# Value Representations of which a value depends on nothing but its bytes and the character set
_PLAIN = {VR.AE, VR.AS, VR.CS, VR.DA, VR.DS, VR.DT, VR.FD, VR.FL, VR.IS, VR.LO, VR.LT}
_PLAIN |= {VR.PN, VR.SH, VR.SL, VR.SS, VR.ST, VR.TM, VR.UI, VR.UL, VR.US, VR.UT}


class HeaderDataset(Dataset):  # type: ignore[misc]
    """Data set of an image, as pydicom makes it, whose `get` takes a part of the time.

    Grouping and placing the images of a slide looks up about a hundred attributes of each.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of an attribute: see `pydicom.dataset.Dataset.get`."""
        tag = _tag(key) if isinstance(key, str) else None
        if tag is None:
            return super().get(key, default)
        element = self._dict.get(tag)
        if element is None:
            return default
        if isinstance(element, RawDataElement):
            if element.VR not in _PLAIN or element.value is None:
                return super().get(key, default)
            encoding = self.original_character_set or default_encoding
            element = convert_raw_data_element(element, encoding=encoding, ds=self)
            self._dict[tag] = element
        return element.value

    def __eq__(self, other: object) -> bool:
        # Otherwise it would differ from equal data sets of other classes, such as those of files
        return bool(Dataset(self) == other)


@lru_cache(maxsize=1024)
def tag_of(number: int) -> BaseTag:
    """Return the tag of a number, the same object each time.

    A dictionary finds the same object at once, while equal tags are compared in Python.
    """
    return BaseTag(number)


@lru_cache(maxsize=1024)
def _tag(keyword: str) -> BaseTag | None:
    number = tag_for_keyword(keyword)
    return None if number is None else tag_of(number)
