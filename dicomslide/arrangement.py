"""Which image shows which level, channel and focal plane of a slide, and where it lies.

The pixels of a slide are placed here, once: every image gets its place, and all that the slide
offers follows from it.
"""

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from dicomslide.damage import reads_image
from dicomslide.enum import ChannelTypes, ImageFlavors
from dicomslide.errors import ArgumentValueError, InvalidImageError
from dicomslide.image import TiledImage
from dicomslide.matrix import TotalPixelMatrix
from dicomslide.metadata.channels import Channel, may_be_one_path, read_path_marks
from dicomslide.metadata.flavors import image_flavor
from dicomslide.metadata.geometry import ImageGeometry
from dicomslide.pixels.array import FrameArray
from dicomslide.pyramid import LevelGrid, base_grid, check_fit, level_grid

__all__ = ["Arrangement", "Plane", "SlideChannel", "arrange"]

_CHANNEL_ORDER = (ChannelTypes.OPTICAL_PATH, ChannelTypes.SEGMENT, ChannelTypes.PARAMETER)
# Focal planes that are closer than this, in micrometres, are one
_SAME_PLANE = 1e-3
# Images of equal size are of one level unless their Pixel Spacing is that of another level
_SAME_LEVEL = 1.25


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
    """

    type: ChannelTypes
    identifier: str
    first: Plane
    planes: dict[tuple[int, int], Plane] = field(default_factory=dict)

    @property
    def description(self) -> Channel:
        """All that the first image that shows the channel says of it."""
        return self.first.image.channels[self.first.channel]

    @property
    def series(self) -> str:
        """Pyramid UID of its images, or Series Instance UID where there is none."""
        return _series(self.first.image)


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
    """

    levels: tuple[LevelGrid, ...]
    template: tuple[TiledImage, ...]
    offsets: tuple[float, ...]
    channels: tuple[SlideChannel, ...]
    off_grid: tuple[TiledImage, ...]
    thumbnails: tuple[TiledImage, ...]


_Known = tuple[int | None, LevelGrid, ImageGeometry]
"""Index of a level, if it is one, its pixels, and where they lie as an image states it."""


@dataclass(frozen=True)
class _Placed:
    """An image, its level if it has one, and its pixels."""

    image: TiledImage
    level: int | None
    grid: LevelGrid
    offset: tuple[int, int] = (0, 0)


def arrange(
    images: Iterable[TiledImage], derived: Iterable[TiledImage], tolerance: float
) -> Arrangement:
    """Arrange the images of a slide, and place each of them.

    Levels are what VOLUME images show, and THUMBNAIL images that fit. Derived images never make
    a level, unless there are no others.

    Parameters
    ----------
    images : iterable of TiledImage
        VOLUME and THUMBNAIL images
    derived : iterable of TiledImage
        Segmentations and Parametric Maps
    tolerance : float
        Tolerated distance in millimetres between the centres of the areas of levels

    Raises
    ------
    ArgumentValueError
        When a level shows another area than the base level
    InvalidImageError
        When an image does not say where it lies, or two show the same level, channel and focal
        plane

    Warns
    -----
    UserWarning
        When a THUMBNAIL image or a derived image does not lie where the slide was imaged
    """
    ordered, rest = (sorted(some, key=lambda i: _order(i.metadata)) for some in (images, derived))
    volumes = [image for image in ordered if not _is_thumbnail(image)]
    thumbnails = [image for image in ordered if _is_thumbnail(image)]
    if not volumes:
        volumes, thumbnails = thumbnails, []
    if not volumes:
        volumes, rest = rest, []
    levels = _Levels(volumes, tolerance)
    placed = [levels.add(image) for image in sorted(volumes, key=_area, reverse=True)]
    placed.sort(key=lambda item: volumes.index(item.image))
    aside = []
    for image in thumbnails:
        try:
            placed.append(levels.add(image))
        except (ArgumentValueError, InvalidImageError) as error:
            warnings.warn(f"{image.label} is no level of the pyramid: {error}", stacklevel=2)
            aside.append(image)
    order = sorted(range(len(levels.grids)), key=lambda i: levels.rank(i), reverse=True)
    return _fill(
        [levels.grids[i] for i in order],
        [levels.stated[i] for i in order],
        [
            _Placed(item.image, order.index(item.level), item.grid)
            for item in placed
            if item.level is not None
        ],
        rest,
        aside,
    )


class _Levels:
    """The levels of a pyramid, as they are found."""

    def __init__(self, volumes: Sequence[TiledImage], tolerance: float) -> None:
        self._base_image = max(volumes, key=_area)
        self._base = base_grid(self._base_image)
        self._tolerance = tolerance
        # Where the finest image of each Total Pixel Matrix Origin lies
        self._corners = [self._base.geometry]
        self.grids: list[LevelGrid] = []
        self.stated: list[ImageGeometry] = []

    def add(self, image: TiledImage) -> _Placed:
        """Find the level of an image, or begin a new one."""
        try:
            grid = self._grid(image)
        except InvalidImageError as error:
            raise InvalidImageError(f"{image.label}: {error}") from error
        check_fit(image, grid, self._base_image, self._base, self._tolerance, "pyramid_tolerance")
        for index, level in enumerate(self.grids):
            if level.size != grid.size:
                continue
            scale = grid.geometry.scale_to(level.geometry)
            if max(*scale, *(1 / n for n in scale)) > _SAME_LEVEL:
                continue
            # Equal grids are one and the same from here on
            if grid.geometry.offset_on(level.geometry, grid.size) == (0, 0):
                z = grid.geometry.origin[2]
                grid = LevelGrid(level.size, level.geometry.at_height(z))
            return _Placed(image, index, grid)
        self.grids.append(grid)
        self.stated.append(image.geometry)
        return _Placed(image, len(self.grids) - 1, grid)

    def _grid(self, image: TiledImage) -> LevelGrid:
        """Find the pixels of an image: all that state one origin have equal top left corners."""
        own = image.geometry
        corner = next((first for first in self._corners if own.repeats_origin_of(first)), None)
        grid = level_grid(image, self._base, corner)
        if corner is None:
            self._corners.append(grid.geometry)
        return grid

    def rank(self, index: int) -> tuple[int, tuple[int, int], float]:
        """Value by which levels are sorted: their size, and of equal ones the finer is larger."""
        grid = self.grids[index]
        return math.prod(grid.size), grid.size, -grid.geometry.spacing[0]


def _fill(
    levels: Sequence[LevelGrid],
    stated: Sequence[ImageGeometry],
    placed: list[_Placed],
    derived: Sequence[TiledImage],
    aside: Sequence[TiledImage],
) -> Arrangement:
    """Distribute channels and focal planes of the placed images over the levels."""
    known: list[_Known] = [
        (index, *level) for index, level in enumerate(zip(levels, stated, strict=True))
    ]
    known += [(None, p.grid, p.image.geometry) for p in placed if _is_off_grid(p, levels)]
    others = [_place_derived(image, known) for image in derived]
    everything = [*placed, *others]
    offsets = _focal_planes(placed, others)
    channels: list[SlideChannel] = []
    thumbnails = list(aside)
    template: dict[int, TiledImage] = {}
    for item in everything:
        used = _add(channels, item, offsets)
        if used and item.level is not None:
            template.setdefault(item.level, item.image)
        if not used:
            thumbnails.append(item.image)
    channels.sort(key=lambda channel: _CHANNEL_ORDER.index(channel.type))
    for item in everything:
        # What the slide hands out lies where the slide has placed it
        item.image._place(_own_geometry(item))
    return Arrangement(
        levels=tuple(levels),
        template=tuple(template[level] for level in range(len(levels))),
        offsets=offsets,
        channels=tuple(channels),
        off_grid=tuple(item.image for item in everything if _is_off_grid(item, levels)),
        thumbnails=tuple(thumbnails),
    )


def _own_geometry(item: _Placed) -> ImageGeometry:
    """Where the first pixel of an image itself lies, which may begin within the grid."""
    return item.grid.geometry.starting_at(item.offset)


def _is_off_grid(item: _Placed, levels: Sequence[LevelGrid]) -> bool:
    return item.level is None or not item.grid.is_same_as(levels[item.level])


def _place_derived(image: TiledImage, known: Sequence[_Known]) -> _Placed:
    """Find the level whose pixels those of a derived image are, if there is one.

    A Segmentation that was made for an image repeats what the image states, and goes with it
    wherever that is placed.

    Parameters
    ----------
    image : TiledImage
        Derived image
    known : sequence of tuple
        Levels, largest first, then images beside them
    """
    own = image.geometry
    for level, grid, stated in known:
        offset = own.offset_on(stated, image.size)
        if offset is None or not _overlaps(offset, image.size, grid.size):
            continue
        geometry = grid.geometry.at_height(own.origin[2])
        if level is None:
            return _Placed(image, None, LevelGrid(image.size, geometry.starting_at(offset)))
        return _Placed(image, level, LevelGrid(grid.size, geometry), offset)
    (left, bottom), (right, top) = own.bounds(image.size)
    (low_x, low_y), (high_x, high_y) = known[0][1].geometry.bounds(known[0][1].size)
    if right <= low_x or left >= high_x or top <= low_y or bottom >= high_y:
        warnings.warn(
            f"{image.label} lies outside of the area of the slide: from ({left:.6g}, {bottom:.6g}) "
            f"to ({right:.6g}, {top:.6g}) mm",
            stacklevel=2,
        )
    return _Placed(image, None, LevelGrid(image.size, own.squared()))


def _overlaps(offset: tuple[int, int], size: tuple[int, int], whole: tuple[int, int]) -> bool:
    return all(
        -count < first < total for first, count, total in zip(offset, size, whole, strict=True)
    )


def _area(image: TiledImage) -> int:
    return math.prod(image.size)


@reads_image
def _order(dataset: Dataset) -> tuple[int, int, str]:
    """Instances in the order of their series and instance numbers."""
    return (
        int(dataset.get("SeriesNumber") or 0),
        int(dataset.get("InstanceNumber") or 0),
        str(dataset.get("SOPInstanceUID")),
    )


def _is_thumbnail(image: TiledImage) -> bool:
    return image_flavor(image.metadata) == ImageFlavors.THUMBNAIL.value


def _image_offsets(image: TiledImage) -> list[float]:
    return [image.get_focal_plane_offset(index) for index in range(image.num_focal_planes)]


def _focal_planes(placed: Sequence[_Placed], derived: Sequence[_Placed]) -> tuple[float, ...]:
    """Merge the focal planes of all images.

    Levels of one plane each show the same plane, whatever their offsets: writers derive the lower
    levels without minding Z. What was derived from them shows it, too.
    """
    items = [*placed, *derived]
    if all(item.image.num_focal_planes == 1 for item in items):
        by_level: dict[object, set[float]] = {}
        for item in placed:
            for key in _identities(item.image):
                by_level.setdefault((item.level, key), set()).update(_image_offsets(item.image))
        if all(len(offsets) == 1 for offsets in by_level.values()):
            largest = max(placed, key=lambda item: _area(item.image))
            return (largest.image.get_focal_plane_offset(0),)
    merged: list[float] = []
    for offset in sorted(offset for item in items for offset in _image_offsets(item.image)):
        if not merged or offset - merged[-1] >= _SAME_PLANE:
            merged.append(offset)
    return tuple(merged)


def _identities(image: TiledImage) -> Iterator[object]:
    """What tells the channels of an image from those of others at its level."""
    for identifier, marks in zip(
        image.channel_identifiers, read_path_marks(image.metadata), strict=True
    ):
        yield image.channel_type.value, identifier, marks


def _add(channels: list[SlideChannel], item: _Placed, offsets: tuple[float, ...]) -> bool:
    """Find the channel of the slide for each channel of an image, or begin a new one.

    Returns
    -------
    bool
        False for a THUMBNAIL image in whose place there are VOLUME images, or of another kind of
        pixels than they are
    """
    image = item.image
    planes = [
        min(range(len(offsets)), key=lambda k: abs(offsets[k] - offset))
        for offset in _image_offsets(image)
    ]
    used = False
    for index, identifier in enumerate(image.channel_identifiers):
        own = {
            (item.level, place): Plane(image, index, own, item.grid, item.offset)
            for own, place in enumerate(planes)
        }
        places = {(level, place): p for (level, place), p in own.items() if level is not None}
        channel = _find(channels, item, index, places)
        if channel is None:
            if _is_thumbnail(image) and channels:
                continue
            channel = SlideChannel(image.channel_type, identifier, next(iter(own.values())))
            channels.append(channel)
        new = {key: plane for key, plane in places.items() if key not in channel.planes}
        channel.planes.update(new)
        used = used or bool(new) or item.level is None
    return used


def _find(
    channels: list[SlideChannel],
    item: _Placed,
    index: int,
    places: dict[tuple[int, int], Plane],
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
    for channel in same:
        first = channel.first
        marks = read_path_marks(first.image.metadata)[first.channel]
        if not may_be_one_path(marks, read_path_marks(image.metadata)[index]):
            continue
        if _is_thumbnail(image):
            return channel if _pixel_kind(first.image) == _pixel_kind(image) else None
        taken = [channel.planes[key].image for key in places if key in channel.planes]
        if not taken:
            return channel
        if _series(taken[0]) == _series(image):
            rows, columns = image.size
            raise InvalidImageError(
                f"{image.label} and {taken[0].label} both show optical path "
                f"{identifier!r} in {rows} x {columns} pixels at the same focal "
                "plane"
            )
    return None


def _pixel_kind(image: TiledImage) -> tuple[object, object]:
    return image.metadata.get("SamplesPerPixel"), image.metadata.get("BitsAllocated")


def _share_series(channel: SlideChannel, image: TiledImage) -> bool:
    series = {_series(plane.image) for plane in channel.planes.values()}
    return _series(image) in series


def _series(image: TiledImage) -> str:
    return str(image.metadata.get("PyramidUID") or image.metadata.get("SeriesInstanceUID"))


def _continues(channel: SlideChannel, image: TiledImage, index: int) -> bool:
    """Whether a segment or parameter is that of a channel, at another level."""
    if channel.series != _series(image):
        return False
    return _meaning(channel.description) == _meaning(image.channels[index])


def _meaning(channel: Channel) -> tuple[str, ...]:
    """What a segment or parameter stands for at all levels."""
    return channel.label, channel.category, channel.property_type, channel.unit
