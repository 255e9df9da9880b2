"""Decoding of JPEG XL frames (ISO/IEC 18181)."""

import imagecodecs
from numpy.typing import NDArray

from dicomslide.errors import FrameError
from dicomslide.metadata.pixel_format import PixelFormat
from dicomslide.pixels.codestream import Codestream, as_stored, check_codestream, iter_boxes

__all__ = ["decode_jpeg_xl", "read_jpeg_xl_header"]

_START = b"\xff\x0a"

# Enough bytes for all fields of the header that are read here
_HEADER_SIZE = 64
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
# Codings of an integer: its smallest value, and the number of bits of what is added to that
_SIZE = ((1, 9), (1, 13), (1, 18), (1, 30))
_BITS = ((8, 0), (10, 0), (12, 0), (1, 6))
_EXTRA_CHANNELS = ((0, 0), (1, 0), (2, 4), (1, 12))
_ENUM = ((0, 0), (1, 0), (2, 4), (18, 6))
_GREY = 1


def decode_jpeg_xl(data: bytes, pixel_format: PixelFormat, needed: tuple[int, int]) -> NDArray:
    """Decode a JPEG XL frame, whose colours only its codestream states; see `decode_frame`."""
    header = read_jpeg_xl_header(data)
    check_codestream(header, pixel_format, needed)
    pixels = imagecodecs.jpegxl_decode(data, index=0, numthreads=1)
    return as_stored(pixels, header.precision, pixel_format)


class _Bits:
    """Reader of the fields of a header, the least significant bit of each byte first."""

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
        """Read an integer whose first two bits choose one of four codings."""
        base, count = alternatives[self.take(2)]
        return base + self.take(count)


def read_jpeg_xl_header(data: bytes) -> Codestream:
    """Read the size and the metadata of an image (ISO/IEC 18181-1 C.1, D).

    Raises
    ------
    FrameError
        When the data are not a JPEG XL codestream, or the image has extra channels, floats, a
        preview, an animation or a rotation, which frames cannot have
    """
    start = _find_codestream(data)
    if data[start : start + 2] != _START:
        raise FrameError("it is not a JPEG XL codestream")
    bits = _Bits(data[start + 2 : start + 2 + _HEADER_SIZE])
    rows, columns = _read_size(bits)
    if bits.take(1):
        # The flag all_default: the metadata are not stored, as they have their default values
        return Codestream(rows, columns, 3, 8)
    has_extra_fields = bits.take(1)
    # First three bits of orientation, then the flags of an intrinsic size, preview and animation
    if has_extra_fields and (bits.take(3) or bits.take(3)):
        raise FrameError("its JPEG XL image is rotated, animated, resized or has a preview")
    if bits.take(1):
        raise FrameError("its JPEG XL image has floats")
    precision = bits.choose(_BITS)
    bits.take(1)  # Whether buffers of 16 bits suffice
    if bits.choose(_EXTRA_CHANNELS):
        raise FrameError("its JPEG XL image has channels beside those of its colours")
    bits.take(1)  # Whether the image is coded as XYB
    is_srgb = bits.take(1)
    if is_srgb:
        return Codestream(rows, columns, 3, precision)
    bits.take(1)  # Whether there is an ICC profile
    grey = bits.choose(_ENUM) == _GREY
    return Codestream(rows, columns, 1 if grey else 3, precision)


def _find_codestream(data: bytes) -> int:
    """Find the position of the codestream or of its first part, in a container or without."""
    if data.startswith(_START):
        return 0
    for kind, start, _ in iter_boxes(data):
        if kind in (b"jxlc", b"jxlp"):
            # Boxes of a part start with its number, of four bytes
            return start + 4 * (kind == b"jxlp")
    raise FrameError("it is not a JPEG XL codestream")


def _read_size(bits: _Bits) -> tuple[int, int]:
    """Read the number of rows and columns."""
    small = bits.take(1)

    def read() -> int:
        return 8 * (bits.take(5) + 1) if small else bits.choose(_SIZE)

    rows = read()
    ratio = bits.take(3)
    if ratio == 0:
        return rows, read()
    numerator, denominator = _RATIOS[ratio - 1]
    return rows, rows * numerator // denominator
