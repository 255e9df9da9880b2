"""The tree of a slide, with what an export needs beyond it: colours, bits and places."""

from collections.abc import Iterator
from typing import Any

import highdicom as hd
import numpy as np
import xarray as xr
from pydicom.dataset import Dataset

from dicomslide.damage import reads_image
from dicomslide.enum import ChannelTypes
from dicomslide.image import TiledImage
from dicomslide.metadata.channels import Channel, channel_items
from dicomslide.metadata.geometry import read_geometry
from dicomslide.slide import Slide

__all__ = ["PIXELS_NAME", "groups_of", "read_slide"]

# Key of the encoding of a variable
PIXELS_NAME = "pixels_name"


def groups_of(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    """Get the nodes of a tree, which may be a part of another one, by their paths in it."""
    return {
        "/" if path == "." else f"/{path}": node.to_dataset(inherit=False)
        for path, node in tree.subtree_with_keys
    }


def read_slide(slide: Slide) -> dict[str, xr.Dataset]:
    """Make the nodes of the tree of a slide, which read no frame yet.

    Beside what is always there, levels and associated images have the attribute
    ``total_pixel_matrix_origin`` in millimetres, images ``bits_stored``, optical paths the
    coordinate ``emission`` in nanometres, and segments ``color`` and ``segmentation_type``.
    """
    groups = slide.to_groups(None)
    # Unlike lazy arrays of xarray those of dask have a name that other processes give them too
    named = slide.to_groups("frames", mask_and_scale=False)
    for path, group in groups.items():
        for name, variable in group.data_vars.items():
            variable.encoding[PIXELS_NAME] = named[path][name].data.name
    base = next(image for image, _ in _images(slide) if image.size == slide.size)
    for path, group in groups.items():
        if path.startswith("/level_"):
            group.attrs["total_pixel_matrix_origin"] = list(base.geometry.origin)
            groups[path] = _described(slide, group)
    for name, images in (("label", slide.label_images), ("overview", slide.overview_images)):
        for number, image in enumerate(images):
            path = f"/associated/{name}" + (f"_{number}" if number else "")
            groups[path].attrs.update(_placement(image))
    return groups


def _images(slide: Slide) -> Iterator[tuple[TiledImage, int]]:
    """All images of the levels, and the channel of the slide that they are found by."""
    for channel in range(slide.num_channels):
        for plane in range(slide.num_focal_planes):
            for image in slide.get_volume_images(channel, plane):
                yield image, channel


def _described(slide: Slide, level: xr.Dataset) -> xr.Dataset:
    """Add what is known of the channels of a level."""
    size = level.sizes["y"], level.sizes["x"]
    shown: dict[int, TiledImage] = {}
    for image, channel in _images(slide):
        if image.size == size:
            shown.setdefault(channel, image)
    remaining = dict(shown)
    for name, variable in level.data_vars.items():
        kind, _, number = str(name).partition("_")
        suffix = f"_{number}" if number else ""
        if kind == "image":
            identifiers = level["channel" + suffix].values.tolist()
            found = [_optical_path(slide, shown, str(i)) for i in identifiers]
            variable.attrs["bits_stored"] = max(int(i.metadata.BitsStored) for i, _ in found)
            emissions = [_emission(item) for _, item in found]
            level = level.assign_coords({"emission" + suffix: ("channel" + suffix, emissions)})
        elif kind == "segmentation":
            rows = [_segment(slide, remaining, level, suffix, i) for i in range(len(variable))]
            columns = zip(("color", "segmentation_type"), zip(*rows, strict=True), strict=True)
            for key, values in columns:
                level = level.assign_coords({key + suffix: ("segment" + suffix, list(values))})
    return level


def _optical_path(
    slide: Slide, shown: dict[int, TiledImage], identifier: str
) -> tuple[TiledImage, Dataset]:
    for index, image in shown.items():
        channel = slide.channels[index]
        if channel.type is ChannelTypes.OPTICAL_PATH and channel.identifier == identifier:
            return image, _item(image, channel)
    raise AssertionError("the tree has the optical paths of the slide")


def _segment(
    slide: Slide, remaining: dict[int, TiledImage], level: xr.Dataset, suffix: str, row: int
) -> tuple[str, str]:
    """Colour and Segmentation Type of a segment: the first one of its kind that is left."""
    names = ("segment", "label", "category", "type", "algorithm")
    wanted = [str(level[name + suffix].values[row]) for name in names]
    is_mask = level["segmentation" + suffix].dtype == bool
    for index, image in remaining.items():
        channel = slide.channels[index]
        if channel.type is not ChannelTypes.SEGMENT or (channel.slope == 1.0) != is_mask:
            continue
        found = [channel.identifier, channel.label, channel.category]
        if [*found, channel.property_type, channel.algorithm] == wanted:
            del remaining[index]
            return _color(_item(image, channel)), str(image.metadata.get("SegmentationType", ""))
    return "", ""


def _item(image: TiledImage, channel: Channel) -> Dataset:
    items = channel_items(image.metadata)
    matches = [i for i, other in enumerate(image.channels) if other == channel]
    return items[matches[0]] if items and matches else Dataset()


@reads_image
def _color(item: Dataset) -> str:
    """Recommended Display CIELab Value (PS3.3 C.8.20.2) as sRGB; empty where there is none."""
    value = item.get("RecommendedDisplayCIELabValue")
    if value is None or len(value) != 3:
        return ""
    red, green, blue = hd.color.CIELabColor.from_dicom_value(tuple(map(int, value))).to_rgb()
    return f"{red:02X}{green:02X}{blue:02X}"


@reads_image
def _emission(item: Dataset) -> float:
    """Image Path Filter Pass-Through Wavelength (PS3.3 C.8.12.5); NaN where there is none."""
    return float(item.get("ImagePathFilterPassThroughWavelength") or np.nan)


def _placement(image: TiledImage) -> dict[str, Any]:
    geometry = read_geometry(image.metadata)
    if geometry is None:
        return {}
    return {
        "pixel_spacing": list(geometry.spacing),
        "image_orientation_slide": list(geometry.orientation),
        "total_pixel_matrix_origin": list(geometry.origin),
    }
