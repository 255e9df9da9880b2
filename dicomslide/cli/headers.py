"""Headers of slides without pixels and personal data, for reports of faults."""

import hashlib
import io
import re
import warnings
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from dicomslide.errors import InvalidImageError, StoreError
from dicomslide.errors.damage import name_of_image, reading
from dicomslide.errors.failures import Failure
from dicomslide.metadata.flavors import is_annotations
from dicomslide.stores.places import Access, Source, find_images, open_store
from dicomslide.stores.protocol import ImageQuery

__all__ = ["anonymized", "write_headers"]

# Groups of patients, trials, requests, visits and results, which do not describe the scan
_PERSONAL_GROUPS = {0x0010, 0x0012, 0x0032, 0x0038, 0x4008}
_PIXELS = 0x7FE0
_TEXTS = {"AE", "AS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UN", "UR", "UT"}
# Keywords of texts that are kept, as they describe the scan and the channels
_KEPT = {
    "CodeMeaning",
    "CodeValue",
    "CodingSchemeDesignator",
    "CodingSchemeVersion",
    "LUTExplanation",
    "LUTLabel",
    "LongCodeValue",
    "Manufacturer",
    "ManufacturerModelName",
    "OpticalPathDescription",
    "OpticalPathIdentifier",
    "ReferencedOpticalPathIdentifier",
    "SegmentLabel",
    "SoftwareVersions",
}
# Words in keywords of attributes that identify persons or institutions
_OF_PERSONS = re.compile(
    "Person|Physician|Operator|Author|Creator|Observer|Participant|Perform|Request|Institution"
    "|Department|Verif|Custodial|Responsible|OriginalAttributes"
)
# Identifiers by which images are grouped: equal ones are replaced by equal texts
_REPLACED = {"ContainerIdentifier", "SpecimenIdentifier"}


def write_headers(
    source: Source, target: Path, storage_options: dict[str, Any] | None = None
) -> int:
    """Write the headers of all images of slides of a source into a ZIP archive.

    Parameters
    ----------
    source : path, URL or other source of slides
        See `dicomslide.open_slide`
    target : path
        Archive to write, which must not exist. It gets a DICOM file without pixels for each image
    storage_options : dict, optional
        Options of the file system of a URL

    Returns
    -------
    int
        Number of images

    Raises
    ------
    StoreError
        When the archive cannot be written

    Warns
    -----
    UserWarning
        When a header or an attribute cannot be read, which is left out
    """
    failures: list[Failure] = []
    query = ImageQuery(correct_color=False, failures=failures)
    found = find_images(open_store(source, Access(storage_options=storage_options)), query)
    # Annotations are what people found, and say little about how they were stored
    datasets = [dataset for dataset in found if not is_annotations(dataset)]
    if failures and not datasets:
        raise failures[0].error
    for failure in failures:
        warnings.warn(f"left out: {failure.reason}", stacklevel=2)
    content = io.BytesIO()
    with ZipFile(content, "w", ZIP_DEFLATED) as archive:
        for number, dataset in enumerate(datasets):
            archive.writestr(f"{number:04}.dcm", _encoded(dataset))
    _write_new(target, content.getbuffer())
    return len(datasets)


def _write_new(target: Path, content: memoryview) -> None:
    """Write a new file, and remove it if that fails."""
    try:
        with target.open("xb") as file:
            try:
                file.write(content)
                file.flush()
            except OSError:
                target.unlink()
                raise
    except OSError as error:
        raise StoreError(f"{target}: {error.strerror or error}") from error


def _encoded(dataset: Dataset) -> bytes:
    with reading(name_of_image(dataset)):
        cleaned = anonymized(dataset)
        cleaned.file_meta = FileMetaDataset()
        cleaned.file_meta.MediaStorageSOPClassUID = cleaned.get("SOPClassUID")
        cleaned.file_meta.MediaStorageSOPInstanceUID = cleaned.get("SOPInstanceUID")
        cleaned.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file = io.BytesIO()
        cleaned.save_as(file, enforce_file_format=True)
        return file.getvalue()


def anonymized(dataset: Dataset) -> Dataset:
    """Copy a data set without personal data.

    Private attributes, pixels, and attributes of patients and persons are left out. Texts become
    empty, unless they describe the scan or the channels. UIDs are replaced, equal ones by equal
    ones.
    """
    cleaned = Dataset()
    for tag in list(dataset.keys()):
        if tag.is_private or tag.group in _PERSONAL_GROUPS or tag.group == _PIXELS:
            continue
        keyword = keyword_for_tag(tag)
        if _OF_PERSONS.search(keyword):
            continue
        try:
            with reading(keyword or str(tag)):
                cleaned.add(_anonymized(dataset[tag]))
        except InvalidImageError as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
    return cleaned


def _anonymized(element: DataElement) -> DataElement:
    value = element.value
    if element.VR == "SQ":
        value = [anonymized(item) for item in value]
    elif element.VR == "UI":
        value = [_uid(uid) for uid in value] if isinstance(value, MultiValue) else _uid(value)
    elif element.keyword in _REPLACED:
        value = hashlib.sha256(str(value).encode()).hexdigest()[:12]
    elif element.VR in _TEXTS and element.keyword not in _KEPT:
        value = None
    return DataElement(element.tag, element.VR, value)


def _uid(value: str) -> str:
    """Replace a UID, unless it is one of the standard."""
    if not value or UID(value).name != value:
        return value
    return generate_uid(entropy_srcs=["dicomslide", value])
