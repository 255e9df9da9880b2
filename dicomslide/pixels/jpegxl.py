"""JPEG XL frames (ISO/IEC 18181)."""

import imagecodecs
from numpy.typing import NDArray

from dicomslide.errors import FrameError
from dicomslide.metadata.pixel_format import PixelFormat
from dicomslide.pixels.codestream import Codestream, as_stored, check_codestream, iter_boxes

__all__ = ["decode_jpeg_xl", "read_jpeg_xl_header"]

_START = b"\xff\x0a"

# Enough for the largest header that is read here
_HEADER_SIZE = 64
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
# Alternatives of an integer: its smallest value and how many bits are added to it
_SIZE = ((1, 9), (1, 13), (1, 18), (1, 30))
_BITS = ((8, 0), (10, 0), (12, 0), (1, 6))
_EXTRA_CHANNELS = ((0, 0), (1, 0), (2, 4), (1, 12))
_ENUM = ((0, 0), (1, 0), (2, 4), (18, 6))
_GREY = 1


def decode_jpeg_xl(data: bytes, pixel_format: PixelFormat, needed: tuple[int, int]) -> NDArray:
    """Decode a JPEG XL frame; what its colours are is a matter of the codestream alone."""
    header = read_jpeg_xl_header(data)
    check_codestream(header, pixel_format, needed)
    pixels = imagecodecs.jpegxl_decode(data, index=0, numthreads=1)
    return as_stored(pixels, header.precision, pixel_format)


class _Bits:
    """Fields of a header, the least significant bit of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """Read an unsigned integer of some bits."""
        self._left -= count
        if self._left < 0:
            raise FrameError("the header of its JPEG XL codestream is cut off")
        value = self._value & (1 << count) - 1
        self._value >>= count
        return value

    def choose(self, alternatives: tuple[tuple[int, int], ...]) -> int:
        """Read an integer that is coded in one of four ways."""
        base, count = alternatives[self.take(2)]
        return base + self.take(count)


def read_jpeg_xl_header(data: bytes) -> Codestream:
    """Read the size and the metadata of an image (ISO/IEC 18181-1 C.1, D).

    Raises
    ------
    FrameError
        When the data are no JPEG XL codestream, or of an image that DICOM has no place for: with
        more channels than those of its colours, floats, a preview, an animation or a rotation
    """
    start = _find_codestream(data)
    if data[start : start + 2] != _START:
        raise FrameError("it is no JPEG XL codestream")
    bits = _Bits(data[start + 2 : start + 2 + _HEADER_SIZE])
    rows, columns = _read_size(bits)
    if bits.take(1):
        # All values of the metadata are the usual ones
        return Codestream(rows, columns, 3, 8)
    has_extra_fields = bits.take(1)
    # Orientation, and whether there are an intrinsic size, a preview and an animation
    if has_extra_fields and (bits.take(3) or bits.take(3)):
        raise FrameError("its JPEG XL image is rotated, animated, resized or has a preview")
    if bits.take(1):
        raise FrameError("its JPEG XL image has floats")
    precision = bits.choose(_BITS)
    bits.take(1)  # Whether buffers of 16 bits suffice
    if bits.choose(_EXTRA_CHANNELS):
        raise FrameError("its JPEG XL image has other channels than those of its colours")
    bits.take(1)  # Whether the image is coded as XYB
    is_srgb = bits.take(1)
    if is_srgb:
        return Codestream(rows, columns, 3, precision)
    bits.take(1)  # Whether there is an ICC profile
    grey = bits.choose(_ENUM) == _GREY
    return Codestream(rows, columns, 1 if grey else 3, precision)


def _find_codestream(data: bytes) -> int:
    """Find where the codestream starts, or its first part, in a container or without one."""
    if data.startswith(_START):
        return 0
    for kind, start, _ in iter_boxes(data):
        if kind in (b"jxlc", b"jxlp"):
            # The parts of a codestream are numbered
            return start + 4 * (kind == b"jxlp")
    raise FrameError("it is no JPEG XL codestream")


def _read_size(bits: _Bits) -> tuple[int, int]:
    """Read rows and columns."""
    small = bits.take(1)

    def read() -> int:
        return 8 * (bits.take(5) + 1) if small else bits.choose(_SIZE)

    rows = read()
    ratio = bits.take(3)
    if ratio == 0:
        return rows, read()
    numerator, denominator = _RATIOS[ratio - 1]
    return rows, rows * numerator // denominator
