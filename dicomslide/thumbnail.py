"""Thumbnails: small pictures of slides."""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dicomslide.arguments import integer, require_type, selection
from dicomslide.display.composite import light_of, mix_light
from dicomslide.enum import ChannelTypes
from dicomslide.errors import ArgumentValueError, SelectionError, UnsupportedError
from dicomslide.matrix import TotalPixelMatrix
from dicomslide.metadata.colors import MOST_SHOWN, WHITE
from dicomslide.metadata.geometry import to_upright
from dicomslide.pixels.array import FrameArray
from dicomslide.slide import Slide

__all__ = ["check_pixel_count", "make_thumbnail", "shrink"]

# Most pixels, and most pixels of a side: ten times those of a large slide; more would take forever
_MOST_PIXELS, _MOST_SIDE = 2**38, 2**22
# Most rows and columns that are read at once
_PART = 4096
# The filter is as fast as a bilinear one, and sharper
_RESAMPLING = Image.Resampling.HAMMING


def make_thumbnail(
    slide: Slide,
    size: int = 1024,
    channel_index: int | Sequence[int] | None = None,
    focal_plane_index: int | None = None,
    *,
    composite: bool | None = None,
    max_projection: bool = False,
    overlay: bool | str | int | Sequence[str | int] = False,
    upright: bool = False,
) -> Image.Image:
    """Make a small picture of a slide.

    The smallest level that is large enough is read, a part at a time, and reduced by averaging.

    Parameters
    ----------
    slide : Slide
        Slide that is shown
    size : int, optional
        Number of pixels of the longer side, at most that of the base level
    channel_index : int or sequence of int, optional
        Zero-based indices into channels. By default the first channel, or the first eight optical
        paths of one sample where there are several
    focal_plane_index : int, optional
        Zero-based index into focal planes. By default the middle one, or at a level that lacks it
        the nearest one
    composite : bool, optional
        Whether channels of one sample are added in their display colours: see `Slide.channels`. By
        default if there are several of them
    max_projection : bool, optional
        Whether each pixel is the brightest of all focal planes; levels that lack focal planes are
        not used
    overlay : bool, str, int or sequence, optional
        Labels or numbers of segments that are drawn over the picture in their colours; True for all
    upright : bool, optional
        Whether the picture is turned as the slide lies, +X to the right and +Y upwards; otherwise
        it is as stored

    Returns
    -------
    PIL.Image.Image
        RGB image, or grey for a channel of one sample alone. Values are shown within the window of
        the channel; where none is stated they are stretched from the 0.5th to the 99.5th
        percentile, unless a channel alone has 8 bits. MONOCHROME1 values are inverted

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When the size is not positive, there is no such channel, segment or focal plane, colour
        images are to be added, rows and columns are not parallel to the axes of the slide, or the
        smallest level that is large enough has over 2^38 pixels, or 2^22 along a side
    """
    require_type("slide", slide, Slide)
    wanted = integer("size", size)
    if wanted < 1:
        raise ArgumentValueError(f"size: {wanted} must be positive")
    count = slide.num_focal_planes
    # Focal planes in the order of preference: the middle one, then its neighbours
    planes = sorted(range(count), key=lambda plane: abs(plane - count // 2))
    if focal_plane_index is not None:
        planes = [selection("focal_plane_index", focal_plane_index, count)]
        if max_projection:
            raise ArgumentValueError("focal_plane_index: a projection is of all focal planes")
    channels = _choose_channels(slide, channel_index)
    found = [_find_pixels(slide, index, wanted, planes, max_projection) for index in channels]
    extent = found[0].shape[:2]
    ratio = min(wanted / max(extent), 1)
    rows, columns = (max(math.floor(n * ratio + 0.5), 1) for n in extent)
    descriptions = [slide.channels[index] for index in channels]
    if composite is None:
        composite = len(channels) > 1
    has_colors = any(pixels.shape[2] == 3 for pixels in found)
    if len(channels) > 1 and (has_colors or not composite):
        raise ArgumentValueError("channel_index: only channels of one sample can be added")
    if has_colors or not composite:
        picture = _show(found[0], (columns, rows), descriptions[0].window)
    else:
        lights = [
            np.asarray(_show(pixels, (columns, rows), channel.window, is_stretched=True))
            for pixels, channel in zip(found, descriptions, strict=True)
        ]
        picture = Image.fromarray(mix_light(lights, [c.color or WHITE for c in descriptions]))
    if overlay is not False:
        from dicomslide.display.thumbnail import with_segments

        tree = slide.to_datatree(None)
        picture = Image.fromarray(with_segments(np.asarray(picture.convert("RGB")), tree, overlay))
    if upright:
        geometry = slide._arrangement.levels[0].geometry
        if not geometry.is_axis_aligned:
            raise UnsupportedError(
                f"upright: the image is turned by {geometry.rotation:g} degrees on the slide"
            )
        picture = Image.fromarray(to_upright(np.asarray(picture), geometry))
    return picture


def _choose_channels(slide: Slide, chosen: int | Sequence[int] | None) -> list[int]:
    if chosen is None:
        alike = [
            index
            for index, channel in enumerate(slide.channels)
            if channel.type is ChannelTypes.OPTICAL_PATH and channel.color
        ]
        # Optical paths of several samples have no display colour, and cannot be added
        return alike[:MOST_SHOWN] if 0 in alike else [0]
    indices = list(chosen) if isinstance(chosen, Sequence) else [chosen]
    if not indices:
        raise ArgumentValueError("channel_index: expected at least one channel")
    return [selection("channel_index", index, slide.num_channels) for index in indices]


class _Pixels:
    """Pixels to show: of one focal plane, or the brightest of several."""

    def __init__(self, arrays: Sequence[FrameArray]) -> None:
        self.arrays = arrays
        self.shape, self.dtype = arrays[0].shape, arrays[0].dtype
        self.tile_shape, self.background = arrays[0].tile_shape, arrays[0].background
        self.name = arrays[0].source.name
        self.is_inverted = arrays[0].pixel_format.photometric == "MONOCHROME1"

    def touches_frames(self, rows: range, columns: range) -> bool:
        """Whether any pixel of a part lies in a frame."""
        return any(array.touches_frames(rows, columns) for array in self.arrays)

    def read(self, rows: range, columns: range) -> NDArray:
        """Read the pixels of a part."""
        brightest = np.minimum if self.is_inverted else np.maximum
        pixels: NDArray = reduce(brightest, (a.read(rows, columns) for a in self.arrays))
        return pixels


def _show(
    pixels: _Pixels,
    size: tuple[int, int],
    window: tuple[float, float] | None,
    *,
    is_stretched: bool = False,
) -> Image.Image:
    """Make a grey or RGB picture of a width and height; values of 8 bits are shown as they are."""
    if pixels.dtype == np.uint8 and (pixels.shape[2] == 3 or not (window or is_stretched)):
        picture = shrink(pixels, size, _RESAMPLING)
    else:
        picture = _show_values(pixels, size, window)
    # Low values of MONOCHROME1 are bright
    return ImageOps.invert(picture) if pixels.is_inverted else picture


def shrink(
    array: FrameArray | _Pixels, size: tuple[int, int], resampling: Image.Resampling
) -> Image.Image:
    """Shrink pixels of 8 bits as `PIL.Image.Image.thumbnail` does, without holding all of them.

    Parameters
    ----------
    array : FrameArray
        Lazy array with one or three samples
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
        When there are more pixels than slides have
    """
    check_pixel_count(array)
    rows, columns, samples = array.shape
    by_width, by_height = _block(columns, size[0]), _block(rows, size[1])
    parts = list(_parts(array, by_height, by_width))
    if parts == [(range(rows), range(columns))]:
        reduced = _reduce(array, *parts[0], (by_width, by_height))
    else:
        mode = "L" if samples == 1 else "RGB"
        reduced = Image.new(
            mode, (-(-columns // by_width), -(-rows // by_height)), (array.background,) * samples
        )
        for down, across in parts:
            place = across.start // by_width, down.start // by_height
            reduced.paste(_reduce(array, down, across, (by_width, by_height)), place)
    if size == (columns, rows):
        return reduced
    box = (0, 0, columns / by_width, rows / by_height)
    return reduced.resize(size, resampling, box)


def _reduce(
    array: FrameArray | _Pixels, rows: range, columns: range, block: tuple[int, int]
) -> Image.Image:
    """Read a part, and average its blocks of a width and height."""
    pixels = array.read(rows, columns)
    picture = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])
    # Reducing by blocks of one pixel would only copy the picture
    return picture if block == (1, 1) else picture.reduce(block)


def _parts(
    array: FrameArray | _Pixels, by_height: int, by_width: int
) -> Iterator[tuple[range, range]]:
    """Yield the parts to read one after the other, of whole blocks, where there are frames."""
    (rows, columns), (high, wide) = array.shape[:2], array.tile_shape[:2]
    down, across = _part(by_height, high), _part(by_width, wide)
    for top in range(0, rows, down):
        for left in range(0, columns, across):
            part = range(top, min(top + down, rows)), range(left, min(left + across, columns))
            if array.touches_frames(*part):
                yield part


def _block(length: int, short: int) -> int:
    """Choose the number of pixels along an axis that are averaged before the filter.

    Averaging stops at twice the final size, and the filter does the rest, as in Pillow.
    """
    return min(int(length / short / 2) or 1, _PART)


def _part(factor: int, tile: int) -> int:
    """Choose the number of pixels that are read at once along an axis, in whole blocks.

    Parts are whole tiles, too, if these are not too large, as frames in two parts would be decoded
    twice.
    """
    step = math.lcm(factor, tile)
    if step > _PART:
        step = factor
    return _PART // step * step


def _show_values(
    array: _Pixels, size: tuple[int, int], window: tuple[float, float] | None
) -> Image.Image:
    """Make a picture of averages of pixels within a window, or between percentiles of them."""
    check_pixel_count(array)
    rows, columns, samples = array.shape
    factor = min(max(max(rows, columns) // max(size), 1), _PART)
    # A block may be longer than the shorter side of the image
    high, wide = min(factor, rows), min(factor, columns)
    means = np.full((rows // high, columns // wide, samples), array.background, np.float64)
    for down, across in _parts(array, high, wide):
        top, left = down.start // high, across.start // wide
        # Incomplete blocks at the edges are left out
        tall, broad = len(down) // high, len(across) // wide
        pixels = array.read(down[: tall * high], across[: broad * wide])
        blocks = pixels.reshape(tall, high, broad, wide, samples)
        means[top : top + tall, left : left + broad] = blocks.mean(axis=(1, 3))
    if window is None:
        is_mask = array.dtype.kind == "b"
        window = (0, 1) if is_mask else tuple(np.nanpercentile(means, (0.5, 99.5)))
    shown = light_of(means, window)
    picture = Image.fromarray(shown if samples == 3 else shown[..., 0])
    return picture.resize(size, _RESAMPLING)


def check_pixel_count(array: FrameArray | _Pixels, most: int = _MOST_PIXELS) -> None:
    """Check that an image is not too large for reading all of its pixels.

    Raises
    ------
    UnsupportedError
        When it has more than `most` pixels, by default more than slides have, or a side is too long
    """
    rows, columns, _ = array.shape
    if rows * columns > most or max(rows, columns) > _MOST_SIDE:
        name = array.name if isinstance(array, _Pixels) else array.source.name
        raise UnsupportedError(
            f"{name}: an image of {rows} x {columns} pixels is too large for one picture"
        )


def _find_pixels(
    slide: Slide, channel: int, wanted: int, planes: Sequence[int], is_projected: bool
) -> _Pixels:
    """Find the smallest level of a channel that is large enough, or else the largest one."""
    found: list[tuple[bool, list[TotalPixelMatrix]]] = []
    for level, size in enumerate(slide.total_pixel_matrix_dimensions):
        matrices = []
        for place in planes:
            with suppress(SelectionError):
                matrices.append(slide.get_total_pixel_matrix(level, channel, place))
                if not is_projected:
                    break
        if matrices:
            found.append((max(size) >= wanted, matrices))
    if is_projected and found:
        most = max(len(matrices) for _, matrices in found)
        found = [item for item in found if len(item[1]) == most]
    if not found and len(planes) < slide.num_focal_planes:
        raise SelectionError(
            f"focal_plane_index: channel {channel} has no level in focal plane {planes[0]}"
        )
    if not found:
        # The image of the channel does not lie on the grid of a level, and is read by itself
        (image,) = slide.get_volume_images(channel)
        own = image.get_channel_index(slide.get_channel_identifier(channel))
        return _Pixels([image.get_total_pixel_matrix(own).array])
    enough = [matrices for is_enough, matrices in found if is_enough]
    return _Pixels([matrix.array for matrix in (enough[-1] if enough else found[0][1])])
