"""Image pyramids and the choice of an image among their levels."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

import dicomslide
from dicomslide import Pyramid, PyramidLevel
from dicomslide.testing import ORIENTATIONS

SPACING_OF_MAGNIFICATION = {2: 0.005, 4: 0.0025, 10: 0.001, 20: 0.0005, 40: 0.00025}


def make_image(
    size: tuple[int, int] = (400, 600),
    spacing: tuple[float, float] = (0.001, 0.001),
    *,
    origin: tuple[float, float, float] = (10.0, 20.0, 0.0),
    orientation: tuple[float, ...] = (1, 0, 0, 0, -1, 0),
    uid: str = "1.2.3",
) -> Dataset:
    """Metadata of an image; X and Y of its origin are in millimetres, Z is in micrometres."""
    image = Dataset()
    image.SOPInstanceUID = uid
    image.Rows, image.Columns = 64, 64
    image.TotalPixelMatrixRows, image.TotalPixelMatrixColumns = size
    image.ImageOrientationSlide = list(orientation)
    place = Dataset()
    place.XOffsetInSlideCoordinateSystem = origin[0]
    place.YOffsetInSlideCoordinateSystem = origin[1]
    place.ZOffsetInSlideCoordinateSystem = origin[2]
    image.TotalPixelMatrixOriginSequence = [place]
    measures = Dataset()
    measures.PixelSpacing = list(spacing)
    groups = Dataset()
    groups.PixelMeasuresSequence = [measures]
    image.SharedFunctionalGroupsSequence = [groups]
    return image


def make_level(factor: float, *, shift: float = 0.0, uid: str | None = None) -> Dataset:
    """A level below a base of 400 x 600 pixels, its centre displaced by some millimetres along X.

    Its own top left pixel lies half of the difference of the pixel sizes further inside.
    """
    size = math.ceil(400 / factor), math.ceil(600 / factor)
    inside = 0.001 * (factor - 1) / 2
    return make_image(
        size,
        (0.001 * factor, 0.001 * factor),
        origin=(10.0 + inside + shift, 20.0 - inside, 0.0),
        uid=uid or f"1.2.{factor}",
    )


class TestPyramid:
    def test_levels_go_from_the_largest_to_the_smallest(self):
        pyramid = Pyramid([make_level(4), make_level(1), make_level(2)], tolerance=0.1)
        sizes = [level.total_pixel_matrix_dimensions for level in pyramid]
        assert sizes == [(400, 600), (200, 300), (100, 150)]

    def test_downsampling_factors_are_relative_to_the_base_level(self):
        pyramid = Pyramid([make_level(factor) for factor in (1, 2, 7)], tolerance=0.1)
        assert [level.downsampling_factors for level in pyramid] == [
            (1, 1),
            (2, 2),
            (7, 7),
        ]

    def test_pixel_spacing_is_along_the_row_first(self):
        """Rows are 0.001 mm apart, pixels of a row 0.002 mm."""
        (level,) = Pyramid([make_image(spacing=(0.001, 0.002))], tolerance=0.1)
        assert level.pixel_spacing == (0.002, 0.001)

    def test_levels_have_pixels(self):
        pyramid = Pyramid([make_level(1), make_level(2)], tolerance=0.1)
        assert all(level.has_pixels for level in pyramid)

    def test_pyramid_is_a_sequence_of_levels(self):
        pyramid = Pyramid([make_level(1), make_level(2), make_level(4)], tolerance=0.1)
        levels = list(pyramid)
        assert len(pyramid) == 3
        assert pyramid[0] == levels[0]
        assert pyramid[-1] == levels[2]
        assert tuple(pyramid[1:]) == tuple(levels[1:])
        assert pyramid.index(levels[1]) == 1
        with pytest.raises(IndexError):
            pyramid[3]

    def test_level_is_a_named_tuple(self):
        level = Pyramid([make_level(1)], tolerance=0.1)[0]
        assert isinstance(level, PyramidLevel)
        assert level == ((400, 600), (0.001, 0.001), (1.0, 1.0), True)
        assert PyramidLevel._fields == (
            "total_pixel_matrix_dimensions",
            "pixel_spacing",
            "downsampling_factors",
            "has_pixels",
        )

    def test_same_levels_make_the_same_pyramid(self):
        first, second = (Pyramid([make_level(1), make_level(2)], tolerance=0.1) for _ in range(2))
        assert first == second
        assert hash(first) == hash(second)
        assert first != Pyramid([make_level(1)], tolerance=0.1)
        assert first != "pyramid"

    def test_repr_names_the_sizes(self):
        pyramid = Pyramid([make_level(1), make_level(2)], tolerance=0.1)
        assert repr(pyramid) == "<Pyramid of 400 x 600, 200 x 300>"


class TestTolerance:
    """The largest distance in millimetres between the centres of the levels."""

    def test_aligned_levels_need_no_tolerance(self):
        assert len(Pyramid([make_level(1), make_level(2), make_level(4)], tolerance=1e-9)) == 3

    @pytest.mark.parametrize("shift", [-0.05, 0.05])
    def test_distance_up_to_it_is_tolerated(self, shift):
        images = [make_level(1), make_level(2, shift=shift)]
        assert len(Pyramid(images, tolerance=0.051)) == 2
        with pytest.raises(ValueError, match=r"not aligned.*0\.05 mm apart.*0\.049 mm"):
            Pyramid(images, tolerance=0.049)

    def test_error_names_both_images(self):
        images = [make_level(1, uid="1.2.10"), make_level(2, shift=1.0, uid="1.2.20")]
        with pytest.raises(ValueError, match=r"1\.2\.10 .* and image 1\.2\.20 "):
            Pyramid(images, tolerance=0.1)

    def test_every_level_is_checked(self):
        images = [make_level(1), make_level(2), make_level(4, shift=1.0)]
        with pytest.raises(ValueError, match="not aligned"):
            Pyramid(images, tolerance=0.1)

    def test_tolerance_must_be_a_number(self):
        with pytest.raises(TypeError, match="tolerance"):
            Pyramid([make_level(1)], tolerance="0.1")


class TestTemplate:
    """Images that are referenced give the levels of the pyramid of derived images."""

    REFERENCE = (make_level(1), make_level(2), make_level(4))

    def test_template_gives_the_levels(self):
        pyramid = Pyramid([make_level(2)], 0.1, self.REFERENCE)
        expected = Pyramid(self.REFERENCE, 0.1)
        assert [level[:3] for level in pyramid] == [level[:3] for level in expected]
        assert [level.has_pixels for level in pyramid] == [False, True, False]

    def test_template_need_not_be_sorted(self):
        assert Pyramid([make_level(2)], 0.1, self.REFERENCE[::-1]) == Pyramid(
            [make_level(2)], 0.1, self.REFERENCE
        )

    def test_template_must_have_the_size_of_each_image(self):
        with pytest.raises(ValueError, match=r"1\.2\.8.*50 x 75.*400 x 600, 200 x 300, 100 x 150"):
            Pyramid([make_level(8)], 0.1, self.REFERENCE)

    def test_images_of_a_template_must_be_aligned(self):
        with pytest.raises(ValueError, match="not aligned"):
            Pyramid([make_level(1)], 0.1, [make_level(1), make_level(2, shift=1.0)])

    def test_template_must_be_aligned_with_each_image(self):
        with pytest.raises(ValueError, match="not aligned"):
            Pyramid([make_level(2, shift=1.0)], 0.1, self.REFERENCE)


class TestPyramidErrors:
    @pytest.mark.parametrize("name", ["metadata", "ref_metadata"])
    def test_images_are_needed(self, name):
        arguments = {"metadata": [make_level(1)], "tolerance": 0.1, name: []}
        with pytest.raises(ValueError, match=f"^{name}: there are no images"):
            Pyramid(**arguments)

    @pytest.mark.parametrize("name", ["metadata", "ref_metadata"])
    @pytest.mark.parametrize("value", [make_level(1), 1, [make_level(1), "image"]])
    def test_images_must_be_a_sequence_of_data_sets(self, name, value):
        arguments = {"metadata": [make_level(1)], "tolerance": 0.1, name: value}
        with pytest.raises(TypeError, match=f"^{name}: expected"):
            Pyramid(**arguments)

    def test_level_has_one_image(self):
        images = [make_level(1, uid="1.2.10"), make_level(1, uid="1.2.20")]
        with pytest.raises(ValueError, match=r"1\.2\.10 and 1\.2\.20 both have 400 x 600"):
            Pyramid(images, tolerance=0.1)


class TestImageCenter:
    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_center_is_half_way_between_the_first_and_the_last_pixel(self, orientation):
        """399 rows of 0.001 mm and 599 columns of 0.002 mm lie between the first and the last."""
        image = make_image(
            spacing=(0.001, 0.002), origin=(10.0, 20.0, 1.5), orientation=orientation
        )
        along_row, along_column = 599 / 2 * 0.002, 399 / 2 * 0.001
        assert dicomslide.compute_image_center_position(image) == pytest.approx(
            (
                10.0 + along_row * orientation[0] + along_column * orientation[3],
                20.0 + along_row * orientation[1] + along_column * orientation[4],
                0.0015,
            )
        )

    @pytest.mark.parametrize("factor", [1, 2, 4, 8])
    def test_center_is_the_same_at_all_levels(self, factor):
        center = dicomslide.compute_image_center_position(make_level(factor))
        assert center == pytest.approx((10.0 + 0.2995, 20.0 - 0.1995, 0.0))

    @pytest.mark.parametrize("keyword", ["ImageOrientationSlide", "TotalPixelMatrixOriginSequence"])
    def test_center_needs_a_place_on_the_slide(self, keyword):
        image = make_image()
        delattr(image, keyword)
        with pytest.raises(ValueError, match=r"1\.2\.3.*no position"):
            dicomslide.compute_image_center_position(image)


class TestImageProperties:
    def test_size_is_the_number_of_pixels(self):
        assert dicomslide.get_image_size(make_image((400, 600))) == 240_000

    def test_size_needs_pixels(self):
        with pytest.raises(ValueError, match="TotalPixelMatrixRows"):
            dicomslide.get_image_size(Dataset())

    def test_pixel_spacing_is_between_rows_first(self):
        assert dicomslide.get_image_pixel_spacing(make_image(spacing=(0.001, 0.002))) == (
            0.001,
            0.002,
        )

    def test_pixel_spacing_must_be_there(self):
        image = make_image()
        del image.SharedFunctionalGroupsSequence
        with pytest.raises(ValueError, match=r"1\.2\.3 has no Pixel Spacing"):
            dicomslide.get_image_pixel_spacing(image)


class TestSorting:
    def test_largest_image_comes_first_when_sorted_by_size(self):
        images = [make_image((4, 6)), make_image((400, 6)), make_image((40, 60))]
        assert dicomslide.sort_images_by_size(images) == [images[i] for i in (1, 2, 0)]
        assert [image.TotalPixelMatrixRows for image in images] == [4, 400, 40]

    def test_smallest_spacing_comes_first_when_sorted_by_pixel_spacing(self):
        images = [make_image(spacing=(s, s)) for s in (0.002, 0.0005, 0.001)]
        assert dicomslide.sort_images_by_pixel_spacing(images) == [images[i] for i in (1, 2, 0)]

    @pytest.mark.parametrize(
        "sort", [dicomslide.sort_images_by_size, dicomslide.sort_images_by_pixel_spacing]
    )
    def test_equal_images_stay_in_their_order(self, sort):
        images = [make_image(uid=f"1.2.{i}") for i in range(4)]
        assert [image.SOPInstanceUID for image in sort(images)] == [f"1.2.{i}" for i in range(4)]

    @pytest.mark.parametrize(
        "sort", [dicomslide.sort_images_by_size, dicomslide.sort_images_by_pixel_spacing]
    )
    def test_empty_collection_can_be_sorted(self, sort):
        assert list(sort([])) == []


class TestSelectionByPixelSpacing:
    COLLECTION = tuple(make_image(spacing=(s, s)) for s in (0.0005, 0.001, 0.004))

    def select(self, *arguments, **keywords) -> float:
        """Select an image and get the distance between its pixels."""
        image = dicomslide.select_image_at_pixel_spacing(*arguments, **keywords)
        return image.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing[0]

    @given(st.floats(1e-4, 0.01))
    def test_image_of_the_nearest_spacing_is_selected(self, spacing):
        found = self.select(self.COLLECTION, (spacing, spacing))
        assert abs(found - spacing) == min(abs(s - spacing) for s in (0.0005, 0.001, 0.004))

    def test_spacings_are_those_between_rows_and_between_columns(self):
        images = [make_image(spacing=(0.002, 0.001)), make_image(spacing=(0.001, 0.002))]
        selected = dicomslide.select_image_at_pixel_spacing(images, (0.001, 0.002))
        assert selected is images[1]

    def test_first_of_equal_images_is_selected(self):
        images = [make_image(uid=f"1.2.{i}") for i in range(3)]
        assert dicomslide.select_image_at_pixel_spacing(images, (0.002, 0.002)) is images[0]

    def test_difference_up_to_the_tolerance_is_accepted(self):
        assert self.select(self.COLLECTION, (0.0013, 0.0013), tolerance=0.00031) == 0.001
        with pytest.raises(ValueError, match=r"0\.0013.*0\.001.*tolerance"):
            self.select(self.COLLECTION, (0.0013, 0.0013), tolerance=0.00029)

    def test_empty_collection_has_nothing_to_select(self):
        with pytest.raises(ValueError, match="collection"):
            dicomslide.select_image_at_pixel_spacing([], (0.001, 0.001))

    @pytest.mark.parametrize("value", [0.001, "ab", ("a", "b")])
    def test_pixel_spacing_must_be_two_numbers(self, value):
        with pytest.raises(TypeError, match="pixel_spacing"):
            dicomslide.select_image_at_pixel_spacing(self.COLLECTION, value)


class TestSelectionByMagnification:
    COLLECTION = tuple(make_image(spacing=(s, s)) for s in SPACING_OF_MAGNIFICATION.values())

    @pytest.mark.parametrize(("magnification", "spacing"), SPACING_OF_MAGNIFICATION.items())
    def test_magnification_stands_for_a_spacing(self, magnification, spacing):
        """A 20x lens goes with 0.5 micrometres; twice the power halves the spacing."""
        image = dicomslide.select_image_at_magnification(self.COLLECTION, magnification)
        assert dicomslide.get_image_pixel_spacing(image) == (spacing, spacing)

    def test_image_of_the_nearest_magnification_is_selected(self):
        images = [make_image(spacing=(s, s)) for s in (0.00023, 0.00092)]
        assert dicomslide.select_image_at_magnification(images, 40) is images[0]
        assert dicomslide.select_image_at_magnification(images, 10) is images[1]

    def test_difference_up_to_the_tolerance_is_accepted(self):
        images = [make_image(spacing=(0.0006, 0.0006))]
        assert dicomslide.select_image_at_magnification(images, 20, tolerance=0.00011) is images[0]
        with pytest.raises(ValueError, match="tolerance"):
            dicomslide.select_image_at_magnification(images, 20, tolerance=0.00009)

    @pytest.mark.parametrize("magnification", [0, 1, 5, 80, 20.5, "20", None])
    def test_other_magnifications_are_refused(self, magnification):
        with pytest.raises(ValueError, match="magnification: expected one of 2, 4, 10, 20, 40"):
            dicomslide.select_image_at_magnification(self.COLLECTION, magnification)

    def test_empty_collection_has_nothing_to_select(self):
        with pytest.raises(ValueError, match="collection"):
            dicomslide.select_image_at_magnification([], 20)
