"""Division of the arrays of a store into chunks, shards, and the blocks of tasks."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dicomslide.arguments import integer
from dicomslide.errors import ArgumentTypeError, ArgumentValueError

__all__ = ["Block", "BlockReader", "Division", "Grid", "Shape"]

# Rows and columns of a chunk: viewers fetch a screen in a few requests, and chunks compress well
_CHUNK_SIDE = 512
# Where each chunk is a request, they are larger and hold so many bytes of several channels
_FAR_CHUNK_SIDE, _FAR_CHUNK_BYTES = 1024, 8 * 2**20
# Frames with more rows or columns are divided into several chunks, if they can be divided evenly
_LARGEST_CHUNK_SIDE = 1024
_BLOCK_BYTES = 16 * 2**20
# Blocks hold whole frames and whole chunks if that makes them at most this much larger
_MAX_ENLARGEMENT = 4

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Block:
    """Part of an array, such as the whole chunks or shards that one task writes.

    Parameters
    ----------
    start, stop : tuple of int
        First indices along (c, z, y, x), and indices after the last ones
    """

    start: Shape
    stop: Shape

    @classmethod
    def of(cls, start: Sequence[int], stop: Sequence[int]) -> "Block":
        """Make a block of sequences of four indices each."""
        return cls(_shape(start), _shape(stop))

    @property
    def region(self) -> tuple[slice, ...]:
        """Index of the block in an array."""
        return tuple(map(slice, self.start, self.stop))

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    def split(self, axis: int) -> tuple["Block", "Block"]:
        """The two halves along an axis."""
        middle = (self.start[axis] + self.stop[axis]) // 2
        first, second = list(self.stop), list(self.start)
        first[axis] = second[axis] = middle
        return Block.of(self.start, first), Block.of(second, self.stop)

    def common(self, other: "Block") -> "Block":
        """The part that is in another block, too."""
        return Block.of(
            list(map(max, self.start, other.start)), list(map(min, self.stop, other.stop))
        )

    def within(self, other: "Block") -> tuple[slice, ...]:
        """The block as an index of another one that holds it."""
        return tuple(
            slice(a - first, b - first)
            for a, b, first in zip(self.start, self.stop, other.start, strict=True)
        )


@dataclass(frozen=True)
class Grid:
    """Division of an array of shape (c, z, y, x).

    Parameters
    ----------
    shape : tuple of int
        Shape of the array
    chunks : tuple of int
        Shape of a chunk
    shards : tuple of int or None
        Shape of a shard, whole chunks; None where chunks are stored one by one
    block : tuple of int
        Shape of a block, whole shards or chunks
    """

    shape: Shape
    chunks: Shape
    shards: Shape | None
    block: Shape

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of blocks along each axis."""
        return tuple(-(-n // b) for n, b in zip(self.shape, self.block, strict=True))

    @property
    def num_blocks(self) -> int:
        """Number of blocks."""
        return math.prod(self.counts)

    @property
    def piece(self) -> Shape:
        """Shape of a chunk or shard that is stored as one object."""
        return self.shards or self.chunks

    @property
    def num_pieces(self) -> int:
        """Number of chunks or shards of a whole block."""
        return math.prod(-(-b // p) for b, p in zip(self.block, self.piece, strict=True))

    def block_at(self, number: int) -> Block:
        """Return a block by its number; the last axis varies fastest."""
        index = np.unravel_index(number, self.counts)
        start = [int(i) * b for i, b in zip(index, self.block, strict=True)]
        stop = [min(a + b, n) for a, b, n in zip(start, self.block, self.shape, strict=True)]
        return Block.of(start, stop)

    def pieces(self, number: int) -> list[tuple[int, ...]]:
        """List the indices of the chunks or shards of a block."""
        block = self.block_at(number)
        return list(product(*_ranges(block.start, block.stop, self.piece)))

    def touched(self, start: Sequence[int], stop: Sequence[int]) -> Iterator[int]:
        """Yield the numbers of the blocks that hold a part of a region."""
        for index in product(*_ranges(start, stop, self.block)):
            yield int(np.ravel_multi_index(index, self.counts))


class BlockReader(Protocol):
    """An array that is read a block at a time."""

    @property
    def grid(self) -> Grid:
        """Division of the array into blocks, chunks and shards."""

    def read(self, block: Block) -> NDArray:
        """Read a block of any size and place."""


@dataclass(frozen=True)
class Division:
    """Requested sizes of chunks and shards.

    Parameters
    ----------
    chunks, shards : tuple of int or None
        Sizes along (c, z, y, x); None for chunks of whole frames, and for no shards
    is_far : bool, optional
        Whether each chunk costs readers a request
    block_bytes : int, optional
        About how large blocks are, if whole chunks and frames are not larger
    """

    chunks: Shape | None = None
    shards: Shape | None = None
    is_far: bool = False
    block_bytes: int = field(default_factory=lambda: _BLOCK_BYTES)

    @classmethod
    def of(cls, chunks: Any, shards: Any, *, is_far: bool = False) -> "Division":
        """Read the arguments `chunks` and `shards`.

        Raises
        ------
        TypeError
            When a size is no integer
        ValueError
            When there are not one, two or four sizes, or a size is not positive
        """
        return cls(_sizes("chunks", chunks), _sizes("shards", shards), is_far)

    def grid(self, shape: Shape, itemsize: int, unit: Shape) -> Grid:
        """Divide an array.

        Parameters
        ----------
        shape : tuple of int
            Shape of the array
        itemsize : int
            Number of bytes of an element
        unit : tuple of int
            Shape of the part that is decoded together: a frame

        Raises
        ------
        ValueError
            When shards are not whole multiples of chunks
        """
        wanted = self.chunks or self._default(shape, itemsize, unit)
        chunks = _shape(map(min, wanted, shape))
        shards = None
        if self.shards is not None:
            if any(s % c for s, c in zip(self.shards, wanted, strict=True)):
                raise ArgumentValueError(
                    f"shards: {self.shards} is not a whole multiple of chunks of {wanted}"
                )
            # Shards that are larger than the array are reduced to the chunks that it has
            shards = _shape(
                c * min(s // w, -(-n // c))
                for s, w, c, n in zip(self.shards, wanted, chunks, shape, strict=True)
            )
        block = _block(shards or chunks, shape, self.block_bytes / itemsize, unit)
        return Grid(shape, chunks, shards, block)

    def _default(self, shape: Shape, itemsize: int, unit: Shape) -> Shape:
        """Choose the chunks, of whole frames; those in shards are small wherever they are."""
        if not self.is_far or self.shards is not None:
            return 1, 1, _whole_frames(unit[2], _CHUNK_SIDE), _whole_frames(unit[3], _CHUNK_SIDE)
        rows, columns = (_whole_frames(tile, _FAR_CHUNK_SIDE) for tile in unit[2:])
        together = min(_FAR_CHUNK_BYTES // (rows * columns * itemsize), shape[0])
        # Samples of a pixel stay together
        return max(together - together % unit[0], unit[0]), 1, rows, columns


def _ranges(start: Sequence[int], stop: Sequence[int], size: Shape) -> list[range]:
    """Compute the indices along each axis of the cells of a grid that hold a part of a region."""
    return [range(a // n, -(-b // n)) for a, b, n in zip(start, stop, size, strict=True)]


def _block(piece: Shape, shape: Shape, elements: float, unit: Shape) -> Shape:
    """Choose the blocks: whole pieces and, if that is reasonable, whole frames."""
    base = []
    for size, whole in zip(piece, unit, strict=True):
        together = math.lcm(size, whole)
        base.append(together if together <= _MAX_ENLARGEMENT * max(size, whole) else size)
    # A block has all samples of a pixel, as they are decoded together
    base[0] = math.lcm(piece[0], unit[0])
    count = max(int((elements / math.prod(base)) ** 0.5), 1)
    wanted = (base[0], base[1], base[2] * count, base[3] * count)
    return _shape(map(min, wanted, shape))


def _whole_frames(tile: int, side: int) -> int:
    """Choose a length of chunks close to a side: whole frames, or an even part of a large one."""
    if tile <= _LARGEST_CHUNK_SIDE:
        return max(round(side / tile), 1) * tile
    parts = [n for n in range(2, tile) if tile % n == 0 and tile // n >= side // 2]
    return tile // min(parts, key=lambda n: abs(tile // n - side), default=1)


def _sizes(name: str, value: Any) -> Shape | None:
    if value is None:
        return None
    given = value if isinstance(value, (tuple, list)) else (value,)
    if isinstance(value, (str, bytes)):
        raise ArgumentTypeError(f"{name}: expected sizes, got {value!r}")
    sizes = [integer(name, size) for size in given]
    if any(size < 1 for size in sizes):
        raise ArgumentValueError(f"{name}: sizes must be positive, got {value!r}")
    if len(sizes) == 1:
        sizes = [1, 1, *sizes, *sizes]
    elif len(sizes) == 2:
        sizes = [1, 1, *sizes]
    if len(sizes) != 4:
        raise ArgumentValueError(
            f"{name}: expected one size, (rows, columns) or (c, z, y, x), got {value!r}"
        )
    return _shape(sizes)


def _shape(values: Any) -> Shape:
    c, z, y, x = values
    return c, z, y, x
