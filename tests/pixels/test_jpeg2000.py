"""JPEG 2000 frames, high-throughput or not."""

import struct

import imagecodecs
import numpy as np
import pytest
from openjpeg.utils import decode as decode_with_openjpeg
from openjpeg.utils import encode_array
from PIL import Image

from dicomslide.errors import FrameError
from dicomslide.pixels.codecs import decode_frame

LOSSLESS, LOSSY = ".4.90", ".4.91"
HT_LOSSLESS, HT_RPCL, HT_LOSSY = ".4.201", ".4.202", ".4.203"
MONOCHROME, RGB = 2, 1


def encode(pixels: np.ndarray, bits: int = 8, transform: bool = False, **options) -> bytes:
    """Encode with pylibjpeg-openjpeg."""
    return encode_array(
        pixels,
        bits_stored=bits,
        photometric_interpretation=RGB if pixels.ndim == 3 else MONOCHROME,
        use_mct=transform,
        **options,
    )


def encode_high_throughput(pixels: np.ndarray, transform: bool = False, step=None) -> bytes:
    """Encode with OpenJPH; a step of quantisation makes it lossy."""
    return bytes(
        imagecodecs.htj2k_encode(pixels, step, reversible=step is None, rgb=transform, tlm=True)
    )


class TestLossless:
    @pytest.mark.parametrize("bits", [8, 12, 16, 20, 24])
    @pytest.mark.parametrize("signed", [False, True])
    def test_lossless_monochrome_is_kept(self, make_pixels, make_format, bits, signed):
        pixels = make_pixels(bits=bits, signed=signed)
        decoded = decode_frame(encode(pixels, bits), make_format(pixels, LOSSLESS, BitsStored=bits))
        assert decoded.dtype == pixels.dtype
        np.testing.assert_array_equal(decoded[..., 0], pixels)

    @pytest.mark.parametrize("bits", [8, 12, 16])
    @pytest.mark.parametrize(("transform", "photometric"), [(True, "YBR_RCT"), (False, "RGB")])
    def test_lossless_colour_is_kept(self, make_pixels, make_format, bits, transform, photometric):
        pixels = make_pixels(samples=3, bits=bits)
        pixel_format = make_format(pixels, LOSSLESS, photometric, BitsStored=bits)
        decoded = decode_frame(encode(pixels, bits, transform), pixel_format)
        np.testing.assert_array_equal(decoded, pixels)

    @pytest.mark.parametrize("syntax", [HT_LOSSLESS, HT_RPCL])
    @pytest.mark.parametrize("bits", [8, 16])
    @pytest.mark.parametrize("signed", [False, True])
    def test_lossless_high_throughput_monochrome_is_kept(
        self, make_pixels, make_format, syntax, bits, signed
    ):
        pixels = make_pixels(bits=bits, signed=signed)
        decoded = decode_frame(encode_high_throughput(pixels), make_format(pixels, syntax))
        assert decoded.dtype == pixels.dtype
        np.testing.assert_array_equal(decoded[..., 0], pixels)

    @pytest.mark.parametrize("bits", [8, 16])
    @pytest.mark.parametrize(("transform", "photometric"), [(True, "YBR_RCT"), (False, "RGB")])
    def test_lossless_high_throughput_colour_is_kept(
        self, make_pixels, make_format, bits, transform, photometric
    ):
        pixels = make_pixels(samples=3, bits=bits)
        data = encode_high_throughput(pixels, transform)
        decoded = decode_frame(data, make_format(pixels, HT_LOSSLESS, photometric))
        np.testing.assert_array_equal(decoded, pixels)

    def test_one_bit_is_kept(self, make_format):
        """Binary segmentations may be compressed like that (PS3.5 8.2.4)."""
        pixels = np.random.default_rng(0).random((48, 40)) < 0.5
        decoded = decode_frame(encode(pixels, 1), make_format(pixels, LOSSLESS))
        assert decoded.dtype == bool
        np.testing.assert_array_equal(decoded[..., 0], pixels)

    def test_codestream_of_several_tiles_is_decoded(
        self, make_pixels, make_format, encode_with_pillow
    ):
        pixels = make_pixels(100, 90, 3)
        data = encode_with_pillow(pixels, "JPEG2000", tile_size=(64, 48), no_jp2=True)
        decoded = decode_frame(data, make_format(pixels, LOSSLESS))
        np.testing.assert_array_equal(decoded, pixels)

    def test_container_is_left_aside(self, make_pixels, make_format, encode_with_pillow):
        """Pillow writes a JP2 container unless it is told not to."""
        pixels = make_pixels(samples=3)
        data = encode_with_pillow(pixels, "JPEG2000")
        assert data[4:8] == b"jP  "
        decoded = decode_frame(data, make_format(pixels, LOSSLESS))
        np.testing.assert_array_equal(decoded, pixels)


class TestLossy:
    """The same streams, decoded with pylibjpeg-openjpeg; decoders may round in other places."""

    @pytest.mark.parametrize("bits", [8, 12, 16])
    @pytest.mark.parametrize("signed", [False, True])
    def test_lossy_monochrome_is_nearly_the_pixels(self, make_pixels, make_format, bits, signed):
        pixels = make_pixels(bits=bits, signed=signed)
        data = encode(pixels, bits, compression_ratios=[8])
        decoded = decode_frame(data, make_format(pixels, LOSSY, BitsStored=bits))
        np.testing.assert_allclose(decoded[..., 0].astype(int), decode_with_openjpeg(data), atol=1)

    @pytest.mark.parametrize(("transform", "photometric"), [(True, "YBR_ICT"), (False, "RGB")])
    def test_lossy_colour_is_nearly_the_pixels(
        self, make_pixels, make_format, transform, photometric
    ):
        pixels = make_pixels(samples=3)
        data = encode(pixels, transform=transform, compression_ratios=[10])
        decoded = decode_frame(data, make_format(pixels, LOSSY, photometric))
        np.testing.assert_allclose(decoded.astype(int), decode_with_openjpeg(data), atol=1)
        assert np.abs(decoded.astype(int) - pixels).mean() < 4

    @pytest.mark.parametrize(("transform", "photometric"), [(True, "YBR_ICT"), (False, "RGB")])
    def test_lossy_high_throughput_colour_is_nearly_the_pixels(
        self, make_pixels, make_format, transform, photometric
    ):
        pixels = make_pixels(samples=3)
        data = encode_high_throughput(pixels, transform, 0.01)
        decoded = decode_frame(data, make_format(pixels, HT_LOSSY, photometric))
        np.testing.assert_allclose(decoded.astype(int), decode_with_openjpeg(data), atol=1)
        assert np.abs(decoded.astype(int) - pixels).mean() < 4


class TestColours:
    """The stream tells whether its components are transformed, whatever the data set says."""

    @pytest.mark.parametrize("photometric", ["RGB", "YBR_RCT", "YBR_ICT", "YBR_FULL"])
    def test_component_transformation_is_undone(self, make_pixels, make_format, photometric):
        pixels = make_pixels(samples=3)
        decoded = decode_frame(
            encode(pixels, transform=True), make_format(pixels, LOSSLESS, photometric)
        )
        np.testing.assert_array_equal(decoded, pixels)

    @pytest.mark.parametrize("photometric", ["RGB", "YBR_RCT"])
    def test_rgb_without_transformation_is_rgb(self, make_pixels, make_format, photometric):
        """Differences of YBR_RCT have one more bit than colours: no frame can store them."""
        pixels = make_pixels(samples=3)
        decoded = decode_frame(encode(pixels), make_format(pixels, LOSSLESS, photometric))
        np.testing.assert_array_equal(decoded, pixels)

    @pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_ICT"])
    def test_ycbcr_without_transformation_is_converted(
        self, make_pixels, make_format, rgb_to_ybr, photometric
    ):
        rgb = make_pixels(samples=3)
        data = encode(rgb_to_ybr(rgb))
        decoded = decode_frame(data, make_format(rgb, LOSSLESS, photometric))
        np.testing.assert_allclose(decoded.astype(int), rgb, atol=2)


class TestSubsampledChroma:
    """YCbCr as the scanners of Aperio store it: Cb and Cr have fewer samples than Y."""

    @pytest.fixture
    def make_frame(self, make_pixels, rgb_to_ybr, encode_planes):
        """Makes an encoded frame, and the RGB of its components with each sample repeated."""

        def make(size, factors) -> tuple[bytes, np.ndarray]:
            across, down = factors
            ybr = rgb_to_ybr(make_pixels(*size, samples=3))
            planes = [ybr[..., 0], *(ybr[::down, ::across, i] for i in (1, 2))]
            whole = ybr.copy()
            for i in (1, 2):
                repeated = planes[i].repeat(down, axis=0).repeat(across, axis=1)
                whole[..., i] = repeated[: size[0], : size[1]]
            image = Image.frombytes("YCbCr", size[::-1], whole.tobytes())
            return encode_planes(planes, factors), np.asarray(image.convert("RGB"))

        return make

    @pytest.mark.parametrize("factors", [(2, 1), (2, 2)], ids=["4:2:2", "4:2:0"])
    @pytest.mark.parametrize("size", [(48, 40), (47, 39), (47, 40), (48, 39), (255, 257)])
    @pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422", "YBR_ICT", "RGB"])
    def test_subsampled_chroma_is_converted_whatever_the_data_set_says(
        self, make_frame, make_format, factors, size, photometric
    ):
        data, expected = make_frame(size, factors)
        decoded = decode_frame(data, make_format(expected, LOSSY, photometric))
        # OpenJPEG cuts fractions off
        np.testing.assert_allclose(decoded.astype(int), expected, atol=1)

    def test_frames_of_subsampled_chroma_may_be_cropped(self, make_frame, make_format):
        data, expected = make_frame((39, 31), (2, 2))
        pixel_format = make_format(np.zeros((48, 40, 3), np.uint8), LOSSY, "YBR_FULL_422")
        decoded = decode_frame(data, pixel_format, (39, 31))
        np.testing.assert_allclose(decoded[:39, :31].astype(int), expected, atol=1)
        assert (decoded[39:] == 255).all()

    def test_subsampled_chroma_may_have_more_than_8_bits(
        self, make_pixels, make_format, encode_planes
    ):
        grey = make_pixels(48, 40, bits=12)
        neutral = np.full((48, 20), 2048, np.uint16)
        data = encode_planes([grey, neutral, neutral], (2, 1), bits=12)
        pixel_format = make_format(
            np.repeat(grey[..., np.newaxis], 3, axis=2), LOSSY, "YBR_FULL_422", BitsStored=12
        )
        for sample in np.moveaxis(decode_frame(data, pixel_format), -1, 0):
            np.testing.assert_array_equal(sample, grey)

    @pytest.mark.parametrize("factors", [(1, 2), (4, 1), (4, 4), (2, 4), (0, 1)])
    def test_other_sizes_of_components_are_refused(self, make_frame, make_format, factors):
        data, expected = make_frame((48, 40), (2, 2))
        data = data.replace(bytes((7, 2, 2)), bytes((7, *factors)))
        with pytest.raises(FrameError, match=r"components .* differ"):
            decode_frame(data, make_format(expected, LOSSY, "YBR_FULL_422"))

    def test_components_of_two_sizes_cannot_be_transformed(self, make_frame, make_format):
        data, expected = make_frame((48, 40), (2, 1))
        broken = bytearray(data)
        broken[data.index(b"\xff\x52") + 8] = 1
        with pytest.raises(FrameError, match=r"components .* differ"):
            decode_frame(bytes(broken), make_format(expected, LOSSY, "YBR_FULL_422"))

    def test_image_with_an_offset_is_refused(self, make_frame, make_format):
        data, expected = make_frame((48, 40), (2, 1))
        broken = bytearray(data)
        # Right, bottom, left and top
        struct.pack_into(">4I", broken, 8, 41, 48, 1, 0)
        with pytest.raises(FrameError, match=r"components .* differ"):
            decode_frame(bytes(broken), make_format(expected, LOSSY, "YBR_FULL_422"))


class TestSigns:
    """Streams that state another sign than the data set hold the bits of the stored values."""

    @pytest.mark.parametrize("bits", [12, 16])
    def test_signed_values_may_be_in_an_unsigned_stream(self, make_pixels, make_format, bits):
        pixels = make_pixels(bits=bits, signed=True)
        data = encode((pixels.astype(int) % 2**bits).astype(np.uint16), bits)
        decoded = decode_frame(data, make_format(pixels, LOSSLESS, BitsStored=bits))
        np.testing.assert_array_equal(decoded[..., 0], pixels)

    @pytest.mark.parametrize("bits", [12, 16])
    def test_unsigned_values_may_be_in_a_signed_stream(self, make_pixels, make_format, bits):
        pixels = make_pixels(bits=bits)
        half = 2 ** (bits - 1)
        signed = ((pixels.astype(int) + half) % 2**bits - half).astype(np.int16)
        data = encode(signed, bits)
        decoded = decode_frame(data, make_format(pixels, LOSSLESS, BitsStored=bits))
        assert decoded.dtype == np.uint16
        np.testing.assert_array_equal(decoded[..., 0], pixels)

    def test_precision_may_exceed_bits_stored(self, make_pixels, make_format):
        pixels = make_pixels(bits=12)
        decoded = decode_frame(encode(pixels, 16), make_format(pixels, LOSSLESS, BitsStored=12))
        np.testing.assert_array_equal(decoded[..., 0], pixels)


class TestBroken:
    def test_missing_tile_is_an_error(self, make_pixels, make_format, encode_with_pillow):
        """The first of four tile parts is left out."""
        pixels = make_pixels(96, 96)
        data = encode_with_pillow(pixels, "JPEG2000", tile_size=(48, 48), no_jp2=True)
        start = data.index(b"\xff\x90")
        (length,) = struct.unpack_from(">I", data, start + 6)
        with pytest.raises(FrameError, match="cut off"):
            decode_frame(data[:start] + data[start + length :], make_format(pixels, LOSSLESS))

    def test_missing_bytes_in_the_middle_are_an_error(self, make_pixels, make_format):
        pixels = make_pixels()
        data = encode(pixels)
        with pytest.raises(FrameError):
            decode_frame(data[:400] + data[410:], make_format(pixels, LOSSLESS))

    def test_components_of_another_size_are_an_error(self, make_pixels, make_format):
        pixels = make_pixels(samples=3)
        data = bytearray(encode(pixels))
        data[4 + 39 + 4] = 2
        with pytest.raises(FrameError, match=r"components .* differ"):
            decode_frame(bytes(data), make_format(pixels, LOSSLESS))

    def test_container_without_a_codestream_is_an_error(
        self, make_pixels, make_format, encode_with_pillow
    ):
        pixels = make_pixels()
        data = encode_with_pillow(pixels, "JPEG2000").replace(b"jp2c", b"free")
        with pytest.raises(FrameError, match="not a JPEG 2000 codestream"):
            decode_frame(data, make_format(pixels, LOSSLESS))

    def test_more_bits_than_are_exact_are_an_error(self, make_pixels, make_format):
        pixels = make_pixels(bits=32)
        data = bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="J2K", reversible=True))
        with pytest.raises(FrameError, match="bits per sample, which is not supported"):
            decode_frame(data, make_format(pixels, LOSSLESS))
