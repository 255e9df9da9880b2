"""Levels and associated images of a slide, as OpenSlide tells them apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from PIL import ImageCms

from dicomslide.enum import ImageFlavors
from dicomslide.image import TiledImage
from dicomslide.metadata.flavors import image_flavor
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.color import icc_profile
from dicomslide.slide import Slide

__all__ = ["ASSOCIATED_NAMES", "Level", "as_level", "find_associated_images", "find_levels"]

ASSOCIATED_NAMES = {
    ImageFlavors.LABEL.value: "label",
    ImageFlavors.OVERVIEW.value: "macro",
    ImageFlavors.THUMBNAIL.value: "thumbnail",
}
"""OpenSlide's names for the flavors of images that are no levels."""


@dataclass(frozen=True, eq=False)
class Level:
    """An image and its pixels.

    Parameters
    ----------
    image : TiledImage
        Image
    array : FrameArray
        Its pixels, in the colours in which they are shown
    """

    image: TiledImage
    array: FrameArray

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height in pixels."""
        rows, columns = self.array.size
        return columns, rows

    @cached_property
    def profile(self) -> bytes | None:
        """ICC profile of the pixels: sRGB where colours are corrected, else the scanner's."""
        return _srgb() if self.array.transform is not None else icc_profile(self.image.metadata)


def find_levels(slide: Slide, *, thumbnails: bool) -> tuple[Level, ...]:
    """Find the levels of the first optical path and focal plane, largest first.

    Parameters
    ----------
    slide : Slide
        Slide
    thumbnails : bool
        Whether THUMBNAIL images are levels
    """
    return tuple(
        as_level(image)
        for image in slide.get_volume_images(0, 0)
        if thumbnails or not _is_thumbnail(image)
    )


def find_associated_images(slide: Slide) -> dict[str, TiledImage]:
    """Find the first LABEL, OVERVIEW and THUMBNAIL image of a slide by flavor.

    A THUMBNAIL image that is a level is among them.
    """
    images: dict[str, Sequence[TiledImage]] = {
        ImageFlavors.LABEL.value: slide.label_images,
        ImageFlavors.OVERVIEW.value: slide.overview_images,
        ImageFlavors.THUMBNAIL.value: _thumbnail_images(slide),
    }
    return {flavor: found[0] for flavor, found in images.items() if found}


def as_level(image: TiledImage) -> Level:
    """Take the first channel and focal plane of an image."""
    return Level(image, image.get_total_pixel_matrix().array)


def _thumbnail_images(slide: Slide) -> tuple[TiledImage, ...]:
    return tuple(image for image in slide.get_volume_images(0, 0) if _is_thumbnail(image))


def _is_thumbnail(image: TiledImage) -> bool:
    return image_flavor(image.metadata) == ImageFlavors.THUMBNAIL.value


@cache
def _srgb() -> bytes:
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
