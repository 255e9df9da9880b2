"""Annotations as pixels, compared with the geometries of shapely."""

import pickle

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from dicomslide.annotations.filling import fill
from dicomslide.annotations.vectors import Vectors
from dicomslide.testing import ORIENTATIONS, AnnotationOptions
from tests.annotations.conftest import GRAPHIC_TYPES, draw


@pytest.mark.parametrize("kind", GRAPHIC_TYPES)
@pytest.mark.parametrize("orientation", [ORIENTATIONS[0], ORIENTATIONS[7]])
@pytest.mark.parametrize("level", [0, 1])
def test_pixels_are_those_of_shapely(annotate, kind, orientation, level):
    annotated = annotate(
        AnnotationOptions(kind, draw(kind)), factors=(1, 2), orientation=orientation
    )
    slide = annotated.open()
    (group,) = slide.annotations
    drawn = group.rasterize(level)
    rows, columns = np.indices(slide.total_pixel_matrix_dimensions[level])
    expected = np.zeros(rows.shape, int)
    for number, geometry in enumerate(group.to_geodataframe(level).geometry, 1):
        if geometry.area:
            inside = shapely.contains_xy(geometry, columns + 0.5, rows + 0.5)
        else:
            pixels = shapely.box(columns, rows, columns + 1, rows + 1)
            inside = shapely.intersects(pixels, geometry)
        expected[inside] = number
    assert drawn.dtype == np.uint32
    np.testing.assert_array_equal(drawn.values, expected)


def test_grid_is_that_of_the_level(annotate):
    slide = annotate(AnnotationOptions("POLYGON", draw("POLYGON")), factors=(1, 2)).open()
    (group,) = slide.annotations
    tree = slide.to_datatree()
    for level in range(2):
        drawn, image = group.rasterize(level), tree[f"level_{level}/image"]
        for name in ("y", "x", "slide_x", "slide_y"):
            np.testing.assert_array_equal(drawn[name], image[name])
        assert drawn.chunksizes == {name: image.chunksizes[name] for name in "yx"}
    with pytest.raises(ValueError, match="level: there is no 2"):
        group.rasterize(2)


def test_parts_of_an_array_are_parts_of_the_whole(annotate):
    group = annotate(AnnotationOptions("POLYGON", draw("POLYGON"))).group
    drawn = group.rasterize()
    whole = drawn.values
    for key in (
        (slice(20, 50), slice(13, 14)),
        (slice(60, 10, -3), 40),
        ([3, 50, 20], slice(None)),
        (5, 6),
        (slice(5, 5), slice(None)),
    ):
        np.testing.assert_array_equal(drawn[key].values, whole[key])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(drawn)).values, whole)


def test_neighbours_share_no_pixel_and_leave_none_out():
    # A fan of triangles over a square of 12 x 12 pixels, with corners on centres of pixels
    corners = [(0, 0), (4, 0), (12, 0), (12, 5), (12, 12), (7, 12), (0, 12), (0, 3)]
    for centre in ((5, 5), (6.5, 4.25), (1, 11)):
        triangles = [
            [centre, corners[k], corners[(k + 1) % len(corners)]] for k in range(len(corners))
        ]
        points = np.array(triangles, float).reshape(-1, 2)
        vectors = Vectors(points, np.arange(0, len(points) + 1, 3))
        _, flat = fill("POLYGON", vectors, (12, 12))
        assert np.sort(flat).tolist() == list(range(144))


@given(
    st.lists(
        st.tuples(st.floats(-5, 25), st.floats(-5, 25)),
        min_size=3,
        max_size=12,
    )
)
def test_any_polygon_has_the_pixels_with_an_odd_number_of_crossings(corners):
    points = np.array(corners).round(3) + 0.0005
    _, flat = fill("POLYGON", Vectors(points, np.array([0, len(points)])), (20, 21))
    drawn = np.zeros((20, 21), int)
    drawn.ravel()[flat] = 1
    expected = np.zeros_like(drawn)
    ends = np.roll(points, -1, axis=0)
    for row, column in np.ndindex(drawn.shape):
        crossings = 0
        for (x, y), (x_end, y_end) in zip(points, ends, strict=True):
            if (y <= row) != (y_end <= row):
                crossings += x + (row - y) / (y_end - y) * (x_end - x) <= column + 5e-7
        expected[row, column] = crossings % 2
    np.testing.assert_array_equal(drawn, expected)


def test_what_lies_outside_is_left_out(annotate):
    away = [np.array([(-50.0, -50.0), (-20.0, -50.0), (-20.0, -20.0)])]
    over = [np.array([(-5.0, -5.0), (500.0, -5.0), (500.0, 3.0), (-5.0, 3.0)])]
    group = annotate(AnnotationOptions("POLYGON", away + over)).group
    drawn = group.rasterize().values
    assert (drawn[:3] == 2).all()
    assert not drawn[3:].any()
