"""Annotations that others wrote; skipped without the folder of real slides."""

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

import dicomslide
from dicomslide.annotations.group import AnnotationGroup
from dicomslide.annotations.places import Place
from dicomslide.annotations.reports import read_report
from dicomslide.metadata.geometry import ImageGeometry

DATA = Path(__file__).parents[3] / "shared" / "data"
FILE = DATA / "annotations" / "sm_annotations.dcm"
pytestmark = pytest.mark.skipif(not FILE.exists(), reason="there are no real slides here")


def test_annotations_of_highdicom_are_those_that_it_reads():
    slide = dicomslide.open_slide([DATA / "highdicom" / "sm_image.dcm", FILE])
    (group,) = slide.annotations
    (expected,) = hd.ann.annread(FILE).get_annotation_groups()
    points = np.concatenate(expected.get_graphic_data("2D"))
    np.testing.assert_array_equal(group.vectors.points, points)
    np.testing.assert_array_equal(group.get_pixel_coordinates(0), points)
    names, values, units = expected.get_measurements()
    (measured,) = group.measurements
    assert (measured.name.meaning, measured.unit.value) == (names[0].meaning, units[0].value)
    np.testing.assert_array_equal(measured.values, values[:, 0])
    image = pydicom.dcmread(DATA / "highdicom" / "sm_image.dcm")
    transform = hd.spatial.ImageToReferenceTransformer.for_image(image, for_total_pixel_matrix=True)
    np.testing.assert_allclose(group.get_slide_coordinates(), transform(points), rtol=0, atol=1e-9)


class Anywhere:
    """Coordinate systems of a slide that has all images and one frame of reference."""

    frame_of_reference_uid = "1.3.6.1.4.1.5962.1.4.1.1.20040119072730.12322"

    def has_image(self, uid):
        return bool(uid)

    def on_slide(self, height=None):
        return Place((), height=height)

    def on_image(self, uid, frame):
        assert uid
        assert frame is None
        return Place((), ImageGeometry((0, 0, 0), (1, 0, 0, 0, 1, 0), (1, 1)))


def test_regions_of_reports_are_those_that_highdicom_reads():
    # These are of other images than slides, but regions are stored in the same way
    path = DATA / "annotations" / "sr_document_with_multiple_groups.dcm"
    content = hd.sr.srread(path).content
    planar = content.get_planar_roi_measurement_groups()
    circles = [one for one in planar if one.roi and one.roi.graphic_type.value == "CIRCLE"]
    found = [
        (group, index)
        for group in read_report(pydicom.dcmread(path), Anywhere())
        if isinstance(group, AnnotationGroup)
        for index in range(len(group))
    ]
    by_name = {group.identifiers[index]: (group, index) for group, index in found}
    assert circles
    for expected in circles:
        group, index = by_name[expected.tracking_identifier]
        assert group.graphic_type == "ELLIPSE"
        assert group.property_type.value == expected.finding_type.value
        centre, edge = expected.roi.value
        points, starts = group.vectors
        own = points[starts[index] : starts[index + 1]]
        np.testing.assert_allclose(own.mean(axis=0), centre, rtol=0, atol=1e-9)
        radii = np.linalg.norm(own - centre, axis=1)
        np.testing.assert_allclose(radii, np.linalg.norm(edge - centre), rtol=0, atol=1e-9)
        for value in expected.get_measurements():
            (measured,) = [m for m in group.measurements if m.name.value == value.name.value]
            assert measured.values[index] == value.value
            assert measured.unit.value == value.unit.value
