"""Which image shows which level, channel and focal plane of a slide."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from dicomslide.damage import reads_image
from dicomslide.enum import ChannelTypes, ImageFlavors
from dicomslide.errors import InvalidImageError
from dicomslide.image import TiledImage
from dicomslide.metadata.channels import Channel
from dicomslide.metadata.flavors import image_flavor

__all__ = ["Arrangement", "Plane", "SlideChannel", "arrange"]

_CHANNEL_ORDER = (ChannelTypes.OPTICAL_PATH, ChannelTypes.SEGMENT, ChannelTypes.PARAMETER)
# Focal planes that are closer than this, in micrometres, are one
_SAME_PLANE = 1e-3

Size = tuple[int, int]


@dataclass(frozen=True)
class Plane:
    """One focal plane of one channel of an image.

    Parameters
    ----------
    image : TiledImage
        Image
    channel, focal_plane : int
        Indices of the image itself
    """

    image: TiledImage
    channel: int
    focal_plane: int


@dataclass(eq=False)
class SlideChannel:
    """A channel of a slide and the images that show it.

    Parameters
    ----------
    type : ChannelTypes
        What the channel is
    identifier : str
        Optical Path Identifier, Segment Number or LUT Label
    planes : dict
        Where it is found: size of the level and index of the focal plane to a plane of an image
    """

    type: ChannelTypes
    identifier: str
    planes: dict[tuple[Size, int], Plane] = field(default_factory=dict)

    @property
    def description(self) -> Channel:
        """All that the first image that shows the channel says of it."""
        plane = next(iter(self.planes.values()))
        return plane.image.channels[plane.channel]


@dataclass(frozen=True)
class Arrangement:
    """The levels, channels and focal planes of a slide.

    Parameters
    ----------
    sizes : tuple
        Rows and columns of each level, largest first
    offsets : tuple of float
        Z offset of each focal plane in micrometres, ascending
    channels : tuple of SlideChannel
        Optical paths, then segments, then parameters
    """

    sizes: tuple[Size, ...]
    offsets: tuple[float, ...]
    channels: tuple[SlideChannel, ...]

    def template(self) -> tuple[TiledImage, ...]:
        """Get one image for each level: an optical path where there is one."""
        found: dict[Size, TiledImage] = {}
        for channel in self.channels:
            for (size, _), plane in channel.planes.items():
                found.setdefault(size, plane.image)
        return tuple(found[size] for size in self.sizes)


def arrange(images: Iterable[TiledImage]) -> Arrangement:
    """Arrange the VOLUME, THUMBNAIL and derived images of a slide.

    Raises
    ------
    InvalidImageError
        When two images show the same level, channel and focal plane
    """
    ordered = sorted(images, key=lambda image: _order(image.metadata))
    offsets = _focal_planes(ordered)
    channels: list[SlideChannel] = []
    for image in ordered:
        _add(channels, image, offsets)
    channels.sort(key=lambda channel: _CHANNEL_ORDER.index(channel.type))
    sizes = {size for channel in channels for size, _ in channel.planes}
    return Arrangement(
        sizes=tuple(sorted(sizes, key=lambda size: (math.prod(size), size), reverse=True)),
        offsets=offsets,
        channels=tuple(channels),
    )


@reads_image
def _order(dataset: Dataset) -> tuple[bool, int, int, str]:
    """Instances in the order of their series and instance numbers, VOLUME before THUMBNAIL."""
    return (
        _is_thumbnail(dataset),
        int(dataset.get("SeriesNumber") or 0),
        int(dataset.get("InstanceNumber") or 0),
        str(dataset.get("SOPInstanceUID")),
    )


def _is_thumbnail(dataset: Dataset) -> bool:
    return image_flavor(dataset) == ImageFlavors.THUMBNAIL.value


def _image_offsets(image: TiledImage) -> list[float]:
    return [image.get_focal_plane_offset(index) for index in range(image.num_focal_planes)]


def _focal_planes(images: Sequence[TiledImage]) -> tuple[float, ...]:
    """Merge the focal planes of all images.

    Levels of one plane each show the same plane, whatever their offsets: writers derive the lower
    levels without minding Z.
    """
    if all(image.num_focal_planes == 1 for image in images):
        by_level: dict[tuple[Size, str, str], set[float]] = {}
        for image in images:
            for identifier in image.channel_identifiers:
                key = image.size, image.channel_type.value, identifier
                by_level.setdefault(key, set()).update(_image_offsets(image))
        if all(len(offsets) == 1 for offsets in by_level.values()) and images:
            largest = max(images, key=lambda image: math.prod(image.size))
            return (largest.get_focal_plane_offset(0),)
    merged: list[float] = []
    for offset in sorted(offset for image in images for offset in _image_offsets(image)):
        if not merged or offset - merged[-1] >= _SAME_PLANE:
            merged.append(offset)
    return tuple(merged)


def _add(channels: list[SlideChannel], image: TiledImage, offsets: tuple[float, ...]) -> None:
    """Find the channel of the slide for each channel of an image, or begin a new one."""
    planes = [
        min(range(len(offsets)), key=lambda k: abs(offsets[k] - offset))
        for offset in _image_offsets(image)
    ]
    for index, identifier in enumerate(image.channel_identifiers):
        places = {(image.size, place): Plane(image, index, own) for own, place in enumerate(planes)}
        channel = _find(channels, image, identifier, places)
        if channel is None:
            channel = SlideChannel(image.channel_type, identifier)
            channels.append(channel)
        for key, plane in places.items():
            channel.planes.setdefault(key, plane)


def _find(
    channels: list[SlideChannel],
    image: TiledImage,
    identifier: str,
    places: dict[tuple[Size, int], Plane],
) -> SlideChannel | None:
    for channel in channels:
        if channel.type is not image.channel_type or channel.identifier != identifier:
            continue
        taken = [channel.planes[key].image for key in places if key in channel.planes]
        if channel.type is ChannelTypes.OPTICAL_PATH:
            if taken and not _is_thumbnail(image.metadata):
                rows, columns = image.size
                raise InvalidImageError(
                    f"{image.label} and {taken[0].label} both show optical path "
                    f"{identifier!r} in {rows} x {columns} pixels at the same focal "
                    "plane"
                )
            return channel
        # A segment or parameter goes on at another level of the same pyramid; equal numbers in
        # another Segmentation are other segments
        sibling = next(iter(channel.planes.values())).image
        if not taken and _family(sibling.metadata) == _family(image.metadata):
            return channel
    return None


def _family(dataset: Dataset) -> str:
    """What the derived images of one pyramid have in common."""
    return str(dataset.get("PyramidUID") or dataset.get("SeriesInstanceUID"))
