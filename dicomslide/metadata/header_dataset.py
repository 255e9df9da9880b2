"""Data sets of images whose values are looked up quickly."""

from typing import Any

from pydicom import config
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.hooks import hooks, raw_element_value, raw_element_vr
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.valuerep import VR
from pydicom.values import convert_value

from dicomslide.metadata.tags import keyword_tag

__all__ = ["HeaderDataset"]

# Value Representations of which a value depends on nothing but its bytes and the character set
_PLAIN = {VR.AE, VR.AS, VR.CS, VR.DA, VR.DS, VR.DT, VR.FD, VR.FL, VR.IS, VR.LO, VR.LT}
_PLAIN |= {VR.PN, VR.SH, VR.SL, VR.SS, VR.ST, VR.TM, VR.UI, VR.UL, VR.US, VR.UT}


class HeaderDataset(Dataset):  # type: ignore[misc]
    """Data set of an image, as pydicom makes it, whose `get` takes a part of the time.

    Grouping and placing the images of a slide looks up about a hundred attributes of each.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of an attribute: see `pydicom.dataset.Dataset.get`."""
        tag = keyword_tag(key) if isinstance(key, str) else None
        if tag is None:
            return super().get(key, default)
        element = self._dict.get(tag)
        if element is None:
            return default
        if isinstance(element, RawDataElement):
            element = self._converted(tag, element)
        value = element.value
        if type(value) is Sequence and value and type(value[0]) is Dataset:
            for item in value:
                if type(item) is Dataset:
                    item.__class__ = HeaderDataset
        return value

    def _converted(self, tag: BaseTag, raw: RawDataElement) -> DataElement:
        """Convert an element, and keep the result."""
        encoding = self.original_character_set
        if raw.VR in _PLAIN and encoding and raw.value is not None and not _is_customized():
            try:
                value = convert_value(raw.VR, raw, encoding)
            except BytesLengthException:
                return self[tag]
            # pydicom may change several numbers afterwards
            if type(value) is not list:
                element = DataElement(tag, raw.VR, value, already_converted=True)
                self._dict[tag] = element
                return element
        return self[tag]

    def __eq__(self, other: object) -> bool:
        # Otherwise it would differ from equal data sets of other classes, such as those of files
        return bool(Dataset(self) == other)


def _is_customized() -> bool:
    """Whether a program has told pydicom to convert values in another way."""
    return (
        hooks.raw_element_value is not raw_element_value
        or hooks.raw_element_vr is not raw_element_vr
        or config.data_element_callback is not None
    )
