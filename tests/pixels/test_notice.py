"""Frames whose colours are not those that their data set states: one warning for each image."""

import pickle
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGBaseline8Bit

from dicomslide import open_slide
from dicomslide.pixels.codecs import find_contradiction

JPEG, LOSSLESS_JPEG, JPEG_LS, JPEG_2000, RLE = ".4.50", ".4.70", ".4.80", ".4.91", ".5"
TRANSFORMED = "RGB that is transformed within"


class TestContradictions:
    @pytest.fixture
    def streams(self, make_pixels, encode_with_pillow, encode_planes):
        rgb = make_pixels(samples=3)
        lossless = {"colorspace": "RGB", "outcolorspace": "RGB", "lossless": True}
        return {
            "JPEG of YCbCr": encode_with_pillow(rgb, "JPEG"),
            "JPEG of RGB": encode_with_pillow(rgb, "JPEG", keep_rgb=True),
            "lossless JPEG of RGB": bytes(imagecodecs.jpeg8_encode(rgb, **lossless)),
            "JPEG 2000 of RGB": encode_with_pillow(rgb, "JPEG2000", mct=0),
            "JPEG 2000, transformed": encode_with_pillow(rgb, "JPEG2000", mct=1),
            "JPEG 2000, subsampled": encode_planes(
                [rgb[..., 0], rgb[:, ::2, 1], rgb[:, ::2, 2]], (2, 1)
            ),
        }

    @pytest.mark.parametrize(
        ("stream", "syntax", "photometric", "expected"),
        [
            ("JPEG of YCbCr", JPEG, "RGB", "YCbCr"),
            ("JPEG of YCbCr", JPEG, "YBR_FULL", None),
            ("JPEG of YCbCr", JPEG, "YBR_FULL_422", None),
            ("JPEG of YCbCr", JPEG, "YBR_ICT", None),
            ("JPEG of YCbCr", "", "RGB", "YCbCr"),
            ("JPEG of RGB", JPEG, "RGB", None),
            ("JPEG of RGB", JPEG, "YBR_FULL_422", "RGB"),
            ("lossless JPEG of RGB", LOSSLESS_JPEG, "RGB", None),
            ("lossless JPEG of RGB", LOSSLESS_JPEG, "YBR_FULL", "RGB"),
            ("JPEG 2000 of RGB", JPEG_2000, "RGB", None),
            # Nothing but the data set tells these from RGB
            ("JPEG 2000 of RGB", JPEG_2000, "YBR_FULL", None),
            ("JPEG 2000 of RGB", JPEG_2000, "YBR_ICT", None),
            ("JPEG 2000 of RGB", JPEG_2000, "YBR_RCT", "RGB"),
            ("JPEG 2000, transformed", JPEG_2000, "YBR_RCT", None),
            ("JPEG 2000, transformed", JPEG_2000, "YBR_ICT", None),
            # They are the same pixels
            ("JPEG 2000, transformed", JPEG_2000, "RGB", None),
            ("JPEG 2000, transformed", JPEG_2000, "YBR_FULL", TRANSFORMED),
            ("JPEG 2000, transformed", JPEG_2000, "YBR_FULL_422", TRANSFORMED),
            ("JPEG 2000, transformed", "", "YBR_FULL_422", TRANSFORMED),
            ("JPEG 2000, subsampled", JPEG_2000, "YBR_FULL_422", None),
            ("JPEG 2000, subsampled", JPEG_2000, "YBR_ICT", None),
            ("JPEG 2000, subsampled", JPEG_2000, "RGB", "YCbCr"),
            ("JPEG 2000, subsampled", JPEG_2000, "YBR_RCT", "YCbCr"),
        ],
    )
    def test_contradictions_of_stream_and_data_set_are_found(
        self, streams, make_pixels, make_format, stream, syntax, photometric, expected
    ):
        pixel_format = make_format(make_pixels(samples=3), syntax, photometric)
        assert find_contradiction(streams[stream], pixel_format) == expected

    @pytest.mark.parametrize("syntax", [JPEG_LS, RLE, ".1"])
    @pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
    def test_stream_that_tells_nothing_contradicts_nothing(
        self, make_pixels, make_format, syntax, photometric
    ):
        pixel_format = make_format(make_pixels(samples=3), syntax, photometric)
        assert find_contradiction(b"", pixel_format) is None

    def test_stream_of_one_sample_contradicts_nothing(
        self, make_pixels, make_format, encode_with_pillow
    ):
        pixels = make_pixels()
        data = encode_with_pillow(pixels, "JPEG")
        assert find_contradiction(data, make_format(pixels, JPEG, "MONOCHROME1")) is None


class TestWarnings:
    @pytest.fixture
    def folder(self, make_slide, tmp_path):
        """A slide whose base level says that its YCbCr is RGB."""
        written = make_slide(
            size=(300, 400), tile=(32, 32), factors=(1, 2), transfer_syntax=JPEGBaseline8Bit
        )
        for path in written.paths:
            shutil.copy(path, tmp_path)
        path = tmp_path / written.paths[0].name
        dataset = pydicom.dcmread(path)
        dataset.PhotometricInterpretation = "RGB"
        dataset.save_as(path)
        return tmp_path

    @pytest.fixture
    def caught(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught

    def test_warning_names_the_image_and_both_statements(self, folder, caught):
        open_slide(folder).get_image_region((0, 0), 0, (1, 1))
        (warning,) = caught
        assert warning.category is UserWarning
        assert str(warning.message) == (
            f"{folder / 'level-0.dcm'}: Photometric Interpretation is RGB, but the frames hold "
            "YCbCr and are decoded as such"
        )

    def test_warning_is_given_once_however_the_image_is_read(self, folder, caught):
        slide = open_slide(folder)
        for level in (0, 1):
            slide.get_image_region((0, 0), level, (150, 200))
            slide.get_image_region((10, 10), level, (20, 20))
        matrix = slide.get_volume_images()[0].get_total_pixel_matrix()
        matrix.to_dask().compute(scheduler="threads")
        slide.to_datatree()["level_0/image"].compute()
        assert len(caught) == 1

    def test_warning_is_given_once_by_all_threads_together(self, folder, caught):
        slide = open_slide(folder)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: slide.get_image_region((0, 0), 0, (300, 400)), range(8)))
        assert len(caught) == 1

    def test_warning_is_given_once_by_all_arrays_that_were_pickled(self, folder, caught):
        matrix = open_slide(folder).get_volume_images()[0].get_total_pixel_matrix()
        data = pickle.dumps(matrix.to_dask())
        for _ in range(3):
            pickle.loads(data).compute()
        assert len(caught) == 1

    def test_warning_is_given_again_when_the_slide_is_opened_again(self, folder, caught):
        for _ in range(2):
            open_slide(folder, max_frame_cache_size=0).get_image_region((0, 0), 0, (10, 10))
        assert len(caught) == 2

    @pytest.mark.filterwarnings("ignore:.*Photometric Interpretation is RGB:UserWarning")
    def test_warning_does_not_change_the_pixels(self, folder, make_slide):
        same = make_slide(
            size=(300, 400), tile=(32, 32), factors=(1, 2), transfer_syntax=JPEGBaseline8Bit
        )
        found, expected = (
            open_slide(place, correct_color=False).get_image_region((0, 0), 0, (300, 400))
            for place in (folder, same.folder)
        )
        np.testing.assert_array_equal(found, expected)
