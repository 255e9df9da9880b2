"""Small pictures of slides."""

import math
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dicomslide.arguments import integer, require_type, selection
from dicomslide.errors import ArgumentValueError, SelectionError, UnsupportedError
from dicomslide.matrix import TotalPixelMatrix
from dicomslide.pixels.array import FrameArray
from dicomslide.slide import Slide

__all__ = ["check_pixel_count", "make_thumbnail", "shrink"]

# Ten times as many as a slide has, and as one side of it has; there is no end to reading more
_MOST_PIXELS, _MOST_SIDE = 2**38, 2**22
# Rows and columns that are read at once
_PART = 4096
# As fast as a bilinear filter, and sharper
_RESAMPLING = Image.Resampling.HAMMING


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
        large enough has over 2^38 pixels, or 2^22 along a side
    """
    require_type("slide", slide, Slide)
    channel = selection("channel_index", channel_index, slide.num_channels)
    wanted = integer("size", size)
    if wanted < 1:
        raise ArgumentValueError(f"size: {wanted} must be positive")
    matrix = _find_matrix(slide, channel, wanted)
    extent = matrix.shape[:2]
    ratio = min(wanted / max(extent), 1)
    rows, columns = (max(math.floor(n * ratio + 0.5), 1) for n in extent)
    if matrix.dtype == np.uint8:
        picture = shrink(matrix.array, (columns, rows), _RESAMPLING)
    else:
        picture = _show_values(matrix, (columns, rows))
    if matrix.array.pixel_format.photometric == "MONOCHROME1":
        # Low values are bright
        return ImageOps.invert(picture)
    return picture


def shrink(array: FrameArray, size: tuple[int, int], resampling: Image.Resampling) -> Image.Image:
    """Shrink pixels of 8 bits as `PIL.Image.Image.thumbnail` does, without holding all of them.

    Parameters
    ----------
    array : FrameArray
        Pixels with one or three samples
    size : tuple of int
        Width and height, at most those of the array
    resampling : PIL.Image.Resampling
        Filter for the last step

    Returns
    -------
    PIL.Image.Image
        Grey or RGB image

    Raises
    ------
    UnsupportedError
        When there are more pixels than any slide has
    """
    check_pixel_count(array)
    rows, columns, samples = array.shape
    by_width, by_height = _block(columns, size[0]), _block(rows, size[1])
    mode = "L" if samples == 1 else "RGB"
    reduced = Image.new(
        mode, (-(-columns // by_width), -(-rows // by_height)), (array.background,) * samples
    )
    for part in _parts(array, by_height, by_width):
        pixels = array.read(*part)
        picture = Image.fromarray(pixels if samples == 3 else pixels[..., 0])
        place = part[1].start // by_width, part[0].start // by_height
        reduced.paste(picture.reduce((by_width, by_height)), place)
    if size == (columns, rows):
        return reduced
    box = (0, 0, columns / by_width, rows / by_height)
    return reduced.resize(size, resampling, box)


def _parts(array: FrameArray, by_height: int, by_width: int) -> Iterator[tuple[range, range]]:
    """Find the parts to be read one after the other, of whole blocks, where there are frames."""
    (rows, columns), (high, wide) = array.shape[:2], array.tile_shape[:2]
    down, across = _part(by_height, high), _part(by_width, wide)
    for top in range(0, rows, down):
        for left in range(0, columns, across):
            part = range(top, min(top + down, rows)), range(left, min(left + across, columns))
            if array.touches_frames(*part):
                yield part


def _block(length: int, short: int) -> int:
    """Choose how many pixels along an axis are averaged before the filter.

    Like Pillow this leaves half of the way to the filter.
    """
    return min(int(length / short / 2) or 1, _PART)


def _part(factor: int, tile: int) -> int:
    """Choose how many pixels are read at once along an axis: whole blocks, and whole tiles if few.

    Frames that lie in two parts would be decoded twice.
    """
    step = math.lcm(factor, tile)
    if step > _PART:
        step = factor
    return _PART // step * step


def _show_values(matrix: TotalPixelMatrix, size: tuple[int, int]) -> Image.Image:
    """Show averages of pixels that have more than 8 bits, or only one."""
    array = matrix.array
    check_pixel_count(array)
    rows, columns, samples = array.shape
    factor = min(max(max(rows, columns) // max(size), 1), _PART)
    # The shorter side may be no longer than a block
    high, wide = min(factor, rows), min(factor, columns)
    means = np.full((rows // high, columns // wide, samples), array.background, np.float64)
    for down, across in _parts(array, high, wide):
        top, left = down.start // high, across.start // wide
        # Blocks that are cut off at the edges are left out
        tall, broad = len(down) // high, len(across) // wide
        pixels = array.read(down[: tall * high], across[: broad * wide])
        blocks = pixels.reshape(tall, high, broad, wide, samples)
        means[top : top + tall, left : left + broad] = blocks.mean(axis=(1, 3))
    shown = _to_eight_bits(means, matrix.dtype)
    picture = Image.fromarray(shown if shown.shape[2] == 3 else shown[..., 0])
    return picture.resize(size, _RESAMPLING)


def check_pixel_count(array: FrameArray, most: int = _MOST_PIXELS) -> None:
    """Check that reading all pixels of an image has an end.

    Raises
    ------
    UnsupportedError
        When there are more than `most`, by default more than any slide has, or a side is longer
    """
    rows, columns, _ = array.shape
    if rows * columns > most or max(rows, columns) > _MOST_SIDE:
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
    if stored.kind == "b":
        return np.around(pixels * 255.0).astype(np.uint8)
    low, high = np.nanpercentile(pixels, (0.5, 99.5))
    scaled = (np.nan_to_num(pixels.astype(np.float64)) - low) / ((high - low) or 1.0)
    return np.around(scaled.clip(0, 1) * 255).astype(np.uint8)
