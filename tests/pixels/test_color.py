"""Colour correction: the result is that of LittleCMS, to the pixel."""

import io
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms
from pydicom.dataset import Dataset

from dicomslide import open_slide
from dicomslide.pixels import color
from dicomslide.pixels.color import ColorTransform, color_transform, icc_profile
from dicomslide.testing import make_srgb_profile, make_wide_gamut_profile


def correct_with_pillow(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    transform = ImageCms.buildTransform(
        io.BytesIO(profile), ImageCms.createProfile("sRGB"), "RGB", "RGB"
    )
    return np.asarray(ImageCms.applyTransform(Image.fromarray(pixels), transform))


def random_pixels(rows=100, columns=80, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), np.uint8)


class TestTransform:
    @pytest.mark.parametrize(
        "profile",
        [make_srgb_profile(), make_wide_gamut_profile(), make_wide_gamut_profile(2.2)],
        ids=["sRGB", "wide gamut", "wide gamut 2.2"],
    )
    def test_pixels_are_those_of_littlecms(self, profile):
        transform = ColorTransform(profile)
        for seed in range(3):
            pixels = random_pixels(seed=seed)
            for part in (pixels, pixels[::-1], pixels[3:50:2, 7:9], pixels[:1, :1]):
                corrected = transform(part)
                assert (corrected.shape, corrected.dtype) == (part.shape, np.uint8)
                expected = correct_with_pillow(np.ascontiguousarray(part), profile)
                np.testing.assert_array_equal(corrected, expected)

    def test_colours_that_were_seen_before_are_the_same(self):
        transform, pixels = ColorTransform(make_wide_gamut_profile()), random_pixels(seed=9)
        np.testing.assert_array_equal(transform(pixels), transform(pixels))

    def test_memory_that_could_not_be_had_can_be_had_later(self, monkeypatch):
        transform, pixels = ColorTransform(make_wide_gamut_profile()), random_pixels()

        def correct():
            # A new thread has no memory yet
            with ThreadPoolExecutor(1) as pool:
                with monkeypatch.context() as patch:
                    patch.setattr(color.np, "empty", fail_once)
                    with pytest.raises(MemoryError):
                        pool.submit(transform, pixels, np.zeros_like(pixels)).result()
                return pool.submit(transform, pixels).result()

        calls = []

        def fail_once(*arguments):
            calls.append(arguments)
            raise MemoryError

        np.testing.assert_array_equal(correct(), transform(pixels))
        assert len(calls) == 1

    def test_black_and_white(self):
        """Code 0 is a colour like any other."""
        pixels = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
        transform = ColorTransform(make_srgb_profile())
        for _ in range(2):
            np.testing.assert_array_equal(transform(pixels), pixels)

    def test_pixels_are_not_changed_in_place(self):
        pixels = random_pixels()
        before = pixels.copy()
        pixels.flags.writeable = False
        ColorTransform(make_wide_gamut_profile())(pixels)
        np.testing.assert_array_equal(pixels, before)

    def test_no_pixels(self):
        pixels = np.empty((0, 5, 3), np.uint8)
        assert ColorTransform(make_srgb_profile())(pixels).shape == (0, 5, 3)

    def test_may_be_used_from_many_threads(self):
        profile = make_wide_gamut_profile(1.9)
        # Many of the colours are met by several threads for the first time
        tiles = [random_pixels(seed=seed) // 16 * 16 for seed in range(40)]
        with ThreadPoolExecutor(8) as executor:
            corrected = list(executor.map(ColorTransform(profile), tiles))
        for tile, result in zip(tiles, corrected, strict=True):
            np.testing.assert_array_equal(result, correct_with_pillow(tile, profile))

    def test_only_the_profile_is_pickled(self):
        profile = make_wide_gamut_profile()
        transform = ColorTransform(profile)
        transform(random_pixels())
        pickled = pickle.dumps(transform)
        assert len(pickled) < len(profile) + 200
        assert pickle.loads(pickled) == transform


class TestProfile:
    def image(self, *profiles: bytes | None) -> Dataset:
        """An image with one optical path for each profile."""
        image = Dataset()
        image.OpticalPathSequence = [Dataset() for _ in profiles]
        for item, profile in zip(image.OpticalPathSequence, profiles, strict=True):
            item.OpticalPathIdentifier = "1"
            if profile is not None:
                item.ICCProfile = profile
        return image

    def test_each_optical_path_has_its_own(self):
        image = self.image(b"first", None, b"third")
        assert [icc_profile(image, path) for path in range(3)] == [b"first", None, b"third"]

    def test_image_may_have_one_for_all(self):
        image = self.image(None, b"second")
        image.ICCProfile = b"all"
        assert [icc_profile(image, path) for path in range(2)] == [b"all", b"second"]

    def test_there_may_be_none(self):
        assert icc_profile(Dataset()) is None
        assert color_transform(None, "image") is None

    def test_good_profile(self):
        transform = color_transform(make_srgb_profile(), "image")
        assert transform == ColorTransform(make_srgb_profile())

    @pytest.mark.parametrize(
        "profile",
        [
            b"garbage",
            make_srgb_profile()[:200],
            ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
        ],
        ids=["garbage", "cut off", "not RGB"],
    )
    def test_broken_profile_is_told_once_and_left_aside(self, profile):
        # A byte more makes it another one for each run
        profile += np.random.default_rng().bytes(8)
        with pytest.warns(UserWarning, match=r"image 1: colours stay uncorrected.*ICC profile"):
            assert color_transform(profile, "image 1") is None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert color_transform(profile, "image 2") is None


class TestSlide:
    @pytest.mark.parametrize("correct_color", [True, False])
    def test_corrected_or_as_stored(self, make_slide, correct_color):
        profile = make_wide_gamut_profile()
        slide = make_slide(icc_profile=profile)
        stored = slide.levels[0].pixels()
        expected = correct_with_pillow(stored, profile) if correct_color else stored
        (image,) = open_slide(slide.paths[0], correct_color=correct_color).get_volume_images()
        np.testing.assert_array_equal(image.get_total_pixel_matrix()[...], expected)
