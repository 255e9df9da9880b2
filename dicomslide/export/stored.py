"""Arrays of the store, whose blocks are journaled when written and checked when read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import StorePath

from dicomslide.errors import StoreError
from dicomslide.export.grid import Block, Grid
from dicomslide.export.journal import Entry, Journal
from dicomslide.export.store import naming
from dicomslide.export.sums import Checker, Recorder

__all__ = ["StoredArray"]


@dataclass(frozen=True)
class StoredArray:
    """Array of the store.

    Parameters
    ----------
    path : str
        Path of the array in the store
    grid : Grid
        Division along (c, z, y, x); the array of a label image has no axis c
    first : int
        Number of the first block in the journal
    metadata : mapping
        Metadata of the array
    journal : Journal
        Journal of the blocks that are written
    """

    path: str
    grid: Grid
    first: int
    metadata: Mapping[str, Any]
    journal: Journal

    @property
    def name(self) -> str:
        """Name of the array in messages."""
        return f"{self.journal.target.name}/{self.path}"

    def require(self) -> None:
        """Check that the array exists with its metadata.

        Raises
        ------
        StoreError
            When it is missing or has other metadata
        """
        self._open(self.journal.target.place.store)

    def write(self, number: int, pixels: NDArray, problems: Sequence[str] = ()) -> None:
        """Write a block, and then its entry in the journal.

        Raises
        ------
        StoreError
            When the store cannot be written, or another export has taken it over
        """
        with self.journal.target.held():
            self.journal.require()
            store = Recorder(self.journal.target.place.store, self._keys(number))
            array = self._open(store)
            with naming(self.name):
                array[self._region(self.grid.block_at(number))] = pixels.reshape(
                    pixels.shape[-array.ndim :]
                )
            entry = Entry(tuple(store.sums.values()), tuple(problems))
            self.journal.record(self.first + number, entry)

    def read(self, block: Block) -> NDArray:
        """Read a part of the array whose blocks are written.

        Raises
        ------
        StoreError
            When a chunk is missing, or differs from what was written
        """
        sums: dict[str, int] = {}
        for number in self.grid.touched(block.start, block.stop):
            entry = self.journal.entry(self.first + number)
            if entry is None:
                raise StoreError(f"{self.name}: block {number} is lost; resume the export")
            sums |= self._sums(number, entry)
        array = self._open(Checker(self.journal.target.place.store, self.name, sums))
        with naming(self.name):
            return np.asarray(array[self._region(block)]).reshape(block.shape)

    def is_intact(self, number: int) -> bool:
        """Whether a block is written, and not damaged since."""
        entry = self.journal.entry(self.first + number)
        if entry is None:
            return False
        with naming(self.name):
            for key, expected in self._sums(number, entry).items():
                store = Checker(self.journal.target.place.store, self.name, {key: expected})
                try:
                    sync(store.get(key, default_buffer_prototype()))
                except StoreError:
                    return False
        return True

    def _open(self, store: Store) -> zarr.Array:
        target = self.journal.target
        place = StorePath(store, target.place.path) / self.path
        with naming(self.name):
            array = zarr.open_array(place, mode="r+", zarr_format=target.zarr_format)
            if array.metadata.to_dict() != self.metadata:
                raise StoreError(f"{self.name}: its metadata differ from those that were written")
        return array

    def _sums(self, number: int, entry: Entry) -> dict[str, int]:
        return dict(zip(self._keys(number), entry.sums, strict=True))

    def _keys(self, number: int) -> list[str]:
        """List the keys of the chunks or shards of a block."""
        target = self.journal.target
        folder = target.place / self.path / ("" if target.zarr_format == 2 else "c")
        pieces = (index[-self._ndim :] for index in self.grid.pieces(number))
        return [(folder / "/".join(map(str, index))).path for index in pieces]

    def _region(self, block: Block) -> tuple[slice, ...]:
        """Compute the index of a block in the array."""
        return block.region[-self._ndim :]

    @property
    def _ndim(self) -> int:
        return len(self.metadata["shape"])
