"""The store that is written: what may be there already, and how far an export has come."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.core.sync import sync
from zarr.storage import FsspecStore, LocalStore, StorePath

from dicomslide.errors import ArgumentTypeError, StoreError

__all__ = ["Journal", "Target", "open_target", "writing"]

# Not a level, label or associated image: there as long as the export is not complete
_JOURNAL = "unfinished"
_PROJECT = "dicomslide"
_ROW = 4096
_DONE, _DONE_WITH_PROBLEMS = 1, 2
_LEFT_BY_A_KILLED_PROCESS = re.compile(r"\.[0-9a-f]{32}\.partial$")


@contextmanager
def writing(name: str) -> Iterator[None]:
    """Name the store in errors of the system."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        reason = error.strerror or error
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
    """

    place: StorePath
    name: str

    def prepare(self, zarr_format: Literal[2, 3], overwrite: bool) -> zarr.Group:
        """Make an empty group.

        Raises
        ------
        StoreError
            When there is something already, unless it is a Zarr store and is to be overwritten
        """
        if not self._is_empty():
            group = self.group()
            if group is None:
                raise StoreError(f"{self.name}: there is something already: it is no Zarr store")
            if not overwrite:
                hint = "overwrite it explicitly or choose another"
                raise StoreError(f"{self.name}: there is something already: {hint}")
        return zarr.create_group(self.place, zarr_format=zarr_format, overwrite=overwrite)

    def group(self) -> zarr.Group | None:
        """Get the group that is there; None where there is none."""
        try:
            return zarr.open_group(self.place, mode="r+")
        except (FileNotFoundError, ValueError, OSError):
            return None

    def facts(self, group: zarr.Group) -> Mapping[str, Any]:
        """What a complete store says of its export; nothing where it is not complete."""
        facts = group.attrs.get(_PROJECT)
        return facts if isinstance(facts, Mapping) else {}

    def complete(
        self, group: zarr.Group, attributes: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> None:
        """Write the attributes of the top, which make the store complete, and end the journal."""
        group.attrs.put({**attributes, _PROJECT: dict(facts)})
        if _JOURNAL in group:
            del group[_JOURNAL]

    def clean(self) -> None:
        """Delete what processes that were killed have left between the chunks of a folder."""
        if not isinstance(self.place.store, LocalStore):
            return
        for folder, _, names in os.walk(self.place.store.root / self.place.path):
            for name in filter(_LEFT_BY_A_KILLED_PROCESS.search, names):
                Path(folder, name).unlink(missing_ok=True)

    def _is_empty(self) -> bool:
        store = self.place.store
        if isinstance(store, LocalStore):
            folder = store.root / self.place.path
            return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
        return bool(sync(store.is_empty(self.place.path)))


def open_target(store: Any) -> Target:
    """Find the store that is meant by a path, an fsspec URL or a Zarr store.

    Raises
    ------
    TypeError
        When it is nothing of that
    """
    if isinstance(store, StorePath):
        return Target(store, str(store))
    if isinstance(store, Store):
        return Target(StorePath(store), str(store))
    if not isinstance(store, (str, os.PathLike)):
        raise ArgumentTypeError(
            f"store: expected a path, a URL or a Zarr store, got {type(store).__name__}"
        )
    name = os.fspath(store)
    if "://" in name or "::" in name:
        try:
            return Target(StorePath(FsspecStore.from_url(name)), name)
        except (ImportError, ValueError) as error:
            raise StoreError(f"{name}: {error}") from error
    return Target(StorePath(LocalStore(Path(name))), name)


@dataclass(frozen=True)
class Journal:
    """Which blocks of a store are written, one row for each.

    It is an array of the store itself, so that it is as durable as the blocks are. A row is written
    after its block, each by one chunk.

    Parameters
    ----------
    array : zarr.Array
        A row begins with 0 where a block is not written, and ends with what was wrong with it
    """

    array: zarr.Array

    @classmethod
    def create(cls, group: zarr.Group, count: int, fingerprint: str) -> "Journal":
        """Begin a store."""
        array = group.create_array(
            _JOURNAL,
            shape=(max(count, 1), _ROW),
            chunks=(1, _ROW),
            dtype=np.uint8,
            attributes={"about": "This export is not finished", "fingerprint": fingerprint},
        )
        return cls(array)

    @classmethod
    def find(cls, group: zarr.Group) -> "Journal | None":
        """Get the journal of an unfinished store; None where there is none."""
        array = group.get(_JOURNAL)
        return cls(array) if isinstance(array, zarr.Array) else None

    @property
    def fingerprint(self) -> str:
        """What tells exports of other slides and with other options apart."""
        return str(self.array.attrs.get("fingerprint"))

    def done(self) -> set[int]:
        """Numbers of the blocks that are written."""
        states = np.concatenate(
            [self.array[start : start + 1024, :1] for start in range(0, self.array.shape[0], 1024)]
        )
        return set(np.flatnonzero(states[:, 0]).tolist())

    def record(self, number: int, problems: list[str]) -> None:
        """Note that a block is written."""
        row = np.zeros((1, _ROW), np.uint8)
        row[0, 0] = _DONE
        if problems:
            text = json.dumps(problems)
            while len(text) >= _ROW:
                problems = problems[: len(problems) // 2]
                text = json.dumps([*problems, "…"])
            row[0, 0] = _DONE_WITH_PROBLEMS
            row[0, 1 : 1 + len(text)] = np.frombuffer(text.encode("ascii"), np.uint8)
        self.array[number : number + 1] = row

    def problems(self) -> list[str]:
        """What was wrong with blocks that are written."""
        found: dict[str, None] = {}
        for start in range(0, self.array.shape[0], 1024):
            rows = np.asarray(self.array[start : start + 1024])
            for row in rows[rows[:, 0] == _DONE_WITH_PROBLEMS]:
                found.update(dict.fromkeys(json.loads(row[1:].tobytes().rstrip(b"\0"))))
        return sorted(found, key=_by_numbers)


def _by_numbers(text: str) -> list[tuple[int, str]]:
    """Sort frame 2 before frame 10."""
    parts = re.split(r"(\d+)", text)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
