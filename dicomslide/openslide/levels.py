"""Levels and associated images of a slide, as OpenSlide has them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property

from PIL import ImageCms

from dicomslide.enum import ImageFlavors
from dicomslide.errors import SelectionError
from dicomslide.image import TiledImage
from dicomslide.metadata.flavors import is_thumbnail
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.color import icc_profile
from dicomslide.slide import Slide

__all__ = ["ASSOCIATED_NAMES", "Level", "as_level", "find_associated_images", "find_levels"]

ASSOCIATED_NAMES = {
    ImageFlavors.LABEL.value: "label",
    ImageFlavors.OVERVIEW.value: "macro",
    ImageFlavors.THUMBNAIL.value: "thumbnail",
}
"""Names of OpenSlide for associated images, by flavor."""


@dataclass(frozen=True, eq=False)
class Level:
    """Image of a level, and its pixels.

    Parameters
    ----------
    image : TiledImage
        Image of the level
    array : FrameArray
        Lazy array of its pixels, corrected if the slide corrects colours
    """

    image: TiledImage
    array: FrameArray

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height in pixels."""
        rows, columns, _ = self.array.shape
        return columns, rows

    @cached_property
    def profile(self) -> bytes | None:
        """ICC profile of the pixels: sRGB where colours are corrected, else the scanner's."""
        return _srgb() if self.array.transform is not None else icc_profile(self.image.metadata)


def find_levels(slide: Slide, *, thumbnails: bool) -> tuple[Level, ...]:
    """Find the levels of the first optical path and focal plane, largest first.

    Levels have the size of the total pixel matrix, without padding to whole tiles, so that
    positions agree at all levels.

    Parameters
    ----------
    slide : Slide
        Slide whose levels are found
    thumbnails : bool
        Whether THUMBNAIL images are levels
    """
    found = []
    for number in range(slide.num_levels):
        with suppress(SelectionError):
            level = Level(slide.get_image(number), slide.get_total_pixel_matrix(number).array)
            if thumbnails or not is_thumbnail(level.image.metadata):
                found.append(level)
    return tuple(found)


def find_associated_images(slide: Slide) -> dict[str, TiledImage]:
    """Find the first LABEL, OVERVIEW and THUMBNAIL image of a slide, by flavor.

    A THUMBNAIL image is included even if it is a level.
    """
    images: dict[str, Sequence[TiledImage]] = {
        ImageFlavors.LABEL.value: slide.label_images,
        ImageFlavors.OVERVIEW.value: slide.overview_images,
        ImageFlavors.THUMBNAIL.value: slide.thumbnail_images,
    }
    return {flavor: found[0] for flavor, found in images.items() if found}


def as_level(image: TiledImage) -> Level:
    """Make a level of the first channel and focal plane of an image."""
    return Level(image, image.get_total_pixel_matrix().array)


@cache
def _srgb() -> bytes:
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
