"""Images of a tree that are exported, with their levels and label images."""

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dicomslide.display.channels import Display, image_displays, parameter_displays
from dicomslide.errors import ArgumentValueError
from dicomslide.export.arrays import TreeArray
from dicomslide.export.calibration import (
    Calibration,
    plane_offsets,
    slide_affine,
    uneven_planes,
)
from dicomslide.export.derived import mean_of_four
from dicomslide.export.labels import Label, find_labels
from dicomslide.export.levels import Level, aligned_levels, dyadic_levels, stored_levels
from dicomslide.tree.schema import (
    IMAGE,
    KINDS,
    MAPS,
    Kind,
    Variable,
    is_associated,
    is_derived,
    level_number,
    texts_of,
    variables_of,
)

__all__ = ["Image", "find_images"]

Groups = Mapping[str, xr.Dataset]

_Key = tuple[str, ...]
"""Key that identifies a channel at all levels: its names, and its number among equal ones."""

_AXES = ("c", "z", "y", "x")
_SMALLEST_LEVEL = 512
# Coordinates with names for the content of an image
_MEANINGS = ("label", *(kind.dimension for kind in KINDS.values()))


@dataclass(frozen=True)
class Image:
    """Image of the store.

    Parameters
    ----------
    path : str
        Path of the group of the image; empty for the store itself
    name : str
        Name of the image
    levels : tuple of Level
        Levels of the image, largest first
    is_dyadic : bool
        Whether missing levels are computed
    displays : tuple of Display
        Display parameters of each channel; empty for a label image
    affine : numpy.ndarray or None
        Transform from image axes to the slide coordinate system: see `slide_affine`
    label : Label, optional
        Meaning of the values of a label image
    planes : tuple of float
        Z offsets of the focal planes in micrometres, if they are not evenly spaced
    """

    path: str
    name: str
    levels: tuple[Level, ...]
    is_dyadic: bool
    displays: tuple[Display, ...]
    affine: NDArray[np.float64] | None
    label: Label | None = None
    planes: tuple[float, ...] = ()

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes; label images have none of channels."""
        return _AXES[1:] if self.label else _AXES


def find_images(groups: Groups, *, dyadic: bool, labels: bool, associated: bool) -> list[Image]:
    """Find the images of a tree; the first one is that of optical paths, with the label images.

    Parameters
    ----------
    groups : mapping
        Nodes of the tree, by their paths
    dyadic : bool
        Whether missing levels are computed
    labels, associated : bool
        Whether label images, and LABEL and OVERVIEW images, are included

    Raises
    ------
    ValueError
        When there is no level with an image

    Warns
    -----
    UserWarning
        When images off the grids of the levels, or levels or segments with other focal planes than
        their image are left out, or focal planes are not evenly spaced
    """
    numbers = {path: level_number(path) for path in groups}
    levels = {n: groups[path] for path, n in numbers.items() if n is not None}
    levels = {number: levels[number] for number in sorted(levels)}
    root = groups.get("/", xr.Dataset()).attrs
    name = str(root.get("container_identifier") or root.get("frame_of_reference_uid") or "slide")
    images = _channel_images(IMAGE, levels, name, dyadic)
    if not images:
        raise ArgumentValueError("slide_or_tree: there are no optical paths")
    _warn_of_off_grid(groups, labels)
    for kind in MAPS:
        images += _channel_images(kind, levels, name, dyadic)
    if labels:
        images += _label_images(find_labels(levels), images[0])
    if associated:
        images += [
            _associated(path.removeprefix("/"), group)
            for path, group in groups.items()
            if is_associated(path) and IMAGE.name in group
        ]
    _warn_of_uneven_planes(images)
    return images


def _warn_of_uneven_planes(images: Iterable[Image]) -> None:
    """Warn of focal planes that are not evenly spaced, which OME-Zarr cannot express."""
    for offsets in dict.fromkeys(image.planes for image in images if image.planes):
        warnings.warn(
            f"focal planes are at {np.round(offsets, 3).tolist()} micrometres, but OME-Zarr has "
            "only one distance: their mean is written, and the attribute dicomslide has the "
            "positions",
            stacklevel=2,
        )


def _warn_of_off_grid(groups: Groups, labels: bool) -> None:
    """Warn of images off the grids of the levels, as a store has only one pyramid."""
    names = []
    for path, group in groups.items():
        if not is_derived(path) or not (labels or _has_channels(group)):
            continue
        found = [name for name in _MEANINGS if name in group.coords]
        about = ", ".join(texts_of(group, found[0])) if found else ""
        names.append(path.removeprefix("/") + (f" ({about})" if about else ""))
    if names:
        warnings.warn(
            f"left out, as their pixels do not lie on those of a level: {'; '.join(names)}",
            stacklevel=2,
        )


def _has_channels(group: xr.Dataset) -> bool:
    return any(True for kind in (IMAGE, *MAPS) for _ in variables_of(group, kind))


def _channel_images(
    kind: Kind, levels: Mapping[int, xr.Dataset], name: str, dyadic: bool
) -> list[Image]:
    """Make the images of optical paths or parameters.

    Channels that share a variable at their largest level are one image.
    """
    keys = {number: _keys(level, kind) for number, level in levels.items()}
    images: list[Image] = []
    known: set[_Key] = set()
    for variables in keys.values():
        for found in variables.values():
            channels = [key for key in found if key not in known]
            if channels:
                known.update(channels)
                parts = {
                    number: _Part(_select(level, variable, own, channels), variable)
                    for number, level in levels.items()
                    for variable, own in keys[number].items()
                    if set(channels) <= set(own)
                }
                images.append(_image(kind.variable(len(images) + 1), name, parts, dyadic))
    return images


def _keys(level: xr.Dataset, kind: Kind) -> dict[Variable, list[_Key]]:
    """Make keys of the channels of the variables of a kind, which are equal at all levels."""
    counts: Counter[_Key] = Counter()
    found: dict[Variable, list[_Key]] = {}
    for variable in variables_of(level, kind):
        names = [variable.of(name) for name in kind.identity]
        values = [texts for name in names if (texts := texts_of(level, name))]
        count = level[variable.name].sizes.get(variable.dimension, 1)
        found[variable] = []
        for identity in zip(*values, strict=True) if values else [()] * count:
            # Channels of several series may have equal names, so they are numbered in their order
            counts[identity] += 1
            found[variable].append((*identity, str(counts[identity])))
    return found


def _select(
    level: xr.Dataset, variable: Variable, own: list[_Key], channels: list[_Key]
) -> xr.Dataset:
    """Select channels of a variable of a level."""
    part = level[[variable.name]]
    if own == channels:
        return part
    return part.isel({variable.dimension: [own.index(key) for key in channels]})


@dataclass(frozen=True)
class _Part:
    """Channels of a level, as a data set of one variable."""

    level: xr.Dataset
    variable: Variable

    @property
    def array(self) -> TreeArray:
        """Array of the pixels."""
        return _array(self.level[self.variable.name])

    @property
    def offsets(self) -> tuple[float, ...]:
        """Z offsets of the focal planes in micrometres."""
        return plane_offsets(self.level, self.variable.name)

    @property
    def planes(self) -> tuple[object, ...]:
        """Number of channels times samples and of focal planes, and offsets of the latter."""
        return *self.array.shape[:2], self.offsets

    @property
    def calibration(self) -> Calibration:
        """Positions of the pixels."""
        return Calibration.of(self.level, self.variable.name)


def _image(shown: Variable, name: str, parts: Mapping[int, _Part], dyadic: bool) -> Image:
    base = next(iter(parts.values()))
    # Levels with other focal planes are left out: those of OME-Zarr differ in rows and columns only
    other = [number for number, part in parts.items() if part.planes != base.planes]
    if other and not dyadic:
        warnings.warn(
            f"{shown.name}: levels {other} are left out, as they do not have the focal planes of "
            f"its largest level, at {list(base.offsets)} micrometres; select focal planes that all "
            'levels have, or have levels computed with levels="dyadic"',
            stacklevel=2,
        )
    same = [part for number, part in parts.items() if number not in other]
    found = [(part.array, part.calibration) for part in same]
    displays = image_displays if shown.kind is IMAGE else parameter_displays
    # The first variable of images becomes the image of the store itself
    path = "" if shown == IMAGE.variable() else shown.name
    return Image(
        path,
        f"{name} {path}".rstrip(),
        dyadic_levels(found, mean_of_four, _SMALLEST_LEVEL) if dyadic else stored_levels(found),
        dyadic,
        displays(base.level, base.variable),
        slide_affine(base.level),
        planes=uneven_planes(base.offsets),
    )


def _label_images(found: list[Label], image: Image) -> list[Image]:
    images = []
    for label in found:
        aligned = aligned_levels(list(label.levels.values()), image.levels, label.reduce)
        if not aligned:
            warnings.warn(
                f"segment {label.name!r} is left out: it has none of the levels of the image, or "
                "other focal planes",
                stacklevel=2,
            )
            continue
        path = f"labels/{label.name}"
        images.append(Image(path, label.name, aligned, True, (), image.affine, label, image.planes))
    return images


def _associated(path: str, group: xr.Dataset) -> Image:
    levels = stored_levels([(_array(_like_a_level(group[IMAGE.name])), Calibration.of(group))])
    name = path.rpartition("/")[2]
    return Image(
        path, name, levels, False, image_displays(group, IMAGE.variable()), slide_affine(group)
    )


def _like_a_level(image: xr.DataArray) -> xr.DataArray:
    """Rename the dimensions of an associated image to those of a level."""
    names = {"row": "y", "column": "x"}
    renamed = image.rename({old: new for old, new in names.items() if old in image.dims})
    frame = image.encoding.get("preferred_chunks", {})
    renamed.encoding["preferred_chunks"] = {names.get(k, k): size for k, size in frame.items()}
    return renamed


def _array(image: xr.DataArray) -> TreeArray:
    """Make the array of an image, whose background is white for colour and 0 otherwise."""
    is_color = str(image.dims[-1]).startswith("sample") and image.shape[-1] == 3
    white = float(np.iinfo(image.dtype).max) if image.dtype.kind == "u" else 0.0
    return TreeArray(image.variable, None, white if is_color else 0.0)
