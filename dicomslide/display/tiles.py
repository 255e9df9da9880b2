"""Any part of a slide as a picture, at any distance."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dicomslide.display.bands import Groups, choose_windows, find_bands, levels_of, read_bands
from dicomslide.display.composite import light_of, mix_light
from dicomslide.display.overlay import lay_over
from dicomslide.display.raster import Grid
from dicomslide.errors import ArgumentValueError
from dicomslide.metadata.colors import MOST_SHOWN
from dicomslide.tree.schema import IMAGE, SEGMENTATION

__all__ = ["Picture", "Shown"]

_SAMPLES = 3


@dataclass(frozen=True)
class Shown:
    """A band of a picture as somebody wants to see it.

    Parameters
    ----------
    index : int
        Which one
    color : str, optional
        Six hexadecimal digits; its own by default
    window : tuple of float, optional
        Smallest and largest value that are shown; its own by default
    opacity : float, optional
        How much of what is below a segment hides, from 0 to 1
    """

    index: int
    color: str | None = None
    window: tuple[float, float] | None = None
    opacity: float = 0.5


class Picture:
    """The optical paths of a slide as one picture, of which any part can be drawn.

    Parameters
    ----------
    groups : mapping
        Nodes of the tree of a slide, by their paths: those of ``Slide.to_groups(chunks=None)`` read
        the frames that a part touches with one call

    Raises
    ------
    ArgumentValueError
        When there is no level with an image
    """

    def __init__(self, groups: Groups) -> None:
        levels = levels_of(groups)
        self.channels = find_bands(levels, IMAGE)
        self.segments = find_bands(levels, SEGMENTATION)
        if not self.channels:
            raise ArgumentValueError("slide_or_tree: there are no optical paths")

    @property
    def grid(self) -> Grid:
        """Pixels of the base level."""
        return self.channels[0].finest.grid

    @property
    def planes(self) -> tuple[float, ...]:
        """Focal planes in millimetres."""
        return self.channels[0].finest.planes

    @property
    def is_color(self) -> bool:
        """Whether the first optical path has colours of its own; then it is shown alone."""
        return self.channels[0].is_color

    @property
    def background(self) -> int:
        """Brightness beside the slide: white for colours, black for light."""
        return 255 if self.is_color else 0

    @cached_property
    def windows(self) -> tuple[tuple[float, float], ...]:
        """Smallest and largest value of each channel that are shown unless others are wanted."""
        return choose_windows(self.channels)

    def plane_at(self, height: float) -> int:
        """Find the focal plane that is nearest to a height in millimetres."""
        return self.channels[0].finest.plane_at(height)

    @property
    def shown_at_first(self) -> tuple[Shown, ...]:
        """The channels that are shown unless others are wanted: the first eight, or the colours."""
        if self.is_color:
            return (Shown(0),)
        alike = [index for index, band in enumerate(self.channels) if not band.is_color]
        return tuple(map(Shown, alike[:MOST_SHOWN]))

    def render(
        self,
        grid: Grid,
        channels: Sequence[Shown] | None = None,
        plane: int | None = None,
        segments: Sequence[Shown] = (),
    ) -> NDArray[np.uint8]:
        """Draw a part.

        Parameters
        ----------
        grid : Grid
            Its pixels, such as ``picture.grid.reduced(power).part(offset, size)``. Where there is
            no level of this distance they are averages of those of the next larger one
        channels : sequence of Shown, optional
            What is shown, by default the first eight of one sample, added, or the first of colours
        plane : int, optional
            Index of a focal plane of `planes`, by default the middle one; levels that lack it show
            the nearest one
        segments : sequence of Shown, optional
            Segments to lay over it, the last one on top

        Returns
        -------
        numpy.ndarray
            Red, green and blue, shape (rows, columns, 3)

        Raises
        ------
        UnsupportedError
            When too many pixels would have to be read
        """
        height = self.planes[len(self.planes) // 2 if plane is None else plane]
        shown = self.shown_at_first if channels is None else channels
        picture = self._draw(grid, shown, height)
        values = read_bands([self.segments[item.index] for item in segments], grid, height)
        for item, found in zip(segments, values, strict=True):
            color = item.color or self.segments[item.index].display.color
            amount = np.where(found.inside, found.pixels[..., 0], 0)
            picture = lay_over(picture, amount, color, item.opacity)
        return picture

    def _draw(self, grid: Grid, shown: Sequence[Shown], height: float) -> NDArray[np.uint8]:
        colors, lights = [], []
        values = read_bands([self.channels[item.index] for item in shown], grid, height)
        for item, (pixels, inside) in zip(shown, values, strict=True):
            band = self.channels[item.index]
            light = light_of(
                pixels, item.window or self.windows[item.index], band.display.is_inverted
            )
            light[~inside] = self.background
            if band.is_color:
                return light
            lights.append(light[..., 0])
            colors.append(item.color or band.display.color)
        if not lights:
            return np.full((*grid.size, _SAMPLES), self.background, np.uint8)
        return mix_light(lights, colors)
