"""Small pictures of slides."""

import math
from contextlib import suppress

import dask.array as da
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicomslide.arguments import integer, require_type, selection
from dicomslide.errors import ArgumentValueError, SelectionError, UnsupportedError
from dicomslide.matrix import TotalPixelMatrix
from dicomslide.pixels.array import FrameArray
from dicomslide.slide import Slide

__all__ = ["check_pixel_count", "make_thumbnail"]

# A hundred times as many as a slide has; there is no end to reading more
_MOST_PIXELS = 2**40


def make_thumbnail(slide: Slide, size: int = 1024, channel_index: int = 0) -> Image.Image:
    """Make a small picture of a slide.

    The smallest level that is large enough is read, a part at a time, and reduced by averaging.

    Parameters
    ----------
    slide : Slide
        Slide
    size : int, optional
        Number of pixels of the longer side, at most that of the base level
    channel_index : int, optional
        Zero-based index into channels

    Returns
    -------
    PIL.Image.Image
        RGB image, or grey for a channel of one sample, whose values are stretched from the 0.5th
        to the 99.5th percentile unless they have 8 bits, and inverted where they are MONOCHROME1

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When the size is not positive, there is no such channel, or the smallest level that is
        large enough has over 2^40 pixels
    """
    require_type("slide", slide, Slide)
    channel = selection("channel_index", channel_index, slide.num_channels)
    wanted = integer("size", size)
    if wanted < 1:
        raise ArgumentValueError(f"size: {wanted} must be positive")
    matrix = _find_matrix(slide, channel, wanted)
    check_pixel_count(matrix.array)
    extent = matrix.shape[:2]
    pixels = matrix.to_dask("auto")
    factor = max(extent) // wanted
    if factor > 1:
        # The shorter side may be no longer than a block
        blocks = {axis: min(factor, count) for axis, count in enumerate(extent)}
        pixels = da.coarsen(np.mean, pixels, blocks, trim_excess=True)
    reduced = pixels.compute()
    colours = _to_eight_bits(reduced, matrix.dtype)
    if matrix.array.pixel_format.photometric == "MONOCHROME1":
        # Low values are bright
        colours = 255 - colours
    picture = Image.fromarray(colours if colours.shape[2] == 3 else colours[..., 0])
    ratio = wanted / max(extent)
    if ratio < 1:
        rows, columns = (max(math.floor(n * ratio + 0.5), 1) for n in extent)
        picture = picture.resize((columns, rows), Image.Resampling.LANCZOS)
    return picture


def check_pixel_count(array: FrameArray, most: int = _MOST_PIXELS) -> None:
    """Check that reading all pixels of an image has an end.

    Raises
    ------
    UnsupportedError
        When there are more than `most`, by default more than any slide has
    """
    rows, columns, _ = array.shape
    if rows * columns > most:
        raise UnsupportedError(
            f"{array.source.name}: an image of {rows} x {columns} pixels is too large for one "
            "picture"
        )


def _find_matrix(slide: Slide, channel: int, wanted: int) -> TotalPixelMatrix:
    """Find the smallest level that is large enough, or else the largest that shows a channel.

    Of several focal planes it is the first one in which the level shows the channel.
    """
    found = []
    for level, size in enumerate(slide.total_pixel_matrix_dimensions):
        for plane in range(slide.num_focal_planes):
            with suppress(SelectionError):
                matrix = slide.get_total_pixel_matrix(level, channel, plane)
                found.append((max(size) >= wanted, matrix))
                break
    if not found:
        # The image of the channel has the pixels of no level
        (image,) = slide.get_volume_images(channel)
        own = image.get_channel_index(slide.get_channel_identifier(channel))
        return image.get_total_pixel_matrix(own)
    enough = [matrix for is_enough, matrix in found if is_enough]
    return enough[-1] if enough else found[0][1]


def _to_eight_bits(pixels: NDArray, stored: np.dtype) -> NDArray[np.uint8]:
    """Convert averaged pixels to 8 bits."""
    if stored == np.uint8:
        return np.around(pixels).astype(np.uint8)
    if stored.kind == "b":
        return np.around(pixels * 255.0).astype(np.uint8)
    low, high = np.nanpercentile(pixels, (0.5, 99.5))
    scaled = (np.nan_to_num(pixels.astype(np.float64)) - low) / ((high - low) or 1.0)
    return np.around(scaled.clip(0, 1) * 255).astype(np.uint8)
