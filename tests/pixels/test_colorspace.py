"""YBR_FULL to RGB (PS3.3 C.7.6.3.1.2)."""

import numpy as np
import pytest

from dicomslide.pixels.colorspace import ybr_to_rgb


def exact(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Invert the matrix of the standard."""
    matrix = np.array(
        [
            [0.2990, 0.5870, 0.1140],
            [-0.299 / 1.772, -0.587 / 1.772, 0.5],
            [0.5, -0.587 / 1.402, -0.114 / 1.402],
        ]
    )
    half = 2.0 ** (bits - 1)
    rgb = (pixels - (0, half, half)) @ np.linalg.inv(matrix).T
    return rgb.clip(0, 2**bits - 1)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_converted_value_is_the_nearest_one(bits):
    dtype = np.uint8 if bits == 8 else np.uint16
    pixels = np.random.default_rng(0).integers(0, 2**bits, (500, 500, 3)).astype(dtype)
    pixels[0, :8] = np.array(np.meshgrid(*[[0, 2**bits - 1]] * 3)).reshape(3, 8).T
    rgb = ybr_to_rgb(pixels, bits)
    assert rgb.dtype == dtype
    # Half of a step, and the precision of the numbers of 32 bits that are used
    np.testing.assert_allclose(rgb, exact(pixels, bits), rtol=0, atol=0.5 + 2e-4)


@pytest.mark.parametrize(
    ("ybr", "rgb"),
    [
        ((0, 128, 128), (0, 0, 0)),
        ((255, 128, 128), (255, 255, 255)),
        ((76, 85, 255), (254, 0, 0)),
        ((150, 44, 21), (0, 255, 1)),
        ((29, 255, 107), (0, 0, 254)),
    ],
    ids=["black", "white", "red", "green", "blue"],
)
def test_known_colours_of_ycbcr_are_those_of_rgb(ybr, rgb):
    """The YCbCr of pure colours, rounded, as in the JFIF specification."""
    decoded = ybr_to_rgb(np.array([[ybr]], np.uint8), 8)
    np.testing.assert_allclose(decoded[0, 0].astype(int), rgb, atol=1)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_grey_stays_grey(bits):
    levels = np.arange(2**bits, dtype=np.uint16 if bits > 8 else np.uint8)
    half = np.full_like(levels, 2 ** (bits - 1))
    rgb = ybr_to_rgb(np.stack([levels, half, half], axis=-1)[np.newaxis], bits)
    np.testing.assert_array_equal(rgb[0], np.stack([levels] * 3, axis=-1))
