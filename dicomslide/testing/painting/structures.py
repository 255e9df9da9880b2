"""Structures of the painted tissue, which segmentations show."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["STRUCTURES", "find_structure", "weigh_structure"]

Densities = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Structure:
    """A kind of structure that can be a segment.

    Parameters
    ----------
    label : str
        Segment Label
    category : tuple of str
        Code value, scheme and meaning of the Segmented Property Category
    kind : tuple of str
        Code value, scheme and meaning of the Segmented Property Type
    color : tuple of int
        RGB colour to display it in
    """

    label: str
    category: tuple[str, str, str]
    kind: tuple[str, str, str]
    color: tuple[int, int, int]


_CELLULAR = ("4421005", "SCT", "Cell structure")
_TISSUE = ("85756007", "SCT", "Tissue")

STRUCTURES: dict[str, Structure] = {
    "nucleus": Structure("Nucleus", _CELLULAR, ("84640000", "SCT", "Nucleus"), (60, 60, 220)),
    "epithelium": Structure(
        "Epithelium", _TISSUE, ("31610004", "SCT", "Epithelium"), (40, 170, 90)
    ),
    "stroma": Structure("Stroma", _TISSUE, ("61647009", "SCT", "Stroma"), (230, 120, 160)),
    "tissue": Structure("Tissue", _TISSUE, ("85756007", "SCT", "Tissue"), (240, 200, 40)),
}

_EPITHELIUM, _NUCLEUS, _FIBRE = 18, 75, 30


def find_structure(name: str, haematoxylin: Densities, eosin: Densities) -> npt.NDArray[np.bool_]:
    """Find a structure: nuclei, epithelium and stroma exclude each other, tissue is all three."""
    nucleus = haematoxylin >= _NUCLEUS
    epithelium = (haematoxylin >= _EPITHELIUM) & ~nucleus
    stroma = (haematoxylin < _EPITHELIUM) & (eosin >= _FIBRE)
    return {
        "nucleus": nucleus,
        "epithelium": epithelium,
        "stroma": stroma,
        "tissue": nucleus | epithelium | stroma,
    }[name]


def weigh_structure(name: str, haematoxylin: Densities, eosin: Densities) -> npt.NDArray[np.uint8]:
    """Compute how probable a structure is at each pixel, from 0 to 255."""
    h, e = haematoxylin.astype(np.int32), eosin.astype(np.int32)
    nucleus = np.clip((h - 60) * 4, 0, 255)
    epithelium = np.clip(255 - np.abs(h - 40) * 9, 0, 255)
    stroma = np.clip(e * 3 - h * 2, 0, 255)
    probability: npt.NDArray[np.int32] = {
        "nucleus": nucleus,
        "epithelium": epithelium,
        "stroma": stroma,
        "tissue": np.maximum(np.maximum(nucleus, epithelium), stroma),
    }[name]
    return probability.astype(np.uint8)
