"""JPEG-LS frames, lossless and near-lossless."""

import jpeg_ls
import numpy as np
import pytest

from dicomslide.errors import FrameError
from dicomslide.pixels.codecs import decode_frame

LOSSLESS, NEAR_LOSSLESS = ".4.80", ".4.81"
BY_PLANE, BY_LINE, BY_PIXEL = 0, 1, 2


def encode(pixels: np.ndarray, interleave: int | None = None, error: int = 0) -> bytes:
    """Encode with pyjpegls, which wants colours by plane for streams that are by plane."""
    ordered = np.moveaxis(pixels, 2, 0) if interleave == BY_PLANE else pixels
    return bytes(jpeg_ls.encode_array(np.ascontiguousarray(ordered), error, interleave))


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_monochrome_is_kept(make_pixels, make_format, bits, signed):
    """The stream has no sign: it holds the bits of signed values."""
    pixels = make_pixels(bits=bits, signed=signed)
    data = encode((pixels.astype(int) % 2**bits).astype(f"u{pixels.dtype.itemsize}"))
    decoded = decode_frame(data, make_format(pixels, LOSSLESS, BitsStored=bits))
    assert decoded.dtype == pixels.dtype
    np.testing.assert_array_equal(decoded[..., 0], pixels)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("interleave", [BY_PLANE, BY_LINE, BY_PIXEL])
@pytest.mark.parametrize("planar", [0, 1])
def test_colour_is_kept(make_pixels, make_format, bits, interleave, planar):
    """How components are interleaved is up to the stream alone (PS3.5 8.2.3)."""
    pixels = make_pixels(samples=3, bits=bits)
    pixel_format = make_format(pixels, LOSSLESS, PlanarConfiguration=planar)
    decoded = decode_frame(encode(pixels, interleave), pixel_format)
    np.testing.assert_array_equal(decoded, pixels)


def test_ybr_full_is_converted(make_pixels, make_format, rgb_to_ybr):
    rgb = make_pixels(samples=3)
    data = encode(rgb_to_ybr(rgb), BY_PIXEL)
    decoded = decode_frame(data, make_format(rgb, LOSSLESS, "YBR_FULL"))
    np.testing.assert_allclose(decoded.astype(int), rgb, atol=2)


@pytest.mark.parametrize("error", [1, 3])
@pytest.mark.parametrize(("samples", "interleave"), [(1, None), (3, BY_PIXEL)])
def test_near_lossless_differs_by_no_more_than_was_asked_for(
    make_pixels, make_format, error, samples, interleave
):
    pixels = make_pixels(samples=samples)
    data = encode(pixels, interleave, error)
    decoded = decode_frame(data, make_format(pixels, NEAR_LOSSLESS))
    difference = np.abs(decoded.astype(int) - pixels.reshape(decoded.shape))
    assert 0 < difference.max() <= error


def test_jpeg_is_no_jpeg_ls(make_pixels, make_format, encode_with_pillow):
    pixels = make_pixels()
    with pytest.raises(FrameError, match="expected JPEG-LS"):
        decode_frame(encode_with_pillow(pixels, "JPEG"), make_format(pixels, LOSSLESS))


def test_jpeg_ls_is_no_jpeg(make_pixels, make_format):
    pixels = make_pixels()
    with pytest.raises(FrameError, match="marker FFF7"):
        decode_frame(encode(pixels), make_format(pixels, ".4.70"))
