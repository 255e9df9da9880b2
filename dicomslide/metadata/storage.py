"""Transfer syntax and URL of the pixels of an instance at a service, as its metadata state them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

__all__ = ["ADDED_BY_SERVICES", "InstanceStorage"]

_AVAILABLE_SYNTAX = "00083002"
_PIXEL_DATA = ("7FE00008", "7FE00009", "7FE00010")

ADDED_BY_SERVICES = frozenset({_AVAILABLE_SYNTAX, "00080054", "00080056", "00081190"})
"""Tags of attributes that a service adds to the metadata of an instance (PS3.18 10.6.3.3.1).

They are Available Transfer Syntax UID, Retrieve AE Title, Instance Availability and Retrieve URL.
"""


@dataclass(frozen=True)
class InstanceStorage:
    """Transfer syntax and URL of the pixels of an instance at a service.

    Parameters
    ----------
    transfer_syntax_uid : str
        Transfer Syntax UID of the frames; empty where it is not known
    pixel_data_url : str
        URL of the value of Pixel Data, or of its float variants; empty where it is not known
    """

    transfer_syntax_uid: str = ""
    pixel_data_url: str = ""

    @classmethod
    def of_json(cls, item: Mapping[str, Any]) -> "InstanceStorage":
        """Read transfer syntax and URL from metadata in the DICOM JSON Model."""
        available = item.get(_AVAILABLE_SYNTAX)
        elements = [item[tag] for tag in _PIXEL_DATA if isinstance(item.get(tag), dict)]
        urls = [str(element["BulkDataURI"]) for element in elements if "BulkDataURI" in element]
        values = available.get("Value") if isinstance(available, dict) else None
        return cls(_only(values), urls[-1] if urls else "")

    @classmethod
    def of_metadata(cls, dataset: Dataset) -> "InstanceStorage":
        """Read transfer syntax and URL from a data set of a file or a service."""
        stored = getattr(dataset, "file_meta", Dataset()).get("TransferSyntaxUID")
        syntax = str(stored or "") or _only(dataset.get("AvailableTransferSyntaxUID"))
        return cls(syntax, str(dataset.get("PixelDataProviderURL") or ""))


def _only(values: Any) -> str:
    """Return the Available Transfer Syntax UID if it is only one; empty otherwise."""
    if isinstance(values, Sequence) and not isinstance(values, str):
        values = values[0] if len(values) == 1 else ""
    return str(values or "")
