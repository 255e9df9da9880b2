"""Decoding of JPEG 2000 and High-Throughput JPEG 2000 frames (ITU-T T.800, T.814)."""

import struct
from dataclasses import dataclass

import imagecodecs
from numpy.typing import NDArray

from dicomslide.errors import FrameError
from dicomslide.metadata.pixel_format import PixelFormat
from dicomslide.pixels.codestream import Codestream, as_stored, check_codestream, iter_boxes
from dicomslide.pixels.colorspace import ybr_to_rgb
from dicomslide.pixels.htj2k import decode_with_openjph

__all__ = [
    "Jpeg2000Header",
    "decode_jpeg2000",
    "extract_codestream",
    "read_jpeg2000_colours",
    "read_jpeg2000_header",
]

_START = b"\xff\x4f\xff\x51"
_CODING_STYLE = b"\xff\x52"
_TILE_PART, _END = b"\xff\x90", b"\xff\xd9"

# Most bits per sample for which the codec is exact
_MAX_PRECISION = 24
# Bounds the number of tiles, each of which takes memory, however small it is
_MIN_PIXELS_PER_TILE = 1024


@dataclass(frozen=True)
class Jpeg2000Header(Codestream):
    """Main header of a JPEG 2000 codestream.

    Parameters
    ----------
    tiles : int
        Number of tiles
    transformed : bool
        Whether there is a multiple component transformation, which decoders undo
    subsampled : bool
        Whether the last two of three components have half the columns, and maybe half the rows
    end : int
        Position of the first tile part
    """

    tiles: int
    transformed: bool
    subsampled: bool
    end: int


def decode_jpeg2000(data: bytes, pixel_format: PixelFormat, needed: tuple[int, int]) -> NDArray:
    """Decode a JPEG 2000 frame, high-throughput or not; see `decode_frame`."""
    data = extract_codestream(data)
    header = read_jpeg2000_header(data)
    check_codestream(header, pixel_format, needed)
    _check_tiles(data, header)
    if header.precision > _MAX_PRECISION:
        raise FrameError(
            f"its codestream has {header.precision} bits per sample, which is not supported"
        )
    pixels = decode_with_openjph(data)
    if pixels is None:
        pixels = imagecodecs.jpeg2k_decode(data, numthreads=1)
    # The codec upsamples subsampled chrominance, and then also converts to RGB
    if _is_ycbcr(header, pixel_format) and not header.subsampled:
        pixels = ybr_to_rgb(pixels, header.precision)
    return as_stored(pixels, header.precision, pixel_format)


def _is_ycbcr(header: Jpeg2000Header, pixel_format: PixelFormat) -> bool:
    """Whether the decoded components of a JPEG 2000 codestream are YCbCr.

    They are RGB if the decoder undoes a component transformation. Without one, subsampled
    components are YCbCr, as only chrominance is subsampled, and YBR_ICT names the same colours as
    YBR_FULL. YBR_RCT cannot be true without a transformation, as its differences would need one
    more bit: such an image holds RGB.
    """
    if header.samples != 3 or header.transformed:
        return False
    return header.subsampled or pixel_format.photometric.startswith(("YBR_FULL", "YBR_ICT"))


def read_jpeg2000_colours(data: bytes, pixel_format: PixelFormat) -> tuple[str, bool]:
    """Read the colours of a codestream, and whether Photometric Interpretation agrees.

    RGB agrees with a codestream that has a component transformation, as it decodes to RGB.
    """
    header = read_jpeg2000_header(extract_codestream(data))
    photometric = pixel_format.photometric
    if header.transformed:
        return "RGB that is transformed within", photometric in ("RGB", "YBR_RCT", "YBR_ICT")
    if _is_ycbcr(header, pixel_format):
        return "YCbCr", photometric in ("YBR_FULL", "YBR_FULL_422", "YBR_ICT")
    return "RGB", photometric == "RGB"


def extract_codestream(data: bytes) -> bytes:
    """Extract the codestream from a JP2 container, which some writers leave around it."""
    if data.startswith(_START):
        return data
    for kind, start, end in iter_boxes(data):
        if kind == b"jp2c":
            return data[start:end]
    raise FrameError("it is not a JPEG 2000 codestream")


def read_jpeg2000_header(data: bytes) -> Jpeg2000Header:
    """Read the main header of a codestream (ITU-T T.800 A.5, A.6).

    Raises
    ------
    FrameError
        When the header is broken or cut off, or components differ in precision, or in size other
        than by chroma subsampling of 4:2:2 or 4:2:0
    """
    segments: dict[bytes, bytes] = {}
    position = 2
    while (marker := data[position : position + 2]) != _TILE_PART:
        if len(marker) < 2 or marker[0] != 0xFF or position + 4 > len(data):
            raise FrameError("the main header of its JPEG 2000 codestream is cut off")
        (length,) = struct.unpack_from(">H", data, position + 2)
        segments.setdefault(marker, data[position + 4 : position + 2 + length])
        position += 2 + max(length, 2)
    size, style = segments.get(_START[2:], b""), segments.get(_CODING_STYLE, b"")
    if len(size) < 39 or len(style) < 10:
        raise FrameError("the main header of its JPEG 2000 codestream is broken")
    right, bottom, left, top, width, height, tiles_left, tiles_top, samples = struct.unpack_from(
        ">8IH", size, 2
    )
    depth, transformed = size[36], style[4] != 0
    full, halves = bytes((depth, 1, 1)), [bytes((depth, 2, down)) for down in (1, 2)]
    subsampled = samples == 3 and size[36:] in [full + 2 * half for half in halves]
    # A transformation needs components of one size, and the first chroma sample of an image with
    # an offset may be cut
    if size[36:] != full * samples and (not subsampled or transformed or left or top):
        raise FrameError("the components of its JPEG 2000 codestream differ in size or precision")
    if not width or not height:
        raise FrameError("the tiles of its JPEG 2000 codestream are empty")
    across, down = -(-(right - tiles_left) // width), -(-(bottom - tiles_top) // height)
    return Jpeg2000Header(
        rows=bottom - top,
        columns=right - left,
        samples=samples,
        precision=(depth & 0x7F) + 1,
        tiles=across * down,
        transformed=transformed,
        subsampled=subsampled,
        end=position,
    )


def _check_tiles(data: bytes, header: Jpeg2000Header) -> None:
    """Check that all tiles are there and complete, as decoders leave out missing ones silently."""
    if header.tiles > 1 + header.rows * header.columns // _MIN_PIXELS_PER_TILE:
        raise FrameError(f"its JPEG 2000 codestream has {header.tiles} tiles")
    tiles, position = set(), header.end
    while data[position : position + 2] == _TILE_PART and position + 12 <= len(data):
        _, tile, length = struct.unpack_from(">HHI", data, position + 2)
        tiles.add(tile)
        # A length of 0 stands for all bytes up to the end of the codestream (ITU-T T.800 A.4.2)
        position = position + max(length, 12) if length else data.rfind(_END)
    if len(tiles) < header.tiles or data[position : position + 2] != _END:
        raise FrameError("its JPEG 2000 codestream is cut off")
