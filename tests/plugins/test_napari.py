"""napari shows slides as layers: their levels, channels and labels, in micrometres."""

import warnings
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

import dicomslide
from dicomslide.plugins.napari import find_reader, read_layers
from dicomslide.testing import OpticalPath

with warnings.catch_warnings():
    # npe2 declares its models in a way that pydantic will not take for ever
    warnings.simplefilter("ignore", DeprecationWarning)
    npe2 = pytest.importorskip("npe2")

MANIFEST = Path(dicomslide.__file__).parent / "napari.yaml"
PATHS = OpticalPath("1", "Green"), OpticalPath("2", "Red")


@pytest.fixture
def manager():
    """A manager of plugins that knows this one alone."""
    found = npe2.PluginManager()
    found.register(npe2.PluginManifest.from_file(MANIFEST))
    found.activate("dicomslide")
    return found


def pixels_of(layer):
    return [np.asarray(level) for level in layer[0]]


class TestLayers:
    def test_colour_is_one_layer_of_all_levels(self, make_slide):
        written = make_slide(factors=(1, 2, 4), pixel_spacing=(0.001, 0.0005))
        (layer,) = read_layers(str(written.folder))
        assert layer[2] == "image"
        assert layer[1]["rgb"]
        for found, level in zip(pixels_of(layer), written.levels, strict=True):
            np.testing.assert_array_equal(found, level.pixels())
        assert layer[1]["scale"] == (1.0, 0.5)
        assert layer[1]["translate"] == (0.0, 0.0)
        assert layer[1]["units"] == ("micrometer", "micrometer")
        assert layer[1]["axis_labels"] == ("y", "x")

    def test_channels_are_layers_with_focal_planes(self, make_slide):
        written = make_slide(samples=1, bits=12, optical_paths=PATHS, focal_planes=2)
        layers = read_layers(str(written.folder))
        assert [layer[1]["name"] for layer in layers] == ["Green", "Red"]
        assert [layer[1]["colormap"] for layer in layers] == ["#00FF00", "#FF0000"]
        for c, layer in enumerate(layers):
            (found,) = pixels_of(layer)
            expected = [written.levels[0].pixels(c, z)[..., 0] for z in range(2)]
            np.testing.assert_array_equal(found, expected)
            low, high = layer[1]["contrast_limits"]
            assert 0 <= low < high < 4096
            assert layer[1]["axis_labels"] == ("z", "y", "x")
            assert len(layer[1]["scale"]) == 3

    def test_colours_of_several_optical_paths_are_layers(self, make_slide):
        written = make_slide(optical_paths=PATHS)
        layers = read_layers(str(written.folder))
        shown = [(layer[1]["name"], layer[1]["visible"]) for layer in layers]
        assert shown == [("Green", True), ("Red", False)]
        for c, layer in enumerate(layers):
            np.testing.assert_array_equal(pixels_of(layer)[0], written.levels[0].pixels(c))

    def test_labels_have_names_and_colours(self, make_slide):
        written = make_slide(factors=(1, 2), segmentations=("LABELMAP",))
        _, labels = read_layers(str(written.folder))
        assert labels[2] == "labels"
        assert labels[1]["features"]["name"] == ["Nucleus", "Epithelium", "Stroma"]
        masks = [written.segmentations[0].mask(0, number) for number in (1, 2, 3)]
        expected = sum(n * mask.astype(int) for n, mask in enumerate(masks, 1))
        np.testing.assert_array_equal(pixels_of(labels)[0], expected)
        assert set(labels[1]["colormap"]) == {None, 1, 2, 3}

    def test_maps_are_hidden_at_first(self, make_slide):
        written = make_slide(parametric_maps=("float",))
        image, *maps = read_layers(str(written.folder))
        assert image[1]["visible"]
        assert maps
        assert not any(layer[1]["visible"] for layer in maps)

    def test_slides_are_told_apart_by_their_names(self, make_slide):
        first, second = make_slide(), make_slide(optical_paths=PATHS, samples=1)
        layers = read_layers([str(path) for path in (*first.paths, *second.paths)])
        assert len({layer[1]["name"] for layer in layers}) == 3


class TestPlugin:
    def test_the_package_names_it(self):
        (entry,) = entry_points(group="napari.manifest", name="dicomslide")
        assert entry.value == "dicomslide:napari.yaml"

    def test_the_manifest_is_valid(self):
        npe2.PluginManifest.from_file(MANIFEST).validate_imports()

    @pytest.mark.parametrize("place", ["folder", "file"])
    def test_slides_are_read_through_it(self, manager, make_slide, place):
        written = make_slide()
        path = written.folder if place == "folder" else written.paths[0]
        (reader,) = manager.iter_compatible_readers(str(path))
        read = reader.exec(
            kwargs={"path": [str(path)], "stack": False, "_registry": manager.commands}
        )
        (layer,) = read([str(path)], stack=False)
        np.testing.assert_array_equal(pixels_of(layer)[0], written.levels[0].pixels())

    def test_other_files_are_left_to_others(self, manager, tmp_path):
        (tmp_path / "picture.tif").write_bytes(b"II*\0")
        (tmp_path / "empty.dcm").write_bytes(b"")
        assert not list(manager.iter_compatible_readers(str(tmp_path / "picture.tif")))
        for path in (tmp_path / "empty.dcm", tmp_path, tmp_path / "nothing.dcm"):
            assert find_reader(str(path)) is None

    @pytest.mark.napari
    def test_napari_makes_layers_of_it(self, make_slide):
        from napari import layers

        written = make_slide(
            factors=(1, 2), samples=1, optical_paths=PATHS, segmentations=("LABELMAP", "BINARY")
        )
        made = [layers.Layer.create(*layer) for layer in read_layers(str(written.folder))]
        assert [type(layer).__name__ for layer in made] == ["Image"] * 2 + ["Labels"] * 4
        for layer in made:
            assert layer.multiscale
            assert {str(unit) for unit in layer.units} == {"micrometer"}
            extents = layer.extent.world
            np.testing.assert_allclose(extents, made[0].extent.world)
        assert made[0].colormap.map(1.0).tolist() == [[0, 1, 0, 1]]
