"""How viewers show the channels of an image: names, colours and windows."""

import colorsys
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from dicomslide.export.fluorophores import named_color, named_emission

__all__ = ["Display", "choose_window", "distinct_color", "image_displays", "parameter_displays"]

_RGB = (("R", "FF0000"), ("G", "00FF00"), ("B", "0000FF"))
_WHITE = "FFFFFF"
# Fluorescence is emitted at about this much longer a wavelength than it is excited with, in nm
_STOKES_SHIFT = 40.0
# Wavelengths in nm of the corners of the RGB cube that the spectrum runs along
_SPECTRUM = (
    (380.0, (0.5, 0.0, 1.0)),
    (460.0, (0.0, 0.0, 1.0)),
    (490.0, (0.0, 1.0, 1.0)),
    (520.0, (0.0, 1.0, 0.0)),
    (580.0, (1.0, 1.0, 0.0)),
    (640.0, (1.0, 0.0, 0.0)),
)
_GOLDEN_RATIO = 0.618034
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
    stretched : bool
        Whether the window shows only the values that occur
    inverted : bool
        Whether low values are bright
    """

    label: str
    color: str
    limits: tuple[float, float] | None
    stretched: bool
    inverted: bool = False


def image_displays(level: xr.Dataset, name: str) -> tuple[Display, ...]:
    """Choose the display of the optical paths of an image of the tree.

    Colour is shown as red, green and blue; other optical paths in the colour of the light that they
    emit, or else in one that they are named after.
    """
    image = level[name]
    suffix = name.removeprefix("image")
    limits = _limits(image)
    if f"channel{suffix}" not in level.coords:
        paths = [""] * image.sizes.get("channel" + suffix, 1)
    else:
        paths = _names(level, suffix)
    if image.sizes.get("sample" + suffix) == 3:
        return tuple(
            Display(label if len(paths) == 1 else f"{path} {label}", color, limits, False)
            for path in paths
            for label, color in _RGB
        )
    colors = [
        _path_color(level, suffix, index) if path else None for index, path in enumerate(paths)
    ]
    inverted = image.encoding.get("photometric_interpretation") == "MONOCHROME1"
    return tuple(
        Display(
            path,
            color or (_WHITE if len(paths) == 1 else distinct_color(index)),
            limits,
            True,
            inverted,
        )
        for index, (path, color) in enumerate(zip(paths, colors, strict=True))
    )


def parameter_displays(level: xr.Dataset, name: str) -> tuple[Display, ...]:
    """Choose the display of the parameters of a parametric map of the tree."""
    suffix = name.removeprefix("parametric_map")
    names = [str(value) for value in level["parameter" + suffix].values]
    colors = [_WHITE] if len(names) == 1 else [distinct_color(i) for i in range(len(names))]
    return tuple(Display(*item, None, True) for item in zip(names, colors, strict=True))


def choose_window(display: Display, pixels: np.ndarray) -> dict[str, float]:
    """Choose the window of a channel.

    Parameters
    ----------
    display : Display
        How the channel is shown
    pixels : numpy.ndarray
        Pixels of the smallest level

    Returns
    -------
    dict
        ``min`` and ``max`` of what there can be, ``start`` and ``end`` of what is shown
    """
    values = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels.ravel()
    if not values.size:
        values = np.zeros(1)
    low, high = display.limits or (float(values.min()), float(values.max()))
    start, end = low, high
    if display.stretched:
        start, end = map(float, np.quantile(values, (_DARKEST, _BRIGHTEST), method="nearest"))
    # Viewers divide by the width of a window
    high = high if high > low else low + 1.0
    start, end = (start, end) if end > start else (low, high)
    return {"min": low, "max": high, "start": start, "end": end}


def distinct_color(index: int) -> str:
    """One of many colours that are easy to tell apart."""
    red, green, blue = colorsys.hsv_to_rgb((0.6 + index * _GOLDEN_RATIO) % 1, 0.75, 0.95)
    return _hexadecimal(red, green, blue)


def _limits(image: xr.DataArray) -> tuple[float, float] | None:
    if image.dtype.kind == "f":
        return None
    if image.dtype.kind == "b":
        return 0.0, 1.0
    bits = int(image.encoding.get("bits_stored", image.dtype.itemsize * 8))
    if image.dtype.kind == "i":
        return -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1
    return 0.0, 2.0**bits - 1


def _names(level: xr.Dataset, suffix: str) -> list[str]:
    """Descriptions of optical paths, or identifiers where they do not tell them apart."""
    identifiers, described = (_texts(level, name + suffix) for name in ("channel", "description"))
    tells = all(described) and len(set(described)) == len(identifiers)
    return described if tells else identifiers


def _texts(level: xr.Dataset, name: str) -> list[str]:
    """Read a coordinate along optical paths; none where there is none."""
    return (
        [str(value) for value in np.atleast_1d(level[name].values)] if name in level.coords else []
    )


def _path_color(level: xr.Dataset, suffix: str, index: int) -> str | None:
    """Choose the colour of an optical path by its light, or else by its name."""
    for name, shift in (("emission", 0.0), ("wavelength", _STOKES_SHIFT)):
        if name + suffix in level.coords:
            value = float(np.atleast_1d(level[name + suffix].values)[index])
            if np.isfinite(value):
                return _spectral_color(value + shift)
    names = [_texts(level, name + suffix) for name in ("description", "channel")]
    name = " ".join(texts[index] for texts in names if texts)
    emission = named_emission(name)
    return named_color(name) if emission is None else _spectral_color(emission)


def _spectral_color(wavelength: float) -> str:
    nanometres, corners = zip(*_SPECTRUM, strict=True)
    parts: Any = [np.interp(wavelength, nanometres, part) for part in zip(*corners, strict=True)]
    return _hexadecimal(*parts)


def _hexadecimal(red: float, green: float, blue: float) -> str:
    return "".join(f"{round(part * 255):02X}" for part in (red, green, blue))
