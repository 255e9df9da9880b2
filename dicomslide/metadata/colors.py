"""Display colours of channels: by wavelength, by name, or chosen to be easy to tell apart.

Colours are six hexadecimal digits of red, green and blue.
"""

import colorsys
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from pydicom.dataset import Dataset

from dicomslide.metadata.words import find_words

__all__ = [
    "MOST_SHOWN",
    "WHITE",
    "color_among",
    "distinct_color",
    "hexadecimal",
    "light_color",
    "named_color",
    "named_emission",
    "read_display_color",
]

T = TypeVar("T")

WHITE = "FFFFFF"
MOST_SHOWN = 8
"""Most channels that are shown at once, as the colours of more would mix to grey."""

# Usual difference between the wavelengths of emission and excitation of fluorescence, in nm
_STOKES_SHIFT = 40.0
# Wavelengths in nm with their colours, between which colours are interpolated
_SPECTRUM = (
    (380.0, (0.5, 0.0, 1.0)),
    (460.0, (0.0, 0.0, 1.0)),
    (490.0, (0.0, 1.0, 1.0)),
    (520.0, (0.0, 1.0, 0.0)),
    (580.0, (1.0, 1.0, 0.0)),
    (640.0, (1.0, 0.0, 0.0)),
)
_GOLDEN_RATIO = 0.618034

# Colours by patterns of words
_COLORS = {
    "red": "FF0000",
    "orange": "FF8000",
    "yellow": "FFFF00",
    "green": "00FF00",
    "cyan": "00FFFF",
    "blue": "0000FF",
    "violet": "8000FF",
    "magenta": "FF00FF",
    "white|gr[ae]y": "FFFFFF",
}
# Wavelengths of the emission maximum of fluorophores in nm, as suppliers state them, by patterns
_EMISSIONS = {
    r"dapi|hoechst[\W_]?(?:\d{5})?": 461.0,
    "e?cfp": 477.0,
    "e?gfp": 509.0,
    "fitc|fluorescein": 519.0,
    "e?yfp": 527.0,
    "tritc": 576.0,
    "phycoerythrin": 578.0,
    "rfp": 584.0,
    "mcherry": 610.0,
    r"texas[\W_]?red": 615.0,
    r"cy[\W_]?2": 506.0,
    r"cy[\W_]?3": 570.0,
    r"cy[\W_]?3\.5": 596.0,
    "allophycocyanin": 660.0,
    r"cy[\W_]?5": 670.0,
    r"cy[\W_]?5\.5": 694.0,
    r"cy[\W_]?7": 773.0,
    **{
        rf"(?:alexa[\W_]?(?:fluor)?|af)[\W_]{{,2}}{number}": emission
        for number, emission in (
            (350, 442.0),
            (405, 421.0),
            (430, 541.0),
            (488, 519.0),
            (514, 542.0),
            (532, 554.0),
            (546, 573.0),
            (555, 565.0),
            (568, 603.0),
            (594, 617.0),
            (610, 628.0),
            (633, 647.0),
            (635, 647.0),
            (647, 668.0),
            (660, 690.0),
            (680, 702.0),
            (700, 723.0),
            (750, 775.0),
            (790, 814.0),
        )
    },
}


def light_color(emission: float | None, excitation: float | None, name: str) -> str | None:
    """Choose the colour of a channel by its wavelengths, or else by its name.

    Parameters
    ----------
    emission, excitation : float, optional
        Wavelengths in nanometres
    name : str
        Name of the channel

    Returns
    -------
    str or None
        Six hexadecimal digits; None where neither tells a colour
    """
    if emission is not None:
        return _spectral_color(emission)
    if excitation is not None:
        return _spectral_color(excitation + _STOKES_SHIFT)
    emitted = named_emission(name)
    return named_color(name) if emitted is None else _spectral_color(emitted)


def color_among(index: int, count: int) -> str:
    """Choose a colour for one of several channels without known colours; white for a single one."""
    return WHITE if count == 1 else distinct_color(index)


def distinct_color(index: int) -> str:
    """Choose a colour that is easy to tell from those of the indices before and after."""
    return hexadecimal(*colorsys.hsv_to_rgb((0.6 + index * _GOLDEN_RATIO) % 1, 0.75, 0.95))


def hexadecimal(red: float, green: float, blue: float) -> str:
    """Format a colour, given as parts between 0 and 1, as six hexadecimal digits."""
    return "".join(f"{round(part * 255):02X}" for part in (red, green, blue))


def _spectral_color(wavelength: float) -> str:
    nanometres, corners = zip(*_SPECTRUM, strict=True)
    parts: Any = [np.interp(wavelength, nanometres, part) for part in zip(*corners, strict=True)]
    return hexadecimal(*parts)


def named_emission(name: str) -> float | None:
    """Find the wavelength in nanometres of the first fluorophore in a name."""
    return _first(name, _EMISSIONS)


def named_color(name: str) -> str | None:
    """Find the first word for a colour in a name; return its six hexadecimal digits."""
    return _first(name, _COLORS)


def _first(name: str, table: Mapping[str, T]) -> T | None:
    """Return the value of the pattern of a table that matches first in a name."""
    places = {}
    for pattern, meaning in table.items():
        if found := find_words(pattern, name):
            places[found.start()] = meaning
    return places[min(places)] if places else None


def read_display_color(item: Dataset) -> str:
    """Read Recommended Display CIELab Value as six hexadecimal digits; empty where there is none.

    Segments have it (PS3.3 C.8.20.2), and groups of annotations (PS3.3 C.37.1.2).
    """
    value = item.get("RecommendedDisplayCIELabValue")
    if value is None or len(value) != 3:
        return ""
    from highdicom.color import CIELabColor

    stated = CIELabColor.from_dicom_value(tuple(map(int, value)))
    # CIELab has colours outside of sRGB, which become the nearest one inside
    return hexadecimal(*(part / 255 for part in stated.to_rgb(clip=True)))
