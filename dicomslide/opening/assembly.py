"""Assembly of slides from the metadata of images, some of which may be damaged."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydicom.dataset import Dataset

from dicomslide.errors import InvalidImageError
from dicomslide.errors.damage import name_of_image, naming, reading
from dicomslide.errors.failures import (
    Failure,
    Failures,
    collecting,
    log_failure,
    logging_failure,
    slides_by_mark,
    slides_hit_by,
)
from dicomslide.grouping.slides import group_summaries
from dicomslide.grouping.summary import Summary, summarize
from dicomslide.metadata.flavors import accompanies_images, is_presentation_state
from dicomslide.metadata.presentation import read_presentations
from dicomslide.metadata.references import (
    annotated_frames_of_reference,
    annotated_instances,
    has_regions,
    read_uid,
)
from dicomslide.slide import Slide
from dicomslide.stores.protocol import ImageStore

__all__ = ["assemble", "choose_whole", "container_of", "leave_out", "make_slides"]

Images = list[Dataset]
"""Metadata of the images of a slide."""


def assemble(
    datasets: Iterable[Dataset],
    name: str,
    failures: Failures,
    series_instance_uid: str | None = None,
) -> list[Images]:
    """Group images by slides, without those that cannot be grouped.

    Presentation States and annotations come after the images that they refer to.

    Parameters
    ----------
    datasets : iterable of pydicom.dataset.Dataset
        Metadata of images, which may be changed: see `dicomslide.grouping.missing`; of Presentation
        States and annotations
    name : str
        Name of the source of the images in messages
    failures : list of Failure, optional
        List that images which cannot be grouped are added to; without it their error is raised
    series_instance_uid : str, optional
        Series of the VOLUME and THUMBNAIL images of the slides that are wanted

    Returns
    -------
    list of list of pydicom.dataset.Dataset
        Metadata of the images, Presentation States and annotations of each slide

    Warns
    -----
    UserWarning
        When a Presentation State is damaged, or annotations belong to none of the images
    """
    sound: list[Summary] = []
    states: list[Dataset] = []
    annotations: list[Dataset] = []
    for dataset in datasets:
        if accompanies_images(dataset):
            (states if is_presentation_state(dataset) else annotations).append(dataset)
            continue
        image = name_of_image(dataset)
        with collecting(failures, image, dataset), naming(name):
            sound.append(summarize(dataset))
    with naming(name):
        slides = group_summaries(sound, name, series_instance_uid)
    presentations = read_presentations(states)
    places = _places(slides) if presentations else {}
    for state, parts in presentations:
        uids = {uid for part in parts for uid in part.uids}
        for number in sorted(set().union(*(places.get(uid, ()) for uid in uids))):
            slides[number].append(state)
    _add_annotations(annotations, slides, sound, name)
    return slides


def _add_annotations(
    annotations: Iterable[Dataset], slides: Sequence[Images], images: Sequence[Summary], name: str
) -> None:
    """Add annotations to the slides whose images they refer to, or else share their coordinates."""
    by_uid: dict[str, set[int]] = {}
    by_reference: dict[str, set[int]] = {}
    for image in images:
        by_uid[image.uid], by_reference[image.frame_of_reference] = set(), set()
    for number, members in enumerate(slides):
        for member in members:
            by_uid.setdefault(read_uid(member), set()).add(number)
            reference = str(member.get("FrameOfReferenceUID") or "")
            by_reference.setdefault(reference, set()).add(number)
    for dataset in annotations:
        stated = name_of_image(dataset).replace("image", "annotations", 1)
        try:
            with reading(stated):
                known = [by_uid[uid] for uid in annotated_instances(dataset) if uid in by_uid]
                known = known or [
                    by_reference[uid]
                    for uid in annotated_frames_of_reference(dataset)
                    if uid in by_reference
                ]
                is_lost = not known and has_regions(dataset)
        except InvalidImageError as error:
            warnings.warn(f"{name}: {error}; they are left out", stacklevel=2)
            continue
        if is_lost:
            warnings.warn(
                f"{name}: {stated} are left out, as they refer to none of the images", stacklevel=2
            )
        for number in sorted(set().union(*known)):
            slides[number].append(dataset)


def _places(slides: Iterable[Images]) -> dict[str, set[int]]:
    """Map UIDs of images and series to the numbers of the slides that have them."""
    places: dict[str, set[int]] = {}
    for number, images in enumerate(slides):
        for image in images:
            for uid in (read_uid(image), str(image.get("SeriesInstanceUID"))):
                places.setdefault(uid, set()).add(number)
    return places


def leave_out(slides: Sequence[Images], failures: Iterable[Failure]) -> list[Images]:
    """Leave out slides with an image that could not be read, and log why."""
    hit: set[int] = set()
    by_mark = slides_by_mark(slides) if (failures := list(failures)) else {}
    for failure in failures:
        found = slides_hit_by(failure, by_mark)
        log_failure(failure, [container_of(slides[index]) for index in found])
        hit.update(found)
    return [images for index, images in enumerate(slides) if index not in hit]


def choose_whole(
    slides: Sequence[Images],
    is_chosen: Callable[[Images], bool],
    series: str | None,
    failures: Iterable[Failure],
) -> list[Images]:
    """Choose slides all of whose images could be read; failures of other slides do not matter.

    Parameters
    ----------
    slides : sequence of list of pydicom.dataset.Dataset
        Metadata of the images of each slide
    is_chosen : callable
        Returns whether a slide is chosen, from the metadata of its images
    series : str, optional
        Series Instance UID of the VOLUME and THUMBNAIL images, if they were chosen by it
    failures : iterable of Failure
        Files, images or series that could not be read

    Raises
    ------
    DicomSlideError
        When an image of a chosen slide could not be read

    Warns
    -----
    UserWarning
        When something could not be read that may belong to a chosen slide
    """
    chosen = [images for images in slides if is_chosen(images)]
    by_mark = slides_by_mark(slides) if (failures := list(failures)) else {}
    for failure in failures:
        hit = [slides[index] for index in slides_hit_by(failure, by_mark)]
        is_of_another_series = series is not None and failure.marks.series not in ("", series)
        if any(map(is_chosen, hit)) and not is_of_another_series:
            raise failure.error
        if chosen and not (hit or failure.marks.tell_slide):
            warnings.warn(
                f"{failure.name} may belong to the chosen slide, but cannot be read: "
                f"{failure.reason}",
                stacklevel=2,
            )
    return chosen


def make_slides(
    store: ImageStore, slides: Iterable[Images], failures: Failures, **options: Any
) -> list[Slide]:
    """Make slides from the metadata of their images.

    Parameters
    ----------
    store : ImageStore
        Store that has the frames of the images
    slides : iterable of list of pydicom.dataset.Dataset
        Metadata of the images of each slide
    failures : list of Failure, optional
        If it is given, slides that cannot be made are left out and logged; otherwise their error is
        raised
    **options
        Parameters of `Slide`
    """
    made = []
    for images in slides:
        name = f"slide {container_of(images)!r}"
        with logging_failure(failures is not None, name), naming(store.name):
            made.append(Slide(store, images, **options))
    return made


def container_of(images: Sequence[Dataset]) -> str:
    """Get the Container Identifier of a slide; empty where there is none."""
    return next(
        (str(i.get("ContainerIdentifier")) for i in images if i.get("ContainerIdentifier")), ""
    )
