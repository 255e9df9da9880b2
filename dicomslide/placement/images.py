"""Positions of the images of a slide, decided once for everything that uses the slide.

Levels are aligned with the base level of their pyramid, and derived images with the image that they
were made from.
"""

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset

from dicomslide.errors import ArgumentValueError, InvalidImageError
from dicomslide.errors.damage import reads_image
from dicomslide.image import TiledImage
from dicomslide.metadata.channels import may_be_one_path
from dicomslide.metadata.geometry import ImageGeometry, are_of_one_level
from dicomslide.placement.grids import Grids, KnownGrid
from dicomslide.pyramid import LevelGrid, base_grid, check_fit, level_grid

__all__ = [
    "Identity",
    "PlacedImage",
    "Placement",
    "identities",
    "is_off_grid",
    "pixel_kind",
    "place_images",
]

Identity = tuple[str, str, tuple[str, ...]]
"""Type, identifier and marks of a channel."""


@dataclass(frozen=True)
class PlacedImage:
    """Image with its level and its position on a grid of pixels.

    Parameters
    ----------
    image : TiledImage
        Image that is placed
    level : int or None
        Index of the level; None for an image that has none
    grid : LevelGrid
        Grid of pixels that the image lies on
    offset : tuple of int
        Row and column of the grid where the image begins
    """

    image: TiledImage
    level: int | None
    grid: LevelGrid
    offset: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Placement:
    """Levels of a slide, and positions of its images.

    Parameters
    ----------
    levels : tuple of LevelGrid
        Grid of pixels of each level, the largest first
    scanned : tuple of PlacedImage
        VOLUME images, then THUMBNAIL images that fit into the pyramid
    derived : tuple of PlacedImage
        Segmentations and Parametric Maps
    aside : tuple of TiledImage
        THUMBNAIL images that do not fit into the pyramid
    grids : Grids
        Grids of pixels that derived images may lie on
    """

    levels: tuple[LevelGrid, ...]
    scanned: tuple[PlacedImage, ...]
    derived: tuple[PlacedImage, ...]
    aside: tuple[TiledImage, ...]
    grids: Grids


def place_images(
    images: Iterable[TiledImage], derived: Iterable[TiledImage], tolerance: float
) -> Placement:
    """Place the images of a slide.

    VOLUME images make the levels, and so do THUMBNAIL images that fit. Derived images make levels
    only if there are no other images.

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
        When an image does not state its position

    Warns
    -----
    UserWarning
        When a THUMBNAIL image does not fit into the pyramid, or a derived image lies outside of the
        area of the slide
    """
    ordered, rest = (sorted(some, key=lambda i: _order(i.metadata)) for some in (images, derived))
    volumes = [image for image in ordered if not image._instance.is_thumbnail]
    thumbnails = [image for image in ordered if image._instance.is_thumbnail]
    if not volumes and thumbnails:
        largest = max(thumbnails, key=_area)
        volumes, thumbnails = [largest], [image for image in thumbnails if image is not largest]
    if not volumes:
        volumes, rest = rest, []
    found = _Levels(volumes, tolerance)
    places = {image.uid: found.add(image) for image in sorted(volumes, key=_area, reverse=True)}
    placed = [places[image.uid] for image in volumes]
    aside = []
    for image in thumbnails:
        if not any(_shows_path_of(image, volume) for volume in volumes):
            aside.append(image)
            continue
        try:
            placed.append(found.add(image))
        except (ArgumentValueError, InvalidImageError) as error:
            warnings.warn(f"{image.label} is no level of the pyramid: {error}", stacklevel=2)
            aside.append(image)
    order = sorted(range(len(found.grids)), key=found.rank, reverse=True)
    levels = tuple(found.grids[i] for i in order)
    scanned = [
        replace(item, level=order.index(item.level)) for item in placed if item.level is not None
    ]
    known = [KnownGrid(level, found.grids[i], found.stated[i]) for level, i in enumerate(order)]
    known += [KnownGrid(None, i.grid, i.image.geometry) for i in scanned if is_off_grid(i, levels)]
    grids = Grids(tuple(known))
    others = [_place_derived(image, grids) for image in rest]
    for item in (*scanned, *others):
        # Images get the position that was decided here, so that they agree with the slide
        item.image._place(item.grid.geometry.starting_at(item.offset))
    return Placement(levels, tuple(scanned), tuple(others), tuple(aside), grids)


class _Levels:
    """Levels of a pyramid, to which images are added one after the other, largest first."""

    def __init__(self, volumes: Sequence[TiledImage], tolerance: float) -> None:
        self._base_image = max(volumes, key=_area)
        self._base = base_grid(self._base_image)
        self._tolerance = tolerance
        # Position of the finest image with each Total Pixel Matrix Origin
        self._corners = [self._base.geometry]
        self.grids: list[LevelGrid] = []
        self.stated: list[ImageGeometry] = []

    def add(self, image: TiledImage) -> PlacedImage:
        """Find the level of an image, or add a new one."""
        # Images that state the same origin are taken to have the same top left corner
        own = image.geometry
        corner = next((first for first in self._corners if own.repeats_origin_of(first)), None)
        try:
            grid = level_grid(image, self._base_image, self._base, corner)
        except InvalidImageError as error:
            raise InvalidImageError(f"{image.label}: {error}") from error
        check_fit(image, grid, self._base_image, self._base, self._tolerance, "pyramid_tolerance")
        if corner is None:
            self._corners.append(grid.geometry)
        for index, level in enumerate(self.grids):
            if level.size != grid.size:
                continue
            if not are_of_one_level(grid.geometry.spacing, level.geometry.spacing):
                continue
            # Equal grids share one geometry, which makes later comparisons cheap
            if grid.geometry.offset_on(level.geometry, grid.size) == (0, 0):
                z = grid.geometry.origin[2]
                grid = LevelGrid(level.size, level.geometry.at_height(z))
            return PlacedImage(image, index, grid)
        self.grids.append(grid)
        self.stated.append(image.geometry)
        return PlacedImage(image, len(self.grids) - 1, grid)

    def rank(self, index: int) -> tuple[int, tuple[int, int], float]:
        """Compute the sorting key of a level: its size, and for equal sizes its finer spacing."""
        grid = self.grids[index]
        return math.prod(grid.size), grid.size, -grid.geometry.spacing[0]


def is_off_grid(item: PlacedImage, levels: Sequence[LevelGrid]) -> bool:
    """Whether the pixels of an image do not lie on the grid of a level."""
    return item.level is None or not item.grid.is_same_as(levels[item.level])


def _place_derived(image: TiledImage, grids: Grids) -> PlacedImage:
    """Place a derived image on the grid of a level, if its pixels are those of one.

    Parameters
    ----------
    image : TiledImage
        Derived image
    grids : Grids
        Levels, largest first, then images off the grids of the levels
    """
    own = image.geometry
    place = grids.find(own, image.size)
    if not place.is_known:
        (left, bottom), (right, top) = own.bounds(image.size)
        base = grids.known[0].grid
        (low_x, low_y), (high_x, high_y) = base.geometry.bounds(base.size)
        if right <= low_x or left >= high_x or top <= low_y or bottom >= high_y:
            warnings.warn(
                f"{image.label} lies outside of the area of the slide: from "
                f"({left:.6g}, {bottom:.6g}) to ({right:.6g}, {top:.6g}) mm",
                stacklevel=2,
            )
    return PlacedImage(image, place.level, place.grid, place.offset)


def _area(image: TiledImage) -> int:
    return math.prod(image.size)


@reads_image
def _order(dataset: Dataset) -> tuple[int, int, str]:
    """Read the sorting key of an image: Series Number, Instance Number and SOP Instance UID."""
    return (
        int(dataset.get("SeriesNumber") or 0),
        int(dataset.get("InstanceNumber") or 0),
        str(dataset.get("SOPInstanceUID")),
    )


def identities(image: TiledImage) -> Iterator[Identity]:
    """Yield type, identifier and marks of each channel, which tell it from others at its level."""
    for identifier, marks in zip(
        image.channel_identifiers, image._instance.path_marks, strict=True
    ):
        yield image.channel_type.value, identifier, marks


def _shows_path_of(image: TiledImage, volume: TiledImage) -> bool:
    """Whether a THUMBNAIL image shows a path of a VOLUME image, with the same kind of pixels."""
    return pixel_kind(image.metadata) == pixel_kind(volume.metadata) and any(
        name == volume_name and may_be_one_path(marks, volume_marks)
        for _, name, marks in identities(image)
        for _, volume_name, volume_marks in identities(volume)
    )


@reads_image
def pixel_kind(dataset: Dataset) -> tuple[object, object]:
    """Read Samples per Pixel and Bits Allocated, which all images of one channel share."""
    return dataset.get("SamplesPerPixel"), dataset.get("BitsAllocated")
