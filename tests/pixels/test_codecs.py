"""The table of decoders, and what all of them have in common."""

import pickle

import imagecodecs
import numpy as np
import pytest
from openjpeg.utils import encode_array

from dicomslide.errors import FrameError, UnsupportedError
from dicomslide.pixels.codecs import (
    PHOTOMETRIC_INTERPRETATIONS,
    check_supported,
    decode_frame,
    supported_transfer_syntaxes,
)

UNKNOWN = ""


def encode_jpeg_lossless(pixels) -> bytes:
    colours = {"colorspace": "RGB", "outcolorspace": "RGB"} if pixels.ndim == 3 else {}
    return bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, **colours))


class TestSupport:
    def test_all_transfer_syntaxes_of_the_table_are_supported(self):
        """UIDs and names of PS3.6 Table A-1, without those that are retired or for video."""
        rows = dict(supported_transfer_syntaxes())
        endings = ["", ".1", ".1.99", ".2", ".5", ".8.1"]
        endings += [f".4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91, 110, 111, 112)]
        endings += [f".4.{n}" for n in (201, 202, 203)]
        assert set(rows) == {f"1.2.840.10008.1.2{ending}" for ending in endings}
        assert rows["1.2.840.10008.1.2.4.90"] == "JPEG 2000 Image Compression (Lossless Only)"
        assert not [name for uid, name in rows.items() if name == uid]

    def test_unknown_transfer_syntax_is_named(self, make_pixels, make_format):
        pixel_format = make_format(make_pixels(), ".4.100")
        for action in (
            lambda: check_supported(pixel_format),
            lambda: decode_frame(b"", pixel_format),
        ):
            with pytest.raises(UnsupportedError, match=r"\.4\.100 \(MPEG2"):
                action()

    def test_private_transfer_syntax_is_named(self, make_pixels, make_format):
        with pytest.raises(UnsupportedError, match=r"transfer syntax 1\.2\.3 is not supported"):
            check_supported(make_format(make_pixels(), "1.2.3"))

    def test_photometric_interpretations_of_the_standard_are_supported(
        self, make_pixels, make_format
    ):
        for photometric in PHOTOMETRIC_INTERPRETATIONS:
            if photometric != "PALETTE COLOR":
                samples = 1 if photometric.startswith("MONOCHROME") else 3
                check_supported(make_format(make_pixels(samples=samples), ".1", photometric))

    @pytest.mark.parametrize("photometric", ["HSV", "YBR_PARTIAL_420"])
    def test_other_photometric_interpretation_is_named(self, make_pixels, make_format, photometric):
        with pytest.raises(UnsupportedError, match=f"Interpretation {photometric} "):
            check_supported(make_format(make_pixels(samples=3), ".1", photometric))

    def test_unstated_transfer_syntax_is_for_the_frames_to_tell(self, make_pixels, make_format):
        check_supported(make_format(make_pixels(), UNKNOWN))


class TestRecognition:
    """A server need not say how its frames are encoded: their first bytes and their size do."""

    @pytest.fixture
    def encoders(self, encode_with_pillow):
        return {
            "JPEG Lossless": encode_jpeg_lossless,
            "JPEG-LS": lambda pixels: bytes(imagecodecs.jpegls_encode(pixels)),
            "JPEG 2000": lambda pixels: encode_array(pixels, use_mct=False),
            "JP2": lambda pixels: encode_with_pillow(pixels, "JPEG2000"),
            "HTJ2K": lambda pixels: bytes(imagecodecs.htj2k_encode(pixels, reversible=True)),
            "JPEG XL": lambda pixels: bytes(imagecodecs.jpegxl_encode(pixels, lossless=True)),
            "JPEG XL in a container": lambda pixels: bytes(
                imagecodecs.jpegxl_encode(pixels, lossless=True, usecontainer=True)
            ),
            "native": lambda pixels: pixels.tobytes(),
            "padded": lambda pixels: pixels.tobytes() + b"\0",
        }

    @pytest.mark.parametrize("samples", [1, 3])
    def test_lossless_codestreams_are_recognised(self, make_pixels, make_format, encoders, samples):
        pixels = make_pixels(samples=samples)
        for name, encode in encoders.items():
            decoded = decode_frame(encode(pixels), make_format(pixels, UNKNOWN))
            assert np.array_equal(decoded, pixels.reshape(decoded.shape)), name

    def test_jpeg_is_recognised(self, make_pixels, make_format, encode_with_pillow):
        pixels = make_pixels(samples=3)
        data = encode_with_pillow(pixels, "JPEG", quality=98, subsampling="4:4:4")
        decoded = decode_frame(data, make_format(pixels, UNKNOWN, "YBR_FULL_422"))
        assert np.abs(decoded.astype(int) - pixels).mean() < 2

    def test_rle_is_recognised(self, make_format):
        header = bytes([1, 0, 0, 0, 64]) + bytes(59)
        pixel_format = make_format(np.empty((8, 16), np.uint8), UNKNOWN)
        assert (decode_frame(header + bytes([129, 7]), pixel_format) == 7).all()

    def test_pixels_may_look_like_the_start_of_a_codestream(self, make_pixels, make_format):
        pixels = make_pixels()
        pixels[0, :4] = 0xFF, 0x0A, 0xFF, 0xD8
        decoded = decode_frame(pixels.tobytes(), make_format(pixels, UNKNOWN))
        np.testing.assert_array_equal(decoded[..., 0], pixels)

    @pytest.mark.parametrize("data", [b"", b"GIF89a", bytes(100)])
    def test_anything_else_is_not_guessed(self, make_pixels, make_format, data):
        with pytest.raises(UnsupportedError, match="cannot be recognized"):
            decode_frame(data, make_format(make_pixels(), UNKNOWN))


class TestCroppedFrames:
    """Some writers crop codestreams at the right and lower edge of the total pixel matrix."""

    @pytest.mark.parametrize("samples", [1, 3])
    def test_part_that_a_cropped_frame_lacks_is_background(self, make_pixels, make_format, samples):
        pixels = make_pixels(30, 20, samples)
        whole = make_pixels(48, 40, samples)
        frame = decode_frame(encode_jpeg_lossless(pixels), make_format(whole, ".4.70"), (30, 20))
        np.testing.assert_array_equal(frame[:30, :20], pixels.reshape(30, 20, samples))
        background = 255 if samples == 3 else 0
        assert (frame[30:] == background).all()
        assert (frame[:, 20:] == background).all()

    def test_cropped_frame_may_have_more_than_is_needed(self, make_pixels, make_format):
        pixels = make_pixels(32, 24)
        pixel_format = make_format(make_pixels(), ".4.70")
        frame = decode_frame(encode_jpeg_lossless(pixels), pixel_format, (30, 20))
        np.testing.assert_array_equal(frame[:32, :24, 0], pixels)

    @pytest.mark.parametrize("needed", [None, (48, 40), (31, 20), (30, 21)])
    def test_cropped_frame_that_lacks_needed_pixels_is_an_error(
        self, make_pixels, make_format, needed
    ):
        data = encode_jpeg_lossless(make_pixels(30, 20))
        with pytest.raises(FrameError, match=r"\(30, 20, 1\).*expected \(48, 40, 1\)"):
            decode_frame(data, make_format(make_pixels(), ".4.70"), needed)

    def test_cropped_frame_may_not_be_larger_than_a_frame(self, make_pixels, make_format):
        data = encode_jpeg_lossless(make_pixels(48, 41))
        with pytest.raises(FrameError, match=r"\(48, 41, 1\)"):
            decode_frame(data, make_format(make_pixels(), ".4.70"), (10, 10))


class TestPalette:
    @pytest.fixture
    def attributes(self):
        def make(first, bits, red, green, blue):
            size = 1 if bits == 8 else 2
            colours = {"Red": red, "Green": green, "Blue": blue}
            attributes = {"PhotometricInterpretation": "PALETTE COLOR"}
            for name, values in colours.items():
                table = np.array(values, f"<u{size}").tobytes()
                prefix = f"{name}PaletteColorLookupTable"
                attributes[f"{prefix}Descriptor"] = [len(values), first, bits]
                attributes[f"{prefix}Data"] = table
            return attributes

        return make

    @pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
    def test_values_have_the_colours_of_the_table(self, make_format, attributes, bits, dtype):
        top = 2**bits - 1
        table = attributes(0, bits, [0, 1, top], [10, 11, 12], [200, 100, 0])
        values = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
        frame = decode_frame(values.tobytes(), make_format(values, ".1", **table))
        assert frame.dtype == dtype
        colours = [[0, 10, 200], [1, 11, 100], [top, 12, 0]]
        assert frame.tolist() == [colours, colours[::-1]]

    def test_values_beyond_the_table_have_its_first_and_last_colour(self, make_format, attributes):
        table = attributes(100, 8, [1, 2], [3, 4], [5, 6])
        values = np.array([[0, 99, 100, 101, 102, 65535]], np.uint16)
        frame = decode_frame(values.tobytes(), make_format(values, ".1", **table))
        assert frame[0].tolist() == [[1, 3, 5]] * 3 + [[2, 4, 6]] * 3

    def test_signed_values_have_the_colours_of_the_table(self, make_format, attributes):
        table = attributes(-2, 8, [1, 2, 3], [1, 2, 3], [1, 2, 3])
        values = np.array([[-128, -2, -1, 0, 127]], np.int8)
        frame = decode_frame(values.tobytes(), make_format(values, ".1", **table))
        assert frame[0, :, 0].tolist() == [1, 1, 2, 3, 3]

    def test_compressed_values_have_the_colours_of_the_table(
        self, make_pixels, make_format, attributes
    ):
        table = attributes(0, 8, range(256), range(255, -1, -1), [7] * 256)
        values = make_pixels()
        frame = decode_frame(encode_jpeg_lossless(values), make_format(values, ".4.70", **table))
        np.testing.assert_array_equal(frame[..., 0], values)
        np.testing.assert_array_equal(frame[..., 1], 255 - values)
        assert (frame[..., 2] == 7).all()

    def test_cropped_frame_is_filled_with_white(self, make_pixels, make_format, attributes):
        table = attributes(0, 8, range(256), range(256), range(256))
        data = encode_jpeg_lossless(make_pixels(30, 20))
        pixel_format = make_format(make_pixels(), ".4.70", **table)
        frame = decode_frame(data, pixel_format, (30, 20))
        assert (frame[30:] == 255).all()

    def test_format_can_be_hashed_and_pickled(self, make_format, attributes):
        table = attributes(0, 8, [1], [2], [3])
        pixel_format = make_format(np.empty((2, 2), np.uint8), ".1", **table)
        assert hash(pickle.loads(pickle.dumps(pixel_format))) == hash(pixel_format)
        assert pickle.loads(pickle.dumps(pixel_format)) == pixel_format
