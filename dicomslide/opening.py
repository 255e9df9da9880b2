"""From a place where slides are kept to a slide."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicomslide.damage import reading
from dicomslide.errors import (
    ArgumentTypeError,
    DicomSlideError,
    InvalidImageError,
    NoSlideError,
)
from dicomslide.leniency import supply_missing
from dicomslide.metadata.flavors import (
    SLIDE_CLASSES,
    belongs_to_slide,
    has_slide_class,
    is_standard_class,
)
from dicomslide.search import find_slides, group_images, shows_only_labels
from dicomslide.slide import Slide
from dicomslide.sources.files import FileFrames, FileStore, open_image_file
from dicomslide.sources.folders import find_files
from dicomslide.sources.header import read_sop_class
from dicomslide.sources.localfile import LocalFile

__all__ = ["Source", "holds_slide", "open_slide", "open_slides"]

Source = Any
"""A folder, a file, a list of files, or a ``dicomweb_client.api.DICOMClient``."""

# What images are put together by
_GROUPING = (
    "ContainerIdentifier",
    "FrameOfReferenceUID",
    "ImageType",
    "OpticalPathSequence",
    "SeriesInstanceUID",
    "TotalPixelMatrixOriginSequence",
)
# How many files of a folder are looked at to tell whether it holds a slide
_PROBE_LIMIT = 1000


def open_slide(
    source: Source,
    *,
    correct_color: bool = True,
    max_frame_cache_size: int = 6,
    pyramid_tolerance: float = 0.1,
    container_identifier: str | None = None,
) -> Slide:
    """Open the slide that a folder, a file, a list of files or a client holds.

    Only the headers of files are read.

    Parameters
    ----------
    source : path, sequence of paths or dicomweb_client.api.DICOMClient
        A folder with the files of a slide (files that are no DICOM images of a slide are passed
        over), one file, a list of files, a DICOMDIR, or a client of a service
    correct_color : bool, optional
        Whether the ICC profiles of the images are applied
    max_frame_cache_size : int, optional
        Number of decoded frames that are kept for each image instance
    pyramid_tolerance : float, optional
        Largest tolerated distance in millimetres between the centres of images at different
        pyramid levels
    container_identifier : str, optional
        Container Identifier of the slide, needed only where `source` holds several slides

    Returns
    -------
    Slide
        The slide

    Raises
    ------
    TypeError
        When `source` is none of these
    OSError
        When there is no such file or folder, or it may not be read
    ValueError
        When there is no slide, more than one, or one that is damaged or not supported

    Warns
    -----
    UserWarning
        When the images lack attributes that are supplied: see `dicomslide.leniency`

    Examples
    --------
    >>> slide = dicomslide.open_slide("folder of one slide")  # doctest: +SKIP
    """
    slides = open_slides(
        source,
        correct_color=correct_color,
        max_frame_cache_size=max_frame_cache_size,
        pyramid_tolerance=pyramid_tolerance,
        container_identifier=container_identifier,
    )
    if len(slides) > 1:
        found = ", ".join(repr(slide.container_identifier or "no name") for slide in slides)
        raise NoSlideError(
            f"{_name(source)}: there are {len(slides)} slides: {found}; name one with "
            "container_identifier, or open them all with open_slides"
        )
    return slides[0]


def open_slides(
    source: Source,
    *,
    correct_color: bool = True,
    max_frame_cache_size: int = 6,
    pyramid_tolerance: float = 0.1,
    container_identifier: str | None = None,
) -> list[Slide]:
    """Open all slides that a folder, a list of files or a client holds.

    The parameters and errors are those of `open_slide`, but there may be several slides.

    Returns
    -------
    list of Slide
        At least one slide
    """
    if callable(getattr(source, "retrieve_instance_frames", None)):
        slides = find_slides(
            source,
            container_id=container_identifier,
            max_frame_cache_size=max_frame_cache_size,
            pyramid_tolerance=pyramid_tolerance,
            correct_color=correct_color,
        )
        if not slides:
            raise NoSlideError("source: the client knows of no such slide")
        return slides
    images = _read_images(source)
    name = _name(source)
    store = FileStore(frames for _, frames in images)
    with reading(name):
        supply_missing([dataset for dataset, _ in images], name)
        groups = [
            group
            for group in group_images(dataset for dataset, _ in images)
            if container_identifier in (None, group[0].get("ContainerIdentifier"))
        ]
        if not groups:
            raise NoSlideError(f"{name}: no slide has the container {container_identifier!r}")
        groups = [group for group in groups if not shows_only_labels(group)] or groups
        return [
            Slide(
                store, group, max_frame_cache_size, pyramid_tolerance, correct_color=correct_color
            )
            for group in groups
        ]


def holds_slide(source: Source) -> bool:
    """Whether a folder, a file or a list of files seems to hold a slide; nothing is raised."""
    try:
        return any(_is_slide_file(path) for path, _ in islice(_paths(source), _PROBE_LIMIT))
    except (DicomSlideError, OSError):
        return False


def _is_slide_file(path: str) -> bool:
    try:
        if _kind_of_file(path) is not None:
            return False
        with reading(path):
            return belongs_to_slide(open_image_file(path)[0])
    except (DicomSlideError, OSError):
        return False


def _paths(source: Source) -> Iterator[tuple[str, bool]]:
    """Find the files of a source, and whether the caller named each of them."""
    if isinstance(source, (str, os.PathLike)):
        source = [source]
    if not isinstance(source, Sequence) or not all(
        isinstance(p, (str, os.PathLike)) for p in source
    ):
        raise ArgumentTypeError(
            f"source: expected a path, a list of paths or a client, got {type(source).__name__}"
        )
    return ((path, path == os.fspath(item)) for item in source for path in find_files(item))


def _read_images(source: Source) -> list[tuple[Dataset, FileFrames]]:
    """Read the headers of the images of slides; a file that was named has to be one."""
    images = []
    others: Counter[str] = Counter()
    for path, named in _paths(source):
        found = _read_image(path, named)
        if isinstance(found, str):
            others[found] += 1
        else:
            images.append(found)
    if not images:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in others.items())
        raise NoSlideError(f"{_name(source)}: no slide in it; it holds {kinds or 'no files'}")
    return images


def _read_image(path: str, named: bool) -> tuple[Dataset, FileFrames] | str:
    """Read the header of an image of a slide; of a file that was not named say what it is else."""
    if not named and (kind := _kind_of_file(path)) is not None:
        return kind
    try:
        dataset, frames = open_image_file(path)
    except NoSlideError:
        if named:
            raise
        return "no image"
    with reading(path):
        if belongs_to_slide(dataset):
            # Converted here, where it is known which file they are of
            for keyword in _GROUPING:
                dataset.get(keyword)
            return dataset, frames
        sop_class = dataset.get("SOPClassUID")
        if sop_class not in SLIDE_CLASSES and has_slide_class(dataset):
            raise InvalidImageError(f"{path}: SOP Class UID is {sop_class!r}")
        kind = _name_of_class(str(sop_class or "an unknown kind of image"))
    if named:
        raise NoSlideError(f"{path}: a DICOM image, but not of a slide: {kind}")
    return kind


def _kind_of_file(path: str) -> str | None:
    """Say what a file is that cannot be of a slide, damaged or not; None for others."""
    sop_class = read_sop_class(LocalFile.at(path))
    if sop_class is None:
        return "no DICOM file"
    # What is no class of the standard may be a damaged one
    known = is_standard_class(sop_class) and sop_class not in SLIDE_CLASSES
    return _name_of_class(sop_class) if known else None


def _name_of_class(uid: str) -> str:
    return str(UID(uid, validation_mode=IGNORE).name)


def _name(source: Source) -> str:
    if isinstance(source, (str, os.PathLike)):
        return str(os.fspath(source))
    if not isinstance(source, Sequence):
        return "the client"
    return f"{len(source)} files" if len(source) != 1 else str(os.fspath(source[0]))
