"""Search for the slides of a client or store: `find_slides`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset

from dicomslide.arguments import require_type
from dicomslide.errors import ArgumentTypeError
from dicomslide.errors.damage import name_of_image, reading
from dicomslide.errors.failures import Failures, collecting
from dicomslide.grouping.slides import is_scanned
from dicomslide.metadata.channels import channel_items
from dicomslide.metadata.matching import Coded, code_types, does_specimen_description_item_match
from dicomslide.opening.assembly import assemble, leave_out, make_slides
from dicomslide.slide import Slide
from dicomslide.stores.places import find_images, store_of_client
from dicomslide.stores.protocol import ImageQuery, ImageStore

if TYPE_CHECKING:
    from dicomweb_client.api import DICOMClient

__all__ = ["find_slides"]


def find_slides(
    client: DICOMClient | ImageStore,
    study_instance_uid: str | None = None,
    patient_id: str | None = None,
    study_id: str | None = None,
    container_id: str | None = None,
    max_frame_cache_size: int = 6,
    pyramid_tolerance: float = 0.1,
    fail_on_error: bool = True,
    include_derived: bool = True,
    specimen_stains: Sequence[Coded] | None = None,
    optical_path_ids: Sequence[str] | None = None,
    *,
    correct_color: bool = True,
) -> list[Slide]:
    """Find the slides of a client or store that match criteria.

    Parameters
    ----------
    client : dicomweb_client.api.DICOMClient or ImageStore
        DICOMweb client, or another store of images
    study_instance_uid : str, optional
        DICOM Study Instance UID
    patient_id : str, optional
        Patient identifier
    study_id : str, optional
        Study identifier
    container_id : str, optional
        Specimen container (slide) identifier
    max_frame_cache_size : int, optional
        Number of decoded frames that are kept for each image instance
    pyramid_tolerance : float, optional
        Largest tolerated distance in millimetres between the centres of images at different
        pyramid levels in the slide coordinate system
    fail_on_error : bool, optional
        Whether an error is raised when the images of a slide cannot be retrieved or used; otherwise
        the slide is left out, and the logger ``dicomslide`` states which, and why
    include_derived : bool, optional
        Whether derived images (Segmentation or Parametric Map instances, whatever Modality they
        declare) and annotations are included in their slides
    specimen_stains : sequence of pydicom.sr.coding.Code or highdicom.sr.CodedConcept, optional
        Only VOLUME and THUMBNAIL images of specimens that were stained with one of these
    optical_path_ids : sequence of str, optional
        Only VOLUME and THUMBNAIL images with one of these optical paths
    correct_color : bool, optional
        Whether the ICC profiles of the images are applied

    Returns
    -------
    list of dicomslide.Slide
        Slides that have at least one VOLUME or THUMBNAIL image left

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When the images of a slide cannot be used, unless `fail_on_error` is False
    OSError
        When the service cannot be searched; and when it does not deliver what it found, unless
        `fail_on_error` is False
    """
    for name, value in (
        ("study_instance_uid", study_instance_uid),
        ("patient_id", patient_id),
        ("study_id", study_id),
        ("container_id", container_id),
    ):
        if value is not None:
            require_type(name, value, str)
    if specimen_stains is not None:
        _require_sequence("specimen_stains", specimen_stains, *code_types())
    if optical_path_ids is not None:
        _require_sequence("optical_path_ids", optical_path_ids, str)
    store = store_of_client(client)
    failures: Failures = None if fail_on_error else []
    query = ImageQuery(
        study_instance_uid,
        filters={
            keyword: value
            for keyword, value in (("PatientID", patient_id), ("StudyID", study_id))
            if value is not None
        },
        include_derived=include_derived,
        correct_color=correct_color,
        failures=failures,
    )
    datasets = []
    for dataset in find_images(store, query):
        image = name_of_image(dataset)
        with collecting(failures, image, dataset), reading(image):
            if _is_wanted(dataset, container_id, specimen_stains, optical_path_ids):
                datasets.append(dataset)
    groups = leave_out(assemble(datasets, store.name, failures), failures or ())
    return make_slides(
        store,
        [images for images in groups if _has_pyramid(images)],
        None if fail_on_error else [],
        max_frame_cache_size=max_frame_cache_size,
        pyramid_tolerance=pyramid_tolerance,
        correct_color=correct_color,
    )


def _require_sequence(name: str, values: Any, *types: type) -> None:
    # A single code, which is a tuple, or a single string is a sequence by type, but not meant
    if isinstance(values, (str, *types)) or not isinstance(values, Sequence):
        raise ArgumentTypeError(f"{name}: expected a sequence, got {type(values).__name__}")
    for value in values:
        require_type(name, value, *types)


def _is_wanted(
    dataset: Dataset,
    container_id: str | None,
    specimen_stains: Sequence[Coded] | None,
    optical_path_ids: Sequence[str] | None,
) -> bool:
    if (
        container_id is not None
        and dataset.get("ContainerIdentifier", container_id) != container_id
    ):
        return False
    if not is_scanned(dataset):
        return True
    if specimen_stains is not None:
        specimens = dataset.get("SpecimenDescriptionSequence") or ()
        if not any(
            does_specimen_description_item_match(specimen, stain)
            for specimen in specimens
            for stain in specimen_stains
        ):
            return False
    if optical_path_ids is None:
        return True
    identifiers = {str(item.get("OpticalPathIdentifier")) for item in channel_items(dataset)}
    return not identifiers.isdisjoint(map(str, optical_path_ids))


def _has_pyramid(images: Sequence[Dataset]) -> bool:
    return any(map(is_scanned, images))
