"""JPEG frames: Baseline, Extended and Lossless, and what colours they are taken for."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dicomslide.errors import FrameError
from dicomslide.pixels.codecs import decode_frame
from dicomslide.pixels.jpeg import read_jpeg_header

BASELINE, EXTENDED, LOSSLESS, LOSSLESS_SV1 = ".4.50", ".4.51", ".4.57", ".4.70"
YCBCR, RGB = True, False


def decode_with_pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


class TestLossy:
    @pytest.mark.parametrize("syntax", [BASELINE, EXTENDED])
    @pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
    @pytest.mark.parametrize("size", [(48, 40), (47, 39)])
    @pytest.mark.parametrize("progressive", [False, True])
    def test_lossy_colour_is_that_of_pillow(
        self, make_pixels, make_format, encode_with_pillow, syntax, subsampling, size, progressive
    ):
        pixels = make_pixels(*size, samples=3)
        data = encode_with_pillow(
            pixels, "JPEG", quality=90, subsampling=subsampling, progressive=progressive
        )
        decoded = decode_frame(data, make_format(pixels, syntax, "YBR_FULL_422"))
        # Decoders may round in other places
        np.testing.assert_allclose(decoded.astype(int), decode_with_pillow(data), atol=2)

    @pytest.mark.parametrize("attributes", [{}, {"BitsAllocated": 16}, {"PixelRepresentation": 1}])
    def test_lossy_colour_is_the_same_in_memory_that_is_given(
        self, make_pixels, make_format, encode_with_pillow, attributes
    ):
        """A sample in memory may have more bits than those of the codestream."""
        data = encode_with_pillow(make_pixels(samples=3), "JPEG", quality=90)
        pixel_format = make_format(
            make_pixels(samples=3), BASELINE, "YBR_FULL_422", BitsStored=8, **attributes
        )
        expected = decode_frame(data, pixel_format)
        out = np.full(pixel_format.shape, 77, pixel_format.dtype)
        found = decode_frame(data, pixel_format, None, out)
        assert found.dtype == expected.dtype == pixel_format.dtype
        np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    def test_monochrome_is_as_stored(
        self, make_pixels, make_format, encode_with_pillow, photometric
    ):
        pixels = make_pixels()
        data = encode_with_pillow(pixels, "JPEG", quality=90)
        decoded = decode_frame(data, make_format(pixels, BASELINE, photometric))
        np.testing.assert_allclose(decoded[..., 0].astype(int), decode_with_pillow(data), atol=1)

    def test_lossy_12_bits_are_nearly_the_pixels(self, make_pixels, make_format):
        pixels = make_pixels(bits=12)
        data = bytes(imagecodecs.jpeg8_encode(pixels, 98, bitspersample=12))
        decoded = decode_frame(data, make_format(pixels, EXTENDED, BitsStored=12))
        assert decoded.dtype == np.uint16
        # Of the 4096 values; what was lost is little at this quality
        np.testing.assert_allclose(decoded[..., 0].astype(int), pixels, atol=64)
        assert np.abs(decoded[..., 0].astype(int) - pixels).mean() < 16

    def test_lossy_12_bits_of_colour_are_nearly_the_pixels(self, make_pixels, make_format):
        pixels = make_pixels(samples=3, bits=12)
        data = bytes(imagecodecs.jpeg8_encode(pixels, 98, bitspersample=12, subsampling="444"))
        decoded = decode_frame(data, make_format(pixels, EXTENDED, "YBR_FULL", BitsStored=12))
        assert np.abs(decoded.astype(int) - pixels).mean() < 32

    def test_lossy_8_bits_may_be_stored_in_16(self, make_pixels, make_format, encode_with_pillow):
        pixels = make_pixels()
        data = encode_with_pillow(pixels, "JPEG", quality=90)
        decoded = decode_frame(data, make_format(pixels, EXTENDED, BitsAllocated=16))
        assert decoded.dtype == np.uint16
        np.testing.assert_allclose(decoded[..., 0].astype(int), decode_with_pillow(data), atol=1)


class TestLossless:
    @pytest.mark.parametrize("syntax", [LOSSLESS, LOSSLESS_SV1])
    @pytest.mark.parametrize(
        ("samples", "bits", "signed"),
        [
            (1, 8, False),
            (1, 12, False),
            (1, 16, False),
            (1, 8, True),
            (1, 12, True),
            (1, 16, True),
            (3, 8, False),
            (3, 16, False),
        ],
    )
    def test_lossless_integers_are_kept(
        self, make_pixels, make_format, syntax, samples, bits, signed
    ):
        """The stream holds the bits of signed values."""
        pixels = make_pixels(samples=samples, bits=bits, signed=signed)
        unsigned = (pixels.astype(int) % 2**bits).astype(f"u{pixels.dtype.itemsize}")
        data = encode_lossless(unsigned, bits)
        decoded = decode_frame(data, make_format(pixels, syntax, BitsStored=bits))
        assert decoded.dtype == pixels.dtype
        np.testing.assert_array_equal(decoded, pixels.reshape(decoded.shape))

    @pytest.mark.parametrize("predictor", range(1, 8))
    def test_every_predictor_is_lossless(self, make_pixels, make_format, predictor):
        pixels = make_pixels(bits=16)
        data = encode_lossless(pixels, 16, predictor)
        decoded = decode_frame(data, make_format(pixels, LOSSLESS))
        np.testing.assert_array_equal(decoded[..., 0], pixels)

    def test_lossless_ybr_full_is_converted(self, make_pixels, make_format, rgb_to_ybr):
        rgb = make_pixels(samples=3)
        data = without_markers(encode_lossless(rgb_to_ybr(rgb), 8))
        decoded = decode_frame(data, make_format(rgb, LOSSLESS_SV1, "YBR_FULL"))
        np.testing.assert_allclose(decoded.astype(int), rgb, atol=2)


def encode_lossless(pixels: np.ndarray, bits: int, predictor: int = 1) -> bytes:
    colours = {"colorspace": "RGB", "outcolorspace": "RGB"} if pixels.ndim == 3 else {}
    return bytes(
        imagecodecs.jpeg8_encode(
            pixels, lossless=True, predictor=predictor, bitspersample=bits, **colours
        )
    )


# Streams of which the colours are told in all possible ways


def segments(data: bytes) -> list[bytes]:
    """The segments before the first scan, and the rest."""
    parts, position = [], 2
    while data[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        parts.append(data[position:end])
        position = end
    return [*parts, data[position:]]


def without_markers(data: bytes, ids: bytes = b"\1\2\3") -> bytes:
    """Take all that tells of colours out of a stream of three components, and number these."""
    parts = [bytearray(part) for part in segments(data) if part[1] not in (0xE0, 0xEE)]
    for part in parts:
        step = {0xC0: 3, 0xC1: 3, 0xC3: 3, 0xDA: 2}.get(part[1])
        first = {0xC0: 10, 0xC1: 10, 0xC3: 10, 0xDA: 5}.get(part[1])
        if step:
            part[first : first + 3 * step : step] = ids
    return data[:2] + b"".join(parts)


def with_segment(data: bytes, segment: bytes, before: int = 0) -> bytes:
    """Put a segment before the first one, or before another one counted from the end."""
    parts = segments(data)
    parts.insert(before, segment)
    return data[:2] + b"".join(parts)


JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"


def adobe(transform: int) -> bytes:
    return b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])


class TestColours:
    """Components are YCbCr or RGB: what a stream says of itself, and then the data set."""

    @pytest.fixture
    def stream(self, make_pixels):
        """A stream that says nothing of its components, and these."""
        components = make_pixels(samples=3)
        image = Image.fromarray(components).convert("RGB")
        file = io.BytesIO()
        Image.frombytes("YCbCr", image.size, image.tobytes()).save(
            file, "JPEG", quality=98, subsampling="4:4:4"
        )
        return without_markers(file.getvalue()), components

    def is_ycbcr(self, data, components, pixel_format) -> bool:
        """Tell by what a frame decodes to which colours it was taken for."""
        decoded = decode_frame(data, pixel_format).astype(int)
        size = components.shape[1::-1]
        converted = Image.frombytes("YCbCr", size, components.tobytes()).convert("RGB")
        as_rgb = np.abs(decoded - components).mean()
        as_ycbcr = np.abs(decoded - np.asarray(converted)).mean()
        assert min(as_rgb, as_ycbcr) < 4 < max(as_rgb, as_ycbcr)
        return bool(as_ycbcr < as_rgb)

    @pytest.mark.parametrize(
        ("photometric", "expected"),
        [("RGB", RGB), ("YBR_FULL", YCBCR), ("YBR_FULL_422", YCBCR), ("YBR_ICT", YCBCR)],
    )
    def test_data_set_tells_where_the_stream_does_not(
        self, stream, make_format, photometric, expected
    ):
        data, components = stream
        pixel_format = make_format(components, BASELINE, photometric)
        assert self.is_ycbcr(data, components, pixel_format) is expected

    @pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
    @pytest.mark.parametrize(("transform", "expected"), [(0, RGB), (1, YCBCR)])
    @pytest.mark.parametrize("before", [0, 1, -1], ids=["first", "second", "last"])
    def test_adobe_segment_tells(
        self, stream, make_format, photometric, transform, expected, before
    ):
        """It may stand after the start of frame, as in slides of Aperio scanners."""
        data, components = stream
        data = with_segment(data, adobe(transform), before)
        pixel_format = make_format(components, BASELINE, photometric)
        assert self.is_ycbcr(data, components, pixel_format) is expected

    @pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL_422"])
    def test_components_may_be_called_rgb(self, stream, make_format, photometric):
        data, components = stream
        data = without_markers(data, b"RGB")
        pixel_format = make_format(components, BASELINE, photometric)
        assert self.is_ycbcr(data, components, pixel_format) is RGB

    @pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
    def test_jfif_is_ycbcr(self, stream, make_format, photometric):
        """Pillow and pydicom decode it so, though OpenSlide and wsidicom see RGB."""
        data, components = stream
        data = with_segment(data, JFIF)
        pixel_format = make_format(components, BASELINE, photometric)
        assert self.is_ycbcr(data, components, pixel_format) is YCBCR
        np.testing.assert_array_equal(decode_frame(data, pixel_format), decode_with_pillow(data))

    @pytest.mark.parametrize("segment", [b"\xff\xe0\0\x08JFXX\0\x13", b"\xff\xe1\0\x08JFIF\0\1"])
    def test_another_segment_is_not_jfif(self, stream, make_format, segment):
        data, components = stream
        data = with_segment(data, segment)
        assert self.is_ycbcr(data, components, make_format(components, BASELINE, "RGB")) is RGB

    @pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
    @pytest.mark.parametrize("subsampling", ["4:2:2", "4:2:0"])
    def test_subsampled_chroma_is_ycbcr(
        self, make_pixels, make_format, encode_with_pillow, subsampling, photometric
    ):
        pixels = make_pixels(samples=3)
        data = encode_with_pillow(pixels, "JPEG", quality=90, subsampling=subsampling)
        decoded = decode_frame(without_markers(data), make_format(pixels, BASELINE, photometric))
        np.testing.assert_array_equal(decoded, decode_with_pillow(data))

    def test_adobe_segment_counts_more_than_jfif(self, stream, make_format):
        data, components = stream
        data = with_segment(with_segment(data, adobe(0)), JFIF)
        assert self.is_ycbcr(data, components, make_format(components, BASELINE)) is RGB

    def test_adobe_segment_counts_more_than_subsampling(
        self, make_pixels, make_format, encode_with_pillow
    ):
        pixels = make_pixels(samples=3)
        data = without_markers(encode_with_pillow(pixels, "JPEG", subsampling="4:2:2"))
        pixel_format = make_format(pixels, BASELINE, "YBR_FULL_422")
        as_rgb, as_ycbcr = (
            decode_frame(with_segment(data, adobe(transform)), pixel_format).astype(int)
            for transform in (0, 1)
        )
        np.testing.assert_array_equal(as_ycbcr, decode_frame(data, pixel_format))
        # What is called RGB are the components, of which the last two are grey on the average
        converted = Image.fromarray(pixels).convert("YCbCr")
        assert np.abs(as_rgb - np.asarray(converted)).mean() < 6

    def test_names_of_components_count_more_than_jfif(self, stream, make_format):
        data, components = stream
        data = with_segment(without_markers(data, b"rgb"), JFIF)
        assert self.is_ycbcr(data, components, make_format(components, BASELINE)) is RGB

    def test_jfif_tells_nothing_of_lossless_streams(self, make_pixels, make_format, rgb_to_ybr):
        """JFIF is not defined for them."""
        rgb = make_pixels(samples=3)
        data = with_segment(without_markers(encode_lossless(rgb, 8)), JFIF)
        decoded = decode_frame(data, make_format(rgb, LOSSLESS_SV1, "RGB"))
        np.testing.assert_array_equal(decoded, rgb)
        data = with_segment(without_markers(encode_lossless(rgb_to_ybr(rgb), 8)), JFIF)
        decoded = decode_frame(data, make_format(rgb, LOSSLESS_SV1, "YBR_FULL"))
        np.testing.assert_allclose(decoded.astype(int), rgb, atol=2)

    def test_pillow_keeps_rgb(self, make_pixels, make_format, encode_with_pillow):
        pixels = make_pixels(samples=3)
        data = encode_with_pillow(pixels, "JPEG", quality=98, keep_rgb=True)
        decoded = decode_frame(data, make_format(pixels, BASELINE, "RGB"))
        np.testing.assert_allclose(decoded.astype(int), decode_with_pillow(data), atol=1)


class TestFirstRows:
    """Where only the first rows of a frame are used, the codec stops after them."""

    # Of every eight rows that are encoded together, those at either end and one within
    rows = st.sampled_from([*range(1, 20), 24, 31, 32, 33, 44, 45, 46, 47])

    @pytest.mark.parametrize("subsampling", ["444", "422", "420", "411", "440", "gray"])
    @given(rows=rows, has_memory=st.booleans())
    def test_they_are_those_of_the_whole_frame(
        self, make_pixels, make_format, subsampling, rows, has_memory
    ):
        pixels = make_pixels(47, 39, 3)
        if subsampling == "gray":
            pixels = pixels[..., 0].copy()
            data = imagecodecs.jpeg8_encode(pixels, level=90)
        else:
            data = imagecodecs.jpeg8_encode(pixels, level=90, subsampling=subsampling)
        pixel_format = make_format(pixels, BASELINE)
        whole = decode_frame(data, pixel_format)
        out = np.full(pixel_format.shape, 77, np.uint8) if has_memory else None
        found = decode_frame(data, pixel_format, None, out, rows)
        assert len(found) in (rows, 47)
        if has_memory and found.shape[2] == 3:
            assert np.shares_memory(found, out)
        np.testing.assert_array_equal(found[:rows], whole[:rows])

    @pytest.mark.parametrize("syntax", [BASELINE, EXTENDED])
    @pytest.mark.parametrize("options", [{}, {"restart_marker_blocks": 2}, {"optimize": True}])
    def test_no_others_are_decoded(
        self, make_pixels, make_format, encode_with_pillow, rows_decoded, syntax, options
    ):
        pixels = make_pixels(480, 400, 3)
        data = encode_with_pillow(pixels, "JPEG", quality=90, **options)
        found = decode_frame(data, make_format(pixels, syntax, "YBR_FULL_422"), rows=100)
        # The last row of those that are decoded may have other colours than in the whole frame
        assert rows_decoded == [101]
        np.testing.assert_array_equal(found, decode_with_pillow(data)[:100])

    def test_they_may_have_12_bits(self, make_pixels, make_format, rows_decoded):
        data = imagecodecs.jpeg8_encode(make_pixels(bits=12), level=95, bitspersample=12)
        pixel_format = make_format(make_pixels(bits=12), EXTENDED, BitsStored=12)
        found = decode_frame(data, pixel_format, rows=30)
        np.testing.assert_array_equal(found, decode_frame(data, pixel_format)[:30])
        assert rows_decoded == [31, 48]

    def test_a_frame_of_several_scans_is_decoded_as_a_whole(
        self, make_pixels, make_format, encode_with_pillow, rows_decoded
    ):
        pixels = make_pixels(samples=3)
        data = encode_with_pillow(pixels, "JPEG", quality=90, progressive=True)
        found = decode_frame(data, make_format(pixels, BASELINE, "YBR_FULL_422"), rows=9)
        assert rows_decoded == [48]
        np.testing.assert_array_equal(found, decode_with_pillow(data))

    def test_a_lossless_frame_is_decoded_as_a_whole(self, make_pixels, make_format):
        pixels = make_pixels(bits=16)
        data = encode_lossless(pixels, 16)
        found = decode_frame(data, make_format(pixels, LOSSLESS_SV1), rows=9)
        np.testing.assert_array_equal(found[..., 0], pixels)

    @pytest.mark.parametrize("size", [(30, 40), (48, 30), (30, 30)])
    def test_a_frame_that_was_cropped_is_filled_up(
        self, make_pixels, make_format, encode_with_pillow, size
    ):
        pixels = make_pixels(48, 40, 3)
        cropped = np.ascontiguousarray(pixels[: size[0], : size[1]])
        data = encode_with_pillow(cropped, "JPEG", quality=90)
        pixel_format = make_format(pixels, BASELINE, "YBR_FULL_422")
        found = decode_frame(data, pixel_format, size, None, 20)
        assert found.shape == pixel_format.shape
        np.testing.assert_array_equal(found[: size[0], : size[1]], decode_with_pillow(data))

    def test_damage_below_them_does_not_matter(self, make_pixels, make_format, encode_with_pillow):
        """An unknown marker in a frame with restart markers, which a decoder passes over."""
        pixels = make_pixels(192, 192, 3)
        data = bytearray(encode_with_pillow(pixels, "JPEG", quality=90, restart_marker_rows=1))
        middle = len(data) * 7 // 10
        data[middle : middle + 2] = b"\xff\x89"
        pixel_format = make_format(pixels, BASELINE, "YBR_FULL_422")
        whole = decode_frame(bytes(data), pixel_format)
        found = decode_frame(bytes(data), pixel_format, rows=40)
        np.testing.assert_array_equal(found[:40], whole[:40])

    def test_a_frame_with_too_few_rows_is_an_error(
        self, make_pixels, make_format, encode_with_pillow
    ):
        pixels = make_pixels(48, 40, 3)
        data = encode_with_pillow(pixels[:30], "JPEG", quality=90)
        pixel_format = make_format(pixels, BASELINE, "YBR_FULL_422")
        for rows in (20, 30, 40):
            with pytest.raises(FrameError, match=r"its codestream is \(30, 40, 3\)"):
                decode_frame(data, pixel_format, None, None, rows)


class TestHeader:
    def test_header_has_the_values_of_the_start_of_frame(self, make_pixels, encode_with_pillow):
        data = encode_with_pillow(make_pixels(47, 39, 3), "JPEG", subsampling="4:2:0")
        header = read_jpeg_header(data)
        assert (header.rows, header.columns, header.samples, header.precision) == (47, 39, 3, 8)
        assert header.process == 0xC0
        assert header.component_ids == b"\1\2\3"
        assert header.adobe_transform is None
        assert header.jfif
        assert header.subsampled

    def test_fill_bytes_may_stand_before_markers(self, make_pixels, encode_with_pillow):
        data = encode_with_pillow(make_pixels(), "JPEG")
        filled = data[:2] + b"\xff\xff" + data[2:]
        assert read_jpeg_header(filled) == read_jpeg_header(data)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "does not start like"),
            (b"\x89PNG", "does not start like"),
            (b"\xff\xd8\xff\xd9", "no start of frame"),
            (b"\xff\xd8\0\0\0\0\xff\xd9", "no marker at byte 2"),
            (b"\xff\xd8\xff\xc0\0\x05\x08\0\x10\xff\xd9", "no start of frame"),
            (b"\xff\xd8\xff\xc0\0\x0b\x08\0\x10\0\x10\x03\1\x11\0\xff\xd9", "no start of frame"),
        ],
    )
    def test_broken_header_is_an_error(self, data, message):
        with pytest.raises(FrameError, match=message):
            read_jpeg_header(data)


@pytest.mark.parametrize("process", [0xC5, 0xC9, 0xCA, 0xCB])
def test_hierarchical_and_arithmetic_processes_are_named(
    make_pixels, make_format, encode_with_pillow, process
):
    pixels = make_pixels()
    data = encode_with_pillow(pixels, "JPEG").replace(b"\xff\xc0", struct.pack("BB", 255, process))
    with pytest.raises(FrameError, match=f"FF{process:02X}"):
        decode_frame(data, make_format(pixels, BASELINE))
