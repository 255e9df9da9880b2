"""What users select from a tree: by millimetres, by names, on one node or on all."""

import asyncio

import numpy as np
import pytest
import xarray as xr

# Of the synthetic slides, in millimetres
SPACING = 0.0005


def same(found: xr.DataArray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(found.values.reshape(expected.shape), expected)


def test_a_box_on_the_glass_selects_its_pixels(slide):
    x, y = slide.image.slide_x, slide.image.slide_y
    # Rows of the synthetic slides run along -Y, columns along -X
    box = {
        "slide_x": slice(float(x[10]) + SPACING / 4, float(x[29]) - SPACING / 4),
        "slide_y": slice(float(y[20]) + SPACING / 4, float(y[59]) - SPACING / 4),
    }
    same(slide.image.sel(box), slide.pixels()[:, :, 10:30, 20:60])


def test_a_position_selects_the_nearest_pixel(slide):
    x, y = float(slide.image.slide_x[33]), float(slide.image.slide_y[44])
    found = slide.image.sel(slide_x=x + SPACING / 4, slide_y=y - SPACING / 4, method="nearest")
    same(found, slide.pixels()[:, :, 33, 44])


def test_many_positions_select_the_nearest_pixels(slide):
    rows, columns = [3, 30, 69], [80, 8, 0]
    x = xr.DataArray(slide.image.slide_x.values[rows], dims="point")
    y = xr.DataArray(slide.image.slide_y.values[columns], dims="point")
    found = slide.image.sel(slide_x=x, slide_y=y, method="nearest").transpose(..., "point")
    same(found, np.moveaxis(slide.pixels()[:, :, rows, columns], 2, -1))


def test_position_beyond_the_tolerance_selects_nothing(slide):
    x = float(slide.image.slide_x[0])
    near = slide.image.sel(slide_x=[x + SPACING / 4], method="nearest", tolerance=SPACING / 2)
    same(near, slide.pixels()[:, :, :1])
    with pytest.raises(KeyError):
        slide.image.sel(slide_x=[x + 2 * SPACING], method="nearest", tolerance=SPACING / 2)


def test_a_selection_of_all_levels_leaves_the_label_alone(slide):
    part = slide.tree.sel(y=slice(0, 20.6 * SPACING), x=slice(9.5 * SPACING, 30 * SPACING))
    same(part["level_0/image"], slide.pixels()[:, :, :21, 10:31])
    # Pixel k of level 1 is at 2 k + 0.5 pixels of the base
    same(part["level_1/image"], slide.pixels(level=1)[:, :, :11, 5:15])
    xr.testing.assert_identical(part["associated/label"].to_dataset().load(), label_of(slide))


def test_the_same_indices_are_selected_at_all_levels(slide):
    part = slide.tree.isel(y=slice(5, 9), x=[3, 1])
    for level in (0, 1):
        same(part[f"level_{level}/image"], slide.pixels(level)[:, :, 5:9][:, :, :, [3, 1]])
    xr.testing.assert_identical(part["associated/label"].to_dataset().load(), label_of(slide))


def label_of(slide) -> xr.Dataset:
    label = slide.tree["associated/label"].to_dataset().load()
    assert label.image.dims == ("row", "column", "sample")
    np.testing.assert_array_equal(label.image, slide.written.label)
    return label


def test_a_colour_is_selected_by_its_name(bright_field):
    image = bright_field.image
    assert image["sample"].values.tolist() == ["R", "G", "B"]
    same(image.sel(sample="G"), bright_field.pixels()[..., 1])
    assert bright_field.tree["associated/label/image"].sel(sample="B").dims == ("row", "column")


def test_a_channel_and_a_focal_plane_are_selected(slide):
    channel, plane = slide.image.channel.values[-1], slide.image.focal_plane.values[-1]
    found = slide.image.sel(channel=channel, focal_plane=plane, method=None)
    same(found, slide.pixels()[-1, -1])


def test_segments_are_selected_by_their_meaning(bright_field):
    level = bright_field.level
    found = level.segmentation.sel(segment=level.label == "Epithelium")
    same(found, bright_field.written.segmentations[0].mask(0, 2)[np.newaxis, np.newaxis])


def test_positions_on_the_glass_can_become_an_index(slide):
    swapped = slide.image.swap_dims(y="slide_x", x="slide_y")
    assert swapped.dims[2:4] == ("slide_x", "slide_y")
    x = float(swapped.slide_x[7])
    same(swapped.sel(slide_x=x, method="nearest"), slide.pixels()[:, :, 7])
    indexed = slide.image.set_xindex("slide_x")
    same(indexed.sel(slide_x=[x]), slide.pixels()[:, :, 7:8])


def test_positions_can_become_variables(slide):
    reset = slide.level.reset_coords(["slide_x", "slide_y"])
    assert {"slide_x", "slide_y"} <= set(reset.data_vars)
    np.testing.assert_array_equal(reset.slide_x, slide.level.slide_x)
    assert set(slide.level.reset_coords().data_vars) > {"slide_x", "description"}


def test_an_image_can_be_turned_upright(slide):
    upright = slide.image.sortby("slide_x").sortby("slide_y", ascending=False)
    same(upright, slide.pixels()[:, :, ::-1])


def test_a_table_of_pixels_has_their_positions(slide):
    part = slide.image.isel(y=slice(2, 4), x=slice(5, 8))
    table = part.to_dataframe("value")
    assert len(table) == part.size
    same(part, table["value"].to_numpy().reshape(part.shape))


def test_a_tree_loads_without_waiting(slide):
    loaded = asyncio.run(slide.level.load_async())
    same(loaded.image, slide.pixels())
    for variable in loaded.data_vars.values():
        assert isinstance(variable.variable._data, np.ndarray)
