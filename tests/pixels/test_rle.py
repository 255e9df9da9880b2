"""Frames in RLE Lossless (PS3.5 Annex G)."""

import struct

import numpy as np
import pytest
from pydicom.pixels import get_encoder
from pydicom.uid import RLELossless

from dicomslide.errors import FrameError
from dicomslide.pixels.codecs import decode_frame

RLE = ".5"


def encode(pixels) -> bytes:
    """Encode each byte plane with pydicom, the most significant one of a sample first."""
    planes = pixels.astype(pixels.dtype.newbyteorder(">")).view(np.uint8)
    planes = planes.reshape(*pixels.shape[:2], -1)
    return join([encode_plane(plane)[64:] for plane in np.moveaxis(planes, 2, 0)])


def encode_plane(plane) -> bytes:
    return get_encoder(RLELossless).encode(
        np.ascontiguousarray(plane),
        rows=plane.shape[0],
        columns=plane.shape[1],
        samples_per_pixel=1,
        number_of_frames=1,
        bits_allocated=8,
        bits_stored=8,
        photometric_interpretation="MONOCHROME2",
        pixel_representation=0,
        encoding_plugin="pydicom",
    )


def join(segments: list[bytes]) -> bytes:
    """Put a header before segments (PS3.5 G.5)."""
    offsets = [64 + sum(map(len, segments[:i])) for i in range(len(segments))]
    header = struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments)))
    return header + b"".join(segments)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("signed", [False, True])
def test_integers_are_kept(make_pixels, make_format, samples, bits, signed):
    pixels = make_pixels(samples=samples, bits=bits, signed=signed)
    decoded = decode_frame(encode(pixels), make_format(pixels, RLE))
    assert decoded.dtype == pixels.dtype
    np.testing.assert_array_equal(decoded, pixels.reshape(48, 40, samples))


@pytest.mark.parametrize("planar", [0, 1])
def test_planes_of_colour_are_always_one_after_the_other(make_pixels, make_format, planar):
    pixels = make_pixels(samples=3)
    decoded = decode_frame(encode(pixels), make_format(pixels, RLE, PlanarConfiguration=planar))
    np.testing.assert_array_equal(decoded, pixels)


def test_bits_that_are_not_stored_are_cleared(make_format):
    stored = np.array([[0x0123, 0xF123]], np.uint16)
    decoded = decode_frame(encode(stored), make_format(stored, RLE, BitsStored=12))
    assert decoded.ravel().tolist() == [0x123, 0x123]


def test_ybr_full_is_converted(make_pixels, make_format, rgb_to_ybr):
    rgb = make_pixels(samples=3)
    decoded = decode_frame(encode(rgb_to_ybr(rgb)), make_format(rgb, RLE, "YBR_FULL"))
    np.testing.assert_allclose(decoded.astype(int), rgb, atol=2)


def test_runs_of_an_example_are_expanded(make_format):
    """A literal run of three bytes, nothing, and a run of five (PS3.5 G.3.1)."""
    data = join([bytes([2, 7, 8, 9, 128, 256 - 4, 5])])
    decoded = decode_frame(data, make_format(np.empty((2, 4), np.uint8), RLE))
    assert decoded.ravel().tolist() == [7, 8, 9, 5, 5, 5, 5, 5]


def test_frame_that_is_cut_off_anywhere_is_an_error(make_pixels, make_format):
    pixels = make_pixels(bits=16)
    data, pixel_format = encode(pixels), make_format(pixels, RLE)
    for size in [*range(0, len(data), 61), len(data) - 2]:
        with pytest.raises(FrameError):
            decode_frame(data[:size], pixel_format)


@pytest.mark.parametrize(
    "data",
    [
        join([b"\xff\x00"]),
        join([b"\x00\x01"] * 3),
        join([b"\x81\0" * 2**20] * 2),
        join([b"\x81\0" * 15] * 2)[:4] + b"\xff\xff\xff\xff" + bytes(200),
        struct.pack("<16I", 2, 64, 40, *[0] * 13) + bytes(100),
        struct.pack("<16I", 2, 0, 0, *[0] * 13) + bytes(100),
        struct.pack("<16I", 2**31, *[64] * 15),
    ],
    ids=["few", "many", "long", "far", "back", "header", "count"],
)
def test_segments_must_be_those_of_a_frame(make_pixels, make_format, data):
    with pytest.raises(FrameError):
        decode_frame(data, make_format(make_pixels(bits=16), RLE))


def test_whole_bytes_are_needed(make_format):
    with pytest.raises(FrameError, match="Bits Allocated is 1"):
        decode_frame(join([b"\0\0"]), make_format(np.empty((8, 8), bool), RLE))
