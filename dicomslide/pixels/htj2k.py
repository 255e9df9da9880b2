"""Decoding of High-Throughput JPEG 2000 codestreams with OpenJPH (ITU-T T.814).

OpenJPH is nearly twice as fast as OpenJPEG, but trusts headers: some make it hang, or write outside
its memory. It only gets codestreams whose headers have a plain form, which encoders write for
frames, and only if the configuration asks for it, as it misses some damages that OpenJPEG finds.
"""

import struct

import dask.config
import imagecodecs
from numpy.typing import NDArray

__all__ = ["decode_with_openjph", "is_plain"]

# Explained in docs/performance.md
_SETTING = "dicomslide.fast-htj2k"
dask.config.update_defaults({"dicomslide": {"fast-htj2k": False}})

_START = b"\xff\x4f\xff\x51"
_SIZE, _CAPABILITIES, _CODING_STYLE, _QUANTIZATION = 0xFF51, 0xFF50, 0xFF52, 0xFF5C
_COMPONENT_QUANTIZATION, _TILE_PART_LENGTHS, _COMMENT = 0xFF5D, 0xFF55, 0xFF64
_TILE_PART, _PACKET_LENGTHS, _DATA, _END = 0xFF90, 0xFF58, 0xFF93, 0xFFD9

_IN_MAIN_HEADER = {
    _SIZE,
    _CAPABILITIES,
    _CODING_STYLE,
    _QUANTIZATION,
    _COMPONENT_QUANTIZATION,
    _TILE_PART_LENGTHS,
    _COMMENT,
}
_IN_TILE_PART = {_PACKET_LENGTHS, _COMMENT}

_MAX_PRECISION = 16
# Most bits of a coefficient of OpenJPH
_MAX_BITS = 30
# Enough decomposition levels to reduce 1024 pixels to one
_MAX_LEVELS = 10
# Exponents of the sizes of precincts; smaller ones would be many, each of which takes memory
_PRECINCTS = range(5, 16)


def decode_with_openjph(data: bytes) -> NDArray | None:
    """Decode a codestream with OpenJPH if it is configured, safe and succeeds; None otherwise."""
    if not dask.config.get(_SETTING, False) or not is_plain(data):
        return None
    try:
        pixels = imagecodecs.htj2k_decode(data, planar=False)
    except imagecodecs.Htj2kError:
        return None
    # imagecodecs loses errors in code blocks, and leaves the rows from there on zero
    written = pixels[-1].any(axis=0).all()
    return pixels if written else None


def is_plain(data: bytes) -> bool:
    """Whether a codestream is lossless and high-throughput, and its headers have the plain form.

    The plain form is one tile without offsets, components of one size and depth, one quality layer,
    code blocks that are all high-throughput, and one exponent for each subband, in the range that
    the depth allows (ITU-T T.800 A.4 to A.7, T.814 A.2 to A.4).
    """
    try:
        _require(data.startswith(_START))
        segments, end = _read_segments(data, 2, _IN_MAIN_HEADER, _TILE_PART)
        components, precision = _read_size(_only(segments, _SIZE))
        _check_capabilities(_only(segments, _CAPABILITIES))
        levels = _read_coding_style(_only(segments, _CODING_STYLE), components)
        _check_quantization(_only(segments, _QUANTIZATION), levels, precision)
        for marker, content in segments:
            if marker == _COMPONENT_QUANTIZATION:
                _require(content[0] < components)
                _check_quantization(content[1:], levels, precision)
        _check_tile_parts(data, end)
    except (_OtherFormError, struct.error):
        return False
    return True


class _OtherFormError(Exception):
    """Raised when something in a codestream has another form than the plain one."""


def _require(condition: bool) -> None:
    if not condition:
        raise _OtherFormError


def _read_segments(
    data: bytes, position: int, allowed: set[int], last: int
) -> tuple[list[tuple[int, bytes]], int]:
    """Read marker segments up to the marker `last`; return them and its position."""
    segments: list[tuple[int, bytes]] = []
    while True:
        (marker,) = struct.unpack_from(">H", data, position)
        if marker == last:
            return segments, position
        _require(marker in allowed)
        (length,) = struct.unpack_from(">H", data, position + 2)
        content = data[position + 4 : position + 2 + length]
        _require(2 < length == len(content) + 2)
        segments.append((marker, content))
        position += 2 + length


def _only(segments: list[tuple[int, bytes]], marker: int) -> bytes:
    """Return the content of the segment with a marker, of which there must be exactly one."""
    contents = [content for found, content in segments if found == marker]
    _require(len(contents) == 1)
    return contents[0]


def _read_size(content: bytes) -> tuple[int, int]:
    """Check sizes of image and tile; return number and precision of the components."""
    right, bottom, left, top, width, height, tiles_left, tiles_top, components = struct.unpack_from(
        ">8IH", content, 2
    )
    _require(left == top == tiles_left == tiles_top == 0)
    _require((width, height) == (right, bottom) and width > 0 and height > 0)
    depths = content[36:]
    _require(components in (1, 3) and depths == components * (depths[:1] + b"\1\1"))
    precision = (depths[0] & 0x7F) + 1
    _require(precision <= _MAX_PRECISION)
    return components, precision


def _check_capabilities(content: bytes) -> None:
    """Check that only Part 15 of the standard is needed, and only its plain code blocks."""
    parts, details = struct.unpack(">IH", content)
    _require(parts == 1 << 17 and details < 1 << 6)


def _read_coding_style(content: bytes, components: int) -> int:
    """Check the coding style; return the number of decomposition levels."""
    style, progression, layers, transformation, levels, wide, high, block_style, wavelet = (
        struct.unpack_from(">BBHBBBBBB", content)
    )
    _require(style <= 1 and progression <= 4 and layers == 1 and levels <= _MAX_LEVELS)
    _require(transformation == 0 or (transformation == 1 and components == 3))
    # Code blocks of at most 1024 pixels along a side and 4096 in all, without any options
    _require(wide <= 8 and high <= 8 and wide + high <= 8 and block_style == 0x40)
    # The 5-3 wavelet, with which coding is lossless
    _require(wavelet == 1)
    precincts = content[10:]
    _require(len(precincts) == style * (levels + 1))
    _require(all(size >> 4 in _PRECINCTS and size & 15 in _PRECINCTS for size in precincts))
    return levels


def _check_quantization(content: bytes, levels: int, precision: int) -> None:
    """Check the exponents of the subbands; lossless coding has no step sizes beside them."""
    _require(len(content) == 2 + 3 * levels)
    style, *exponents = content
    _require(style & 0x1F == 0)
    guard_bits = style >> 5
    for exponent in exponents:
        bits = (exponent >> 3) + guard_bits - 1
        _require(exponent & 7 == 0 and precision <= bits <= _MAX_BITS)


def _check_tile_parts(data: bytes, position: int) -> None:
    """Check that the parts of the tile follow each other up to the end of the codestream."""
    part, parts = 0, 0
    while struct.unpack_from(">H", data, position) != (_END,):
        marker, size, tile, length, index, count = struct.unpack_from(">HHHIBB", data, position)
        _require((marker, size, tile, index) == (_TILE_PART, 10, 0, part))
        _require(count == 0 or count == (parts or count))
        _, start = _read_segments(data, position + 12, _IN_TILE_PART, _DATA)
        _require(start + 2 <= position + length <= len(data))
        part, parts, position = part + 1, parts or count, position + length
    _require(part > 0 and parts in (0, part))
