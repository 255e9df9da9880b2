"""Derived images in everything that opens a slide: listed, or left out where that is asked for."""

import shutil
import warnings

import numpy as np
import pytest
import xarray as xr
import zarr

from dicomslide import open_slide, open_slides
from dicomslide.cli import main
from tests.slide.derived import SLIDE, make_mask, read_level, write_map, write_segment


@pytest.fixture(scope="module")
def folder(make_slide, tmp_path_factory):
    """A slide with a region on a level, one off all grids, and a map off all grids."""
    written = make_slide(**SLIDE)
    place = tmp_path_factory.mktemp("derived")
    for path in written.paths:
        shutil.copy(path, place)
    source = read_level(written, 0)
    write_segment(place / "a.dcm", source, make_mask((9, 8)), (5, 3), label="tumour")
    write_segment(place / "b.dcm", source, make_mask((11, 7)), (5.5, 3), label="necrosis")
    write_map(place / "c.dcm", source, np.ones((13, 6)), (0.5, 3), label="PERFUSION")
    return place


@pytest.mark.parametrize("opened", [lambda f, **o: open_slides(f, **o)[0], open_slide])
def test_a_slide_is_opened_without_derived_images(folder, opened):
    assert opened(folder).num_channels == 4
    slide = opened(folder, include_derived=False)
    assert slide.num_channels == 1
    assert slide.derived_images == ()
    assert set(slide.to_datatree().children) == {"level_0", "level_1", "level_2"}


def test_the_engine_opens_a_tree_without_derived_images(folder):
    tree = xr.open_datatree(folder, engine="dicomslide")
    assert "segmentation" in tree["level_0"]
    assert set(tree["derived"].children) == {"segmentation", "parametric_map"}
    tree = xr.open_datatree(folder, engine="dicomslide", include_derived=False)
    assert set(tree.children) == {"level_0", "level_1", "level_2"}
    assert list(tree["level_0"].data_vars) == ["image"]
    level = xr.open_dataset(folder, engine="dicomslide", include_derived=False)
    assert list(level.data_vars) == ["image"]


def test_the_engine_opens_a_node_of_its_own(folder):
    node = xr.open_dataset(folder, engine="dicomslide", group="derived/segmentation")
    np.testing.assert_array_equal(node["segmentation"][0, 0], make_mask((11, 7)))


def test_the_command_lists_derived_images(folder, capsys):
    assert main(["info", str(folder)]) == 0
    printed = capsys.readouterr().out
    for word in ("tumour 1", "necrosis 1", "PERFUSION"):
        assert word in printed
    lines = printed.splitlines()
    start = lines.index("Derived images") + 2
    rows = [line.split()[:3] for line in lines[start : lines.index("", start)]]
    assert sorted(rows) == [["PARAMETER", "13", "6"], ["SEGMENT", "11", "7"]]


def test_the_command_leaves_derived_images_out_where_asked_to(folder, tmp_path, capsys):
    assert main(["info", str(folder), "--no-derived"]) == 0
    printed = capsys.readouterr().out
    assert "Derived images" not in printed
    assert "tumour" not in printed
    store = tmp_path / "slide.ome.zarr"
    assert main(["export", str(folder), str(store), "--no-derived"]) == 0
    assert "labels" not in zarr.open_group(str(store), mode="r")
    # What is off all grids would be warned of
    assert "left out" not in capsys.readouterr().err


def test_the_command_warns_of_derived_images_that_it_cannot_export(folder, tmp_path, capsys):
    store = tmp_path / "slide.ome.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["export", str(folder), str(store)]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert len(lines) == 1
    assert "derived/segmentation (necrosis 1)" in lines[0]
    assert list(zarr.open_group(str(store), mode="r")["labels"]) == ["tumour_1"]
