"""Positions and regions of a Slide: of its images, of the slide and of annotations."""

import itertools
import math
from fractions import Fraction

import highdicom as hd
import numpy as np
import pytest
from highdicom.sr import Scoord3DContentItem
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.sr.coding import Code

from dicomslide import open_slide
from dicomslide.testing import (
    ORIENTATIONS,
    orientation_from_angle,
)
from tests.slide.small import FLUORESCENCE, SMALL, read_metadata

WHITE = 255


# What turns the matrix of each orientation upright: columns to +X, rows to -Y
UPRIGHT = {
    (1, 0, 0, 0, -1, 0): lambda matrix: matrix,
    (0, 1, 0, 1, 0, 0): lambda matrix: np.rot90(matrix, 1),
    (-1, 0, 0, 0, 1, 0): lambda matrix: np.rot90(matrix, 2),
    (0, -1, 0, -1, 0, 0): lambda matrix: np.rot90(matrix, 3),
    (1, 0, 0, 0, 1, 0): np.flipud,
    (0, 1, 0, -1, 0, 0): lambda matrix: np.rot90(matrix, 2).swapaxes(0, 1),
    (-1, 0, 0, 0, -1, 0): np.fliplr,
    (0, -1, 0, 1, 0, 0): lambda matrix: matrix.swapaxes(0, 1),
}


def on_slide(level, row: float, column: float) -> tuple[float, float]:
    """X and Y of a pixel of a level (PS3.3 C.8.12.14.1.1)."""
    cosines = level.options.orientation
    if level.options.level_origins == "same":
        # One origin of all levels is one corner: the first pixel is centred half of its size within
        shift = (1 - 1 / level.factor) / 2
        row, column = row + shift, column + shift
    return tuple(
        level.origin[axis]
        + cosines[axis] * column * level.spacing[1]
        + cosines[axis + 3] * row * level.spacing[0]
        for axis in range(2)
    )


def slide_box(level, first: tuple[int, int], last: tuple[int, int]):
    """Offset and size in mm of the area of the pixels from one index up to another one."""
    corners = [on_slide(level, row - 0.5, column - 0.5) for row, column in (first, last)]
    (x0, y0), (x1, y1) = corners
    return (min(x0, x1), min(y0, y1)), (abs(x1 - x0), abs(y1 - y0))


def pixels_in(level, offset, size, border=160):
    """First and last (exclusive) index of the pixels whose centres lie in [offset, offset + size).

    Every pixel of the matrix, and as many around it, is asked where it lies.
    """
    found = []
    for axis in range(2):
        count = level.size[axis] + border
        indices = range(-border, count)
        inside = []
        for index in indices:
            place = on_slide(level, *((index, 0) if axis == 0 else (0, index)))
            # Along the X or the Y axis, whichever this index moves along
            along = 0 if abs(level.options.orientation[3 - 3 * axis]) > 0.5 else 1
            steps = (place[along] - offset[along]) / level.spacing[axis]
            extent = size[along] / level.spacing[axis]
            if 0 <= round(steps, 6) < round(extent, 6):
                inside.append(index)
        found.append((min(inside), max(inside) + 1) if inside else (0, 0))
    (top, bottom), (left, right) = found
    return (top, left), (bottom, right)


def cut(matrix, first, last, background=WHITE):
    """The pixels from one index to another of a matrix on an endless background."""
    border = 1000
    padded = np.pad(matrix, [(border, border)] * 2 + [(0, 0)], constant_values=background)
    return padded[
        first[0] + border : last[0] + border,
        first[1] + border : last[1] + border,
    ]


@pytest.fixture(scope="module", params=["one", "each"])
def thick(make_slide, request):
    return make_slide(**FLUORESCENCE, focal_planes=3, focal_planes_in=request.param)


# Pixels and the slide


@pytest.mark.parametrize(
    "orientation", [*ORIENTATIONS, orientation_from_angle(33), orientation_from_angle(260, True)]
)
def test_pixels_map_to_the_slide_as_highdicom_maps_them(make_slide, orientation):
    written = make_slide(**SMALL, orientation=orientation, pixel_spacing=(0.0005, 0.001))
    slide = open_slide(written.folder)
    indices = np.array([(0, 0), (89, 0), (0, 69), (13, 57), (-4, 200)])
    for level, dataset in enumerate(read_metadata(written)):
        to_slide = hd.spatial.PixelToReferenceTransformer.for_image(
            dataset, for_total_pixel_matrix=True
        )
        expected = to_slide(indices[:, ::-1])
        found = slide.map_pixel_indices_to_slide_coordinates(indices, level)
        assert found.shape == (5, 3)
        assert np.allclose(found, expected, rtol=0, atol=1e-9)
        assert np.array_equal(
            slide.map_slide_coordinates_to_pixel_indices(expected, level), indices
        )
        for (row, column), (x, y, _) in zip(indices.tolist(), expected, strict=True):
            assert slide.get_slide_offset((row, column), level) == pytest.approx((x, y), abs=1e-9)
            assert slide.get_pixel_indices((x, y), level) == (row, column)


def test_a_slide_position_maps_to_the_nearest_pixel(written, slide):
    for level, known in enumerate(written.levels):
        for down, across in [(0.49, 0.49), (-0.49, 0.49), (0.49, -0.49), (-0.49, -0.49)]:
            position = on_slide(known, 7 + down, 11 + across)
            assert slide.get_pixel_indices(position, level) == (7, 11)
            found = slide.map_slide_coordinates_to_pixel_indices([(*position, 0.0)], level)
            assert found.tolist() == [[7, 11]]


def test_ties_between_pixels_go_to_the_even_index(written, slide):
    for level, known in enumerate(written.levels):
        for index in range(-10, 60, 2):
            position = on_slide(known, index + 0.5, index - 0.5)
            assert slide.get_pixel_indices(position, level) == (index, index)


# Image regions


@pytest.mark.parametrize("factors", [(1, 2, 4), (1, 2.5, 3.7), (1, 3, 16)])
@pytest.mark.parametrize("level_origins", ["centres", "same"])
def test_an_image_region_begins_where_the_base_pixel_lies(make_slide, factors, level_origins):
    written = make_slide(**{**SMALL, "factors": factors}, level_origins=level_origins)
    slide = open_slide(written.folder)
    offsets = [(0, 0), (1, 3), (6, 8), (36, 24), (89, 69), (-1, -1), (-4, 80), (95, -40)]
    for (level, known), offset in itertools.product(enumerate(written.levels), offsets):
        factor = Fraction(str(known.factor))
        first = tuple(math.floor((Fraction(index) + Fraction(1, 2)) / factor) for index in offset)
        last = (first[0] + 12, first[1] + 9)
        region = slide.get_image_region(offset, level, (12, 9))
        assert np.array_equal(region, cut(known.pixels(), first, last)), (offset, level)


@pytest.mark.parametrize("level_origins", ["centres", "same"])
def test_a_base_pixel_centred_on_an_edge_lies_in_the_pixel_that_begins_there(
    make_slide, level_origins
):
    written = make_slide(**{**SMALL, "factors": (1, 2.5)}, level_origins=level_origins)
    slide = open_slide(written.folder)
    # The centres of base pixels 2, 7, 12, ... are 2.5, 7.5, 12.5, ...: multiples of 2.5
    for index in range(2, 50, 5):
        first = int((index + 0.5) / 2.5)
        expected = written.levels[1].pixels()[first : first + 3, first : first + 3]
        region = slide.get_image_region((index, index), 1, (3, 3))
        assert np.array_equal(region, expected)


@settings(max_examples=100)
@given(
    offset=st.tuples(st.integers(-150, 200), st.integers(-150, 200)),
    size=st.tuples(st.integers(0, 130), st.integers(0, 130)),
    level=st.integers(0, 2),
)
def test_an_image_region_may_extend_beyond_the_matrix(written, slide, offset, size, level):
    first = tuple(index // 2**level for index in offset)
    last = (first[0] + size[0], first[1] + size[1])
    region = slide.get_image_region(offset, level, size)
    assert region.dtype == np.uint8
    assert np.array_equal(region, cut(written.levels[level].pixels(), first, last))


def test_the_background_of_other_channels_is_zero(annotated_slide, annotated):
    for channel, matrix in [
        (1, annotated.segmentations[0].mask(0, 1)),
        (6, annotated.parametric_maps[0].stored(0, 1)),
    ]:
        region = annotated_slide.get_image_region((-5, -3), 0, (100, 90), channel)
        assert np.array_equal(region, cut(matrix[..., np.newaxis], (-5, -3), (95, 87), 0))


def test_a_negative_size_is_a_value_error(slide):
    with pytest.raises(ValueError, match="size"):
        slide.get_image_region((0, 0), 0, (-1, 5))
    with pytest.raises(ValueError, match="size"):
        slide.get_slide_region((0.0, 0.0), 0, (0.1, -0.1))


@pytest.mark.parametrize("level", [-1, 3])
def test_an_unknown_level_is_a_value_error(slide, level):
    for read in (
        lambda: slide.get_image_region((0, 0), level, (1, 1)),
        lambda: slide.get_slide_region((0, 0), level, (1, 1)),
        lambda: slide.get_pixel_indices((0, 0), level),
        lambda: slide.get_slide_offset((0, 0), level),
        lambda: slide.map_pixel_indices_to_slide_coordinates([(0, 0)], level),
        lambda: slide.map_slide_coordinates_to_pixel_indices([(0, 0, 0)], level),
    ):
        with pytest.raises(ValueError, match="level"):
            read()


# Slide regions


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("level_origins", ["centres", "same"])
def test_a_slide_region_is_upright(make_slide, orientation, level_origins):
    written = make_slide(
        **SMALL,
        orientation=orientation,
        level_origins=level_origins,
        pixel_spacing=(0.0005, 0.001),
    )
    slide = open_slide(written.folder)
    boxes = [
        ((0, 0), (90, 70)),
        ((10, 5), (21, 17)),
        ((-7, 3), (40, 100)),
        ((200, 200), (210, 205)),
    ]
    for (level, known), (first, last) in itertools.product(enumerate(written.levels), boxes):
        offset, size = slide_box(known, first, last)
        region = slide.get_slide_region(offset, level, size)
        expected = UPRIGHT[orientation](cut(known.pixels(), first, last))
        assert np.array_equal(region, expected), (level, first, last)


@settings(max_examples=60)
@given(
    orientation=st.sampled_from(ORIENTATIONS),
    level=st.integers(0, 2),
    corners=st.tuples(*[st.tuples(st.integers(-100, 150), st.integers(-100, 150))] * 2),
)
def test_any_slide_region_is_upright(make_slide, orientation, level, corners):
    written = make_slide(**SMALL, orientation=orientation)
    known = written.levels[level]
    first, last = np.sort(corners, axis=0).tolist()
    offset, size = slide_box(known, first, last)
    region = open_slide(written.folder).get_slide_region(offset, level, size)
    assert np.array_equal(region, UPRIGHT[orientation](cut(known.pixels(), first, last)))


def test_a_slide_region_has_the_pixels_whose_centres_lie_in_it(written, slide):
    known = written.levels[0]
    (x, y), (width, height) = slide_box(known, (20, 10), (50, 40))
    expected = np.rot90(known.pixels()[20:50, 10:40], 3)
    for shift_x, shift_y in itertools.product([-0.0002, 0.0002], repeat=2):
        region = slide.get_slide_region((x + shift_x, y + shift_y), 0, (width, height))
        assert np.array_equal(region, expected)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_pixel_at_the_offset_is_part_of_a_slide_region(make_slide, orientation):
    written = make_slide(**SMALL, orientation=orientation)
    slide, known = open_slide(written.folder), written.levels[1]
    for row, column in [(0, 0), (17, 5), (44, 34)]:
        region = slide.get_slide_region(on_slide(known, row, column), 1, known.spacing)
        assert np.array_equal(region, known.pixels()[row : row + 1, column : column + 1])


@settings(max_examples=60)
@given(
    orientation=st.sampled_from(ORIENTATIONS),
    level=st.integers(0, 2),
    place=st.tuples(st.floats(-60, 120), st.floats(-60, 120)),
    extent=st.tuples(st.floats(0, 60), st.floats(0, 60)),
    whole=st.booleans(),
)
def test_a_slide_region_is_the_same_tissue_in_every_orientation(
    make_slide, orientation, level, place, extent, whole
):
    written = make_slide(**SMALL, orientation=orientation)
    known = written.levels[level]
    if whole:
        # From centre to centre, where rounding errors would show
        place, extent = map(round, place), map(round, extent)
    offset = on_slide(known, *place)
    size = tuple(length * known.spacing[0] for length in extent)
    first, last = pixels_in(known, offset, size)
    region = open_slide(written.folder).get_slide_region(offset, level, size)
    assert np.array_equal(region, UPRIGHT[orientation](cut(known.pixels(), first, last)))


def test_a_slide_region_outside_the_image_is_background(slide):
    region = slide.get_slide_region((1.0, 1.0), 1, (0.02, 0.03))
    # Pixels of level 1 are a micrometre wide
    assert region.shape == (30, 20, 3)
    assert (region == WHITE).all()


def test_each_channel_and_focal_plane_has_its_slide_region(make_slide):
    written = make_slide(**FLUORESCENCE, optical_paths=2, focal_planes=2)
    slide = open_slide(written.folder)
    known = written.levels[1]
    offset, size = slide_box(known, (3, 4), (40, 30))
    for channel, plane in itertools.product(range(2), range(2)):
        expected = np.rot90(known.pixels(channel, plane)[3:40, 4:30], 3)
        assert np.array_equal(slide.get_slide_region(offset, 1, size, channel, plane), expected)


def resample(known, offset, size):
    """Interpolate a slide region of an oblique image with Pillow."""
    border = 300
    padded = np.pad(known.pixels(), [(border, border)] * 2 + [(0, 0)], constant_values=WHITE)
    a, b, _, d, e, _ = known.options.orientation
    step = known.spacing[0]
    columns, rows = round(size[0] / step), round(size[1] / step)
    x, y = offset[0] - known.origin[0], offset[1] + (rows - 1) * step - known.origin[1]
    # (column, row) of the output to (column, row) of the matrix
    affine = np.array([[a, -b, (a * x + b * y) / step], [d, -e, (d * x + e * y) / step]])
    # Pillow counts from the corners of pixels
    affine[:, 2] += border + 0.5 - affine[:, :2].sum(axis=1) / 2
    image = Image.fromarray(padded).transform(
        (columns, rows), Image.Transform.AFFINE, affine.ravel(), Image.Resampling.BILINEAR
    )
    return np.asarray(image)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [30, 118.5, -75, 200.25])
def test_a_slide_region_of_an_oblique_image_is_resampled(make_slide, angle, mirrored):
    written = make_slide(**SMALL, orientation=orientation_from_angle(angle, mirrored))
    slide = open_slide(written.folder)
    for level, known in enumerate(written.levels):
        rows, columns = known.size
        centre = on_slide(known, rows / 2, columns / 2)
        for extent in (20, 130):
            size = (known.spacing[0] * extent, known.spacing[0] * (extent - 5))
            offset = (centre[0] - size[0] / 2, centre[1] - size[1] / 2)
            region = slide.get_slide_region(offset, level, size)
            expected = resample(known, offset, size)
            assert region.shape == expected.shape == (extent - 5, extent, 3)
            assert np.abs(region.astype(int) - expected).max() <= 1


def test_segments_of_an_oblique_image_are_resampled_to_the_nearest_pixel(make_slide):
    written = make_slide(**SMALL, orientation=orientation_from_angle(33), segmentations=("BINARY",))
    slide = open_slide(written.folder)
    known = written.levels[0]
    mask = cut(written.segmentations[0].mask(0, 2)[..., np.newaxis], (-100, -100), (200, 200), 0)
    x, y = on_slide(known, 45, 35)
    rows, columns, step = 41, 53, known.spacing[0]
    region = slide.get_slide_region((x, y), 0, (columns * step, rows * step), 2)
    assert region.dtype == bool
    cosine, sine = math.cos(math.radians(33)), math.sin(math.radians(33))
    for i, j in itertools.product(range(rows), range(columns)):
        right, up = j, rows - 1 - i
        column, row = 35 + cosine * right + sine * up, 45 + sine * right - cosine * up
        assert region[i, j, 0] == mask[round(row) + 100, round(column) + 100, 0]


# Regions of annotations


def annotation(slide, graphic_type, points, frame_of_reference_uid=None):
    return Scoord3DContentItem(
        name=Code("111030", "DCM", "Image Region"),
        graphic_type=graphic_type,
        graphic_data=np.array(points, dtype=np.float64).reshape(-1, 3),
        frame_of_reference_uid=frame_of_reference_uid or slide.frame_of_reference_uid,
    )


def polygon(slide, known, corners, z=0.0):
    points = [(*on_slide(known, row, column), z) for row, column in corners]
    return annotation(slide, "POLYGON", [*points, points[0]])


# On the edges of pixels
CORNERS = [(19.5, 30), (39.5, 9.5), (35, 49.5)]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_region_of_an_annotation_is_its_bounding_box(make_slide, orientation):
    written = make_slide(**SMALL, orientation=orientation)
    slide = open_slide(written.folder)
    for level, known in enumerate(written.levels):
        region = slide.get_slide_region_for_annotation(polygon(slide, known, CORNERS), level)
        expected = UPRIGHT[orientation](cut(known.pixels(), (20, 10), (40, 50)))
        assert np.array_equal(region, expected)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("place", [(30, 40), (29.6, 40.4), (30.4, 39.6)])
def test_the_region_of_a_point_is_its_pixel(make_slide, orientation, place):
    written = make_slide(**SMALL, orientation=orientation)
    slide, known = open_slide(written.folder), written.levels[0]
    point = annotation(slide, "POINT", [(*on_slide(known, *place), 0.0)])
    region = slide.get_slide_region_for_annotation(point, 0)
    assert np.array_equal(region, known.pixels()[30:31, 40:41])


# Of the orientation of SMALL: columns run along -Y, rows along -X
@pytest.mark.parametrize(
    ("padding", "first", "last"),
    [
        (3, (17, 7), (43, 53)),
        (np.int64(3), (17, 7), (43, 53)),
        (0, (20, 10), (40, 50)),
        (0.0, (20, 10), (40, 50)),
        (0.0015, (17, 7), (43, 53)),
        ((3, 5), (17, 5), (43, 55)),
        ((0.0015, 0.0025), (17, 5), (43, 55)),
        ((1, 2, 3, 4), (17, 8), (41, 54)),
        ((0.0005, 0.001, 0.0015, 0.002), (17, 8), (41, 54)),
        ((1, 0.001, 3, 0.002), (17, 8), (41, 54)),
        (200, (-180, -190), (240, 250)),
    ],
)
def test_padding_is_left_top_right_bottom_in_pixels_or_millimetres(
    written, slide, padding, first, last
):
    known = written.levels[0]
    region = slide.get_slide_region_for_annotation(
        polygon(slide, known, CORNERS), 0, padding=padding
    )
    assert np.array_equal(region, np.rot90(cut(known.pixels(), first, last), 3))


def test_integer_padding_is_in_pixels_of_the_level(written, slide):
    known = written.levels[1]
    region = slide.get_slide_region_for_annotation(
        polygon(slide, known, CORNERS), 1, padding=(1, 2, 3, 4)
    )
    assert np.array_equal(region, np.rot90(cut(known.pixels(), (17, 8), (41, 54)), 3))


def test_integer_padding_is_in_pixels_that_need_not_be_square(make_slide):
    written = make_slide(**SMALL, pixel_spacing=(0.0005, 0.001))
    slide = open_slide(written.folder)
    known = written.levels[0]
    region = slide.get_slide_region_for_annotation(polygon(slide, known, CORNERS), 0, padding=4)
    assert np.array_equal(region, np.rot90(cut(known.pixels(), (16, 6), (44, 54)), 3))


def test_the_padding_of_a_point_goes_around_its_pixel(written, slide):
    known = written.levels[0]
    point = annotation(slide, "POINT", [(*on_slide(known, 30, 40), 0.0)])
    region = slide.get_slide_region_for_annotation(point, 0, padding=5)
    assert np.array_equal(region, np.rot90(known.pixels()[25:36, 35:46], 3))


@pytest.mark.parametrize("graphic_type", ["MULTIPOINT", "POLYLINE"])
def test_the_region_of_several_points_is_their_bounding_box(written, slide, graphic_type):
    known = written.levels[0]
    points = [(*on_slide(known, *corner), 0.0) for corner in CORNERS]
    region = slide.get_slide_region_for_annotation(annotation(slide, graphic_type, points), 0)
    assert np.array_equal(region, np.rot90(known.pixels()[20:40, 10:50], 3))


def test_the_region_of_an_ellipse_holds_all_of_it(written, slide):
    # A circle of 10 pixels around a corner of (40, 30), by the ends of two of its diameters (PS3.3
    # C.18.9.1.2)
    known = written.levels[0]
    reach = 10 / math.sqrt(2)
    ends = [(-reach, -reach), (reach, reach), (-reach, reach), (reach, -reach)]
    points = [(*on_slide(known, 39.5 + down, 29.5 + across), 0.0) for down, across in ends]
    region = slide.get_slide_region_for_annotation(annotation(slide, "ELLIPSE", points), 0)
    assert np.array_equal(region, np.rot90(known.pixels()[30:50, 20:40], 3))


def test_the_region_of_an_ellipsoid_holds_all_of_it(written, slide):
    # A ball of 10 pixels: one axis along Z, the others oblique
    known = written.levels[0]
    reach = 10 / math.sqrt(2)
    ends = [(-reach, -reach), (reach, reach), (-reach, reach), (reach, -reach), (0, 0), (0, 0)]
    heights = [0, 0, 0, 0, 0.005, -0.005]
    points = [
        (*on_slide(known, 39.5 + down, 29.5 + across), z)
        for (down, across), z in zip(ends, heights, strict=True)
    ]
    region = slide.get_slide_region_for_annotation(annotation(slide, "ELLIPSOID", points), 0)
    assert np.array_equal(region, np.rot90(known.pixels()[30:50, 20:40], 3))


@pytest.mark.parametrize(("z", "plane"), [(0.0, 0), (0.0007, 0), (0.0008, 1), (0.0015, 1),
                                          (0.0037, 2), (-0.0007, 0)])  # fmt: skip
def test_an_annotation_chooses_the_nearest_focal_plane(thick, z, plane):
    slide = open_slide(thick.folder)
    known = thick.levels[0]
    region = slide.get_slide_region_for_annotation(polygon(slide, known, CORNERS, z), 0)
    expected = np.rot90(known.pixels(focal_plane=plane)[20:40, 10:50], 3)
    assert np.array_equal(region, expected)


@pytest.mark.parametrize("z", [-0.001, 0.004, 1.5])
def test_an_annotation_far_from_all_focal_planes_is_a_value_error(thick, z):
    slide = open_slide(thick.folder)
    with pytest.raises(ValueError, match="annotation"):
        slide.get_slide_region_for_annotation(polygon(slide, thick.levels[0], CORNERS, z), 0)


def test_the_region_of_an_annotation_is_that_of_the_channel_asked_for(annotated, annotated_slide):
    known = annotated.levels[0]
    region = annotated_slide.get_slide_region_for_annotation(
        polygon(annotated_slide, known, CORNERS), 0, channel_index=2
    )
    mask = annotated.segmentations[0].mask(0, 2)[20:40, 10:50, np.newaxis]
    assert np.array_equal(region, np.rot90(mask, 3))


def test_an_annotation_of_another_frame_of_reference_is_a_value_error(slide):
    with pytest.raises(ValueError, match="annotation"):
        slide.get_slide_region_for_annotation(
            annotation(slide, "POINT", [(12.0, 27.0, 0.0)], "1.2.3"), 0
        )


@pytest.mark.parametrize("padding", [-1, (1, 2, 3), (1, -2), ()])
def test_other_paddings_are_value_errors(slide, padding):
    with pytest.raises(ValueError, match="padding"):
        slide.get_slide_region_for_annotation(
            annotation(slide, "POINT", [(12.5, 27.0, 0.0)]), 0, padding=padding
        )


@pytest.mark.parametrize("padding", ["3", (1, "2"), None])
def test_paddings_that_are_no_numbers_are_type_errors(slide, padding):
    with pytest.raises(TypeError, match=r"^padding:"):
        slide.get_slide_region_for_annotation(
            annotation(slide, "POINT", [(12.5, 27.0, 0.0)]), 0, padding=padding
        )
