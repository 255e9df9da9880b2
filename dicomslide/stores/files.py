"""Store of images in files: on disks, in buckets, on web servers."""

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from tarfile import is_tarfile
from typing import Any, TypeAlias
from zipfile import is_zipfile

from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicomslide.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    DicomSlideError,
    InvalidImageError,
    NoSlideError,
    SourceError,
)
from dicomslide.errors.damage import reading
from dicomslide.errors.failures import Failure, Failures, Marks, collecting, marks_of
from dicomslide.grouping.summary import summarize
from dicomslide.metadata.flavors import ANNOTATIONS, PRESENTATION_STATES
from dicomslide.metadata.kinds import (
    SLIDE_CLASSES,
    belongs_to_slide,
    has_slide_class,
    is_standard_class,
)
from dicomslide.metadata.references import read_uid
from dicomslide.processes import make_lock
from dicomslide.sources.base import File
from dicomslide.sources.files import FileFrames, open_image_file
from dicomslide.sources.folders import find_files
from dicomslide.sources.header import FileMeta, read_file_meta, read_header
from dicomslide.sources.knownfile import KnownFile
from dicomslide.sources.localfile import LocalFile
from dicomslide.sources.patterns import expand_path
from dicomslide.sources.remotefile import find_remote_files, is_url, local_path
from dicomslide.sources.sidebyside import FILES_AT_ONCE, side_by_side
from dicomslide.sources.urls import without_secrets
from dicomslide.stores.protocol import ImageQuery

__all__ = ["FileInstance", "FileStore", "Paths", "holds_images", "name_of_paths"]

Path = str | os.PathLike[str]
Paths = Path | Sequence[Path]
"""Path of a folder, a file or a DICOMDIR, a URL that fsspec knows, or several of them."""


@dataclass(frozen=True)
class FileInstance:
    """Instance in a file: an image with its frames, or what accompanies images, without."""

    dataset: Dataset
    file: File
    frames: FileFrames | None = None


_Found: TypeAlias = FileInstance | str
"""Content of a file: what belongs to a slide, or the name of its kind"""

# Attributes by which images are grouped into slides
_GROUPING = (
    "ContainerIdentifier",
    "FrameOfReferenceUID",
    "ImageType",
    "OpticalPathSequence",
    "PyramidUID",
    "SeriesInstanceUID",
    "TotalPixelMatrixOriginSequence",
)
# Number of files that are examined to tell whether a folder holds a slide
_PROBE_LIMIT = 200


class FileStore:
    """Store of the images in files; an `ImageStore`.

    Parameters
    ----------
    paths : path, URL, or sequence of them
        Folders, files, DICOMDIRs, or URLs that fsspec knows
    storage_options : dict, optional
        Options of the file system of a URL, as for ``fsspec.open``

    Raises
    ------
    TypeError
        When `paths` is not a path, a URL, or a sequence of them
    """

    def __init__(self, paths: Paths, storage_options: dict[str, Any] | None = None) -> None:
        if isinstance(paths, (str, os.PathLike)):
            paths = [paths]
        if not isinstance(paths, Sequence) or not all(
            isinstance(path, (str, os.PathLike)) for path in paths
        ):
            raise ArgumentTypeError(
                "source: expected a path, a URL, a list of them, a client or a store, got "
                f"{type(paths).__name__}"
            )
        self._paths: Sequence[Path] = paths
        self._options = storage_options
        self._found: dict[str, FileInstance] | None = None
        self._lock = make_lock()

    @property
    def name(self) -> str:
        """Name of the files in messages: their path, or their number."""
        return name_of_paths(self._paths)

    def __repr__(self) -> str:
        return f"<FileStore {self.name}>"

    def images(self, query: ImageQuery) -> list[Dataset]:
        """Read the metadata of the images of slides; see `ImageStore.images`.

        Files that are not images of a slide are skipped, unless the caller named them.

        Raises
        ------
        NoSlideError
            When there is no image of a slide, or a named file is none
        InvalidImageError
            When an image is damaged
        SourceError
            When a file cannot be read
        """
        images: list[FileInstance] = []
        others: list[FileInstance] = []
        kinds = Counter[str]()
        for found in _each_image(self._files(), query.failures):
            if isinstance(found, str):
                kinds[found] += 1
            elif found.frames is None:
                others.append(found)
                kinds[_name_of_class(str(found.dataset.get("SOPClassUID")))] += 1
            else:
                images.append(found)
        if not images and not query.failures:
            listed = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
            raise NoSlideError(f"{self.name}: no slide in it; it holds {listed or 'no files'}")
        # Of several files with one SOP Instance UID the first one counts
        instances = images + others
        self._found = {read_uid(found.dataset): found for found in reversed(instances)}
        return [found.dataset for found in instances]

    def frame_sources(self, datasets: Sequence[Dataset]) -> list[FileFrames]:
        """Find the frames of images; see `ImageStore.frame_sources`."""
        with self._lock:
            if self._found is None:
                self.images(ImageQuery())
        known = self._found or {}
        sources = []
        for uid in map(read_uid, datasets):
            found = known.get(uid)
            if found is None or found.frames is None:
                raise SourceError(f"image {uid} is in none of the files of {self.name}")
            sources.append(found.frames)
        return sources

    def instance(self, dataset: Dataset) -> FileInstance:
        """Get an instance whose metadata `images` has returned."""
        return (self._found or {})[read_uid(dataset)]

    def _files(self) -> Iterator[tuple[File, bool]]:
        """Find the files, and whether the caller named each of them."""
        paths = [os.fspath(path) for path in self._paths]
        urls = [path for path in paths if _is_remote(path)]
        # A folder stands for all of its files, with or without /* at its end
        plain = [url.removesuffix("*") if url.endswith("/*") else url for url in urls]
        found = find_remote_files(plain, self._options)
        remote = dict(zip(urls, found, strict=True))
        for path in paths:
            if path in remote:
                name = without_secrets(path)
                yield from ((file, file.path == name) for file in remote[path])
            else:
                yield from _local_files(path)


def holds_images(paths: Paths) -> bool:
    """Whether local files seem to hold an image of a slide; False if they cannot be read.

    Files at URLs are not examined, and count as holding none.
    """
    try:
        # xarray asks all engines in turn whether they can open a source, so none may wait for a
        # network
        store = FileStore(paths)
        if any(_is_remote(os.fspath(path)) for path in store._paths):
            return False
        files = islice(store._files(), _PROBE_LIMIT)
        return any(_is_slide_file(file) for file, _ in files)
    except (DicomSlideError, OSError):
        return False


def _is_slide_file(file: File) -> bool:
    try:
        meta = read_file_meta(file)
        if _kind_of_file(meta) is not None:
            return False
        with reading(file.path):
            return belongs_to_slide(open_image_file(file, meta)[0])
    except (DicomSlideError, OSError):
        return False


def _is_remote(path: str) -> bool:
    """Whether a path is the URL of files that are not local.

    Raises
    ------
    ArgumentValueError
        When it looks like the URL of a DICOMweb service
    """
    if is_url(path) and "/studies/" in path and path.startswith(("http://", "https://")):
        raise ArgumentValueError(
            f"source: {without_secrets(path)}: this is read as the URL of files; put dicomweb+ in "
            "front of the URL of a DICOMweb service"
        )
    return is_url(path) and not os.path.exists(path) and local_path(path) is None


def _local_files(path: str) -> Iterator[tuple[File, bool]]:
    if is_url(path) and not os.path.exists(path):
        path = local_path(path) or path
    files = chain.from_iterable(map(find_files, expand_path(path)))
    return ((LocalFile.at(file), file == os.path.expanduser(path)) for file in files)


def _each_image(files: Iterator[tuple[File, bool]], failures: Failures) -> Iterator[_Found]:
    first = next(files, None)
    if first is None:
        return
    rest: Iterable[tuple[File, bool]] = chain([first], files)
    if first[0].remote:
        rest = list(rest)
        if not all(isinstance(file, KnownFile) for file, _ in rest):
            yield from side_by_side(
                lambda item: _try_image(item[0], item[1], failures), rest, FILES_AT_ONCE
            )
            return
    for file, named in rest:
        yield _try_image(file, named, failures)


def _try_image(file: File, named: bool, failures: Failures) -> _Found:
    """Read a file as `_read_image` does; collect a failure with the identifiers of its slide."""
    if failures is None:
        return _read_image(file, named)
    found: list[Failure] = []
    with collecting(found, file.path):
        return _read_image(file, named)
    marks = Marks()
    # The header can often be read where the pixel data are damaged
    with suppress(DicomSlideError):
        marks = marks_of(read_header(file).dataset)
    failures += [replace(failure, marks=marks) for failure in found]
    return "damaged file"


def _read_image(file: File, named: bool) -> _Found:
    """Read the header of an image of a slide, or return the kind of a file that holds none.

    Raises
    ------
    NoSlideError
        When a file that the caller named is not an image of a slide
    """
    meta = read_file_meta(file)
    sop_class = meta.sop_class if meta else None
    if sop_class in PRESENTATION_STATES | ANNOTATIONS:
        try:
            return FileInstance(read_header(file, meta).dataset, file)
        except InvalidImageError as error:
            # The pixels do not depend on it
            warnings.warn(f"{error}; it is left out", stacklevel=2)
            return f"damaged {_name_of_class(str(sop_class))}"
    if not named and (kind := _kind_of_file(meta)) is not None:
        return kind
    try:
        dataset, frames = open_image_file(file, meta)
    except NoSlideError as error:
        if named:
            raise NoSlideError(f"{error}{_hint(file)}") from error
        return "DICOM file without an image"
    with reading(file.path):
        if belongs_to_slide(dataset):
            # Values are converted here, where errors can name the file
            for keyword in _GROUPING:
                dataset.get(keyword)
            summarize(dataset)
            return FileInstance(dataset, file, frames)
        sop_class = dataset.get("SOPClassUID")
        if sop_class not in SLIDE_CLASSES and has_slide_class(dataset):
            raise InvalidImageError(f"{file.path}: SOP Class UID is {sop_class!r}")
        kind = _name_of_class(str(sop_class or "an unknown kind of image"))
    if named:
        raise NoSlideError(f"{file.path}: a DICOM image, but not of a slide: {kind}")
    return kind


def _hint(file: File) -> str:
    """Suggest what the caller may have meant with a file that is not DICOM; may be empty."""
    for protocol, is_archive in (("zip", is_zipfile), ("tar", is_tarfile)):
        if not file.remote and is_archive(file.path):
            return f"; a slide in an archive opens as {protocol}://::{file.path}"
    is_page = file.remote and file.path.startswith(("http://", "https://"))
    return "; the URL of a folder has to end with a slash" if is_page else ""


def _kind_of_file(meta: FileMeta | None) -> str | None:
    """Name the kind of a file by its SOP Class; None if it may hold an image of a slide."""
    if meta is None:
        return "file that is not DICOM"
    sop_class = meta.sop_class
    # A UID that is not of the standard may be a damaged one of a slide
    known = is_standard_class(sop_class) and sop_class not in SLIDE_CLASSES
    return _name_of_class(sop_class) if known else None


def _name_of_class(uid: str) -> str:
    return str(UID(uid, validation_mode=IGNORE).name)


def name_of_paths(paths: Paths) -> str:
    """Make the name of files in messages: their path or URL without secrets, or their number."""
    if isinstance(paths, (str, os.PathLike)):
        return without_secrets(paths) if is_url(paths) else str(os.fspath(paths))
    return f"{len(paths)} files" if len(paths) != 1 else name_of_paths(paths[0])
