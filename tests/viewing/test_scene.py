"""What the viewer shows of a slide: layers, axes and overlays, where the slide has them."""

import dask.array as da
import numpy as np
import pydicom
import pytest
import xarray as xr
from PIL import Image

import dicomslide
from dicomslide.display.orientation import upright
from dicomslide.errors import ArgumentTypeError, ArgumentValueError, SelectionError, StoreError
from dicomslide.testing import (
    ORIENTATIONS,
    ParametricMapOptions,
    SegmentationOptions,
    orientation_from_angle,
)
from dicomslide.viewing.document import make_document, make_plot
from dicomslide.viewing.scene import TILE, Scene
from tests.viewing.conftest import Answer

SIZE = (300, 400)


def pixels_of(encoded):
    return Answer(200, {}, encoded.content).pixels


def make_scene(folder, overlays=None, **options):
    return Scene("slide", dicomslide.open_slide(folder), overlays, **options)


def layer_pixels(scene, name, power=0, row=0, column=0, **wishes):
    """Draw a tile of the layer of a name."""
    names = [layer["name"] for layer in scene.describe()["layers"]]
    return pixels_of(scene.draw_tile(names.index(name), power, row, column, 0, wishes))


class TestTiles:
    def test_of_the_base_level_are_its_pixels(self, make_slide):
        slide = make_slide(size=SIZE)
        scene, pixels = make_scene(slide.folder), slide.levels[0].pixels()
        for row in range(2):
            for column in range(2):
                tile = pixels_of(scene.draw_tile(0, 0, row, column, 0, {}))
                top, left = row * TILE, column * TILE
                np.testing.assert_array_equal(tile, pixels[top : top + TILE, left : left + TILE])

    def test_the_smallest_is_the_whole_slide(self, make_slide):
        scene = make_scene(make_slide(size=SIZE).folder)
        assert scene.powers == 2
        assert pixels_of(scene.draw_tile(0, 1, 0, 0, 0, {})).shape == (150, 200, 3)

    @pytest.mark.parametrize(
        "place",
        [(1, 0, 0, 0, 0), (0, 2, 0, 0, 0), (0, 0, 2, 0, 0), (0, 0, 0, 2, 0), (0, 0, 0, 0, 1)],
    )
    def test_there_are_no_others(self, make_slide, place):
        scene = make_scene(make_slide(size=SIZE).folder)
        with pytest.raises(SelectionError):
            scene.draw_tile(*place, {})

    def test_show_channels_as_they_are_wanted(self, make_slide):
        slide = make_slide(size=SIZE, samples=1, optical_paths=2)
        scene = make_scene(slide.folder)
        tile = pixels_of(scene.draw_tile(0, 0, 0, 0, 0, {"channels": "1:00FF00:0:255"}))
        expected = slide.levels[0].pixels(1)[:TILE, :TILE, 0]
        np.testing.assert_array_equal(tile[..., 1], expected)
        assert not tile[..., [0, 2]].any()

    @pytest.mark.parametrize(
        "wish",
        ["2", "-1", "a", "0:red:0:1", "0:FF0000:0", "0:FF0000:nan:1", "0,0", "0:FF0000:0:inf"],
    )
    def test_other_wishes_are_refused(self, make_slide, wish):
        scene = make_scene(make_slide(size=SIZE, samples=1, optical_paths=2).folder)
        with pytest.raises(ArgumentValueError):
            scene.draw_tile(0, 0, 0, 0, 0, {"channels": wish})


class TestValues:
    def test_are_those_of_the_channels_that_are_shown(self, make_slide):
        slide = make_slide(size=SIZE, samples=1, optical_paths=3)
        scene = make_scene(slide.folder)
        found = scene.tell_values(0, 20, 30, 0, {0: {"channels": "0,2"}})
        first, third = (int(slide.levels[0].pixels(path)[20, 30, 0]) for path in (0, 2))
        assert found == [f"Nuclei {first}", f"Epithelium {third}"]

    def test_tell_the_segment(self, make_slide):
        slide = make_slide(size=SIZE, segmentations=("BINARY",))
        scene = make_scene(slide.folder)
        row, column = np.argwhere(slide.segmentations[0].mask(level=0, segment=1))[0].tolist()
        assert scene.tell_values(0, row, column, 0, {1: {}, 2: {}, 3: {}}) == ["Nucleus"]

    def test_there_are_none_beside_the_slide(self, make_slide):
        scene = make_scene(make_slide(size=SIZE).folder)
        assert scene.tell_values(0, 300, 0, 0, {0: {}}) == []


class TestDerivedImages:
    def test_segments_are_masks_in_their_colors(self, make_slide):
        slide = make_slide(size=SIZE, segmentations=("BINARY",))
        tile = layer_pixels(make_scene(slide.folder), "Epithelium")
        mask = slide.segmentations[0].mask(level=0, segment=2)[:TILE, :TILE]
        np.testing.assert_array_equal(tile[..., 3] == 255, mask)
        assert set(map(tuple, tile[mask].tolist())) == {(0x28, 0xAA, 0x5A, 255)}

    def test_a_color_may_be_wanted(self, make_slide):
        slide = make_slide(size=SIZE, segmentations=("BINARY",))
        tile = layer_pixels(make_scene(slide.folder), "Epithelium", color="112233")
        assert tile[..., :3].reshape(-1, 3).max(axis=0).tolist() == [0x11, 0x22, 0x33]

    def test_a_label_map_is_one_layer_with_a_legend(self, make_slide):
        slide = make_slide(size=SIZE, segmentations=("LABELMAP",))
        scene = make_scene(slide.folder)
        layers = scene.describe()["layers"]
        assert [layer["kind"] for layer in layers] == ["slide", "labels"]
        assert [item["name"] for item in layers[1]["legend"]] == ["Nucleus", "Epithelium", "Stroma"]
        tile = layer_pixels(scene, "label map")
        for number, item in enumerate(layers[1]["legend"], 1):
            mask = slide.segmentations[0].mask(level=0, segment=number)[:TILE, :TILE]
            color = (*bytes.fromhex(item["color"]), 255)
            np.testing.assert_array_equal((tile == color).all(axis=-1), mask)

    def test_parameters_are_shown_in_the_colors_of_a_palette(self, make_slide):
        maps = (ParametricMapOptions(parameters=("haematoxylin",), levels=(0,)),)
        slide = make_slide(size=SIZE, parametric_maps=maps)
        scene = make_scene(slide.folder)
        layer = scene.describe()["layers"][1]
        assert (layer["kind"], layer["name"]) == ("quantity", "HAEMATOXYLIN")
        values = slide.parametric_maps[0].values(level=0, parameter=0)[:TILE, :TILE]
        tile = layer_pixels(scene, "HAEMATOXYLIN", window="0:1")
        # Dark violet to yellow
        assert tile[values <= 0][0].tolist() == [0x44, 0x01, 0x54, 255]
        assert tile[values >= 1][0].tolist() == [0xFD, 0xE7, 0x24, 255]

    def test_one_that_is_off_the_grid_lies_where_it_says(self, make_slide):
        """A level of a factor that no level has is not that of the segments."""
        written = make_slide(
            size=SIZE, factors=(1, 3), segmentations=(SegmentationOptions(levels=(1,)),)
        )
        own = written.levels[1].instances[0].file_name
        paths = [path for path in written.paths if path.name != own]
        scene = Scene("slide", dicomslide.open_slide(paths))
        mask = written.segmentations[0].mask(level=1, segment=2)
        expected = mask.repeat(3, axis=0).repeat(3, axis=1)[:TILE, :TILE]
        found = layer_pixels(scene, "Epithelium")[..., 3] == 255
        np.testing.assert_array_equal(found, expected[: found.shape[0], : found.shape[1]])


class TestOverlays:
    @pytest.fixture
    def slide(self, make_slide):
        return make_slide(size=SIZE, factors=(1, 2))

    @pytest.fixture
    def mask(self):
        mask = np.zeros((150, 200), bool)
        mask[20:60, 10:110] = True
        return mask

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_lie_where_their_coordinates_say_on_slides_that_are_turned(
        self, make_slide, mask, orientation
    ):
        slide = make_slide(size=SIZE, factors=(1, 2), orientation=orientation)
        level = dicomslide.open_slide(slide.folder).to_datatree()["level_1"]
        image = xr.DataArray(mask, {name: level[name] for name in ("y", "x")}, ("y", "x"))
        on_slide = image.assign_coords(slide_x=level["slide_x"], slide_y=level["slide_y"])
        # Columns along X and rows against Y, as on the upright slide, and no other coordinates
        upright = on_slide.sortby("slide_x").sortby("slide_y", ascending=False)
        upright = upright.transpose(*upright["slide_y"].dims, *upright["slide_x"].dims)
        down, across = upright.dims
        upright = upright.rename({down: "row", across: "column"}).drop_vars(
            ["y", "x"], errors="ignore"
        )
        upright = upright.drop_vars([n for n in ("row", "column") if n in upright.coords])
        for overlay in (image, on_slide, upright):
            tile = layer_pixels(make_scene(slide.folder, {"mask": overlay}), "mask")
            expected = mask.repeat(2, axis=0).repeat(2, axis=1)[:TILE, :TILE]
            np.testing.assert_array_equal(tile[..., 3] == 255, expected)

    def test_without_coordinates_cover_the_slide(self, slide, mask, tmp_path):
        Image.fromarray(mask).save(tmp_path / "mask.png")
        for overlay in (mask, da.from_array(mask), str(tmp_path / "mask.png")):
            scene = make_scene(slide.folder, {"mask": overlay})
            assert scene.describe()["layers"][1]["kind"] == "mask"
            tile = layer_pixels(scene, "mask", power=1)
            np.testing.assert_array_equal(tile[..., 3] == 255, mask)

    def test_of_another_shape_are_refused(self, slide):
        with pytest.raises(ArgumentValueError, match="100 x 100 pixels do not cover"):
            make_scene(slide.folder, np.zeros((100, 100), bool))

    def test_may_be_zarr_stores(self, slide, mask, tmp_path):
        level = dicomslide.open_slide(slide.folder).to_datatree()["level_1"]
        dataset = xr.Dataset(
            {"tissue": (("y", "x"), mask), "score": (("y", "x"), mask * 0.5)},
            {name: level[name] for name in ("y", "x")},
        )
        dataset.to_zarr(tmp_path / "results.zarr", consolidated=False)
        scene = make_scene(slide.folder, str(tmp_path / "results.zarr"))
        layers = scene.describe()["layers"]
        assert {layer["name"]: layer["kind"] for layer in layers[1:]} == {
            "tissue": "mask",
            "score": "quantity",
        }
        tile = layer_pixels(scene, "tissue", power=1)
        np.testing.assert_array_equal(tile[..., 3] == 255, mask)

    def test_compute_what_is_looked_at_and_nothing_else(self, slide):
        computed = []

        def touch(block, block_info=None):
            computed.append(block_info[0]["chunk-location"])
            return block

        level = dicomslide.open_slide(slide.folder).to_datatree()["level_0"]
        lazy = da.zeros(SIZE, bool, chunks=(50, 50)).map_blocks(
            touch, dtype=bool, meta=np.zeros((0, 0), bool)
        )
        overlay = xr.DataArray(lazy, {n: level[n] for n in ("y", "x")}, ("y", "x"))
        scene = make_scene(slide.folder, {"lazy": overlay})
        scene.describe()
        assert computed == []
        scene.draw_tile(1, 0, 1, 1, 0, {})
        # Pixels 256 to 300 and 256 to 400
        assert sorted(computed) == [(5, column) for column in (5, 6, 7)]

    def test_integers_are_labels_and_zero_is_nothing(self, slide, mask):
        labels = mask.astype(np.int32)
        labels[100:, 150:] = 7
        scene = make_scene(slide.folder, {"cells": labels})
        assert scene.describe()["layers"][1]["kind"] == "labels"
        tile = layer_pixels(scene, "cells", power=1)
        np.testing.assert_array_equal(tile[..., 3] == 255, labels > 0)
        assert len(np.unique(tile[labels > 0], axis=0)) == 2
        assert scene.tell_values(1, 250, 350, 0, {1: {}}) == ["cells 7"]

    def test_channels_of_an_overlay_are_layers(self, slide, mask):
        overlay = xr.DataArray(np.stack([mask, ~mask]), {"kind": ["in", "out"]}, ("kind", "y", "x"))
        layers = make_scene(slide.folder, {"part": overlay}).describe()["layers"][1:]
        assert [layer["name"] for layer in layers] == ["part in", "part out"]

    @pytest.mark.parametrize("overlay", [5, np.zeros((2, 2, 2)), xr.Dataset()])
    def test_other_things_are_none(self, slide, overlay):
        with pytest.raises((ArgumentTypeError, ArgumentValueError), match="overlays"):
            make_scene(slide.folder, overlay)

    @pytest.mark.parametrize("name", ["nothing.png", "text.png", "folder"])
    def test_files_that_are_none_are_named(self, slide, tmp_path, name):
        (tmp_path / "text.png").write_text("no picture")
        (tmp_path / "folder").mkdir()
        with pytest.raises(StoreError, match=name):
            make_scene(slide.folder, str(tmp_path / name))


class TestTrees:
    def test_that_were_computed_are_shown_as_they_are(self, make_slide):
        slide = make_slide(size=SIZE, factors=(1, 2))
        tree = dicomslide.open_slide(slide.folder).to_datatree()
        inverted = tree.map_over_datasets(
            lambda node: node.assign(image=255 - node["image"]) if "image" in node else node
        )
        tile = pixels_of(Scene("inverted", inverted).draw_tile(0, 0, 0, 0, 0, {}))
        np.testing.assert_array_equal(tile, 255 - slide.levels[0].pixels()[:TILE, :TILE])

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_that_were_turned_upright_are_shown_where_they_lie(self, make_slide, orientation):
        slide = make_slide(size=SIZE, orientation=orientation)
        tree = upright(dicomslide.open_slide(slide.folder).to_datatree())
        tile = pixels_of(Scene("upright", tree).draw_tile(0, 0, 0, 0, 0, {}))
        np.testing.assert_array_equal(tile, slide.levels[0].pixels()[:TILE, :TILE])

    def test_without_levels_are_refused(self):
        with pytest.raises(ArgumentValueError, match="'slide' has no levels"):
            Scene("slide", xr.DataTree())

    def test_of_one_level_are_slides_too(self, make_slide):
        slide = make_slide(size=SIZE, factors=(1, 2))
        tree = dicomslide.open_slide(slide.folder).to_datatree()
        scene = Scene("level", xr.DataTree.from_dict({"/level_1": tree["level_1"].to_dataset()}))
        tile = pixels_of(scene.draw_tile(0, 0, 0, 0, 0, {}))
        np.testing.assert_array_equal(tile, slide.levels[1].pixels())

    def test_other_things_are_none(self):
        with pytest.raises(ArgumentTypeError, match="expected a Slide or a DataTree, got str"):
            Scene("slide", "folder")


class TestAssociatedImages:
    @pytest.mark.parametrize(("stated", "is_shown"), [("NO", True), ("YES", False), ("", False)])
    def test_an_overview_is_shown_if_it_says_that_no_label_is_in_it(
        self, make_slide, tmp_path, stated, is_shown
    ):
        for path in make_slide(size=SIZE, overview=True).paths:
            dataset = pydicom.dcmread(path)
            if "OVERVIEW" in dataset.ImageType:
                dataset.SpecimenLabelInImage = stated
            dataset.save_as(tmp_path / path.name)
        assert (make_scene(tmp_path).describe()["associated"] == ["overview"]) is is_shown

    def test_the_label_is_shown_only_if_it_is_wanted(self, make_slide):
        folder = make_slide(size=SIZE, label=True, overview=True).folder
        # This overview says that the label is in it
        assert make_scene(folder).describe()["associated"] == []
        with pytest.raises(SelectionError):
            make_scene(folder).draw_associated("label")
        scene = make_scene(folder, show_label=True)
        assert scene.describe()["associated"] == ["label", "overview"]
        assert pixels_of(scene.draw_associated("label")).shape[2] == 3


class TestDocument:
    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_axes_are_those_of_the_slide(self, make_slide, orientation):
        slide = make_slide(size=SIZE, orientation=orientation)
        plot = make_plot(make_scene(slide.folder).describe())
        opened = dicomslide.open_slide(slide.folder)
        level = opened.to_datatree()["level_0"]
        half = slide.levels[0].spacing[0] / 2
        for found, name in ((plot.x_range, "slide_x"), (plot.y_range, "slide_y")):
            values = level[name].values
            assert found.start == pytest.approx(values.min() - half)
            assert found.end == pytest.approx(values.max() + half)

    def test_oblique_slides_stand_on_the_axes_of_the_image(self, make_slide):
        scene = make_scene(make_slide(size=SIZE, orientation=orientation_from_angle(30)).folder)
        description = scene.describe()
        assert description["slide"]["is_parallel"] is False
        plot = make_plot(description)
        # Rows run downwards
        assert plot.y_range.start > plot.y_range.end

    def test_has_a_renderer_for_each_layer_and_a_scale_bar(self, make_slide):
        scene = make_scene(make_slide(size=SIZE, segmentations=("BINARY",)).folder)
        plot = make_plot(scene.describe())
        shown = {renderer.name: renderer.visible for renderer in plot.renderers}
        assert shown == {"layer-0": True, "layer-1": False, "layer-2": False, "layer-3": False}
        assert [
            type(item).__name__ for item in plot.center if "Grid" not in type(item).__name__
        ] == ["ScaleBar"]

    def test_is_embedded_by_the_version_that_made_it(self, make_slide):
        document = make_document(make_scene(make_slide(size=SIZE).folder).describe())
        assert document["doc"]["version"]
        assert document["root_id"]
