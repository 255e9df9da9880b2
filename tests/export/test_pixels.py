"""The pixels of a store are those of the slide, each frame is decoded once."""

import json
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from pydicom.uid import JPEGBaseline8Bit

from dicomslide import Slide, open_slide, to_ome_zarr
from dicomslide.export import grid
from dicomslide.testing import make_wide_gamut_profile

KINDS = [
    (1, 1, {"factors": (1, 2, 4)}),
    (1, 1, {"factors": (1, 1.5, 3.3)}),
    (2, 1, {"samples": 1, "bits": 16, "factors": (1, 2)}),
    (2, 3, {"samples": 1, "bits": 12, "factors": (1, 2)}),
    (2, 2, {"factors": (1, 2)}),
    (1, 1, {"samples": 1, "bits": 16, "signed": True}),
    (1, 1, {"organization": "TILED_SPARSE", "sparse": "gaps", "factors": (1, 2)}),
]


@pytest.mark.parametrize(
    ("version", "channels", "planes", "options"),
    [
        *[("0.5", *kind) for kind in KINDS],
        *[(version, *kind) for version in ("0.4", "0.6") for kind in KINDS[3:5]],
    ],
)
def test_all_levels_are_equal(
    make_slide, export, channels_first, version, channels, planes, options
):
    written = make_slide(optical_paths=channels, focal_planes=planes, **options)
    group = export(written, version=version)
    assert sorted(group.array_keys()) == [str(level.index) for level in written.levels]
    assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
    for level in written.levels:
        expected = channels_first(level, channels, planes)
        stored = group[str(level.index)]
        assert stored.dtype == expected.dtype
        np.testing.assert_array_equal(stored[...], expected)


@pytest.mark.parametrize("size", [(70, 90), (7, 300)])
@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"chunks": 20},
        {"chunks": (16, 24), "shards": (32, 72)},
        {"chunks": (3, 1, 10, 10)},
        {"chunks": (3, 1, 16, 24), "shards": (3, 1, 48, 48)},
        {"chunks": 1000, "shards": 2000},
    ],
)
def test_many_tasks_write_chunks_of_their_own(
    make_slide, export, channels_first, monkeypatch, size, sizes
):
    # Small blocks make a small slide as divided as a large one
    monkeypatch.setattr(grid, "_BLOCK_BYTES", 1)
    written = make_slide(size=size, factors=(1, 2))
    group = export(written, **sizes)
    for level in written.levels:
        np.testing.assert_array_equal(group[str(level.index)][...], channels_first(level))


@pytest.mark.parametrize("chunks", ["frames", "auto", (32, 48), None])
def test_tree_is_as_good_as_its_slide(make_slide, channels_first, tmp_path, chunks):
    written = make_slide(factors=(1, 2), optical_paths=2, segmentations=("BINARY",))
    tree = open_slide(written.folder).to_datatree(chunks)
    to_ome_zarr(tree, tmp_path / "tree.zarr")
    group = zarr.open_group(str(tmp_path / "tree.zarr"))
    for level in written.levels:
        np.testing.assert_array_equal(group[str(level.index)][...], channels_first(level, 2))
    mask = written.segmentations[0].mask(0, 1)
    np.testing.assert_array_equal(group["labels/nucleus/0"][0], mask)


@pytest.mark.parametrize("version", ["0.5", "0.6"])
def test_slide_and_its_tree_make_the_same_store(make_slide, tmp_path, everything, version):
    """Both have all that is known of channels, segments and places."""
    folder = make_slide(**everything).folder
    to_ome_zarr(open_slide(folder), tmp_path / "slide.zarr", version=version)
    tree = xr.open_datatree(folder, engine="dicomslide")
    to_ome_zarr(tree, tmp_path / "tree.zarr", version=version)
    slide, other = (
        {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()}
        for store in (tmp_path / "slide.zarr", tmp_path / "tree.zarr")
    )
    # At the top it also says what the store was made of, for one that is to be resumed
    one, two = (json.loads(files.pop(Path("zarr.json"))) for files in (slide, other))
    assert other == slide
    assert two["attributes"]["ome"] == one["attributes"]["ome"]


@pytest.mark.parametrize("chunks", ["frames", None])
def test_part_of_a_tree_lies_where_it_was(make_slide, channels_first, image_of, tmp_path, chunks):
    written = make_slide(factors=(1,), optical_paths=2)
    tree = open_slide(written.folder).to_datatree(chunks)
    part = tree.isel(y=slice(10, 61), x=slice(33, 70)).sel(channel=["2"])
    to_ome_zarr(part, tmp_path / "part.zarr")
    group = zarr.open_group(str(tmp_path / "part.zarr"))
    expected = channels_first(written.levels[0], 2)[3:, :, 10:61, 33:70]
    np.testing.assert_array_equal(group["0"][...], expected)
    (dataset,) = image_of(group)["multiscales"][0]["datasets"]
    translation = dataset["coordinateTransformations"][1]["translation"]
    assert translation == pytest.approx([0, 0, 10 * 0.5, 33 * 0.5])


def test_one_of_several_slides_in_a_tree_can_be_written(make_slide, channels_first, tmp_path):
    slides = {f"slide_{seed}": make_slide(seed=seed, label=True) for seed in (1, 2)}
    trees = {name: open_slide(one.folder).to_datatree() for name, one in slides.items()}
    both = xr.DataTree(children=trees)
    to_ome_zarr(both["slide_2"], tmp_path / "slide.zarr", associated=True)
    group = zarr.open_group(str(tmp_path / "slide.zarr"))
    np.testing.assert_array_equal(group["0"][...], channels_first(slides["slide_2"].levels[0]))
    assert "label" in group["associated"]


def test_pixels_may_be_computed(make_slide, channels_first, tmp_path):
    written = make_slide(factors=(1, 2))
    tree = open_slide(written.folder).to_datatree()
    inverted = tree.map_over_datasets(lambda level: 255 - level if "image" in level else level)
    to_ome_zarr(inverted, tmp_path / "inverted.zarr")
    group = zarr.open_group(str(tmp_path / "inverted.zarr"))
    np.testing.assert_array_equal(group["1"][...], 255 - channels_first(written.levels[1]))


def test_colours_are_corrected_as_the_slide_says(make_slide, channels_first, tmp_path):
    written = make_slide(icc_profile=make_wide_gamut_profile())
    stored = {}
    for correct in (True, False):
        to_ome_zarr(open_slide(written.folder, correct_color=correct), tmp_path / f"{correct}")
        stored[correct] = zarr.open_group(str(tmp_path / f"{correct}"))["0"][...]
    expected = channels_first(written.levels[0])
    np.testing.assert_array_equal(stored[False], expected)
    slide = open_slide(written.folder)
    corrected = slide.get_image_region((0, 0), 0, written.levels[0].size)
    np.testing.assert_array_equal(stored[True][:, 0], np.moveaxis(corrected, -1, 0))
    assert (stored[True] != expected).any()


@pytest.mark.parametrize("levels", ["stored", "dyadic"])
@pytest.mark.parametrize("block_bytes", [1, 4 * 16 * 24 * 3, 2**24])
def test_every_frame_is_read_once(
    make_slide, open_all_counted, tmp_path, monkeypatch, levels, block_bytes
):
    monkeypatch.setattr(grid, "_BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(grid, "_CHUNK_SIDE", 40)
    monkeypatch.setattr("dicomslide.export.content._SMALLEST_LEVEL", 10)
    kinds = {"segmentations": ("BINARY", "LABELMAP"), "parametric_maps": ("float",)}
    written = make_slide(factors=(1, 4), optical_paths=2, label=True, **kinds)
    client, datasets = open_all_counted(written.paths)
    slide = Slide(client, datasets, 0)
    to_ome_zarr(slide, tmp_path / "slide.zarr", levels=levels, associated=True)
    frames = sorted(chain.from_iterable(client.requests))
    counts = [int(dataset.get("NumberOfFrames", 1)) for dataset in datasets]
    assert frames == sorted(chain.from_iterable(map(range, counts)))


def test_frames_are_not_read_before_computing(make_slide, open_all_counted, tmp_path):
    written = make_slide(factors=(1, 2), transfer_syntax=JPEGBaseline8Bit)
    client, datasets = open_all_counted(written.paths)
    slide = Slide(client, datasets, 0)
    tasks = to_ome_zarr(slide, tmp_path / "slide.zarr", compute=False)
    assert client.requests == []
    assert tasks.compute() == []
    assert sorted(chain.from_iterable(client.requests)) == sorted([*range(20), *range(6)])


def test_xarray_writes_the_tree_in_a_layout_of_its_own(make_slide, tmp_path):
    written = make_slide(factors=(1, 2), label=True)
    tree = open_slide(written.folder).to_datatree("auto")
    tree.to_zarr(tmp_path / "tree.zarr", consolidated=False)
    back = xr.open_datatree(tmp_path / "tree.zarr", engine="zarr", consolidated=False)
    for path in ("level_0", "level_1", "associated/label"):
        xr.testing.assert_equal(
            back[path].to_dataset(),
            tree[path].to_dataset(),
        )
