"""Microscopy Bulk Simple Annotations: positions, values, and what others read in them."""

import highdicom as hd
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

import dicomslide
from dicomslide.testing import ORIENTATIONS, AnnotationOptions
from tests.annotations.conftest import GRAPHIC_TYPES, draw


def positions(path, columns_and_rows) -> NDArray:
    """Millimetres of pixels that count from the corner (PS3.3 C.8.12.14, C.10.5.1.2)."""
    image = pydicom.dcmread(path, stop_before_pixels=True)
    origin = image.TotalPixelMatrixOriginSequence[0]
    measures = image.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    between_rows, between_columns = map(float, measures.PixelSpacing)
    along_row, along_column = np.array(image.ImageOrientationSlide, float).reshape(2, 3)
    start = [
        float(origin.XOffsetInSlideCoordinateSystem),
        float(origin.YOffsetInSlideCoordinateSystem),
        0,
    ]
    columns, rows = np.asarray(columns_and_rows, float).T[:, :, np.newaxis] - 0.5
    return start + columns * between_columns * along_row + rows * between_rows * along_column


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_pixels_of_all_graphic_types_are_at_their_place(annotate, orientation, dtype):
    graphics = {kind: draw(kind, dtype) for kind in GRAPHIC_TYPES}
    options = [AnnotationOptions(kind, points) for kind, points in graphics.items()]
    annotated = annotate(*options, orientation=orientation)
    for group, points in zip(annotated.open().annotations, graphics.values(), strict=True):
        flat = np.concatenate(points)
        expected = positions(annotated.slide.levels[0].paths[0], flat)
        np.testing.assert_allclose(group.get_slide_coordinates(), expected, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(group.get_pixel_coordinates(0), flat)
        np.testing.assert_array_equal(group.node_counts, [len(one) for one in points])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("kind", GRAPHIC_TYPES)
@pytest.mark.parametrize("is_flat", [True, False])
def test_millimetres_stay_as_they_are(annotate, kind, dtype, is_flat):
    random = np.random.default_rng(1)
    points = []
    for one in draw(kind):
        z = np.full(len(one), 0.25) if is_flat else random.random(len(one))
        points.append(np.column_stack([one * 0.001 + 12, z]).astype(dtype))
    group = annotate(AnnotationOptions(kind, points)).group
    assert group.coordinate_type == "3D"
    # Points that share one Z are stored without it
    assert group.vectors.points.shape[1] == (2 if is_flat else 3)
    np.testing.assert_array_equal(group.get_slide_coordinates(), np.concatenate(points))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_half_a_pixel_is_right_both_ways(annotate, orientation):
    # The centre of the pixel in row 3 and column 5
    annotated = annotate(
        AnnotationOptions("POINT", [np.array([(5.5, 3.5)])]), orientation=orientation
    )
    slide = annotated.open()
    (group,) = slide.annotations
    centre = slide.map_pixel_indices_to_slide_coordinates(np.array([(3, 5)]), 0)
    np.testing.assert_allclose(group.get_slide_coordinates(), centre, rtol=0, atol=1e-12)
    found = slide.map_slide_coordinates_to_pixel_indices(group.get_slide_coordinates(), 0)
    assert found.tolist() == [[3, 5]]
    back = annotate(AnnotationOptions("POINT", [centre]), orientation=orientation).group
    np.testing.assert_allclose(back.get_pixel_coordinates(0), [(5.5, 3.5)], rtol=0, atol=1e-9)


@pytest.mark.parametrize("orientation", [ORIENTATIONS[0], ORIENTATIONS[5]])
def test_pixels_of_a_level_have_the_corner_of_the_base(annotate, orientation):
    points = draw("POLYGON")
    annotated = annotate(
        AnnotationOptions("POLYGON", [one / 4 for one in points]),
        level=1,
        factors=(1, 4),
        orientation=orientation,
    )
    flat = np.concatenate(points)
    expected = positions(annotated.slide.levels[0].paths[0], flat)
    group = annotated.group
    np.testing.assert_allclose(group.get_slide_coordinates(), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(group.get_pixel_coordinates(0), flat, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(group.get_pixel_coordinates(1), flat / 4)


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
@pytest.mark.parametrize("count", [1, 200])
def test_values_are_those_of_highdicom(annotate, syntax, count):
    groups = [
        AnnotationOptions(
            kind,
            draw(kind, "f4") * count,
            label=f"{kind} cells",
            measurements={
                "size": np.arange(7.0 * count),
                "some": np.where(np.arange(7 * count) % 3, 1.5, np.nan),
            },
        )
        for kind in GRAPHIC_TYPES
    ]
    annotated = annotate(*groups, syntax=syntax)
    for found, expected in zip(
        annotated.open().annotations,
        hd.ann.annread(annotated.path).get_annotation_groups(),
        strict=True,
    ):
        assert found.label == expected.label
        assert found.uid == expected.uid
        assert found.number == expected.number
        assert found.graphic_type == expected.graphic_type.value
        assert found.property_type.value == expected.annotated_property_type.value
        assert found.category.value == expected.annotated_property_category.value
        assert found.generation_type == expected.algorithm_type.value
        assert found.algorithms == ("synthetic cells 1",)
        assert len(found) == expected.number_of_annotations
        points = expected.get_graphic_data("2D")
        np.testing.assert_array_equal(found.vectors.points, np.concatenate(points))
        np.testing.assert_array_equal(found.node_counts, [len(one) for one in points])
        names, values, units = expected.get_measurements()
        assert [m.name.meaning for m in found.measurements] == [name.meaning for name in names]
        assert [m.unit.value for m in found.measurements] == [unit.value for unit in units]
        np.testing.assert_array_equal(
            np.stack([m.values for m in found.measurements], axis=1), values
        )


def test_big_endian_numbers_are_read(annotate):
    points = draw("POLYGON", "f4") * 50
    annotated = annotate(
        AnnotationOptions("POLYGON", points, measurements={"size": np.arange(350.0)})
    )
    expected = annotated.group.vectors
    dataset = pydicom.dcmread(annotated.path)
    for element in dataset.iterall():
        if element.VR in ("OF", "OL"):
            element.value = np.frombuffer(element.value, "<u4").astype(">u4").tobytes()
    # pydicom writes the rest in the order of the transfer syntax
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    pydicom.dcmwrite(annotated.path, dataset, little_endian=False, implicit_vr=False)
    group = annotated.group
    np.testing.assert_array_equal(group.vectors.points, expected.points)
    np.testing.assert_array_equal(group.vectors.starts, expected.starts)
    np.testing.assert_array_equal(group.measurements[0].values, np.arange(350.0))


def test_items_of_undefined_length_are_read(annotate):
    annotated = annotate(
        AnnotationOptions("POLYGON", draw("POLYGON") * 50),
        AnnotationOptions("POINT", draw("POINT")),
    )
    expected = [group.vectors for group in annotated.open().annotations]
    dataset = pydicom.dcmread(annotated.path)
    for element in dataset.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
    dataset.save_as(annotated.path)
    for group, vectors in zip(annotated.open().annotations, expected, strict=True):
        np.testing.assert_array_equal(group.vectors.points, vectors.points)
        np.testing.assert_array_equal(group.vectors.starts, vectors.starts)


def test_coordinates_of_a_frame_count_from_its_corner(annotate):
    # Frames of 16 rows and 24 columns in 4 columns: frame 7 is the third one in the second row
    annotated = annotate(AnnotationOptions("POINT", [np.array([(2.0, 3.0)])]))
    dataset = pydicom.dcmread(annotated.path)
    dataset.PixelOriginInterpretation = "FRAME"
    dataset.ReferencedImageSequence[0].ReferencedFrameNumber = 7
    dataset.save_as(annotated.path)
    assert annotated.group.get_pixel_coordinates(0).tolist() == [[50.0, 19.0]]


def test_single_annotations_and_parts_of_a_group(annotate):
    points = draw("POLYGON")
    sizes = np.arange(7.0)
    group = annotate(AnnotationOptions("POLYGON", points, measurements={"size": sizes})).group
    one = group[-2]
    assert (one.index, one.graphic_type, one.measurements) == (5, "POLYGON", {"size": 5.0})
    assert one.points.shape == (len(points[5]), 3)
    for index, expected in (
        (slice(1, 6, 2), [1, 3, 5]),
        ([4, 0, 4], [4, 0, 4]),
        (sizes > 4, [5, 6]),
        ([], []),
    ):
        part = group[index]
        assert len(part) == len(expected)
        np.testing.assert_array_equal(part.measurements[0].values, expected)
        flat = [points[k] for k in expected] or [np.empty((0, 2))]
        np.testing.assert_array_equal(part.get_pixel_coordinates(0), np.concatenate(flat))
    for wrong in (7, [7], [-8]):
        with pytest.raises(IndexError, match="there are 7 annotations"):
            group[wrong]
    with pytest.raises(TypeError, match="index: expected an integer"):
        group["size"]


@pytest.mark.parametrize("kind", GRAPHIC_TYPES)
@pytest.mark.parametrize("orientation", [ORIENTATIONS[0], ORIENTATIONS[3]])
def test_clip_finds_what_touches_a_rectangle(annotate, kind, orientation):
    shapely = pytest.importorskip("shapely")
    group = annotate(AnnotationOptions(kind, draw(kind)), orientation=orientation).group
    boxes = group.bounding_boxes
    if kind != "ELLIPSE":
        for index in range(len(group)):
            x, y, _ = group[index].points.T
            np.testing.assert_array_equal(boxes[index], [x.min(), y.min(), x.max(), y.max()])
    middle = np.median(boxes, axis=0)
    x, y = (middle[0], middle[2]), (middle[3], middle[1])
    found = group.clip(x=x, y=y)
    wanted = shapely.box(x[0], y[1], x[1], y[0])
    inside = [shapely.box(*box).intersects(wanted) for box in boxes]
    np.testing.assert_array_equal(found.bounding_boxes, boxes[inside])
    assert len(group.clip()) == len(group)


def test_region_of_an_annotation_is_its_bounding_box(annotate):
    square = np.array([(10.0, 20.0), (16.0, 20.0), (16.0, 24.0), (10.0, 24.0)])
    annotated = annotate(AnnotationOptions("RECTANGLE", [square]), orientation=ORIENTATIONS[0])
    slide = annotated.open()
    (group,) = slide.annotations
    region = slide.get_slide_region_for_annotation(group[0], 0)
    expected = annotated.slide.levels[0].pixels()[20:24, 10:16]
    np.testing.assert_array_equal(region, expected)


def test_slide_without_annotations_has_none(make_slide):
    assert dicomslide.open_slide(make_slide().folder).annotations == ()
