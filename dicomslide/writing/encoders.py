"""Encoders: each turns a frame of shape (rows, columns, samples), RGB if colour, into bytes."""

import struct
import zlib
from dataclasses import replace
from typing import Any, Literal

import imagecodecs
import numpy as np
import numpy.typing as npt

from dicomslide.writing.pixel_format import EXPLICIT_BIG_ENDIAN, PixelFormat

__all__ = [
    "Pixels",
    "encode_deflated_frame",
    "encode_htj2k",
    "encode_htj2k_lossy",
    "encode_jpeg",
    "encode_jpeg2000",
    "encode_jpeg2000_lossy",
    "encode_jpeg_lossless",
    "encode_jpeg_ls",
    "encode_jpeg_ls_near_lossless",
    "encode_jpeg_xl",
    "encode_jpeg_xl_from_jpeg",
    "encode_jpeg_xl_lossy",
    "encode_native",
    "encode_rle",
]

Pixels = npt.NDArray[Any]

# Largest error of a sample in near-lossless JPEG-LS
NEAR = 2


def rgb_to_ybr(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Convert RGB to YBR_FULL as PS3.3 C.7.6.3.1.2 defines it."""
    matrix = np.array(
        [[0.2990, 0.5870, 0.1140], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    )
    values = pixels @ matrix.T + (0, 128, 128)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _components(pixels: Pixels, pixel_format: PixelFormat) -> Pixels:
    return rgb_to_ybr(pixels) if pixel_format.photometric == "YBR_FULL" else pixels


def _squeeze(pixels: Pixels) -> Pixels:
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def encode_native(pixels: Pixels, pixel_format: PixelFormat) -> bytes:
    """Encode without compression; single bits are packed, the first one lowest (PS3.5 8.1.1)."""
    if pixel_format.bits_allocated == 1:
        return np.packbits(pixels, axis=None, bitorder="little").tobytes()
    pixels = _components(pixels, pixel_format)
    if pixel_format.planar_configuration == 1:
        pixels = np.moveaxis(pixels, 2, 0)
    big_endian = pixel_format.transfer_syntax == EXPLICIT_BIG_ENDIAN
    order: Literal[">", "<"] = ">" if big_endian else "<"
    return pixels.astype(pixels.dtype.newbyteorder(order), copy=False).tobytes()


def encode_deflated_frame(pixels: Pixels, pixel_format: PixelFormat) -> bytes:
    """Encode with deflate, without a header (RFC 1951)."""
    compressor = zlib.compressobj(6, wbits=-15)
    return compressor.compress(encode_native(pixels, pixel_format)) + compressor.flush()


def encode_rle(pixels: Pixels, pixel_format: PixelFormat) -> bytes:
    """Encode byte planes, most significant first, row by row (PS3.5 Annex G)."""
    pixels = _components(pixels, pixel_format)
    planes = pixels.astype(pixels.dtype.newbyteorder(">"), copy=False).view(np.uint8)
    segments = []
    for plane in range(planes.shape[2]):
        rows = np.ascontiguousarray(planes[..., plane])
        segment = b"".join(bytes(imagecodecs.packbits_encode(row.tobytes())) for row in rows)
        segments.append(segment + bytes(len(segment) % 2))
    offsets = np.cumsum([64, *(len(segment) for segment in segments[:-1])])
    header = struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments)))
    return header + b"".join(segments)


def encode_jpeg(pixels: Pixels, pixel_format: PixelFormat) -> bytes:
    """Encode as JPEG Baseline, or JPEG Extended for 12 bits."""
    options: dict[str, Any] = {"level": pixel_format.quality}
    if pixel_format.bits > 8:
        options["bitspersample"] = 12
    if pixel_format.samples == 3:
        options["colorspace"] = "RGB"
        options["outcolorspace"] = "RGB" if pixel_format.photometric == "RGB" else "YCBCR"
        options["subsampling"] = "422" if pixel_format.photometric == "YBR_FULL_422" else "444"
    stream = bytes(imagecodecs.jpeg8_encode(_squeeze(pixels), **options))
    if pixel_format.photometric == "RGB" and not pixel_format.adobe_marker:
        stream = _make_colour_space_unknown(stream)
    return stream


def _make_colour_space_unknown(stream: bytes) -> bytes:
    """Remove the Adobe segment and number the components 1, 2, 3, as scanners do that store RGB."""
    output, position = bytearray(stream[:2]), 2
    while True:
        marker = stream[position + 1]
        end = position + 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
        segment = bytearray(stream[position:end])
        if 0xC0 <= marker <= 0xC2:
            for i in range(segment[9]):
                segment[10 + 3 * i] = i + 1
        if marker == 0xDA:
            for i in range(segment[4]):
                segment[5 + 2 * i] = i + 1
        if marker != 0xEE:
            output += segment
        position = end
        if marker == 0xDA:
            return bytes(output) + stream[position:]


def encode_jpeg_lossless(pixels: Pixels, pixel_format: PixelFormat) -> bytes:
    """Encode as JPEG Lossless with first-order prediction."""
    color_space = "RGB" if pixel_format.samples == 3 else None
    return bytes(
        imagecodecs.jpeg8_encode(
            _squeeze(pixels),
            colorspace=color_space,
            outcolorspace=color_space,
            lossless=True,
            predictor=1,
            bitspersample=pixel_format.bits,
        )
    )


def encode_jpeg_ls(pixels: Pixels, pixel_format: PixelFormat) -> bytes:
    """Encode as JPEG-LS."""
    return bytes(imagecodecs.jpegls_encode(_squeeze(pixels)))


def encode_jpeg_ls_near_lossless(pixels: Pixels, pixel_format: PixelFormat) -> bytes:
    """Encode as JPEG-LS with an error of at most `NEAR`."""
    return bytes(imagecodecs.jpegls_encode(_squeeze(pixels), level=NEAR))


def encode_jpeg2000(pixels: Pixels, pixel_format: PixelFormat) -> bytes:
    """Encode as reversible JPEG 2000."""
    return _jpeg2000(pixels, pixel_format, reversible=True, level=None)


def encode_jpeg2000_lossy(pixels: Pixels, pixel_format: PixelFormat) -> bytes:
    """Encode as irreversible JPEG 2000."""
    return _jpeg2000(pixels, pixel_format, reversible=False, level=_signal_to_noise(pixel_format))


def _signal_to_noise(pixel_format: PixelFormat) -> int:
    """Turn a quality into decibels."""
    return 25 + pixel_format.quality // 4


def _jpeg2000(
    pixels: Pixels, pixel_format: PixelFormat, reversible: bool, level: int | None
) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(
            _squeeze(pixels),
            level,
            codecformat="J2K",
            bitspersample=pixel_format.bits,
            reversible=reversible,
            mct=pixel_format.photometric in ("YBR_RCT", "YBR_ICT"),
            colorspace="SRGB" if pixel_format.samples == 3 else "GRAY",
            numthreads=1,
        )
    )


def encode_htj2k(pixels: Pixels, pixel_format: PixelFormat) -> bytes:
    """Encode as reversible High-Throughput JPEG 2000."""
    # The order of progression is always RPCL (resolution, position, component, layer)
    return bytes(
        imagecodecs.htj2k_encode(
            _squeeze(pixels), reversible=True, rgb=pixel_format.photometric == "YBR_RCT", tlm=True
        )
    )


def encode_htj2k_lossy(pixels: Pixels, pixel_format: PixelFormat) -> bytes:
    """Encode as irreversible High-Throughput JPEG 2000."""
    # The level is the quantisation step, as a fraction of the range of values
    step = 0.0002 + (100 - pixel_format.quality) * 0.0004
    return bytes(
        imagecodecs.htj2k_encode(
            _squeeze(pixels), step, reversible=False, rgb=pixel_format.photometric == "YBR_ICT"
        )
    )


def encode_jpeg_xl(pixels: Pixels, pixel_format: PixelFormat) -> bytes:
    """Encode as lossless JPEG XL."""
    return bytes(
        imagecodecs.jpegxl_encode(
            _squeeze(pixels), lossless=True, effort=3, usecontainer=False, numthreads=1
        )
    )


def encode_jpeg_xl_lossy(pixels: Pixels, pixel_format: PixelFormat) -> bytes:
    """Encode as lossy JPEG XL."""
    distance = max(0.1, (100 - pixel_format.quality) * 0.1)
    return bytes(
        imagecodecs.jpegxl_encode(
            _squeeze(pixels), distance=distance, effort=3, usecontainer=False, numthreads=1
        )
    )


def encode_jpeg_xl_from_jpeg(pixels: Pixels, pixel_format: PixelFormat) -> bytes:
    """Encode as JPEG, then pack that stream so that it can be restored."""
    # The colour space of the packed stream is that of the JPEG stream, which therefore has to state
    # it
    stream = encode_jpeg(pixels, replace(pixel_format, adobe_marker=True))
    return bytes(imagecodecs.jpegxl_encode_jpeg(stream, numthreads=1))
