"""The places where slides are: what a source stands for, and the metadata of the images there."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from tarfile import is_tarfile
from typing import Any
from zipfile import is_zipfile

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
from dicomslide.failures import Failure, Failures, Marks, collecting, marks_of
from dicomslide.grouping import check_image
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
from dicomslide.sources.header import read_header, read_sop_class
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
    source: Source,
    access: Access,
    *,
    correct_color: bool,
    include_derived: bool = True,
    failures: Failures = None,
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
    failures : list of Failure, optional
        Takes up what cannot be read; without it the first failure is raised

    Returns
    -------
    client : dicomweb_client.api.DICOMClient or FrameStore
        Where the frames are
    datasets : list of pydicom.dataset.Dataset
        Metadata of the images, at least one unless there are failures

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
        return _files_as_images(source, access, include_derived, failures)
    if access.storage_options is not None:
        raise ArgumentValueError(
            "storage_options: for files, not for DICOMweb services; a session has its options"
        )
    study = access.study_instance_uid or study
    series = access.series_instance_uid or series
    datasets = retrieve_images(
        client,
        study,
        series,
        include_derived=include_derived,
        correct_color=correct_color,
        failures=failures,
    )
    if not datasets and not failures:
        raise NoSlideError(f"{name_of_source(source)}: no slide was found there")
    return client, datasets


def _files_as_images(
    source: Source, access: Access, include_derived: bool, failures: Failures
) -> tuple[FileStore, list[Dataset]]:
    given = [name for name in ("session", "credentials") if getattr(access, name) is not None]
    if given:
        raise ArgumentValueError(f"{given[0]}: for DICOMweb services, not for files")
    images = [
        (dataset, frames)
        for dataset, frames in _read_images(source, access.storage_options, failures)
        if _is_wanted(dataset, access, include_derived)
    ]
    if not images and not failures:
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
    if is_url(path) and "/studies/" in path and path.startswith(("http://", "https://")):
        raise ArgumentValueError(
            f"source: {without_secrets(path)}: files are looked for at this URL; with dicomweb+ in "
            "front of it, it is that of a DICOMweb service"
        )
    if is_url(path) and not os.path.exists(path):
        local = local_path(path)
        if local is None:
            found = find_remote_files(path, options)
            return ((file, file.path == without_secrets(path)) for file in found)
        path = local
    return ((LocalFile.at(file), file == path) for file in find_files(path))


def _read_images(
    source: Source, options: dict[str, Any] | None, failures: Failures
) -> list[tuple[Dataset, FileFrames]]:
    """Read the headers of the images of slides; a file that was named has to be one."""
    images = []
    others: Counter[str] = Counter()
    for found in _each_image(_find_files(source, options), failures):
        if isinstance(found, str):
            others[found] += 1
        else:
            images.append(found)
    if not images and not failures:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in others.items())
        raise NoSlideError(
            f"{name_of_source(source)}: no slide in it; it holds {kinds or 'no files'}"
        )
    return images


def _each_image(
    files: Iterator[tuple[File, bool]], failures: Failures
) -> Iterator[tuple[Dataset, FileFrames] | str]:
    first = next(files, None)
    if first is None:
        return
    rest = chain([first], files)
    if not isinstance(first[0], RemoteFile):
        for file, named in rest:
            yield _try_image(file, named, failures)
        return
    yield from side_by_side(lambda item: _try_image(item[0], item[1], failures), list(rest))


def _try_image(file: File, named: bool, failures: Failures) -> tuple[Dataset, FileFrames] | str:
    """Read the header of an image, or collect why that fails, with what is known of its slide."""
    if failures is None:
        return _read_image(file, named)
    found: list[Failure] = []
    with collecting(found, file.path):
        return _read_image(file, named)
    marks = Marks()
    # The header may be whole where the pixels are not
    with suppress(DicomSlideError):
        marks = marks_of(read_header(file).dataset)
    failures += [replace(failure, marks=marks) for failure in found]
    return "damaged file"


def _read_image(file: File, named: bool) -> tuple[Dataset, FileFrames] | str:
    """Read the header of an image of a slide; of a file that was not named say what it is else."""
    if not named and (kind := _kind_of_file(file)) is not None:
        return kind
    try:
        dataset, frames = open_image_file(file)
    except NoSlideError as error:
        if named:
            raise NoSlideError(f"{error}{_hint(file)}") from error
        return "no image"
    with reading(file.path):
        if belongs_to_slide(dataset):
            # Converted here, where it is known which file they are of
            for keyword in _GROUPING:
                dataset.get(keyword)
            check_image(dataset)
            return dataset, frames
        sop_class = dataset.get("SOPClassUID")
        if sop_class not in SLIDE_CLASSES and has_slide_class(dataset):
            raise InvalidImageError(f"{file.path}: SOP Class UID is {sop_class!r}")
        kind = _name_of_class(str(sop_class or "an unknown kind of image"))
    if named:
        raise NoSlideError(f"{file.path}: a DICOM image, but not of a slide: {kind}")
    return kind


def _hint(file: File) -> str:
    """Say what helps with a file that is no DICOM file, but was named."""
    for protocol, is_archive in (("zip", is_zipfile), ("tar", is_tarfile)):
        if isinstance(file, LocalFile) and is_archive(file.path):
            return f"; the slide in an archive opens as {protocol}://::{file.path}"
    is_page = isinstance(file, RemoteFile) and file.path.startswith(("http://", "https://"))
    return "; the URL of a folder has to end with a slash" if is_page else ""


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
    """Name of a source in messages."""
    if is_url(source):
        return without_secrets(source)
    if isinstance(source, (str, os.PathLike)):
        return str(os.fspath(source))
    if not isinstance(source, Sequence):
        return without_secrets(str(getattr(source, "base_url", "the client")))
    return f"{len(source)} files" if len(source) != 1 else name_of_source(source[0])
