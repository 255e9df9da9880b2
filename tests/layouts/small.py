"""A small slide whose files are changed, and how it is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit

from dicomslide import Slide, open_slide

# A grid of 5 x 4 tiles of 16 x 24 pixels, with partial ones at both edges
SIZE, TILE, GRID = (70, 90), (16, 24), (5, 4)
JPEG = {"transfer_syntax": JPEGBaseline8Bit, "quality": 95}
SPARSE = {"organization": "TILED_SPARSE"}


def read_all(source: Any, channel: int = 0, focal_plane: int = 0, level: int = 0) -> NDArray:
    """The whole matrix of a level, as stored."""
    slide = source if isinstance(source, Slide) else open_slide(source, correct_color=False)
    size = slide.total_pixel_matrix_dimensions[level]
    return slide.get_image_region((0, 0), level, size, channel, focal_plane)


def edit(path: Path, change: Callable[[Dataset], None], to: Path | None = None) -> Path:
    """Change the data set of a file."""
    dataset = pydicom.dcmread(path)
    change(dataset)
    target = to or path
    dataset.save_as(target, enforce_file_format=True)
    return target
