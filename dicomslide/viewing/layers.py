"""Layers of the viewer: the slide, and masks, label maps and values over it.

Each draws tiles, with a fourth sample of opacity where it is an overlay, and tells its values.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dicomslide.display.bands import Band, choose_windows, read_bands
from dicomslide.display.composite import light_of
from dicomslide.display.raster import Grid
from dicomslide.display.tiles import Picture, Shown
from dicomslide.errors import ArgumentValueError
from dicomslide.metadata.colors import distinct_color

__all__ = ["Labels", "Layer", "Mask", "Quantity", "SlideLayer", "Wishes", "read_color"]

Wishes = Mapping[str, str]
"""Options for the display of a layer: the query of a request."""

_OPAQUE = 255
_COLOR = re.compile("[0-9A-Fa-f]{6}")
# Names that a legend has room for
_MOST_NAMES = 256
_DIGITS = 4
# Every so many colours of a palette make the legend
_STOPS = 15


class Layer(Protocol):
    """Layer of the viewer, of which tiles are drawn."""

    def describe(self) -> dict[str, Any]:
        """Describe the layer for the page."""

    def draw(self, grid: Grid, height: float, wishes: Wishes) -> NDArray[np.uint8]:
        """Draw a part, in a focal plane in millimetres: three samples, or four of an overlay."""

    def values(self, grid: Grid, height: float, wishes: Wishes) -> list[str]:
        """Tell the values of a pixel in words; none where there is nothing."""


@dataclass(frozen=True)
class SlideLayer:
    """The optical paths.

    Parameters
    ----------
    picture : Picture
        Draws them
    """

    picture: Picture

    def describe(self) -> dict[str, Any]:
        """Describe the layer for the page."""
        picture = self.picture
        shown = {item.index for item in picture.shown_at_first}
        channels = [
            {
                "name": band.name,
                "is_color": band.is_color,
                "color": band.display.color,
                "window": window,
                "limits": _limits(band, window),
                "is_shown": index in shown,
            }
            for index, (band, window) in enumerate(
                zip(picture.channels, picture.windows, strict=True)
            )
        ]
        return {"kind": "slide", "name": "slide", "channels": channels}

    def draw(self, grid: Grid, height: float, wishes: Wishes) -> NDArray[np.uint8]:
        """Draw a part."""
        shown = None if "channels" not in wishes else self._read(wishes["channels"])
        return self.picture.render(grid, shown, self.picture.plane_at(height))

    def values(self, grid: Grid, height: float, wishes: Wishes) -> list[str]:
        """Tell the values of a pixel in the channels that are shown."""
        picture = self.picture
        shown = self._read(wishes["channels"]) if "channels" in wishes else picture.shown_at_first
        bands = [picture.channels[item.index] for item in shown]
        found = zip(bands, read_bands(bands, grid, height), strict=True)
        return [
            " ".join([band.name, *map(_number, pixels.ravel().tolist())])
            for band, (pixels, inside) in found
            if inside.all()
        ]

    def _read(self, wish: str) -> list[Shown]:
        """Read channels that are separated by commas: index, and optionally colour and window."""
        items = [item.split(":") for item in wish.split(",") if item]
        count = len(self.picture.channels)
        found = []
        for index, *more in items:
            if not index.isdecimal() or int(index) >= count or len(more) not in (0, 1, 3):
                raise ArgumentValueError(f"channels: {wish!r} names none of {count}")
            color = read_color(more[0]) if more else None
            found.append(Shown(int(index), color, _read_window(more[1:]) if more[1:] else None))
        if len({item.index for item in found}) < len(found):
            raise ArgumentValueError(f"channels: {wish!r} names one twice")
        return found


@dataclass(frozen=True)
class Mask:
    """Layer of a mask or segment, in one colour.

    Parameters
    ----------
    band : Band
        True or false, or parts from 0 to 1
    """

    band: Band

    def describe(self) -> dict[str, Any]:
        """Describe the layer for the page."""
        return {"kind": "mask", "name": self.band.name, "color": self.band.display.color}

    def draw(self, grid: Grid, height: float, wishes: Wishes) -> NDArray[np.uint8]:
        """Draw a part."""
        color = read_color(wishes["color"]) if "color" in wishes else self.band.display.color
        ((pixels, inside),) = read_bands([self.band], grid, height)
        tile = np.empty((*grid.size, 4), np.uint8)
        tile[..., :3] = list(bytes.fromhex(color))
        tile[..., 3] = light_of(pixels[..., 0], (0.0, 1.0))
        tile[~inside] = 0
        return tile

    def values(self, grid: Grid, height: float, wishes: Wishes) -> list[str]:
        """Tell the name and value of a pixel in words."""
        ((pixels, inside),) = read_bands([self.band], grid, height)
        value = float(pixels.ravel()[0])
        if not inside.all() or not value:
            return []
        return [self.band.name if value == 1 else f"{self.band.name} {_number(value)}"]


@dataclass(frozen=True)
class Labels:
    """Layer of labels: numbers of objects, 0 for none.

    Parameters
    ----------
    band : Band
        Numbers
    names : dict
        What they stand for, as far as it is known
    colors : dict
        Six hexadecimal digits of a number, as far as they are stated
    """

    band: Band
    names: dict[int, str] = field(default_factory=dict)
    colors: dict[int, str] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Describe the layer for the page."""
        legend = [
            {"name": name, "color": self._color(number)}
            for number, name in list(self.names.items())[:_MOST_NAMES]
        ]
        return {"kind": "labels", "name": self.band.name, "legend": legend}

    def draw(self, grid: Grid, height: float, wishes: Wishes) -> NDArray[np.uint8]:
        """Draw a part."""
        ((pixels, inside),) = read_bands([self.band], grid, height, is_averaged=False)
        numbers = np.where(inside, pixels[..., 0], 0)
        found, places = np.unique(numbers, return_inverse=True)
        table = np.array(
            [
                [*bytes.fromhex(self._color(number)), _OPAQUE if number else 0]
                for number in found.tolist()
            ],
            np.uint8,
        )
        return table[places.reshape(numbers.shape)]

    def values(self, grid: Grid, height: float, wishes: Wishes) -> list[str]:
        """Tell the name and value of a pixel in words."""
        ((pixels, inside),) = read_bands([self.band], grid, height, is_averaged=False)
        number = int(pixels.ravel()[0])
        if not inside.all() or not number:
            return []
        return [self.names.get(number) or f"{self.band.name} {number}"]

    def _color(self, number: int) -> str:
        return self.colors.get(number) or distinct_color(number)


@dataclass(frozen=True)
class Quantity:
    """Layer of the values of a map, in the colours of a palette.

    Parameters
    ----------
    band : Band
        Numbers, NaN where there is nothing
    palette : tuple of str
        Colours from the smallest value to the largest one, six hexadecimal digits each
    """

    band: Band
    palette: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """Describe the layer for the page."""
        window = self._window
        return {
            "kind": "quantity",
            "name": self.band.name,
            "unit": self.band.unit,
            "window": window,
            "limits": _limits(self.band, window),
            "palette": list(self.palette[::_STOPS]),
        }

    @cached_property
    def _window(self) -> tuple[float, float]:
        return choose_windows([self.band])[0]

    def draw(self, grid: Grid, height: float, wishes: Wishes) -> NDArray[np.uint8]:
        """Draw a part."""
        window = _read_window(wishes["window"].split(":")) if "window" in wishes else self._window
        ((pixels, inside),) = read_bands([self.band], grid, height)
        table = np.array([[*bytes.fromhex(color), _OPAQUE] for color in self.palette], np.uint8)
        values = pixels[..., 0]
        tile = table[light_of(values, window).astype(int) * (len(table) - 1) // _OPAQUE]
        tile[~inside | np.isnan(values)] = 0
        return tile

    def values(self, grid: Grid, height: float, wishes: Wishes) -> list[str]:
        """Tell the value of a pixel."""
        ((pixels, inside),) = read_bands([self.band], grid, height)
        value = float(pixels.ravel()[0])
        if not inside.all() or math.isnan(value):
            return []
        return [f"{self.band.name} {_number(value)} {self.band.unit}".rstrip()]


def _limits(band: Band, window: tuple[float, float]) -> tuple[float, float]:
    """Smallest and largest value that a window can be moved to."""
    low, high = band.display.limits or window
    return min(low, window[0]), max(high, window[1])


def read_color(text: str) -> str:
    """Check a colour that a page asks for: six hexadecimal digits, in capitals."""
    if not _COLOR.fullmatch(text):
        raise ArgumentValueError(f"color: {text!r} is none, expected six hexadecimal digits")
    return text.upper()


def _read_window(parts: Sequence[str]) -> tuple[float, float]:
    try:
        start, end = map(float, parts)
    except ValueError:
        start = end = math.nan
    if not (math.isfinite(start) and math.isfinite(end)):
        raise ArgumentValueError(f"window: expected two numbers, got {':'.join(parts)!r}")
    return start, end


def _number(value: float) -> str:
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)
