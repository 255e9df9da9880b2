"""A slide behind the interface of OpenSlide."""

import hashlib
import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageCms
from pydicom.dataset import Dataset
from pydicom.valuerep import VR

from dicomslide.arguments import integer_pair, number, number_pair, require_type, selection
from dicomslide.enum import ChannelTypes, ImageFlavors
from dicomslide.errors import ArgumentValueError
from dicomslide.image import TiledImage
from dicomslide.metadata.channels import channel_items
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.color import icc_profile
from dicomslide.slide import Slide

__all__ = ["OpenSlide"]

_BACKGROUND = "FFFFFF"
_PER_FRAME_GROUPS = 0x52009230
_ALIASES = {"label": ImageFlavors.LABEL.value, "macro": ImageFlavors.OVERVIEW.value}


class OpenSlide:
    """Wrapper class that exposes data of a slide via the OpenSlide interface.

    It can be handed to code written for ``openslide.AbstractSlide`` of openslide-python, such as
    ``openslide.deepzoom.DeepZoomGenerator``. There are two differences to `Slide`: images are
    `PIL.Image.Image` objects, and sizes and positions are (column, row), as is usual with Pillow.

    Parameters
    ----------
    slide : dicomslide.Slide
        DICOM slide: a colour slide with one optical path and one focal plane

    Raises
    ------
    TypeError
        When `slide` is no slide
    ValueError
        When the interface cannot express the slide
    """

    def __init__(self, slide: Slide) -> None:
        require_type("slide", slide, Slide)
        paths = [c for c in slide.channels if c.type is ChannelTypes.OPTICAL_PATH]
        if len(paths) != 1 or slide.num_focal_planes != 1:
            raise ArgumentValueError(
                "slide: OpenSlide has one optical path and one focal plane, this slide has "
                f"{len(paths)} and {slide.num_focal_planes}"
            )
        self._images = slide.get_volume_images(0, 0)
        shape = self._array(0).shape
        if shape[2] != 3 or self._array(0).dtype != np.uint8:
            raise ArgumentValueError(
                f"slide: OpenSlide has RGB images of 8 bits, this slide has {shape[2]} samples of "
                f"type {self._array(0).dtype}"
            )
        self._slide = slide
        self._closed = False

    def __enter__(self) -> "OpenSlide":
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"OpenSlide({self._slide!r})"

    def close(self) -> None:
        """Close the slide; no more regions can be read."""
        self._closed = True

    def set_cache(self, cache: Any) -> None:
        """Accept a cache and ignore it: decoded frames are kept by the images of the slide."""

    @property
    def level_count(self) -> int:
        """Number of pyramid resolution levels."""
        return len(self._images)

    @property
    def level_dimensions(self) -> tuple[tuple[int, int], ...]:
        """Width and height of images at each level."""
        return tuple((image.size[1], image.size[0]) for image in self._images)

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height of images at base level 0."""
        return self.level_dimensions[0]

    @property
    def level_downsamples(self) -> tuple[float, ...]:
        """Downsampling factor of images at each level with respect to the base level 0."""
        width, height = self.dimensions
        return tuple((width / w + height / h) / 2 for w, h in self.level_dimensions)

    @property
    def properties(self) -> Mapping[str, str]:
        """Metadata about the slide, with the names that OpenSlide gives them."""
        return _properties(self)

    @property
    def associated_images(self) -> Mapping[str, Image.Image]:
        """Mapping of image flavor (LABEL or OVERVIEW) to RGBA image.

        An image is decoded when it is asked for. The names that OpenSlide has for them, ``label``
        and ``macro``, can be used too.
        """
        images = {
            ImageFlavors.LABEL.value: self._slide.label_images,
            ImageFlavors.OVERVIEW.value: self._slide.overview_images,
        }
        return _AssociatedImages({name: found[0] for name, found in images.items() if found})

    @property
    def color_profile(self) -> ImageCms.ImageCmsProfile | None:
        """ICC profile of the pixels: sRGB if the slide corrects colours, else the scanner's."""
        profile = _profile_of_pixels(self._images[0])
        return None if profile is None else ImageCms.ImageCmsProfile(io.BytesIO(profile))

    def get_best_level_for_downsample(self, downsample: float) -> int:
        """Compute best level for displaying the given downsample.

        Parameters
        ----------
        downsample : float
            Desired downsample factor

        Returns
        -------
        int
            Zero-based index of the level with the largest downsample that is not above the desired
            one; 0 where there is none
        """
        wanted = number("downsample", downsample)
        levels = [i for i, factor in enumerate(self.level_downsamples) if factor <= wanted]
        return levels[-1] if levels else 0

    def read_region(
        self, location: tuple[int, int], level: int, size: tuple[int, int]
    ) -> Image.Image:
        """Read region of a VOLUME (or THUMBNAIL) image at a given level.

        Parameters
        ----------
        location : tuple of int
            Zero-based (column, row) of the top left pixel of the region in the total pixel matrix
            at the base level 0
        level : int
            Zero-based level index
        size : tuple of int
            Number of pixel columns and rows that should be read at the specified level

        Returns
        -------
        PIL.Image.Image
            RGBA image; transparent where there are no pixels

        Raises
        ------
        ValueError
            When the size is negative, there is no such level, or the slide is closed
        """
        if self._closed:
            raise ArgumentValueError("the slide is closed")
        x, y = number_pair("location", location)
        width, height = integer_pair("size", size)
        if width < 0 or height < 0:
            raise ArgumentValueError(f"size: {width} x {height} pixels is negative")
        index = selection("level", level, self.level_count)
        factor = self.level_downsamples[index]
        left, top = (int(np.around(int(value) / factor)) for value in (x, y))
        rows, columns = range(top, top + height), range(left, left + width)
        array = self._array(index)
        rgba = np.zeros((height, width, 4), np.uint8)
        covered = array.covered(rows, columns)
        rgba[..., 3] = np.where(covered, 255, 0)
        rgba[..., :3] = np.where(covered[..., np.newaxis], array.read(rows, columns), 0)
        return _with_profile(Image.fromarray(rgba), self._images[index])

    def get_thumbnail(self, size: tuple[int, int]) -> Image.Image:
        """Create a thumbnail of the slide.

        Parameters
        ----------
        size : tuple of int
            Largest number of pixel columns and rows that the thumbnail should have; the aspect
            ratio of the slide is kept

        Returns
        -------
        PIL.Image.Image
            RGB image

        Raises
        ------
        ValueError
            When the size is not positive
        """
        width, height = integer_pair("size", size)
        if width < 1 or height < 1:
            raise ArgumentValueError(f"size: {width} x {height} pixels must be positive")
        downsample = max(self.dimensions[0] / width, self.dimensions[1] / height)
        level = self.get_best_level_for_downsample(downsample)
        region = self.read_region((0, 0), level, self.level_dimensions[level])
        thumbnail = Image.new("RGB", region.size, f"#{_BACKGROUND}")
        thumbnail.paste(region, mask=region.getchannel("A"))
        thumbnail.thumbnail((width, height), Image.Resampling.LANCZOS)
        return _with_profile(thumbnail, self._images[level])

    def _array(self, level: int) -> FrameArray:
        return self._images[level].get_total_pixel_matrix().array


class _AssociatedImages(Mapping[str, Image.Image]):
    """LABEL and OVERVIEW images, decoded when they are asked for."""

    def __init__(self, images: dict[str, TiledImage]) -> None:
        self._images = images

    def __getitem__(self, name: str) -> Image.Image:
        image = self._images[_ALIASES.get(name, name)]
        pixels = image.get_total_pixel_matrix()[...]
        return _with_profile(Image.fromarray(pixels.squeeze()).convert("RGBA"), image)

    def __iter__(self) -> Iterator[str]:
        return iter(self._images)

    def __len__(self) -> int:
        return len(self._images)

    def __contains__(self, name: object) -> bool:
        return name in self._images or _ALIASES.get(str(name)) in self._images

    def __repr__(self) -> str:
        return f"<associated images {', '.join(self._images)}>"


def _profile_of_pixels(image: TiledImage) -> bytes | None:
    if image.get_total_pixel_matrix().array.transform is not None:
        return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    return icc_profile(image.metadata)


def _with_profile(picture: Image.Image, image: TiledImage) -> Image.Image:
    profile = _profile_of_pixels(image)
    if profile is not None:
        picture.info["icc_profile"] = profile
    return picture


def _properties(slide: OpenSlide) -> dict[str, str]:
    base = slide._images[0]
    between_rows, between_columns = base.geometry.spacing
    found = {
        "openslide.vendor": "dicom",
        "openslide.comment": str(base.metadata.get("ImageComments") or ""),
        "openslide.quickhash-1": _quickhash(slide._images),
        "openslide.background-color": _BACKGROUND,
        "openslide.mpp-x": _text(between_columns * 1000),
        "openslide.mpp-y": _text(between_rows * 1000),
        **_bounds(slide._array(0)),
        "openslide.level-count": str(slide.level_count),
    }
    powers = [item.get("ObjectiveLensPower") for item in channel_items(base.metadata)]
    if powers and powers[0] is not None:
        found["openslide.objective-power"] = _text(float(powers[0]))
    profile = _profile_of_pixels(base)
    if profile is not None:
        found["openslide.icc-size"] = str(len(profile))
    levels = zip(slide._images, slide.level_dimensions, slide.level_downsamples, strict=True)
    for index, (image, (width, height), factor) in enumerate(levels):
        tile = image.get_total_pixel_matrix().tile_shape
        found |= {
            f"openslide.level[{index}].downsample": _text(factor),
            f"openslide.level[{index}].height": str(height),
            f"openslide.level[{index}].width": str(width),
            f"openslide.level[{index}].tile-height": str(tile[0]),
            f"openslide.level[{index}].tile-width": str(tile[1]),
        }
    _add_attributes(found, base.metadata, "dicom")
    return dict(sorted(found.items()))


def _quickhash(images: tuple[TiledImage, ...]) -> str:
    uids = sorted(str(image.metadata.get("SOPInstanceUID")) for image in images)
    return hashlib.sha256("\n".join(uids).encode()).hexdigest()


def _bounds(array: FrameArray) -> dict[str, str]:
    """The rectangle of the base level that frames cover."""
    rows, columns = array.size
    _, positions = array.tiling.find(0, 0, rows, columns)
    height, width = array.tile_shape[:2]
    top = max(min((r for r, _ in positions), default=0), 0)
    left = max(min((c for _, c in positions), default=0), 0)
    bottom = min(max((r + height for r, _ in positions), default=0), rows)
    right = min(max((c + width for _, c in positions), default=0), columns)
    return {
        "openslide.bounds-x": str(left),
        "openslide.bounds-y": str(top),
        "openslide.bounds-width": str(right - left),
        "openslide.bounds-height": str(bottom - top),
    }


def _add_attributes(found: dict[str, str], dataset: Dataset, prefix: str) -> None:
    """Add the attributes of a data set by keyword; those with binary values are left out."""
    for tag in dataset.keys():  # noqa: SIM118
        # Not even parsed: a sparse slide has tens of thousands of them
        if tag == _PER_FRAME_GROUPS:
            continue
        element = dataset[tag]
        name = f"{prefix}.{element.keyword}"
        if not element.keyword:
            continue
        if element.VR == VR.SQ:
            for index, item in enumerate(element.value):
                _add_attributes(found, item, f"{name}[{index}]")
        elif isinstance(element.value, bytes):
            continue
        elif element.VM > 1:
            found |= {f"{name}[{i}]": str(value) for i, value in enumerate(element.value)}
        else:
            found[name] = str(element.value if element.value is not None else "")


def _text(value: float) -> str:
    """Write a number as OpenSlide does: whole numbers without a fraction."""
    return f"{value:.17g}" if value != round(value, 12) else f"{round(value, 12):g}"
