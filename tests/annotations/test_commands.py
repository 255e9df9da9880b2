"""The commands for annotations, and what `info` tells of them."""

import csv
import json

import geopandas
import numpy as np
import pytest
from pydicom.sr.codedict import codes

import dicomslide
from dicomslide.cli import annotations
from dicomslide.testing import AnnotationOptions
from tests.annotations.conftest import draw


@pytest.fixture
def folder(annotate, tmp_path):
    """A folder with links to a slide, and two groups of annotations."""
    annotated = annotate(
        AnnotationOptions("POLYGON", draw("POLYGON"), "Tumor", {"size": np.arange(7.0)}),
        AnnotationOptions("POINT", draw("POINT"), "Mitosis"),
    )
    folder = tmp_path / "slide"
    folder.mkdir()
    for path in (*annotated.slide.paths, annotated.path):
        (folder / path.name).symlink_to(path)
    return folder


def test_info_has_a_line_for_each_group(run, folder):
    code, lines, errors = run("info", folder)
    assert (code, errors) == (0, [])
    start = lines.index("Annotations")
    table = [line.split() for line in lines[start + 1 : start + 4]]
    assert table == [
        ["number", "graphic", "label", "type", "category", "by", "measured"],
        ["7", "POLYGON", "Tumor", "Cell", "Anatomical", "Structure", "AUTOMATIC", "size"],
        ["7", "POINT", "Mitosis", "Cell", "Anatomical", "Structure", "AUTOMATIC"],
    ]
    _, lines, _ = run("info", folder, "--json")
    first, second = json.loads("\n".join(lines))["slides"][0]["annotations"]
    assert (first["count"], first["measurements"]) == (7, ["size"])
    assert second["property_types"] == [{"value": "4421005", "scheme": "SCT", "meaning": "Cell"}]
    code, lines, _ = run("info", folder, "--no-derived")
    assert code == 0
    assert "Annotations" not in lines


def test_info_of_several_slides_counts_annotations(run, folder, make_slide):
    _, lines, _ = run("info", folder, make_slide(container_identifier="other").folder)
    assert lines[0].split()[-1] == "annotations"
    assert lines[1].split()[-1] == "14"


def test_annotations_are_listed_as_info_does(run, folder):
    _, lines, _ = run("info", folder)
    start = lines.index("Annotations")
    code, listed, errors = run("annotations", folder)
    assert (code, errors) == (0, [])
    assert listed == lines[start + 1 : start + 4]


def test_slide_without_annotations_says_so(run, make_slide, tmp_path):
    folder = make_slide().folder
    assert run("annotations", folder) == (0, ["no annotations"], [])
    code, _, errors = run("annotations", folder, "--csv", tmp_path / "a.csv")
    assert code == 2
    assert errors == [f"dicomslide: error: {folder}: there are no annotations"]


def test_csv_has_a_line_for_each(run, folder, tmp_path):
    out = tmp_path / "cells.csv"
    assert run("annotations", folder, "--csv", out) == (0, [f"{out}: 14 annotations"], [])
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    group = dicomslide.open_slide(folder).annotations[0]
    assert [row["label"] for row in rows] == ["Tumor"] * 7 + ["Mitosis"] * 7
    assert [row["size"] for row in rows[6:8]] == ["6.0", ""]
    boxes = np.array([[float(row["x_mm"]), float(row["y_mm"])] for row in rows[:7]])
    np.testing.assert_allclose(boxes, group.bounding_boxes[:, :2], rtol=0, atol=1e-7)
    assert (rows[7]["width_mm"], rows[7]["number"]) == ("0.0", "1")


def test_tables_and_geojson_hold_the_geometries(run, folder, tmp_path):
    pytest.importorskip("pyarrow")
    groups = dicomslide.open_slide(folder).annotations
    parquet, features = tmp_path / "cells.parquet", tmp_path / "cells.geojson"
    assert run("annotations", folder, "--parquet", parquet)[0] == 0
    table = geopandas.read_parquet(parquet)
    assert table["label"].tolist() == ["Tumor"] * 7 + ["Mitosis"] * 7
    assert table.geometry[:7].geom_equals_exact(groups[0].to_geodataframe().geometry, 0).all()
    assert run("annotations", folder, "--geojson", features)[0] == 0
    found = json.loads(features.read_text(encoding="utf-8"))["features"]
    assert found == [feature for group in groups for feature in group.to_geojson()["features"]]


@pytest.mark.parametrize("coordinate_type", ["2D", "3D"])
def test_annotate_makes_what_annotations_gives(run, folder, tmp_path, coordinate_type):
    features, out, again = (tmp_path / name for name in ("a.geojson", "a.dcm", "b.geojson"))
    run("annotations", folder, "--geojson", features)
    options = ["--double", "--algorithm", "finder", "2"]
    options += ["--3d"] if coordinate_type == "3D" else []
    slide = [path for path in folder.iterdir() if path.name != "annotations.dcm"]
    assert run("annotate", slide[0], features, out, *options) == (0, [], [])
    groups = dicomslide.open_slide([*slide, out]).annotations
    assert [group.coordinate_type for group in groups] == [coordinate_type] * 2
    assert groups[0].algorithms == ("finder 2",)
    (folder / "annotations.dcm").unlink()
    (folder / "made.dcm").symlink_to(out)
    run("annotations", folder, "--geojson", again)
    first, second = (json.loads(path.read_text())["features"] for path in (features, again))
    for before, after in zip(first, second, strict=True):
        assert before["properties"] == after["properties"]
        before, after = (one["geometry"]["coordinates"] for one in (before, after))
        np.testing.assert_allclose(np.array(before), np.array(after), rtol=0, atol=1e-6)
    code, _, errors = run("annotate", slide[0], features, out)
    assert code == 2
    assert errors == [f"dicomslide: error: {out}: already exists; overwrite it explicitly"]
    assert run("annotate", slide[0], features, out, "--overwrite")[0] == 0


def test_representation_tells_of_annotations(folder):
    slide = dicomslide.open_slide(folder)
    assert repr(slide).endswith(", 2 groups of annotations>")
    assert repr(slide.annotations[0]) == "<AnnotationGroup 'Tumor': 7 x POLYGON>"
    assert slide.annotations[0].property_type.meaning == codes.SCT.Cell.meaning


def test_a_file_that_cannot_be_written_whole_is_not_there(run, folder, tmp_path, monkeypatch):
    def fail(groups):
        yield {"type": "Feature"}
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(annotations, "to_features", fail)
    out = tmp_path / "a.geojson"
    code, _, errors = run("annotations", folder, "--geojson", out)
    assert code == 2
    assert errors == [f"dicomslide: error: {out}: No space left on device"]
    assert not [path for path in tmp_path.iterdir() if "geojson" in path.name]
