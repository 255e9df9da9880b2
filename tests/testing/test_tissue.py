from __future__ import annotations

import numpy as np
import pytest

from dicomslide.testing import paint, stain

BASE = (700, 900)


@pytest.mark.parametrize("factor", [1, 1.37, 2, 3.7, 16])
@pytest.mark.parametrize("samples", [1, 3])
def test_a_region_equals_that_part_of_a_larger_region(factor: float, samples: int) -> None:
    whole = paint((0, 0), (43, 56), factor, base_size=BASE, samples=samples)
    part = paint((17, 5), (20, 31), factor, base_size=BASE, samples=samples)
    np.testing.assert_array_equal(part, whole[17:37, 5:36])


def test_a_region_equals_that_part_of_the_whole_across_the_borders_of_the_pattern() -> None:
    size = (2600, 1300)
    whole = paint((0, 0), size, base_size=size, seed=3)
    for row, column in ((0, 0), (960, 980), (1100, 600), (2500, 1200)):
        part = paint((row, column), (100, 100), base_size=size, seed=3)
        np.testing.assert_array_equal(part, whole[row : row + 100, column : column + 100])


def test_pixels_of_a_reduced_level_are_means_of_base_pixels() -> None:
    haematoxylin, eosin = stain((100, 200), (256, 256), base_size=BASE)
    reduced = stain((25, 50), (64, 64), 4, base_size=BASE)
    for base, level in zip((haematoxylin, eosin), reduced, strict=True):
        means = base.reshape(64, 4, 64, 4).mean(axis=(1, 3))
        # Pixels at the edges of the tissue belong to one side of it or the other.
        close = np.abs(means - level) <= 1.5
        assert close.mean() > 0.97


def test_glass_is_bright_and_tissue_is_stained() -> None:
    pixels = paint((0, 0), (70, 90), 10, base_size=BASE).astype(int)
    assert pixels[:4, :4].min() > 235
    tissue = pixels[20:50, 25:60]
    assert tissue.mean() < 215
    # Haematoxylin and eosin absorb green most.
    assert tissue[..., 1].mean() < tissue[..., 0].mean()
    assert tissue[..., 1].mean() < tissue[..., 2].mean()


def test_fluorescence_is_bright_on_dark() -> None:
    nuclei = paint((0, 0), (70, 90), 10, base_size=BASE, samples=1)
    assert nuclei[:4, :4].max() < 10
    assert nuclei.max() > 60


@pytest.mark.parametrize("samples", [1, 3])
def test_optical_paths_and_focal_planes_differ(samples: int) -> None:
    images = [
        paint((200, 300), (64, 64), base_size=BASE, samples=samples, optical_path=i, focal_plane=j)
        for i in range(5)
        for j in range(3)
    ]
    for i, one in enumerate(images):
        for other in images[:i]:
            assert (one != other).any(axis=-1).mean() > 0.2


def test_focal_planes_lose_sharpness() -> None:
    def sharpness(plane: int) -> float:
        pixels = paint((200, 300), (200, 200), base_size=BASE, focal_plane=plane).astype(float)
        return float(np.abs(np.diff(pixels[..., 1])).mean())

    assert sharpness(0) > 1.5 * sharpness(1) > 2 * sharpness(3)


def test_the_seed_changes_the_tissue() -> None:
    one, same, other = (paint((0, 0), (70, 90), 10, base_size=BASE, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any(axis=-1).mean() > 0.3


@pytest.mark.parametrize(
    ("bits", "signed", "dtype"),
    [(8, False, "u1"), (10, False, "u2"), (12, True, "i2"), (16, False, "u2"), (32, False, "u4")],
)
def test_values_use_the_range_of_their_bits(bits: int, signed: bool, dtype: str) -> None:
    pixels = paint((100, 100), (400, 400), base_size=BASE, samples=1, bits=bits, signed=signed)
    assert pixels.dtype == dtype
    assert pixels.shape == (400, 400, 1)
    low = -(2 ** (bits - 1)) if signed else 0
    assert low <= pixels.min() < low + 2**bits // 10
    assert low + 2**bits // 2 < pixels.max() < low + 2**bits
    if bits > 8:
        # The low bits are used, so that a reader that drops them is noticed.
        assert len(np.unique(pixels % 16)) == 16


def test_an_empty_region_is_empty() -> None:
    assert paint((0, 0), (0, 5)).shape == (0, 5, 3)
    assert paint((3, 3), (5, 0)).shape == (5, 0, 3)


@pytest.mark.parametrize(
    "arguments", [{"factor": 0.5}, {"samples": 2}, {"bits": 0}, {"bits": 33}], ids=str
)
def test_impossible_arguments_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        paint((0, 0), (4, 4), **arguments)  # type: ignore[arg-type]
