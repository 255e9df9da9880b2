"""JPEG XL frames."""

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from dicomslide.errors import FrameError
from dicomslide.pixels.codecs import decode_frame
from dicomslide.pixels.jpegxl import read_jpeg_xl_header

LOSSLESS, FROM_JPEG, LOSSY = ".4.110", ".4.111", ".4.112"


def encode(pixels: np.ndarray, container: bool = False, **options) -> bytes:
    options = options or {"lossless": True}
    return bytes(
        imagecodecs.jpegxl_encode(pixels, effort=3, usecontainer=container, numthreads=1, **options)
    )


@pytest.mark.parametrize(("samples", "bits"), [(1, 8), (1, 12), (1, 16), (3, 8), (3, 16)])
@pytest.mark.parametrize("container", [False, True])
def test_lossless_pixels_are_kept(make_pixels, make_format, samples, bits, container):
    pixels = make_pixels(samples=samples, bits=bits)
    data = encode(pixels, container, lossless=True, bitspersample=bits)
    decoded = decode_frame(data, make_format(pixels, LOSSLESS, BitsStored=bits))
    assert decoded.dtype == pixels.dtype
    np.testing.assert_array_equal(decoded, pixels.reshape(decoded.shape))


@pytest.mark.parametrize("photometric", ["RGB", "XYB"])
def test_lossy_pixels_are_nearly_kept(make_pixels, make_format, photometric):
    pixels = make_pixels(samples=3)
    decoded = decode_frame(encode(pixels, distance=0.5), make_format(pixels, LOSSY, photometric))
    assert np.abs(decoded.astype(int) - pixels).mean() < 3


def test_lossy_monochrome_is_nearly_kept(make_pixels, make_format):
    pixels = make_pixels()
    decoded = decode_frame(encode(pixels, distance=0.5), make_format(pixels, LOSSY))
    assert np.abs(decoded[..., 0].astype(int) - pixels).mean() < 3


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_recompressed_jpeg_has_the_pixels_of_the_jpeg(
    make_pixels, make_format, encode_with_pillow, subsampling
):
    """Both decoders have the same coefficients, but inverse transforms of their own."""
    pixels = make_pixels(samples=3)
    jpeg = encode_with_pillow(pixels, "JPEG", quality=90, subsampling=subsampling)
    data = bytes(imagecodecs.jpegxl_encode_jpeg(jpeg, numthreads=1))
    decoded = decode_frame(data, make_format(pixels, FROM_JPEG, "YBR_FULL_422"))
    difference = np.abs(decoded.astype(int) - np.asarray(Image.open(io.BytesIO(jpeg))))
    assert difference.max() <= 6
    assert difference.mean() < 0.7


def test_recompressed_monochrome_jpeg_has_the_pixels_of_the_jpeg(
    make_pixels, make_format, encode_with_pillow
):
    pixels = make_pixels()
    jpeg = encode_with_pillow(pixels, "JPEG", quality=90)
    data = bytes(imagecodecs.jpegxl_encode_jpeg(jpeg, numthreads=1))
    decoded = decode_frame(data, make_format(pixels, FROM_JPEG))
    difference = np.abs(decoded[..., 0].astype(int) - np.asarray(Image.open(io.BytesIO(jpeg))))
    assert difference.max() <= 4
    assert difference.mean() < 0.5


class TestHeader:
    @pytest.mark.parametrize(
        "size",
        [
            (8, 8),
            (64, 64),
            (256, 256),
            (256, 192),
            (240, 288),
            (90, 160),
            (32, 64),
            (17, 1000),
            (1000, 17),
            (9, 20),
        ],
    )
    @pytest.mark.parametrize(("samples", "bits"), [(1, 8), (3, 8), (1, 10), (1, 12), (3, 16)])
    def test_header_has_size_and_depth(self, size, samples, bits):
        """Sizes are coded in four lengths, as multiples of 8, and by common ratios."""
        shape = size if samples == 1 else (*size, samples)
        pixels = np.zeros(shape, np.uint8 if bits == 8 else np.uint16)
        for container in (False, True):
            data = encode(pixels, container, lossless=True, bitspersample=bits)
            header = read_jpeg_xl_header(data)
            assert (header.rows, header.columns) == size
            assert (header.samples, header.precision) == (samples, bits)

    def test_header_of_a_lossy_image_has_size_and_depth(self, make_pixels):
        for samples in (1, 3):
            header = read_jpeg_xl_header(encode(make_pixels(samples=samples), distance=1.0))
            assert (header.rows, header.columns, header.samples) == (48, 40, samples)

    @pytest.mark.parametrize(
        ("pixels", "message"),
        [
            (np.zeros((8, 8, 4), np.uint8), "channels beside"),
            (np.zeros((8, 8, 3), np.float32), "floats"),
            (np.zeros((2, 8, 8, 3), np.uint8), "animated"),
        ],
        ids=["alpha", "floats", "animation"],
    )
    def test_images_that_dicom_has_no_place_for_are_an_error(self, pixels, message):
        with pytest.raises(FrameError, match=message):
            read_jpeg_xl_header(encode(pixels))

    @pytest.mark.parametrize("data", [b"", b"\xff", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"])
    def test_empty_frame_is_an_error(self, data):
        with pytest.raises(FrameError):
            read_jpeg_xl_header(data)
