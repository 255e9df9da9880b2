"""Images of the tree as red, green and blue."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dicomslide.display.channels import Display, choose_window, image_displays
from dicomslide.display.composite import light_of, mix_light
from dicomslide.display.lazily import chunked
from dicomslide.display.orientation import in_order
from dicomslide.errors import ArgumentValueError
from dicomslide.tree.schema import IMAGE, SAMPLE, Variable, is_plane, level_number, variables_of

__all__ = ["as_rgb", "levels_of", "middle_planes", "with_windows"]

_COLORS = ("R", "G", "B")
# Larger levels are not read as a whole to choose a window
_MOST_PIXELS = 2**24


def as_rgb(node: xr.Dataset, name: str = IMAGE.name) -> xr.DataArray:
    """Show the optical paths of an image as red, green and blue.

    Parameters
    ----------
    node : xarray.Dataset
        Level of a tree
    name : str, optional
        Name of the image

    Returns
    -------
    xarray.DataArray
        Array of 8 bits with a last dimension ``sample`` and none of channels: colours as they are,
        or else the light of the first eight channels in the colours and within the windows of the
        coordinates ``color``, ``window_start`` and ``window_end``. Lazy, where the image is

    Raises
    ------
    ArgumentValueError
        When there is no such image, it has several channels of colours, or no window is stated and
        the level is too large to choose one
    """
    if name in node and IMAGE.find(name) is None and SAMPLE in node[name].dims:
        # An image under a name of the user's
        node, name = node[[name]].rename({name: IMAGE.name}), IMAGE.name
    found = next((v for v in variables_of(node, IMAGE) if v.name == name), None)
    if found is None:
        raise ArgumentValueError(f"there is no image {name!r}, only {sorted(map(str, node))}")
    node = node.assign({name: in_order(node[name])})
    image, displays = node[name], image_displays(node, found)
    sample = found.of(SAMPLE)
    if image.sizes.get(sample) == len(_COLORS):
        return _of_colors(image, found, sample)
    if sample in image.dims:
        image = image.isel({sample: 0}, drop=True)
    if found.dimension not in image.dims:
        image = image.expand_dims(found.dimension)
    shown = [index for index, display in enumerate(displays) if display.is_active]
    image = image.isel({found.dimension: shown})
    displays = tuple(displays[index] for index in shown)
    windows = [_window(d, image, {found.dimension: k}) for k, d in enumerate(displays)]
    mixed = xr.apply_ufunc(
        _mix,
        chunked(image, found.dimension),
        kwargs={"displays": displays, "windows": windows},
        input_core_dims=[[found.dimension]],
        output_core_dims=[[SAMPLE]],
        dask="parallelized",
        output_dtypes=[np.uint8],
        dask_gufunc_kwargs={"output_sizes": {SAMPLE: len(_COLORS)}, "allow_rechunk": True},
        keep_attrs=True,
    )
    return mixed.assign_coords(sample=list(_COLORS)).rename(IMAGE.name)


def levels_of(tree: xr.DataTree, name: str = IMAGE.name) -> dict[int, xr.Dataset]:
    """Find the levels that have an image, by their numbers, from the largest to the smallest.

    Parameters
    ----------
    tree : xarray.DataTree
        Tree of a slide, or one of its levels, which has the number 0 then
    name : str, optional
        Name of the image

    Raises
    ------
    ArgumentValueError
        When there is none
    """
    levels = {
        number: node.to_dataset()
        for child, node in tree.children.items()
        if (number := level_number(f"/{child}")) is not None and name in node
    }
    if not levels and name in tree.data_vars:
        return {0: tree.to_dataset()}
    if not levels:
        raise ArgumentValueError(f"the tree has no level with the variable {name!r}")
    return {number: levels[number] for number in sorted(levels)}


def middle_planes(sizes: Mapping[Hashable, int]) -> dict[Hashable, int]:
    """Choose the middle one of the focal planes, as indices of the dimensions that are planes."""
    return {name: size // 2 for name, size in sizes.items() if is_plane(name)}


def with_windows(tree: xr.DataTree, name: str = IMAGE.name) -> dict[int, xr.Dataset]:
    """Find the levels of an image, with a window of each channel.

    Those that no channel states are chosen from the pixels of the smallest level.
    """
    levels = levels_of(tree, name)
    *_, smallest = levels.values()
    variable = IMAGE.find(name)
    if variable is None or smallest[name].sizes.get(variable.of(SAMPLE)) == len(_COLORS):
        return levels
    displays = image_displays(smallest, variable)
    image = smallest[name]
    many = variable.dimension in image.dims
    windows = [
        _window(d, image, {variable.dimension: k} if many else {}) if d.is_active else (np.nan,) * 2
        for k, d in enumerate(displays)
    ]
    dims = (variable.dimension,) if many else ()
    starts, ends = (np.array(v).reshape([-1][: len(dims)]) for v in zip(*windows, strict=True))
    coordinates = {
        variable.of("window_start"): (dims, starts),
        variable.of("window_end"): (dims, ends),
    }
    return {
        number: level.assign_coords(coordinates)
        if level[name].sizes.get(variable.dimension, 1) == len(displays)
        else level
        for number, level in levels.items()
    }


def _window(
    display: Display, image: xr.DataArray, channel: Mapping[Any, int]
) -> tuple[float, float]:
    """Find the window of a channel, or choose it from its pixels; one of 8 bits alone has none."""
    if display.window is not None:
        return display.window
    is_alone = all(image.sizes.get(name, 1) == 1 for name in channel)
    if display.limits and is_alone and image.dtype.itemsize == 1:
        return display.limits
    pixels = image.isel({**channel, **middle_planes(image.sizes)})
    if pixels.size > _MOST_PIXELS:
        raise ArgumentValueError(
            f"no window is stated for the channel {display.label!r}, and {pixels.size:,} pixels "
            "are too many to choose one from: assign the coordinates window_start and window_end, "
            "cut the level, or use the tree, whose smallest level is read"
        )
    found = choose_window(display, pixels.values)
    return found["start"], found["end"]


def _of_colors(image: xr.DataArray, variable: Variable, sample: str) -> xr.DataArray:
    if variable.dimension in image.dims:
        if (count := image.sizes[variable.dimension]) > 1:
            raise ArgumentValueError(
                f"channels of colours are not added: choose one of {count} with "
                f"isel({variable.dimension}=...)"
            )
        image = image.isel({variable.dimension: 0})
    if image.dtype != np.uint8:
        # What was computed of colours, such as their means, is as large as they are
        bits = int(image.encoding.get("bits_stored", 8 * image.dtype.itemsize))
        largest = 2.0**bits - 1 if image.dtype.kind == "u" else 255.0
        image = xr.apply_ufunc(
            light_of,
            chunked(image),
            kwargs={"window": (0.0, largest)},
            dask="parallelized",
            output_dtypes=[np.uint8],
            keep_attrs=True,
        )
    if sample != SAMPLE:
        image = image.rename({sample: SAMPLE})
    return image.rename(IMAGE.name)


def _mix(
    pixels: NDArray, displays: Sequence[Display], windows: Sequence[tuple[float, float]]
) -> NDArray[np.uint8]:
    """Add the light of channels along the last axis."""
    lights = [
        light_of(pixels[..., index], window, display.is_inverted)
        for index, (display, window) in enumerate(zip(displays, windows, strict=True))
    ]
    return mix_light(lights, [display.color for display in displays])
