"""Metadata of a slide by the names of OpenSlide."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import STR_VR, VR

from dicomslide.errors import DicomSlideError
from dicomslide.metadata.channels import channel_items
from dicomslide.metadata.functional_groups import PER_FRAME_GROUPS
from dicomslide.metadata.optional import optional_number, optional_text, optional_value
from dicomslide.openslide.levels import Level
from dicomslide.openslide.names import (
    PROPERTY_NAME_BACKGROUND_COLOR,
    PROPERTY_NAME_BARCODE,
    PROPERTY_NAME_BOUNDS_HEIGHT,
    PROPERTY_NAME_BOUNDS_WIDTH,
    PROPERTY_NAME_BOUNDS_X,
    PROPERTY_NAME_BOUNDS_Y,
    PROPERTY_NAME_COMMENT,
    PROPERTY_NAME_MPP_X,
    PROPERTY_NAME_MPP_Y,
    PROPERTY_NAME_OBJECTIVE_POWER,
    PROPERTY_NAME_QUICKHASH1,
    PROPERTY_NAME_VENDOR,
)
from dicomslide.pixels.array import FrameArray

__all__ = ["BACKGROUND_COLOR", "slide_properties"]

BACKGROUND_COLOR = "FFFFFF"


def slide_properties(
    levels: Sequence[Level], downsamples: Sequence[float], associated: Mapping[str, Level]
) -> dict[str, str]:
    """Collect the properties of a slide.

    Parameters
    ----------
    levels : sequence of Level
        Levels, largest first
    downsamples : sequence of float
        Downsampling factors of the levels
    associated : dict
        Associated images by the names of OpenSlide

    Returns
    -------
    dict
        Properties by name. ``dicom.…`` are the attributes of the base level, without those that are
        damaged, have binary values or are of single frames
    """
    base = levels[0]
    found = {
        PROPERTY_NAME_VENDOR: "dicom",
        PROPERTY_NAME_BACKGROUND_COLOR: BACKGROUND_COLOR,
        "openslide.level-count": str(len(levels)),
        **_attributes_by_name(base.image.metadata, associated),
        **_scale(base),
        **_bounds(base.array),
        **_profile_size("openslide", base),
    }
    for index, (level, factor) in enumerate(zip(levels, downsamples, strict=True)):
        name = f"openslide.level[{index}]"
        height, width, _ = level.array.tile_shape
        found |= _size(name, level) | {
            f"{name}.downsample": _text(factor),
            f"{name}.tile-height": str(height),
            f"{name}.tile-width": str(width),
        }
    for kind, image in associated.items():
        name = f"openslide.associated.{kind}"
        found |= _size(name, image) | _profile_size(name, image)
    found |= _attributes(getattr(base.image.metadata, "file_meta", Dataset()), "dicom")
    found |= _attributes(base.image.metadata, "dicom")
    return dict(sorted(found.items()))


def _attributes_by_name(base: Dataset, associated: Mapping[str, Level]) -> dict[str, str]:
    found = {PROPERTY_NAME_COMMENT: optional_text(base, "ImageComments")}
    series = optional_value(base, "SeriesInstanceUID")
    if series:
        # OpenSlide hashes the string with its terminating zero
        found[PROPERTY_NAME_QUICKHASH1] = hashlib.sha256(f"{series}\0".encode()).hexdigest()
    sources = [associated["label"].image.metadata] if "label" in associated else []
    barcodes = [optional_value(dataset, "BarcodeValue") for dataset in (*sources, base)]
    barcode = next(filter(None, barcodes), None)
    if barcode:
        found[PROPERTY_NAME_BARCODE] = str(barcode)
    for item in channel_items(base)[:1]:
        power = optional_number(item, "ObjectiveLensPower")
        if power is not None:
            found[PROPERTY_NAME_OBJECTIVE_POWER] = _text(power)
    return found


def _scale(base: Level) -> dict[str, str]:
    between_rows, between_columns = base.image.geometry.spacing
    return {
        PROPERTY_NAME_MPP_X: _text(between_columns * 1000),
        PROPERTY_NAME_MPP_Y: _text(between_rows * 1000),
    }


def _bounds(array: FrameArray) -> dict[str, str]:
    """Make the properties of the rectangle of the base level that frames cover."""
    rows, columns = array.size
    _, positions = array.tiling.find(0, 0, rows, columns)
    height, width = array.tile_shape[:2]
    top = max(min((r for r, _ in positions), default=0), 0)
    left = max(min((c for _, c in positions), default=0), 0)
    bottom = min(max((r + height for r, _ in positions), default=0), rows)
    right = min(max((c + width for _, c in positions), default=0), columns)
    return {
        PROPERTY_NAME_BOUNDS_X: str(left),
        PROPERTY_NAME_BOUNDS_Y: str(top),
        PROPERTY_NAME_BOUNDS_WIDTH: str(right - left),
        PROPERTY_NAME_BOUNDS_HEIGHT: str(bottom - top),
    }


def _size(name: str, level: Level) -> dict[str, str]:
    width, height = level.dimensions
    return {f"{name}.width": str(width), f"{name}.height": str(height)}


def _profile_size(name: str, level: Level) -> dict[str, str]:
    # An image whose profile cannot be read is described without it
    with suppress(DicomSlideError):
        if level.profile is not None:
            return {f"{name}.icc-size": str(len(level.profile))}
    return {}


def _attributes(dataset: Dataset, prefix: str) -> Iterator[tuple[str, str]]:
    for tag in dataset.keys():  # noqa: SIM118
        # The items of frames are skipped unparsed, as a sparse slide has tens of thousands
        if tag != PER_FRAME_GROUPS and not _is_group_length(tag):
            yield from _element(dataset, tag, prefix)


def _is_group_length(tag: BaseTag) -> bool:
    """Whether an element is the length of its group (PS3.5 7.2)."""
    return tag.element == 0


def _element(dataset: Dataset, tag: BaseTag, prefix: str) -> list[tuple[str, str]]:
    try:
        element = dataset[tag]
        return list(_values(element, f"{prefix}.{element.keyword}")) if element.keyword else []
    # A damaged attribute is left out
    except Exception:
        return []


def _values(element: DataElement, name: str) -> Iterator[tuple[str, str]]:
    """Yield names and values of the properties of an element; binary values are left out."""
    value = element.value
    if element.VR == VR.SQ:
        for index, item in enumerate(value):
            yield from _attributes(item, f"{name}[{index}]")
        return
    values = list(value) if element.VM > 1 else [] if element.is_empty else [value]
    if element.VR == VR.AT:
        values = [number for tag in values for number in (tag.group, tag.element)]
    elif not values and element.VR in STR_VR:
        values = [""]
    if any(isinstance(item, bytes) for item in values):
        return
    for index, item in enumerate(values):
        text = _text(item) if type(item) is float else str(item)
        yield (name if len(values) == 1 else f"{name}[{index}]"), text


def _text(value: float) -> str:
    """Format a number as OpenSlide does: with 17 digits, without trailing zeros."""
    return f"{value:.17g}"
