"""Frames that are cut off, that lie, or that are meant to harm."""

import struct

import imagecodecs
import numpy as np
import pytest
from openjpeg.utils import encode_array
from pydicom.pixels import get_encoder
from pydicom.uid import RLELossless

from dicomslide.errors import FrameError, UnsupportedError
from dicomslide.pixels.codecs import decode_frame

SYNTAXES = {
    "JPEG": ".4.50",
    "JPEG progressive": ".4.50",
    "JPEG 12 bits": ".4.51",
    "JPEG Lossless": ".4.70",
    "JPEG-LS": ".4.80",
    "JPEG 2000": ".4.90",
    "JPEG 2000 in tiles": ".4.90",
    "JPEG 2000 in a container": ".4.90",
    "JPEG 2000 lossy": ".4.91",
    "JPEG 2000 subsampled": ".4.91",
    "HTJ2K": ".4.201",
    "HTJ2K lossy": ".4.203",
    "JPEG XL": ".4.110",
    "JPEG XL in a container": ".4.110",
    "JPEG XL from JPEG": ".4.111",
    "JPEG XL lossy": ".4.112",
    "RLE": ".5",
    "deflated": ".8.1",
    "native": ".1",
}


@pytest.fixture(scope="module")
def frames(make_pixels, make_format, encode_with_pillow, encode_planes, deflate):
    """An encoded frame of each kind, with its format and the pixels that it decodes to."""
    rgb, grey = make_pixels(64, 64, 3), make_pixels(64, 64, bits=12)
    rle = get_encoder(RLELossless)
    rle_options = {"rows": 64, "columns": 64, "samples_per_pixel": 3, "number_of_frames": 1}
    rle_options |= {"bits_allocated": 8, "bits_stored": 8, "photometric_interpretation": "RGB"}
    rle_options |= {"pixel_representation": 0, "planar_configuration": 0}
    jpeg = encode_with_pillow(rgb, "JPEG", quality=90)
    encoded = {
        "JPEG": jpeg,
        "JPEG progressive": encode_with_pillow(rgb, "JPEG", progressive=True),
        "JPEG 12 bits": imagecodecs.jpeg8_encode(grey, 90, bitspersample=12),
        "JPEG Lossless": imagecodecs.jpeg8_encode(grey, lossless=True, bitspersample=12),
        "JPEG-LS": imagecodecs.jpegls_encode(rgb),
        "JPEG 2000": encode_array(rgb, photometric_interpretation=1),
        "JPEG 2000 in tiles": encode_with_pillow(rgb, "JPEG2000", tile_size=(32, 32), no_jp2=True),
        "JPEG 2000 in a container": encode_with_pillow(rgb, "JPEG2000"),
        "JPEG 2000 lossy": encode_array(rgb, photometric_interpretation=1, compression_ratios=[10]),
        "JPEG 2000 subsampled": encode_planes(
            [rgb[..., 0], rgb[::2, ::2, 1], rgb[::2, ::2, 2]], (2, 2)
        ),
        "HTJ2K": imagecodecs.htj2k_encode(rgb, reversible=True, tlm=True),
        "HTJ2K lossy": imagecodecs.htj2k_encode(rgb, 0.01, reversible=False),
        "JPEG XL": imagecodecs.jpegxl_encode(rgb, lossless=True),
        "JPEG XL in a container": imagecodecs.jpegxl_encode(rgb, lossless=True, usecontainer=True),
        "JPEG XL from JPEG": imagecodecs.jpegxl_encode_jpeg(jpeg),
        "JPEG XL lossy": imagecodecs.jpegxl_encode(rgb, distance=1.0),
        "RLE": rle.encode(rgb, **rle_options, encoding_plugin="pydicom"),
        "deflated": deflate(rgb.tobytes()),
        "native": rgb.tobytes(),
    }
    frames = {}
    for name, data in encoded.items():
        if name in ("JPEG 12 bits", "JPEG Lossless"):
            pixel_format = make_format(grey, SYNTAXES[name], BitsStored=12)
        else:
            ycbcr = name in ("JPEG", "JPEG progressive", "JPEG 2000 subsampled")
            photometric = "YBR_FULL_422" if ycbcr else "RGB"
            pixel_format = make_format(rgb, SYNTAXES[name], photometric)
        frames[name] = bytes(data), pixel_format, decode_frame(bytes(data), pixel_format)
    return frames


@pytest.mark.parametrize("name", SYNTAXES)
def test_frame_that_is_cut_off_is_an_error_or_whole(frames, name):
    """Grey pixels in place of those that are missing would be taken for tissue."""
    data, pixel_format, pixels = frames[name]
    ends = {*np.linspace(0, len(data) - 1, 60).astype(int), *range(len(data) - 12, len(data))}
    for end in sorted(ends):
        try:
            decoded = decode_frame(data[:end], pixel_format)
        except FrameError:
            continue
        assert np.array_equal(decoded, pixels), f"{end} of {len(data)} bytes"


@pytest.mark.parametrize("name", SYNTAXES)
def test_frame_may_be_padded(frames, name):
    """Fragments have an even length, and some writers pad them further."""
    data, pixel_format, pixels = frames[name]
    for padding in (1,) if name == "native" else (1, 2, 200):
        assert np.array_equal(decode_frame(data + bytes(padding), pixel_format), pixels)


@pytest.mark.parametrize("name", SYNTAXES)
def test_damaged_frame_is_an_error_or_pixels(frames, name):
    """Not every damage can be found, but what is returned has the right shape and type."""
    data, pixel_format, _ = frames[name]
    random = np.random.default_rng(0)
    for attempt in range(60):
        broken = bytearray(data)
        # The header is where damages have the oddest effects
        for position in random.integers(len(data) if attempt % 3 else 120, size=3):
            broken[position] = random.integers(256)
        try:
            decoded = decode_frame(bytes(broken), pixel_format)
        except (FrameError, UnsupportedError):
            continue
        assert decoded.shape == pixel_format.shape
        assert decoded.dtype == pixel_format.dtype


@pytest.mark.parametrize("name", SYNTAXES)
@pytest.mark.parametrize("data", [b"", b"\0", b"\xff\xd8", bytes(1000), b"\xff" * 1000])
def test_frame_that_is_something_else_is_an_error(frames, name, data):
    with pytest.raises(FrameError):
        decode_frame(data, frames[name][1])


# A header that claims another image: refused by what it says, so that nothing is allocated for it


def with_jpeg_frame(data: bytes, **fields) -> bytes:
    """Change the start of frame segment of a JPEG or JPEG-LS codestream."""
    start = max(data.find(bytes([0xFF, marker])) for marker in (0xC0, 0xC1, 0xC3, 0xF7))
    precision, rows, columns = struct.unpack_from(">BHH", data, start + 4)
    values = {"precision": precision, "rows": rows, "columns": columns} | fields
    changed = struct.pack(">BHH", *values.values())
    return data[: start + 4] + changed + data[start + 9 :]


def with_jpeg2000_size(data: bytes, **fields) -> bytes:
    """Change the SIZ segment of a JPEG 2000 codestream."""
    start = data.index(b"\xff\x51") + 6
    names = ("columns", "rows", "left", "top", "tile_columns", "tile_rows")
    values = dict(zip(names, struct.unpack_from(">6I", data, start), strict=True)) | fields
    return data[:start] + struct.pack(">6I", *values.values()) + data[start + 24 :]


@pytest.mark.parametrize("name", ["JPEG", "JPEG 12 bits", "JPEG Lossless", "JPEG-LS"])
@pytest.mark.parametrize(
    ("rows", "columns"), [(65535, 65535), (64, 65), (65, 64), (0, 64), (64, 0), (63, 64)]
)
def test_jpeg_that_claims_another_size_is_an_error(frames, name, rows, columns):
    data, pixel_format, _ = frames[name]
    with pytest.raises(FrameError, match=rf"codestream is \({rows}, {columns}, \d\)"):
        decode_frame(with_jpeg_frame(data, rows=rows, columns=columns), pixel_format)


@pytest.mark.parametrize(("name", "bits"), [("JPEG", 12), ("JPEG-LS", 16), ("JPEG Lossless", 17)])
def test_jpeg_that_claims_more_bits_is_an_error(frames, name, bits):
    data, pixel_format, _ = frames[name]
    with pytest.raises(FrameError, match=f"has {bits} bits per sample, Bits Allocated is"):
        decode_frame(with_jpeg_frame(data, precision=bits), pixel_format)


@pytest.mark.parametrize(
    "name", ["JPEG 2000", "JPEG 2000 in a container", "JPEG 2000 subsampled", "HTJ2K"]
)
@pytest.mark.parametrize(
    ("rows", "columns"), [(2**31, 2**31), (64, 65), (65, 64), (63, 64), (0, 64)]
)
def test_jpeg2000_that_claims_another_size_is_an_error(frames, name, rows, columns):
    data, pixel_format, _ = frames[name]
    with pytest.raises(FrameError, match=rf"codestream is \({rows}, {columns}, 3\)"):
        decode_frame(with_jpeg2000_size(data, rows=rows, columns=columns), pixel_format)


@pytest.mark.parametrize("name", ["JPEG 2000", "HTJ2K"])
@pytest.mark.parametrize("side", [1, 2, 16])
def test_jpeg2000_of_tiny_tiles_is_an_error(frames, name, side):
    data, pixel_format, _ = frames[name]
    with pytest.raises(FrameError, match=f"has {(64 // side) ** 2} tiles"):
        decode_frame(with_jpeg2000_size(data, tile_rows=side, tile_columns=side), pixel_format)


def test_jpeg2000_without_tiles_is_an_error(frames):
    data, pixel_format, _ = frames["JPEG 2000"]
    with pytest.raises(FrameError):
        decode_frame(with_jpeg2000_size(data, tile_rows=0), pixel_format)


@pytest.mark.parametrize(
    "shape", [(4096, 4096, 3), (64, 65, 3), (64, 72, 3), (65, 64, 3), (64, 64)]
)
def test_jpeg_xl_that_claims_another_image_is_an_error(frames, shape):
    _, pixel_format, _ = frames["JPEG XL"]
    data = bytes(imagecodecs.jpegxl_encode(np.zeros(shape, np.uint8), lossless=True, effort=1))
    size = (*shape, 1)[:3]
    with pytest.raises(FrameError, match=r"codestream is \({}, {}, {}\)".format(*size)):
        decode_frame(data, pixel_format)


@pytest.mark.parametrize("name", ["JPEG", "JPEG-LS", "JPEG 2000", "HTJ2K", "JPEG XL"])
def test_frame_of_another_number_of_components_is_an_error(frames, make_pixels, make_format, name):
    pixel_format = make_format(make_pixels(64, 64), SYNTAXES[name])
    with pytest.raises(FrameError, match=r"codestream is \(64, 64, 3\).*expected \(64, 64, 1\)"):
        decode_frame(frames[name][0], pixel_format)


def test_jpeg_of_many_scans_is_an_error(frames):
    """Each scan is a few bytes and a pass over all coefficients."""
    data, pixel_format, _ = frames["JPEG progressive"]
    last = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(FrameError, match="more than 100 scans"):
        decode_frame(data[:-2] + last * 100_000 + data[-2:], pixel_format)


def test_container_of_boxes_that_never_end_is_an_error(frames):
    _, pixel_format, _ = frames["JPEG 2000"]
    start = b"\0\0\0\x0cjP  \r\n\x87\n"
    for box in (b"\0\0\0\0free", b"\0\0\0\x01free" + bytes(8), b"\xff\xff\xff\xffjp2c"):
        with pytest.raises(FrameError):
            decode_frame(start + box + bytes(100), pixel_format)
