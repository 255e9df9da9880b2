"""Which kind of image a data set is (PS3.3 C.8.12.4.1.1)."""

import pytest
from pydicom.dataset import Dataset

import dicomslide
from dicomslide import ChannelTypes, ImageFlavors

FLAVORS = ("VOLUME", "LABEL", "OVERVIEW", "THUMBNAIL")


def make_image(flavor: str = "VOLUME") -> Dataset:
    image = Dataset()
    image.ImageType = ["ORIGINAL", "PRIMARY", flavor, "NONE"]
    image.SamplesPerPixel = 3
    image.PhotometricInterpretation = "RGB"
    image.Rows, image.Columns = 16, 24
    image.TotalPixelMatrixRows, image.TotalPixelMatrixColumns = 70, 90
    return image


class TestEnumeratedValues:
    @pytest.mark.parametrize("name", ["OPTICAL_PATH", "SEGMENT", "PARAMETER"])
    def test_channel_types_have_their_names_as_values(self, name):
        assert ChannelTypes(name) is ChannelTypes[name]

    @pytest.mark.parametrize("name", FLAVORS)
    def test_image_flavors_are_the_values_of_image_type(self, name):
        assert ImageFlavors(name) is ImageFlavors[name]


class TestIsImage:
    def test_data_set_that_describes_pixels_is_an_image(self):
        assert dicomslide.is_image(make_image())

    @pytest.mark.parametrize(
        "keyword", ["Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"]
    )
    def test_data_set_that_lacks_one_of_the_attributes_of_pixels_is_no_image(self, keyword):
        image = make_image()
        delattr(image, keyword)
        assert not dicomslide.is_image(image)

    def test_empty_data_set_is_no_image(self):
        assert not dicomslide.is_image(Dataset())


class TestIsTiledImage:
    def test_image_with_a_total_pixel_matrix_is_tiled(self):
        assert dicomslide.is_tiled_image(make_image())

    @pytest.mark.parametrize("keyword", ["TotalPixelMatrixRows", "TotalPixelMatrixColumns"])
    def test_image_without_a_total_pixel_matrix_is_not_tiled(self, keyword):
        image = make_image()
        delattr(image, keyword)
        assert not dicomslide.is_tiled_image(image)
        assert dicomslide.is_image(image)

    def test_total_pixel_matrix_without_pixels_is_not_a_tiled_image(self):
        image = make_image()
        del image.Rows
        assert not dicomslide.is_tiled_image(image)


@pytest.mark.parametrize(
    ("function", "flavors"),
    [
        (dicomslide.is_volume_image, {"VOLUME", "THUMBNAIL"}),
        (dicomslide.is_label_image, {"LABEL"}),
        (dicomslide.is_overview_image, {"OVERVIEW"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
class TestFlavors:
    @pytest.mark.parametrize("flavor", FLAVORS)
    def test_value_3_of_image_type_decides(self, function, flavors, flavor):
        assert function(make_image(flavor)) is (flavor in flavors)

    @pytest.mark.parametrize("image_type", [None, "DERIVED", ["DERIVED", "PRIMARY"]])
    def test_image_type_without_value_3_is_no_flavor(self, function, flavors, image_type):
        image = make_image(min(flavors))
        image.ImageType = image_type
        assert function(image) is False

    def test_data_set_without_image_type_has_no_flavor(self, function, flavors):
        image = make_image(min(flavors))
        del image.ImageType
        assert function(image) is False

    def test_data_set_without_pixels_has_no_flavor(self, function, flavors):
        image = make_image(min(flavors))
        del image.Rows
        assert function(image) is False
