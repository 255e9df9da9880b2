"""Reading of windows from frames, each of which is read and decoded once for all windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomslide.pixels.color import ColorTransform
from dicomslide.pixels.frames import ImageFrames
from dicomslide.pixels.threads import ahead, for_each
from dicomslide.sources.sidebyside import AT_ONCE, side_by_side

__all__ = ["Inner", "Piece", "fill"]

# Each thread reads the frames of local sources itself, in _BATCHES batches so that all threads end
# together, or in as few as _LEAST_BATCHES so that a batch has at least _LEAST_BATCH frames
_BATCHES, _LEAST_BATCHES, _LEAST_BATCH = 16, 4, 8

# About how many encoded bytes of remote sources are on their way while others are decoded
_AHEAD_BYTES = 48 * 2**20

Inner = tuple[slice | NDArray, slice | NDArray]


class Piece(NamedTuple):
    """Part of one frame that is copied into a window."""

    frames: ImageFrames
    """Frames of the image"""
    frame: int
    """Index of the frame"""
    needed: tuple[int, int]
    """Rows and columns of the frame that lie in the matrix"""
    inner: Inner
    """Index of the pixels in the frame"""
    out: NDArray
    """Array of the window"""
    place: tuple[slice, slice]
    """Index of the pixels in the window"""
    transform: ColorTransform | None = None
    """Colour correction of the pixels"""
    label: int | None = None
    """Segment number: the window becomes True where the pixels have this value"""

    @property
    def rows(self) -> range:
        """Rows of the frame from the first to the last one that is needed."""
        rows, _ = self.inner
        if isinstance(rows, slice):
            places = range(rows.start, rows.stop, rows.step or 1)
            return range(places[0], places[-1] + 1)
        return range(int(rows.min()), int(rows.max()) + 1)

    def paste(self, pixels: NDArray) -> None:
        """Copy pixels of the decoded frame to their place in the window."""
        block = pixels[self.inner]
        if self.label is not None:
            np.equal(block, self.label, out=self.out[self.place])
        elif self.transform is not None:
            self.transform(block, out=self.out[self.place])
        else:
            self.out[self.place] = block


@dataclass(frozen=True, eq=False)
class _Needed:
    """Frames of one image that a read needs, in their order, and the pieces of each."""

    frames: ImageFrames
    pieces: dict[int, list[Piece]]
    rows: dict[int, int]
    """Rows of each frame to be decoded, from the top"""
    kept: dict[int, NDArray]
    """Frames that the cache has, decoded"""
    to_keep: frozenset[int]
    """Other frames that the cache will keep"""

    @classmethod
    def of(cls, frames: ImageFrames, pieces: dict[int, list[Piece]]) -> "_Needed":
        """Look frames up in the cache, and choose which of the others it will keep."""
        # Frames that are read by rows are not cached, as reading is as fast as copying
        room = 0 if frames.in_rows else frames.cache.room(frames.frame_bytes)
        rows = {frame: max(piece.rows.stop for piece in pieces[frame]) for frame in pieces}
        # The cache would drop the first frames again if it got more than it has room for
        to_keep = list(pieces)[-room:] if room else ()
        kept = frames.cache.get_all(pieces) if room else {}
        short = {frame for frame, pixels in kept.items() if len(pixels) < rows[frame]}
        kept = {frame: pixels for frame, pixels in kept.items() if frame not in short}
        missing = {frame: rows[frame] for frame in to_keep if frame not in kept}
        again = short & missing.keys()
        rows |= frames.cache.rows_to_keep(missing, again, frames.pixel_format.rows)
        return cls(frames, pieces, rows, kept, frozenset(missing))

    def batches(self, size: int) -> "list[_Batch]":
        """Divide the frames into batches of at most the given size."""
        frames = list(self.pieces)
        return [_Batch(self, frames[i : i + size]) for i in range(0, len(frames), size)]

    def paste(self, frame: int, data: bytes | None) -> None:
        """Read, decode or look up a frame, and paste its pieces."""
        pieces = self.pieces[frame]
        if self.frames.in_rows:
            first = min(piece.rows.start for piece in pieces)
            pixels = self.frames.read_rows(frame, range(first, self.rows[frame]))
        elif data is None:
            pixels = self.kept[frame]
        else:
            needed, count, to_keep = pieces[0].needed, self.rows[frame], frame in self.to_keep
            pixels = self.frames.decode(frame, data, needed, count, to_keep=to_keep)
        for piece in pieces:
            piece.paste(pixels)


class _Batch(NamedTuple):
    """Batch of frames of one image that are read with one call."""

    image: _Needed
    frames: list[int]

    def read(self) -> "list[_Item]":
        """Read the encoded frames of the batch; None for those in the cache or read by rows."""
        image, frames = self
        by_rows = image.frames.in_rows
        missing = [frame for frame in frames if not (by_rows or frame in image.kept)]
        encoded = dict(zip(missing, image.frames.read(missing), strict=True))
        return [(image, frame, encoded.get(frame)) for frame in frames]


_Item = tuple[_Needed, int, bytes | None]


def fill(pieces: Sequence[Piece], threads: int) -> None:
    """Read and decode the frames of pieces, each frame once, and paste the pieces.

    Frames of several images are read and decoded together. With a single thread frames are pasted
    in their order, so that of overlapping frames the later one is on top.

    Parameters
    ----------
    pieces : sequence of Piece
        Parts of frames in any order
    threads : int
        Number of threads

    Raises
    ------
    FrameError
        When a frame cannot be located or decoded
    """
    if not pieces:
        return
    images = _needed(pieces)
    sources = [image.frames.source for image in images]
    size = min(source.batch_size for source in sources)
    total = sum(len(image.pieces) for image in images)
    if total <= size or any(source.remote for source in sources):
        for items in ahead(_read_together, _rounds(images), _rounds_ahead(images)):
            for_each(_paste, items, threads)
        return
    share = total // threads
    least = min(share // _LEAST_BATCHES, _LEAST_BATCH)
    size = min(max(share // _BATCHES, least, 1), size)
    batches = [batch for image in images for batch in image.batches(size)]
    for_each(_read_and_paste, batches, threads)


def _needed(pieces: Sequence[Piece]) -> list[_Needed]:
    """Group pieces by their images and frames."""
    by_image: dict[ImageFrames, dict[int, list[Piece]]] = {}
    for piece in pieces:
        by_image.setdefault(piece.frames, {}).setdefault(piece.frame, []).append(piece)
    return [_Needed.of(frames, dict(sorted(found.items()))) for frames, found in by_image.items()]


def _rounds(images: Sequence[_Needed]) -> list[list[_Batch]]:
    """Group batches for concurrent reads, taking one of each image in turn."""
    batches = [image.batches(image.frames.source.batch_size) for image in images]
    in_turn = [batch for turn in zip_longest(*batches) for batch in turn if batch is not None]
    at_once = min(len(images), AT_ONCE)
    return [in_turn[i : i + at_once] for i in range(0, len(in_turn), at_once)]


def _rounds_ahead(images: Sequence[_Needed]) -> int:
    """Choose how many rounds are read while one is decoded, of remote sources."""
    if not any(image.frames.source.remote for image in images):
        return 1
    expected = sum(image.frames.batch_bytes for image in images[:AT_ONCE])
    return min(max(_AHEAD_BYTES // max(expected, 1), 1), AT_ONCE)


def _read_together(batches: Sequence[_Batch]) -> list[_Item]:
    remote = any(batch.image.frames.source.remote for batch in batches)
    read = side_by_side(_Batch.read, batches) if remote else map(_Batch.read, batches)
    return [item for items in read for item in items]


def _paste(item: _Item) -> None:
    image, frame, data = item
    image.paste(frame, data)


def _read_and_paste(batch: _Batch) -> None:
    for item in batch.read():
        _paste(item)
