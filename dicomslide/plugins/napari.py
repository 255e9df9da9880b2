"""Slides as layers of napari: levels, channels and labels, in micrometres."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import dask.array as da
import zarr

from dicomslide.export.arrays import TreeArray
from dicomslide.export.content import Image
from dicomslide.export.virtual import VirtualStore, as_zarr
from dicomslide.opening import open_slides
from dicomslide.stores.files import holds_images

__all__ = ["find_reader", "read_layers"]

Paths = str | os.PathLike[str] | list[str]
LayerData = tuple[list[da.Array], dict[str, Any], str]

_COLORS = 3


def find_reader(path: Paths) -> Callable[[Paths], list[LayerData]] | None:
    """Find out whether files are of slides: what npe2 asks a reader.

    Parameters
    ----------
    path : str or list of str
        Folder, file or files

    Returns
    -------
    callable or None
        `read_layers` for slides; None for anything else
    """
    return read_layers if holds_images(path) else None


def read_layers(path: Paths) -> list[LayerData]:
    """Open slides as layers; no pixels are read yet.

    Parameters
    ----------
    path : str or list of str
        Folder, file or files of slides

    Returns
    -------
    list of tuple
        Levels, settings and kind of each layer
    """
    slides = open_slides(path)
    layers = []
    for slide in slides:
        store = as_zarr(slide)
        start = f"{store.plan.images[0].name} " if len(slides) > 1 else ""
        for image in store.plan.images:
            for levels, settings, kind in _layers(store, image):
                settings["name"] = start + settings["name"]
                layers.append((levels, settings | _place(image), kind))
    return layers


def _layers(store: VirtualStore, image: Image) -> Iterator[LayerData]:
    """Make the layers of an image: one for each channel, or for each of its labels."""
    arrays = [da.from_zarr(store, component=array.path) for array in store.plan.arrays[image.path]]
    has_planes = image.levels[0].shape[1] > 1
    if image.label:
        colors = {value: "#" + bytes(rgba).hex() for value, rgba in image.label.colors.items()}
        settings: dict[str, Any] = {
            "name": image.name,
            "colormap": {None: "transparent", **colors},
            "features": {
                "index": list(image.label.properties),
                "name": [about["name"] for about in image.label.properties.values()],
            },
        }
        yield [array if has_planes else array[0] for array in arrays], settings, "labels"
        return
    planes = [array if has_planes else array[:, 0] for array in arrays]
    attributes: Any = zarr.open_group(store, path=image.path, mode="r").attrs.asdict()
    channels = attributes["ome"]["omero"]["channels"]
    # Images beside the first one are looked at when somebody wants to
    is_first = image.path == ""
    pixels = image.levels[0].pixels
    if isinstance(pixels, TreeArray) and pixels.samples == _COLORS:
        for c in range(0, len(channels), _COLORS):
            rgb = [da.moveaxis(array[c : c + _COLORS], 0, -1) for array in planes]
            name = image.name if len(channels) == _COLORS else channels[c]["label"][:-2]
            yield rgb, {"name": name, "rgb": True, "visible": is_first and c == 0}, "image"
        return
    for c, channel in enumerate(channels):
        window = channel["window"]
        settings = {
            "name": channel["label"],
            "colormap": "gray_r" if channel["inverted"] else f"#{channel['color']}",
            "contrast_limits": (window["start"], window["end"]),
            "blending": "additive",
            "visible": is_first and channel["active"],
        }
        yield [array[c] for array in planes], settings, "image"


def _place(image: Image) -> dict[str, Any]:
    """Say where the layers of an image lie."""
    level = image.levels[0]
    first = 0 if level.shape[1] > 1 else 1
    unit = "micrometer" if level.calibration.known else "pixel"
    axes = ("z", "y", "x")[first:]
    return {
        "multiscale": True,
        "scale": level.calibration.scale[first:],
        "translate": level.calibration.translation[first:],
        "units": (unit,) * len(axes),
        "axis_labels": axes,
    }
