"""Assignment of images to the levels, channels and focal planes of a slide."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from dicomslide.enum import ChannelTypes
from dicomslide.errors import InvalidImageError
from dicomslide.image import TiledImage
from dicomslide.matrix import TotalPixelMatrix
from dicomslide.metadata.channel_kind import Channel
from dicomslide.metadata.channels import may_be_one_path
from dicomslide.metadata.described import describe_channels
from dicomslide.metadata.flavors import has_colors
from dicomslide.metadata.geometry import ImageGeometry
from dicomslide.metadata.kinds import KINDS
from dicomslide.metadata.presentation import Presentation, Window, agreed
from dicomslide.metadata.references import read_uid
from dicomslide.pixels.array import FrameArray
from dicomslide.placement.grids import Grids
from dicomslide.placement.images import (
    Identity,
    PlacedImage,
    identities,
    is_off_grid,
    pixel_kind,
    place_images,
)
from dicomslide.pyramid import LevelGrid

__all__ = ["Arrangement", "Plane", "SlideChannel", "arrange"]

# Focal planes that are closer than this, in micrometres, are one
_SAME_PLANE = 1e-3

_Shown = dict[tuple[tuple[str, str], Identity], set[tuple[int | None, int]]]
"""Levels and focal planes at which each series shows each of its channels."""


@dataclass(frozen=True)
class Plane:
    """Focal plane of a channel of an image, as part of the slide.

    Parameters
    ----------
    image : TiledImage
        Image that shows the plane
    channel, focal_plane : int
        Indices of the channel and the focal plane in the image
    grid : LevelGrid
        Grid of pixels of the level if the image lies on it, otherwise that of the image
    offset : tuple of int
        Row and column of the grid where the image begins
    """

    image: TiledImage
    channel: int
    focal_plane: int
    grid: LevelGrid
    offset: tuple[int, int] = (0, 0)

    @property
    def geometry(self) -> ImageGeometry:
        """Position of the grid on the slide."""
        return self.grid.geometry

    @property
    def array(self) -> FrameArray:
        """Lazy array of the pixels on the grid."""
        array = self.image.get_total_pixel_matrix(self.channel, self.focal_plane).array
        return array.placed(self.offset, self.grid.size)

    @property
    def label_map(self) -> FrameArray:
        """Lazy array of the segment numbers of a label map on the grid."""
        array = self.image.get_label_map(self.focal_plane).array
        return array.placed(self.offset, self.grid.size)

    @property
    def matrix(self) -> TotalPixelMatrix:
        """Total pixel matrix of the pixels on the grid."""
        return TotalPixelMatrix._of(self.array)


@dataclass(eq=False)
class SlideChannel:
    """Channel of a slide, and the images that show it.

    Parameters
    ----------
    type : ChannelTypes
        Kind of the channel
    identifier : str
        Optical Path Identifier, Segment Number or LUT Label
    first : Plane
        First plane of the first image that shows the channel
    planes : dict
        Planes by the indices of level and focal plane; empty for an image that has no level
    claimed : set
        Levels and focal planes at which the series of the channel show it, including those of
        images that are not added yet
    """

    type: ChannelTypes
    identifier: str
    first: Plane
    planes: dict[tuple[int, int], Plane] = field(default_factory=dict)
    claimed: set[tuple[int | None, int]] = field(default_factory=set)

    @property
    def own_description(self) -> Channel:
        """Description of the channel by the first image that shows it."""
        return self.first.image.channels[self.first.channel]

    @property
    def images(self) -> list[TiledImage]:
        """Images that show the channel."""
        planes = self.planes.values() or [self.first]
        return list(dict.fromkeys(plane.image for plane in planes))

    @property
    def series(self) -> str:
        """Pyramid UID of the channel's images, or Series Instance UID where there is none."""
        return family_of(self.first.image)


@dataclass(frozen=True)
class Arrangement:
    """Levels, channels and focal planes of a slide.

    Parameters
    ----------
    levels : tuple of LevelGrid
        Grid of pixels of each level, the largest first
    template : tuple of TiledImage
        One image of each level, of an optical path where there is one
    offsets : tuple of float
        Z offset of each focal plane in micrometres, ascending
    channels : tuple of SlideChannel
        Optical paths, then segments, then parameters
    off_grid : tuple of TiledImage
        Images whose pixels do not lie on the grid of a level
    thumbnails : tuple of TiledImage
        THUMBNAIL images that are not a level
    presentations : tuple of sequence of Presentation
        Presentations of images by each Presentation State
    grids : Grids
        Grids of pixels that derived images may lie on
    """

    levels: tuple[LevelGrid, ...]
    template: tuple[TiledImage, ...]
    offsets: tuple[float, ...]
    channels: tuple[SlideChannel, ...]
    off_grid: tuple[TiledImage, ...]
    thumbnails: tuple[TiledImage, ...]
    presentations: tuple[Sequence[Presentation], ...]
    grids: Grids

    @cached_property
    def descriptions(self) -> tuple[Channel, ...]:
        """Description of each channel."""
        return describe_channels(
            [channel.own_description for channel in self.channels],
            [has_colors(channel.first.image.metadata) for channel in self.channels],
            [self._presented(channel) for channel in self.channels],
        )

    @property
    def images(self) -> list[TiledImage]:
        """Images of all channels, each once, or else the first one of the template."""
        images = [plane.image for c in self.channels for plane in c.planes.values()]
        return list(dict.fromkeys(images)) or [self.template[0]]

    def with_paths(self, indices: Collection[int]) -> "Arrangement":
        """Return the arrangement with only some of the optical paths, by indices of channels."""
        kept = [
            index
            for index, channel in enumerate(self.channels)
            if index in indices or channel.type is not ChannelTypes.OPTICAL_PATH
        ]
        part = replace(self, channels=tuple(self.channels[index] for index in kept))
        # Descriptions are kept, as markers and colours depend on all channels of the slide
        part.__dict__["descriptions"] = tuple(self.descriptions[index] for index in kept)
        return part

    def _presented(self, channel: SlideChannel) -> tuple[str, Window | None]:
        """Find the first colour and the first window of a channel in the Presentation States."""
        uids = [(read_uid(i.metadata), i._instance.series[1]) for i in channel.images]
        found = [
            agreed(p for p in parts if any(p.shows(*uid, channel.identifier) for uid in uids))
            for parts in self.presentations
        ]
        color = next((color for color, _ in found if color), "")
        return color, next((window for _, window in found if window), None)


def arrange(
    images: Iterable[TiledImage],
    derived: Iterable[TiledImage],
    tolerance: float,
    presentations: Iterable[Sequence[Presentation]] = (),
) -> Arrangement:
    """Arrange the images of a slide: see `place_images` for the arguments, errors and warnings.

    Raises
    ------
    InvalidImageError
        When two images show the same level, channel and focal plane
    """
    placement = place_images(images, derived, tolerance)
    offsets = _focal_planes(placement.scanned, placement.derived)
    channels: list[SlideChannel] = []
    thumbnails = list(placement.aside)
    template: dict[int, TiledImage] = {}
    everything = [*placement.scanned, *placement.derived]
    shown = _shown_by_series(everything, offsets)
    for item in everything:
        used = _add(channels, item, offsets, shown)
        if used and item.level is not None:
            template.setdefault(item.level, item.image)
        if not used:
            thumbnails.append(item.image)
    order = list(KINDS)
    channels.sort(key=lambda channel: order.index(channel.type))
    return Arrangement(
        levels=placement.levels,
        template=tuple(template[level] for level in range(len(placement.levels))),
        offsets=offsets,
        channels=tuple(channels),
        off_grid=tuple(i.image for i in everything if is_off_grid(i, placement.levels)),
        thumbnails=tuple(thumbnails),
        presentations=tuple(presentations),
        grids=placement.grids,
    )


def _image_offsets(image: TiledImage) -> list[float]:
    return [image.get_focal_plane_offset(index) for index in range(image.num_focal_planes)]


def _focal_planes(
    scanned: Sequence[PlacedImage], derived: Sequence[PlacedImage]
) -> tuple[float, ...]:
    """Merge the focal planes of all images.

    Where all levels have one plane, it is the same plane whatever their Z offsets, as writers
    derive lower levels without caring for Z. Planes of derived images are the nearest planes of the
    slide, and are added to these only where two of them would otherwise be the same.

    Returns
    -------
    tuple of float
        Z offset of each focal plane in micrometres, ascending
    """
    found = _scanned_planes(scanned)
    for item in derived:
        own = _image_offsets(item.image)
        if len({_nearest(found, offset) for offset in own}) < len(own):
            found = _merged([*found, *own])
    return found


def _scanned_planes(scanned: Sequence[PlacedImage]) -> tuple[float, ...]:
    if all(item.image.num_focal_planes == 1 for item in scanned):
        by_level: dict[object, set[float]] = {}
        for item in scanned:
            for key in identities(item.image):
                by_level.setdefault((item.level, key), set()).update(_image_offsets(item.image))
        if all(len(offsets) == 1 for offsets in by_level.values()):
            largest = max(scanned, key=lambda item: math.prod(item.image.size))
            return (largest.image.get_focal_plane_offset(0),)
    return _merged(offset for item in scanned for offset in _image_offsets(item.image))


def _merged(offsets: Iterable[float]) -> tuple[float, ...]:
    merged: list[float] = []
    for offset in sorted(offsets):
        if not merged or offset - merged[-1] >= _SAME_PLANE:
            merged.append(offset)
    return tuple(merged)


def _nearest(offsets: Sequence[float], offset: float) -> int:
    return min(range(len(offsets)), key=lambda k: abs(offsets[k] - offset))


def _shown_by_series(items: Sequence[PlacedImage], offsets: tuple[float, ...]) -> _Shown:
    """Collect the levels and focal planes at which each series shows each of its channels."""
    shown: _Shown = {}
    for item in items:
        for index, identity in enumerate(identities(item.image)):
            places = shown.setdefault((item.image._instance.series, identity), set())
            own = _planes_of(item.image, index, offsets)
            places.update((item.level, place) for place in own.values())
    return shown


def _planes_of(image: TiledImage, channel: int, offsets: tuple[float, ...]) -> dict[int, int]:
    """Map the focal planes at which an image shows a channel to those of the slide."""
    own = _image_offsets(image)
    return {k: _nearest(offsets, own[k]) for k in image._instance.focal_planes_of(channel)}


def _add(
    channels: list[SlideChannel], item: PlacedImage, offsets: tuple[float, ...], shown: _Shown
) -> bool:
    """Add the channels of an image to those of the slide that they belong to, or as new ones.

    Returns
    -------
    bool
        False if nothing was added: for a THUMBNAIL image where VOLUME images show all of it, or
        have pixels of another kind
    """
    image = item.image
    used = False
    for index, identifier in enumerate(image.channel_identifiers):
        own = {
            (item.level, place): Plane(image, index, focal_plane, item.grid, item.offset)
            for focal_plane, place in _planes_of(image, index, offsets).items()
        }
        places = {(level, place): p for (level, place), p in own.items() if level is not None}
        channel = _find(channels, item, index, places, shown)
        if channel is None:
            if image._instance.is_thumbnail and any(c.first.image is not image for c in channels):
                continue
            channel = SlideChannel(image.channel_type, identifier, next(iter(own.values())))
            channels.append(channel)
        new = {key: plane for key, plane in places.items() if key not in channel.planes}
        channel.planes.update(new)
        channel.claimed |= shown[image._instance.series, tuple(identities(image))[index]]
        used = used or bool(new) or item.level is None
    return used


def _find(
    channels: list[SlideChannel],
    item: PlacedImage,
    index: int,
    places: dict[tuple[int, int], Plane],
    shown: _Shown,
) -> SlideChannel | None:
    """Find the channel of the slide that a channel of an image belongs to, at given planes."""
    image = item.image
    identifier = image.channel_identifiers[index]
    same = [c for c in channels if c.type is image.channel_type and c.identifier == identifier]
    if image.channel_type is not ChannelTypes.OPTICAL_PATH:
        # Only images of one pyramid show one segment at several levels: equal numbers in another
        # Segmentation are other segments
        for channel in same:
            is_free = item.level is not None and channel.planes.keys().isdisjoint(places)
            if is_free and channel.planes and _continues(channel, image, index):
                return channel
        return None
    # Channels of the image's own series come first, as a series shows a path at all its levels
    same.sort(key=lambda channel: not _share_series(channel, image))
    own = shown[image._instance.series, tuple(identities(image))[index]]
    marks = image._instance.path_marks[index]
    for channel in same:
        if image._instance.is_thumbnail:
            if any(_shows_like(plane, image, marks) for plane in channel.planes.values()):
                return channel
            continue
        first = channel.first
        if not may_be_one_path(first.image._instance.path_marks[first.channel], marks):
            continue
        taken = [channel.planes[key].image for key in places if key in channel.planes]
        if not taken:
            # Another series shows the same path only where its levels and planes are not claimed
            # by this one
            if _share_series(channel, image) or own.isdisjoint(channel.claimed):
                return channel
            continue
        if taken[0]._instance.series == image._instance.series:
            rows, columns = image.size
            raise InvalidImageError(
                f"{image.label} and {taken[0].label} both show optical path "
                f"{identifier!r} in {rows} x {columns} pixels at the same focal "
                "plane"
            )
    return None


def _shows_like(plane: Plane, image: TiledImage, marks: tuple[str, ...]) -> bool:
    """Whether a plane may show a path of a THUMBNAIL image, with the same kind of pixels."""
    own = plane.image._instance.path_marks[plane.channel]
    same_kind = pixel_kind(plane.image.metadata) == pixel_kind(image.metadata)
    return same_kind and may_be_one_path(own, marks)


def _share_series(channel: SlideChannel, image: TiledImage) -> bool:
    series = {plane.image._instance.series for plane in channel.planes.values()}
    return image._instance.series in series


def _continues(channel: SlideChannel, image: TiledImage, index: int) -> bool:
    """Whether a segment or parameter of an image is that of a channel, at another level."""
    if channel.series != family_of(image):
        return False
    return _meaning(channel.own_description) == _meaning(image.channels[index])


def _meaning(channel: Channel) -> tuple[str, ...]:
    """Collect label, codes and unit of a segment or parameter, which are equal at all levels."""
    codes = (*channel.categories, *channel.property_types)
    return channel.label, *(code.meaning for code in codes), channel.unit


def family_of(image: TiledImage) -> str:
    """Return the Pyramid UID, or Series Instance UID, which derived images of a pyramid share."""
    pyramid, series = image._instance.series
    return pyramid or series
