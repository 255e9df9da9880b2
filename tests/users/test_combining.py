"""What users make of levels, parts of levels and several scans."""

import numpy as np
import pytest
import xarray as xr

from tests.users.test_selecting import SPACING, same


def test_mean_of_each_segment_is_that_of_its_pixels(bright_field):
    level = bright_field.level
    found = level.image.groupby(level.label_map.compute()).mean().compute()
    # A segment hides those before it
    numbers = level.label_map.values[0]
    assert set(found.label_map.values) == set(np.unique(numbers)) > {0}
    pixels = bright_field.pixels()[0, 0]
    for number in found.label_map.values:
        means = pixels[numbers == number].mean(axis=0)
        np.testing.assert_allclose(found.sel(label_map=number).squeeze().values, means)


def test_a_table_of_pixels_becomes_the_tree_again(slide):
    stacked = slide.image.stack(pixel=("y", "x"))
    assert stacked.sizes["pixel"] == 70 * 90
    back = stacked.unstack("pixel").transpose(*slide.image.dims)
    same(back, slide.pixels())


def test_reindexing_gives_the_pixels_of_other_positions(slide):
    y = np.arange(0, 40) * SPACING
    same(slide.image.reindex(y=y, method="nearest"), slide.pixels()[:, :, :40])
    beyond = slide.image.reindex(y=[-1.0, 0.0])
    assert np.isnan(beyond.isel(y=0)).all()
    same(beyond.isel(y=1), slide.pixels()[:, :, 0])


def test_pixels_can_be_put_on_the_grid_of_a_coarser_level(slide):
    coarse = slide.tree["level_1"].to_dataset()
    found = slide.image.reindex_like(coarse, method="nearest", tolerance=SPACING)
    assert (found.sizes["y"], found.sizes["x"]) == (35, 45)
    np.testing.assert_array_equal(found.y, coarse.y)
    assert found.shape == coarse.image.shape
    means = slide.image.coarsen(y=2, x=2).mean()
    np.testing.assert_allclose(means.y, coarse.y, atol=1e-12)
    np.testing.assert_allclose(means.slide_x, coarse.slide_x, atol=1e-8)


def test_concatenated_parts_are_the_whole(slide):
    parts = [slide.level.isel(y=slice(0, 25)), slide.level.isel(y=slice(25, None))]
    for whole in (
        xr.concat(parts, "y", data_vars="minimal", coords="minimal", compat="override"),
        xr.combine_by_coords(
            parts, data_vars="minimal", coords="minimal", compat="override", join="outer"
        ),
    ):
        same(whole.image, slide.pixels())
        np.testing.assert_array_equal(whole.slide_x, slide.level.slide_x)


def test_merged_parts_are_the_whole(slide):
    parts = [
        slide.level[["image"]].isel(y=slice(0, 30)),
        slide.level[["image"]].isel(y=slice(30, 70)),
    ]
    merged = xr.merge(parts, join="outer", compat="no_conflicts")
    same(merged.image, slide.pixels())


def test_aligned_parts_have_common_positions(slide):
    first, second = xr.align(
        slide.image.isel(y=slice(0, 40)), slide.image.isel(y=slice(20, 60)), join="outer"
    )
    assert first.sizes["y"] == second.sizes["y"] == 60
    assert np.isnan(first.isel(y=slice(40, 60))).all()
    same(second.isel(y=slice(20, 60)), slide.pixels()[:, :, 20:60])
    inner = xr.align(first, slide.image.isel(y=slice(20, 60)), join="inner")[0]
    assert inner.sizes["y"] == 40


def test_two_scans_can_be_concatenated(slide, second_scan):
    scans = xr.concat([slide.image, second_scan], "scan", coords="different", compat="equals")
    same(scans.isel(scan=0), slide.pixels())
    same(scans.isel(scan=1), second_scan.values)
    # They lie at different places of the glass
    assert scans.slide_x.dims == ("scan", "y")


def test_two_scans_can_be_subtracted(slide, second_scan):
    difference = slide.image.astype(int) - second_scan
    same(difference, slide.pixels().astype(int) - second_scan.values)
    masked = slide.image.where(second_scan > 100)
    expected = np.where(second_scan.values > 100, slide.pixels(), np.nan)
    np.testing.assert_array_equal(masked, expected)
    merged = xr.merge([slide.image, second_scan.rename("other")], compat="minimal", join="outer")
    assert set(merged.data_vars) == {"image", "other"}
    np.testing.assert_array_equal(merged.other, second_scan)


def test_segments_can_be_merged(bright_field):
    level = bright_field.level
    merged = xr.merge(
        [level[["segmentation"]].sel(segment=[1, 2]), level[["segmentation"]].sel(segment=[2, 3])],
        join="outer",
        compat="no_conflicts",
    )
    assert merged.segment.values.tolist() == [1, 2, 3]
    assert merged.label.values.tolist() == level.label.values.tolist()


def test_map_blocks_gives_each_block_to_a_function(slide):
    for image in (slide.image, slide.image.chunk(y=32), slide.image.chunk(y=32, x=-1, channel=1)):
        found = xr.map_blocks(lambda part: part + 1, image)
        same(found, slide.pixels() + 1)
        np.testing.assert_array_equal(found.slide_x, slide.image.slide_x)


def test_map_over_datasets_gives_all_nodes_to_a_function(slide):
    means = slide.tree.map_over_datasets(lambda node: node.mean())
    np.testing.assert_allclose(float(means["level_0/image"]), slide.pixels().mean())
    np.testing.assert_allclose(float(means["associated/label/image"]), slide.written.label.mean())
    halves = slide.tree["level_1"] // 2
    same(halves["image"], slide.pixels(level=1) // 2)


def test_positions_between_pixels_are_interpolated(slide):
    between = slide.image.interp(y=[3.5 * SPACING], x=[6 * SPACING])
    pixels = slide.pixels().astype(float)
    same(
        between.round(6), ((pixels[:, :, 3, 6] + pixels[:, :, 4, 6]) / 2)[:, :, None, None].round(6)
    )


@pytest.mark.parametrize("name", ["shift", "pad", "rolling", "diff"])
def test_neighbours_of_pixels_can_be_used(slide, name):
    pixels = slide.pixels().astype(float)
    found = {
        "shift": lambda image: image.shift(y=1).isel(y=slice(1, None)),
        "pad": lambda image: image.pad(y=1, mode="edge").isel(y=slice(0, 69)),
        "rolling": lambda image: image.rolling(y=2).max().isel(y=slice(1, None)),
        "diff": lambda image: image.astype(float).diff("y"),
    }[name](slide.image)
    above, below = pixels[:, :, :-1], pixels[:, :, 1:]
    expected = {
        "shift": above,
        "pad": np.concatenate([above[:, :, :1], above[:, :, :-1]], axis=2),
        "rolling": np.maximum(above, below),
        "diff": below - above,
    }[name]
    np.testing.assert_array_equal(found, expected)
