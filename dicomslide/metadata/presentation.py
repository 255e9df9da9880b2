"""Readers of display parameters: windows, palettes, and Presentation States (PS3.3 A.33)."""

import math
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicomslide.errors import InvalidImageError
from dicomslide.errors.damage import name_of_image, reading
from dicomslide.metadata.colors import hexadecimal
from dicomslide.metadata.palette import read_palette

__all__ = [
    "Presentation",
    "agreed",
    "palette_color",
    "read_presentations",
    "read_window",
    "window_of",
]

Window = tuple[float, float]


@dataclass(frozen=True)
class Presentation:
    """Display parameters that a Presentation State sets for some images.

    Parameters
    ----------
    series : str
        Series Instance UID of the images
    images : mapping
        Optical Path Identifiers by SOP Instance UID, an empty set for all optical paths; an empty
        mapping for all images of the series
    color : str
        Brightest colour, six hexadecimal digits; empty where none is set
    window : tuple of float, optional
        Stored values that are displayed as black and as white
    """

    series: str
    images: Mapping[str, frozenset[str]]
    color: str = ""
    window: Window | None = None

    def shows(self, image: str, series: str, path: str) -> bool:
        """Whether the parameters are for an optical path of an image, given by identifiers."""
        if not self.images:
            return self.series == series
        paths = self.images.get(image)
        return paths is not None and (not paths or path in paths)

    @property
    def uids(self) -> Collection[str]:
        """SOP Instance UIDs of the images, or the Series Instance UID for all of a series."""
        return self.images.keys() or {self.series}


def read_presentations(states: Iterable[Dataset]) -> list[tuple[Dataset, list[Presentation]]]:
    """Read Presentation States, in the order of their Instance Numbers.

    Parameters
    ----------
    states : iterable of pydicom.dataset.Dataset
        Advanced Blending, Blending, Color, Grayscale or Pseudo-Color Softcopy Presentation States

    Returns
    -------
    list of tuple
        Each Presentation State with its display parameters

    Warns
    -----
    UserWarning
        When one is damaged, which is left out
    """
    found = []
    for state in states:
        name = name_of_image(state).replace("image", "Presentation State", 1)
        try:
            with reading(name):
                place = int(state.get("InstanceNumber") or 0), str(state.get("SOPInstanceUID"))
                found.append((place, state, list(_presentations(state))))
        except InvalidImageError as error:
            warnings.warn(f"{error}; it is left out", stacklevel=2)
    return [(state, parts) for _, state, parts in sorted(found, key=lambda item: item[0])]


def _presentations(state: Dataset) -> Iterator[Presentation]:
    blended = state.get("AdvancedBlendingSequence") or state.get("BlendingSequence")
    for item in blended or [state]:
        color = palette_color(item)
        for series in item.get("ReferencedSeriesSequence") or [item]:
            uid, images = str(series.get("SeriesInstanceUID") or ""), _images(series)
            yield Presentation(uid, images, color)
            for voi in item.get("SoftcopyVOILUTSequence") or ():
                yield Presentation(uid, _images(voi) or images, window=window_of(voi))


def _images(item: Dataset) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for image in item.get("ReferencedImageSequence") or ():
        path = str(image.get("ReferencedOpticalPathIdentifier") or "")
        found.setdefault(str(image.get("ReferencedSOPInstanceUID")), set()).update({path} - {""})
    return {uid: frozenset(paths) for uid, paths in found.items()}


def palette_color(item: Dataset) -> str:
    """Read the brightest colour of the palette of an item (PS3.3 C.7.6.3.1.5).

    The item has the palette itself, or in its Palette Color Lookup Table Sequence.

    Returns
    -------
    str
        Six hexadecimal digits; empty where there is no palette, or a damaged one
    """
    holders = [item, *(item.get("PaletteColorLookupTableSequence") or ())]
    holder = next((h for h in holders if "RedPaletteColorLookupTableDescriptor" in h), None)
    if holder is None:
        return ""
    try:
        palette = read_palette(holder, "palette", signed=False, big_endian=False)
    except InvalidImageError:
        # A damaged palette is ignored, as the stored pixels do not depend on it
        return ""
    table = palette.table
    red, green, blue = table[table.sum(axis=1, dtype=int).argmax()] / (2.0**palette.bits - 1)
    return hexadecimal(red, green, blue)


def read_window(dataset: Dataset) -> Window | None:
    """Read the window that all frames of an image share (PS3.3 C.7.6.16.2.10)."""
    for groups in dataset.get("SharedFunctionalGroupsSequence") or ():
        for item in groups.get("FrameVOILUTSequence") or ():
            return window_of(item)
    return None


def agreed(presentations: Iterable[Presentation]) -> tuple[str, Window | None]:
    """Combine the colours and the windows that parts of one Presentation State set for a channel.

    Different values count as none: they occur where a state has parameters for several optical
    paths of an image without naming the paths.
    """
    parts = list(presentations)
    colors = {part.color for part in parts if part.color}
    windows = {part.window for part in parts if part.window}
    return colors.pop() if len(colors) == 1 else "", windows.pop() if len(windows) == 1 else None


def window_of(item: Dataset) -> Window | None:
    """Read the values that a window displays as black and as white (PS3.3 C.11.2.1.2).

    Of several alternatives the first one counts. None where the window is missing or damaged.
    """
    try:
        with reading("window"):
            center, width = (
                float(value[0] if isinstance(value, MultiValue) else value)
                for value in (item.get("WindowCenter") or "nan", item.get("WindowWidth") or "nan")
            )
    except InvalidImageError:
        # A damaged window is ignored, as the stored pixels do not depend on it
        return None
    if not (math.isfinite(center) and math.isfinite(width) and width > 0):
        return None
    return center - width / 2, center + width / 2
