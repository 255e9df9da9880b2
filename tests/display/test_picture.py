"""Arrays as red, green and blue: colours, windows, and light that adds up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from dicomslide import open_slide
from dicomslide.display.composite import light_of, mix_light
from dicomslide.display.overlay import lay_over
from dicomslide.testing import OpticalPath

DTYPES = [np.uint8, np.uint16, np.int16, np.uint32, np.float32]
COLORS = st.text("0123456789ABCDEF", min_size=6, max_size=6)


class TestLight:
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_light_runs_from_black_to_white_along_the_window(self, dtype):
        values = np.array([0, 20, 70, 120, 127], dtype)
        assert light_of(values, (20, 120)).tolist() == [0, 0, 128, 255, 255]
        assert light_of(values, (20, 120), is_inverted=True).tolist() == [255, 255, 128, 0, 0]

    def test_unknown_values_are_dark(self):
        assert light_of(np.array([np.nan, 5.0]), (0, 5)).tolist() == [0, 255]

    def test_window_without_extent_is_a_threshold(self):
        assert light_of(np.array([2, 3, 4], np.uint8), (3, 3)).tolist() == [0, 0, 255]


class TestMix:
    @given(npst.arrays(np.uint8, (4, 5, 3)), st.lists(COLORS, min_size=3, max_size=3))
    def test_mixture_is_the_sum_of_light_times_colour(self, lights, colors):
        mixed = mix_light(list(np.moveaxis(lights, -1, 0)), colors)
        parts = np.array([[int(c[k : k + 2], 16) for k in (0, 2, 4)] for c in colors]) / 255
        expected = np.minimum(lights @ parts, 255)
        # Half of a step either way, and noise of single precision
        assert np.abs(mixed - expected).max() <= 0.5 + 1e-4

    def test_one_white_channel_is_grey(self):
        light = np.arange(256, dtype=np.uint8)
        assert (mix_light([light], ["FFFFFF"]) == light[:, np.newaxis]).all()


class TestOverlay:
    @given(npst.arrays(np.uint8, (3, 4, 3)), st.floats(0, 1), COLORS)
    def test_overlay_is_between_picture_and_colour(self, picture, opacity, color):
        over = [int(color[k : k + 2], 16) for k in (0, 2, 4)]
        mask = np.array([[True, False, True, False]] * 3)
        laid = lay_over(picture, mask, color, opacity)
        assert (laid[~mask] == picture[~mask]).all()
        expected = picture[mask] + opacity * (np.array(over) - picture[mask].astype(float))
        assert np.abs(laid[mask] - expected).max() <= 0.5 + 1e-3

    def test_parts_cover_in_proportion_and_nan_nothing(self):
        picture = np.zeros((1, 3, 3), np.uint8)
        laid = lay_over(picture, np.array([[np.nan, 0.5, 1.0]]), "FF0000", 1)
        assert laid[0, :, 0].tolist() == [0, 128, 255]


def fluorescence(make_slide, **options):
    paths = (OpticalPath("1", "DAPI", 385.0), OpticalPath("2", "FITC", 475.0))
    return open_slide(make_slide(samples=1, optical_paths=paths, **options).folder)


class TestToRgb:
    @pytest.mark.parametrize("chunks", ["frames", None])
    def test_colours_stay_as_they_are(self, make_slide, chunks):
        tree = open_slide(make_slide(factors=(1, 2)).folder).to_datatree(chunks)
        rgb = tree.slide.to_rgb()
        for level in ("level_0", "level_1"):
            np.testing.assert_array_equal(rgb[level]["image"], tree[level]["image"][0])
        assert rgb["level_0/image"].dims == ("focal_plane", "y", "x", "sample")

    @pytest.mark.parametrize("chunks", ["frames", None])
    def test_channels_add_up_in_their_colours_and_windows(self, make_slide, chunks):
        level = fluorescence(make_slide).to_datatree(chunks)["level_0"].to_dataset()
        level = level.assign_coords(
            color=("channel", ["FF0000", "0080FF"]),
            window_start=("channel", [10.0, 0.0]),
            window_end=("channel", [110.0, 255.0]),
        )
        rgb = level.slide.to_rgb()[0]
        first, second = level.image[:, 0, :, :, 0].values.astype(float)
        light = np.around(((first - 10) / 100).clip(0, 1) * 255)
        np.testing.assert_array_equal(rgb.sel(sample="R"), light)
        np.testing.assert_array_equal(rgb.sel(sample="B"), second)
        assert np.abs(rgb.sel(sample="G") - second * 128 / 255).max() <= 0.5 + 1e-4
        assert rgb.dtype == np.uint8

    def test_lazy_arrays_stay_lazy(self, make_slide, monkeypatch):
        from dicomslide.pixels.array import FrameArray

        level = fluorescence(make_slide).to_datatree(None)["level_0"].to_dataset()
        level = level.assign_coords(
            window_start=("channel", [0.0, 0.0]), window_end=("channel", [255.0, 255.0])
        )
        with monkeypatch.context() as patch:
            patch.setattr(FrameArray, "read", None)
            rgb = level.slide.to_rgb()
        assert rgb.chunks is not None
        assert rgb.values.any()

    def test_windows_of_a_tree_are_those_of_its_smallest_level(self, make_slide):
        tree = fluorescence(make_slide, factors=(1, 2, 4)).to_datatree(None)
        ends = [
            np.quantile(tree["level_2"].image[k].values, q, method="nearest").item()
            for q in (0.001, 0.999)
            for k in range(2)
        ]
        stated = (
            tree["level_0"]
            .to_dataset()
            .assign_coords(
                window_start=("channel", np.array(ends[:2], float)),
                window_end=("channel", np.array(ends[2:], float)),
            )
        )
        found = tree.slide.to_rgb()["level_0/image"]
        np.testing.assert_array_equal(found, stated.slide.to_rgb())

    def test_level_that_is_too_large_for_choosing_a_window_is_an_error(
        self, make_slide, monkeypatch
    ):
        from dicomslide.display import picture

        monkeypatch.setattr(picture, "_MOST_PIXELS", 100)
        level = fluorescence(make_slide).to_datatree(None)["level_0"].to_dataset()
        with pytest.raises(ValueError, match="no window is stated for the channel 'DAPI'"):
            level.slide.to_rgb()

    def test_colour_of_16_bits_is_reduced_to_8(self, make_slide):
        from pydicom.uid import ExplicitVRLittleEndian

        written = make_slide(bits=16, transfer_syntax=ExplicitVRLittleEndian)
        image = open_slide(written.folder, correct_color=False).to_datatree()["level_0/image"]
        assert image.dtype == np.uint16
        expected = np.around(image[0].values / 65535 * 255)
        np.testing.assert_array_equal(image.slide.to_rgb(), expected)

    def test_channels_of_colours_are_not_added(self, make_slide):
        tree = open_slide(make_slide(optical_paths=2).folder).to_datatree()
        with pytest.raises(ValueError, match=r"channels of colours are not added: .*isel"):
            tree["level_0"].to_dataset().slide.to_rgb()
        one = tree["level_0/image"][1]
        np.testing.assert_array_equal(one.slide.to_rgb(), one)

    def test_other_arrays_are_errors(self, make_slide):
        tree = open_slide(make_slide().folder).to_datatree()
        with pytest.raises(ValueError, match="there is no image 'mask'"):
            tree["level_0/image"].isel(sample=0).rename("mask").slide.to_rgb()
