"""Parts of a slide that the command shows or converts: some of its channels, one focal plane."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomslide.enum import ChannelTypes
from dicomslide.errors import ArgumentValueError, SelectionError
from dicomslide.slide import Slide
from dicomslide.tree.schema import IMAGE, is_plane, level_number, plane_dimension

if TYPE_CHECKING:
    import xarray as xr

# Distance in millimetres of focal planes that are one
_SAME_PLANE = 1e-6

__all__ = ["find_channels", "tree_of_part"]


def find_channels(slide: Slide, names: Sequence[str]) -> list[int]:
    """Find channels by what people call them.

    Parameters
    ----------
    slide : Slide
        Slide
    names : sequence of str
        Zero-based indices into channels, or markers, stains, descriptions or identifiers of optical
        paths

    Raises
    ------
    ValueError
        When a name is that of no channel
    """
    found: list[int] = []
    for name in names:
        if name.isdecimal() and int(name) < slide.num_channels:
            found.append(int(name))
            continue
        matching = slide.find_optical_paths(marker=name) or slide.find_optical_paths(name)
        if not matching:
            paths = [c for c in slide.channels if c.type is ChannelTypes.OPTICAL_PATH]
            called = dict.fromkeys(
                text
                for channel in paths
                for text in (
                    channel.label or channel.identifier,
                    *(code.meaning for code in channel.markers),
                )
            )
            raise SelectionError(
                f"channel: there is no {name!r}, only 0 to {slide.num_channels - 1}, "
                f"{', '.join(called)}"
            )
        found += matching
    return list(dict.fromkeys(found))


def tree_of_part(
    slide: Slide, channels: Sequence[int], focal_plane: int | None, is_projected: bool
) -> xr.DataTree:
    """Make the tree of a part of a slide.

    Parameters
    ----------
    slide : Slide
        Slide
    channels : sequence of int
        Indices of the optical paths; all of them if there are none. Others than optical paths are
        all in the tree
    focal_plane : int or None
        Index of a focal plane; None for all of them
    is_projected : bool
        Whether there is one focal plane, which has the brightest pixel of all of them; segments are
        where they are in any of them

    Raises
    ------
    ValueError
        When there is no such focal plane, or one of a projection is asked for

    Warns
    -----
    UserWarning
        When an image is left out that is not in the focal plane, or that lacks some
    """
    import xarray as xr

    if focal_plane is not None and is_projected:
        raise ArgumentValueError("focal_plane: a projection is of all of them")
    if focal_plane is not None and not 0 <= focal_plane < slide.num_focal_planes:
        raise SelectionError(
            f"focal_plane: there is no focal plane {focal_plane}, only {slide.num_focal_planes} "
            "from 0 on"
        )
    groups = slide._groups(paths=channels or None)
    if focal_plane is not None:
        offset = slide.get_focal_plane_offset(focal_plane) / 1000
        groups = {path: _one_plane(path, node, offset) for path, node in groups.items()}
    if is_projected:
        groups = _projected(groups)
    return xr.DataTree.from_dict(groups)


def _one_plane(path: str, node: xr.Dataset, offset: float) -> xr.Dataset:
    """Leave one focal plane of a node: that at an offset in millimetres."""
    nearest: dict[Hashable, list[int]] = {}
    for name in node.dims:
        if is_plane(name):
            distances = np.abs(node[name].values - offset)
            if distances.min() <= _SAME_PLANE:
                nearest[name] = [int(distances.argmin())]
                continue
            lacking = [str(key) for key, image in node.data_vars.items() if name in image.dims]
            warnings.warn(
                f"left out, as not in the focal plane at {offset * 1000:g} micrometres: "
                f"{', '.join(lacking)} of {path.lstrip('/')}",
                stacklevel=2,
            )
            node = node.drop_dims([name])
    return node.isel(nearest)


def _projected(groups: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Make one focal plane of all, of the brightest pixels.

    Optical paths of levels that lack some of the focal planes of the largest one are left out.
    """
    most: dict[Hashable, int] = {}
    made = {}
    for path, node in groups.items():
        part = node.isel({name: [n // 2] for name, n in node.sizes.items() if is_plane(name)})
        found: dict[Hashable, xr.DataArray] = {}
        for name, variable in node.data_vars.items():
            plane = plane_dimension(variable.dims)
            if plane is None:
                continue
            if IMAGE.find(str(name)) and level_number(path) is not None:
                count = most.setdefault(name, variable.sizes[plane])
                if variable.sizes[plane] < count:
                    warnings.warn(
                        f"left out, as it lacks focal planes of the largest level: {name} of "
                        f"{path.lstrip('/')}",
                        stacklevel=2,
                    )
                    part = part.drop_vars([name])
                    continue
            found[name] = part[name].copy(data=_brightest(variable, plane))
            found[name].encoding = part[name].encoding
        made[path] = part.assign(found)
    return made


def _brightest(variable: xr.DataArray, plane: str) -> Any:
    """Compute the brightest values along focal planes, of those that are known."""
    photometric = variable.encoding.get("photometric_interpretation")
    brighter = np.fmin if photometric == "MONOCHROME1" else np.fmax
    planes = [variable.isel({plane: [k]}).data for k in range(variable.sizes[plane])]
    return reduce(brighter, planes)
