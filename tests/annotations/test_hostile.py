"""Damaged annotations: clear errors, before memory is taken."""

import numpy as np
import pydicom
import pytest

import dicomslide
from dicomslide.testing import AnnotationOptions
from tests.annotations.conftest import draw


@pytest.fixture
def damage(annotate):
    """Changes the item of a group, and opens the slide."""

    def change(alter, kind="POLYGON", count=1, dtype="f4"):
        sizes = {"size": np.where(np.arange(7 * count) % 2, 1.0, np.nan)}
        annotated = annotate(
            AnnotationOptions(kind, draw(kind, dtype) * count, "cells", sizes),
            AnnotationOptions("POINT", draw("POINT"), "others"),
        )
        dataset = pydicom.dcmread(annotated.path)
        alter(dataset, dataset.AnnotationGroupSequence[0])
        dataset.save_as(annotated.path)
        return annotated.open()

    return change


def indices(item, change):
    found = np.frombuffer(item.LongPrimitivePointIndexList, "<u4").copy()
    change(found)
    item.LongPrimitivePointIndexList = found.tobytes()


def values_of(item):
    return item.MeasurementsSequence[0].MeasurementValuesSequence[0]


@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (
            lambda _, i: setattr(i, "NumberOfAnnotations", 4_000_000_000),
            "Number of Annotations is 4000000000, expected at most",
        ),
        (
            lambda _, i: setattr(i, "NumberOfAnnotations", i.NumberOfAnnotations - 1),
            "Long Primitive Point Index List has 7",
        ),
        (
            lambda _, i: setattr(i, "PointCoordinatesData", i.PointCoordinatesData[:-2]),
            "expected numbers of 4 bytes each",
        ),
        (
            lambda _, i: setattr(i, "PointCoordinatesData", i.PointCoordinatesData[:-4]),
            "expected at least one point of 2 coordinates for each",
        ),
        (
            lambda _, i: setattr(i, "PointCoordinatesData", i.PointCoordinatesData[:8]),
            "expected at least one point of 2 coordinates for each",
        ),
        (lambda _, i: delattr(i, "LongPrimitivePointIndexList"), "has 0 indices, expected 7"),
        (lambda _, i: setattr(i, "GraphicType", "STAR"), "Graphic Type is STAR, expected"),
        (lambda _, i: delattr(i, "NumberOfAnnotations"), "damaged attributes"),
        (
            lambda _, i: setattr(i, "DoublePointCoordinatesData", bytes(16)),
            "Point Coordinates Data and Double Point Coordinates Data",
        ),
    ],
)
def test_group_that_contradicts_itself_is_left_out_with_a_warning(damage, alter, message, count):
    slide = damage(alter, count=count)
    with pytest.warns(UserWarning, match=rf"annotations [\d.]+, group 1.*{message}"):
        (group,) = slide.annotations
    assert group.label == "others"


@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize(
    "change",
    [
        lambda found: np.put(found, 0, 0),
        lambda found: np.put(found, 0, 3),
        lambda found: np.put(found, 2, found[1]),
        lambda found: np.put(found, [1, 2], found[[2, 1]]),
        lambda found: np.put(found, -1, 4_000_000_000),
        lambda found: np.put(found, 3, found[3] + 1),
        lambda found: np.subtract(found, 1, out=found),
    ],
)
def test_index_list_that_is_wrong_is_an_error(damage, change, count):
    slide = damage(lambda _, i: indices(i, change), count=count)
    group = slide.annotations[0]
    for read in (
        lambda: group.vectors,
        lambda: group.bounding_boxes,
        lambda: group.rasterize().compute(),
        lambda: slide.to_datatree()["annotations/cells/slide_x"].compute(),
        lambda: group[0],
        lambda: group.to_geodataframe(),
    ):
        with pytest.raises(ValueError, match="group 1: Long Primitive Point Index List"):
            read()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_coordinates_that_are_no_numbers_are_an_error(damage, value):
    def alter(dataset, item):
        found = np.frombuffer(item.PointCoordinatesData, "<f4").copy()
        found[5] = value
        item.PointCoordinatesData = found.tobytes()

    group = damage(alter).annotations[0]
    with pytest.raises(ValueError, match="group 1: a coordinate is not a finite number"):
        group.get_slide_coordinates()


def test_large_coordinates_are_numbers(damage):
    def alter(dataset, item):
        found = np.frombuffer(item.PointCoordinatesData, "<f4").copy()
        found[:] = 3e38
        item.PointCoordinatesData = found.tobytes()

    assert len(damage(alter).annotations[0].vectors.points)


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda v: setattr(v, "AnnotationIndexList", bytes(12)), "has numbers from 0 to 0"),
        (
            lambda v: setattr(v, "AnnotationIndexList", np.array([1, 8, 3], "<u4").tobytes()),
            "has numbers from 1 to 8, expected 1 to 7",
        ),
        (lambda v: setattr(v, "AnnotationIndexList", bytes(8)), "has 3 values, expected 2"),
        (lambda v: delattr(v, "AnnotationIndexList"), "has 3 values, expected 7"),
        (
            lambda v: setattr(v, "FloatingPointValues", v.FloatingPointValues[:-2]),
            "expected numbers of 4 bytes each",
        ),
    ],
)
def test_measurements_that_contradict_the_number_of_annotations(damage, alter, message):
    group = damage(lambda _, i: alter(values_of(i))).annotations[0]
    with pytest.raises(ValueError, match=message):
        np.asarray(group.measurements[0].values)


def test_file_that_is_cut_off_is_warned_about(annotate):
    annotated = annotate(AnnotationOptions("POLYGON", draw("POLYGON") * 300))
    whole = annotated.path.read_bytes()
    for length in (500, len(whole) // 2, len(whole) - 1):
        annotated.path.write_bytes(whole[:length])
        with pytest.warns(UserWarning, match="left out"):
            slide = annotated.open()
        assert slide.annotations == ()


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda d: setattr(d, "AnnotationCoordinateType", "4D"), "is 4D, expected 2D or 3D"),
        (
            lambda d: delattr(d, "ReferencedImageSequence"),
            "2D coordinates without Referenced Image Sequence",
        ),
        (
            lambda d: setattr(d, "PixelOriginInterpretation", "FRAME"),
            "Referenced Frame Number is None; expected one frame",
        ),
    ],
)
def test_coordinate_system_that_is_not_known(damage, alter, message):
    slide = damage(lambda d, _: alter(d))
    with pytest.warns(UserWarning, match=message):
        assert slide.annotations == ()


def test_frame_that_does_not_exist(damage):
    def alter(dataset, item):
        dataset.PixelOriginInterpretation = "FRAME"
        dataset.ReferencedImageSequence[0].ReferencedFrameNumber = 99

    with pytest.warns(UserWarning, match="refers to frame 99 of image"):
        assert damage(alter).annotations == ()


def test_group_without_annotations_is_empty(damage):
    def alter(dataset, item):
        item.NumberOfAnnotations = 0
        del item.PointCoordinatesData, item.LongPrimitivePointIndexList, item.MeasurementsSequence

    slide = damage(alter)
    group = slide.annotations[0]
    assert len(group) == len(group.bounding_boxes) == len(group.to_geodataframe()) == 0
    assert not group.rasterize().values.any()
    node = slide.to_datatree()["annotations/cells"].load()
    assert dict(node.sizes) == {"annotation": 0, "node": 0}


def test_words_in_the_place_of_numbers_are_an_error():
    dataset = pydicom.Dataset()
    dataset.add_new("PointCoordinatesData", "UT", "1, 2")
    with pytest.raises(dicomslide.DicomSlideError, match="expected binary numbers"):
        dicomslide.annotations.numbers.stored_numbers(dataset, "PointCoordinatesData", "x", "f4")
