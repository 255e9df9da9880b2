"""Files of results: written under another name, and given theirs when all of them are whole."""

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from dicomslide.arguments import require_type
from dicomslide.errors import ArgumentValueError, DicomSlideError, StoreError
from dicomslide.sources.filesystems import open_file_system
from dicomslide.sources.urls import name_of_url

__all__ = ["Output", "open_output", "whole_file"]


@dataclass
class Output:
    """Place of the files of a result.

    Parameters
    ----------
    place : str
        File, or folder of files
    is_folder : bool
        Whether it is a folder
    folder : pathlib.Path
        Local folder of unfinished files
    overwrite : bool
        Whether files with these names are replaced
    """

    place: str
    is_folder: bool
    folder: Path
    overwrite: bool
    file_system: Any = None
    _named: list[tuple[Path, str]] = field(default_factory=list, init=False)

    def add(self, name: str) -> Path:
        """Name a file, and return the path of the unfinished one."""
        target = f"{self.place.rstrip('/')}/{name}" if self.is_folder else self.place
        unfinished = self.folder / f".{uuid.uuid4().hex}.partial"
        if not self.overwrite and self._exists(target):
            raise StoreError(f"{self._name(target)}: already exists; overwrite it explicitly")
        self._named.append((unfinished, target))
        return unfinished

    def finish(self) -> list[str]:
        """Give all files their names; return these."""
        for unfinished, target in self._named:
            if self.file_system is None:
                _give_name(unfinished, target)
            else:
                self.file_system.put_file(os.fspath(unfinished), target)
        return [self._name(target) for _, target in self._named]

    def drop(self) -> None:
        """Delete unfinished files."""
        for unfinished, _ in self._named:
            unfinished.unlink(missing_ok=True)

    def _exists(self, target: str) -> bool:
        if self.file_system is None:
            return os.path.lexists(target)
        return bool(self.file_system.exists(target))

    def _name(self, target: str) -> str:
        return target if self.file_system is None else self.file_system.unstrip_protocol(target)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write a local file under another name, which gets its name after the block.

    Yields
    ------
    pathlib.Path
        Path of the unfinished file, which is deleted after an error
    """
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        yield unfinished
        _give_name(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _give_name(unfinished: Path, target: str | os.PathLike[str]) -> None:
    with unfinished.open("rb+") as file:
        # What has its name is on the disk
        os.fsync(file.fileno())
    os.replace(unfinished, target)


@contextmanager
def open_output(
    path: str | os.PathLike[str],
    storage_options: Mapping[str, Any] | None,
    *,
    overwrite: bool,
    many: bool,
) -> Iterator[Output]:
    """Open the place of results; what is not finished at the end is deleted.

    Parameters
    ----------
    path : path or str
        File whose name ends with ``.dcm``, or a folder; local or a URL that fsspec knows
    storage_options : mapping or None
        Options of the file system of a URL
    overwrite : bool
        Whether existing files are replaced
    many : bool
        Whether several files are written, which need a folder

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        When the path is none, or a file for several files
    StoreError
        When something cannot be written
    """
    require_type("path", path, str, os.PathLike)
    require_type("storage_options", storage_options, Mapping, type(None))
    place = os.fspath(path)
    if not place.strip():
        raise ArgumentValueError("path: is empty")
    is_folder = not place.lower().endswith(".dcm") or os.path.isdir(place)
    if many and not is_folder:
        raise ArgumentValueError(f"path: {name_of_url(place)} is a file, several are written")
    try:
        file_system = None
        if "://" in place or get_protocol(place) != "file":
            file_system, place = open_file_system(place, dict(storage_options or {}))
            if isinstance(file_system, LocalFileSystem):
                file_system = None
        with _folder(place, is_folder, file_system is None) as folder:
            output = Output(place, is_folder, folder, overwrite, file_system)
            try:
                yield output
            finally:
                output.drop()
    except (DicomSlideError, MemoryError):
        raise
    except OSError as error:
        reason = error.strerror or error or type(error).__name__
        raise StoreError(f"{name_of_url(os.fspath(path))}: {reason}; nothing is written") from error


@contextmanager
def _folder(place: str, is_folder: bool, is_local: bool) -> Iterator[Path]:
    """Make the folder of unfinished files: that of the finished ones, or a temporary one."""
    if not is_local:
        with TemporaryDirectory(prefix="dicomslide-") as name:
            yield Path(name)
        return
    folder = Path(place) if is_folder else Path(place).parent
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
