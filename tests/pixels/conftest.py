"""Pixels, the formats that they are stored in, and encoders other than those under test."""

import io
import struct
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from dicomslide.metadata.pixel_format import PixelFormat, read_pixel_format
from dicomslide.pixels import frames

BASE = "1.2.840.10008.1.2"


@pytest.fixture(scope="session")
def make_pixels() -> Callable[..., NDArray]:
    """Makes smooth pixels with a little noise; the smallest and the largest value are among them.

    Those of one sample have shape (rows, columns), as encoders want it.
    """

    def make(rows=48, columns=40, samples=1, bits=8, signed=False) -> NDArray:
        shape = (rows, columns) if samples == 1 else (rows, columns, samples)
        y, x, *z = np.ogrid[tuple(slice(n) for n in shape)]
        waves = 2 + np.sin(x / 7 + (z[0] if z else 0)) + np.cos(y / 9)
        noise = np.random.default_rng(bits).random(shape)
        values = np.rint((0.95 * waves / 4 + 0.05 * noise) * (2**bits - 1)).astype(np.int64)
        values[0, 0], values[-1, -1] = 0, 2**bits - 1
        size = 8 if bits <= 8 else 16 if bits <= 16 else 32
        if signed:
            return (values - 2 ** (bits - 1)).astype(f"int{size}")
        return values.astype(f"uint{size}")

    return make


@pytest.fixture(scope="session")
def make_format() -> Callable[..., PixelFormat]:
    """Makes the format of pixels, as it is read from the attributes of their image."""

    def make(
        pixels: NDArray, transfer_syntax: str, photometric: str | None = None, **attributes
    ) -> PixelFormat:
        image = Dataset()
        image.Rows, image.Columns = pixels.shape[:2]
        image.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
        usual = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
        image.PhotometricInterpretation = photometric or usual
        image.BitsAllocated = 1 if pixels.dtype == bool else 8 * pixels.dtype.itemsize
        image.BitsStored = image.BitsAllocated
        image.PixelRepresentation = int(pixels.dtype.kind == "i")
        for keyword, value in attributes.items():
            setattr(image, keyword, value)
        if "BitsStored" in attributes:
            image.HighBit = attributes.get("HighBit", image.BitsStored - 1)
        uid = transfer_syntax if transfer_syntax in ("", "1.2.3") else BASE + transfer_syntax
        return read_pixel_format(image, uid)

    return make


@pytest.fixture(scope="session")
def encode_with_pillow() -> Callable[..., bytes]:
    """Encodes pixels in a format of Pillow's."""

    def encode(pixels: NDArray, kind: str, **options) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind, **options)
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def encode_planes() -> Callable[..., bytes]:
    """Encodes three components in JPEG 2000, of which the last two are subsampled.

    The encoders that there are for Python give all components one size. In the order "component,
    position, resolution, layer" the packets of one component follow those of another as they are in
    a codestream of its own (ITU-T T.800 B.12.1.5).
    """

    def encode(planes: list[NDArray], factors: tuple[int, int], bits: int = 8) -> bytes:
        streams = [
            bytes(
                imagecodecs.jpeg2k_encode(
                    plane, codecformat="J2K", reversible=True, resolutions=2, bitspersample=bits
                )
            )
            for plane in planes
        ]
        coding_style, tile_part, data_start = b"\xff\x52", b"\xff\x90", b"\xff\x93"
        header = bytearray(streams[0][: streams[0].index(tile_part)])
        assert len({data[data.index(coding_style) :][:14] for data in streams}) == 1
        components = bytes((bits - 1, 1, 1)) + 2 * bytes((bits - 1, *factors))
        struct.pack_into(">H", header, 4, 38 + len(components))
        struct.pack_into(">H", header, 40, 3)
        header[header.index(coding_style) + 5] = 4
        header[42:45] = components
        packets = b"".join(data[data.index(data_start) + 2 : -2] for data in streams)
        start = struct.pack(">2s2HI2B", tile_part, 10, 0, 14 + len(packets), 0, 1)
        return bytes(header) + start + data_start + packets + b"\xff\xd9"

    return encode


@pytest.fixture(scope="session")
def rgb_to_ybr() -> Callable[[NDArray], NDArray]:
    """Converts 8-bit RGB to YBR_FULL with the numbers of PS3.3 C.7.6.3.1.2."""

    def convert(pixels: NDArray) -> NDArray:
        weights = [[0.2990, 0.5870, 0.1140], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]]
        values = pixels @ np.transpose(weights) + (0, 128, 128)
        return values.round().clip(0, 255).astype(np.uint8)

    return convert


@pytest.fixture(scope="session")
def deflate() -> Callable[[bytes], bytes]:
    """Compresses without a header (RFC 1951)."""

    def compress(data: bytes) -> bytes:
        compressor = zlib.compressobj(wbits=-15)
        return compressor.compress(data) + compressor.flush()

    return compress


@pytest.fixture
def rows_decoded(monkeypatch):
    """Collects the number of rows that each call of the codec for JPEG decodes."""
    rows, decode = [], imagecodecs.jpeg8_decode

    def count(*arguments, **options):
        pixels = decode(*arguments, **options)
        rows.append(len(pixels))
        return pixels

    monkeypatch.setattr(imagecodecs, "jpeg8_decode", count)
    return rows


@pytest.fixture
def decoded(monkeypatch):
    """Counts the frames that are decoded."""
    counted, decode = [], frames.decode_frame

    def count(data, *arguments):
        counted.append(data)
        return decode(data, *arguments)

    monkeypatch.setattr(frames, "decode_frame", count)
    return counted
