"""How channels are shown: windows, palettes, and Presentation States (PS3.3 A.33)."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicomslide.errors import InvalidImageError
from dicomslide.errors.damage import name_of_image, reading
from dicomslide.metadata.colors import hexadecimal
from dicomslide.metadata.palette import read_palette
from dicomslide.metadata.references import read_uid

__all__ = ["Presentation", "palette_color", "read_presentations", "read_window"]

Window = tuple[float, float]


@dataclass(frozen=True)
class Presentation:
    """How a Presentation State shows some images.

    Parameters
    ----------
    series : str
        Series Instance UID of the images
    images : mapping
        SOP Instance UIDs to Optical Path Identifiers, which are empty for all optical paths; no
        UIDs for all images of the series
    color : str
        Brightest colour, six hexadecimal digits; empty where it says none
    window : tuple of float, optional
        Stored values that are shown as black and as white
    """

    series: str
    images: Mapping[str, str]
    color: str = ""
    window: Window | None = None

    def shows(self, image: str, series: str, path: str) -> bool:
        """Whether it is about an optical path of an image, all three by their identifiers."""
        if not self.images:
            return self.series == series
        return self.images.get(image) in ("", path)

    def shows_any(self, datasets: Iterable[Dataset]) -> bool:
        """Whether it is about an image of some, given by their metadata."""
        if self.images:
            return any(read_uid(dataset) in self.images for dataset in datasets)
        return any(dataset.get("SeriesInstanceUID") == self.series for dataset in datasets)


def read_presentations(states: Iterable[Dataset]) -> list[tuple[Dataset, list[Presentation]]]:
    """Read Presentation States, in the order of their Instance Numbers.

    Parameters
    ----------
    states : iterable of pydicom.dataset.Dataset
        Advanced Blending, Blending, Color, Grayscale or Pseudo-Color Softcopy Presentation States

    Warns
    -----
    UserWarning
        When one is damaged: it is left out, as no pixel depends on it
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
        for palette in item.get("PaletteColorLookupTableSequence") or ():
            color = color or palette_color(palette)
        for series in item.get("ReferencedSeriesSequence") or [item]:
            uid, images = str(series.get("SeriesInstanceUID") or ""), _images(series)
            yield Presentation(uid, images, color)
            for voi in item.get("SoftcopyVOILUTSequence") or ():
                yield Presentation(uid, _images(voi) or images, window=window_of(voi))


def _images(item: Dataset) -> dict[str, str]:
    return {
        str(image.get("ReferencedSOPInstanceUID")): str(
            image.get("ReferencedOpticalPathIdentifier") or ""
        )
        for image in item.get("ReferencedImageSequence") or ()
    }


def palette_color(item: Dataset) -> str:
    """Read the brightest colour of a palette (PS3.3 C.7.6.3.1.5).

    Returns
    -------
    str
        Six hexadecimal digits; empty where there is no palette, or a damaged one
    """
    if "RedPaletteColorLookupTableDescriptor" not in item:
        return ""
    try:
        palette = read_palette(item, "palette", signed=False, big_endian=False)
    except InvalidImageError:
        # No pixel depends on it
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


def window_of(item: Dataset) -> Window | None:
    """Read the values that a window shows as black and as white (PS3.3 C.11.2.1.2).

    Of several alternatives the first one counts.
    """
    center, width = (
        value[0] if isinstance(value, MultiValue) and value else value
        for value in (item.get("WindowCenter"), item.get("WindowWidth"))
    )
    if center in (None, "") or width in (None, "") or not float(width) > 0:
        return None
    return float(center) - float(width) / 2, float(center) + float(width) / 2
