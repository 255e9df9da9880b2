"""Slides with the interface of OpenSlide."""

import io
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from dicomslide.arguments import integer_pair, number, number_pair, require_type, selection
from dicomslide.enum import ChannelTypes
from dicomslide.errors import (
    ArgumentValueError,
    DicomSlideError,
    InvalidImageError,
    UnsupportedError,
)
from dicomslide.image import TiledImage
from dicomslide.opening import open_slide
from dicomslide.openslide import names
from dicomslide.openslide.levels import (
    ASSOCIATED_NAMES,
    Level,
    as_level,
    find_associated_images,
    find_levels,
)
from dicomslide.openslide.names import *  # noqa: F403
from dicomslide.openslide.properties import slide_properties
from dicomslide.pixels.array import FrameArray
from dicomslide.slide import Slide
from dicomslide.sources.remotefile import is_url, local_path
from dicomslide.sources.siblings import find_siblings, is_slide_file
from dicomslide.sources.urls import without_secrets
from dicomslide.stores.places import Source
from dicomslide.thumbnail import check_pixel_count, shrink

__all__ = [*names.__all__, "OpenSlide"]

# Most pixels of an associated image, which is read as a whole; usual ones have a hundredth of them
_MOST_ASSOCIATED = 2**28
_FLAVORS = {name: flavor for flavor, name in ASSOCIATED_NAMES.items()}


class OpenSlide:
    """Wrapper class that exposes data of a slide via the OpenSlide interface.

    It can be passed to code written for ``openslide.AbstractSlide`` of openslide-python, such as
    ``openslide.deepzoom.DeepZoomGenerator``. There are two differences to `Slide`: images are
    `PIL.Image.Image` objects, and sizes and positions are (column, row), as is usual with Pillow.

    A path instead of a slide is opened as openslide-python opens it: colours are not corrected,
    THUMBNAIL images are not levels, and associated images are listed as ``label``, ``macro`` and
    ``thumbnail``.

    Parameters
    ----------
    slide : dicomslide.Slide, or path, URL, sequence of them, or dicomweb_client.api.DICOMClient
        DICOM slide: a colour slide with one optical path and one focal plane. One local file stands
        for all images in its folder that have its Series Instance UID; anything else is opened as
        by `open_slide`
    thumbnail_levels : bool, optional
        Whether THUMBNAIL images are levels; by default those of a `Slide` are, as they are for
        `Slide` itself, and those of a path are not
    correct_color : bool, optional
        Whether the ICC profiles of the images are applied; False by default. Only for a path, as a
        `Slide` was opened with or without correction

    Raises
    ------
    TypeError
        When `slide` is neither a slide nor a source of one
    OSError
        When there is no such file, or it cannot be read
    ValueError
        When there is no slide, it is damaged, or it is not one of RGB with one focal plane

    Warns
    -----
    UserWarning
        When images lack attributes for which defaults are taken; when another file in the folder is
        left out although it may belong to the slide
    """

    def __init__(
        self,
        slide: "Slide | Source",
        *,
        thumbnail_levels: bool | None = None,
        correct_color: bool | None = None,
    ) -> None:
        require_type("thumbnail_levels", thumbnail_levels, bool, type(None))
        require_type("correct_color", correct_color, bool, type(None))
        self._source = without_secrets(str(slide)) if is_url(slide) else slide
        self._like_openslide = not isinstance(slide, Slide)
        self._owned: Slide | None = None
        if not isinstance(slide, Slide):
            slide = self._owned = _open(slide, correct_color=bool(correct_color))
        elif correct_color is not None:
            raise ArgumentValueError(
                "correct_color: only for a path; pass it to open_slide for a slide"
            )
        paths = [c for c in slide.channels if c.type is ChannelTypes.OPTICAL_PATH]
        if len(paths) != 1 or slide.num_focal_planes != 1:
            raise ArgumentValueError(
                "slide: OpenSlide has one optical path and one focal plane, this slide has "
                f"{len(paths)} and {slide.num_focal_planes}"
            )
        if thumbnail_levels is None:
            thumbnail_levels = not self._like_openslide
        self._levels = find_levels(slide, thumbnails=thumbnail_levels)
        if not self._levels:
            raise ArgumentValueError(
                "slide: there is no VOLUME image; pass thumbnail_levels=True to use the THUMBNAIL "
                "image as a level"
            )
        array = self._levels[0].array
        if array.shape[2] != 3 or array.dtype != np.uint8:
            raise ArgumentValueError(
                f"slide: OpenSlide has RGB images of 8 bits, this slide has {array.shape[2]} "
                f"samples of type {array.dtype}"
            )
        self._associated = find_associated_images(slide)
        self._closed = False

    def __enter__(self) -> "OpenSlide":
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"OpenSlide({self._source!r})"

    @classmethod
    def detect_format(cls, path: str | bytes | os.PathLike[Any]) -> str | None:
        """Detect whether a file can be opened, by its SOP Class.

        Parameters
        ----------
        path : path
            Path of a local file

        Returns
        -------
        str or None
            ``"dicom"`` for a file with the SOP Class of whole slide images, damaged or not; None
            for other files, folders, and missing files

        Raises
        ------
        TypeError
            When `path` is not a path
        """
        require_type("path", path, str, bytes, os.PathLike)
        return "dicom" if is_slide_file(os.fsdecode(path)) else None

    def close(self) -> None:
        """Close the slide; no more regions can be read.

        A `Slide` that was passed stays open; one that was opened from a path is closed.
        """
        self._closed = True
        if self._owned is not None:
            self._owned.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ArgumentValueError("the slide is closed")

    def set_cache(self, cache: Any) -> None:
        """Accept a cache and ignore it, as the images of the slide have caches of their own."""

    @property
    def level_count(self) -> int:
        """Number of pyramid resolution levels."""
        return len(self._levels)

    @property
    def level_dimensions(self) -> tuple[tuple[int, int], ...]:
        """Width and height of images at each level."""
        return tuple(level.dimensions for level in self._levels)

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
    def properties(self) -> dict[str, str]:
        """Metadata about the slide, by the names of OpenSlide."""
        return dict(self._properties)

    @cached_property
    def _properties(self) -> dict[str, str]:
        associated = {}
        for flavor in self._listed:
            # An image that cannot be read is left out here, and an error when it is accessed
            with suppress(DicomSlideError):
                associated[ASSOCIATED_NAMES[flavor]] = as_level(self._associated[flavor])
        return slide_properties(self._levels, self.level_downsamples, associated)

    @property
    def associated_images(self) -> Mapping[str, Image.Image]:
        """Mapping of image flavor (LABEL or OVERVIEW) to RGBA image.

        Images are decoded on access, by their flavor or by the name of OpenSlide: ``label``,
        ``macro`` or ``thumbnail``. Flavors are listed for a `Slide`, names for a path. A THUMBNAIL
        image is listed if it is not a level.
        """
        names = ASSOCIATED_NAMES if self._like_openslide else {}
        return _AssociatedImages(
            self._associated, tuple(names.get(flavor, flavor) for flavor in self._listed)
        )

    @property
    def _listed(self) -> tuple[str, ...]:
        """Flavors of associated images that are not levels."""
        levels = {level.image.uid for level in self._levels}
        return tuple(f for f, image in self._associated.items() if image.uid not in levels)

    @property
    def color_profile(self) -> ImageCms.ImageCmsProfile | None:
        """ICC profile of the pixels: sRGB if the slide corrects colours, else the scanner's.

        Raises
        ------
        ValueError
            When the profile is broken
        """
        base = self._levels[0]
        if base.profile is None:
            return None
        try:
            return ImageCms.ImageCmsProfile(io.BytesIO(base.profile))
        except (OSError, ValueError, ImageCms.PyCMSError) as error:
            raise InvalidImageError(f"{base.image.label}: broken ICC profile: {error}") from error

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
        self._check_open()
        x, y = number_pair("location", location)
        width, height = integer_pair("size", size)
        if width < 0 or height < 0:
            raise ArgumentValueError(f"size: {width} x {height} pixels is negative")
        index = selection("level", level, self.level_count)
        factor = self.level_downsamples[index]
        left, top = (int(np.around(int(value) / factor)) for value in (x, y))
        rows, columns = range(top, top + height), range(left, left + width)
        region = _read(self._levels[index].array, rows, columns)
        return _with_profile(region, self._levels[index])

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
            When the size is not positive, or the slide is closed
        """
        self._check_open()
        width, height = integer_pair("size", size)
        if width < 1 or height < 1:
            raise ArgumentValueError(f"size: {width} x {height} pixels must be positive")
        downsample = max(self.dimensions[0] / width, self.dimensions[1] / height)
        level = self.get_best_level_for_downsample(downsample)
        found = self._levels[level]
        # Pixels that no frame covers become white, the background colour of OpenSlide
        fitted = _fit(found.dimensions, (width, height))
        thumbnail = shrink(found.array, fitted, Image.Resampling.LANCZOS)
        return _with_profile(thumbnail, found)


class _AssociatedImages(Mapping[str, Image.Image]):
    """Mapping of associated images, which are decoded on access.

    Parameters
    ----------
    images : dict
        Images by flavor
    names : tuple of str
        Keys to list: flavors, or the names of OpenSlide for them
    """

    def __init__(self, images: Mapping[str, TiledImage], names: tuple[str, ...]) -> None:
        self._images = images
        self._names = names

    def __getitem__(self, name: str) -> Image.Image:
        image = self._images.get(_FLAVORS.get(name, name))
        if image is None:
            raise KeyError(name)
        level = as_level(image)
        check_pixel_count(level.array, _MOST_ASSOCIATED)
        samples = level.array.shape[2]
        if level.array.dtype != np.uint8 or samples not in (1, 3):
            raise UnsupportedError(
                f"{image.label}: OpenSlide has images of 8 bits, this one has {samples} samples of "
                f"type {level.array.dtype}"
            )
        pixels = level.array[...]
        if level.array.pixel_format.photometric == "MONOCHROME1":
            # Low values of MONOCHROME1 are bright
            pixels = 255 - pixels
        # Monochrome pixels are repeated to three equal samples
        rgb = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
        picture = Image.fromarray(np.ascontiguousarray(rgb)).convert("RGBA")
        return _with_profile(picture, level)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _FLAVORS.get(name, name) in self._images

    def __repr__(self) -> str:
        return f"<associated images {', '.join(self._names)}>"


def _open(place: Source, *, correct_color: bool) -> Slide:
    """Open the slide of a source; one local file stands for all files of its slide."""
    if isinstance(place, (bytes, os.PathLike)):
        place = os.fsdecode(place)
    if isinstance(place, str):
        is_path = os.path.exists(place) or not is_url(place)
        path = place if is_path else local_path(place)
        if path is not None and is_slide_file(path):
            place = find_siblings(path)
    return open_slide(place, correct_color=correct_color)


def _read(array: FrameArray, rows: range, columns: range) -> Image.Image:
    """Read a region as an RGBA image, transparent where no frame covers it."""
    pixels = array.read(rows, columns)
    alpha: int | Image.Image = 255
    if not array.covers(rows, columns):
        covered = array.covered(rows, columns)
        pixels[~covered] = 0
        alpha = Image.fromarray(covered).convert("L")
    picture = Image.fromarray(pixels)
    picture.putalpha(alpha)
    return picture


def _fit(size: tuple[int, int], most: tuple[int, int]) -> tuple[int, int]:
    """Find the largest width and height within limits that keep the aspect ratio best."""
    width, height = most
    if width >= size[0] and height >= size[1]:
        return size
    ratio = size[0] / size[1]
    if width / height >= ratio:
        return _nearest(height * ratio, lambda n: abs(ratio - n / height)), height
    return width, _nearest(width / ratio, lambda n: abs(ratio - width / n) if n else 0)


def _nearest(value: float, distance: Callable[[int], float]) -> int:
    return max(min(math.floor(value), math.ceil(value), key=distance), 1)


def _with_profile(picture: Image.Image, level: Level) -> Image.Image:
    if level.profile is not None:
        picture.info["icc_profile"] = level.profile
    return picture
