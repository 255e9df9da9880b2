"""Colours that the name of a channel tells: plain words, and fluorophores by what they emit."""

import re
from collections.abc import Mapping
from typing import TypeVar

__all__ = ["named_color", "named_emission"]

T = TypeVar("T")

# Patterns of words
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
# Where light is emitted most, in nanometres, as suppliers state it
_EMISSIONS = {
    r"dapi|hoechst[\W_]?(?:\d{5})?": 461.0,
    "e?cfp": 477.0,
    "e?gfp": 509.0,
    "fitc": 519.0,
    "e?yfp": 527.0,
    "tritc": 576.0,
    "rfp": 584.0,
    "mcherry": 610.0,
    r"texas[\W_]?red": 615.0,
    r"cy[\W_]?2": 506.0,
    r"cy[\W_]?3": 570.0,
    r"cy[\W_]?3\.5": 596.0,
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


def named_emission(name: str) -> float | None:
    """Find the wavelength in nanometres of the first fluorophore in a name."""
    return _first(name, _EMISSIONS)


def named_color(name: str) -> str | None:
    """Find the first colour in a name, as six hexadecimal digits of red, green and blue."""
    return _first(name, _COLORS)


def _first(name: str, table: Mapping[str, T]) -> T | None:
    """Find what the first word means that stands in a table, in upper or lower case."""
    places = {}
    for pattern, meaning in table.items():
        # Neither "Greenland" nor "Cy3" in "Cy3.5"; an underscore is a space
        word = rf"(?<![^\W_])(?:{pattern})(?![^\W_]|\.\d)"
        if found := re.search(word, name, re.IGNORECASE):
            places[found.start()] = meaning
    return places[min(places)] if places else None
