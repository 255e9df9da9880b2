"""Readers of the channels of an image: optical paths, segments or parameters."""

from pydicom.dataset import Dataset

from dicomslide.enum import ChannelTypes
from dicomslide.errors.damage import reads_image
from dicomslide.metadata.channel_kind import Channel
from dicomslide.metadata.kinds import kind_of
from dicomslide.metadata.optional import optional_number

__all__ = [
    "channel_items",
    "channel_type",
    "objective_lens_power",
    "read_channels",
    "read_identifiers",
]

_PATH_MARKS = (
    "OpticalPathDescription",
    "IlluminationWaveLength",
    "ImagePathFilterPassThroughWavelength",
)


def channel_type(dataset: Dataset) -> ChannelTypes:
    """Determine the kind of the channels of an image by its SOP Class."""
    return kind_of(dataset).type


@reads_image
def channel_items(dataset: Dataset) -> list[Dataset]:
    """Read the sequence items that describe the channels of an image, in their order."""
    return kind_of(dataset).items(dataset)


def objective_lens_power(dataset: Dataset) -> float | None:
    """Read the first Objective Lens Power of an image; None where none is stated, or it is 0."""
    powers = (optional_number(item, "ObjectiveLensPower") for item in channel_items(dataset))
    return next((power for power in powers if power), None)


@reads_image
def read_path_marks(dataset: Dataset) -> tuple[tuple[str, ...], ...]:
    """Read attributes that tell optical paths with equal identifiers apart; empty if not stated.

    Returns
    -------
    tuple of tuple of str
        Description and wavelengths of each channel of the image
    """
    items = channel_items(dataset) or [Dataset()]
    return tuple(tuple(str(item.get(k) or "") for k in _PATH_MARKS) for item in items)


def may_be_one_path(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """Whether the marks of two optical paths with equal identifiers allow them to be one path."""
    return all(not a or not b or a == b for a, b in zip(first, second, strict=True))


@reads_image
def read_identifiers(dataset: Dataset) -> tuple[str, ...]:
    """Read the identifiers of the channels of an image, and nothing else of them.

    Raises
    ------
    InvalidImageError
        When a Segmentation has no segments, or a segment has no Segment Number
    """
    kind = kind_of(dataset)
    return kind.identifiers(dataset, kind.items(dataset))


@reads_image
def read_channels(dataset: Dataset) -> tuple[Channel, ...]:
    """Read the channels of an image in the order of the items that describe them.

    Raises
    ------
    InvalidImageError
        When a Segmentation has no segments, or a segment has no Segment Number
    """
    kind = kind_of(dataset)
    items = kind.items(dataset)
    return kind.channels(dataset, items, kind.identifiers(dataset, items))
