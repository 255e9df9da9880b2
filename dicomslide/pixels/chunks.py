"""Dask arrays of lazy arrays: sizes of their chunks, and their graph."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import dask
import numpy as np
from dask.system import CPU_COUNT
from numpy.typing import NDArray

from dicomslide.arguments import integer
from dicomslide.errors import ArgumentTypeError, ArgumentValueError

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Chunks", "as_dask", "chunk_sizes", "fewer_chunks"]

Chunks = Literal["frames", "auto"] | int | tuple[int, ...]

# Sizes of chunks: below the first one, tasks cost more than their pixels; above the second one,
# larger chunks are not faster, except for remote sources up to one full request, or the third one
_LEAST_BYTES, _MOST_BYTES, _MOST_REMOTE_BYTES = 2 * 2**20, 16 * 2**20, 64 * 2**20
# Least number of chunks for each thread, so that no thread idles at the end
_CHUNKS_PER_THREAD = 4
# A chunk may take one part in so many of the memory of its thread, as reductions convert pixels to
# wider types and hold several results
_MEMORY_PARTS = 64
# Dask makes a key for each chunk, even for those not computed: these take 0.7 GB and 10 seconds
_MOST_CHUNKS = 2**22
_CONTROL_GROUPS = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"


class LazyArray(Protocol):
    """Array that is read when it is indexed, by integers and slices."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""

    @property
    def dtype(self) -> np.dtype:
        """Data type."""

    def __getitem__(self, key: Any) -> NDArray:
        """Read the selected part."""


def as_dask(array: LazyArray, name: str, sizes: tuple[int, ...]) -> da.Array:
    """Make a dask array with chunks of given sizes.

    The graph holds `array` once, whatever the number of chunks, and a worker of a cluster receives
    it once. Dask fuses slices into the tasks that read: of a sliced chunk only the frames that the
    slice touches are read.

    Parameters
    ----------
    array : LazyArray
        Lazy array that can be pickled
    name : str
        Name that is equal for equal pixels, to which the sizes are added
    sizes : tuple of int
        Length of a chunk along each dimension
    """
    import dask.array as da

    return da.from_array(
        array,
        chunks=sizes,
        name="-".join([name, *map(str, sizes)]),
        meta=np.empty((0,) * len(sizes), array.dtype),
    )


def chunk_sizes(
    chunks: Chunks,
    shape: Sequence[int],
    tile_shape: Sequence[int],
    dtype: np.dtype,
    request: int = 0,
) -> tuple[int, int, int]:
    """Choose the size of chunks as whole multiples of frames.

    Parameters
    ----------
    chunks : {"frames", "auto"}, int or tuple of int
        ``"frames"`` for one frame; ``"auto"`` for squares of 2, 4, 8, ... frames a side, as large
        as is fast for this machine, the source and the matrix; or the wanted (rows, columns), or
        one number for both, which are rounded to whole frames; -1 stands for the whole axis
    shape, tile_shape : sequence of int
        Rows, columns and samples of the matrix and of a tile
    dtype : numpy.dtype
        Data type of the pixels
    request : int, optional
        Number of frames that a remote source best delivers at once; 0 for a local one

    Returns
    -------
    tuple of int
        Rows, columns and samples of a chunk

    Raises
    ------
    TypeError
        When a size is no integer
    ValueError
        When `chunks` is none of these
    """
    if isinstance(chunks, str):
        if chunks not in ("frames", "auto"):
            raise ArgumentValueError(f'chunks: expected "frames", "auto" or sizes, got {chunks!r}')
        grid = tuple(-(-shape[i] // tile_shape[i]) for i in range(2))
        frame_bytes = math.prod(tile_shape) * dtype.itemsize
        side = _auto_side(grid, frame_bytes, request) if chunks == "auto" else 1
        wanted = [side * size for size in tile_shape[:2]]
    else:
        wanted = [shape[i] if size == -1 else size for i, size in enumerate(_rows_columns(chunks))]
    rows, columns = map(_whole_frames, wanted, tile_shape[:2], shape[:2])
    if chunks == "auto":
        rows, columns = fewer_chunks(shape, (rows, columns))
    return rows, columns, shape[2]


def fewer_chunks(shape: Sequence[int], sizes: Sequence[int], planes: int = 1) -> tuple[int, int]:
    """Double the size of chunks until dask can hold their number.

    Parameters
    ----------
    shape, sizes : sequence of int
        Rows and columns of the matrix and of a chunk
    planes : int, optional
        Number of matrices in one array

    Returns
    -------
    tuple of int
        Rows and columns of a chunk, unchanged where they are large enough
    """
    (height, width), (rows, columns) = shape[:2], sizes[:2]
    while planes * -(-height // rows) * -(-width // columns) > _MOST_CHUNKS:
        if (rows, columns) == (height, width):
            break
        rows, columns = min(2 * rows, height), min(2 * columns, width)
    return rows, columns


def _auto_side(grid: tuple[int, ...], frame_bytes: int, request: int) -> int:
    """Choose the number of frames along a side of a chunk, as a power of two."""
    threads = dask.config.get("num_workers", None) or CPU_COUNT
    most = min(max(request * frame_bytes, _MOST_BYTES), _MOST_REMOTE_BYTES)
    most = min(most, _memory() // threads // _MEMORY_PARTS)

    def frames(side: int) -> int:
        return min(side, grid[0]) * min(side, grid[1])

    side = 1
    while side < max(grid):
        larger = 2 * side
        count = math.prod(-(-length // larger) for length in grid)
        enough = count >= _CHUNKS_PER_THREAD * threads
        small = frames(side) * frame_bytes < _LEAST_BYTES
        if frames(larger) * frame_bytes > most or not (enough or small):
            break
        side = larger
    return side


def _memory() -> int:
    """Return the number of bytes of memory that this process may use, as the system tells."""
    limits = [2**40]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _CONTROL_GROUPS:
        try:
            limits.append(int(Path(path).read_text(encoding="ascii")))
        except (OSError, ValueError):
            # The system has no control groups of this kind, or sets no limit in them
            continue
    return min(limits)


def _whole_frames(wanted: int, tile: int, size: int) -> int:
    return size if wanted >= size else min(max(round(wanted / tile), 1) * tile, size)


def _rows_columns(chunks: int | tuple[int, ...]) -> tuple[int, int]:
    if not isinstance(chunks, Sequence | Integral):
        raise ArgumentTypeError(
            f'chunks: expected "frames", "auto", an integer or (rows, columns), got {chunks!r}'
        )
    given = chunks if isinstance(chunks, Sequence) else (chunks, chunks)
    if len(given) not in (2, 3):
        raise ArgumentValueError(f"chunks: expected (rows, columns), got {chunks!r}")
    rows, columns = (integer("chunks", size) for size in given[:2])
    if any(size < 1 and size != -1 for size in (rows, columns)):
        raise ArgumentValueError(f"chunks: sizes must be positive or -1, got {chunks!r}")
    return rows, columns
