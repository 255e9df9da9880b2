"""From a place where slides are kept to a slide."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicomslide.errors import ArgumentTypeError, DicomSlideError, InvalidImageError, NoSlideError
from dicomslide.leniency import supply_missing
from dicomslide.metadata.flavors import (
    SLIDE_MICROSCOPY,
    is_parametric_map,
    is_segmentation,
    is_tiled_image,
)
from dicomslide.search import find_slides, group_images
from dicomslide.slide import Slide
from dicomslide.sources.files import FileFrames, FileStore, open_image_file
from dicomslide.sources.folders import find_files, looks_like_dicom

__all__ = ["Source", "holds_slide", "open_slide", "open_slides"]

Source = Any
"""A folder, a file, a list of files, or a ``dicomweb_client.api.DICOMClient``."""

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
    with _reading(name):
        supply_missing([dataset for dataset, _ in images], name)
        groups = [
            group
            for group in group_images(dataset for dataset, _ in images)
            if container_identifier in (None, group[0].get("ContainerIdentifier"))
        ]
        if not groups:
            raise NoSlideError(f"{name}: no slide has the container {container_identifier!r}")
        return [
            Slide(
                store, group, max_frame_cache_size, pyramid_tolerance, correct_color=correct_color
            )
            for group in groups
        ]


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Name the place of an error that damaged attributes lead to.

    pydicom converts a value when it is asked for, and fails in many ways if it cannot.
    """
    try:
        yield
    except (DicomSlideError, OSError, Warning):
        raise
    except Exception as error:
        raise InvalidImageError(f"{name}: damaged attributes: {error}") from error


def holds_slide(source: Source) -> bool:
    """Whether a folder, a file or a list of files seems to hold a slide; nothing is raised."""
    try:
        paths, _ = _paths(source)
    except (ArgumentTypeError, OSError):
        return False
    return any(_is_slide_file(path) for path in paths[:_PROBE_LIMIT])


def _is_slide_file(path: str) -> bool:
    if not looks_like_dicom(path):
        return False
    try:
        with _reading(path):
            return _belongs_to_slide(open_image_file(path)[0])
    except (DicomSlideError, OSError):
        return False


def _paths(source: Source) -> tuple[list[str], bool]:
    """List the files of a source, and whether the caller named each of them."""
    if isinstance(source, (str, os.PathLike)):
        return find_files(source), not os.path.isdir(source)
    if isinstance(source, Sequence) and all(isinstance(p, (str, os.PathLike)) for p in source):
        return [path for item in source for path in find_files(item)], True
    raise ArgumentTypeError(
        f"source: expected a path, a list of paths or a client, got {type(source).__name__}"
    )


def _read_images(source: Source) -> list[tuple[Dataset, FileFrames]]:
    """Read the headers of the images of slides; a file that was named has to be one."""
    paths, named = _paths(source)
    images = []
    others: Counter[str] = Counter()
    for path in paths:
        if not named and not looks_like_dicom(path):
            others["no DICOM file"] += 1
            continue
        try:
            with _reading(path):
                dataset, frames = open_image_file(path)
        except NoSlideError:
            if named:
                raise
            others["no image"] += 1
            continue
        with _reading(path):
            if _belongs_to_slide(dataset):
                images.append((dataset, frames))
                continue
            what = UID(str(dataset.get("SOPClassUID", "an unknown kind of image"))).name
        if named:
            raise NoSlideError(f"{path}: a DICOM image, but not of a slide: {what}")
        others[what] += 1
    if not images:
        found = ", ".join(f"{count} x {what}" for what, count in others.items())
        raise NoSlideError(f"{_name(source)}: no slide in it; it holds {found or 'no files'}")
    return images


def _belongs_to_slide(dataset: Dataset) -> bool:
    derived = is_segmentation(dataset) or is_parametric_map(dataset)
    kind = derived or dataset.get("SOPClassUID") in SLIDE_MICROSCOPY
    return kind and is_tiled_image(dataset)


def _name(source: Source) -> str:
    if isinstance(source, (str, os.PathLike)):
        return str(os.fspath(source))
    if not isinstance(source, Sequence):
        return "the client"
    return f"{len(source)} files" if len(source) != 1 else str(os.fspath(source[0]))
