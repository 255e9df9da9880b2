"""Frames that are not compressed, or with deflate as a whole (PS3.5 8.1.1, A.4.13)."""

import numpy as np
import pytest

from dicomslide.errors import FrameError, InvalidImageError
from dicomslide.pixels.codecs import decode_frame

LITTLE_ENDIAN, DEFLATED, BIG_ENDIAN, DEFLATED_FRAMES = ".1", ".1.99", ".2", ".8.1"


@pytest.fixture
def encode(deflate):
    def encode(pixels, transfer_syntax=LITTLE_ENDIAN):
        order = ">" if transfer_syntax == BIG_ENDIAN else "<"
        data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        return deflate(data) if transfer_syntax == DEFLATED_FRAMES else data

    return encode


@pytest.mark.parametrize("syntax", [LITTLE_ENDIAN, DEFLATED, BIG_ENDIAN, DEFLATED_FRAMES])
class TestValues:
    @pytest.mark.parametrize("samples", [1, 3])
    @pytest.mark.parametrize("bits", [8, 16, 32])
    @pytest.mark.parametrize("signed", [False, True])
    def test_integers_are_as_stored(
        self, make_pixels, make_format, encode, syntax, samples, bits, signed
    ):
        pixels = make_pixels(samples=samples, bits=bits, signed=signed)
        decoded = decode_frame(encode(pixels, syntax), make_format(pixels, syntax))
        assert decoded.dtype == pixels.dtype
        np.testing.assert_array_equal(decoded, pixels.reshape(48, 40, samples))

    @pytest.mark.parametrize(
        ("bits", "keyword"), [(32, "FloatPixelData"), (64, "DoubleFloatPixelData")]
    )
    def test_floats_are_as_stored(self, make_format, encode, syntax, bits, keyword):
        pixels = np.linspace(-1, 1e6, 48 * 40, dtype=f"f{bits // 8}").reshape(48, 40)
        pixels[1, 1:3] = np.nan, np.inf
        decoded = decode_frame(
            encode(pixels, syntax), make_format(pixels, syntax, **{keyword: b""})
        )
        assert decoded.dtype == pixels.dtype
        np.testing.assert_array_equal(decoded[..., 0], pixels)

    @pytest.mark.parametrize("columns", [40, 41])
    def test_single_bits_are_unpacked(self, make_format, encode, syntax, columns):
        pixels = np.random.default_rng(0).random((3, columns)) < 0.5
        packed = np.packbits(pixels.ravel(), bitorder="little")
        decoded = decode_frame(encode(packed, syntax), make_format(pixels, syntax))
        assert decoded.dtype == bool
        np.testing.assert_array_equal(decoded[..., 0], pixels)

    def test_planes_of_colour_are_put_together(self, make_pixels, make_format, encode, syntax):
        pixels = make_pixels(samples=3, bits=16)
        data = encode(np.moveaxis(pixels, 2, 0), syntax)
        decoded = decode_frame(data, make_format(pixels, syntax, PlanarConfiguration=1))
        np.testing.assert_array_equal(decoded, pixels)


class TestUnusedBits:
    """Bits beside those stored may hold anything (PS3.5 8.1.1)."""

    def test_unused_bits_are_cleared(self, make_format, encode):
        format12 = make_format(np.empty((1, 3), np.uint16), LITTLE_ENDIAN, BitsStored=12)
        stored = np.array([0x0123, 0xF123, 0xAFFF], np.uint16)
        assert decode_frame(encode(stored), format12).ravel().tolist() == [0x123, 0x123, 0xFFF]

    def test_unused_bits_get_the_sign(self, make_format, encode):
        format12 = make_format(np.empty((1, 4), np.int16), LITTLE_ENDIAN, BitsStored=12)
        stored = np.array([0x0FFF, 0x0800, 0xF7FF, 0x5001], np.uint16)
        assert decode_frame(encode(stored), format12).ravel().tolist() == [-1, -2048, 2047, 1]

    def test_unused_bits_may_lie_below_the_stored_ones(self, make_format, encode):
        high = make_format(np.empty((1, 2), np.uint16), LITTLE_ENDIAN, BitsStored=12, HighBit=15)
        stored = np.array([0xFFFA, 0x123F], np.uint16)
        assert decode_frame(encode(stored), high).ravel().tolist() == [0xFFF, 0x123]

    @pytest.mark.parametrize("high_bit", [10, 16])
    def test_high_bit_that_leaves_no_room_for_the_stored_bits_is_an_error(
        self, make_format, high_bit
    ):
        with pytest.raises(InvalidImageError, match=f"HighBit is {high_bit}, expected 11 to 15"):
            make_format(np.empty((1, 1), np.uint16), LITTLE_ENDIAN, BitsStored=12, HighBit=high_bit)


class TestYbr:
    @pytest.mark.parametrize("syntax", [LITTLE_ENDIAN, DEFLATED_FRAMES])
    @pytest.mark.parametrize("planar", [0, 1])
    def test_ybr_full_is_converted(
        self, make_pixels, make_format, encode, rgb_to_ybr, syntax, planar
    ):
        rgb = make_pixels(samples=3)
        stored = np.moveaxis(rgb_to_ybr(rgb), 2, 0) if planar else rgb_to_ybr(rgb)
        pixel_format = make_format(rgb, syntax, "YBR_FULL", PlanarConfiguration=planar)
        # Three samples that are rounded to integers, weighted by 1, 1.402 and 1.772 at most
        np.testing.assert_allclose(
            decode_frame(encode(stored, syntax), pixel_format).astype(int), rgb, atol=2
        )

    def test_full_422_has_one_chroma_for_two_pixels(self, make_format):
        """Two grey pixels and two red ones; red is Y 76, Cb 85, Cr 255."""
        data = bytes([10, 200, 128, 128]) + bytes([76, 76, 85, 255])
        pixel_format = make_format(np.empty((1, 4, 3), np.uint8), LITTLE_ENDIAN, "YBR_FULL_422")
        decoded = decode_frame(data, pixel_format)
        assert decoded[0, :2].tolist() == [[10, 10, 10], [200, 200, 200]]
        np.testing.assert_allclose(decoded[0, 2:].astype(int), [[255, 0, 0]] * 2, atol=1)

    @pytest.mark.parametrize("photometric", ["YBR_ICT", "YBR_RCT"])
    def test_transforms_of_codestreams_are_undone_where_there_is_none(
        self, make_pixels, make_format, encode, photometric
    ):
        """A server that decodes frames may leave the attribute as it was."""
        rgb = make_pixels(samples=3)
        decoded = decode_frame(encode(rgb), make_format(rgb, LITTLE_ENDIAN, photometric))
        np.testing.assert_array_equal(decoded, rgb)


class TestLength:
    @pytest.mark.parametrize("size", [0, 1, 48 * 40 - 1, 48 * 40 + 2, 48 * 40 * 3])
    @pytest.mark.parametrize("syntax", [LITTLE_ENDIAN, BIG_ENDIAN, DEFLATED_FRAMES])
    def test_length_must_be_that_of_a_frame(self, make_pixels, make_format, deflate, syntax, size):
        data = deflate(bytes(size)) if syntax == DEFLATED_FRAMES else bytes(size)
        with pytest.raises(FrameError, match=f"{size} bytes, expected 1920|cut off or too long"):
            decode_frame(data, make_format(make_pixels(), syntax))

    def test_length_may_be_padded_to_an_even_one(self, make_format):
        pixels = np.arange(15, dtype=np.uint8).reshape(3, 5)
        decoded = decode_frame(pixels.tobytes() + b"\0", make_format(pixels, LITTLE_ENDIAN))
        np.testing.assert_array_equal(decoded[..., 0], pixels)

    def test_length_of_422_is_two_samples_for_each_pixel(self, make_pixels, make_format):
        rgb = make_pixels(samples=3)
        with pytest.raises(FrameError, match="5760 bytes, expected 3840"):
            decode_frame(rgb.tobytes(), make_format(rgb, LITTLE_ENDIAN, "YBR_FULL_422"))

    def test_ybr_422_needs_pairs_of_columns(self, make_format):
        pixel_format = make_format(np.empty((2, 3, 3), np.uint8), LITTLE_ENDIAN, "YBR_FULL_422")
        with pytest.raises(FrameError, match="even number of columns"):
            decode_frame(bytes(12), pixel_format)


def test_deflated_frame_that_is_cut_off_is_an_error(make_pixels, make_format, encode):
    pixels = make_pixels(bits=16)
    data = encode(pixels, DEFLATED_FRAMES)
    for size in range(0, len(data), 97):
        with pytest.raises(FrameError):
            decode_frame(data[:size], make_format(pixels, DEFLATED_FRAMES))


def test_deflated_frame_is_inflated_no_further_than_its_size(make_pixels, make_format, deflate):
    """A megabyte of zeros is deflated to a kilobyte."""
    bomb = deflate(bytes(2**26))
    with pytest.raises(FrameError, match="too long"):
        decode_frame(bomb, make_format(make_pixels(), DEFLATED_FRAMES))
