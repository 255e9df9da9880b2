"""Annotations in the tree, as simple geometries of CF."""

import numpy as np
import pytest
import shapely
import xarray as xr
from cf_xarray.geometry import decode_geometries

from dicomslide.sources.localfile import LocalFile
from dicomslide.testing import ORIENTATIONS, AnnotationOptions
from tests.annotations.conftest import GRAPHIC_TYPES, draw


def decoded(node) -> xr.DataArray:
    return decode_geometries(node.to_dataset())["geometry"]


@pytest.mark.parametrize("kind", GRAPHIC_TYPES)
@pytest.mark.parametrize("orientation", [ORIENTATIONS[0], ORIENTATIONS[6]])
@pytest.mark.parametrize("engine", ["dask", "xarray"])
def test_geometries_are_those_of_the_table(annotate, kind, orientation, engine):
    annotated = annotate(AnnotationOptions(kind, draw(kind)), orientation=orientation)
    slide = annotated.open()
    tree = slide.to_datatree(chunks="frames" if engine == "dask" else None)
    node = tree["annotations/cells"]
    assert dict(node.sizes) == {"annotation": 7, "node": int(node["node_count"].sum())}
    table = slide.annotations[0].to_geodataframe()
    found = decoded(node).values
    assert all(a.equals(b) for a, b in zip(found, table.geometry, strict=True))
    assert all(geometry.is_valid for geometry in found)
    if kind not in ("POINT", "POLYLINE"):
        # Outlines run counterclockwise and do not repeat their first point (CF 7.5)
        assert shapely.is_ccw(shapely.get_exterior_ring(found)).all()
    assert node["slide_x"].attrs["units"] == "mm"
    assert node["slide_z"].shape == ()


def test_measurements_and_codes_are_there_and_survive_zarr(annotate, tmp_path):
    sizes = {"Size of cell": np.arange(7.0), "size_of cell": np.ones(7), "geometry": np.zeros(7)}
    annotated = annotate(
        AnnotationOptions("POLYGON", draw("POLYGON"), "Tumor / cells", sizes),
        AnnotationOptions("POINT", draw("POINT"), "tumor cells"),
    )
    tree = annotated.open().to_datatree()
    assert list(tree["annotations"].children) == ["tumor_cells", "tumor_cells_2"]
    node = tree["annotations/tumor_cells"]
    assert set(node.data_vars) == {
        "geometry",
        "geometry_2",
        "node_count",
        "slide_z",
        "size_of_cell",
        "size_of_cell_2",
    }
    measured = node["size_of_cell"]
    assert measured.values.tolist() == list(range(7))
    assert measured.dims == ("annotation",)
    assert measured.attrs == {
        "long_name": "Size of cell",
        "units": "um",
        "code": "990",
        "code_scheme": "99TEST",
        "geometry": "geometry",
    }
    assert node.attrs["label"] == "Tumor / cells"
    assert (node.attrs["type"], node.attrs["type_code"]) == ("Cell", "4421005")
    assert node.attrs["algorithms"] == ["synthetic cells 1"]
    tree.to_zarr(tmp_path / "tree.zarr", consolidated=False)
    with xr.open_datatree(tmp_path / "tree.zarr", engine="zarr", consolidated=False) as stored:
        for name in tree["annotations"].children:
            before, after = tree["annotations"][name], stored["annotations"][name]
            xr.testing.assert_identical(before.to_dataset().load(), after.to_dataset().load())
            assert shapely.equals(decoded(before).values, decoded(after).values).all()


def test_points_with_their_own_z_have_it_in_the_tree(annotate):
    points = [np.column_stack([one * 0.001 + 12, one[:, 0]]) for one in draw("POLYLINE")]
    node = annotate(AnnotationOptions("POLYLINE", points)).open().to_datatree()["annotations/cells"]
    np.testing.assert_array_equal(node["slide_z"], np.concatenate(points)[:, 2])
    flat = [np.column_stack([one * 0.001 + 12, np.full(len(one), 0.5)]) for one in draw("POINT")]
    node = annotate(AnnotationOptions("POINT", flat)).open().to_datatree()["annotations/cells"]
    assert node["slide_z"].item() == 0.5


def test_sizes_of_chunks_may_be_given(annotate):
    slide = annotate(AnnotationOptions("POLYGON", draw("POLYGON"))).open()
    node = slide.to_datatree(chunks={"annotation": 3, "node": -1})["annotations/cells"]
    assert node["node_count"].data.chunks == ((3, 3, 1),)
    assert len(node["slide_x"].data.chunks[0]) == 1
    whole = slide.to_datatree(chunks=None)["annotations/cells"]
    np.testing.assert_array_equal(node["node_count"], whole["node_count"])
    assert (
        whole["node_count"][[4, 1]].values.tolist() == whole["node_count"].values[[4, 1]].tolist()
    )


def test_coordinates_are_read_when_they_are_needed(annotate, monkeypatch):
    # Far more than the first part of a file, which is read to find out what it is
    points = draw("POLYGON") * 3000
    sizes = {"size": np.arange(21000.0)}
    annotated = annotate(AnnotationOptions("POLYGON", points, "cells", sizes))
    reads = []
    read, read_into = LocalFile.read, LocalFile.read_into

    def counted(self, ranges):
        ranges = list(ranges)
        if self.path == str(annotated.path):
            reads.extend(ranges)
        return read(self, ranges)

    def counted_into(self, offset, out):
        reads.append((offset, len(out)))
        read_into(self, offset, out)

    monkeypatch.setattr(LocalFile, "read", counted)
    monkeypatch.setattr(LocalFile, "read_into", counted_into)
    slide = annotated.open()
    tree = slide.to_datatree()
    (group,) = slide.annotations
    opened = sum(length for _, length in reads)
    assert annotated.path.stat().st_size > 1_900_000
    assert opened < 600_000
    assert dict(tree["annotations/cells"].sizes)["annotation"] == len(group) == 21000
    assert group.num_points == 3000 * sum(map(len, draw("POLYGON")))
    del reads[:]
    assert float(tree["annotations/cells/size"].max()) == 20999
    assert [length for _, length in reads] == [84000]
    del reads[:]
    for _ in range(2):
        assert float(tree["annotations/cells/slide_x"].max()) == group.bounding_boxes[:, 2].max()
    # Coordinates and indices, once
    assert [length for _, length in reads] == [16 * group.num_points, 84000]
    slide.close()
    assert len(group.vectors.points) == group.num_points
    assert len(reads) == 4
