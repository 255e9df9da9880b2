"""The places where slides are: what a source stands for, and the metadata of the images there."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicomslide.damage import reading
from dicomslide.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    DicomSlideError,
    InvalidImageError,
    NoSlideError,
)
from dicomslide.metadata.flavors import (
    DERIVED,
    SLIDE_CLASSES,
    belongs_to_slide,
    has_slide_class,
    is_standard_class,
)
from dicomslide.retrieval import retrieve_images
from dicomslide.sources.base import File
from dicomslide.sources.dicomweb import is_service_url, service_of_client, service_of_url
from dicomslide.sources.files import FileFrames, FileStore, open_image_file
from dicomslide.sources.folders import find_files
from dicomslide.sources.header import read_sop_class
from dicomslide.sources.localfile import LocalFile
from dicomslide.sources.remotefile import RemoteFile, find_remote_files, is_url, local_path
from dicomslide.sources.sidebyside import side_by_side
from dicomslide.sources.urls import without_secrets

__all__ = ["Access", "Source", "find_images", "holds_slide", "name_of_source"]

Source = Any
"""A folder, a file, a list of files, a URL, or a ``dicomweb_client.api.DICOMClient``."""

# What images are put together by
_GROUPING = (
    "ContainerIdentifier",
    "FrameOfReferenceUID",
    "ImageType",
    "OpticalPathSequence",
    "PyramidUID",
    "SeriesInstanceUID",
    "TotalPixelMatrixOriginSequence",
)
# How many files of a folder are looked at to tell whether it holds a slide
_PROBE_LIMIT = 1000


@dataclass(frozen=True)
class Access:
    """How a place is reached; the parameters are explained in `dicomslide.open_slide`."""

    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    session: Any = None
    credentials: tuple[str, str] | str | None = None
    storage_options: dict[str, Any] | None = None


def find_images(
    source: Source, access: Access, *, correct_color: bool, include_derived: bool = True
) -> tuple[Any, list[Dataset]]:
    """Find the images of slides at a place.

    Parameters
    ----------
    source : path, URL, sequence of them, or dicomweb_client.api.DICOMClient
        Place
    access : Access
        How it is reached
    correct_color : bool
        Whether ICC profiles are needed
    include_derived : bool
        Whether Segmentations and Parametric Maps are looked for

    Returns
    -------
    client : dicomweb_client.api.DICOMClient or FrameStore
        Where the frames are
    datasets : list of pydicom.dataset.Dataset
        Metadata of the images, at least one

    Raises
    ------
    TypeError, ValueError
        When `source` is no place, or there is no slide
    SourceError
        When the place does not deliver
    """
    if is_service_url(source):
        client, study, series = service_of_url(source, access.session, access.credentials)
    elif callable(getattr(source, "retrieve_instance_frames", None)):
        if access.session is not None or access.credentials is not None:
            raise ArgumentValueError("session: the client has one of its own")
        client, study, series = service_of_client(source) or source, None, None
    else:
        return _files_as_images(source, access, include_derived)
    study = access.study_instance_uid or study
    series = access.series_instance_uid or series
    datasets = retrieve_images(
        client, study, series, include_derived=include_derived, correct_color=correct_color
    )
    if not datasets:
        raise NoSlideError(f"{name_of_source(source)}: no slide was found there")
    return client, datasets


def _files_as_images(
    source: Source, access: Access, include_derived: bool
) -> tuple[FileStore, list[Dataset]]:
    given = [name for name in ("session", "credentials") if getattr(access, name) is not None]
    if given:
        raise ArgumentValueError(f"{given[0]}: for DICOMweb services, not for files")
    images = [
        (dataset, frames)
        for dataset, frames in _read_images(source, access.storage_options)
        if _is_wanted(dataset, access, include_derived)
    ]
    if not images:
        study = access.study_instance_uid
        raise NoSlideError(
            f"{name_of_source(source)}: there is no image of a slide"
            f"{f' of study {study!r}' if study else ''}"
        )
    return FileStore(frames for _, frames in images), [dataset for dataset, _ in images]


def _is_wanted(dataset: Dataset, access: Access, include_derived: bool) -> bool:
    """Whether an image is of the study asked for."""
    if dataset.get("SOPClassUID") in DERIVED and not include_derived:
        return False
    return access.study_instance_uid in (None, dataset.get("StudyInstanceUID"))


def holds_slide(source: Source) -> bool:
    """Whether a path, a list of paths or a URL seems to hold a slide; nothing is raised.

    The files of URLs are not looked at.
    """
    if is_service_url(source):
        return True
    try:
        # Nobody waits for a network to learn which engine opens a URL
        if is_url(source) and local_path(source) is None:
            return False
        files = islice(_find_files(source, None), _PROBE_LIMIT)
        return any(_is_slide_file(file) for file, _ in files)
    except (DicomSlideError, OSError):
        return False


def _is_slide_file(file: File) -> bool:
    try:
        if _kind_of_file(file) is not None:
            return False
        with reading(file.path):
            return belongs_to_slide(open_image_file(file)[0])
    except (DicomSlideError, OSError):
        return False


def _find_files(source: Source, options: dict[str, Any] | None) -> Iterator[tuple[File, bool]]:
    """Find the files of a source, and whether the caller named each of them."""
    if isinstance(source, (str, os.PathLike)):
        source = [source]
    if not isinstance(source, Sequence) or not all(
        isinstance(p, (str, os.PathLike)) for p in source
    ):
        raise ArgumentTypeError(
            "source: expected a path, a URL, a list of them or a client, got "
            f"{type(source).__name__}"
        )
    return chain.from_iterable(_files_of(item, options) for item in source)


def _files_of(
    item: str | os.PathLike[str], options: dict[str, Any] | None
) -> Iterator[tuple[File, bool]]:
    path = os.fspath(item)
    if is_url(path) and not os.path.exists(path):
        local = local_path(path)
        if local is None:
            found = find_remote_files(path, options)
            return ((file, file.path == without_secrets(path)) for file in found)
        path = local
    return ((LocalFile.at(file), file == path) for file in find_files(path))


def _read_images(
    source: Source, options: dict[str, Any] | None
) -> list[tuple[Dataset, FileFrames]]:
    """Read the headers of the images of slides; a file that was named has to be one."""
    images = []
    others: Counter[str] = Counter()
    for found in _each_image(_find_files(source, options)):
        if isinstance(found, str):
            others[found] += 1
        else:
            images.append(found)
    if not images:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in others.items())
        raise NoSlideError(
            f"{name_of_source(source)}: no slide in it; it holds {kinds or 'no files'}"
        )
    return images


def _each_image(files: Iterator[tuple[File, bool]]) -> Iterator[tuple[Dataset, FileFrames] | str]:
    first = next(files, None)
    if first is None:
        return
    rest = chain([first], files)
    if not isinstance(first[0], RemoteFile):
        for file, named in rest:
            yield _read_image(file, named)
        return
    yield from side_by_side(lambda item: _read_image(*item), list(rest))


def _read_image(file: File, named: bool) -> tuple[Dataset, FileFrames] | str:
    """Read the header of an image of a slide; of a file that was not named say what it is else."""
    if not named and (kind := _kind_of_file(file)) is not None:
        return kind
    try:
        dataset, frames = open_image_file(file)
    except NoSlideError:
        if named:
            raise
        return "no image"
    with reading(file.path):
        if belongs_to_slide(dataset):
            # Converted here, where it is known which file they are of
            for keyword in _GROUPING:
                dataset.get(keyword)
            return dataset, frames
        sop_class = dataset.get("SOPClassUID")
        if sop_class not in SLIDE_CLASSES and has_slide_class(dataset):
            raise InvalidImageError(f"{file.path}: SOP Class UID is {sop_class!r}")
        kind = _name_of_class(str(sop_class or "an unknown kind of image"))
    if named:
        raise NoSlideError(f"{file.path}: a DICOM image, but not of a slide: {kind}")
    return kind


def _kind_of_file(file: File) -> str | None:
    """Say what a file is that cannot be of a slide, damaged or not; None for others."""
    sop_class = read_sop_class(file)
    if sop_class is None:
        return "no DICOM file"
    # What is no class of the standard may be a damaged one
    known = is_standard_class(sop_class) and sop_class not in SLIDE_CLASSES
    return _name_of_class(sop_class) if known else None


def _name_of_class(uid: str) -> str:
    return str(UID(uid, validation_mode=IGNORE).name)


def name_of_source(source: Source) -> str:
    """What messages call a source."""
    if is_url(source):
        return without_secrets(source)
    if isinstance(source, (str, os.PathLike)):
        return str(os.fspath(source))
    if not isinstance(source, Sequence):
        return without_secrets(str(getattr(source, "base_url", "the client")))
    return f"{len(source)} files" if len(source) != 1 else name_of_source(source[0])
