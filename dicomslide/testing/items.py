"""Makes items of sequences, coded concepts (PS3.3 Section 8) and Decimal Strings (PS3.5 6.2)."""

from typing import Any

from pydicom.dataset import Dataset

__all__ = ["DCM", "SCT", "format_decimal", "make_code", "make_item", "make_stain_code"]

DCM, SCT = "DCM", "SCT"
_PRIVATE = "99DICOMSLIDE"

_STAINS = {
    "hematoxylin": ("12710003", SCT, "hematoxylin stain"),
    "eosin": ("36879007", SCT, "water soluble eosin stain"),
}


def make_item(**attributes: Any) -> Dataset:
    """Make the item of a sequence from keywords and values."""
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def make_code(value: str, scheme: str, meaning: str) -> Dataset:
    """Make the item of a Code Sequence."""
    return make_item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def make_stain_code(name: str) -> Dataset:
    """Make the code of a stain; one without a known code gets a private one."""
    private = (name.upper().replace(" ", "_")[:16], _PRIVATE, name)
    return make_code(*_STAINS.get(name, private))


def format_decimal(value: float) -> str:
    """Format a number as a Decimal String, which has at most 16 characters (PS3.5 6.2)."""
    for digits in range(15, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    raise ValueError(f"{value} has no Decimal String")
