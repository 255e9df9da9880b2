"""Selection of the channels and the focal plane of a slide for the command."""

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

# Largest distance in millimetres between focal planes that count as one
_SAME_PLANE = 1e-6

__all__ = ["find_channels", "tree_of_part"]


def find_channels(slide: Slide, names: Sequence[str]) -> list[int]:
    """Find channels by index or name.

    Parameters
    ----------
    slide : Slide
        Slide that has the channels
    names : sequence of str
        Zero-based indices into channels, or markers, stains, descriptions or identifiers of optical
        paths

    Returns
    -------
    list of int
        Zero-based indices into channels, each once

    Raises
    ------
    ValueError
        When no channel has a name
    """
    found: list[int] = []
    for name in names:
        if name.isdecimal() and int(name) < slide.num_channels:
            found.append(int(name))
            continue
        matching = slide.find_optical_paths(marker=name) or slide.find_optical_paths(name)
        if not matching:
            paths = [c for c in slide.channels if c.type is ChannelTypes.OPTICAL_PATH]
            known = dict.fromkeys(
                text
                for channel in paths
                for text in (
                    channel.label or channel.identifier,
                    *(code.meaning for code in channel.markers),
                )
            )
            raise SelectionError(
                f"channel: there is no {name!r}, only 0 to {slide.num_channels - 1}, "
                f"{', '.join(known)}"
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
        Slide that the part is of
    channels : sequence of int
        Indices of optical paths; empty for all. Segments and parameters are always in the tree
    focal_plane : int or None
        Index of a focal plane; None for all focal planes
    is_projected : bool
        Whether all focal planes are reduced to one of the brightest pixels; a segment is then where
        it is in any of them

    Raises
    ------
    ValueError
        When there is no such focal plane, or one is given for a projection

    Warns
    -----
    UserWarning
        When an image is left out that is not in the focal plane, or lacks focal planes
    """
    import xarray as xr

    if focal_plane is not None and is_projected:
        raise ArgumentValueError("focal_plane: a projection is of all focal planes")
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
    """Select the focal plane of a node at an offset in millimetres; leave out images without it."""
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
    """Reduce all focal planes to one of the brightest pixels.

    Levels that lack focal planes of the largest level are left out.
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
    """Compute the brightest values along focal planes, ignoring NaN."""
    photometric = variable.encoding.get("photometric_interpretation")
    brighter = np.fmin if photometric == "MONOCHROME1" else np.fmax
    planes = [variable.isel({plane: [k]}).data for k in range(variable.sizes[plane])]
    return reduce(brighter, planes)
