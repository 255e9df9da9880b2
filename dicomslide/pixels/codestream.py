"""Checks that the codestream of a compressed frame matches the image that it belongs to."""

from collections.abc import Iterator
from dataclasses import dataclass

from numpy.typing import NDArray

from dicomslide.errors import FrameError
from dicomslide.metadata.pixel_format import PixelFormat

__all__ = ["Codestream", "as_stored", "check_codestream", "covers", "iter_boxes"]


@dataclass(frozen=True)
class Codestream:
    """Size and depth of the image in a codestream, as stated by its header.

    Parameters
    ----------
    rows, columns, samples : int
        Number of rows, columns, and samples per pixel
    precision : int
        Number of bits of a sample
    """

    rows: int
    columns: int
    samples: int
    precision: int


def check_codestream(found: Codestream, pixel_format: PixelFormat, needed: tuple[int, int]) -> None:
    """Check the header of a codestream against the pixel format of its image.

    This is done before decoding, as decoders allocate the memory that the header asks for. The
    precision may differ from Bits Stored, as it does with some writers, but samples have to fit
    into Bits Allocated.

    Raises
    ------
    FrameError
        When the codestream has another size, number of samples, or more bits than the image
    """
    size = found.rows, found.columns, found.samples
    expected = pixel_format.rows, pixel_format.columns, pixel_format.samples
    if found.samples != pixel_format.samples or not covers(size[:2], pixel_format, needed):
        raise FrameError(f"its codestream is {size} (rows, columns, samples), expected {expected}")
    if not 1 <= found.precision <= max(pixel_format.bits_allocated, 8):
        raise FrameError(
            f"its codestream has {found.precision} bits per sample, "
            f"Bits Allocated is {pixel_format.bits_allocated}"
        )


def covers(size: tuple[int, int], pixel_format: PixelFormat, needed: tuple[int, int]) -> bool:
    """Whether a size is at most that of a frame, and has its needed rows and columns."""
    rows, columns = size
    return needed[0] <= rows <= pixel_format.rows and needed[1] <= columns <= pixel_format.columns


def as_stored(pixels: NDArray, precision: int, pixel_format: PixelFormat) -> NDArray:
    """Convert decoded samples to the data type of the stored values.

    Where the signs of codestream and image differ, or the codestream cannot state one, its samples
    are the bits of the stored values, in two's complement of its precision if these are signed.
    """
    if (pixels.dtype.kind == "i") != pixel_format.signed:
        size = pixels.dtype.itemsize
        pixels = pixels.view(f"{'i' if pixel_format.signed else 'u'}{size}")
        unused = 8 * size - precision
        pixels = pixels << unused >> unused if unused else pixels
    return pixels.astype(pixel_format.stored_dtype, copy=False)


def iter_boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Iterate over the boxes of a JP2 or JPEG XL container (ISO/IEC 15444-1 I.4).

    Yields
    ------
    tuple of bytes, int and int
        Type, and start and end of the content as byte positions

    Raises
    ------
    FrameError
        When a box ends beyond the data
    """
    position = 0
    while position + 8 <= len(data):
        length, start = int.from_bytes(data[position : position + 4], "big"), position + 8
        if length == 1:
            length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        end = position + length if length else len(data)
        if not start <= end <= len(data):
            raise FrameError(f"its box at byte {position} is cut off")
        yield data[position + 4 : position + 8], start, end
        position = end
