"""Files that the path of a folder, a file or a DICOMDIR stands for."""

import os
from collections.abc import Iterator

from pydicom.uid import MediaStorageDirectoryStorage

from dicomslide.errors import InvalidImageError, SourceError
from dicomslide.errors.damage import reading
from dicomslide.sources.header import read_header
from dicomslide.sources.localfile import LocalFile

__all__ = ["find_files", "looks_like_dicom"]

_DICOMDIR = "DICOMDIR"
# A folder with one of these files is a Zarr store or a part of one, with a file for each chunk
_ZARR_METADATA = "zarr.json", ".zgroup", ".zarray"


def find_files(source: str | os.PathLike[str]) -> Iterator[str]:
    """Find the files that a path stands for; a folder is searched as the iterator advances.

    A folder stands for the files that its DICOMDIR lists (PS3.10 8), or without one for all files
    in it and in the folders below; hidden files and Zarr stores are left out.

    Raises
    ------
    SourceError
        When there is no such file or folder, or a file that a DICOMDIR lists is missing
    InvalidImageError
        When a DICOMDIR is damaged
    """
    path = os.fspath(source)
    if not os.path.exists(path):
        raise SourceError(f"{path}: no such file or folder")
    if not os.path.isdir(path):
        return iter(_listed(path) if os.path.basename(path) == _DICOMDIR else [path])
    directory = os.path.join(path, _DICOMDIR)
    if os.path.isfile(directory) and looks_like_dicom(directory):
        return iter(_listed(directory))
    return _walk(path, set())


def looks_like_dicom(path: str | os.PathLike[str]) -> bool:
    """Whether a file carries the prefix of DICOM Part 10 files (PS3.10 7.1)."""
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _walk(folder: str, visited: set[str]) -> Iterator[str]:
    """Yield the files below a folder; links to folders are followed, each folder once."""
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(f"{folder}: {error.strerror}") from error
    is_store = _is_zarr_store(folder)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_symlink() and not os.path.exists(entry.path):
            continue
        if entry.is_dir():
            if not is_store and not _is_zarr_store(entry.path):
                yield from _walk(entry.path, visited)
        elif entry.is_file():
            yield entry.path


def _is_zarr_store(folder: str) -> bool:
    return any(os.path.exists(os.path.join(folder, name)) for name in _ZARR_METADATA)


def _listed(directory: str) -> list[str]:
    """Read the paths of the files that a DICOMDIR lists."""
    folder = os.path.dirname(directory)
    # The header is read by this package, as pydicom accepts a truncated one without an error
    dataset = read_header(LocalFile.at(directory)).dataset
    with reading(directory):
        if dataset.file_meta.get("MediaStorageSOPClassUID") != MediaStorageDirectoryStorage:
            return [directory]
        parts = [
            [str(part) for part in _values(record.ReferencedFileID)]
            for record in dataset.get("DirectoryRecordSequence") or ()
            if record.get("ReferencedFileID")
        ]
    paths = []
    for components in parts:
        if any(part in ("", ".", "..") or "/" in part or os.sep in part for part in components):
            raise InvalidImageError(f"{directory}: {components} is not a file below its folder")
        path = os.path.join(folder, *components)
        if not os.path.isfile(path):
            raise SourceError(f"{directory}: {path} is listed, but there is no such file")
        paths.append(path)
    return paths


def _values(value: object) -> list[object]:
    return [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]
