"""A large slide, made quickly: its frames are those of a small one, many times over."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import JPEGBaseline8Bit

from dicomslide.testing import write_slide

__all__ = ["LargeSlide", "write_large_slide"]

TILE = 256
SMALL = 8
COPIES = 5
GRID = SMALL * COPIES


@dataclass(frozen=True)
class LargeSlide:
    """One level of 40 x 40 JPEG frames of 256 x 256 pixels, without a colour profile."""

    path: Path
    study_instance_uid: str
    frames: list[bytes]

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def paths(self) -> tuple[Path]:
        return (self.path,)

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.path.stat().st_size

    def frame_bytes(self, rows: range, columns: range) -> int:
        """Bytes of the frames in a part of the grid of frames, with their item headers."""
        return sum(
            8 + (len(self.frames[row * GRID + column]) + 1) // 2 * 2
            for row in rows
            for column in columns
        )


def write_large_slide(
    folder: Path, table: Literal["basic", "extended", "empty"] = "basic"
) -> LargeSlide:
    """Write a slide of about 30 MB, with one of the kinds of offset tables."""
    side = SMALL * TILE
    small = write_slide(
        folder / "small",
        size=(side, side),
        tile=(TILE, TILE),
        factors=(1,),
        transfer_syntax=JPEGBaseline8Bit,
        icc_profile=False,
        label=False,
        overview=False,
        quality=94,
        accession_number=f"large {table}",
    )
    dataset = pydicom.dcmread(small.paths[0])
    own = list(generate_frames(dataset.PixelData, number_of_frames=SMALL**2))
    index: NDArray[np.int64] = np.tile(np.arange(SMALL**2).reshape(SMALL, SMALL), (COPIES, COPIES))
    frames = [own[number] for number in index.ravel()]
    dataset.TotalPixelMatrixRows = dataset.TotalPixelMatrixColumns = GRID * TILE
    dataset.NumberOfFrames = len(frames)
    if table == "extended":
        values = encapsulate_extended(frames)
        dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = values
    else:
        dataset.PixelData = encapsulate(frames, has_bot=table == "basic")
    path = folder / "large" / "level-0.dcm"
    path.parent.mkdir()
    dataset.save_as(path)
    return LargeSlide(path, small.study_instance_uid, frames)
