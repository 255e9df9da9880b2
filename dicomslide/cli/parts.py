"""Parts of a slide that the command shows or converts: some of its channels, one focal plane."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dicomslide.errors import SelectionError
from dicomslide.slide import Slide

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
        if name.isdecimal():
            if int(name) >= slide.num_channels:
                raise SelectionError(
                    f"channel: there is no channel {name}, only {slide.num_channels} from 0 on"
                )
            found.append(int(name))
            continue
        matching = slide.find_optical_paths(marker=name) or slide.find_optical_paths(name)
        if not matching:
            called = dict.fromkeys(
                text
                for channel in slide.channels
                for text in (channel.label, *(code.meaning for code in channel.markers))
                if text
            )
            raise SelectionError(f"channel: there is no {name!r}, only {', '.join(called)}")
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
        Whether there is one focal plane, which has the brightest pixel of all of them. What was
        derived from the slide is that of the middle one
    """
    import xarray as xr

    if focal_plane is not None and not focal_plane < slide.num_focal_planes:
        raise SelectionError(
            f"focal_plane: there is no focal plane {focal_plane}, only {slide.num_focal_planes} "
            "from 0 on"
        )
    groups = slide._groups(paths=channels or None)
    if is_projected:
        focal_plane = slide.num_focal_planes // 2
    if focal_plane is not None:
        offset = slide.get_focal_plane_offset(focal_plane) / 1000
        groups = {
            path: _one_plane(dataset, offset, is_projected) for path, dataset in groups.items()
        }
    return xr.DataTree.from_dict(groups)


def _one_plane(dataset: xr.Dataset, offset: float, is_projected: bool) -> xr.Dataset:
    """Leave one focal plane of a node: that at an offset in millimetres, or the brightest."""
    from dicomslide.tree.schema import IMAGE, is_plane

    nearest: dict[Hashable, list[int]] = {}
    for name in dataset.dims:
        if is_plane(name):
            distances = np.abs(dataset[name].values - offset)
            if not is_projected and distances.min() > _SAME_PLANE:
                lacking = [key for key, image in dataset.data_vars.items() if name in image.dims]
                warnings.warn(
                    f"{', '.join(map(str, lacking))} is left out: it is not in the focal plane at "
                    f"{offset * 1000:g} micrometres",
                    stacklevel=2,
                )
                dataset = dataset.drop_dims([name])
            else:
                nearest[name] = [int(distances.argmin())]
    part = dataset.isel(nearest)
    if not is_projected:
        return part
    projected = {}
    for name, variable in dataset.data_vars.items():
        axes = [axis for axis, dim in enumerate(variable.dims) if dim in nearest]
        if IMAGE.find(str(name)) and axes:
            low_is_bright = variable.encoding["photometric_interpretation"] == "MONOCHROME1"
            brightest = variable.data.min if low_is_bright else variable.data.max
            projected[name] = part[name].copy(data=brightest(axis=axes[0], keepdims=True))
            projected[name].encoding = part[name].encoding
    return part.assign(projected)
