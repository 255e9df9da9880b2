"""The whole road: slides in every transfer syntax, from the file to the total pixel matrix."""

import numpy as np
import pytest

from dicomslide import open_slide
from dicomslide.pixels.codecs import supported_transfer_syntaxes

BASE = "1.2.840.10008.1.2"
NATIVE = ("", ".1", ".1.99", ".2")
LOSSLESS = (*NATIVE, ".5", ".8.1", ".4.57", ".4.70", ".4.80", ".4.90", ".4.201", ".4.202", ".4.110")
# Near-lossless JPEG-LS differs by 2 at most; the others by this much on the average
LOSSY = {
    ".4.50": ("RGB", "YBR_FULL", "YBR_FULL_422"),
    ".4.51": ("RGB", "YBR_FULL", "YBR_FULL_422"),
    ".4.91": ("RGB", "YBR_ICT"),
    ".4.203": ("RGB", "YBR_ICT"),
    ".4.111": ("RGB", "YBR_FULL", "YBR_FULL_422"),
    ".4.112": ("RGB", "XYB"),
    ".4.81": ("RGB",),
}
MEAN_DIFFERENCE = 3.5


@pytest.fixture
def read(make_slide):
    """Writes a slide, and reads its only level: what was written and what is read."""

    def read(ending: str, **options) -> tuple[np.ndarray, np.ndarray]:
        options = {"size": (75, 100), "tile": (48, 40)} | options
        slide = make_slide(transfer_syntax=BASE + ending, **options)
        expected = slide.levels[0].pixels()
        (image,) = open_slide(slide.paths[0], correct_color=False).get_volume_images()
        return expected, image.get_total_pixel_matrix()[...]

    return read


def test_every_transfer_syntax_is_tested():
    assert {BASE + ending for ending in (*LOSSLESS, *LOSSY)} == dict(
        supported_transfer_syntaxes()
    ).keys()


@pytest.mark.parametrize("ending", LOSSLESS)
@pytest.mark.parametrize(("samples", "bits"), [(3, 8), (3, 16), (1, 8), (1, 16)])
def test_lossless_slides_have_the_painted_pixels(read, ending, samples, bits):
    expected, pixels = read(ending, samples=samples, bits=bits)
    assert pixels.dtype == expected.dtype
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("ending", [*LOSSLESS, *LOSSY])
@pytest.mark.parametrize("samples", [1, 3])
def test_frames_that_are_not_kept_are_those_that_are(make_slide, ending, samples):
    """Frames that are not kept are decoded into memory that is used again."""
    slide = make_slide(
        size=(75, 100), tile=(48, 40), transfer_syntax=BASE + ending, samples=samples
    )
    kept, others = (
        open_slide(slide.paths[0], max_frame_cache_size=size).get_volume_images()[0]
        for size in (6, 0)
    )
    expected = kept.get_total_pixel_matrix()[...]
    np.testing.assert_array_equal(others.get_total_pixel_matrix()[...], expected)


@pytest.mark.parametrize("ending", [e for e in LOSSLESS if e not in (".4.201", ".4.202", ".4.110")])
def test_slides_of_12_bits_have_the_painted_pixels(read, ending):
    expected, pixels = read(ending, samples=1, bits=12)
    assert expected.max() > 255
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("ending", [*NATIVE, ".5", ".8.1", ".4.90"])
def test_signed_slides_have_the_painted_pixels(read, ending):
    expected, pixels = read(ending, samples=1, bits=16, signed=True)
    assert expected.min() < 0 < expected.max()
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("ending", [*NATIVE, ".5", ".8.1"])
def test_slides_of_32_bits_have_the_painted_pixels(read, ending):
    expected, pixels = read(ending, samples=1, bits=32)
    assert expected.max() > 2**31
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("ending", [*NATIVE, ".5"])
def test_colour_by_plane_has_the_painted_pixels(read, ending):
    expected, pixels = read(ending, planar_configuration=1)
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("ending", [*NATIVE, ".5", ".8.1"])
def test_ybr_full_has_nearly_the_painted_pixels(read, ending):
    expected, pixels = read(ending, photometric="YBR_FULL")
    np.testing.assert_allclose(pixels.astype(int), expected, atol=2)


@pytest.mark.parametrize("ending", [".4.90", ".4.201", ".4.202"])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_RCT"])
def test_reversible_colour_transform_has_the_painted_pixels(read, ending, photometric):
    expected, pixels = read(ending, photometric=photometric)
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize(
    ("ending", "photometric"), [(ending, p) for ending, ps in LOSSY.items() for p in ps]
)
@pytest.mark.parametrize("adobe_marker", [False, True])
def test_lossy_slides_have_nearly_the_painted_pixels(read, ending, photometric, adobe_marker):
    expected, pixels = read(ending, photometric=photometric, adobe_marker=adobe_marker, quality=95)
    assert np.abs(pixels.astype(int) - expected).mean() < MEAN_DIFFERENCE


def test_near_lossless_jpeg_ls_differs_by_two_at_most(read):
    expected, pixels = read(".4.81")
    assert 0 < np.abs(pixels.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_monochrome_is_as_stored(read, photometric):
    expected, pixels = read(".4.80", samples=1, photometric=photometric)
    np.testing.assert_array_equal(pixels, expected)
