"""Sizes of the chunks of the variables of a tree."""

import math
from collections.abc import Mapping, Sequence
from typing import cast

from dask.utils import parse_bytes

from dicomslide.arguments import integer
from dicomslide.errors import ArgumentValueError
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.chunks import Chunks

__all__ = ["TreeChunks", "chunks_like", "other_sizes", "rows_and_columns"]

TreeChunks = Chunks | str | Mapping[str, int | str | None] | None
"""Sizes as for `TotalPixelMatrix.to_dask`, bytes such as "64MiB", or a size for each dimension."""


def chunks_like(chunks: TreeChunks, array: FrameArray) -> TreeChunks:
    """Replace sizes in bytes by the rows and columns for one array, for use with all arrays."""
    named = dict(chunks) if isinstance(chunks, Mapping) else {}
    by_bytes = isinstance(chunks, str) and chunks != "frames"
    if not by_bytes and not any(isinstance(named.get(name), str) for name in "yx"):
        return chunks
    return named | dict(zip("yx", rows_and_columns(chunks, array), strict=True))


def rows_and_columns(
    chunks: TreeChunks, array: FrameArray, dims: Sequence[str] = ("y", "x")
) -> tuple[int, int]:
    """Compute the rows and columns of a chunk, as whole frames.

    Parameters
    ----------
    chunks : {"frames", "auto"}, size in words, mapping, int or tuple of int
        Sizes, or sizes by dimension. In a mapping, ``"auto"`` or a size in words such as
        ``"64MiB"`` is the size of the whole chunk, to which the dimension is extended; dimensions
        that are not named have one frame
    array : FrameArray
        Array of (rows, columns, samples)
    dims : sequence of str
        Names of rows and columns

    Raises
    ------
    ArgumentValueError
        When a size is invalid
    """
    if isinstance(chunks, str) and chunks not in ("frames", "auto"):
        chunks = dict.fromkeys(dims, chunks)
    if isinstance(chunks, Mapping):
        wanted = [chunks.get(name) for name in dims]
        chunks = "auto" if wanted == ["auto", "auto"] else _in_pixels(wanted, array)
    rows, columns, _ = array.chunk_sizes(cast("Chunks", chunks))
    return rows, columns


def _in_pixels(wanted: Sequence[int | str | None], array: FrameArray) -> tuple[int, int]:
    """Replace sizes in words by the number of pixels, in whole frames, that they hold."""
    shape, tile = array.shape[:2], array.tile_shape[:2]
    # A size of one pixel stands for one frame, as sizes are rounded up to whole frames
    given = [1 if size is None or isinstance(size, str) else size for size in wanted]
    sizes = list(array.chunk_sizes(tuple(given))[:2])
    free = [axis for axis in range(2) if isinstance(wanted[axis], str)]
    if free:
        pixels = _most_pixels({str(wanted[axis]) for axis in free}, array)
        side = math.isqrt(pixels // math.prod(tile))
        for axis in free:
            sizes[axis] = min(side * tile[axis], shape[axis])
        for axis in free:
            other = 1 - axis
            if other not in free or sizes[other] == shape[other]:
                sizes[axis] = min(pixels // sizes[other], shape[axis])
        for axis in free:
            if sizes[axis] < shape[axis]:
                sizes[axis] = max(sizes[axis] // tile[axis], 1) * tile[axis]
    return sizes[0], sizes[1]


def _most_pixels(sizes: set[str], array: FrameArray) -> int:
    """Compute the number of pixels of a chunk, of a size in words or of that of "auto"."""
    words = sorted(sizes - {"auto"})
    if not words:
        return math.prod(array.chunk_sizes("auto")[:2])
    if len(words) > 1:
        raise ArgumentValueError(f"chunks: expected one size of a chunk in words, got {words}")
    return _bytes_in(words[0]) // (array.shape[2] * array.dtype.itemsize)


def _bytes_in(words: str) -> int:
    try:
        found = int(parse_bytes(words))
    except (OverflowError, ValueError):
        found = 0
    if found < 1:
        raise ArgumentValueError(
            f'chunks: expected "frames", "auto", a size such as "64MiB", or sizes in pixels, got '
            f"{words!r}"
        )
    return found


def other_sizes(chunks: TreeChunks, sizes: Mapping[str, int], default: int = 1) -> tuple[int, ...]:
    """Find the lengths of a chunk along other dimensions than rows and columns.

    Parameters
    ----------
    chunks : mapping or other
        Sizes by dimension; anything else leaves the defaults
    sizes : mapping
        Lengths of the dimensions by name
    default : int, optional
        Length of a chunk along dimensions that are not named

    Raises
    ------
    ArgumentValueError
        When a length is neither positive nor -1, nor a size in words
    """
    wanted = chunks if isinstance(chunks, Mapping) else {}
    found = []
    for name, length in sizes.items():
        size = wanted.get(name)
        if isinstance(size, str) and size != "auto":
            _bytes_in(size)
        count = default if size is None or isinstance(size, str) else integer("chunks", size)
        if count < 1 and count != -1:
            raise ArgumentValueError(f"chunks: sizes must be positive or -1, got {chunks!r}")
        found.append(length if count == -1 else min(count, length))
    return tuple(found)
