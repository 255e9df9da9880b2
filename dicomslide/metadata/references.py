"""Readers of references to other instances (PS3.3 C.12.2, C.8.20, C.7.6.16.2.6)."""

from collections.abc import Iterator
from typing import NamedTuple

from pydicom.dataset import Dataset

from dicomslide.errors.damage import reads_image
from dicomslide.metadata.flavors import BULK_ANNOTATIONS

__all__ = [
    "Reference",
    "annotated_frames_of_reference",
    "annotated_instances",
    "content_items",
    "has_regions",
    "read_references",
    "read_uid",
    "referenced_instances",
]

# Sequences of the instances that a Structured Report refers to (PS3.3 C.17.2)
_EVIDENCE = "CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"


COORDINATES = ("SCOORD", "SCOORD3D")
"""Value Types of content items with coordinates (PS3.3 C.17.3.2.1)."""


@reads_image
def read_uid(dataset: Dataset) -> str:
    """Read the SOP Instance UID of an instance; empty where it has none."""
    return str(dataset.get("SOPInstanceUID") or "")


class Reference(NamedTuple):
    """Reference to an instance by its UIDs."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@reads_image
def read_references(dataset: Dataset) -> list[Reference]:
    """Read the references in the Common Instance Reference Module of an image (PS3.3 C.12.2)."""
    found = []
    study_uid = str(dataset.get("StudyInstanceUID", ""))
    others = dataset.get("StudiesContainingOtherReferencedInstancesSequence") or ()
    studies = [(study_uid, dataset)]
    studies += [(str(item.get("StudyInstanceUID", "")), item) for item in others]
    for study, parent in studies:
        for series in parent.get("ReferencedSeriesSequence") or ():
            for item in series.get("ReferencedInstanceSequence") or ():
                uids = (
                    series.get("SeriesInstanceUID", ""),
                    item.get("ReferencedSOPClassUID", ""),
                    item.get("ReferencedSOPInstanceUID", ""),
                )
                found.append(Reference(study, *map(str, uids)))
    return found


@reads_image
def referenced_instances(dataset: Dataset) -> set[str]:
    """Collect the SOP Instance UIDs of the images that an image was derived from."""
    found = {reference.sop_instance_uid for reference in read_references(dataset)}
    sources = list(dataset.get("SourceImageSequence") or ())
    for group in dataset.get("SharedFunctionalGroupsSequence") or ():
        for derivation in group.get("DerivationImageSequence") or ():
            sources += derivation.get("SourceImageSequence") or ()
    return found | {str(item.get("ReferencedSOPInstanceUID", "")) for item in sources}


@reads_image
def annotated_instances(dataset: Dataset) -> set[str]:
    """Collect the SOP Instance UIDs of the images that annotations or a Structured Report refer to.

    Annotations have the modules of PS3.3 C.37.1.1 and C.12.2, reports that of PS3.3 C.17.2.
    """
    found = {reference.sop_instance_uid for reference in read_references(dataset)}
    items = list(dataset.get("ReferencedImageSequence") or ())
    for keyword in _EVIDENCE:
        for study in dataset.get(keyword) or ():
            for series in study.get("ReferencedSeriesSequence") or ():
                items += series.get("ReferencedSOPSequence") or ()
    return found | {str(item.get("ReferencedSOPInstanceUID") or "") for item in items} - {""}


@reads_image
def annotated_frames_of_reference(dataset: Dataset) -> set[str]:
    """Collect the Frame of Reference UIDs of three-dimensional annotations."""
    found = {str(dataset.get("FrameOfReferenceUID") or "")}
    for item in content_items(dataset):
        found.add(str(item.get("ReferencedFrameOfReferenceUID") or ""))
    return found - {""}


@reads_image
def has_regions(dataset: Dataset) -> bool:
    """Whether a data set is made of annotations, or is a Structured Report with coordinates."""
    if dataset.get("SOPClassUID") == BULK_ANNOTATIONS:
        return True
    return any(item.get("ValueType") in COORDINATES for item in content_items(dataset))


def content_items(dataset: Dataset) -> Iterator[Dataset]:
    """Yield all items in the content tree of a Structured Report, or below one of its items."""
    items = list(dataset.get("ContentSequence") or ())
    while items:
        item = items.pop(0)
        yield item
        items[:0] = item.get("ContentSequence") or ()
