"""Arrays of a virtual store: blocks are decoded when they are asked for, and kept for a while."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomslide.bounds import Recent
from dicomslide.export.derived import Derivation
from dicomslide.export.grid import Block, Grid
from dicomslide.export.plan import Plan, PlannedArray

__all__ = ["VirtualArray", "drop_blocks", "make_virtual_arrays"]

_NUMBER = re.compile("0|[1-9][0-9]{,9}")

_blocks = Recent("virtual-chunks")


@dataclass(frozen=True)
class VirtualArray:
    """An array of a virtual store.

    Parameters
    ----------
    planned : PlannedArray
        What it holds, and how it is divided
    store : str
        Name of its store, unique in this process
    folder : str
        Path of the folder of its chunks
    siblings : mapping
        Arrays of the store by their paths, from which this one may be computed
    """

    planned: PlannedArray
    store: str
    folder: str
    siblings: Mapping[str, "VirtualArray"]

    @property
    def grid(self) -> Grid:
        """Division of the array into chunks and shards."""
        return self.planned.grid

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of chunks along each of its axes."""
        grid = self.grid
        counts = tuple(-(-n // c) for n, c in zip(grid.shape, grid.chunks, strict=True))
        return counts[-len(self.planned.axes) :]

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk."""
        return int(np.prod(self.grid.chunks)) * self.planned.level.dtype.itemsize

    def parse(self, key: str) -> tuple[int, ...] | None:
        """Read the index of a chunk, or its first numbers; None where a key has none."""
        if not f"{key}/".startswith(f"{self.folder}/"):
            return None
        texts = key[len(self.folder) + 1 :].split("/") if key != self.folder else []
        if len(texts) > len(self.counts) or not all(map(_is_number, texts)):
            return None
        index = tuple(map(int, texts))
        return index if all(map(int.__lt__, index, self.counts)) else None

    def chunk(self, index: tuple[int, ...]) -> NDArray:
        """Read a chunk by its index, one number for each axis of the array.

        Returns
        -------
        numpy.ndarray
            Array of the shape of a chunk, zeros beyond the edges of the array
        """
        grid = self.grid
        full = (0,) * (4 - len(index)) + index
        start = [i * c for i, c in zip(full, grid.chunks, strict=True)]
        stop = [min(a + c, n) for a, c, n in zip(start, grid.chunks, grid.shape, strict=True)]
        pixels = self.read(Block.of(start, stop))
        missing = [(0, c - n) for c, n in zip(grid.chunks, pixels.shape, strict=True)]
        return np.pad(pixels, missing) if any(after for _, after in missing) else pixels

    def read(self, block: Block) -> NDArray:
        """Read a block of any size and place.

        Raises
        ------
        FrameError
            When a frame cannot be decoded
        SourceError
            When frames cannot be read
        """
        numbers = list(self.grid.touched(block.start, block.stop))
        if len(numbers) == 1:
            return self._block(numbers[0])[block.within(self.grid.block_at(numbers[0]))]
        pixels = np.empty(block.shape, self.planned.level.dtype)
        for number in numbers:
            own = self.grid.block_at(number)
            part = block.common(own)
            pixels[part.within(block)] = self._block(number)[part.within(own)]
        return pixels

    def _block(self, number: int) -> NDArray:
        """Get a block of the grid, which is decoded once however many ask for it at a time."""
        block = self.grid.block_at(number)
        size = int(np.prod(block.shape)) * self.planned.level.dtype.itemsize
        key = self.store, self.planned.path, number
        return _blocks.get(key, lambda: self._make(block), size)

    def _make(self, block: Block) -> NDArray:
        source = self.planned.level.pixels
        assert source is not None
        if isinstance(source, Derivation):
            folder = self.planned.path.rpartition("/")[0]
            pixels = source.read(block, self.siblings[f"{folder}/{source.level}".lstrip("/")])
        else:
            pixels, _ = source.read(block)
        # Samples of a pixel are neighbours in a frame, and far from each other in chunks
        pixels = np.ascontiguousarray(pixels)
        # Threads that read the block share the array
        pixels.flags.writeable = False
        return pixels


def _is_number(text: str) -> bool:
    """Whether a part of a key has the form of the number of a chunk."""
    return _NUMBER.fullmatch(text) is not None


def make_virtual_arrays(plan: Plan, store: str) -> dict[str, VirtualArray]:
    """Make the arrays of a virtual store by their paths; one name shares what is decoded."""
    arrays: dict[str, VirtualArray] = {}
    for planned in plan.all_arrays:
        folder = planned.path if plan.format == 2 else f"{planned.path}/c"
        arrays[planned.path] = VirtualArray(planned, store, folder, arrays)
    return arrays


def drop_blocks(store: str) -> None:
    """Keep no block of a virtual store any longer."""
    _blocks.drop_all(lambda key: isinstance(key, tuple) and key[0] == store)
