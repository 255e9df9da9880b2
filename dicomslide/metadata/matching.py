"""Comparison of items of DICOM sequences with criteria."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from pydicom.dataset import Dataset

from dicomslide.metadata.channel_kind import Channel
from dicomslide.metadata.codes import CodeItem, code_of
from dicomslide.metadata.stains import stainings_of_specimen

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


def does_optical_path_item_match(
    item: Dataset,
    identifier: str | None = None,
    description: str | None = None,
    illumination_wavelength: float | None = None,
) -> bool:
    """Check whether an optical path item matches all given criteria.

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
    """Check whether a segment item matches all given criteria.

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
        if wanted is not None and not any_code_matches(
            map(code_of, item.get(keyword) or ()), wanted
        ):
            return False
    return True


def does_specimen_description_item_match(
    item: Dataset, specimen_stain: Coded | None = None
) -> bool:
    """Check whether a specimen description item matches a stain, if one is given.

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
    stainings = stainings_of_specimen(item)
    return any(any_code_matches(s.substances, specimen_stain) for s in stainings)


def shows_marker(channel: Channel, marker: str | Coded) -> bool:
    """Whether a channel shows a marker or stain, given by a code or a name in any case."""
    codes = channel.markers + channel.stains
    if not isinstance(marker, str):
        return any_code_matches(codes, marker)
    names = (channel.label, *channel.fluorophores, *(code.meaning for code in codes))
    return marker.casefold() in (name.casefold() for name in names if name)


def code_types() -> tuple[type, ...]:
    """Return the types of `Coded`, which are imported on use."""
    from highdicom.sr import CodedConcept
    from pydicom.sr.coding import Code

    return Code, CodedConcept


def any_code_matches(codes: Iterable[CodeItem], wanted: Coded) -> bool:
    """Whether one of several codes has the meaning of a concept."""
    from pydicom.sr.coding import Code

    # Code of pydicom compares SRT and SCT codes of one concept as equal, and ignores the meaning
    code = Code(wanted.value, wanted.scheme_designator, wanted.meaning, wanted.scheme_version)
    return any(Code(*item) == code for item in codes)
