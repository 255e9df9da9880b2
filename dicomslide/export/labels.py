"""The segments and label maps of a slide as label images."""

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

__all__ = ["Label", "find_labels"]

_PROPERTIES = ("category", "type", "algorithm")


@dataclass(frozen=True)
class Label:
    """A label image.

    Parameters
    ----------
    name : str
        Its name in the store
    reduce : callable
        How missing levels are computed
    colors : dict
        Value of a label to red, green, blue and opacity
    properties : dict
        Value of a label to what it means
    levels : dict
        Number of a level of the tree to its pixels, and where they lie
    series : str
        What tells it from another one that means the same; empty where it is not known
    """

    name: str
    reduce: Reduction
    colors: dict[int, tuple[int, int, int, int]]
    properties: dict[int, dict[str, Any]]
    levels: dict[int, tuple[TreeArray, Calibration]] = field(default_factory=dict)
    series: str = ""


def find_labels(levels: Mapping[int, xr.Dataset]) -> list[Label]:
    """Find the label images in the levels of the tree.

    Segments may overlap, so that each of them is a label image of its own, whose value is the
    Segment Number. Where a segment is fractional the values are the fractions as they were stored,
    and the opacity of their colours says which part they are. A label map is one label image of all
    its segments, and these are not repeated.

    Parameters
    ----------
    levels : mapping
        Number of a level to the level
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
    """Give a second label image of the same name another one."""
    names[label.name] = count = names.get(label.name, 0) + 1
    if count == 1:
        return label
    return replace(label, name=f"{label.name}_{count}")


def _segments(level: xr.Dataset) -> Iterator[tuple[Label, TreeArray, str]]:
    for name in level.data_vars:
        if not re.fullmatch(r"segmentation(_\d+)?", str(name)):
            continue
        suffix = str(name).removeprefix("segmentation")
        variable = level[name].variable
        for row, number in enumerate(level["segment" + suffix].values.tolist()):
            kind = _text(level, "segmentation_type" + suffix, row)
            if kind == "LABELMAP" and _has_label_map(level):
                continue
            part = variable.isel({"segment" + suffix: slice(row, row + 1)})
            part.encoding = variable.encoding
            yield *_segment(level, suffix, row, int(number), part), str(name)


def _segment(
    level: xr.Dataset, suffix: str, row: int, number: int, variable: xr.Variable
) -> tuple[Label, TreeArray]:
    title = _text(level, "label" + suffix, row) or f"segment {number}"
    about = {"name": title, "segment": number} | {
        name: text for name in _PROPERTIES if (text := _text(level, name + suffix, row))
    }
    color = _color(_text(level, "segment_color" + suffix, row), number)
    series = _text(level, "segment_series" + suffix, row)
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
    colors = _label_map_colors(level)
    for name in level.data_vars:
        if not re.fullmatch(r"label_map(_\d+)?", str(name)):
            continue
        variable = level[name].variable
        numbers = [int(value) for value in np.atleast_1d(variable.attrs["flag_values"])]
        meanings = str(variable.attrs["flag_meanings"]).split(" ")
        shown = {number: _color(next(colors, ""), number) for number in numbers}
        label = Label(
            str(name),
            mode_of_four,
            {number: (*color, 255) for number, color in shown.items()},
            {
                number: {"name": meaning.replace("_", " "), "segment": number}
                for number, meaning in zip(numbers, meanings, strict=True)
            },
            series=str(variable.attrs.get("segment_series", "")),
        )
        yield label, TreeArray(variable), str(name)


def _label_map_colors(level: xr.Dataset) -> Iterator[str]:
    """Colours of the segments of all label maps of a level, in their order."""
    for name in level.data_vars:
        if re.fullmatch(r"segmentation(_\d+)?", str(name)):
            suffix = str(name).removeprefix("segmentation")
            for row in range(level.sizes["segment" + suffix]):
                if _text(level, "segmentation_type" + suffix, row) == "LABELMAP":
                    yield _text(level, "segment_color" + suffix, row)


def _has_label_map(level: xr.Dataset) -> bool:
    return any(str(name).startswith("label_map") for name in level.data_vars)


def _maximum(variable: xr.Variable) -> int:
    """Maximum Fractional Value: what was stored for 1."""
    scale = float(variable.encoding.get("scale_factor", 1 / 255))
    return max(round(1 / scale), 1)


def _text(level: xr.Dataset, name: str, row: int) -> str:
    return str(level[name].values[row]) if name in level.coords else ""


def _color(text: str, number: int) -> tuple[int, int, int]:
    """Red, green and blue of six hexadecimal digits, or of the number where there are none."""
    digits = text or distinct_color(number)
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") or "segment"
