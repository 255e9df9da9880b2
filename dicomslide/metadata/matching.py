"""Whether an item of a DICOM sequence has given properties."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pydicom.dataset import Dataset

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept
    from pydicom.sr.coding import Code

__all__ = [
    "code_types",
    "does_optical_path_item_match",
    "does_segment_item_match",
    "does_specimen_description_item_match",
]

Coded: TypeAlias = "Code | CodedConcept"


class CodeItem(NamedTuple):
    """An item of the Code Sequence Macro (PS3.3 8.8)."""

    value: str
    scheme_designator: str
    meaning: str
    scheme_version: str | None


# "Using substance", also as the first editions of the specimen module encoded it
_USING_SUBSTANCE = {("424361007", "SCT"), ("G-C350", "SRT")}


def does_optical_path_item_match(
    item: Dataset,
    identifier: str | None = None,
    description: str | None = None,
    illumination_wavelength: float | None = None,
) -> bool:
    """Check whether an optical path item matches all criteria that are given.

    Parameters
    ----------
    item : pydicom.dataset.Dataset
        Item of the Optical Path Sequence (PS3.3 C.8.12.5)
    identifier : str, optional
        Optical Path Identifier
    description : str, optional
        Optical Path Description
    illumination_wavelength : float, optional
        Illumination Wave Length in nanometres

    Returns
    -------
    bool
        Whether the item matches
    """
    if identifier is not None and item.get("OpticalPathIdentifier") != identifier:
        return False
    if description is not None and item.get("OpticalPathDescription") != description:
        return False
    if illumination_wavelength is not None:
        found = item.get("IlluminationWaveLength")
        return found is not None and float(found) == float(illumination_wavelength)
    return True


def does_segment_item_match(
    item: Dataset,
    number: int | None = None,
    label: str | None = None,
    property_category: Coded | None = None,
    property_type: Coded | None = None,
) -> bool:
    """Check whether a segment item matches all criteria that are given.

    Parameters
    ----------
    item : pydicom.dataset.Dataset
        Item of the Segment Sequence (PS3.3 C.8.20.4)
    number : int, optional
        Segment Number
    label : str, optional
        Segment Label
    property_category : pydicom.sr.coding.Code or highdicom.sr.CodedConcept, optional
        Segmented Property Category
    property_type : pydicom.sr.coding.Code or highdicom.sr.CodedConcept, optional
        Segmented Property Type

    Returns
    -------
    bool
        Whether the item matches
    """
    if number is not None and item.get("SegmentNumber") != number:
        return False
    if label is not None and item.get("SegmentLabel") != label:
        return False
    for wanted, keyword in (
        (property_category, "SegmentedPropertyCategoryCodeSequence"),
        (property_type, "SegmentedPropertyTypeCodeSequence"),
    ):
        if wanted is not None and not _any_code_matches(item.get(keyword) or (), wanted):
            return False
    return True


def does_specimen_description_item_match(
    item: Dataset, specimen_stain: Coded | None = None
) -> bool:
    """Check whether a specimen description item matches.

    Parameters
    ----------
    item : pydicom.dataset.Dataset
        Item of the Specimen Description Sequence (PS3.3 C.7.6.22)
    specimen_stain : pydicom.sr.coding.Code or highdicom.sr.CodedConcept, optional
        Substance that was used for staining in one of the steps of the Specimen Preparation
        Sequence

    Returns
    -------
    bool
        Whether the item matches
    """
    if specimen_stain is None:
        return True
    return _any_code_matches(iter_stain_items(item), specimen_stain)


def iter_stain_items(item: Dataset) -> Iterable[Dataset]:
    """Yield the code items of the substances that the steps of a preparation used (TID 8003)."""
    for step in item.get("SpecimenPreparationSequence") or ():
        for content in step.get("SpecimenPreparationStepContentItemSequence") or ():
            names = content.get("ConceptNameCodeSequence") or ()
            codes = {(name.get("CodeValue"), name.get("CodingSchemeDesignator")) for name in names}
            if not codes.isdisjoint(_USING_SUBSTANCE):
                yield from content.get("ConceptCodeSequence") or ()


def code_types() -> tuple[type, ...]:
    """Types of `Coded`."""
    from highdicom.sr import CodedConcept
    from pydicom.sr.coding import Code

    return Code, CodedConcept


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
        item.get("CodingSchemeVersion"),
    )


def _any_code_matches(items: Iterable[Dataset], wanted: Coded) -> bool:
    from pydicom.sr.coding import Code

    # These compare SRT and SCT codes of one concept as equal and ignore the meaning
    code = Code(wanted.value, wanted.scheme_designator, wanted.meaning, wanted.scheme_version)
    return any(Code(*code_of(item)) == code for item in items)
