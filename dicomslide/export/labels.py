"""Label images of the segments and label maps of a slide."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from dicomslide.export.arrays import Fraction, Mask, TreeArray
from dicomslide.export.calibration import Calibration
from dicomslide.export.derived import Reduction, mean_of_four, mode_of_four
from dicomslide.metadata.colors import distinct_color
from dicomslide.tree.schema import LABEL_MAP, SEGMENTATION, Variable, variables_of

__all__ = ["Label", "find_labels"]

_PROPERTIES = ("category", "type", "algorithm")


@dataclass(frozen=True)
class Label:
    """Label image.

    Parameters
    ----------
    name : str
        Name in the store
    reduce : callable
        Reduction of four elements to one, by which missing levels are computed
    colors : dict
        Red, green, blue and opacity by the value of a label
    properties : dict
        Properties by the value of a label
    levels : dict
        Array and positions of its elements by the number of a level of the tree
    series : str
        Pyramid or Series Instance UID, which tells it from others of equal meaning; empty where it
        is not known
    """

    name: str
    reduce: Reduction
    colors: dict[int, tuple[int, int, int, int]]
    properties: dict[int, dict[str, Any]]
    levels: dict[int, tuple[TreeArray, Calibration]] = field(default_factory=dict)
    series: str = ""

    @property
    def meaning(self) -> tuple[Any, ...]:
        """What its values mean, and how they are shown."""
        return self.name, self.colors, self.properties


def find_labels(levels: Mapping[int, xr.Dataset]) -> list[Label]:
    """Find the label images in the levels of the tree.

    Segments may overlap, so each is a separate label image with the Segment Number as its value.
    The values of a fractional segment are the fractions as they were stored, which the opacity of
    their colours shows. A label map is one label image; its segments are not exported separately.

    Parameters
    ----------
    levels : mapping
        Levels by their number
    """
    found: dict[tuple[Any, ...], Label] = {}
    for number, level in levels.items():
        counts: dict[tuple[Any, ...], int] = {}
        for label, array, variable in (*_label_maps(level), *_segments(level)):
            identity = label.name, repr(label.properties), label.series
            # Equal segments of several Segmentations come in the same order at all levels
            counts[identity] = counts.get(identity, 0) + 1
            place = Calibration.of(level, variable)
            found.setdefault((*identity, counts[identity]), label).levels[number] = array, place
    names: dict[str, int] = {}
    return [_numbered(label, names) for label in found.values()]


def _numbered(label: Label, names: dict[str, int]) -> Label:
    """Return a label image with a number in its name, if others before it have the same name."""
    names[label.name] = count = names.get(label.name, 0) + 1
    if count == 1:
        return label
    return replace(label, name=f"{label.name}_{count}")


def _segments(level: xr.Dataset) -> Iterator[tuple[Label, TreeArray, str]]:
    has_label_map = any(variables_of(level, LABEL_MAP))
    for found in variables_of(level, SEGMENTATION):
        variable = level[found.name].variable
        for row, number in enumerate(level[found.of("segment")].values.tolist()):
            if has_label_map and _text(level, found.of("segmentation_type"), row) == "LABELMAP":
                continue
            part = variable.isel({found.dimension: slice(row, row + 1)})
            part.encoding = variable.encoding
            yield *_segment(level, found, row, int(number), part), found.name


def _segment(
    level: xr.Dataset, found: Variable, row: int, number: int, variable: xr.Variable
) -> tuple[Label, TreeArray]:
    title = _text(level, found.of("label"), row) or f"segment {number}"
    about = {"name": title, "segment": number} | {
        name: text for name in _PROPERTIES if (text := _text(level, found.of(name), row))
    }
    color = _color(_text(level, found.of("segment_color"), row), number)
    series = _text(level, found.of("segment_series"), row)
    if variable.dtype == bool:
        label = Label(
            _slug(title), mode_of_four, {number: (*color, 255)}, {number: about}, series=series
        )
        return label, TreeArray(variable, Mask(number))
    maximum = _maximum(variable)
    values = range(1, maximum + 1)
    label = Label(
        _slug(title),
        mean_of_four,
        {value: (*color, round(255 * value / maximum)) for value in values},
        {value: about | {"fraction": value / maximum} for value in values},
        series=series,
    )
    return label, TreeArray(variable, Fraction(maximum))


def _label_maps(level: xr.Dataset) -> Iterator[tuple[Label, TreeArray, str]]:
    known = _segments_of_label_maps(level)
    for found in variables_of(level, LABEL_MAP):
        variable = level[found.name].variable
        numbers = [int(value) for value in np.atleast_1d(variable.attrs["flag_values"])]
        # Names of segments for a tree without their variable; spaces are underscores in CF
        words = str(variable.attrs["flag_meanings"]).split(" ")
        series = str(variable.attrs.get("segment_series", ""))
        colors, properties = {}, {}
        for number, word in zip(numbers, words, strict=True):
            segments = known.get((series, number))
            title, color = segments.pop(0) if segments else (word.replace("_", " "), "")
            colors[number] = (*_color(color, number), 255)
            properties[number] = {"name": title, "segment": number}
        label = Label(found.name, mode_of_four, colors, properties, series=series)
        yield label, TreeArray(variable), found.name


def _segments_of_label_maps(level: xr.Dataset) -> dict[tuple[str, int], list[tuple[str, str]]]:
    """Collect labels and colours of the segments of label maps, by their series and number."""
    known: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for found in variables_of(level, SEGMENTATION):
        for row, number in enumerate(level[found.of("segment")].values.tolist()):
            if _text(level, found.of("segmentation_type"), row) == "LABELMAP":
                series = _text(level, found.of("segment_series"), row)
                about = (
                    _text(level, found.of("label"), row),
                    _text(level, found.of("segment_color"), row),
                )
                known.setdefault((series, int(number)), []).append(about)
    return known


def _maximum(variable: xr.Variable) -> int:
    """Compute Maximum Fractional Value, the integer that was stored for 1."""
    scale = float(variable.encoding.get("scale_factor", 1 / 255))
    return max(round(1 / scale), 1)


def _text(level: xr.Dataset, name: str, row: int) -> str:
    return str(level[name].values[row]) if name in level.coords else ""


def _color(text: str, number: int) -> tuple[int, int, int]:
    """Convert six hexadecimal digits to red, green and blue; without them choose by number."""
    digits = text or distinct_color(number)
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") or "segment"
