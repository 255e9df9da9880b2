from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from dicomslide.testing import make_srgb_profile, make_wide_gamut_profile


def _convert(profile: bytes, color: tuple[int, int, int]) -> tuple[int, ...]:
    transform = ImageCms.buildTransform(
        io.BytesIO(profile), ImageCms.createProfile("sRGB"), "RGB", "RGB"
    )
    image = Image.new("RGB", (1, 1), color)
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    return tuple(int(value) for value in np.asarray(converted)[0, 0])


@pytest.mark.parametrize("color", [(0, 0, 0), (200, 120, 160), (255, 255, 255)])
def test_the_srgb_profile_keeps_srgb_colours(color: tuple[int, int, int]) -> None:
    assert _convert(make_srgb_profile(), color) == pytest.approx(color, abs=1)


def test_the_wide_gamut_profile_changes_colours() -> None:
    converted = _convert(make_wide_gamut_profile(), (200, 120, 160))
    assert max(abs(a - b) for a, b in zip(converted, (200, 120, 160), strict=True)) > 10


def test_the_wide_gamut_profile_keeps_white_white_and_grey_grey() -> None:
    assert _convert(make_wide_gamut_profile(), (255, 255, 255)) == pytest.approx((255,) * 3, abs=1)
    # (128 / 255) ** 1.8 is linear light, which the curve of sRGB (IEC 61966-2-1) encodes.
    linear = (128 / 255) ** 1.8
    encoded = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    assert _convert(make_wide_gamut_profile(), (128,) * 3) == pytest.approx((encoded,) * 3, abs=2)


def test_profiles_are_display_profiles_of_rgb_with_their_own_length() -> None:
    for profile in (make_srgb_profile(), make_wide_gamut_profile()):
        assert int.from_bytes(profile[:4], "big") == len(profile)
        assert profile[12:24] == b"mntrRGB XYZ "
        assert profile[36:40] == b"acsp"
        assert profile[24:36] == bytes.fromhex("07ea00010001000000000000")
