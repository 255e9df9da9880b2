"""Overlays of the viewer: derived images of a slide, and arrays that a user computed."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
import xarray as xr

from dicomslide.display.bands import Band, Groups, find_bands, levels_of
from dicomslide.display.channels import Display
from dicomslide.display.raster import Grid, Raster
from dicomslide.errors import ArgumentTypeError, ArgumentValueError, StoreError
from dicomslide.metadata.colors import distinct_color
from dicomslide.tree.schema import (
    COLUMNS,
    LABEL_MAP,
    MAPS,
    ROWS,
    SEGMENTATION,
    is_derived,
    is_plane,
    texts_of,
    variables_of,
)
from dicomslide.viewing.axes import SlideAxes, over_area, place
from dicomslide.viewing.layers import Labels, Layer, Mask, Quantity

__all__ = ["derived_layers", "open_overlays"]


def derived_layers(groups: Groups, axes: SlideAxes | None) -> tuple[list[Layer], list[str]]:
    """Find the segments, label maps and parametric maps of a tree.

    Parameters
    ----------
    groups : mapping
        Nodes of the tree, by their paths
    axes : SlideAxes or None
        Where the slide has its axes

    Returns
    -------
    list of Layer
        Layers
    list of str
        Paths of what cannot be shown, as it is turned against the slide by other angles than those
        of 90 degrees
    """
    levels = levels_of(groups)
    layers: list[Layer] = list(_layers_of(levels))
    others: list[str] = []
    orientation = levels[0].attrs.get("image_orientation_slide")
    for path, node in groups.items():
        if is_derived(path):
            placed = place(node, axes)
            if placed is node and node.attrs.get("image_orientation_slide") != orientation:
                others.append(path.removeprefix("/"))
            else:
                layers += _layers_of([placed])
    return layers, others


def _layers_of(levels: Sequence[xr.Dataset]) -> Iterator[Layer]:
    known = _segments_of_label_maps(levels)
    yield from map(Mask, find_bands([_without_label_maps(node) for node in levels], SEGMENTATION))
    for band in find_bands(levels, LABEL_MAP):
        attributes = band.finest.variable.attrs
        series = str(attributes.get("segment_series", ""))
        names, colors = _meanings(attributes), {}
        for number in names:
            if (series, number) in known:
                names[number], colors[number] = known[series, number]
        yield Labels(band, names, {number: color for number, color in colors.items() if color})
    for kind in MAPS:
        for band in find_bands(levels, kind):
            yield Quantity(band, palette())


def _without_label_maps(level: xr.Dataset) -> xr.Dataset:
    """Drop the segments that the label maps of a level show together."""
    if not any(variables_of(level, LABEL_MAP)):
        return level
    for variable in variables_of(level, SEGMENTATION):
        if types := texts_of(level, variable.of("segmentation_type")):
            kept = [index for index, text in enumerate(types) if text != "LABELMAP"]
            level = level.isel({variable.dimension: kept})
    return level


def _segments_of_label_maps(levels: Sequence[xr.Dataset]) -> dict[tuple[str, int], tuple[str, str]]:
    """Find label and colour of segments, by their series and number."""
    names = ("segment_series", "segment", "label", "segment_color")
    known = {}
    for level in levels:
        for variable in variables_of(level, SEGMENTATION):
            columns = [texts_of(level, variable.of(name)) for name in names]
            for series, number, label, color in zip(*columns, strict=False):
                known[series, int(number)] = label, color
    return known


def _meanings(attributes: Mapping[Any, Any]) -> dict[int, str]:
    """Read what numbers stand for: attributes of CF, whose words have no spaces."""
    numbers = np.atleast_1d(attributes.get("flag_values", [])).tolist()
    words = str(attributes.get("flag_meanings", "")).split()
    return {
        int(number): word.replace("_", " ") for number, word in zip(numbers, words, strict=False)
    }


def palette() -> tuple[str, ...]:
    """Colours of values, from the smallest to the largest, six hexadecimal digits each."""
    from bokeh.palettes import Viridis256

    return tuple(color.removeprefix("#").upper() for color in Viridis256)


def open_overlays(overlays: Any, axes: SlideAxes | None, grid: Grid) -> list[Layer]:
    """Make layers of the overlays that a user gives.

    Parameters
    ----------
    overlays : mapping, or one or a sequence of overlays
        Arrays, data sets and trees of xarray, arrays of two dimensions, or paths and URLs of Zarr
        stores or paths of image files; in a mapping by their names. Without coordinates an array
        covers the whole slide
    axes : SlideAxes or None
        Where the slide has its axes
    grid : Grid
        Base level of the slide

    Raises
    ------
    TypeError, ValueError
        When it is none of these, or does not lie on the slide
    """
    if overlays is None:
        return []
    if not isinstance(overlays, Mapping) or isinstance(overlays, xr.Dataset | xr.DataTree):
        is_several = isinstance(overlays, Sequence) and not isinstance(overlays, str)
        overlays = dict(enumerate(overlays if is_several else [overlays]))
    colors = map(distinct_color, count())
    layers: list[Layer] = []
    for name, overlay in overlays.items():
        found = _images_of(_open(overlay))
        for key, levels in found.items():
            given = str(name) if isinstance(name, str) else ""
            title = " ".join(filter(None, (given, key if len(found) > 1 or not given else "")))
            placed = [_placed(image, axes, grid) for image in levels]
            layers += _layers(title or "overlay", placed, colors)
    return layers


def _open(overlay: Any) -> Any:
    """Open the overlay at a path or a URL."""
    if not isinstance(overlay, str | os.PathLike):
        return overlay
    path = os.fspath(overlay)
    if "://" in path or os.path.isdir(path):
        return _open_zarr(path)
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            return np.asarray(picture)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise StoreError(f"overlays: {path}: {error}") from error


def _open_zarr(path: str) -> xr.DataTree:
    try:
        with warnings.catch_warnings():
            # Stores without consolidated metadata are as good
            warnings.filterwarnings("ignore", "Failed to open Zarr store with cons", RuntimeWarning)
            return xr.open_datatree(path, engine="zarr", chunks={})
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"overlays: {path}: {error}") from error


def _images_of(overlay: Any) -> dict[str, list[xr.DataArray]]:
    """Find the images of an overlay by their names, at all levels that show them."""
    if isinstance(overlay, xr.DataArray):
        return {str(overlay.name or ""): [overlay]}
    if isinstance(overlay, xr.DataTree):
        groups = {f"/{path}": node.to_dataset() for path, node in overlay.subtree_with_keys}
        nodes = levels_of(groups) or list(groups.values())
    elif isinstance(overlay, xr.Dataset):
        nodes = [overlay]
    elif getattr(overlay, "ndim", None) == len((ROWS, COLUMNS)):
        return {"": [xr.DataArray(overlay, dims=(ROWS, COLUMNS))]}
    else:
        raise ArgumentTypeError(
            "overlays: expected arrays of two dimensions, or of xarray with coordinates, got "
            f"{type(overlay).__name__} of shape {getattr(overlay, 'shape', None)}"
        )
    found: dict[str, list[xr.DataArray]] = {}
    for node in nodes:
        for name, image in node.data_vars.items():
            if image.ndim > 1:
                found.setdefault(str(name), []).append(image)
    if not found:
        raise ArgumentValueError("overlays: there is no array of two or more dimensions")
    return found


def _placed(image: xr.DataArray, axes: SlideAxes | None, grid: Grid) -> xr.DataArray:
    placed = place(image, axes)
    return placed if {ROWS, COLUMNS} <= set(placed.coords) else over_area(placed, grid)


def _layers(name: str, levels: Sequence[xr.DataArray], colors: Iterator[str]) -> Iterator[Layer]:
    """Make a layer of each channel of an overlay."""
    first = levels[0]
    others = [d for d in first.dims if d not in (ROWS, COLUMNS) and not is_plane(d)]
    if len(others) > 1 or any(level.dims != first.dims for level in levels):
        raise ArgumentValueError(f"overlays: {name!r} has the dimensions {first.dims}")
    rasters = [Raster.of(level) for level in levels]
    names = [name]
    if others:
        labels = np.atleast_1d(first[others[0]].values).tolist()
        names = [f"{name} {label}" for label in labels]
    for index, title in enumerate(names):
        band = Band(title, Display(title, next(colors)), unit=str(first.attrs.get("units", "")))
        band.rasters.update((raster, index) for raster in rasters)
        if first.dtype.kind == "b":
            yield Mask(band)
        elif first.dtype.kind in "iu":
            yield Labels(band, _meanings(first.attrs))
        elif first.dtype.kind == "f":
            yield Quantity(band, palette())
        else:
            raise ArgumentTypeError(f"overlays: {name!r} has values of type {first.dtype}")
