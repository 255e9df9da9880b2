"""From a place where slides are kept to a slide."""

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset

from dicomslide.errors import ArgumentTypeError, NoSlideError
from dicomslide.leniency import supply_missing
from dicomslide.metadata.flavors import (
    SLIDE_MICROSCOPY,
    is_parametric_map,
    is_segmentation,
    is_tiled_image,
)
from dicomslide.search import find_slides, group_images
from dicomslide.slide import Slide
from dicomslide.sources.files import (
    FileFrames,
    FileStore,
    find_files,
    looks_like_dicom,
    open_image_file,
)

__all__ = ["Source", "holds_slide", "open_slide"]

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
) -> Slide:
    """Open the slide that a folder, a file, a list of files or a client holds.

    Only the headers of files are read.

    Parameters
    ----------
    source : path, sequence of paths or dicomweb_client.api.DICOMClient
        A folder with the files of one slide (files that are no DICOM images of a slide are passed
        over), one file, a list of files, or a client of a service with one slide
    correct_color : bool, optional
        Whether the ICC profiles of the images are applied
    max_frame_cache_size : int, optional
        Number of decoded frames that are kept for each image instance
    pyramid_tolerance : float, optional
        Largest tolerated distance in millimetres between the centres of images at different
        pyramid levels

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

    Examples
    --------
    >>> slide = dicomslide.open_slide("folder of one slide")  # doctest: +SKIP
    """
    options = {
        "max_frame_cache_size": max_frame_cache_size,
        "pyramid_tolerance": pyramid_tolerance,
    }
    if callable(getattr(source, "retrieve_instance_frames", None)):
        slides = find_slides(source, correct_color=correct_color, **options)  # type: ignore[arg-type]
        if len(slides) != 1:
            raise NoSlideError(f"the client has {len(slides)} slides: find_slides tells them apart")
        return slides[0]
    images = _read_images(source)
    name = _name(source)
    supply_missing([dataset for dataset, _ in images], name)
    groups = group_images(dataset for dataset, _ in images)
    if len(groups) > 1:
        raise NoSlideError(f"{name}: there are {len(groups)} slides: {_list(groups)}")
    store = FileStore(frames for _, frames in images)
    return Slide(store, groups[0], correct_color=correct_color, **options)  # type: ignore[arg-type]


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
        dataset, _ = open_image_file(path)
    except (OSError, ValueError):
        return False
    return _belongs_to_slide(dataset)


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
            dataset, frames = open_image_file(path)
        except NoSlideError:
            if named:
                raise
            others["no image"] += 1
            continue
        if _belongs_to_slide(dataset):
            images.append((dataset, frames))
            continue
        what = dataset.SOPClassUID.name if "SOPClassUID" in dataset else "an unknown kind of image"
        if named:
            raise NoSlideError(f"{path}: a DICOM image, but not of a slide: {what}")
        others[what] += 1
    if not images:
        found = ", ".join(f"{count} x {what}" for what, count in others.items()) or "no files"
        raise NoSlideError(f"{_name(source)}: no slide in it, only {found}")
    return images


def _belongs_to_slide(dataset: Dataset) -> bool:
    derived = is_segmentation(dataset) or is_parametric_map(dataset)
    kind = derived or dataset.get("SOPClassUID") in SLIDE_MICROSCOPY
    return kind and is_tiled_image(dataset)


def _list(groups: list[list[Dataset]]) -> str:
    return ", ".join(
        f"{group[0].get('ContainerIdentifier', 'no container')!r} "
        f"(series {group[0].get('SeriesInstanceUID')})"
        for group in groups
    )


def _name(source: Source) -> str:
    if isinstance(source, (str, os.PathLike)):
        return str(os.fspath(source))
    return f"{len(source)} files" if len(source) != 1 else os.fspath(source[0])
