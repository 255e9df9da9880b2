"""What every compressed frame has to agree with: the image that it belongs to."""

from collections.abc import Iterator
from dataclasses import dataclass

from numpy.typing import NDArray

from dicomslide.errors import FrameError
from dicomslide.metadata.pixel_format import PixelFormat

__all__ = ["Codestream", "as_stored", "check_codestream", "covers", "iter_boxes"]


@dataclass(frozen=True)
class Codestream:
    """Size and depth of the image in a codestream, as its header says.

    Parameters
    ----------
    rows, columns, samples : int
        Size of the image
    precision : int
        Bits of a sample
    """

    rows: int
    columns: int
    samples: int
    precision: int


def check_codestream(found: Codestream, pixel_format: PixelFormat, needed: tuple[int, int]) -> None:
    """Check a header before anything is decoded: it decides how much memory the decoder takes.

    The precision need not be Bits Stored, as not all writers keep the two alike, but the samples
    have to fit into Bits Allocated.

    Raises
    ------
    FrameError
        When the codestream is not of an image like those that `pixel_format` describes
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
    """Whether an image is no larger than a frame and has all rows and columns needed of it."""
    rows, columns = size
    return needed[0] <= rows <= pixel_format.rows and needed[1] <= columns <= pixel_format.columns


def as_stored(pixels: NDArray, precision: int, pixel_format: PixelFormat) -> NDArray:
    """Give decoded samples the data type of the stored values.

    A codestream that knows no sign, or states another one than the image, holds the bits of the
    stored values: two's complement of its precision where they are signed.
    """
    if (pixels.dtype.kind == "i") != pixel_format.signed:
        size = pixels.dtype.itemsize
        pixels = pixels.view(f"{'i' if pixel_format.signed else 'u'}{size}")
        unused = 8 * size - precision
        pixels = pixels << unused >> unused if unused else pixels
    return pixels.astype(pixel_format.stored_dtype, copy=False)


def iter_boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Find the boxes of a JP2 or JPEG XL container (ISO/IEC 15444-1 I.4).

    Yields
    ------
    tuple of bytes, int and int
        Type, and the positions of the first byte of the content and of the one after its last
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
