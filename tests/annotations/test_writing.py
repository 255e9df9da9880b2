"""Annotations that were written: what others read in them, and where they lie."""

import json
import shutil
import subprocess
import warnings
from pathlib import Path

import fsspec
import geopandas
import highdicom as hd
import numpy as np
import pydicom
import pytest
import shapely
from pydicom.sr.codedict import codes
from wsidicom import WsiDicom

import dicomslide
from dicomslide.testing import ORIENTATIONS
from tests.annotations.conftest import GRAPHIC_TYPES, draw

# The validator reports this of every instance with pixels, whether it has the attribute or not
FALSE_ALARM = (
    "Error - Only valid for AnnotationCoordinateType of 3D - attribute <CommonZCoordinateValue>"
)


def arrays(kind, **options):
    graphics = draw(kind, **options)
    return np.concatenate(graphics), np.array([len(one) for one in graphics])


@pytest.fixture
def slide(make_slide):
    return dicomslide.open_slide(make_slide(factors=(1, 4)).folder)


@pytest.fixture
def reopen(make_slide):
    def find(path, **options) -> tuple[dicomslide.AnnotationGroup, ...]:
        options = options or {"factors": (1, 4)}
        return dicomslide.open_slide([make_slide(**options).folder, path]).annotations

    return find


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("coordinate_type", ["2D", "3D"])
@pytest.mark.parametrize("level", [0, 1])
def test_pixels_and_millimetres_come_back(
    make_slide, tmp_path, reopen, orientation, coordinate_type, level
):
    options = {"factors": (1, 4), "orientation": orientation}
    slide = dicomslide.open_slide(make_slide(**options).folder)
    points, counts = arrays("POLYGON")
    points /= 4**level
    path = tmp_path / "cells.dcm"
    kinds = {"coordinate_type": coordinate_type, "precision": "double", "level": level}
    dicomslide.write_annotations((points, counts), path, slide=slide, **kinds)
    (group,) = reopen(path, **options)
    assert group.coordinate_type == coordinate_type
    np.testing.assert_array_equal(group.node_counts, counts)
    np.testing.assert_allclose(group.get_pixel_coordinates(level), points, rtol=0, atol=1e-7)
    rows = slide.map_slide_coordinates_to_pixel_indices(group.get_slide_coordinates(), level)
    np.testing.assert_array_equal(rows, np.floor(points[:, ::-1].round(6)))
    again = tmp_path / "again.dcm"
    dicomslide.write_annotations(
        (group.get_slide_coordinates(), counts), again, slide=slide, units="mm", **kinds
    )
    (found,) = reopen(again, **options)
    np.testing.assert_allclose(
        found.get_slide_coordinates(), group.get_slide_coordinates(), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("kind", GRAPHIC_TYPES)
@pytest.mark.parametrize("precision", ["float", "double"])
def test_highdicom_and_wsidicom_read_what_was_written(slide, tmp_path, kind, precision):
    points, counts = arrays(kind, dtype="f4")
    path = tmp_path / "cells.dcm"
    size = np.where(np.arange(7) % 3, 2.5, np.nan)
    dicomslide.write_annotations(
        (points, counts),
        path,
        slide=slide,
        graphic_type=kind,
        precision=precision,
        label="Nuclei",
        measurements={"Area µm^2": np.arange(7.0), "size": size, "none": size * np.nan},
        codes={"Nuclei": codes.SCT.Nucleus},
        category=codes.SCT.AnatomicalStructure,
        algorithm=("finder", "2.1"),
    )
    (group,) = hd.ann.annread(path).get_annotation_groups()
    assert group.label == "Nuclei"
    assert group.annotated_property_type == codes.SCT.Nucleus
    assert group.annotated_property_category == codes.SCT.AnatomicalStructure
    assert group.algorithm_identification.name == "finder"
    assert ("DoublePointCoordinatesData" in group) == (precision == "double")
    found = group.get_graphic_data("2D")
    np.testing.assert_array_equal(np.concatenate(found), points)
    np.testing.assert_array_equal([len(one) for one in found], counts)
    names, values, units = group.get_measurements()
    assert [name.meaning for name in names] == ["Area µm^2", "size"]
    assert [unit.value for unit in units] == ["um2", "1"]
    np.testing.assert_array_equal(values, np.stack([np.arange(7), size], axis=1))
    if kind not in ("ELLIPSE", "RECTANGLE"):
        # Those are a centre and a size in wsidicom
        with WsiDicom.open([*slide_files(slide), path]) as wsi:
            (instance,) = wsi.annotations
            geometries = [one.geometry for one in instance.groups[0].annotations]
        assert len(geometries) == 7
        flat = [coordinate for one in geometries for coordinate in one.to_coords()]
        np.testing.assert_allclose(flat, points, rtol=0, atol=1e-4)


def slide_files(slide):
    return {image.frame_source.name for image in slide._images}


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools are not installed")
@pytest.mark.parametrize("kind", GRAPHIC_TYPES)
@pytest.mark.parametrize("coordinate_type", ["2D", "3D"])
@pytest.mark.parametrize("precision", ["float", "double"])
def test_validator_finds_no_errors(slide, tmp_path, kind, coordinate_type, precision):
    path = tmp_path / "cells.dcm"
    dicomslide.write_annotations(
        arrays(kind),
        path,
        slide=slide,
        graphic_type=kind,
        coordinate_type=coordinate_type,
        precision=precision,
        measurements={"size": np.where(np.arange(7) % 2, 1.0, np.nan)},
        algorithm=("finder", "1"),
    )
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    errors = [line for line in lines if line.startswith("Error")]
    if coordinate_type == "2D":
        errors = [line for line in errors if not line.startswith(FALSE_ALARM)]
    assert errors == []
    # Codes of a private scheme, and attributes of specimens, which the IOD has as well (PS3.3 A.87)
    warned = [line for line in lines if line.startswith("Warning")]
    allowed = "99DICOMSLIDE", "not present in standard DICOM IOD"
    assert all(any(text in line for text in allowed) for line in warned)


QUPATH = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "id": "5b1c",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[10, 20], [16, 20], [16, 24], [10, 24], [10, 20]]],
            },
            "properties": {
                "objectType": "detection",
                "classification": {"name": "Tumor", "color": [200, 0, 0]},
                "measurements": {"Area µm^2": 24.5, "Circularity": 0.5},
            },
        },
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [5.5, 3.5]},
            "properties": {"classification": {"name": "Tumor"}},
        },
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[1, 2], [3, 2], [3, 4], [1, 2]]],
            },
            "properties": {
                "classification": {"name": "Tumor", "color": [200, 0, 0]},
                "measurements": [{"name": "Circularity", "value": 0.25}],
            },
        },
        {
            "type": "Feature",
            "geometry": {"type": "LineString", "coordinates": [[0, 0], [9, 9]]},
            "properties": {},
        },
    ],
}


@pytest.mark.parametrize("from_file", [True, False])
def test_features_of_qupath_come_and_go(slide, tmp_path, reopen, from_file):
    source = QUPATH
    if from_file:
        source = tmp_path / "cells.geojson"
        source.write_text(json.dumps(QUPATH))
    path = tmp_path / "cells.dcm"
    dicomslide.write_annotations(source, path, slide=slide, label="other", precision="double")
    groups = reopen(path)
    assert [(group.label, group.graphic_type, len(group)) for group in groups] == [
        ("Tumor", "POLYGON", 2),
        ("Tumor", "POINT", 1),
        ("other", "POLYLINE", 1),
    ]
    area, circularity = groups[0].measurements
    assert (area.name.meaning, area.unit.value) == ("Area µm^2", "um2")
    np.testing.assert_array_equal(area.values, [24.5, np.nan])
    np.testing.assert_array_equal(circularity.values, [0.5, 0.25])
    red, green, blue = bytes.fromhex(groups[0].color)
    assert (abs(red - 200) < 3, green < 3, blue < 3) == (True, True, True)
    assert groups[1].get_pixel_coordinates(0).tolist() == [[5.5, 3.5]]
    back = groups[0].to_geojson()
    assert back["type"] == "FeatureCollection"
    first, second = back["features"]
    assert first["geometry"] == QUPATH["features"][0]["geometry"]
    assert first["properties"]["classification"]["name"] == "Tumor"
    assert first["properties"]["measurements"] == {"Area µm^2": 24.5, "Circularity": 0.5}
    assert second["properties"]["measurements"] == {"Circularity": 0.25}
    assert groups[2].to_geojson()["features"][0]["geometry"] == QUPATH["features"][3]["geometry"]
    json.dumps(back)


@pytest.mark.parametrize("kind", GRAPHIC_TYPES)
def test_tables_come_and_go(slide, tmp_path, reopen, kind):
    path, again = tmp_path / "cells.dcm", tmp_path / "again.dcm"
    options = {"slide": slide, "precision": "double"}
    sizes = {"size": np.arange(7.0)}
    dicomslide.write_annotations(
        arrays(kind), path, graphic_type=kind, measurements=sizes, label="cells", **options
    )
    (group,) = reopen(path)
    table = group.to_geodataframe()
    assert table.geometry.is_valid.all()
    assert table["size"].tolist() == list(range(7))
    assert table.attrs["coordinates"] == "mm"
    np.testing.assert_allclose(table.geometry.bounds, group.bounding_boxes, rtol=0, atol=1e-5)
    dicomslide.write_annotations(table, again, units="mm", label="cells", **options)
    (found,) = reopen(again)
    other = found.to_geodataframe()
    assert other.geometry.geom_equals_exact(table.geometry, 1e-9).all()
    assert other["size"].tolist() == list(range(7))
    pixels = group.to_geodataframe(level=1)
    assert pixels.attrs["coordinates"] == "pixels of level 1"
    scale = 1 / 4
    expected = shapely.get_coordinates(group.to_geodataframe(level=0).geometry) * scale
    np.testing.assert_allclose(
        shapely.get_coordinates(pixels.geometry), expected, rtol=0, atol=1e-6
    )


def test_table_is_sorted_by_label_and_kind(slide, tmp_path, reopen):
    square, hole = shapely.box(1, 2, 5, 6), shapely.box(2, 3, 3, 4)
    table = geopandas.GeoDataFrame(
        {
            "classification": ["a", "b", "a", "a"],
            "size": [1, 2, 3, 4],
            "name": list("wxyz"),
        },
        geometry=[
            square,
            shapely.Point(1, 1),
            shapely.MultiPolygon([shapely.box(7, 7, 8, 8), shapely.box(9, 9, 10, 10)]),
            square.difference(hole),
        ],
    )
    path = tmp_path / "cells.dcm"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dicomslide.write_annotations(table, path, slide=slide)
    messages = [str(item.message) for item in caught]
    assert "1 polygons with holes" in messages[0]
    assert "1 geometries of several parts" in messages[1]
    areas, points = reopen(path)
    assert [measurement.name.meaning for measurement in areas.measurements] == ["size"]
    assert areas.measurements[0].values.tolist() == [1, 3, 3, 4]
    assert (points.label, points.get_pixel_coordinates(0).tolist()) == ("b", [[1, 1]])
    assert areas[3].points.shape == (4, 3)


def test_nothing_is_left_where_writing_fails(slide, tmp_path, monkeypatch):
    path = tmp_path / "cells.dcm"
    dicomslide.write_annotations(arrays("POINT"), path, slide=slide, graphic_type="POINT")
    before = path.read_bytes()
    with pytest.raises(OSError, match="already exists; overwrite it explicitly"):
        dicomslide.write_annotations(arrays("POLYGON"), path, slide=slide)
    dicomslide.write_annotations(arrays("POLYGON"), path, slide=slide, overwrite=True)
    assert path.read_bytes() != before
    with pytest.raises(OSError, match="nothing is written"):
        dicomslide.write_annotations(arrays("POLYGON"), path / "a.dcm", slide=slide)
    assert [file.name for file in tmp_path.iterdir()] == ["cells.dcm"]


SQUARE = np.array([(0.0, 0), (1, 0), (1, 1), (0, 1)])


@pytest.mark.parametrize(
    ("geometries", "options", "message"),
    [
        ((SQUARE, [4]), {"level": 9}, "level: there is no 9"),
        ((SQUARE, [4]), {"units": "cm"}, "units: expected pixels or mm"),
        ((SQUARE, [4]), {"coordinate_type": "4D"}, "coordinate_type: expected 2D or 3D"),
        ((SQUARE, [4]), {"precision": "half"}, "precision: expected float or double"),
        ((SQUARE, [4]), {"graphic_type": "STAR"}, "graphic_type: there is no 'STAR'"),
        ((SQUARE, [4]), {"graphic_type": "POINT"}, "has 4 to 4 points, expected 1"),
        ((SQUARE, [2, 2]), {}, "has 2 to 2 points, expected at least 3"),
        ((SQUARE, [5]), {}, "4 points, expected 5"),
        ((SQUARE, [4.0]), {}, "number of points of each as integers"),
        ((SQUARE[:, :1], [4]), {}, "expected points of shape"),
        ((SQUARE * np.nan, [4]), {}, "is not finite"),
        ((SQUARE,), {}, "expected points and their counts"),
        ((SQUARE, [4]), {"measurements": {"a": [1, 2]}}, "measurements: a has shape"),
        (QUPATH, {"measurements": {"a": [1]}}, "measurements: for arrays alone"),
        ({"type": "FeatureCollection", "features": []}, {}, "geometries: there are none"),
        ([{"type": "Feature"}], {}, "feature 0 has no geometry"),
        (
            [{"geometry": {"type": "Circle", "coordinates": [1, 2]}}],
            {},
            "0 is a Circle, expected Point",
        ),
        (
            [{"geometry": {"type": "Point", "coordinates": "here"}}],
            {},
            "0 has no coordinates",
        ),
        ("missing.geojson", {}, "missing.geojson: No such file"),
        (5, {}, "expected GeoJSON with features, got int"),
    ],
)
def test_what_cannot_be_written_is_named(slide, tmp_path, geometries, options, message):
    if isinstance(geometries, tuple):
        geometries = tuple(map(np.asarray, geometries))
    with pytest.raises(dicomslide.DicomSlideError, match=message):
        dicomslide.write_annotations(geometries, tmp_path / "a.dcm", slide=slide, **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_or_a_bucket_takes_the_file(slide, tmp_path):
    written = dicomslide.write_annotations(
        arrays("POINT"), tmp_path / "new", slide=slide, graphic_type="POINT"
    )
    assert Path(written.path) == tmp_path / "new" / f"{written.sop_instance_uid}.dcm"
    dataset = pydicom.dcmread(written.path)
    assert dataset.SOPClassUID == written.sop_class_uid
    assert dataset.SeriesInstanceUID == written.series_instance_uid
    assert written.level == 0
    there = dicomslide.write_annotations(
        arrays("POINT"), "memory://cells/points.dcm", slide=slide, graphic_type="POINT"
    )
    with fsspec.open(there.path) as file:
        assert pydicom.dcmread(file).SOPInstanceUID == there.sop_instance_uid
