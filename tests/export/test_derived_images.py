"""Images derived from a part of a slide: what is written, and what is left out with a warning."""

import numpy as np
import pytest
import zarr

from dicomslide import open_slide, to_ome_zarr
from tests.slide.derived import (
    INTERCEPT,
    SLIDE,
    SLOPE,
    make_mask,
    paste,
    read_level,
    write_map,
    write_segment,
)


@pytest.fixture(scope="module", params=("centres", "same"))
def written(request, make_slide):
    return make_slide(**SLIDE, level_origins=request.param)


@pytest.fixture
def export(written, tmp_path):
    """Writes a store of the slide with other files, and opens it."""

    def write(*paths, **options):
        to_ome_zarr(open_slide([*written.paths, *paths]), tmp_path / "store", **options)
        return zarr.open_group(str(tmp_path / "store"), mode="r")

    return write


@pytest.mark.parametrize(("level", "kind"), [(0, "BINARY"), (1, "FRACTIONAL"), (2, "LABELMAP")])
def test_a_region_is_a_label_image_at_its_place(written, export, tmp_path, kind, level):
    numbers = np.random.default_rng(1).integers(0, 3, (14, 12), dtype=np.uint8)
    numbers[0, 0], at = 2, (5, 3)
    stored = {"BINARY": numbers > 0, "FRACTIONAL": numbers / 255, "LABELMAP": numbers}[kind]
    path = write_segment(tmp_path / "a.dcm", read_level(written, level), stored, at, kind=kind)
    group = export(path)
    (name,) = group["labels"]
    values = numbers > 0 if kind == "BINARY" else numbers
    expected = paste(values, at, written.levels[level].size, 0)
    np.testing.assert_array_equal(group[f"labels/{name}/{level}"][0], expected)
    for number in range(3):
        assert group[f"labels/{name}/{number}"].shape[1:] == written.levels[number].size


def test_regions_of_one_meaning_at_several_levels_are_not_mixed_up(written, export, tmp_path):
    masks = [make_mask((14, 12), seed) for seed in range(2)]
    paths = [
        write_segment(tmp_path / f"{level}.dcm", read_level(written, level), mask, (5, 3))
        for level, mask in enumerate(masks)
    ]
    group = export(*paths)
    assert sorted(group["labels"]) == ["region_1", "region_1_2"]
    for level, (name, mask) in enumerate(zip(("region_1", "region_1_2"), masks, strict=True)):
        expected = paste(mask, (5, 3), written.levels[level].size, False)
        np.testing.assert_array_equal(group[f"labels/{name}/{level}"][0], expected)
    # The second one is made for level 1, and repeats its pixels at the base level
    repeated = np.repeat(np.repeat(masks[1], 2, axis=0), 2, axis=1)
    np.testing.assert_array_equal(
        group["labels/region_1_2/0"][0], paste(repeated, (10, 6), (90, 70), False)
    )


@pytest.mark.parametrize("kind", ["float", "integer"])
def test_parameters_of_a_region_are_not_known_around_it(written, export, tmp_path, kind):
    stored = np.arange(168.0).reshape(14, 12)
    path = write_map(tmp_path / "a.dcm", read_level(written, 0), stored, (5, 3), kind=kind)
    values = stored * SLOPE + INTERCEPT if kind == "integer" else stored
    array = export(path)["parametric_map/0"]
    np.testing.assert_array_equal(array[0, 0], paste(values, (5, 3), (90, 70), np.nan))


def test_derived_images_off_all_grids_are_left_out_with_one_warning(written, export, tmp_path):
    source = read_level(written, 0)
    paths = [
        write_segment(tmp_path / "a.dcm", source, make_mask((9, 8)), (5.5, 3), label="tumour"),
        write_segment(tmp_path / "b.dcm", source, make_mask((9, 8)), (5.5, 4), label="necrosis"),
        write_map(tmp_path / "c.dcm", source, np.ones((9, 8)), (5.5, 5), label="PERFUSION"),
        write_segment(tmp_path / "d.dcm", source, make_mask((9, 8)), (5, 3)),
    ]
    with pytest.warns(UserWarning, match="left out") as caught:
        group = export(*paths)
    assert len(caught) == 1
    for name in ("derived/segmentation ", "tumour 1", "necrosis 1", "PERFUSION"):
        assert name in str(caught[0].message)
    assert list(group["labels"]) == ["region_1"]
    assert "parametric_map" not in group


def test_segments_that_are_not_wanted_are_not_warned_of(written, export, tmp_path):
    source = read_level(written, 0)
    path = write_segment(tmp_path / "a.dcm", source, make_mask((9, 8)), (5.5, 3))
    assert "labels" not in export(path, labels=False)


def test_a_tree_that_was_opened_is_exported_alike(written, tmp_path):
    path = write_segment(tmp_path / "a.dcm", read_level(written, 0), make_mask((9, 8)), (5.5, 3))
    tree = open_slide([*written.paths, path]).to_datatree(None)
    with pytest.warns(UserWarning, match=r"derived/segmentation \(region 1\)") as caught:
        to_ome_zarr(tree, tmp_path / "store")
    assert len(caught) == 1
