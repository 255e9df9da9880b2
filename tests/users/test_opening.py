"""How users open a slide with xarray: chunks, groups, keywords and ways to write a path."""

import os

import numpy as np
import pytest
import xarray as xr

from dicomslide import open_slide
from tests.users.test_selecting import same

ENGINE = "dicomslide"


def open_tree(folder, **options) -> xr.Dataset:
    return xr.open_datatree(folder, engine=ENGINE, **options)["level_0"].to_dataset()


def open_dataset(folder, **options) -> xr.Dataset:
    return xr.open_dataset(folder, engine=ENGINE, **options)


def open_groups(folder, **options) -> xr.Dataset:
    return xr.open_groups(folder, engine=ENGINE, **options)["/level_0"]


def open_with_dicomslide(folder, **options) -> xr.Dataset:
    return open_slide(folder).to_datatree(**options)["level_0"].to_dataset()


DOORS = [open_tree, open_dataset, open_groups, open_with_dicomslide]
ROWS, COLUMNS = (16, 16, 16, 16, 6), (24, 24, 24, 18)


@pytest.mark.parametrize("door", DOORS)
def test_each_frame_is_one_chunk(written, door):
    level = door(written.folder, chunks={})
    sizes = level.chunksizes
    assert (sizes["y"], sizes["x"]) == (ROWS, COLUMNS)
    assert set(sizes["channel"]) == set(sizes["focal_plane"]) == {1}
    assert len(sizes["channel"]) == level.sizes["channel"]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "chunks",
    [
        "auto",
        {"y": "auto", "x": "auto"},
        {"y": "auto"},
        {"y": 32, "x": "auto"},
        {"y": "64MiB", "x": "64MiB"},
        {"channel": -1, "focal_plane": -1},
    ],
)
def test_chunks_may_have_other_sizes(written, door, chunks):
    level = door(written.folder, chunks=chunks)
    image = level.image
    assert image.chunks is not None
    if isinstance(chunks, dict):
        assert (
            level.chunksizes["y"][0] == {"auto": 70, "64MiB": 70, 32: 32, None: 16}[chunks.get("y")]
        )
        assert len(level.chunksizes["x"]) == (4 if chunks.get("x") is None else 1)
        if "channel" in chunks:
            assert len(level.chunksizes["channel"]) == len(level.chunksizes["focal_plane"]) == 1
    same(image, open_tree(written.folder).image.values)


def test_a_size_in_words_is_that_of_a_chunk(make_slide):
    folder = make_slide(size=(600, 900), tile=(16, 24)).folder
    for chunks in ("100kB", {"y": "100kB", "x": "100kB"}):
        rows, columns = open_with_dicomslide(folder, chunks=chunks).image.chunks[2:4]
        # 100,000 bytes are 33,333 pixels, or 86 frames, of which 9 by 9 are a square
        assert (rows[0], columns[0]) == (9 * 16, 9 * 24)
    # Where the matrix ends there are more of them along the other axis
    rows, columns = open_with_dicomslide(folder, chunks="1MB").image.chunks[2:4]
    # 333,333 pixels are 868 frames: 29 by 29
    assert (rows[0], columns[0]) == (29 * 16, 29 * 24)
    rows, columns = open_with_dicomslide(folder, chunks={"y": 64, "x": "100kB"}).image.chunks[2:4]
    assert (rows[0], columns[0]) == (64, 33333 // 64 // 24 * 24)


@pytest.mark.parametrize(
    "chunks", ["many", {"y": "many"}, {"y": "1kB", "x": "2kB"}, {"z": "auto"}, {"channel": "x"}]
)
def test_sizes_that_are_none_are_errors(written, chunks):
    with pytest.raises(ValueError, match="chunks"):
        open_with_dicomslide(written.folder, chunks=chunks)


def test_variables_of_a_level_are_chunked_alike(make_slide):
    folder = make_slide(size=(450, 450), segmentations=("BINARY",)).folder
    for chunks in ("auto", "20kB", {"y": "20kB", "x": 48}):
        level = open_with_dicomslide(folder, chunks=chunks)
        assert level.image.chunks[2:4] == level.segmentation.chunks[2:]


def test_the_engine_takes_the_standard_keywords(written):
    options = {
        "decode_times": False,
        "decode_timedelta": False,
        "decode_coords": "all",
        "concat_characters": False,
        "mask_and_scale": True,
        "create_default_indexes": True,
        "cache": False,
        "inline_array": True,
    }
    for door in DOORS[:3]:
        xr.testing.assert_identical(
            door(written.folder, **options).load(), door(written.folder).load()
        )
        door(written.folder, use_cftime=False)


def test_values_are_not_decoded_where_that_is_not_wanted(make_slide):
    folder = make_slide(segmentations=("FRACTIONAL", "BINARY")).folder
    for door in DOORS[:3]:
        # xr.open_groups does not hand decode_cf on
        given = "mask_and_scale" if door is open_groups else "decode_cf"
        assert door(folder, **{given: False}).segmentation.dtype == np.uint8
        some = door(folder, mask_and_scale={"segmentation": False})
        assert some.segmentation.dtype == np.uint8


def test_a_group_opens_as_a_tree(written):
    tree = xr.open_datatree(written.folder, engine=ENGINE, group="level_1")
    assert [node.path for node in tree.subtree] == ["/"]
    same(
        tree["image"], xr.open_dataset(written.folder, engine=ENGINE, group="level_1").image.values
    )
    tree = xr.open_datatree(written.folder, engine=ENGINE, group="/associated/")
    assert list(tree.children) == ["label"]
    same(tree["label/image"], written.label)


def test_a_group_opens_as_groups(written):
    groups = xr.open_groups(written.folder, engine=ENGINE, group="associated")
    assert list(groups) == ["/label"]
    with pytest.raises(ValueError, match="there is no 'level_7', only /, /associated/label, /lev"):
        xr.open_groups(written.folder, engine=ENGINE, group="level_7")


def test_a_home_folder_is_expanded(written, monkeypatch):
    monkeypatch.setenv("HOME", str(written.folder.parent))
    path = f"~/{written.folder.name}"
    expected = xr.open_datatree(written.folder)
    xr.testing.assert_identical(xr.open_datatree(path), expected)
    xr.testing.assert_identical(open_slide(path).to_datatree(None), expected)


@pytest.mark.parametrize("pattern", ["*", "*.dcm", "[a-z]*", "../{name}/*"])
def test_a_pattern_opens_the_files_that_match(written, pattern):
    path = os.path.join(written.folder, pattern.format(name=written.folder.name))
    xr.testing.assert_identical(xr.open_datatree(path), xr.open_datatree(written.folder))


def test_a_pattern_may_match_one_level(written):
    tree = xr.open_datatree(f"{written.folder}/level-1*")
    assert list(tree.children) == ["level_0"]
    with pytest.raises(OSError, match="no such file"):
        open_slide(f"{written.folder}/nothing-*")


def test_other_files_that_a_pattern_matches_are_passed_over(make_slide, tmp_path):
    (path,) = make_slide().paths
    (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "notes.txt").write_text("of no use")
    assert list(xr.open_datatree(f"{tmp_path}/*").children) == ["level_0"]
