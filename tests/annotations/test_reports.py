"""Regions of Structured Reports, compared with highdicom and with what they were made from."""

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

import dicomslide
from dicomslide.metadata.references import content_items
from dicomslide.testing import ORIENTATIONS

TUMOR = Code("108369006", "SCT", "Neoplasm")


def observer():
    return hd.sr.ObservationContext(
        observer_person_context=hd.sr.ObserverContext(
            observer_type=codes.DCM.Person,
            observer_identifying_attributes=hd.sr.PersonObserverIdentifyingAttributes(
                name="Doe^Jane"
            ),
        )
    )


def measurement(name, value, unit):
    return hd.sr.Measurement(name=name, value=value, unit=unit)


def group(region, identifier, area=None, finding=TUMOR):
    measurements = (
        []
        if area is None
        else [measurement(codes.SCT.Area, area, Code("mm2", "UCUM", "square millimeter"))]
    )
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(generate_uid(), identifier),
        referenced_region=region,
        finding_type=finding,
        finding_category=codes.SCT.MorphologicallyAbnormalStructure,
        measurements=measurements,
    )


@pytest.fixture
def report(make_slide, tmp_path):
    """Writes a report with regions on a small slide, and opens the slide with it."""

    def write(make, kind=hd.sr.Comprehensive3DSR, **options):
        slide = make_slide(**options)
        image = pydicom.dcmread(slide.levels[0].paths[0])
        groups = make(image)
        content = hd.sr.MeasurementReport(
            observation_context=observer(),
            procedure_reported=Code("112703", "DCM", "Whole Slide Imaging"),
            imaging_measurements=groups,
        )
        dataset = kind(
            evidence=[image],
            content=content[0],
            series_number=30,
            series_instance_uid=generate_uid(),
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer="dicomslide",
            is_complete=True,
            is_final=True,
        )
        path = tmp_path / "report.dcm"
        dataset.save_as(path)
        return dicomslide.open_slide([slide.folder, path]), path

    return write


ASIDE = np.array([1.0, 0.0, 0.0])
TRIANGLE = np.array([(12.0, 20.0, 0.0), (12.5, 20.0, 0.0), (12.25, 20.5, 0.0)])


def region_3d(image, graphic_type, points):
    return hd.sr.ImageRegion3D(graphic_type, np.array(points), image.FrameOfReferenceUID)


def region_2d(image, graphic_type, points, **options):
    source = hd.sr.SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID)
    return hd.sr.ImageRegion(graphic_type, np.array(points), source, **options)


def test_regions_of_one_finding_are_a_group(report):
    closed = np.concatenate([TRIANGLE, TRIANGLE[:1]])
    other = Code("34823008", "SCT", "Tumor necrosis")
    slide, path = report(
        lambda image: [
            group(region_3d(image, "POLYGON", closed), "first", 1.5),
            group(region_3d(image, "POLYGON", closed + ASIDE), "second"),
            group(region_3d(image, "POINT", [(12.0, 21.0, 0.0)]), "spot"),
            group(region_3d(image, "POLYGON", closed), "dead", 2.0, other),
        ]
    )
    tumor, spot, dead = slide.annotations
    assert [len(found) for found in slide.annotations] == [2, 1, 1]
    assert tumor.identifiers == ("first", "second")
    assert (tumor.label, tumor.property_type.value) == ("Neoplasm", "108369006")
    assert tumor.category.meaning == codes.SCT.MorphologicallyAbnormalStructure.meaning
    assert (tumor.graphic_type, tumor.coordinate_type) == ("POLYGON", "3D")
    expected = np.concatenate([TRIANGLE, TRIANGLE + ASIDE])
    np.testing.assert_allclose(tumor.get_slide_coordinates(), expected, rtol=0, atol=1e-6)
    (area,) = tumor.measurements
    assert (area.name.meaning, area.unit.value) == ("Area", "mm2")
    np.testing.assert_array_equal(area.values, [1.5, np.nan])
    assert spot.graphic_type == "POINT"
    assert dead.measurements[0].values.tolist() == [2.0]
    assert tumor.sop_instance_uid == pydicom.dcmread(path).SOPInstanceUID
    node = slide.to_datatree()["annotations/neoplasm"]
    assert node["tracking_identifier"].values.tolist() == ["first", "second"]
    read = hd.sr.srread(path).content.get_planar_roi_measurement_groups()
    for found, expected in zip((*tumor, spot[0], dead[0]), read, strict=True):
        values = expected.roi.value
        if expected.roi.graphic_type.value == "POLYGON":
            values = values[:-1]
        np.testing.assert_array_equal(found.points, values)


@pytest.mark.parametrize("orientation", ORIENTATIONS[:3])
@pytest.mark.parametrize("kind", [hd.sr.ComprehensiveSR, hd.sr.EnhancedSR])
def test_pixels_of_an_image_are_at_their_place(report, orientation, kind):
    pixels = np.array([(10.5, 20.5), (30.5, 20.5), (30.5, 40.5)])
    closed = np.concatenate([pixels, pixels[:1]])
    slide, _ = report(
        lambda image: [
            group(region_2d(image, "POLYLINE", closed, pixel_origin_interpretation="VOLUME"), "a"),
            group(region_2d(image, "POLYLINE", pixels), "b"),
            group(region_2d(image, "CIRCLE", [(20.0, 30.0), (23.0, 34.0)]), "c"),
            group(region_2d(image, "ELLIPSE", [(10, 9), (20, 9), (15, 6), (15, 12)]), "d"),
            group(region_2d(image, "POINT", [(5.5, 3.5)]), "e"),
        ],
        kind,
        orientation=orientation,
    )
    found = {one.identifiers[0]: one for one in slide.annotations}
    assert {name: one.graphic_type for name, one in found.items()} == {
        "a": "POLYGON",
        "b": "POLYLINE",
        "c": "ELLIPSE",
        "e": "POINT",
    }
    np.testing.assert_array_equal(found["a"].get_pixel_coordinates(0), pixels)
    expected = slide.map_pixel_indices_to_slide_coordinates([(20, 10), (20, 30), (40, 30)], 0)
    np.testing.assert_allclose(found["b"].get_slide_coordinates(), expected, rtol=0, atol=1e-9)
    assert found["c"].identifiers == ("c", "d")
    circle = found["c"].to_geodataframe(0).geometry[0]
    assert circle.bounds == pytest.approx((15, 25, 25, 35), abs=0.01)
    assert circle.area == pytest.approx(25 * np.pi, rel=0.002)
    row_column = slide.map_slide_coordinates_to_pixel_indices(found["e"][0].points, 0)
    assert row_column.tolist() == [[3, 5]]


def test_region_that_cannot_be_drawn_is_named(report, make_slide):
    _, path = report(
        lambda image: [
            group(region_3d(image, "POLYLINE", TRIANGLE), "a"),
            group(region_3d(image, "POINT", [(12.0, 21.0, 0.0)]), "b"),
        ]
    )
    dataset = pydicom.dcmread(path)
    for item in content_items(dataset):
        if item.get("GraphicType") == "POLYLINE":
            item.GraphicType = "ELLIPSOID"
    dataset.save_as(path)
    slide = dicomslide.open_slide([make_slide().folder, path])
    with pytest.warns(UserWarning, match=r"measurement group 1: Graphic Type is ELLIPSOID with 3"):
        (found,) = slide.annotations
    assert found.identifiers == ("b",)


def test_regions_elsewhere_are_of_other_slides(report):
    slide, _ = report(
        lambda image: [
            group(hd.sr.ImageRegion3D("POINT", TRIANGLE[:1], "1.2.3"), "elsewhere"),
            group(region_3d(image, "POINT", TRIANGLE[:1]), "here"),
        ]
    )
    (found,) = slide.annotations
    assert found.identifiers == ("here",)


def test_report_without_regions_is_no_concern(report, make_slide, tmp_path):
    _, path = report(lambda image: [group(region_3d(image, "POINT", TRIANGLE[:1]), "a")])
    dataset = pydicom.dcmread(path)
    del dataset.ContentSequence
    del dataset.CurrentRequestedProcedureEvidenceSequence
    dataset.save_as(path)
    assert dicomslide.open_slide([make_slide().folder, path]).annotations == ()
