"""Search for the other files of a slide beside one of them, as OpenSlide does."""

import os
import warnings
from collections.abc import Iterator

from dicomslide.errors import DicomSlideError, InvalidImageError, SourceError
from dicomslide.errors.damage import reading
from dicomslide.metadata.flavors import SLIDE_MICROSCOPY
from dicomslide.sources.header import read_file_meta, read_header
from dicomslide.sources.localfile import LocalFile

__all__ = ["find_siblings", "is_slide_file"]


def is_slide_file(path: str) -> bool:
    """Whether the SOP Class of a file is a whole slide image; False if it cannot be read."""
    try:
        meta = read_file_meta(LocalFile.at(path))
    except DicomSlideError:
        return False
    return meta is not None and meta.sop_class in SLIDE_MICROSCOPY


def find_siblings(path: str) -> list[str]:
    """Find the files of the slide that an image file belongs to.

    These are the whole slide images in its folder, folders below excluded, that have its Series
    Instance UID.

    Parameters
    ----------
    path : str
        Path of a local file for which `is_slide_file` is true

    Returns
    -------
    list of str
        Paths of the files, the given one first

    Raises
    ------
    InvalidImageError
        When the file is damaged or has no Series Instance UID
    SourceError
        When the file or its folder cannot be read

    Warns
    -----
    UserWarning
        When another file is damaged, so that it may or may not be one of the slide
    """
    series = _series(path)
    if not series:
        raise InvalidImageError(
            f"{path}: without Series Instance UID it is not known which files belong to it; name "
            "their folder"
        )
    return [path, *(other for other in _others(path) if _is_of(series, other))]


def _others(path: str) -> Iterator[str]:
    """Yield the whole slide images beside a file."""
    folder, name = os.path.split(path)
    try:
        names = sorted(os.listdir(folder or os.curdir))
    except OSError as error:
        raise SourceError(f"{folder}: {error.strerror}") from error
    for other in names:
        beside = os.path.join(folder, other)
        if other != name and os.path.isfile(beside) and is_slide_file(beside):
            yield beside


def _is_of(series: str, path: str) -> bool:
    try:
        return _series(path) == series
    except DicomSlideError as error:
        warnings.warn(f"{error}; left out, but it may belong to the slide", stacklevel=3)
        return False


def _series(path: str) -> str:
    dataset = read_header(LocalFile.at(path)).dataset
    with reading(path):
        return str(dataset.get("SeriesInstanceUID") or "")
