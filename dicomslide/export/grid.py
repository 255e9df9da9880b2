"""How the arrays of a store are divided into chunks, shards, and the blocks of one task."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from dicomslide.arguments import integer
from dicomslide.errors import ArgumentTypeError, ArgumentValueError

__all__ = ["Block", "Division", "Grid", "Shape"]

# Readers fetch a screenful in a few requests, and a chunk still compresses well
_CHUNK_SIDE = 512
# A larger frame is cut into chunks, where it can be cut evenly
_LARGEST_CHUNK_SIDE = 1024
_BLOCK_BYTES = 16 * 2**20
# Blocks of whole frames and whole chunks are worth it only where they are not much larger
_MAX_ENLARGEMENT = 4

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Block:
    """A part of an array that one task writes: whole chunks or shards.

    Parameters
    ----------
    start, stop : tuple of int
        First indices along (c, z, y, x), and those after the last ones
    """

    start: Shape
    stop: Shape

    @classmethod
    def of(cls, start: Sequence[int], stop: Sequence[int]) -> "Block":
        """A block of four first indices and four last ones."""
        return cls(_shape(start), _shape(stop))

    @property
    def region(self) -> tuple[slice, ...]:
        """The block as an index."""
        return tuple(map(slice, self.start, self.stop))

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))


@dataclass(frozen=True)
class Grid:
    """How one array of shape (c, z, y, x) is divided.

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
        """Shape of what is stored as one object."""
        return self.shards or self.chunks

    @property
    def num_pieces(self) -> int:
        """Number of chunks or shards of a whole block."""
        return math.prod(-(-b // p) for b, p in zip(self.block, self.piece, strict=True))

    def block_at(self, number: int) -> Block:
        """A block by its number: the last axis runs fastest."""
        index = np.unravel_index(number, self.counts)
        start = [int(i) * b for i, b in zip(index, self.block, strict=True)]
        stop = [min(a + b, n) for a, b, n in zip(start, self.block, self.shape, strict=True)]
        return Block.of(start, stop)

    def pieces(self, number: int) -> list[tuple[int, ...]]:
        """Indices of the chunks or shards of a block."""
        block = self.block_at(number)
        return list(product(*_ranges(block.start, block.stop, self.piece)))

    def touched(self, start: Sequence[int], stop: Sequence[int]) -> Iterator[int]:
        """Numbers of the blocks that hold a part of a region."""
        for index in product(*_ranges(start, stop, self.block)):
            yield int(np.ravel_multi_index(index, self.counts))


@dataclass(frozen=True)
class Division:
    """The sizes of chunks and shards that were asked for.

    Parameters
    ----------
    chunks, shards : tuple of int or None
        Sizes along (c, z, y, x); None for chunks of whole frames, and for no shards
    """

    chunks: Shape | None = None
    shards: Shape | None = None

    @classmethod
    def of(cls, chunks: Any, shards: Any) -> "Division":
        """Read the arguments `chunks` and `shards`.

        Raises
        ------
        TypeError
            When a size is no integer
        ValueError
            When there are not one, two or four sizes, or a size is not positive
        """
        return cls(_sizes("chunks", chunks), _sizes("shards", shards))

    def grid(self, shape: Shape, itemsize: int, unit: Shape) -> Grid:
        """Divide an array.

        Parameters
        ----------
        shape : tuple of int
            Shape of the array
        itemsize : int
            Bytes of an element
        unit : tuple of int
            What is decoded together: the samples, rows and columns of a frame

        Raises
        ------
        ValueError
            When shards are no whole number of chunks
        """
        wanted = self.chunks or (1, 1, _whole_frames(unit[2]), _whole_frames(unit[3]))
        chunks = _shape(map(min, wanted, shape))
        shards = None
        if self.shards is not None:
            if any(s % c for s, c in zip(self.shards, wanted, strict=True)):
                raise ArgumentValueError(
                    f"shards: {self.shards} is no whole number of chunks of {wanted}"
                )
            # A shard that is larger than the array is cut to the chunks that there are
            shards = _shape(
                c * min(s // w, -(-n // c))
                for s, w, c, n in zip(self.shards, wanted, chunks, shape, strict=True)
            )
        block = _block(shards or chunks, shape, itemsize, unit)
        return Grid(shape, chunks, shards, block)


def _ranges(start: Sequence[int], stop: Sequence[int], size: Shape) -> list[range]:
    """Indices, along each axis, of the cells of a grid that hold a part of a region."""
    return [range(a // n, -(-b // n)) for a, b, n in zip(start, stop, size, strict=True)]


def _block(piece: Shape, shape: Shape, itemsize: int, unit: Shape) -> Shape:
    """Choose the blocks: whole pieces and, if that is reasonable, whole frames."""
    base = []
    for size, whole in zip(piece, unit, strict=True):
        together = math.lcm(size, whole)
        base.append(together if together <= _MAX_ENLARGEMENT * max(size, whole) else size)
    # All samples of a pixel come out of one frame
    base[0] = math.lcm(piece[0], unit[0])
    count = max(int((_BLOCK_BYTES / (math.prod(base) * itemsize)) ** 0.5), 1)
    wanted = (base[0], base[1], base[2] * count, base[3] * count)
    return _shape(map(min, wanted, shape))


def _whole_frames(tile: int) -> int:
    """A whole number of frames that is close to the wanted size, or an even part of a large one."""
    if tile <= _LARGEST_CHUNK_SIDE:
        return max(round(_CHUNK_SIDE / tile), 1) * tile
    parts = [n for n in range(2, tile) if tile % n == 0 and tile // n >= _CHUNK_SIDE // 2]
    return tile // min(parts, key=lambda n: abs(tile // n - _CHUNK_SIDE), default=1)


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
