"""The accessor on what people make of trees: parts, single pixels, computed and renamed arrays."""

import matplotlib.pyplot as plt
import numpy as np
import pydicom
import pytest
import xarray as xr

from dicomslide import make_thumbnail, open_slide
from dicomslide.display.sampling import sample_onto
from dicomslide.testing import ORIENTATIONS, SegmentationOptions, orientation_from_angle


@pytest.fixture
def tree(make_slide):
    written = make_slide(factors=(1, 2), orientation=ORIENTATIONS[0])
    return open_slide(written.folder).to_datatree(None)


@pytest.fixture
def ax():
    yield plt.subplots(figsize=(4, 3), dpi=100)[1]
    plt.close("all")


class TestComputedColours:
    def test_means_are_as_bright_as_what_they_are_of(self, tree):
        image = tree["level_0/image"]
        expected = np.around(image[0].mean("focal_plane"))
        np.testing.assert_array_equal(image[0].mean("focal_plane").slide.to_rgb(), expected)
        np.testing.assert_array_equal(image.astype(float).slide.to_rgb(), image[0])

    def test_integers_are_within_0_and_255(self, tree):
        image = tree["level_0/image"]
        np.testing.assert_array_equal((255 - image.astype(int)).slide.to_rgb(), 255 - image[0])

    def test_image_of_another_name(self, tree):
        image = tree["level_0/image"]
        np.testing.assert_array_equal(image.rename("mine").slide.to_rgb(), image[0])
        level = tree["level_0"].to_dataset().rename(image="mine")
        np.testing.assert_array_equal(level.slide.to_rgb("mine"), image[0])

    def test_transposed_image(self, tree, ax):
        image = tree["level_0/image"]
        turned = image.transpose("sample", "x", "focal_plane", "y", "channel")
        np.testing.assert_array_equal(turned.slide.to_rgb(), image[0])
        turned.slide.plot(ax, axes="image")
        np.testing.assert_array_equal(ax.images[0].get_array(), image[0, 0])


class TestTrees:
    def test_levels_keep_their_names_in_any_order(self, tree):
        nodes = {name: tree[name].to_dataset() for name in ("level_1", "level_0")}
        mixed = xr.DataTree.from_dict({"/extra": nodes["level_0"], **nodes})
        rgb = mixed.slide.to_rgb()
        assert set(rgb.children) == {"level_0", "level_1"}
        for name, node in nodes.items():
            np.testing.assert_array_equal(rgb[name].image, node.image[0])

    def test_attributes_stay(self, tree):
        rgb = tree.slide.to_rgb()
        assert rgb.attrs == tree.attrs
        assert rgb["level_1"].attrs == tree["level_1"].attrs

    def test_a_node_is_a_level(self, tree, ax):
        level, dataset = tree["level_1"], tree["level_1"].to_dataset()
        np.testing.assert_array_equal(level.slide.to_rgb(), dataset.slide.to_rgb())
        assert level.slide.thumbnail(20).tobytes() == dataset.slide.thumbnail(20).tobytes()
        assert level.slide.at_spacing(3).equals(dataset.slide.at_spacing(3))
        level.slide.plot(ax)
        assert ax.images[0].get_array().shape == (35, 45, 3)


class TestFewPixels:
    def test_one_row_is_as_high_as_columns_are_wide(self, tree, ax):
        tree["level_0"].to_dataset().isel(y=[30]).slide.plot(ax)
        assert np.diff(ax.get_ylim()) == pytest.approx(0.0005)

    def test_one_row_covers_one_row(self, tree):
        image = tree["level_0/image"][0, 0, :, :, 0]
        mask = (image >= 0).isel(y=[30])
        found = sample_onto(mask, image)
        assert int(found.sum()) == image.sizes["x"]
        assert found[30].all()

    def test_narrow_slide_has_a_thumbnail(self, make_slide):
        slide = open_slide(make_slide(size=(1, 40), tile=(1, 16)).folder)
        tree = slide.to_datatree(None)
        assert sorted(tree.slide.thumbnail(8).size) == [1, 8]

    def test_nothing_is_left(self, tree):
        clipped = tree.slide.clip(x=(1000, 1001))
        with pytest.raises(ValueError, match="there are no pixels to show"):
            clipped.slide.thumbnail(50)

    @pytest.mark.parametrize(
        "use",
        [
            lambda uneven, ax, _: uneven.slide.plot(ax),
            lambda uneven, _, image: sample_onto(uneven[0, 0, :, :, 0], image[0, 0]),
            lambda uneven, *_: uneven.slide.at_spacing(2),
        ],
        ids=["plot", "overlay", "at_spacing"],
    )
    def test_uneven_rows_are_an_error(self, tree, ax, use):
        image = tree["level_0/image"]
        with pytest.raises(ValueError, match="not at even distances"):
            use(image.isel(y=[0, 1, 2, 50]), ax, image)


class TestSegments:
    @pytest.fixture
    def level(self, make_slide):
        written = make_slide(segmentations=(SegmentationOptions(),))
        return open_slide(written.folder).to_datatree(None)["level_0"].to_dataset()

    @pytest.mark.parametrize("names", [["label"], ["segment_color"], ["segment", "label"]])
    def test_coordinates_may_be_missing(self, level, ax, names):
        level.drop_vars(names).slide.plot(ax, overlay=True)
        assert len(ax.get_legend().get_texts()) == 3

    def test_numbers_may_be_those_of_numpy(self, level, ax):
        level.slide.plot(ax, overlay=level.segment.values[1])
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Epithelium"]

    def test_many_labels_are_laid_over_at_once(self, level, ax):
        image = level.image[0, 0, :, :, 0]
        labels = image.copy(data=np.arange(image.size).reshape(image.shape)).rename("cell")
        level.slide.plot(ax, overlay=labels)
        assert [t.get_text() for t in ax.get_legend().get_texts()] == ["cell, 6,299 labels"]

    def test_segmentation_that_is_turned_against_the_image_is_left_out(self, make_slide, tmp_path):
        written = make_slide(segmentations=(SegmentationOptions(),), orientation=ORIENTATIONS[0])
        for path in written.paths:
            dataset = pydicom.dcmread(path)
            if "SegmentSequence" in dataset:
                dataset.ImageOrientationSlide = list(orientation_from_angle(20))
            dataset.save_as(tmp_path / path.name)
        slide = open_slide(tmp_path)
        with pytest.warns(UserWarning, match="derived/segmentation is not laid over the image"):
            laid = make_thumbnail(slide, overlay=True)
        np.testing.assert_array_equal(laid, make_thumbnail(slide))


def test_planes_that_are_not_shown_are_not_read(make_slide, monkeypatch):
    from dicomslide.pixels.stack import FrameStack

    written = make_slide(samples=1, optical_paths=2, focal_planes=3)
    tree = open_slide(written.folder).to_datatree(None)
    read = []
    outer = FrameStack.outer

    def listening(self, key):
        read.append(key[1])
        return outer(self, key)

    monkeypatch.setattr(FrameStack, "outer", listening)
    tree.slide.thumbnail(90)
    assert {range(3)[plane] if isinstance(plane, slice) else plane for plane in read} <= {
        1,
        range(1, 2),
    }


def test_so_many_pixels_that_nobody_waits_for_them(tree):
    with pytest.raises(ValueError, match="more than can be computed: it is in micrometres"):
        tree.slide.at_spacing(0.00001)
