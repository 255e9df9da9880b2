"""What the header of a JPEG codestream says (ITU-T T.81 B.2)."""

import struct
from dataclasses import dataclass

from dicomslide.errors import FrameError

__all__ = ["JpegHeader", "read_jpeg_header"]

# Start of frame markers; C4, C8 and CC are none
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_END = b"\xff\xd9"


@dataclass(frozen=True)
class JpegHeader:
    """Size and colour of a JPEG codestream.

    Parameters
    ----------
    rows, columns, components, precision : int
        As in the start of frame segment
    adobe_transform : int, optional
        Colour transform of the Adobe segment: 0 is none, 1 is YCbCr; None where there is no segment
    """

    rows: int
    columns: int
    components: int
    precision: int
    adobe_transform: int | None


def read_jpeg_header(data: bytes) -> JpegHeader:
    """Read the segments of a JPEG codestream up to its first start of frame.

    Raises
    ------
    FrameError
        When the data are no JPEG codestream, or are cut off
    """
    if data[:2] != b"\xff\xd8":
        raise FrameError("it does not start like a JPEG codestream")
    # A decoder would fill the rest of a codestream that is cut off with grey
    if _END not in data[-64:] and not data.rstrip(b"\0").endswith(_END):
        raise FrameError("its JPEG codestream is cut off")
    adobe = None
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise FrameError(f"its JPEG codestream has no marker at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF or marker in _STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        segment = data[position + 4 : position + 2 + length]
        if marker in _START_OF_FRAME and len(segment) >= 6:
            precision, rows, columns, components = struct.unpack_from(">BHHB", segment)
            return JpegHeader(rows, columns, components, precision, adobe)
        if marker == 0xEE and segment[:5] == b"Adobe" and len(segment) >= 12:
            adobe = segment[11]
        if marker in (0xDA, 0xD9):
            break
        position += 2 + max(length, 2)
    raise FrameError("its JPEG codestream has no start of frame")
