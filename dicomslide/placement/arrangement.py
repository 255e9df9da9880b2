"""Which image shows which level, channel and focal plane of a slide."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from dicomslide.enum import ChannelTypes
from dicomslide.errors import InvalidImageError
from dicomslide.image import TiledImage
from dicomslide.matrix import TotalPixelMatrix
from dicomslide.metadata.channels import Channel, may_be_one_path, read_path_marks
from dicomslide.metadata.described import describe_channels
from dicomslide.metadata.flavors import has_colors, is_thumbnail
from dicomslide.metadata.geometry import ImageGeometry
from dicomslide.metadata.presentation import Presentation, Window, agreed
from dicomslide.metadata.references import read_uid
from dicomslide.pixels.array import FrameArray
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

_CHANNEL_ORDER = (ChannelTypes.OPTICAL_PATH, ChannelTypes.SEGMENT, ChannelTypes.PARAMETER)
# Focal planes that are closer than this, in micrometres, are one
_SAME_PLANE = 1e-3

_Shown = dict[tuple[tuple[str, str], Identity], set[tuple[int | None, int]]]
"""Levels and focal planes of each channel of each series."""


@dataclass(frozen=True)
class Plane:
    """One focal plane of one channel of an image, as part of the slide.

    Parameters
    ----------
    image : TiledImage
        Image
    channel, focal_plane : int
        Indices of the image itself
    grid : LevelGrid
        Pixels that the slide counts: those of the level, where the image lies on them
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
        """Where the pixels of the grid lie on the slide."""
        return self.grid.geometry

    @property
    def array(self) -> FrameArray:
        """Pixels of the grid."""
        array = self.image.get_total_pixel_matrix(self.channel, self.focal_plane).array
        return array.placed(self.offset, self.grid.size)

    @property
    def label_map(self) -> FrameArray:
        """Segment numbers of a label map, on the grid."""
        array = self.image.get_label_map(self.focal_plane).array
        return array.placed(self.offset, self.grid.size)

    @property
    def matrix(self) -> TotalPixelMatrix:
        """Pixels of the grid."""
        return TotalPixelMatrix._of(self.array)


@dataclass(eq=False)
class SlideChannel:
    """A channel of a slide and the images that show it.

    Parameters
    ----------
    type : ChannelTypes
        What the channel is
    identifier : str
        Optical Path Identifier, Segment Number or LUT Label
    first : Plane
        A plane of the first image that shows the channel
    planes : dict
        Indices of level and focal plane to a plane; none for an image off the grids of the levels
    claimed : set
        Levels and focal planes at which the series of the channel show it, including those of
        images that are still to be added
    """

    type: ChannelTypes
    identifier: str
    first: Plane
    planes: dict[tuple[int, int], Plane] = field(default_factory=dict)
    claimed: set[tuple[int | None, int]] = field(default_factory=set)

    @property
    def own_description(self) -> Channel:
        """All that the first image that shows the channel says of it."""
        return self.first.image.channels[self.first.channel]

    @property
    def images(self) -> list[TiledImage]:
        """The images that show it."""
        planes = self.planes.values() or [self.first]
        return list(dict.fromkeys(plane.image for plane in planes))

    @property
    def series(self) -> str:
        """Pyramid UID of its images, or Series Instance UID where there is none."""
        return family_of(self.first.image)


@dataclass(frozen=True)
class Arrangement:
    """The levels, channels and focal planes of a slide.

    Parameters
    ----------
    levels : tuple of LevelGrid
        Pixels of each level, those of the largest one first
    template : tuple of TiledImage
        An image of each level, of an optical path where there is one
    offsets : tuple of float
        Z offset of each focal plane in micrometres, ascending
    channels : tuple of SlideChannel
        Optical paths, then segments, then parameters
    off_grid : tuple of TiledImage
        Images whose pixels are those of no level
    thumbnails : tuple of TiledImage
        THUMBNAIL images that are no level
    presentations : tuple of sequence of Presentation
        What each Presentation State says of the images
    """

    levels: tuple[LevelGrid, ...]
    template: tuple[TiledImage, ...]
    offsets: tuple[float, ...]
    channels: tuple[SlideChannel, ...]
    off_grid: tuple[TiledImage, ...]
    thumbnails: tuple[TiledImage, ...]
    presentations: tuple[Sequence[Presentation], ...]

    @cached_property
    def descriptions(self) -> tuple[Channel, ...]:
        """Description of each channel."""
        return describe_channels(
            [channel.own_description for channel in self.channels],
            [has_colors(channel.first.image.metadata) for channel in self.channels],
            [self._presented(channel) for channel in self.channels],
        )

    def with_paths(self, indices: Collection[int]) -> "Arrangement":
        """Leave out other optical paths than those of given indices into channels."""
        kept = [
            index
            for index, channel in enumerate(self.channels)
            if index in indices or channel.type is not ChannelTypes.OPTICAL_PATH
        ]
        part = replace(self, channels=tuple(self.channels[index] for index in kept))
        # Markers and colours are those that follow from all channels
        part.__dict__["descriptions"] = tuple(self.descriptions[index] for index in kept)
        return part

    def _presented(self, channel: SlideChannel) -> tuple[str, Window | None]:
        """Find the first colour and the first window that Presentation States give a channel."""
        uids = [(read_uid(i.metadata), _series(i)[1]) for i in channel.images]
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
    channels.sort(key=lambda channel: _CHANNEL_ORDER.index(channel.type))
    return Arrangement(
        levels=placement.levels,
        template=tuple(template[level] for level in range(len(placement.levels))),
        offsets=offsets,
        channels=tuple(channels),
        off_grid=tuple(i.image for i in everything if is_off_grid(i, placement.levels)),
        thumbnails=tuple(thumbnails),
        presentations=tuple(presentations),
    )


def _image_offsets(image: TiledImage) -> list[float]:
    return [image.get_focal_plane_offset(index) for index in range(image.num_focal_planes)]


def _focal_planes(
    scanned: Sequence[PlacedImage], derived: Sequence[PlacedImage]
) -> tuple[float, ...]:
    """Merge the focal planes of all images.

    Levels of one plane each show the same plane, whatever their offsets: writers derive the lower
    levels without minding Z. What was derived from the planes shows the nearest ones, and adds
    planes only where two of its own would be one.
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
    """Collect the levels and focal planes of each channel of each series."""
    shown: _Shown = {}
    for item in items:
        for index, identity in enumerate(identities(item.image)):
            places = shown.setdefault((_series(item.image), identity), set())
            own = _planes_of(item.image, index, offsets)
            places.update((item.level, place) for place in own.values())
    return shown


def _planes_of(image: TiledImage, channel: int, offsets: tuple[float, ...]) -> dict[int, int]:
    """Find the focal plane of the slide for each of an image that shows a channel."""
    own = _image_offsets(image)
    return {k: _nearest(offsets, own[k]) for k in image._instance.focal_planes_of(channel)}


def _add(
    channels: list[SlideChannel], item: PlacedImage, offsets: tuple[float, ...], shown: _Shown
) -> bool:
    """Find the channel of the slide for each channel of an image, or begin a new one.

    Returns
    -------
    bool
        False for a THUMBNAIL image in whose place there are VOLUME images, or of another kind of
        pixels than they are
    """
    image = item.image
    used = False
    for index, identifier in enumerate(image.channel_identifiers):
        own = {
            (item.level, place): Plane(image, index, of_image, item.grid, item.offset)
            for of_image, place in _planes_of(image, index, offsets).items()
        }
        places = {(level, place): p for (level, place), p in own.items() if level is not None}
        channel = _find(channels, item, index, places, shown)
        if channel is None:
            if is_thumbnail(image.metadata) and any(c.first.image is not image for c in channels):
                continue
            channel = SlideChannel(image.channel_type, identifier, next(iter(own.values())))
            channels.append(channel)
        new = {key: plane for key, plane in places.items() if key not in channel.planes}
        channel.planes.update(new)
        channel.claimed |= shown[_series(image), tuple(identities(image))[index]]
        used = used or bool(new) or item.level is None
    return used


def _find(
    channels: list[SlideChannel],
    item: PlacedImage,
    index: int,
    places: dict[tuple[int, int], Plane],
    shown: _Shown,
) -> SlideChannel | None:
    image = item.image
    identifier = image.channel_identifiers[index]
    same = [c for c in channels if c.type is image.channel_type and c.identifier == identifier]
    if image.channel_type is not ChannelTypes.OPTICAL_PATH:
        # A segment or parameter goes on at another level of the same pyramid; equal numbers in
        # another Segmentation are other segments
        for channel in same:
            is_free = item.level is not None and channel.planes.keys().isdisjoint(places)
            if is_free and channel.planes and _continues(channel, image, index):
                return channel
        return None
    # The series that shows a path at one level shows it at the others, too
    same.sort(key=lambda channel: not _share_series(channel, image))
    own = shown[_series(image), tuple(identities(image))[index]]
    marks = read_path_marks(image.metadata)[index]
    for channel in same:
        if is_thumbnail(image.metadata):
            if any(_shows_like(plane, image, marks) for plane in channel.planes.values()):
                return channel
            continue
        first = channel.first
        if not may_be_one_path(read_path_marks(first.image.metadata)[first.channel], marks):
            continue
        taken = [channel.planes[key].image for key in places if key in channel.planes]
        if not taken:
            # What another series shows where this one has a path as well is another path
            if _share_series(channel, image) or own.isdisjoint(channel.claimed):
                return channel
            continue
        if _series(taken[0]) == _series(image):
            rows, columns = image.size
            raise InvalidImageError(
                f"{image.label} and {taken[0].label} both show optical path "
                f"{identifier!r} in {rows} x {columns} pixels at the same focal "
                "plane"
            )
    return None


def _shows_like(plane: Plane, image: TiledImage, marks: tuple[str, ...]) -> bool:
    """Whether an image of the slide shows a path as a THUMBNAIL image does."""
    own = read_path_marks(plane.image.metadata)[plane.channel]
    same_kind = pixel_kind(plane.image.metadata) == pixel_kind(image.metadata)
    return same_kind and may_be_one_path(own, marks)


def _share_series(channel: SlideChannel, image: TiledImage) -> bool:
    series = {_series(plane.image) for plane in channel.planes.values()}
    return _series(image) in series


def _series(image: TiledImage) -> tuple[str, str]:
    """Pyramid and series: optical paths of one name in others may be other paths."""
    pyramid, series = map(image.metadata.get, ("PyramidUID", "SeriesInstanceUID"))
    return str(pyramid or ""), str(series)


def _continues(channel: SlideChannel, image: TiledImage, index: int) -> bool:
    """Whether a segment or parameter is that of a channel, at another level."""
    if channel.series != family_of(image):
        return False
    return _meaning(channel.own_description) == _meaning(image.channels[index])


def _meaning(channel: Channel) -> tuple[str, ...]:
    """What a segment or parameter stands for at all levels."""
    codes = (*channel.categories, *channel.property_types)
    return channel.label, *(code.meaning for code in codes), channel.unit


def family_of(image: TiledImage) -> str:
    """Get the Pyramid UID, or Series Instance UID, which derived images of one pyramid share."""
    pyramid, series = _series(image)
    return pyramid or series
