"""Target of an export: opening, locking, and replacement of what exists there."""

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
from zarr.storage import FsspecStore, LocalStore, ObjectStore, StorePath

from dicomslide.errors import ArgumentTypeError, ArgumentValueError, DicomSlideError, StoreError
from dicomslide.export.locks import locked
from dicomslide.sources.remotefile import is_url
from dicomslide.sources.urls import without_secrets

__all__ = ["Target", "ZarrFormat", "is_far", "naming", "open_target"]

ZarrFormat = Literal[2, 3]

_LEFT_BY_A_KILLED_PROCESS = re.compile(r"\.[0-9a-f]{32}\.partial$")


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Convert errors of the block to StoreErrors with the name of a store or a part of it.

    Zarr, its codecs and file systems raise errors of many types, most of which name nothing.
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
    """Target of an export.

    Parameters
    ----------
    place : zarr.storage.StorePath
        Store, and path of the group in it
    name : str
        Name of the store in messages
    zarr_format : {2, 3}
        Zarr format that is written
    """

    place: StorePath
    name: str
    zarr_format: ZarrFormat

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Lock the store exclusively, to examine and prepare it.

        Yields
        ------
        bool
            Whether the store is locked, which is not possible in a bucket

        Raises
        ------
        StoreError
            When another export is writing to the store
        """
        if self._folder is None:
            yield False
            return
        with naming(self.name):
            # A file with this name is left to the caller, who checks what exists
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
        """Hold a shared lock on the store, so that no other export can prepare it."""
        with ExitStack() as stack:
            if self._folder:
                with naming(self.name):
                    stack.enter_context(locked(self._folder, alone=False))
            yield

    def prepare(self, group: zarr.Group | None, overwrite: bool) -> zarr.Group:
        """Create an empty group.

        Parameters
        ----------
        group : zarr.Group or None
            Existing group
        overwrite : bool
            Whether the existing group may be deleted

        Raises
        ------
        StoreError
            When something exists, unless it is a Zarr group and is to be overwritten
        """
        if group is None:
            if not self._is_empty():
                raise StoreError(f"{self.name}: already exists, and is not a Zarr store")
        elif overwrite:
            self._delete(group)
        else:
            hint = "overwrite it explicitly or choose another"
            raise StoreError(f"{self.name}: already exists; {hint}")
        return zarr.create_group(self.place, zarr_format=self.zarr_format)

    def group(self) -> zarr.Group | None:
        """Open the existing group; None where there is none."""
        try:
            return zarr.open_group(self.place, mode="r+")
        except (FileNotFoundError, FileExistsError, NotADirectoryError, ValueError):
            return None

    def clean(self) -> None:
        """Delete partial files that killed processes have left between the chunks of a folder."""
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
        """Delete the existing group, metadata first, so that a rest does not look complete."""
        sync((self.place / ".zmetadata").delete())
        group.attrs.put({})
        if self._folder is None:
            sync(self.place.delete_dir())
            return
        # The folder itself stays, as it is locked. Files, such as the metadata by which it is
        # recognized as a Zarr store, are deleted last
        for path in sorted(self._folder.iterdir(), key=Path.is_file):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def is_far(store: Any) -> bool:
    """Whether a store, or the URL of one, is where a request takes longer than a chunk."""
    if isinstance(store, StorePath):
        store = store.store
    if isinstance(store, ObjectStore):
        return not _is_near(type(store.store).__name__.lower().removesuffix("store"))
    if isinstance(store, FsspecStore):
        return not _is_near(store.fs.protocol)
    return is_url(store) and not _is_near(store.rpartition("::")[2].partition("://")[0])


def _is_near(protocol: str | tuple[str, ...]) -> bool:
    names = (protocol,) if isinstance(protocol, str) else protocol
    return not {"file", "local", "memory"}.isdisjoint(names)


def open_target(
    store: Any, storage_options: Mapping[str, Any] | None, zarr_format: ZarrFormat
) -> Target:
    """Make the target of a path, an fsspec URL or a Zarr store.

    Raises
    ------
    TypeError
        When `store` is none of these
    ValueError
        When `storage_options` are given for something else than a URL
    StoreError
        When the file system of a URL cannot be opened
    """
    if not isinstance(store, (str, os.PathLike, Store, StorePath)):
        raise ArgumentTypeError(
            f"store: expected a path, a URL or a Zarr store, got {type(store).__name__}"
        )
    if is_url(store):
        name = without_secrets(store)
        with naming(name):
            opened = FsspecStore.from_url(store, storage_options=dict(storage_options or {}))
            # fsspec keeps listings, which others may have made outdated
            opened.fs.invalidate_cache()
        return Target(StorePath(opened), name, zarr_format)
    if storage_options is not None:
        raise ArgumentValueError("storage_options: only for URLs, not for paths or Zarr stores")
    if isinstance(store, StorePath):
        return Target(store, str(store), zarr_format)
    if isinstance(store, Store):
        return Target(StorePath(store), str(store), zarr_format)
    return Target(StorePath(LocalStore(Path(store))), os.fspath(store), zarr_format)
