"""Small pictures of slides."""

import numpy as np
import pydicom
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from dicomslide import Slide, open_slide
from dicomslide.errors import DicomSlideError
from dicomslide.testing import OpticalPath
from dicomslide.thumbnail import make_thumbnail

OPTIONS = {"size": (300, 400), "tile": (64, 64), "factors": (1, 2, 4)}


@pytest.fixture(scope="session")
def written(make_slide):
    return make_slide(**OPTIONS)


class TestSize:
    @settings(max_examples=20)
    @given(size=st.integers(1, 400))
    @example(size=1)
    def test_longer_side_is_as_asked_for_and_the_shape_is_kept(self, written, size):
        picture = make_thumbnail(open_slide(written.folder), size)
        assert picture.width == size
        assert abs(picture.height - max(size * 300 / 400, 1)) <= 0.5
        assert picture.mode == "RGB"

    def test_thumbnail_is_at_most_as_large_as_the_slide(self, written):
        assert make_thumbnail(open_slide(written.folder)).size == (400, 300)

    def test_long_and_narrow_slides_keep_at_least_one_pixel(self, make_slide):
        slide = open_slide(make_slide(size=(2, 400), tile=(16, 64)).folder)
        picture = make_thumbnail(slide, 10)
        assert (picture.size, picture.mode) == ((10, 1), "RGB")


class TestPixels:
    @pytest.mark.parametrize(("size", "level"), [(400, 0), (200, 1), (100, 2)])
    def test_thumbnail_of_the_size_of_a_level_has_its_pixels(self, written, size, level):
        picture = make_thumbnail(open_slide(written.folder), size)
        np.testing.assert_array_equal(np.asarray(picture), written.levels[level].pixels())

    def test_pixels_between_levels_are_averages(self, written):
        picture = np.asarray(make_thumbnail(open_slide(written.folder), 50)).astype(float)
        blocks = written.levels[2].pixels()[:74, :100].reshape(37, 2, 50, 2, 3).mean(axis=(1, 3))
        # 75 rows are reduced to 38 (37.5): rows shift by less than one
        assert np.abs(picture[:37] - blocks).mean() < 6

    @pytest.mark.parametrize(("size", "level"), [(400, 0), (201, 0), (200, 1), (60, 2), (1, 2)])
    def test_smallest_level_that_is_large_enough_is_read_once(
        self, written, open_all_counted, size, level
    ):
        client, datasets = open_all_counted(written.paths)
        make_thumbnail(Slide(client, datasets), size)
        frames = sorted(frame for request in client.requests for frame in request)
        assert frames == list(range(len(written.levels[level].frames)))


class TestChannels:
    def test_grey_values_are_stretched(self, make_slide):
        written = make_slide(**OPTIONS | {"samples": 1, "bits": 16})
        picture = make_thumbnail(open_slide(written.folder), 400)
        assert (picture.mode, picture.size) == ("L", (400, 300))
        pixels = written.levels[0].pixels()[..., 0].astype(float)
        low, high = np.percentile(pixels, (0.5, 99.5))
        expected = np.rint(((pixels - low) / (high - low)).clip(0, 1) * 255)
        np.testing.assert_allclose(np.asarray(picture), expected, atol=1)

    def test_eight_bits_stay_as_they_are(self, make_slide):
        written = make_slide(**OPTIONS | {"samples": 1})
        picture = make_thumbnail(open_slide(written.folder), 400)
        np.testing.assert_array_equal(np.asarray(picture), written.levels[0].pixels()[..., 0])

    @pytest.mark.parametrize("bits", [8, 16])
    def test_monochrome1_is_shown_with_low_values_bright(self, make_slide, bits):
        options = OPTIONS | {"samples": 1, "bits": bits}
        low_is_bright, low_is_dark = (
            np.asarray(
                make_thumbnail(open_slide(make_slide(**options, photometric=name).folder), 400)
            )
            for name in ("MONOCHROME1", "MONOCHROME2")
        )
        np.testing.assert_array_equal(low_is_bright, 255 - low_is_dark)

    def test_channel_is_chosen(self, make_slide):
        paths = (OpticalPath("a"), OpticalPath("b"))
        written = make_slide(**OPTIONS | {"samples": 1, "optical_paths": paths})
        picture = make_thumbnail(open_slide(written.folder), 400, channel_index=1)
        np.testing.assert_array_equal(np.asarray(picture), written.levels[0].pixels(1)[..., 0])

    def test_segments_are_black_and_white(self, make_slide):
        written = make_slide(**OPTIONS, segmentations=("BINARY",))
        picture = make_thumbnail(open_slide(written.folder), 400, channel_index=2)
        expected = written.segmentations[0].mask(0, 2) * 255
        np.testing.assert_array_equal(np.asarray(picture), expected)

    def test_image_of_one_value_is_shown(self, make_slide, tmp_path):
        dataset = pydicom.dcmread(make_slide(samples=1, bits=16).paths[0])
        dataset.PixelData = b"\x07\x03" * (len(dataset.PixelData) // 2)
        dataset.save_as(tmp_path / "even.dcm")
        picture = np.asarray(make_thumbnail(open_slide(tmp_path), 90))
        assert (picture == picture[0, 0]).all()


class TestFocalPlanes:
    OPTIONS = OPTIONS | {"samples": 1, "focal_planes": 5}

    @pytest.mark.parametrize(("wanted", "plane"), [(None, 2), (0, 0), (4, 4)])
    def test_middle_one_is_shown_unless_another_is_asked_for(self, make_slide, wanted, plane):
        written = make_slide(**self.OPTIONS)
        picture = make_thumbnail(open_slide(written.folder), 400, focal_plane_index=wanted)
        np.testing.assert_array_equal(
            np.asarray(picture), written.levels[0].pixels(0, plane)[..., 0]
        )

    @pytest.mark.parametrize(
        ("photometric", "brightest"), [("MONOCHROME2", np.max), ("MONOCHROME1", np.min)]
    )
    def test_projection_shows_the_brightest_of_all(self, make_slide, photometric, brightest):
        written = make_slide(**self.OPTIONS, photometric=photometric)
        picture = make_thumbnail(open_slide(written.folder), 400, max_projection=True)
        stack = np.array([written.levels[0].pixels(0, plane)[..., 0] for plane in range(5)])
        expected = brightest(stack, axis=0)
        if photometric == "MONOCHROME1":
            expected = 255 - expected
        np.testing.assert_array_equal(np.asarray(picture), expected)

    def test_unknown_focal_plane_is_an_error(self, make_slide):
        with pytest.raises(ValueError, match="focal_plane_index"):
            make_thumbnail(open_slide(make_slide(**self.OPTIONS).folder), focal_plane_index=5)


class TestComposite:
    def test_channels_of_colours_are_not_added(self, make_slide):
        slide = open_slide(make_slide(**OPTIONS | {"optical_paths": 2}).folder)
        with pytest.raises(ValueError, match="channel_index: only channels of one sample"):
            make_thumbnail(slide, channel_index=[0, 1])
        assert make_thumbnail(slide, 100).mode == "RGB"

    def test_eight_bits_are_stretched_where_channels_are_added(self, make_slide):
        paths = OpticalPath("a", "Red"), OpticalPath("b", "Blue")
        written = make_slide(**OPTIONS | {"samples": 1, "optical_paths": paths})
        picture = np.asarray(make_thumbnail(open_slide(written.folder), 400))
        for sample, path in ((0, 0), (2, 1)):
            pixels = written.levels[0].pixels(path)[..., 0].astype(float)
            low, high = np.percentile(pixels, (0.5, 99.5))
            expected = np.rint(((pixels - low) / (high - low)).clip(0, 1) * 255)
            np.testing.assert_allclose(picture[..., sample], expected, atol=1)
        assert not picture[..., 1].any()

    def test_empty_choice_of_channels_is_an_error(self, make_slide):
        with pytest.raises(ValueError, match="channel_index"):
            make_thumbnail(open_slide(make_slide(samples=1).folder), channel_index=[])


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "error", "name"),
        [
            ({"size": 0}, ValueError, "size"),
            ({"size": -3}, ValueError, "size"),
            ({"size": 10.5}, TypeError, "size"),
            ({"channel_index": 1}, ValueError, "channel_index"),
            ({"channel_index": "1"}, TypeError, "channel_index"),
        ],
    )
    def test_impossible_arguments_are_errors(self, written, arguments, error, name):
        with pytest.raises(error, match=name) as caught:
            make_thumbnail(open_slide(written.folder), **arguments)
        assert isinstance(caught.value, DicomSlideError)

    def test_slide_has_to_be_one(self):
        with pytest.raises(TypeError, match="slide"):
            make_thumbnail(Image.new("RGB", (3, 3)))


def test_channel_that_lacks_a_focal_plane_is_shown_in_the_next(make_slide):
    paths = make_slide(
        optical_paths=2, focal_planes=2, samples=1, optical_paths_in="each", focal_planes_in="each"
    ).paths
    lacking = [path for path in paths if path.name != "level-0-path-0-plane-0.dcm"]
    upper = [path for path in paths if "plane-1" in path.name]
    assert len(lacking) == len(paths) - 1
    np.testing.assert_array_equal(
        np.asarray(make_thumbnail(open_slide(lacking))),
        np.asarray(make_thumbnail(open_slide(upper))),
    )
