"""How viewers show the channels of an image: names, colours and windows."""

import re
from dataclasses import dataclass

import numpy as np
import xarray as xr

from dicomslide.errors import ArgumentValueError
from dicomslide.metadata.colors import MOST_SHOWN, color_among
from dicomslide.metadata.described import channel_names
from dicomslide.tree.schema import SAMPLE, Variable, texts_of

__all__ = ["Display", "choose_window", "image_displays", "parameter_displays"]

_RGB = (("R", "FF0000"), ("G", "00FF00"), ("B", "0000FF"))
# Parts of the pixels of the smallest level that are darker than a window, and brighter
_DARKEST, _BRIGHTEST = 0.001, 0.999


@dataclass(frozen=True)
class Display:
    """How a channel is shown.

    Parameters
    ----------
    label : str
        Name
    color : str
        Six hexadecimal digits of red, green and blue
    limits : tuple of float, optional
        Smallest and largest value that there can be; None where the pixels have to tell
    window : tuple of float, optional
        Smallest and largest value that are shown; None where the pixels have to tell
    is_inverted : bool
        Whether low values are bright
    is_active : bool
        Whether it is shown at first
    """

    label: str
    color: str
    limits: tuple[float, float] | None = None
    window: tuple[float, float] | None = None
    is_inverted: bool = False
    is_active: bool = True

    @property
    def needs_pixels(self) -> bool:
        """Whether pixels have to tell which values there are, or are shown."""
        return self.limits is None or self.window is None


def image_displays(level: xr.Dataset, variable: Variable) -> tuple[Display, ...]:
    """Choose the display of the optical paths of an image of the tree.

    Pixels of three samples are shown as red, green and blue; others in the colours and the windows
    of the coordinates ``color``, ``window_start`` and ``window_end``.
    """
    image = level[variable.name]
    limits = _limits(image)
    count = image.sizes.get(variable.dimension, 1)

    def texts(name: str) -> list[str]:
        return texts_of(level, variable.of(name))

    paths = channel_names(texts("channel"), texts("description"), texts("marker")) or [""] * count
    if image.sizes.get(variable.of(SAMPLE)) == 3:
        return tuple(
            Display(label if count == 1 else f"{path} {label}", color, limits, limits)
            for path in paths
            for label, color in _RGB
        )
    colors = [_checked(color) for color in texts("color")] or [""] * count
    starts, ends = (
        np.array(texts(name) or ["nan"] * count, float) for name in ("window_start", "window_end")
    )
    return tuple(
        Display(
            path,
            colors[index] or color_among(index, count),
            limits,
            (float(starts[index]), float(ends[index])) if ends[index] > starts[index] else None,
            image.encoding.get("photometric_interpretation") == "MONOCHROME1",
            index < MOST_SHOWN,
        )
        for index, path in enumerate(paths)
    )


def parameter_displays(level: xr.Dataset, variable: Variable) -> tuple[Display, ...]:
    """Choose the display of the channels of a map of the tree, such as parameters."""
    names = texts_of(level, variable.dimension)
    colors = [color_among(index, len(names)) for index in range(len(names))]
    return tuple(map(Display, names, colors))


def choose_window(display: Display, pixels: np.ndarray) -> dict[str, float]:
    """Choose the window of a channel.

    Parameters
    ----------
    display : Display
        How the channel is shown
    pixels : numpy.ndarray
        Pixels of the smallest level; none will do where the display does not need them

    Returns
    -------
    dict
        ``min`` and ``max`` of what there can be, ``start`` and ``end`` of what is shown
    """
    values = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels.ravel()
    if not values.size:
        values = np.zeros(1)
    low, high = display.limits or (float(values.min()), float(values.max()))
    start, end = display.window or map(
        float, np.quantile(values, (_DARKEST, _BRIGHTEST), method="nearest")
    )
    # Viewers divide by the width of a window
    high = high if high > low else low + 1.0
    start, end = (start, end) if end > start else (low, high)
    return {"min": min(low, start), "max": max(high, end), "start": start, "end": end}


def _checked(color: str) -> str:
    """Check a colour that may have been assigned by hand."""
    digits = color.removeprefix("#").upper()
    if digits and not re.fullmatch("[0-9A-F]{6}", digits):
        raise ArgumentValueError(
            f"slide_or_tree: the coordinate color has {color!r}, expected six hexadecimal digits "
            "such as 'FF8000'"
        )
    return digits


def _limits(image: xr.DataArray) -> tuple[float, float] | None:
    if image.dtype.kind == "f":
        return None
    if image.dtype.kind == "b":
        return 0.0, 1.0
    bits = int(image.encoding.get("bits_stored", image.dtype.itemsize * 8))
    if image.dtype.kind == "i":
        return -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1
    return 0.0, 2.0**bits - 1
