"""What is exported: the images of a tree, with their levels and label images."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dicomslide.errors import ArgumentValueError
from dicomslide.export.arrays import TreeArray
from dicomslide.export.calibration import Calibration, slide_affine, warn_of_uneven_planes
from dicomslide.export.derived import mean_of_four
from dicomslide.export.display import Display, image_displays, parameter_displays
from dicomslide.export.labels import Label, find_labels
from dicomslide.export.levels import Level, aligned_levels, dyadic_levels, stored_levels

__all__ = ["Image", "find_images"]

Groups = Mapping[str, xr.Dataset]

_AXES = ("c", "z", "y", "x")
_SMALLEST_LEVEL = 512
_LEVEL = re.compile(r"/level_(\d+)")
_CHANNELS = {"image": "channel", "parametric_map": "parameter"}
# Coordinates that name what an image shows
_MEANINGS = ("label", "parameter", "channel")


@dataclass(frozen=True)
class Image:
    """An image of the store.

    Parameters
    ----------
    path : str
        Path of its group; empty for the store itself
    name : str
        Its name
    levels : tuple of Level
        Its levels, largest first
    is_dyadic : bool
        Whether missing levels are computed
    displays : tuple of Display
        How each channel is shown; none for a label image
    affine : numpy.ndarray or None
        From its axes to the slide coordinate system: see `slide_affine`
    label : Label, optional
        What its values mean, if it is a label image
    """

    path: str
    name: str
    levels: tuple[Level, ...]
    is_dyadic: bool
    displays: tuple[Display, ...]
    affine: NDArray[np.float64] | None
    label: Label | None = None

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of its axes: the values of a label image are of no channel."""
        return _AXES[1:] if self.label else _AXES


def find_images(groups: Groups, *, dyadic: bool, labels: bool, associated: bool) -> list[Image]:
    """Find the images of a tree: first the optical paths, which the label images belong to.

    Parameters
    ----------
    groups : mapping
        Nodes of the tree, by their paths
    dyadic : bool
        Whether missing levels are computed
    labels, associated : bool
        Whether label images, and LABEL and OVERVIEW images are among them

    Raises
    ------
    ValueError
        When there is no level with an image

    Warns
    -----
    UserWarning
        When there are images whose pixels are those of no level
    """
    levels = {
        int(match[1]): group for path, group in groups.items() if (match := _LEVEL.fullmatch(path))
    }
    levels = {number: levels[number] for number in sorted(levels)}
    root = groups.get("/", xr.Dataset()).attrs
    name = str(root.get("container_identifier") or root.get("frame_of_reference_uid") or "slide")
    variables = dict.fromkeys(
        str(variable)
        for level in levels.values()
        for variable in level.data_vars
        if re.fullmatch(r"(image|parametric_map)(_\d+)?", str(variable))
    )
    if "image" not in variables:
        raise ArgumentValueError("slide_or_tree: there are no optical paths")
    del variables["image"]
    warn_of_uneven_planes(next(iter(levels.values())))
    _warn_of_off_grid(groups, labels)
    images = [
        _image(variable, "" if variable == "image" else variable, name, levels, dyadic)
        for variable in ("image", *variables)
    ]
    if labels:
        images += _label_images(find_labels(levels), levels, images[0])
    if associated:
        images += [
            _associated(path.removeprefix("/"), group)
            for path, group in groups.items()
            if path.startswith("/associated/") and "image" in group
        ]
    return images


def _warn_of_off_grid(groups: Groups, labels: bool) -> None:
    """Warn of the images that have coordinates of their own: a store has only one pyramid."""
    names = []
    for path, group in groups.items():
        if not path.startswith("/derived/") or not (labels or _CHANNELS.keys() & group.data_vars):
            continue
        found = [name for name in _MEANINGS if name in group.coords]
        about = ", ".join(_values(group, found[0])) if found else ""
        names.append(path.removeprefix("/") + (f" ({about})" if about else ""))
    if names:
        warnings.warn(
            f"left out, as their pixels are those of no level of the image: {'; '.join(names)}",
            stacklevel=2,
        )


def _image(
    variable: str, path: str, name: str, levels: Mapping[int, xr.Dataset], dyadic: bool
) -> Image:
    kind = re.sub(r"_\d+$", "", variable)
    coordinate = _CHANNELS[kind] + variable.removeprefix(kind)
    shown = {number: level for number, level in levels.items() if variable in level}
    number, base = next(iter(shown.items()))
    channels = _values(base, coordinate)
    others = {channel for level in shown.values() for channel in _values(level, coordinate)}
    if path == "" and (number != min(levels) or others - set(channels)):
        raise ArgumentValueError(
            "slide_or_tree: the largest level does not show all optical paths of their kind"
        )
    # Readers take the channels of all levels for the same
    identity = _identity(base, coordinate)
    same = [level for level in shown.values() if _identity(level, coordinate) == identity]
    found = [(_array(level[variable]), Calibration.of(level)) for level in same]
    displays = image_displays if kind == "image" else parameter_displays
    return Image(
        path,
        name if path == "" else f"{name} {path}",
        dyadic_levels(found, mean_of_four, _SMALLEST_LEVEL) if dyadic else stored_levels(found),
        dyadic,
        displays(base, variable),
        slide_affine(levels[min(levels)]),
    )


def _label_images(
    found: list[Label], levels: Mapping[int, xr.Dataset], image: Image
) -> list[Image]:
    images = []
    for label in found:
        arrays = [(array, Calibration.of(levels[number])) for number, array in label.levels.items()]
        aligned = aligned_levels(arrays, image.levels, label.reduce)
        if not aligned:
            warnings.warn(
                f"segment {label.name!r} is left out: it is at none of the levels of the image",
                stacklevel=2,
            )
            continue
        path = f"labels/{label.name}"
        images.append(Image(path, label.name, aligned, True, (), image.affine, label))
    return images


def _associated(path: str, group: xr.Dataset) -> Image:
    levels = stored_levels([(_array(_like_a_level(group["image"])), Calibration.of(group))])
    name = path.rpartition("/")[2]
    return Image(path, name, levels, False, image_displays(group, "image"), slide_affine(group))


def _like_a_level(image: xr.DataArray) -> xr.DataArray:
    """Name the dimensions of an associated image like those of a level."""
    names = {"row": "y", "column": "x"}
    renamed = image.rename({old: new for old, new in names.items() if old in image.dims})
    frame = image.encoding.get("preferred_chunks", {})
    renamed.encoding["preferred_chunks"] = {names.get(k, k): size for k, size in frame.items()}
    return renamed


def _values(level: xr.Dataset, coordinate: str) -> list[str]:
    if coordinate not in level.coords:
        return []
    return [str(value) for value in np.atleast_1d(level[coordinate].values)]


def _identity(level: xr.Dataset, coordinate: str) -> tuple[list[str], list[str]]:
    """What tells the channels of an image from others, also from those that mean the same."""
    series = coordinate.replace("parameter", "parameter_series")
    return _values(level, coordinate), _values(level, series)


def _array(image: xr.DataArray) -> TreeArray:
    """The pixels of an image: background is white for colour and 0 otherwise."""
    is_color = str(image.dims[-1]).startswith("sample") and image.shape[-1] == 3
    white = float(np.iinfo(image.dtype).max) if image.dtype.kind == "u" else 0.0
    return TreeArray(image.variable, None, white if is_color else 0.0)
