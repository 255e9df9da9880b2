"""Tiles to any region: the one place that stitches frames."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from dicomslide.arguments import integer
from dicomslide.errors import ArgumentValueError, FrameError
from dicomslide.metadata.pixel_format import PixelFormat
from dicomslide.pixels.cache import FrameCache
from dicomslide.pixels.codecs import decode_frame
from dicomslide.pixels.color import ColorTransform
from dicomslide.pixels.indexing import as_slice, normalize_index, split_range
from dicomslide.pixels.threads import default_threads, for_each
from dicomslide.sources.base import FrameSource
from dicomslide.tile import Tiling

__all__ = ["Chunks", "FrameArray", "chunk_sizes"]

Chunks = Literal["frames", "auto"] | int | tuple[int, ...]

_BATCH = 256
_AUTO_CHUNK_BYTES = 16 * 2**20


class _Piece(NamedTuple):
    """The part of one frame that goes into a window."""

    frame: int
    needed: tuple[int, int]
    inner: tuple[slice, slice]
    target: NDArray


@dataclass(frozen=True, eq=False)
class FrameArray:
    """The pixels of one channel and focal plane of an image: lazy, picklable, from any thread.

    Parameters
    ----------
    source : FrameSource
        Encoded frames
    pixel_format : PixelFormat
        How they are encoded
    size : tuple of int
        Rows and columns of the total pixel matrix
    tiling : Tiling
        Where they lie
    plane : tuple of int
        Channel and focal plane, which tell arrays of one source apart
    cache : FrameCache
        Decoded frames, shared by all arrays of the image
    transform : ColorTransform, optional
        Applied to the pixels of frames
    label : int, optional
        Only for label maps: the array says where the pixels have this value
    threads : int, optional
        Threads of one read; all processors on the main thread by default, otherwise one
    """

    source: FrameSource
    pixel_format: PixelFormat
    size: tuple[int, int]
    tiling: Tiling
    plane: tuple[int, int]
    cache: FrameCache
    transform: ColorTransform | None = None
    label: int | None = None
    threads: int | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns and samples."""
        return (*self.size, self.pixel_format.shape[2])

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return 3

    @property
    def dtype(self) -> np.dtype:
        """Data type of the pixels."""
        return np.dtype(bool) if self.label is not None else self.pixel_format.dtype

    @property
    def tile_shape(self) -> tuple[int, int, int]:
        """Rows, columns and samples of a tile."""
        return self.pixel_format.shape

    @property
    def token(self) -> str:
        """A name that is the same for the same pixels, also in another process."""
        profile = self.transform and hashlib.sha256(self.transform.profile).hexdigest()
        parts = (self.source.token, self.plane, self.label, profile)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def __dask_tokenize__(self) -> str:
        return self.token

    def __getitem__(self, key: Any) -> NDArray:
        """Read pixels by a basic index, as NumPy would from the whole array."""
        (rows, columns, samples), dropped = zip(*normalize_index(key, self.shape), strict=True)
        pixels = self.read(_ascending(rows), _ascending(columns))
        pixels = pixels[:: _sign(rows), :: _sign(columns), as_slice(samples)]
        return pixels[tuple(0 if drop else slice(None) for drop in dropped)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError("the pixels have to be decoded, which is a copy")
        return np.asarray(self[...], dtype=dtype)

    def read(self, rows: range, columns: range, *, crop: bool = True) -> NDArray:
        """Read the pixels at given rows and columns.

        Only the frames that hold at least one of the pixels are read, a few hundred of them with
        one call to the source.

        Parameters
        ----------
        rows, columns : range
            Ascending indices, which may lie outside the matrix
        crop : bool
            Whether pixels of edge frames that lie outside the matrix are background

        Returns
        -------
        numpy.ndarray
            Pixels of shape (rows, columns, samples). Where there are none they are background

        Raises
        ------
        FrameError
            When a frame cannot be located or decoded
        """
        return self.read_windows([(rows, columns)], crop=crop)[0]

    def read_windows(
        self, windows: Sequence[tuple[range, range]], *, crop: bool = True
    ) -> list[NDArray]:
        """Read several windows together; see `read` for what a window is."""
        arrays = [self._canvas(rows, columns) for rows, columns in windows]
        pieces = [
            piece
            for out, (rows, columns) in zip(arrays, windows, strict=True)
            if out.size
            for piece in self._pieces(out, rows, columns, crop)
        ]
        threads = self.threads or default_threads()
        if not self.tiling.disjoint:
            # The later frame has to be laid over the earlier one
            threads = 1
        for start in range(0, len(pieces), _BATCH):
            self._fill(pieces[start : start + _BATCH], threads)
        return arrays

    def covered(self, rows: range, columns: range) -> NDArray[np.bool_]:
        """Tell which pixels of a window lie in the matrix and in a frame, shape (rows, columns)."""
        mask = np.zeros((len(rows), len(columns)), bool)
        if mask.size:
            for piece in self._pieces(mask, rows, columns, crop=True):
                piece.target[...] = True
        return mask

    def _canvas(self, rows: range, columns: range) -> NDArray:
        """Make an array for a window; of background where not all of it will be overwritten."""
        shape = (len(rows), len(columns), self.shape[2])
        inside = 0 not in shape and rows[0] >= 0 and columns[0] >= 0
        inside = inside and rows[-1] < self.size[0] and columns[-1] < self.size[1]
        if inside and self.tiling.complete:
            return np.empty(shape, self.dtype)
        background = 0 if self.label is not None else self.pixel_format.background
        return np.full(shape, background, self.dtype)

    def _pieces(self, out: NDArray, rows: range, columns: range, crop: bool) -> Iterator["_Piece"]:
        """Find the frames of a window and which of its pixels each of them holds."""
        height, width = self.tile_shape[:2]
        bottom, right = rows[-1] + 1, columns[-1] + 1
        if crop:
            bottom, right = min(bottom, self.size[0]), min(right, self.size[1])
        frames, positions = self.tiling.find(max(rows[0], 0), max(columns[0], 0), bottom, right)
        for frame, (row, column) in zip(frames, positions, strict=True):
            down = split_range(rows, max(row, 0), min(row + height, bottom))
            across = split_range(columns, max(column, 0), min(column + width, right))
            if down.start < down.stop and across.start < across.stop:
                inner_rows, inner_columns = rows[down], columns[across]
                inner = (
                    slice(inner_rows.start - row, inner_rows.stop - row, rows.step),
                    slice(inner_columns.start - column, inner_columns.stop - column, columns.step),
                )
                needed = min(height, self.size[0] - row), min(width, self.size[1] - column)
                yield _Piece(frame, needed, inner, out[down, across])

    def _fill(self, pieces: list["_Piece"], threads: int) -> None:
        kept = {piece.frame: self.cache.get(piece.frame) for piece in pieces}
        missing = [frame for frame, pixels in kept.items() if pixels is None]
        encoded = dict(zip(missing, self.source.read(missing), strict=True)) if missing else {}

        def paste(piece: _Piece) -> None:
            pixels = kept[piece.frame]
            if pixels is None:
                pixels = self._decode(piece.frame, encoded[piece.frame], piece.needed)
                self.cache.put(piece.frame, pixels)
            block = pixels[piece.inner]
            if self.label is not None:
                block = block == self.label
            elif self.transform is not None:
                block = self.transform(block)
            piece.target[...] = block

        for_each(paste, pieces, threads)

    def _decode(self, frame: int, data: bytes, needed: tuple[int, int]) -> NDArray:
        try:
            pixels = decode_frame(data, self.pixel_format, needed)
        except FrameError as error:
            raise FrameError(f"{self.source.name}: frame {frame + 1}: {error}") from error
        pixels.flags.writeable = False
        return pixels

    def to_dask(self, chunks: Chunks = "frames") -> da.Array:
        """Make a dask array of the pixels.

        Parameters
        ----------
        chunks : {"frames", "auto"}, int or tuple of int
            Size of a chunk: see `chunk_sizes`

        Returns
        -------
        dask.array.Array
            Array of shape (rows, columns, samples). Nothing is read, and the cost does not grow
            with the number of frames
        """
        sizes = chunk_sizes(chunks, self.shape, self.tile_shape, self.dtype)
        # A task shares the machine with the tasks beside it
        return da.from_array(
            replace(self, threads=1),
            chunks=sizes,
            name=f"total-pixel-matrix-{self.token}-{sizes[0]}-{sizes[1]}",
            asarray=False,
            fancy=False,
            meta=np.empty((0, 0, 0), self.dtype),
        )


def chunk_sizes(
    chunks: Chunks, shape: Sequence[int], tile_shape: Sequence[int], dtype: np.dtype
) -> tuple[int, int, int]:
    """Choose the size of chunks as whole multiples of frames.

    Parameters
    ----------
    chunks : {"frames", "auto"}, int or tuple of int
        ``"frames"`` for one frame, ``"auto"`` for about 16 MiB, or the wanted (rows, columns),
        which are rounded to whole frames; -1 stands for the whole axis
    shape, tile_shape : sequence of int
        Rows, columns and samples of the matrix and of a tile
    dtype : numpy.dtype
        Data type of the pixels

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
        frame_bytes = int(np.prod(tile_shape)) * dtype.itemsize
        # Square chunks, so that neighbours share as few frames as possible
        side = int((_AUTO_CHUNK_BYTES / frame_bytes) ** 0.5) if chunks == "auto" else 1
        wanted = [max(side, 1) * size for size in tile_shape[:2]]
    else:
        wanted = [shape[i] if size == -1 else size for i, size in enumerate(_rows_columns(chunks))]
    rows, columns = map(_whole_frames, wanted, tile_shape[:2], shape[:2])
    return rows, columns, shape[2]


def _whole_frames(wanted: int, tile: int, size: int) -> int:
    return size if wanted >= size else min(max(round(wanted / tile), 1) * tile, size)


def _rows_columns(chunks: int | tuple[int, ...]) -> tuple[int, int]:
    given = chunks if isinstance(chunks, Sequence) else (chunks, chunks)
    if len(given) not in (2, 3):
        raise ArgumentValueError(f"chunks: expected (rows, columns), got {chunks!r}")
    rows, columns = (integer("chunks", size) for size in given[:2])
    if any(size < 1 and size != -1 for size in (rows, columns)):
        raise ArgumentValueError(f"chunks: sizes must be positive or -1, got {chunks!r}")
    return rows, columns


def _ascending(indices: range) -> range:
    return indices if indices.step > 0 else indices[::-1]


def _sign(indices: range) -> int:
    return 1 if indices.step > 0 else -1
