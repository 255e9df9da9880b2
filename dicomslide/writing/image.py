"""Derived images of slides: `write_image` (PS3.3 A.32.8)."""

import os
from collections.abc import Mapping
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicomslide.arguments import integer
from dicomslide.errors import ArgumentValueError
from dicomslide.slide import Slide
from dicomslide.tree.schema import COLUMNS, IMAGE, ROWS, SAMPLE
from dicomslide.writing.encoding import ENCODINGS
from dicomslide.writing.forms import ImageForm
from dicomslide.writing.identity import WrittenInstance, check_text
from dicomslide.writing.instance import Content, check_tile, check_transfer_syntax
from dicomslide.writing.microscopy import Microscopy
from dicomslide.writing.pixel_format import PixelFormat
from dicomslide.writing.placing import PlacedPixels, place_array
from dicomslide.writing.profile import check_profile
from dicomslide.writing.reduction import mean_of_areas
from dicomslide.writing.results import Levels, write_results
from dicomslide.writing.segments import as_code

__all__ = ["write_image"]

_COLORS = ["R", "G", "B"]
# JPEG has no more than 8 bits, and grey images are measured more often than they are looked at
_JPEG, _JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90"
# Longest Optical Path Identifier, a Short String, and Derivation Description, a Short Text
_LONGEST_IDENTIFIER, _LONGEST_TEXT = 16, 1024


def write_image(
    image: Any,
    path: str | os.PathLike[str],
    *,
    slide: Slide,
    level: int | None = None,
    levels: Levels = "given",
    quality: int = 90,
    tile: tuple[int, int] | None = None,
    transfer_syntax: str | None = None,
    optical_path: str | None = None,
    icc_profile: bytes | None = None,
    derivation: Any = codes.DCM.UnspecifiedMethodOfCalculation,
    derivation_description: str | None = None,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    **attributes: Any,
) -> tuple[WrittenInstance, ...]:
    """Write pixels that were computed from those of a slide as a whole slide image.

    Pixels are computed and stored as those of `write_segmentation`, which explains the arguments
    that both have. What is written has patient, study, specimen, container and optical path of the
    slide, and a series and a pyramid of its own: it opens as a slide beside the other, in the same
    frame of reference, or as a further channel if it covers the whole slide and has another optical
    path or other samples.

    Parameters
    ----------
    image : xarray.DataArray, numpy.ndarray or dask.array.Array
        Array of shape (y, x, sample) of red, green and blue, 8 bits each, or of shape (y, x), of
        uint8 or uint16. Its coordinates tell where it lies
    path : path or str
        File whose name ends with ``.dcm``, or folder
    slide : Slide
        Slide that the pixels were computed from
    level : int, optional
        Level whose pixels an array without coordinates has
    levels : {"given", "all"}, optional
        Whether only the level of the image is written, or all smaller ones too, by means of what is
        stored of the one before
    quality : int, optional
        Quality of transfer syntaxes that lose something, from 1 (small) to 100 (good)
    tile : tuple of int, optional
        Rows and columns of a frame; by default those of the source
    transfer_syntax : str, optional
        Transfer Syntax UID; by default JPEG Baseline for colour, and otherwise JPEG 2000 without
        loss
    optical_path : str, optional
        Identifier and description of what the pixels show, of up to 16 characters, if that is not
        the optical path of the source
    icc_profile : bytes, optional
        ICC profile of colours; by default that of sRGB, which a slide is opened in
    derivation : pydicom.sr.coding.Code, or tuple of str, optional
        How the pixels were derived, by a code of CID 7203 such as
        ``codes.cid7203.DeformedForRegistration``
    derivation_description : str, optional
        The same in words
    overwrite : bool, optional
        Whether existing files are replaced
    storage_options : mapping, optional
        Options of the file system of a URL
    **attributes
        What the image is and who made it: ``series_description``, ``series_number``,
        ``manufacturer``, ``contributing_equipment``, ``pyramid_label``, …

    Returns
    -------
    tuple of WrittenInstance
        Path and UIDs of each instance, those of the largest level first

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When pixels cannot be stored, or their place is not known
    OSError
        When a file exists already or cannot be written

    Examples
    --------
    >>> image = tree["level_1/image"].isel(channel=0, focal_plane=0)  # doctest: +SKIP
    >>> smooth = image.rolling(y=3, x=3, center=True, min_periods=1).mean()  # doctest: +SKIP
    >>> dicomslide.write_image(
    ...     smooth.round().astype("uint8"), "smooth", slide=slide, levels="all"
    ... )  # doctest: +SKIP
    """
    placed = place_array(_labelled(image), slide, level, SAMPLE)
    if levels == "all" and placed.size != placed.place.grid.size:
        raise ArgumentValueError(
            "levels: 'all' is for the pixels of a whole level; a part is written at its own level"
        )
    form = _choose_form(placed, transfer_syntax, _quality(quality))
    if icc_profile is not None:
        check_profile("icc_profile", icc_profile)
    made = Microscopy(
        form.pixel_format,
        placed.place.level,
        _channel_of(image),
        _text("optical_path", optical_path, _LONGEST_IDENTIFIER),
        icc_profile,
        as_code("derivation", derivation),
        _text("derivation_description", derivation_description, _LONGEST_TEXT),
    )
    return write_results(
        placed,
        Content(form, check_tile(tile), keep_empty=True, is_full=True, layers=(Dataset(),)),
        made.make_dataset,
        path,
        slide=slide,
        levels=levels,
        reduction=mean_of_areas,
        attributes=attributes,
        overwrite=overwrite,
        storage_options=storage_options,
    )


def _labelled(image: Any) -> Any:
    """Name the dimensions of an array that has no names, and check those of one that has."""
    if isinstance(image, np.ndarray | da.Array) and image.ndim == 3:
        return xr.DataArray(image, dims=(ROWS, COLUMNS, SAMPLE))
    if isinstance(image, xr.DataArray) and SAMPLE in image.dims:
        names = image[SAMPLE].values.tolist() if SAMPLE in image.coords else _COLORS
        if image.sizes[SAMPLE] == 3 and names != _COLORS:
            raise ArgumentValueError(f"image: samples are {names}, expected {_COLORS}")
    elif isinstance(image, xr.DataArray) and sum(n > 1 for n in image.shape) > 2:
        raise ArgumentValueError(
            f"image: dimensions {image.dims}; expected rows, columns and {SAMPLE!r} at most"
        )
    return image


def _choose_form(placed: PlacedPixels, transfer_syntax: str | None, quality: int) -> ImageForm:
    """Choose how an image is stored.

    Raises
    ------
    ArgumentValueError
        When it cannot be stored
    """
    samples = placed.pixels.shape[0] if placed.is_layered else 1
    # Stored pixels have an order of bytes of their own
    dtype = placed.pixels.dtype.newbyteorder("=")
    if samples not in (1, 3):
        raise ArgumentValueError(f"image: {samples} samples, expected 1, or red, green and blue")
    types = ("uint8",) if samples == 3 else ("uint8", "uint16")
    if str(dtype) not in types:
        raise ArgumentValueError(
            f"image: {samples} sample(s) of {dtype}, expected {' or '.join(types)}; values from 0 "
            "to 255 become so by image.round().clip(0, 255).astype('uint8')"
        )
    syntax = transfer_syntax or (_JPEG if samples == 3 else _JPEG_2000_LOSSLESS)
    photometric = "MONOCHROME2"
    if samples == 3 and syntax in ENCODINGS:
        photometric = ENCODINGS[syntax].color[0]
    bits = dtype.itemsize * 8
    form = ImageForm(PixelFormat(syntax, samples, bits, bits, False, photometric, quality=quality))
    check_transfer_syntax(form, may_lose=True)
    return form


def _channel_of(image: Any) -> str | None:
    """Find the identifier of the channel that an array is of, if it still says so."""
    if isinstance(image, xr.DataArray):
        for name, coordinate in image.coords.items():
            # The second kind of images has the dimension channel_2
            if str(name).split("_")[0] == IMAGE.dimension and coordinate.size == 1:
                return str(coordinate.values.reshape(()))
    return None


def _quality(quality: Any) -> int:
    number = integer("quality", quality)
    if not 1 <= number <= 100:
        raise ArgumentValueError(f"quality: {number}, expected from 1 to 100")
    return number


def _text(name: str, value: Any, most: int) -> str | None:
    if value is None:
        return None
    check_text(name, value, most)
    if not value:
        raise ArgumentValueError(f"{name}: is empty")
    return str(value)
