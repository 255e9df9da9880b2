"""Pixels of a total pixel matrix and millimetres on the slide (PS3.3 C.8.12.2.1)."""

import dataclasses
import math

import highdicom as hd
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicomslide.errors import InvalidImageError
from dicomslide.metadata.geometry import (
    ImageGeometry,
    origin_of,
    pixel_spacing,
    read_geometry,
    spacing_between_planes,
    to_upright,
)
from dicomslide.testing import ORIENTATIONS

# The direction in which an image is drawn on the slide -> the angle that turns it back
ROTATIONS = {
    (1, 0, 0, 0, -1, 0): 0,
    (0, 1, 0, 1, 0, 0): 90,
    (-1, 0, 0, 0, 1, 0): 180,
    (0, -1, 0, -1, 0, 0): -90,
}


def oblique(degrees: float, mirrored: bool = False) -> tuple[float, ...]:
    """Direction cosines of an image whose rows run at an angle to the X axis."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    flip = -1 if mirrored else 1
    return (cosine, sine, 0.0, flip * sine, -flip * cosine, 0.0)


orientations = st.sampled_from(ORIENTATIONS) | st.builds(
    oblique, st.floats(-180, 180, allow_subnormal=False), st.booleans()
)
millimetres = st.floats(-100, 100, allow_subnormal=False)
spacings = st.floats(1e-5, 0.1)
geometries = st.builds(
    ImageGeometry,
    st.tuples(millimetres, millimetres, st.floats(-1, 1, allow_subnormal=False)),
    orientations,
    st.tuples(spacings, spacings),
)
indices = st.integers(-200_000, 200_000)
pixels = st.lists(st.tuples(indices, indices), min_size=1, max_size=5)


def make_image(
    *,
    origin: tuple[float, float, float] = (10.0, 20.0, 0.0),
    orientation: tuple[float, ...] = (1, 0, 0, 0, -1, 0),
    spacing: tuple[float, float] = (0.001, 0.002),
) -> Dataset:
    """Metadata of an image; X and Y of its origin are in millimetres, Z is in micrometres."""
    measures = Dataset()
    measures.PixelSpacing = list(spacing)
    groups = Dataset()
    groups.PixelMeasuresSequence = [measures]
    place = Dataset()
    place.XOffsetInSlideCoordinateSystem = origin[0]
    place.YOffsetInSlideCoordinateSystem = origin[1]
    place.ZOffsetInSlideCoordinateSystem = origin[2]
    image = Dataset()
    image.SOPInstanceUID = "1.2.3"
    image.ImageOrientationSlide = list(orientation)
    image.TotalPixelMatrixOriginSequence = [place]
    image.SharedFunctionalGroupsSequence = [groups]
    return image


class TestMapping:
    def test_origin_is_the_centre_of_the_top_left_pixel(self):
        geometry = ImageGeometry((10.0, 20.0, 0.003), (0, -1, 0, -1, 0, 0), (0.001, 0.002))
        np.testing.assert_array_equal(geometry.to_slide([(0, 0)]), [(10.0, 20.0, 0.003)])

    def test_orientation_has_the_direction_of_rows_first(self):
        """Along a row the column index grows, by the second value of Pixel Spacing."""
        geometry = ImageGeometry((10.0, 20.0, 0.0), (0, -1, 0, -1, 0, 0), (0.001, 0.002))
        np.testing.assert_allclose(geometry.to_slide([(0, 1)]), [(10.0, 20.0 - 0.002, 0.0)])
        np.testing.assert_allclose(geometry.to_slide([(1, 0)]), [(10.0 - 0.001, 20.0, 0.0)])

    @given(geometries, pixels)
    def test_to_slide_agrees_with_highdicom(self, geometry, indices):
        transformer = hd.spatial.PixelToReferenceTransformer(
            geometry.origin, geometry.orientation, geometry.spacing
        )
        expected = transformer(np.flip(indices, axis=1))
        np.testing.assert_allclose(geometry.to_slide(indices), expected, rtol=0, atol=1e-9)

    @given(geometries, st.lists(st.tuples(millimetres, millimetres), min_size=1, max_size=5))
    def test_to_pixels_agrees_with_highdicom(self, geometry, positions):
        points = [(x, y, geometry.origin[2]) for x, y in positions]
        transformer = hd.spatial.ReferenceToPixelTransformer(
            geometry.origin, geometry.orientation, geometry.spacing, round_output=False
        )
        expected = np.flip(transformer(np.array(points))[:, :2], axis=1)
        np.testing.assert_allclose(geometry.to_pixels(points), expected, rtol=1e-9, atol=1e-6)

    @given(geometries, pixels)
    def test_mapping_back_and_forth_ends_where_it_began(self, geometry, indices):
        found = geometry.to_pixels(geometry.to_slide(indices))
        distances = (found - np.array(indices)) * geometry.spacing
        assert np.abs(distances).max() < 1e-9

    @given(geometries, st.tuples(millimetres, millimetres))
    def test_mapping_forth_and_back_ends_where_it_began(self, geometry, position):
        point = (*position, geometry.origin[2])
        found = geometry.to_slide(geometry.to_pixels(point))
        np.testing.assert_allclose(found, point, rtol=0, atol=1e-9)

    @given(geometries, pixels, st.floats(-1, 1))
    def test_height_above_the_image_does_not_change_the_pixel(self, geometry, indices, height):
        up = np.cross(geometry.row_direction, geometry.column_direction)
        above = geometry.to_slide(indices) + height * up
        np.testing.assert_allclose(geometry.to_pixels(above), indices, rtol=0, atol=1e-5)

    def test_one_pixel_and_many_map_alike(self):
        geometry = ImageGeometry((1.0, 2.0, 0.0), (1, 0, 0, 0, -1, 0), (0.5, 0.25))
        assert geometry.to_slide((2, 4)).tolist() == [1.0 + 4 * 0.25, 2.0 - 2 * 0.5, 0.0]
        assert geometry.to_pixels((2.0, 1.0, 0.0)).tolist() == [2.0, 4.0]


class TestOrientation:
    @pytest.mark.parametrize(("orientation", "degrees"), ROTATIONS.items())
    def test_rotation_is_the_angle_of_the_rows(self, orientation, degrees):
        assert ImageGeometry((0, 0, 0), orientation, (1, 1)).rotation == degrees

    @given(st.floats(-179, 180), st.booleans())
    def test_rotation_of_an_oblique_image_is_its_angle(self, degrees, mirrored):
        geometry = ImageGeometry((0, 0, 0), oblique(degrees, mirrored), (1, 1))
        assert geometry.rotation == pytest.approx(degrees, abs=1e-9)

    def test_negative_zeros_do_not_change_the_rotation(self):
        assert ImageGeometry((0, 0, 0), (-1, -0.0, 0, -0.0, 1, 0), (1, 1)).rotation == 180
        assert ImageGeometry((0, 0, 0), (-0.0, -1, 0, -1, 0, 0), (1, 1)).rotation == -90

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_the_eight_aligned_orientations_are_axis_aligned(self, orientation):
        assert ImageGeometry((0, 0, 0), orientation, (1, 1)).is_axis_aligned

    @given(st.floats(0.01, 89.99), st.integers(0, 3), st.booleans())
    def test_other_angles_are_not_axis_aligned(self, degrees, quarters, mirrored):
        orientation = oblique(degrees + 90 * quarters, mirrored)
        assert not ImageGeometry((0, 0, 0), orientation, (1, 1)).is_axis_aligned

    @pytest.mark.parametrize(
        ("orientation", "expected"),
        [((1, 0, 0, 0, -1, 0), (0.002, 0.001)), ((0, -1, 0, -1, 0, 0), (0.001, 0.002))],
    )
    def test_spacing_along_x_and_y_follows_the_direction_of_rows(self, orientation, expected):
        """Rows are 0.001 mm apart, columns 0.002 mm."""
        assert ImageGeometry((0, 0, 0), orientation, (0.001, 0.002)).spacing_xy == expected

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_upright_region_has_the_smallest_x_and_the_largest_y_first(self, orientation):
        geometry = ImageGeometry((3, 4, 0), orientation, (1, 2))
        rows_columns = np.moveaxis(np.indices((3, 5)), 0, -1)
        upright = to_upright(geometry.to_slide(rows_columns), geometry)
        assert (np.diff(upright[..., 0], axis=1) > 0).all()
        assert (np.diff(upright[..., 0], axis=0) == 0).all()
        assert (np.diff(upright[..., 1], axis=0) < 0).all()
        assert (np.diff(upright[..., 1], axis=1) == 0).all()


class TestExtent:
    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_bounds_are_the_outer_edges_of_the_pixels(self, orientation):
        """There are 4 rows that are 1 mm apart and 10 columns that are 2 mm apart."""
        geometry = ImageGeometry((0, 0, 0), orientation, (1, 2))
        low, high = geometry.bounds((4, 10))
        extent = (20, 4) if orientation[0] else (4, 20)
        assert np.subtract(high, low) == pytest.approx(extent)
        first, last = geometry.to_slide([(0, 0), (3, 9)])
        assert np.add(low, high) / 2 == pytest.approx((first + last)[:2] / 2)

    def test_at_height_moves_the_plane_along_z(self):
        geometry = ImageGeometry((1, 2, 0), (1, 0, 0, 0, -1, 0), (1, 1)).at_height(0.005)
        assert geometry.to_slide((0, 0)).tolist() == [1, 2, 0.005]


class TestReading:
    def test_geometry_comes_from_three_attributes(self):
        geometry = read_geometry(
            make_image(origin=(10, 20, 5), orientation=(0, -1, 0, -1, 0, 0), spacing=(0.25, 0.5))
        )
        assert geometry.origin == (10, 20, 0.005)
        assert geometry.orientation == (0, -1, 0, -1, 0, 0)
        assert geometry.spacing == (0.25, 0.5)

    @pytest.mark.parametrize(
        "keyword",
        [
            "ImageOrientationSlide",
            "TotalPixelMatrixOriginSequence",
            "SharedFunctionalGroupsSequence",
        ],
    )
    def test_image_that_lacks_one_of_the_three_attributes_has_no_geometry(self, keyword):
        image = make_image()
        delattr(image, keyword)
        assert read_geometry(image) is None

    def test_spacing_may_be_in_the_functional_groups_of_the_frames(self):
        image = make_image(spacing=(0.25, 0.5))
        image.PerFrameFunctionalGroupsSequence = image.SharedFunctionalGroupsSequence
        del image.SharedFunctionalGroupsSequence
        assert pixel_spacing(image) == (0.25, 0.5)

    @pytest.mark.parametrize(
        "spacing", [(0, 0.5), (0.5, -0.5), (math.inf, 0.5), (0.5, 1e300), (5e-324, 1)]
    )
    def test_spacing_must_be_positive_and_a_length(self, spacing):
        with pytest.raises(InvalidImageError, match=r"1\.2\.3.*Pixel Spacing"):
            pixel_spacing(make_image(spacing=spacing))

    @pytest.mark.parametrize(
        "orientation",
        [
            (1, 0, 0),
            (1, 1, 0, 0, -1, 0),
            (1, 0, 0, 0.1, -0.995, 0),
            (0, 0, 0, 0, 0, 0),
            (math.nan, 0, 0, 0, -1, 0),
        ],
        ids=["three values", "not of length 1", "not perpendicular", "zeros", "not a number"],
    )
    def test_orientation_must_be_two_perpendicular_directions(self, orientation):
        with pytest.raises(InvalidImageError, match=r"1\.2\.3.*Image Orientation"):
            read_geometry(make_image(orientation=orientation))

    @pytest.mark.parametrize("x", [math.nan, -math.inf, 1e300])
    def test_origin_must_be_a_length(self, x):
        with pytest.raises(InvalidImageError, match=r"1\.2\.3.*Total Pixel Matrix Origin"):
            read_geometry(make_image(origin=(x, 0, 0)))

    @pytest.mark.parametrize("between", [math.nan, math.inf, -1e300])
    def test_spacing_between_planes_must_be_a_length(self, between):
        image = make_image()
        measures = image.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        measures.SpacingBetweenSlices = between
        with pytest.raises(InvalidImageError, match=r"1\.2\.3.*Spacing Between Slices"):
            spacing_between_planes(image)

    def test_origin_has_z_in_micrometres(self):
        assert origin_of(make_image(origin=(10, 20, 5))) == (10, 20, 5)

    def test_spacing_between_planes_is_spacing_between_slices(self):
        image = make_image()
        assert spacing_between_planes(image) == 0
        measures = image.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        measures.SpacingBetweenSlices = 0.0015
        assert spacing_between_planes(image) == 0.0015


def test_rounded_direction_cosines_lead_back_to_the_same_pixels():
    cosines = (0.7071, 0.7074, 0, -0.7071, 0.7068, 0)
    geometry = ImageGeometry((10.0, 20.0, 0.0), cosines, (0.001, 0.002))
    pixels = [(0, 0), (100_000, 50_000)]
    assert geometry.to_pixels(geometry.to_slide(pixels)) == pytest.approx(np.array(pixels))


class TestLevelsOfAPyramid:
    """Centres of the pixels of a level, counted in pixels of the base level."""

    BASE = ImageGeometry((10.0, 20.0, 0.0), (0, -1, 0, -1, 0, 0), (0.001, 0.001))

    def level(self, factor: float, origin: tuple[float, float]) -> ImageGeometry:
        return ImageGeometry((*origin, 0.0), self.BASE.orientation, (0.001 * factor,) * 2)

    def centers(self, level: ImageGeometry, count: int) -> np.ndarray:
        placed = level.as_level_of(self.BASE)
        return self.BASE.to_pixels(placed.to_slide([(i, i) for i in range(count)]))

    @pytest.mark.parametrize("factor", [1, 2, 4, 2.5])
    def test_equal_origins_mean_equal_corners(self, factor):
        expected = (np.arange(3) + 0.5) * factor - 0.5
        found = self.centers(self.level(factor, (10.0, 20.0)), 3)
        assert found == pytest.approx(np.stack([expected, expected], -1), abs=1e-9)

    @pytest.mark.parametrize("factor", [2, 4, 2.5])
    def test_own_origin_is_the_centre_of_the_own_first_pixel(self, factor):
        """The first pixel of the level lies 3 rows and 7 columns into the base level."""
        found = self.centers(self.level(factor, (10.0 - 3 * 0.001, 20.0 - 7 * 0.001)), 3)
        assert found[:, 0] == pytest.approx(3 + factor * np.arange(3))
        assert found[:, 1] == pytest.approx(7 + factor * np.arange(3))

    def test_pixels_at_are_the_pixels_that_cover_base_pixels(self):
        placed = self.level(2, (10.0, 20.0)).as_level_of(self.BASE)
        covered = placed.pixels_at(self.BASE.to_slide([(i, i + 2) for i in range(5)])).tolist()
        assert covered == [[0, 1], [0, 1], [1, 2], [1, 2], [2, 3]]

    def test_levels_must_be_parallel(self):
        turned = ImageGeometry(self.BASE.origin, (1, 0, 0, 0, -1, 0), (0.002, 0.002))
        with pytest.raises(InvalidImageError, match=r"parallel"):
            turned.as_level_of(self.BASE)
        with pytest.raises(InvalidImageError, match=r"parallel"):
            self.BASE.as_level_of(turned)

    @pytest.mark.parametrize("cosines", [(0.01, -1, 0, -1, 0.01, 0), (-0.01, -1, 0, -1, -0.01, 0)])
    def test_a_turn_either_way_is_not_parallel(self, cosines):
        turned = dataclasses.replace(self.BASE, orientation=cosines)
        assert not turned.is_parallel_to(self.BASE)

    @pytest.mark.parametrize("origin", [(10.0, 19.0), (9.0, 20.0)])
    def test_an_origin_that_is_equal_along_one_axis_is_another_one(self, origin):
        assert not self.level(2, origin).repeats_origin_of(self.BASE)
        assert self.level(2, origin).repeats_origin_of(self.level(4, origin))


class TestPixelsOfAGrid:
    """Whether the pixels of one image are those of another one."""

    GRID = ImageGeometry((10.0, 20.0, 0.0), (0, -1, 0, -1, 0, 0), (0.001, 0.001))

    def at(self, row: float, column: float, **changes: object) -> ImageGeometry:
        x, y, _ = self.GRID.to_slide((row, column)).tolist()
        return dataclasses.replace(self.GRID, origin=(x, y, 0.0), **changes)

    @pytest.mark.parametrize("place", [(0, 0), (3, 7), (-2, 5)])
    def test_whole_offsets_are_found(self, place):
        assert self.at(*place).offset_on(self.GRID, (40, 30)) == place

    @pytest.mark.parametrize(
        ("shift", "expected"), [(0.009, (3, 7)), (0.011, None), (0.5, None), (-0.009, (3, 7))]
    )
    def test_offsets_are_whole_to_a_hundredth_of_a_pixel(self, shift, expected):
        assert self.at(3 + shift, 7).offset_on(self.GRID, (40, 30)) == expected

    def test_a_spacing_that_drifts_by_more_over_the_extent_is_another_grid(self):
        drifting = self.at(3, 7, spacing=(0.001 * (1 + 1e-4), 0.001))
        assert drifting.offset_on(self.GRID, (100, 30)) == (3, 7)
        assert drifting.offset_on(self.GRID, (102, 30)) is None

    def test_a_turned_image_is_on_another_grid(self):
        turned = self.at(40, 30, orientation=(0, 1, 0, 1, 0, 0))
        assert turned.offset_on(self.GRID, (40, 30)) is None

    def test_an_image_that_is_nearly_parallel_to_the_slide_is_squared(self):
        noisy = self.at(0, 0, orientation=(-1e-8, -1.0, 0.0, -1.0, 1e-8, 0.0))
        assert noisy.squared().orientation == (0, -1, 0, -1, 0, 0)
        oblique = self.at(0, 0, orientation=(0.6, -0.8, 0.0, -0.8, -0.6, 0.0))
        assert oblique.squared() == oblique
