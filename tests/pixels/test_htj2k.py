"""High-Throughput JPEG 2000 frames that OpenJPH decodes where the configuration allows it."""

import struct
import subprocess
import sys
from pathlib import Path

import dask
import imagecodecs
import numpy as np
import pytest

from dicomslide.errors import FrameError
from dicomslide.pixels.codecs import decode_frame
from dicomslide.pixels.htj2k import decode_with_openjph, is_plain

ROOT = Path(__file__).parents[2]
LOSSLESS, LOSSY = ".4.201", ".4.203"
SIZE, CAPABILITIES, STYLE, QUANTIZATION = b"\xff\x51", b"\xff\x50", b"\xff\x52", b"\xff\x5c"
TILE_PART, DATA = b"\xff\x90", b"\xff\x93"


@pytest.fixture
def allowed():
    with dask.config.set({"dicomslide.fast-htj2k": True}):
        yield


def encode(pixels: np.ndarray, **options) -> bytes:
    """Encode with OpenJPH without loss."""
    return bytes(imagecodecs.htj2k_encode(pixels, reversible=True, **options))


@pytest.fixture(scope="module")
def frame(make_pixels):
    """A codestream of 64 x 48 pixels and three components, with five decomposition levels."""
    return encode(make_pixels(64, 48, 3))


class TestSamePixels:
    """OpenJPH gets these frames, and makes the pixels that were encoded and that OpenJPEG makes."""

    @pytest.fixture(autouse=True)
    def allow(self, allowed):
        pass

    def check(self, pixels, data, pixel_format):
        found = decode_with_openjph(data)
        assert found is not None
        np.testing.assert_array_equal(found, pixels)
        np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(data), pixels)
        decoded = decode_frame(data, pixel_format)
        assert decoded.dtype == pixels.dtype
        np.testing.assert_array_equal(decoded, pixels.reshape(decoded.shape))

    @pytest.mark.parametrize("bits", [8, 16])
    @pytest.mark.parametrize("signed", [False, True])
    def test_monochrome_pixels_are_those_of_openjpeg(self, make_pixels, make_format, bits, signed):
        pixels = make_pixels(bits=bits, signed=signed)
        self.check(pixels, encode(pixels), make_format(pixels, LOSSLESS))

    @pytest.mark.parametrize("size", [(240, 240), (64, 65), (1, 1), (3, 200)])
    @pytest.mark.parametrize("bits", [8, 16])
    @pytest.mark.parametrize("transform", [False, True])
    def test_colour_pixels_are_those_of_openjpeg(
        self, make_pixels, make_format, size, bits, transform
    ):
        pixels = make_pixels(*size, samples=3, bits=bits)
        data = encode(pixels, rgb=transform)
        self.check(pixels, data, make_format(pixels, LOSSLESS, "YBR_RCT" if transform else "RGB"))

    @pytest.mark.parametrize(
        "options",
        [{"tlm": True}, {"resolutions": 0}, {"resolutions": 8}, {"tilepart": 1}, {"tilepart": 3}],
        ids=str,
    )
    def test_pixels_of_every_arrangement_are_those_of_openjpeg(
        self, make_pixels, make_format, options
    ):
        pixels = make_pixels(100, 90, samples=3)
        self.check(pixels, encode(pixels, **options), make_format(pixels, LOSSLESS, "YBR_RCT"))


class TestOthers:
    """Codestreams that are not of the plain form."""

    def test_codestream_of_the_encoder_is_plain(self, frame):
        assert is_plain(frame)

    def test_no_codestream_is_decoded_by_openjph_unless_it_is_allowed(self, frame):
        assert decode_with_openjph(frame) is None

    def test_lossy_codestream_is_left_to_openjpeg(self, make_pixels):
        """Two decoders may round a lossy codestream differently."""
        assert not is_plain(imagecodecs.htj2k_encode(make_pixels(), 0.01, reversible=False))

    def test_other_code_blocks_are_left_to_openjpeg(self, make_pixels):
        data = imagecodecs.jpeg2k_encode(make_pixels(), codecformat="J2K", reversible=True)
        assert not is_plain(data)

    def test_tiles_are_left_to_openjpeg(self, make_pixels):
        assert not is_plain(encode(make_pixels(64, 64), tile=(32, 32)))

    @pytest.mark.parametrize(
        ("segment", "offset", "values"),
        [
            (SIZE, 6, struct.pack(">I", 49)),
            (SIZE, 14, struct.pack(">I", 1)),
            (SIZE, 18, struct.pack(">I", 1)),
            (SIZE, 22, struct.pack(">I", 24)),
            (SIZE, 30, struct.pack(">I", 1)),
            (SIZE, 34, struct.pack(">I", 2**32 - 1)),
            (SIZE, 38, struct.pack(">H", 2)),
            (SIZE, 40, b"\x10"),
            (SIZE, 43, b"\x0b"),
            (SIZE, 44, b"\2"),
            (SIZE, 45, b"\0"),
            (CAPABILITIES, 4, b"\x80"),
            (CAPABILITIES, 8, b"\x40"),
            (STYLE, 4, b"\2"),
            (STYLE, 5, b"\5"),
            (STYLE, 7, b"\2"),
            (STYLE, 8, b"\2"),
            (STYLE, 9, b"\4"),
            (STYLE, 9, b"\6"),
            (STYLE, 10, b"\5"),
            (STYLE, 12, b"\0"),
            (STYLE, 12, b"\x48"),
            (STYLE, 13, b"\0"),
            (QUANTIZATION, 4, b"\x21"),
            (QUANTIZATION, 4, b"\xff"),
            (QUANTIZATION, 5, b"\0"),
            (QUANTIZATION, 5, b"\xf8"),
            (QUANTIZATION, 20, b"\x51"),
            (TILE_PART, 4, b"\0\1"),
            (TILE_PART, 6, struct.pack(">I", 2**31)),
            (TILE_PART, 6, struct.pack(">I", 0)),
            (TILE_PART, 10, b"\1"),
            (TILE_PART, 11, b"\2"),
            (TILE_PART, 12, QUANTIZATION),
        ],
        ids=lambda value: value.hex() if isinstance(value, bytes) else str(value),
    )
    def test_header_with_another_value_is_left_to_openjpeg(self, frame, segment, offset, values):
        start = frame.index(segment) + offset
        changed = frame[:start] + values + frame[start + len(values) :]
        assert changed != frame
        assert not is_plain(changed)

    @pytest.mark.parametrize("count", [0, 1, 15, 17, 97, 1000])
    def test_another_number_of_exponents_is_left_to_openjpeg(self, frame, count):
        start = frame.index(QUANTIZATION)
        segment = QUANTIZATION + struct.pack(">HB", count + 3, 0x20) + b"\x50" * count
        assert not is_plain(frame[:start] + segment + frame[start + 2 + 19 :])

    @pytest.mark.parametrize("exponents", [b"\x50" * 15, b"\x50" * 17, b"\0" * 16, b""])
    def test_exponents_of_one_component_are_left_to_openjpeg(self, frame, exponents):
        start = frame.index(TILE_PART)

        def with_segment(content: bytes) -> bytes:
            segment = b"\xff\x5d" + struct.pack(">H", 2 + len(content)) + content
            return frame[:start] + segment + frame[start:]

        assert is_plain(with_segment(b"\2\x20" + b"\x50" * 16))
        assert not is_plain(with_segment(b"\3\x20" + b"\x50" * 16))
        assert not is_plain(with_segment(b"\2\x20" + exponents))

    @pytest.mark.parametrize("marker", [SIZE, CAPABILITIES, STYLE, QUANTIZATION])
    def test_missing_or_repeated_segment_is_left_to_openjpeg(self, frame, marker):
        start = frame.index(marker)
        end = start + 2 + struct.unpack_from(">H", frame, start + 2)[0]
        assert not is_plain(frame[:start] + frame[end:])
        assert not is_plain(frame[:end] + frame[start:end] + frame[end:])

    @pytest.mark.parametrize("marker", ["ff53", "ff5e", "ff5f", "ff60", "ff72", "0000"])
    def test_unknown_segment_is_left_to_openjpeg(self, frame, marker):
        start = frame.index(TILE_PART)
        assert not is_plain(frame[:start] + bytes.fromhex(marker) + b"\0\4\0\0" + frame[start:])

    def test_codestream_that_is_cut_off_is_left_to_openjpeg(self, frame):
        for end in range(len(frame)):
            assert not is_plain(frame[:end])


class TestDamages:
    @pytest.fixture(autouse=True)
    def allow(self, allowed):
        pass

    def test_header_at_which_openjph_never_ends_is_an_error(self, frame, make_pixels, make_format):
        """The only tile begins one row below the image."""
        changed = bytearray(frame)
        changed[frame.index(SIZE) + 37] = 1
        with pytest.raises(FrameError, match="cannot be decoded"):
            decode_frame(bytes(changed), make_format(make_pixels(64, 48, 3), LOSSLESS, "YBR_RCT"))

    def test_header_that_openjph_has_no_room_for_is_an_error(self, frame, make_pixels, make_format):
        """It writes so many exponents over what follows them in its memory."""
        start = frame.index(QUANTIZATION)
        segment = QUANTIZATION + struct.pack(">HB", 60003, 0x20) + b"\x50" * 60000
        changed = frame[:start] + segment + frame[start + 2 + 19 :]
        with pytest.raises(FrameError, match="cannot be decoded"):
            decode_frame(changed, make_format(make_pixels(64, 48, 3), LOSSLESS, "YBR_RCT"))

    # imagecodecs reports errors in code blocks like this, and returns zeros
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_body_has_the_error_of_openjpeg(self, frame, make_pixels, make_format):
        pixel_format = make_format(make_pixels(64, 48, 3), LOSSLESS, "YBR_RCT")
        random = np.random.default_rng(0)
        failed = 0
        for position in random.integers(frame.index(DATA) + 2, len(frame) - 2, 40):
            changed = bytearray(frame)
            changed[position] ^= 0x5A
            assert is_plain(changed)
            found = decode_with_openjph(bytes(changed))
            if found is not None:
                continue
            failed += 1
            try:
                expected = imagecodecs.jpeg2k_decode(changed)
            except imagecodecs.Jpeg2kError:
                with pytest.raises(FrameError, match="cannot be decoded"):
                    decode_frame(bytes(changed), pixel_format)
            else:
                np.testing.assert_array_equal(decode_frame(bytes(changed), pixel_format), expected)
        assert failed > 10

    def test_last_row_may_be_black(self, make_pixels, make_format):
        pixels = make_pixels(64, 48, 3)
        pixels[-1] = 0
        data = encode(pixels)
        assert is_plain(data)
        decoded = decode_frame(data, make_format(pixels, LOSSLESS, "YBR_RCT"))
        np.testing.assert_array_equal(decoded, pixels)

    def test_mutants_end_in_pixels_or_an_exception(self, tmp_path):
        number = tmp_path / "number"
        done = subprocess.run(
            [sys.executable, "-m", "tests.pixels.htj2k_mutants", "400", "--at", number],
            cwd=ROOT,
            capture_output=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"mutant {number.read_text()}: {done.stderr[-1000:]!r}"
        assert b'"decoded"' in done.stdout
        assert b'"refused"' in done.stdout
