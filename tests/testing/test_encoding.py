from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames

from dicomslide.testing import SlideOptions, write_slide
from dicomslide.writing.encoding import ENCODINGS

UID = "1.2.840.10008.1.2"
SIZE, TILE = (75, 100), (48, 40)

# Syntaxes that pydicom does not decode with what the test environment has, and another decoder.
# High-Throughput JPEG 2000 is encoded with OpenJPH and decoded with OpenJPEG.
OTHER_DECODERS: dict[str, Callable[[bytes], Any]] = {
    ".4.57": imagecodecs.jpeg8_decode,
    ".4.70": imagecodecs.jpeg8_decode,
    ".4.201": imagecodecs.jpeg2k_decode,
    ".4.202": imagecodecs.jpeg2k_decode,
    ".4.203": imagecodecs.jpeg2k_decode,
    ".4.110": imagecodecs.jpegxl_decode,
    ".4.111": imagecodecs.jpegxl_decode,
    ".4.112": imagecodecs.jpegxl_decode,
}
LOSSLESS = ("", ".1", ".1.99", ".2", ".5", ".8.1", ".4.57", ".4.70", ".4.80", ".4.90")
LOSSLESS_8_AND_16 = (".4.201", ".4.202", ".4.110")
LOSSY = (".4.50", ".4.51", ".4.91", ".4.203", ".4.111", ".4.112")


def _write(folder: Path, suffix: str, **changes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Write one level and return what is expected and what another library decodes."""
    slide = write_slide(
        folder,
        size=SIZE,
        tile=TILE,
        factors=(1,),
        transfer_syntax=UID + suffix,
        label=False,
        overview=False,
        **changes,
    )
    expected = slide.levels[0].pixels()
    dataset = pydicom.dcmread(slide.paths[0])
    assert dataset.file_meta.TransferSyntaxUID == UID + suffix
    frames = _decode(dataset, suffix, expected.dtype)
    matrix = np.zeros((2 * TILE[0], 3 * TILE[1], expected.shape[2]), expected.dtype)
    for index, frame in enumerate(frames):
        row, column = index // 3 * TILE[0], index % 3 * TILE[1]
        matrix[row : row + TILE[0], column : column + TILE[1]] = frame.reshape(*TILE, -1)
    return expected, matrix[: SIZE[0], : SIZE[1]]


def _decode(dataset: pydicom.Dataset, suffix: str, dtype: np.dtype) -> list[np.ndarray]:
    wide_color = dataset.SamplesPerPixel == 3 and dataset.BitsAllocated == 16
    decoder = OTHER_DECODERS.get(suffix)
    if suffix in (".4.90", ".4.91") and wide_color:
        decoder = imagecodecs.jpeg2k_decode
    if suffix == ".4.51" and dataset.BitsStored == 12:
        decoder = imagecodecs.jpeg8_decode
    if suffix == ".8.1":
        encoded = generate_frames(dataset.PixelData, number_of_frames=6)
        return [np.frombuffer(zlib.decompress(f, -15), dtype) for f in encoded]
    if decoder is None:
        return list(dataset.pixel_array)
    return [decoder(f) for f in generate_frames(dataset.PixelData, number_of_frames=6)]


@pytest.mark.parametrize("suffix", LOSSLESS + LOSSLESS_8_AND_16)
@pytest.mark.parametrize(("samples", "bits"), [(3, 8), (3, 16), (1, 8), (1, 16)])
def test_lossless_encoders_keep_pixels(
    tmp_path: Path, suffix: str, samples: int, bits: int
) -> None:
    expected, decoded = _write(tmp_path, suffix, samples=samples, bits=bits)
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_encoders_keep_12_bits(tmp_path: Path, suffix: str) -> None:
    expected, decoded = _write(tmp_path, suffix, samples=1, bits=12)
    assert expected.max() > 255
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("suffix", ["", ".1", ".1.99", ".2", ".5", ".8.1"])
def test_32_bits_are_kept(tmp_path: Path, suffix: str) -> None:
    expected, decoded = _write(tmp_path, suffix, samples=1, bits=32)
    assert expected.max() > 2**31
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("suffix", ["", ".1", ".1.99", ".2", ".5", ".8.1", ".4.90"])
def test_signed_values_are_kept(tmp_path: Path, suffix: str) -> None:
    expected, decoded = _write(tmp_path, suffix, samples=1, bits=16, signed=True)
    assert expected.min() < 0 < expected.max()
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("suffix", ["", ".1", ".5"])
def test_ybr_full_is_rgb_but_for_rounding(tmp_path: Path, suffix: str) -> None:
    expected, decoded = _write(tmp_path, suffix, photometric="YBR_FULL")
    np.testing.assert_allclose(decoded.astype(int), expected, atol=2)


@pytest.mark.parametrize("suffix", ["", ".1", ".2", ".5"])
def test_colour_by_plane_is_kept(tmp_path: Path, suffix: str) -> None:
    expected, decoded = _write(tmp_path, suffix, planar_configuration=1)
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize(
    ("suffix", "photometric"),
    [(s, p) for s in LOSSY for p in ENCODINGS[UID + s].color],
)
def test_lossy_encoders_keep_pixels_nearly(tmp_path: Path, suffix: str, photometric: str) -> None:
    expected, decoded = _write(tmp_path, suffix, photometric=photometric, quality=95)
    assert np.abs(decoded.astype(int) - expected).mean() < 3.5


def test_near_lossless_jpeg_ls_differs_by_two_at_most(tmp_path: Path) -> None:
    expected, decoded = _write(tmp_path, ".4.81")
    difference = np.abs(decoded.astype(int) - expected)
    assert 0 < difference.max() <= 2


def test_jpeg_extended_keeps_12_bits_nearly(tmp_path: Path) -> None:
    expected, decoded = _write(tmp_path, ".4.51", samples=1, bits=12, quality=98)
    assert expected.max() > 2047
    assert np.abs(decoded.astype(int) - expected).mean() < 4


def _segments(stream: bytes) -> dict[int, bytes]:
    """Split a JPEG stream up to its scan in segments by marker (ITU-T T.81 B.1.1.4)."""
    segments, position = {}, 2
    while 0xDA not in segments:
        length = int.from_bytes(stream[position + 2 : position + 4], "big")
        segments[stream[position + 1]] = stream[position + 4 : position + 2 + length]
        position += 2 + length
    return segments


def _first_jpeg(folder: Path, **changes: Any) -> dict[int, bytes]:
    _write(folder, ".4.50", **changes)
    dataset = pydicom.dcmread(folder / "level-0.dcm")
    return _segments(next(generate_frames(dataset.PixelData, number_of_frames=6)))


def test_rgb_jpeg_does_not_tell_its_colour_space(tmp_path: Path) -> None:
    segments = _first_jpeg(tmp_path, photometric="RGB")
    assert 0xEE not in segments
    assert 0xE0 not in segments
    assert [segments[0xC0][6 + 3 * i] for i in range(3)] == [1, 2, 3]
    assert [segments[0xDA][1 + 2 * i] for i in range(3)] == [1, 2, 3]


def test_rgb_jpeg_tells_its_colour_space_if_asked_to(tmp_path: Path) -> None:
    segments = _first_jpeg(tmp_path, photometric="RGB", adobe_marker=True)
    assert segments[0xEE][:5] == b"Adobe"
    assert segments[0xEE][11] == 0


@pytest.mark.parametrize(("photometric", "sampling"), [("YBR_FULL_422", 0x21), ("YBR_FULL", 0x11)])
def test_chroma_is_subsampled_as_the_photometric_interpretation_says(
    tmp_path: Path, photometric: str, sampling: int
) -> None:
    frame = _first_jpeg(tmp_path, photometric=photometric)[0xC0]
    assert [frame[7 + 3 * i] for i in range(3)] == [sampling, 0x11, 0x11]


def test_rpcl_options_are_met(tmp_path: Path) -> None:
    _write(tmp_path, ".4.202")
    dataset = pydicom.dcmread(tmp_path / "level-0.dcm")
    stream = next(generate_frames(dataset.PixelData, number_of_frames=6))
    header = stream[: stream.index(b"\xff\x90")]
    coding_style = header.index(b"\xff\x52")
    # Progression order 2 is resolution, position, component, layer (ITU-T T.800 A.6.1).
    assert header[coding_style + 5] == 2
    assert b"\xff\x55" in header


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transfer_syntax": "1.2.3"}, "transfer_syntax is 1.2.3"),
        ({"bits": 12, "samples": 1}, "bits is 12"),
        ({"photometric": "YBR_RCT"}, "photometric is YBR_RCT"),
        ({"photometric": "RGB", "samples": 1}, "photometric is RGB"),
        ({"signed": True}, "signed values"),
        ({"transfer_syntax": UID, "bits": 12, "bits_allocated": 8}, "bits_allocated is 8"),
        ({"transfer_syntax": UID, "bits": 12, "photometric": "YBR_FULL"}, "needs 8 bits"),
        ({"planar_configuration": 1}, "planar_configuration is 1"),
        ({"transfer_syntax": UID + ".4.80", "bits": 32, "samples": 1}, "bits is 32"),
    ],
    ids=str,
)
def test_what_cannot_be_encoded_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SlideOptions(**changes)
