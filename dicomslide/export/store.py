"""The place that a store is written to, and what may be there already."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import zarr
from zarr.abc.store import Store
from zarr.core.sync import sync
from zarr.storage import FsspecStore, LocalStore, StorePath

from dicomslide.errors import ArgumentTypeError, ArgumentValueError, DicomSlideError, StoreError
from dicomslide.export.locks import locked
from dicomslide.sources.urls import without_secrets

__all__ = ["Target", "ZarrFormat", "naming", "open_target"]

ZarrFormat = Literal[2, 3]

_LEFT_BY_A_KILLED_PROCESS = re.compile(r"\.[0-9a-f]{32}\.partial$")


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Name the store, or a part of it, in whatever goes wrong there.

    Zarr, its codecs and the file systems raise errors of many kinds, most of them nameless.
    """
    try:
        yield
    except (DicomSlideError, MemoryError):
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        raise StoreError(f"{name}: {reason}; the store is not complete") from error


@dataclass(frozen=True)
class Target:
    """Where a store is.

    Parameters
    ----------
    place : zarr.storage.StorePath
        The store, and the path of its group in it
    name : str
        Name used in messages
    zarr_format : {2, 3}
        Format of what is written
    """

    place: StorePath
    name: str
    zarr_format: ZarrFormat

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Keep others from the store while it is decided what becomes of it.

        Yields
        ------
        bool
            False where others cannot be kept from it, as in a bucket

        Raises
        ------
        StoreError
            When another export is writing to it
        """
        if self._folder is None:
            yield False
            return
        with naming(self.name):
            # What else may be there is checked by the caller
            if not self._folder.exists():
                self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with locked(self._folder, alone=True) as is_alone:
                yield is_alone
        except BlockingIOError as error:
            raise StoreError(
                f"{self.name}: another export is writing to it at this moment"
            ) from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep exports that would begin from the store while it is written."""
        with ExitStack() as stack:
            if self._folder:
                with naming(self.name):
                    stack.enter_context(locked(self._folder, alone=False))
            yield

    def prepare(self, group: zarr.Group | None, overwrite: bool) -> zarr.Group:
        """Make an empty group.

        Parameters
        ----------
        group : zarr.Group or None
            The group that is there
        overwrite : bool
            Whether it may be deleted

        Raises
        ------
        StoreError
            When there is something already, unless it is a Zarr store and is to be overwritten
        """
        if group is None:
            if not self._is_empty():
                raise StoreError(f"{self.name}: there is something already: it is no Zarr store")
        elif overwrite:
            self._delete(group)
        else:
            hint = "overwrite it explicitly or choose another"
            raise StoreError(f"{self.name}: there is something already: {hint}")
        return zarr.create_group(self.place, zarr_format=self.zarr_format)

    def group(self) -> zarr.Group | None:
        """Get the group that is there; None where there is none."""
        try:
            return zarr.open_group(self.place, mode="r+")
        except (FileNotFoundError, FileExistsError, NotADirectoryError, ValueError):
            return None

    def clean(self) -> None:
        """Delete what processes that were killed have left between the chunks of a folder."""
        if self._folder is None:
            return
        for folder, _, names in os.walk(self._folder):
            for name in filter(_LEFT_BY_A_KILLED_PROCESS.search, names):
                Path(folder, name).unlink(missing_ok=True)

    @property
    def _folder(self) -> Path | None:
        store = self.place.store
        return store.root / self.place.path if isinstance(store, LocalStore) else None

    def _is_empty(self) -> bool:
        if self._folder is not None:
            return self._folder.is_dir() and not any(self._folder.iterdir())
        return bool(sync(self.place.store.is_empty(self.place.path)))

    def _delete(self, group: zarr.Group) -> None:
        """Delete what is there, its metadata first: what is left of it must not look whole."""
        sync((self.place / ".zmetadata").delete())
        group.attrs.put({})
        if self._folder is None:
            sync(self.place.delete_dir())
            return
        # The folder itself is what is locked; what tells that it is a Zarr store comes last
        for path in sorted(self._folder.iterdir(), key=Path.is_file):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def open_target(
    store: Any, storage_options: Mapping[str, Any] | None, zarr_format: ZarrFormat
) -> Target:
    """Find the store that is meant by a path, an fsspec URL or a Zarr store.

    Raises
    ------
    TypeError
        When it is nothing of that
    ValueError
        When there are options, and it is no URL
    StoreError
        When there is no such file system
    """
    if not isinstance(store, (str, os.PathLike, Store, StorePath)):
        raise ArgumentTypeError(
            f"store: expected a path, a URL or a Zarr store, got {type(store).__name__}"
        )
    if isinstance(store, str) and ("://" in store or "::" in store):
        name = without_secrets(store)
        with naming(name):
            opened = FsspecStore.from_url(store, storage_options=dict(storage_options or {}))
            # What is there may have been listed before others changed it
            opened.fs.invalidate_cache()
        return Target(StorePath(opened), name, zarr_format)
    if storage_options is not None:
        raise ArgumentValueError("storage_options: for URLs; a path or a Zarr store has none")
    if isinstance(store, StorePath):
        return Target(store, str(store), zarr_format)
    if isinstance(store, Store):
        return Target(StorePath(store), str(store), zarr_format)
    return Target(StorePath(LocalStore(Path(store))), os.fspath(store), zarr_format)
