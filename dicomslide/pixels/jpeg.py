"""Decoding of JPEG and JPEG-LS frames (ITU-T T.81, T.87)."""

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from dicomslide.errors import FrameError
from dicomslide.metadata.pixel_format import PixelFormat
from dicomslide.pixels.codestream import Codestream, as_stored, check_codestream
from dicomslide.pixels.colorspace import components_to_rgb, ybr_to_rgb

__all__ = [
    "JPEG_LS",
    "JpegHeader",
    "decode_jpeg",
    "decode_jpeg_ls",
    "read_jpeg_colours",
    "read_jpeg_header",
]

# Start of frame markers are C0 to CF, without C4, C8 and CC, and F7 of JPEG-LS
_SEQUENTIAL, _PROGRESSIVE, _LOSSLESS, JPEG_LS = frozenset({0xC0, 0xC1}), 0xC2, 0xC3, 0xF7
_SUPPORTED = _SEQUENTIAL | {_PROGRESSIVE, _LOSSLESS}
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), JPEG_LS}) - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
_START_OF_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_JFIF, _ADOBE = 0xE0, 0xEE

# Encoders write about ten scans; more cost time, as each is a pass over the frame
_MAX_SCANS = 100


@dataclass(frozen=True)
class JpegHeader(Codestream):
    """Header of a JPEG or JPEG-LS codestream: all segments up to its first scan.

    Parameters
    ----------
    process : int
        Second byte of the start of frame marker
    component_ids : bytes
        Identifiers of the components, one byte each
    adobe_transform : int, optional
        Colour transform of the Adobe segment, 0 for none; None where there is no segment
    jfif : bool
        Whether there is a JFIF segment
    subsampled : bool
        Whether the sampling factors of the components differ
    one_scan : bool
        Whether the first scan has all components completely, so that decoders read no other one
    rows_at : int
        Position of the number of rows, two bytes
    """

    process: int
    component_ids: bytes
    adobe_transform: int | None
    jfif: bool
    subsampled: bool
    one_scan: bool
    rows_at: int = field(compare=False)


def decode_jpeg(
    data: bytes,
    pixel_format: PixelFormat,
    needed: tuple[int, int],
    out: NDArray | None = None,
    rows: int | None = None,
) -> NDArray:
    """Decode a lossy or lossless JPEG frame, into `out` if the codec can; see `decode_frame`."""
    header = read_jpeg_header(data)
    check_codestream(header, pixel_format, needed)
    if header.process not in _SUPPORTED:
        raise FrameError(f"its JPEG process (marker FF{header.process:02X}) is not supported")
    if not header.one_scan and data.count(_START_OF_SCAN) > _MAX_SCANS:
        raise FrameError(f"its JPEG codestream has more than {_MAX_SCANS} scans")
    in_order = header.process in _SEQUENTIAL and header.one_scan
    is_cropped = (header.rows, header.columns) != pixel_format.shape[:2]
    if rows is not None and rows + 1 < header.rows and in_order and not is_cropped:
        # Where this fails, the whole frame tells whether more than the end of it is damaged
        with suppress(Exception):
            # Decoders interpolate chrominance between rows, so the last one may have other colours
            return _decoded(data, header, pixel_format, out, rows + 1)[:rows]
    return _decoded(data, header, pixel_format, out, header.rows)


def _decoded(
    data: bytes, header: JpegHeader, pixel_format: PixelFormat, out: NDArray | None, rows: int
) -> NDArray:
    """Decode the first rows of a codestream."""
    if rows < header.rows:
        # A decoder stops after the rows that are stated
        start, end = header.rows_at, header.rows_at + 2
        data = b"".join((data[:start], rows.to_bytes(2, "big"), data[end:]))
    if header.samples == 1:
        return as_stored(imagecodecs.jpeg8_decode(data), header.precision, pixel_format)
    ycbcr = _is_ycbcr(header, pixel_format)
    # The codec converts the colours of lossy codestreams only
    converted = ycbcr and header.process != _LOSSLESS
    shape = rows, header.columns, header.samples
    out = None if out is None else out[:rows]
    fits = out is not None and out.shape == shape and out.dtype.itemsize == 1
    pixels = imagecodecs.jpeg8_decode(
        data,
        colorspace="YCBCR" if converted else "RGB",
        outcolorspace="RGB",
        out=out if fits and header.precision == 8 else None,
    )
    if ycbcr and not converted:
        pixels = ybr_to_rgb(pixels, header.precision)
    return as_stored(pixels, header.precision, pixel_format)


def _is_ycbcr(header: JpegHeader, pixel_format: PixelFormat) -> bool:
    """Whether the components of a JPEG codestream are YCbCr.

    The codestream decides if it tells (PS3.5 8.2.1), as many converters encode YCbCr but leave
    Photometric Interpretation at RGB. The Adobe segment and component identifiers state colours
    explicitly; JFIF (ITU-T T.871) is always YCbCr; and only chrominance is subsampled.
    """
    if header.adobe_transform is not None:
        return header.adobe_transform != 0
    if header.component_ids.upper() == b"RGB":
        return False
    # JFIF is only defined for processes with a DCT: its segment says nothing about the colours of
    # lossless codestreams, in which some encoders write it all the same
    if header.subsampled or (header.jfif and header.process != _LOSSLESS):
        return True
    return pixel_format.photometric != "RGB"


def read_jpeg_colours(data: bytes, pixel_format: PixelFormat) -> tuple[str, bool]:
    """Read the colours of a JPEG codestream, and whether Photometric Interpretation agrees."""
    ycbcr = _is_ycbcr(read_jpeg_header(data), pixel_format)
    return "YCbCr" if ycbcr else "RGB", ycbcr == (pixel_format.photometric != "RGB")


def decode_jpeg_ls(data: bytes, pixel_format: PixelFormat, needed: tuple[int, int]) -> NDArray:
    """Decode a lossless or near-lossless JPEG-LS frame; see `decode_frame`."""
    header = read_jpeg_header(data)
    check_codestream(header, pixel_format, needed)
    if header.process != JPEG_LS:
        raise FrameError("its codestream is JPEG, expected JPEG-LS")
    pixels = np.ascontiguousarray(imagecodecs.jpegls_decode(data))
    pixels = components_to_rgb(pixels, pixel_format)
    return as_stored(pixels, header.precision, pixel_format)


def read_jpeg_header(data: bytes) -> JpegHeader:
    """Read the segments of a JPEG or JPEG-LS codestream up to its first scan.

    Raises
    ------
    FrameError
        When the data are not such a codestream, or are cut off
    """
    if data[:2] != b"\xff\xd8":
        raise FrameError("it does not start like a JPEG codestream")
    # Decoders fill the missing part of a codestream that is cut off with grey, without an error
    if _END not in data[-64:] and not data.rstrip(b"\0").endswith(_END):
        raise FrameError("its JPEG codestream is cut off")
    global _last
    known = _last
    # Frames of an image usually have equal headers, so the last one is kept with its bytes
    if known is not None and data.startswith(known[0]):
        return known[1]
    header, end = _parse_header(data)
    _last = data[:end], header
    return header


_last: tuple[bytes, JpegHeader] | None = None


def _parse_header(data: bytes) -> tuple[JpegHeader, int]:
    """Parse a header; return it and the position of its end."""
    frame, rows_at, process, adobe, jfif, components, end = b"", 0, 0, None, False, 0, len(data)
    for marker, segment, after in _iter_segments(data):
        if marker in _START_OF_FRAME and not frame:
            # The first byte is the precision
            frame, process, rows_at = segment, marker, after - len(segment) + 1
        elif marker == _ADOBE and segment.startswith(b"Adobe") and len(segment) >= 12:
            adobe = segment[11]
        elif marker == _JFIF and segment.startswith(b"JFIF\0"):
            jfif = True
        elif marker == _SCAN and segment:
            components, end = segment[0], after
    if len(frame) < 9 or len(frame) < 6 + 3 * frame[5]:
        raise FrameError("its JPEG codestream has no start of frame")
    precision, rows, columns, samples = struct.unpack_from(">BHHB", frame)
    header = JpegHeader(
        rows=rows,
        columns=columns,
        samples=samples,
        precision=precision,
        process=process,
        component_ids=frame[6 : 6 + 3 * samples : 3],
        adobe_transform=adobe,
        jfif=jfif,
        subsampled=len(set(frame[7 : 6 + 3 * samples : 3])) > 1,
        one_scan=process != _PROGRESSIVE and components >= samples,
        rows_at=rows_at,
    )
    return header, end


def _iter_segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Iterate over the segments up to the start of the first scan (ITU-T T.81 B.1.1).

    Yields
    ------
    tuple of int, bytes and int
        Second byte of the marker, content, and the position after the segment
    """
    position, marker = 2, 0
    while position + 4 <= len(data) and marker != _SCAN:
        if data[position] != 0xFF:
            raise FrameError(f"its JPEG codestream has no marker at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF or marker in _STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        after = position + 2 + max(length, 2)
        yield marker, data[position + 4 : position + 2 + length], after
        position = after
