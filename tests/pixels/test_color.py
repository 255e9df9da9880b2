"""Colour correction: the result is that of LittleCMS, to the pixel."""

import io
import os
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms
from pydicom.dataset import Dataset

from dicomslide import open_slide
from dicomslide.bounds import Recent
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

    @pytest.mark.parametrize(
        "shape", [(1, 1), (1, 2), (3, 5), (1, 70_000), (70_000, 1), (300, 501)]
    )
    def test_samples_are_in_their_places_whatever_the_shape(self, shape):
        profile, pixels = make_wide_gamut_profile(), random_pixels(*shape)
        around = np.full((shape[0] + 2, shape[1] + 2, 3), 7, np.uint8)
        ColorTransform(profile)(pixels, out=around[1:-1, 1:-1])
        expected = np.full_like(around, 7)
        expected[1:-1, 1:-1] = correct_with_pillow(pixels, profile)
        np.testing.assert_array_equal(around, expected)

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

    def test_colours_like_those_that_were_seen_are_known(self, monkeypatch):
        profile, pixels = make_wide_gamut_profile(3.1), random_pixels(2, 3)
        ColorTransform(profile)(pixels)
        like = pixels ^ np.random.default_rng(1).integers(0, 16, pixels.shape, np.uint8)
        expected = correct_with_pillow(like, profile)
        monkeypatch.setattr(color.ImageCms, "applyTransform", None)
        np.testing.assert_array_equal(ColorTransform(profile)(like), expected)

    def test_black_and_white_are_kept(self):
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

    def test_no_pixels_can_be_transformed(self):
        pixels = np.empty((0, 5, 3), np.uint8)
        assert ColorTransform(make_srgb_profile())(pixels).shape == (0, 5, 3)

    def test_transform_may_be_used_from_many_threads(self):
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


class TestProfileThatChangesNoColour:
    """Pixels are only copied once all colours were seen to stay."""

    @pytest.fixture(autouse=True)
    def found_out_soon(self, monkeypatch):
        """Nothing is known yet, and it is with the fourth of these images."""
        monkeypatch.setattr(color, "_unchanging", set())
        monkeypatch.setattr(color, "_colors", Recent("colors"))
        monkeypatch.setattr(color, "_TESTED", 2**22)
        monkeypatch.setattr(color, "_PIXELS", 2**15)

    def read(self, profile, count, shape=(128, 256)):
        """Correct as many images of 2^15 pixels, which stay as they are."""
        for seed in range(count):
            pixels = random_pixels(*shape, seed=seed)
            np.testing.assert_array_equal(ColorTransform(profile)(pixels), pixels)

    def test_profile_that_changes_no_colour_is_known_after_enough_pixels(self):
        profile = make_srgb_profile()
        self.read(profile, 3)
        assert (color._unchanging, len(color._colors)) == (set(), 1)
        self.read(profile, 1)
        assert (color._unchanging, len(color._colors)) == ({profile}, 0)
        self.read(profile, 2)
        assert len(color._colors) == 0

    def test_pixels_of_large_and_small_images_count(self):
        profile = make_srgb_profile()
        self.read(profile, 1, (256, 256))
        self.read(profile, 64, (32, 32))
        assert profile in color._unchanging

    def test_profile_that_changes_no_colour_is_known_within_an_image(self):
        pixels, part = random_pixels(600, 512), np.zeros((1300, 600, 3), np.uint8)
        out = part[100:1300:2, 50:562]
        assert ColorTransform(make_srgb_profile())(pixels, out=out) is out
        np.testing.assert_array_equal(out, pixels)
        assert make_srgb_profile() in color._unchanging

    def test_one_colour_that_changes_is_enough(self):
        # The white of the profile stays, whatever becomes of the other colours
        profile, white = make_wide_gamut_profile(), np.full((128, 256, 3), 255, np.uint8)
        for _ in range(8):
            np.testing.assert_array_equal(ColorTransform(profile)(white), white)
        assert color._unchanging == set()
        pixels = random_pixels()
        corrected = ColorTransform(profile)(pixels)
        np.testing.assert_array_equal(corrected, correct_with_pillow(pixels, profile))

    def test_threads_find_it_out_together(self):
        profile, tiles = make_srgb_profile(), [random_pixels(128, 256, seed=s) for s in range(16)]
        with ThreadPoolExecutor(8) as executor:
            corrected = list(executor.map(ColorTransform(profile), tiles))
        np.testing.assert_array_equal(corrected, tiles)
        assert profile in color._unchanging

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_forked_process_knows_it(self):
        profile = make_srgb_profile()
        self.read(profile, 4)
        child = os.fork()
        if not child:
            os._exit(0 if profile in color._unchanging else 1)
        assert os.waitpid(child, 0)[1] == 0


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

    def test_each_optical_path_has_its_own_profile(self):
        image = self.image(b"first", None, b"third")
        assert [icc_profile(image, path) for path in range(3)] == [b"first", None, b"third"]

    def test_image_may_have_one_profile_for_all_optical_paths(self):
        image = self.image(None, b"second")
        image.ICCProfile = b"all"
        assert [icc_profile(image, path) for path in range(2)] == [b"all", b"second"]

    def test_image_may_have_no_profile(self):
        assert icc_profile(Dataset()) is None
        assert color_transform(None, "image") is None

    def test_good_profile_is_used(self):
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
    def test_colours_of_a_slide_are_corrected_or_as_stored(self, make_slide, correct_color):
        profile = make_wide_gamut_profile()
        slide = make_slide(icc_profile=profile)
        stored = slide.levels[0].pixels()
        expected = correct_with_pillow(stored, profile) if correct_color else stored
        (image,) = open_slide(slide.paths[0], correct_color=correct_color).get_volume_images()
        np.testing.assert_array_equal(image.get_total_pixel_matrix()[...], expected)
