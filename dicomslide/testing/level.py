"""Levels of a synthetic slide, and the pixels that a reader should see."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dicomslide.testing.instance import Instance
from dicomslide.testing.layout import Frame, Size
from dicomslide.testing.options import SlideOptions
from dicomslide.testing.painting.tissue import paint

__all__ = ["SyntheticLevel", "paint_frame", "paint_level"]

Pixels = npt.NDArray[Any]
Region = tuple[slice, slice]


@dataclass(frozen=True)
class SyntheticLevel:
    """A level of a synthetic slide.

    Parameters
    ----------
    index : int
        Zero-based index of the level; 0 is the base level
    factor : float
        Size of its pixels in pixels of the base level
    size : tuple of int
        Rows and columns of its total pixel matrix
    spacing : tuple of float
        Distance of its pixels (between rows, between columns) in mm
    origin : tuple of float
        X and Y in mm of its Total Pixel Matrix Origin
    instances : tuple of Instance
        Its instances, in the order of their frames
    folder : pathlib.Path
        Folder of its files
    """

    index: int
    factor: float
    size: tuple[int, int]
    spacing: tuple[float, float]
    origin: tuple[float, float]
    instances: tuple[Instance, ...] = field(repr=False)
    folder: Path
    options: SlideOptions = field(repr=False)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Its files."""
        return tuple(self.folder / instance.file_name for instance in self.instances)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Frames, in the order in which they are stored."""
        return tuple(frame for instance in self.instances for frame in instance.frames)

    def pixels(
        self, optical_path: int = 0, focal_plane: int = 0, region: Region | None = None
    ) -> Pixels:
        """Get the pixels that a reader should see, as they were before encoding.

        Parameters
        ----------
        optical_path : int, optional
            Zero-based index of the optical path
        focal_plane : int, optional
            Zero-based index of the focal plane
        region : tuple of slice, optional
            Rows and columns (as from `numpy.s_`, without steps); by default the whole matrix

        Returns
        -------
        numpy.ndarray
            Array of shape (rows, columns, samples). Where no frame is, it is white for colour and 0
            otherwise. Colours are RGB, before colour correction
        """
        offset, size = self._resolve(region)
        if self.options.sparse in ("complete", "shuffled"):
            return paint_level(self.options, self.factor, offset, size, optical_path, focal_plane)
        shape = (*size, self.options.samples)
        pixels = np.full(shape, self.options.background, self.options.pixel_format.dtype)
        for frame, start, stop in self._cover(optical_path, focal_plane, offset, size):
            extent = (stop[0] - start[0], stop[1] - start[1])
            painted = paint_level(
                self.options, self.factor, start, extent, optical_path, focal_plane
            )
            pixels[_slice(offset, start, stop)] = _shade(painted, frame.shade)
        return pixels

    def missing(
        self, optical_path: int = 0, focal_plane: int = 0, region: Region | None = None
    ) -> npt.NDArray[np.bool_]:
        """Find the pixels that no frame covers; parameters are those of `pixels`.

        Returns
        -------
        numpy.ndarray
            Array of shape (rows, columns), True where no frame is
        """
        offset, size = self._resolve(region)
        missing = np.ones(size, bool)
        for _, start, stop in self._cover(optical_path, focal_plane, offset, size):
            missing[_slice(offset, start, stop)] = False
        return missing

    def _resolve(self, region: Region | None) -> tuple[tuple[int, int], tuple[int, int]]:
        if region is None:
            return (0, 0), self.size
        ranges = [
            range(*item.indices(length)) for item, length in zip(region, self.size, strict=True)
        ]
        if any(r.step != 1 for r in ranges):
            raise ValueError(f"region is {region}, must be without steps")
        return (ranges[0].start, ranges[1].start), (len(ranges[0]), len(ranges[1]))

    def _cover(
        self, optical_path: int, focal_plane: int, offset: Size, size: Size
    ) -> Iterator[tuple[Frame, Size, Size]]:
        """Yield the frames that touch a region, and the first and the end pixel that they share."""
        bottom = min(offset[0] + size[0], self.size[0])
        right = min(offset[1] + size[1], self.size[1])
        for frame in self.frames:
            if (frame.optical_path, frame.focal_plane) != (optical_path, focal_plane):
                continue
            start = (max(offset[0], frame.row), max(offset[1], frame.column))
            stop = (
                min(bottom, frame.row + self.options.tile[0]),
                min(right, frame.column + self.options.tile[1]),
            )
            if start[0] < stop[0] and start[1] < stop[1]:
                yield frame, start, stop


def _slice(offset: Size, start: Size, stop: Size) -> Region:
    return (
        slice(start[0] - offset[0], stop[0] - offset[0]),
        slice(start[1] - offset[1], stop[1] - offset[1]),
    )


def paint_level(
    options: SlideOptions,
    factor: float,
    offset: tuple[int, int],
    size: tuple[int, int],
    optical_path: int = 0,
    focal_plane: int = 0,
) -> Pixels:
    """Paint a region of a level in the integer type that its pixels are stored in."""
    pixels = paint(
        offset,
        size,
        factor,
        base_size=options.size,
        optical_path=optical_path,
        focal_plane=focal_plane,
        samples=options.samples,
        bits=options.bits,
        signed=options.signed,
        seed=options.seed,
    )
    return pixels.astype(options.pixel_format.dtype, copy=False)


def paint_frame(
    options: SlideOptions, factor: float, size: tuple[int, int], tile: tuple[int, int], frame: Frame
) -> Pixels:
    """Paint a frame; what reaches beyond the total pixel matrix is filled with the background."""
    extent = (min(tile[0], size[0] - frame.row), min(tile[1], size[1] - frame.column))
    inside = _shade(
        paint_level(
            options,
            factor,
            (frame.row, frame.column),
            extent,
            frame.optical_path,
            frame.focal_plane,
        ),
        frame.shade,
    )
    if extent == tile:
        return inside
    pixels = np.full((*tile, options.samples), options.background, inside.dtype)
    pixels[: extent[0], : extent[1]] = inside
    return pixels


def _shade(pixels: Pixels, shade: int) -> Pixels:
    return pixels - pixels // 8 * shade if shade else pixels
