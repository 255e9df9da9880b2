"""Coded concepts (PS3.3 8)."""

from typing import NamedTuple

from pydicom.dataset import Dataset

__all__ = ["CodeItem", "code_in", "code_of"]


class CodeItem(NamedTuple):
    """An item of the Code Sequence Macro (PS3.3 8.8).

    Parameters
    ----------
    value, scheme_designator, meaning : str
        Code Value, Coding Scheme Designator and Code Meaning; empty where there is none
    scheme_version : str, optional
        Coding Scheme Version
    """

    value: str
    scheme_designator: str
    meaning: str
    scheme_version: str | None = None


def code_of(item: Dataset) -> CodeItem:
    """Read an item of the Code Sequence Macro (PS3.3 8.8)."""
    for keyword in ("CodeValue", "LongCodeValue", "URNCodeValue"):
        if item.get(keyword):
            value = str(item[keyword].value)
            break
    else:
        value = ""
    return CodeItem(
        value,
        str(item.get("CodingSchemeDesignator", "")),
        str(item.get("CodeMeaning", "")),
        str(item["CodingSchemeVersion"].value) if item.get("CodingSchemeVersion") else None,
    )


def code_in(dataset: Dataset, keyword: str) -> CodeItem:
    """Read the first item of a code sequence; its parts are empty where there is none."""
    items = dataset.get(keyword) or ()
    return code_of(items[0]) if items else CodeItem("", "", "")
