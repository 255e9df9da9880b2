"""Readers of references to other instances (PS3.3 C.12.2, C.8.20, C.7.6.16.2.6)."""

from typing import NamedTuple

from pydicom.dataset import Dataset

from dicomslide.errors.damage import reads_image

__all__ = ["Reference", "read_references", "read_uid", "referenced_instances"]


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
