"""Instances of results: a data set without its pixels, and frames as dask computes them."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicomslide.arguments import integer_pair
from dicomslide.errors import ArgumentValueError
from dicomslide.metadata.transfer_syntaxes import TRANSFER_SYNTAXES
from dicomslide.writing.encoding import ENCODINGS, check_pixel_format
from dicomslide.writing.frames import Places, encode_frames, joined_bits
from dicomslide.writing.groups import FrameGroups
from dicomslide.writing.part10 import (
    EncodedFrames,
    NativeElement,
    check_native_length,
    encode_dataset,
    open_spool,
    write_encapsulated,
    write_native,
)
from dicomslide.writing.pixel_format import EXPLICIT_BIG_ENDIAN
from dicomslide.writing.placing import PlacedPixels
from dicomslide.writing.sources import values_of
from dicomslide.writing.tiles import Form

__all__ = ["Content", "MakeDataset", "check_tile", "check_transfer_syntax", "write_instance"]

MakeDataset = Callable[[PlacedPixels, bool, Mapping[str, Any]], Dataset]
"""Makes the data set of one frame: at the place of pixels, with TILED_FULL or not, an identity."""

_LONGEST_SIDE, _MOST_PIXELS = 2**16, 2**26
_PLANE_POSITION = 0x0048021A
_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"


@dataclass(frozen=True)
class Content:
    """Content of an instance, all but where it lies.

    Parameters
    ----------
    form : Form
        Form of the stored values
    tile : tuple of int or None
        Rows and columns of a frame; None for those of the source
    keep_empty : bool
        Whether frames that show nothing are stored
    is_full : bool
        Whether Dimension Organization Type is TILED_FULL, otherwise TILED_SPARSE
    layers : tuple of pydicom.Dataset
        Functional groups that identify each layer; empty data sets where there is one
    is_label_map : bool
        Whether values are segment numbers, of all segments in one layer
    element : str
        Keyword of the element that holds the pixels
    """

    form: Form
    tile: tuple[int, int] | None
    keep_empty: bool
    is_full: bool
    layers: tuple[Dataset, ...]
    is_label_map: bool = False
    element: NativeElement = "PixelData"

    def read_back(self) -> "Content":
        """Return the content of arrays of what was stored, as this package reads them."""
        return replace(self, form=self.form.read_back())


def check_tile(tile: Any) -> tuple[int, int] | None:
    """Check the rows and columns of a frame, or None for those of the source."""
    if tile is None:
        return None
    rows, columns = integer_pair("tile", tile)
    if not (0 < rows < _LONGEST_SIDE and 0 < columns < _LONGEST_SIDE):
        raise ArgumentValueError(f"tile: {rows} x {columns}, expected from 1 to 65535")
    if rows * columns > _MOST_PIXELS:
        raise ArgumentValueError(
            f"tile: {rows} x {columns} pixels; a frame has at most {_MOST_PIXELS}"
        )
    return rows, columns


def check_transfer_syntax(form: Form, *, may_lose: bool = False) -> None:
    """Check that values of a form can be stored in its transfer syntax.

    Parameters
    ----------
    form : Form
        Form of the stored values
    may_lose : bool, optional
        Whether they may come back with small differences

    Raises
    ------
    ArgumentValueError
        When they cannot
    """
    stored = form.pixel_format
    uid = stored.transfer_syntax
    known = {
        name: syntax
        for name, syntax in TRANSFER_SYNTAXES.items()
        if name in ENCODINGS
        and name != EXPLICIT_BIG_ENDIAN
        and (may_lose or not syntax.lossy_method)
    }
    if uid not in known:
        names = ", ".join(f"{name} ({syntax.short_name})" for name, syntax in known.items())
        kind = "that are written" if may_lose else "without loss"
        raise ArgumentValueError(f"transfer_syntax: {uid} is not one of those {kind}: {names}")
    syntax = known[uid]
    kind = f"float{stored.bits_allocated}" if stored.floating else f"{stored.bits_allocated}-bit"
    is_open = syntax.is_native or (uid == _DEFLATED_FRAMES and not stored.floating)
    if stored.floating or stored.bits_allocated == 1:
        if not is_open:
            raise ArgumentValueError(f"transfer_syntax: {syntax.name} has no {kind} pixels")
        return
    try:
        check_pixel_format(stored)
    except ValueError as error:
        raise ArgumentValueError(f"transfer_syntax: {error}") from error


def write_instance(
    path: Path,
    placed: PlacedPixels,
    content: Content,
    make_dataset: MakeDataset,
    keywords: Mapping[str, Any],
) -> Dataset:
    """Write an instance to a local file.

    Parameters
    ----------
    path : pathlib.Path
        File that is written
    placed : PlacedPixels
        Pixels
    content : Content
        What is stored of them
    make_dataset : callable
        Makes the data set of one frame at the place of the pixels, with TILED_FULL or not
    keywords : mapping
        Identity, as keywords of a class of highdicom

    Returns
    -------
    pydicom.Dataset
        The data set, without pixels and functional groups of frames
    """
    form = content.form
    tile = content.tile or placed.tile
    if content.is_full and form.pixel_format.is_native:
        tiles = [-(-side // length) for side, length in zip(placed.size, tile, strict=True)]
        check_native_length(_native_length(form, tile, form.count * math.prod(tiles)))
    dataset = make_dataset(placed, content.is_full, keywords)
    with open_spool(path.parent) as spool:
        places = encode_frames(placed.pixels, form, tile, spool, content.keep_empty)
        frames = _stored_frames(places)
        if not len(frames):
            # An image has at least one frame
            places = encode_frames(placed.pixels[..., :1, :1], form, tile, spool, keep_empty=True)
            frames = _stored_frames(places)[:1]
        encoded = spool.take(places[tuple(frames.T)])
        _complete(dataset, placed, tile, len(frames))
        if TRANSFER_SYNTAXES[form.pixel_format.transfer_syntax].lossy_method:
            _add_ratio(dataset, _native_length(form, tile, len(frames)), encoded)
        groups = () if content.is_full else _groups(dataset, placed, content, tile).items(frames)
        uid = form.pixel_format.transfer_syntax
        with path.open("wb") as file:
            if form.pixel_format.is_native:
                stream, length = _native(encoded, form, tile)
                write_native(
                    file, dataset, uid, stream, length, element=content.element, groups=groups
                )
            else:
                write_encapsulated(file, dataset, uid, encoded, groups=groups)
    return dataset


def _stored_frames(places: Places) -> NDArray[np.int64]:
    """Return layer, row and column of the frames that have bytes, in the order of TILED_FULL."""
    return np.argwhere(places[..., 1] >= 0)


def _native(
    encoded: EncodedFrames, form: Form, tile: tuple[int, int]
) -> tuple[Iterator[bytes], int]:
    length = _native_length(form, tile, len(encoded))
    if form.pixel_format.bits_allocated == 1 and math.prod(tile) % 8:
        return joined_bits(iter(encoded), math.prod(tile)), length
    return iter(encoded), length


def _native_length(form: Form, tile: tuple[int, int], count: int) -> int:
    """Compute the number of bytes of some frames without compression."""
    stored = form.pixel_format
    return -(-count * math.prod(tile) * stored.samples * stored.bits_allocated // 8)


def _add_ratio(dataset: Dataset, length: int, encoded: EncodedFrames) -> None:
    """Add the ratio of this compression to those before it (PS3.3 C.7.6.1.1.5.2)."""
    before = values_of(dataset, "LossyImageCompressionRatio")
    ratio = f"{length / int(encoded.lengths.sum()):.6g}"
    dataset.LossyImageCompressionRatio = [*before, ratio]


def _complete(
    dataset: Dataset, placed: PlacedPixels, tile: tuple[int, int], num_frames: int
) -> None:
    """Replace what depends on the size of the pixels."""
    dataset.Rows, dataset.Columns = tile
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = placed.size
    dataset.NumberOfFrames = num_frames
    for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
        if keyword in dataset:
            delattr(dataset, keyword)
    if "PerFrameFunctionalGroupsSequence" in dataset:
        del dataset.PerFrameFunctionalGroupsSequence


def _groups(
    dataset: Dataset, placed: PlacedPixels, content: Content, tile: tuple[int, int]
) -> FrameGroups:
    uid = content.form.pixel_format.transfer_syntax
    tags = [element.tag for layer in content.layers for element in layer]
    return FrameGroups(
        tile,
        placed.stated,
        tuple(int(item.DimensionIndexPointer) for item in dataset.DimensionIndexSequence),
        tuple(encode_dataset(layer, uid) for layer in content.layers),
        any(tag < _PLANE_POSITION for tag in tags),
        uid,
    )
