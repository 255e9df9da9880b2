"""Encoding of an array as frames, as dask computes it, in bounded memory.

Chunks are computed a part of the array at a time, in the order of its rows, by the scheduler of
dask that is in use. Tasks return encoded frames, and no more of these are waited for at a time than
fit into a bound.
"""

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from dicomslide.writing.part10 import Spool
from dicomslide.writing.tiles import Form, TileEncoder

__all__ = ["Places", "encode_frames", "joined_bits"]

# Bytes of the frames, before compression, that are computed together
_TOGETHER = 64 << 20

Places = NDArray[np.int64]
"""Offset and length of each frame by layer, row and column of tiles; -1 for an empty frame."""


def encode_frames(
    pixels: da.Array, form: Form, tile: tuple[int, int], spool: Spool, keep_empty: bool
) -> Places:
    """Encode an array as frames, and add them to a spool.

    Parameters
    ----------
    pixels : dask.array.Array
        Array of shape (rows, columns) or (layers, rows, columns)
    form : Form
        Form of the stored values
    tile : tuple of int
        Rows and columns of a frame
    spool : Spool
        Spool, to which frames are added in the order in which they come
    keep_empty : bool
        Whether frames that show nothing have bytes, too

    Returns
    -------
    numpy.ndarray
        Places of the frames in the spool: see `Places`
    """
    encoder = TileEncoder(form, tile)
    sides = [_side(sizes, length) for sizes, length in zip(pixels.chunks[-2:], tile, strict=True)]
    # An axis of one layer, or a slice of the result, would be one more step of each task, which
    # takes as long as encoding
    layers = {0: -1 if form.is_joined else 1} if pixels.ndim == 3 else {}
    pixels = pixels.rechunk({**layers, pixels.ndim - 2: sides[0], pixels.ndim - 1: sides[1]})
    encoded = pixels.map_blocks(
        encoder,
        dtype=object,
        chunks=tuple((1,) * count for count in pixels.numblocks),
        meta=np.empty((0,) * pixels.ndim, object),
    )
    shape = (form.count, *(-(-n // t) for n, t in zip(pixels.shape[-2:], tile, strict=True)))
    places = np.full((*shape, 2), -1, np.int64)
    per_block = [side // length for side, length in zip(sides, tile, strict=True)]
    for rows, columns in _parts(pixels, form):
        found = np.asarray(encoded.blocks[..., rows, columns].compute())
        found = found.reshape(-1, *found.shape[-2:])
        for index in product(*map(range, found.shape)):
            row, column = rows.start + index[1], columns.start + index[2]
            first = row * per_block[0], column * per_block[1]
            _add(found[index], places[index[0] :], first, spool)
            # Frames that are in the spool are not kept
            found[index] = None
    if keep_empty:
        empty = places[..., 1] < 0
        if empty.any():
            places[empty] = spool.add(encoder.encode(np.empty((0, 0))))
    return places


def _add(
    layers: list[list[list[bytes | None]]], places: Places, first: tuple[int, int], spool: Spool
) -> None:
    for layer, frames in enumerate(layers):
        for row, line in enumerate(frames, first[0]):
            for column, frame in enumerate(line, first[1]):
                if frame is not None:
                    places[layer, row, column] = spool.add(frame)


def _side(chunks: tuple[int, ...], tile: int) -> int:
    """Choose the rows or columns of a block: whole tiles, as many as cover a chunk."""
    return -(-max(chunks) // tile) * tile


def _parts(pixels: da.Array, form: Form) -> Iterator[tuple[slice, slice]]:
    """Divide blocks into parts that are computed together, in the order of rows."""
    block = math.prod(sizes[0] for sizes in pixels.chunks[-2:])
    stored = form.pixel_format
    bytes_of_block = block * form.count * stored.samples * stored.bits_allocated // 8 + 1
    most = max(_TOGETHER // bytes_of_block, 1)
    rows, columns = pixels.numblocks[-2:]
    high, wide = max(most // columns, 1), min(most, columns)
    for row, column in product(range(0, rows, high), range(0, columns, wide)):
        yield slice(row, min(row + high, rows)), slice(column, min(column + wide, columns))


def joined_bits(frames: Iterator[bytes], length: int) -> Iterator[bytes]:
    """Pack frames of single bits without gaps, as native pixels are (PS3.5 8.2)."""
    rest: NDArray[Any] = np.empty(0, np.uint8)
    for frame in frames:
        bits = np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little", count=length)
        bits = np.concatenate([rest, bits])
        whole = len(bits) // 8 * 8
        yield np.packbits(bits[:whole], bitorder="little").tobytes()
        rest = bits[whole:]
    yield np.packbits(rest, bitorder="little").tobytes()
