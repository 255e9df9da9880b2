"""How the pixels of an image are stored (PS3.3 C.7.6.3)."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from dicomslide.errors import InvalidImageError
from dicomslide.metadata.pixel_format import read_pixel_format


def make_image(**attributes) -> Dataset:
    image = Dataset()
    image.SOPInstanceUID = "1.2.3"
    image.Rows, image.Columns = 16, 24
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 8
    image.PixelRepresentation = 0
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    return image


def make_color_image(photometric: str = "RGB", **attributes) -> Dataset:
    return make_image(
        SamplesPerPixel=3,
        PhotometricInterpretation=photometric,
        PlanarConfiguration=0,
        **attributes,
    )


def read(image: Dataset):
    return read_pixel_format(image, ExplicitVRLittleEndian)


class TestDataType:
    @pytest.mark.parametrize(
        ("bits", "signed", "expected"),
        [
            (1, 0, bool),
            (8, 0, np.uint8),
            (8, 1, np.int8),
            (16, 0, np.uint16),
            (16, 1, np.int16),
            (32, 0, np.uint32),
            (32, 1, np.int32),
        ],
    )
    def test_integers_have_the_bits_allocated(self, bits, signed, expected):
        image = make_image(BitsAllocated=bits, BitsStored=bits, PixelRepresentation=signed)
        assert read(image).dtype == expected

    def test_bits_stored_do_not_change_the_type(self):
        assert read(make_image(BitsAllocated=16, BitsStored=12)).dtype == np.uint16

    @pytest.mark.parametrize(
        ("bits", "keyword", "expected"),
        [(32, "FloatPixelData", np.float32), (64, "DoubleFloatPixelData", np.float64)],
    )
    def test_floats_have_their_own_pixel_data(self, bits, keyword, expected):
        image = make_image(BitsAllocated=bits, **{keyword: b""})
        del image.BitsStored
        assert read(image).dtype == expected

    @pytest.mark.parametrize(("bits", "expected"), [(32, np.float32), (64, np.float64)])
    def test_floats_are_told_without_their_pixel_data(self, bits, expected):
        """Bits Stored belongs to integers alone (PS3.3 C.7.6.3, C.7.6.24)."""
        image = make_image(BitsAllocated=bits)
        del image.BitsStored, image.PixelRepresentation
        assert read(image).dtype == expected


class TestShape:
    def test_monochrome_frame_has_one_sample(self):
        assert read(make_image()).shape == (16, 24, 1)

    @pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"])
    def test_color_frame_has_three_samples(self, photometric):
        assert read(make_color_image(photometric)).shape == (16, 24, 3)

    def test_samples_per_pixel_may_be_absent(self):
        image = make_image()
        del image.SamplesPerPixel
        assert read(image).shape == (16, 24, 1)


class TestBackground:
    @pytest.mark.parametrize(("bits", "white"), [(8, 255), (16, 65535)])
    def test_color_is_white(self, bits, white):
        assert read(make_color_image(BitsAllocated=bits, BitsStored=bits)).background == white

    def test_white_is_the_largest_value_that_the_stored_bits_hold(self):
        image = make_color_image(BitsAllocated=16, BitsStored=12)
        assert read(image).background == 2**12 - 1

    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    def test_monochrome_is_zero(self, photometric):
        assert read(make_image(PhotometricInterpretation=photometric)).background == 0


class TestFrameBits:
    @pytest.mark.parametrize(
        ("image", "bits_per_pixel"),
        [
            (make_image(BitsAllocated=1, BitsStored=1), 1),
            (make_image(), 8),
            (make_image(BitsAllocated=16, BitsStored=12), 16),
            (make_color_image(), 24),
            (make_color_image("YBR_FULL_422"), 16),
        ],
        ids=["one bit", "8 bits", "12 of 16 bits", "RGB", "4:2:2"],
    )
    def test_uncompressed_frame_has_the_bits_of_its_pixels(self, image, bits_per_pixel):
        assert read(image).frame_bits == 16 * 24 * bits_per_pixel


class TestTransferSyntax:
    def test_transfer_syntax_is_encapsulated_or_native(self):
        assert read_pixel_format(make_image(), JPEG2000Lossless).is_encapsulated
        assert not read_pixel_format(make_image(), ExplicitVRLittleEndian).is_encapsulated


class TestErrors:
    @pytest.mark.parametrize(
        "keyword", ["Rows", "Columns", "BitsAllocated", "PhotometricInterpretation"]
    )
    def test_missing_attribute_is_named(self, keyword):
        image = make_image()
        delattr(image, keyword)
        with pytest.raises(InvalidImageError, match=rf"1\.2\.3.*{keyword}"):
            read(image)

    @pytest.mark.parametrize(
        ("keyword", "value"),
        [
            ("Rows", 0),
            ("BitsStored", 9),
            ("PixelRepresentation", 2),
            ("PlanarConfiguration", 2),
            ("SamplesPerPixel", 5),
        ],
    )
    def test_impossible_value_is_named(self, keyword, value):
        with pytest.raises(InvalidImageError, match=rf"1\.2\.3.*{keyword} is {value}"):
            read(make_image(**{keyword: value}))

    @pytest.mark.parametrize("bits", [7, 12, 24, 64])
    def test_bits_allocated_must_be_those_of_a_type(self, bits):
        with pytest.raises(InvalidImageError, match=f"Bits Allocated is {bits}"):
            read(make_image(BitsAllocated=bits))

    @pytest.mark.parametrize(("photometric", "samples"), [("MONOCHROME2", 3), ("RGB", 1)])
    def test_samples_must_go_with_the_photometric_interpretation(self, photometric, samples):
        image = make_image(PhotometricInterpretation=photometric, SamplesPerPixel=samples)
        with pytest.raises(InvalidImageError, match=rf"Samples per Pixel is {samples}"):
            read(image)
