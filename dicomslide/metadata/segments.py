"""Segments: the channels of Segmentations and Label Map Segmentations (PS3.3 C.8.20.2)."""

from collections.abc import Sequence
from functools import partial
from operator import attrgetter

from pydicom.dataset import Dataset

from dicomslide.enum import ChannelTypes
from dicomslide.errors import InvalidImageError
from dicomslide.metadata.channel_kind import Channel, ChannelKind, Coordinate, coded
from dicomslide.metadata.codes import CodeItem, code_of
from dicomslide.metadata.colors import read_display_color
from dicomslide.metadata.flavors import LABEL_MAP_SEGMENTATION, is_label_map

__all__ = ["SEGMENTS"]

_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"


def _items(dataset: Dataset) -> list[Dataset]:
    items = list(dataset.get("SegmentSequence") or ())
    if is_label_map(dataset):
        # Segment Number 0 of a label map stands for pixels that belong to no segment
        items = [item for item in items if item.get("SegmentNumber") != 0]
    return items


def _identifiers(dataset: Dataset, items: Sequence[Dataset]) -> tuple[str, ...]:
    if not items:
        raise InvalidImageError("a Segmentation needs a Segment Sequence")
    if not all(isinstance(item.get("SegmentNumber"), int) for item in items):
        raise InvalidImageError("a segment has no Segment Number")
    return tuple(str(item.get("SegmentNumber")) for item in items)


def _channels(
    dataset: Dataset, items: Sequence[Dataset], identifiers: Sequence[str]
) -> tuple[Channel, ...]:
    segment = partial(_segment, str(dataset.get("SegmentationType") or ""), _fraction(dataset))
    return tuple(map(segment, identifiers, items))


def _fraction(dataset: Dataset) -> float:
    """Read the fraction that a stored 1 stands for in a Segmentation (PS3.3 C.8.20.2.3)."""
    if dataset.get("SegmentationType") != "FRACTIONAL":
        return 1.0
    return 1.0 / max(int(dataset.get("MaximumFractionalValue") or 255), 1)


def _segment(segmentation_type: str, slope: float, identifier: str, item: Dataset) -> Channel:
    return Channel(
        ChannelTypes.SEGMENT,
        identifier=identifier,
        label=str(item.get("SegmentLabel") or ""),
        categories=_codes(item, "SegmentedPropertyCategoryCodeSequence"),
        property_types=_codes(item, "SegmentedPropertyTypeCodeSequence"),
        algorithm=str(item.get("SegmentAlgorithmType") or ""),
        color=read_display_color(item),
        segmentation_type=segmentation_type,
        slope=slope,
    )


def _codes(item: Dataset, keyword: str) -> tuple[CodeItem, ...]:
    return tuple(map(code_of, item.get(keyword) or ()))[:1]


SEGMENTS = ChannelKind(
    type=ChannelTypes.SEGMENT,
    sop_classes=frozenset({_SEGMENTATION, LABEL_MAP_SEGMENTATION}),
    items=_items,
    identifiers=_identifiers,
    channels=_channels,
    attribute="SegmentNumber",
    reference=("SegmentIdentificationSequence", "ReferencedSegmentNumber"),
    variable="segmentation",
    dimension="segment",
    coordinates=(
        Coordinate(
            "segment",
            "Segment Number",
            lambda channel: int(channel.identifier),
            int,
            long_name="segment number",
        ),
        Coordinate("label", "Segment Label", attrgetter("label")),
        *coded("category", "Segmented Property Category", "categories"),
        *coded("type", "Segmented Property Type", "property_types"),
        Coordinate("algorithm", "Segment Algorithm Type", attrgetter("algorithm")),
        Coordinate(
            "segment_color",
            "Recommended Display CIELab Value as sRGB, hexadecimal",
            attrgetter("color"),
            long_name="sRGB, hexadecimal",
        ),
        Coordinate("segmentation_type", "Segmentation Type", attrgetter("segmentation_type")),
    ),
    series="segment_series",
    identity=("segment", "label", "segment_series"),
    heading="Segments",
)
