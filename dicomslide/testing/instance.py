"""Plans of the instances of a synthetic slide, made before anything is written."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dicomslide.testing.geometry import Orientation
from dicomslide.testing.layout import Frame
from dicomslide.writing.pixel_format import PixelFormat

__all__ = ["Flavor", "Instance", "Part"]

Flavor = Literal["VOLUME", "LABEL", "OVERVIEW", "THUMBNAIL"]


@dataclass(frozen=True)
class Part:
    """The place of an instance in a concatenation (PS3.3 C.7.6.16.2.2.4)."""

    number: int
    total: int
    frame_offset: int


@dataclass(frozen=True)
class Instance:
    """Content of one VL Whole Slide Microscopy Image instance.

    Sizes are (rows, columns), `spacing` is (between rows, between columns) in mm, `origin` is (X,
    Y) in mm.

    Parameters
    ----------
    name : str
        Name of the image, unique on the slide; parts of a concatenation share it
    frames : sequence of Frame
        Its frames, in order
    """

    name: str
    flavor: Flavor
    size: tuple[int, int]
    tile: tuple[int, int]
    spacing: tuple[float, float]
    origin: tuple[float, float]
    orientation: Orientation
    pixel_format: PixelFormat
    frames: Sequence[Frame]
    optical_paths: tuple[int, ...] = (0,)
    focal_planes: tuple[int, ...] = (0,)
    resampled: bool = False
    part: Part | None = None

    @property
    def file_name(self) -> str:
        """Name of its file; its SOP Instance UID is made from this."""
        part = f"-part-{self.part.number}" if self.part else ""
        return f"{self.name}{part}.dcm"

    @property
    def frame_length(self) -> int:
        """Number of bytes of a frame that is not compressed."""
        stored = self.pixel_format
        return math.prod(self.tile) * stored.samples * stored.bits_allocated // 8

    @property
    def image_type(self) -> list[str]:
        """Image Type and Frame Type (PS3.3 C.8.12.4.1.1)."""
        if self.resampled:
            return ["DERIVED", "PRIMARY", self.flavor, "RESAMPLED"]
        return ["ORIGINAL", "PRIMARY", self.flavor, "NONE"]
