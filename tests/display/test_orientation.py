"""Arrays on the axes of the slide: upright, and cut to rectangles of it."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomslide import open_slide
from dicomslide.testing import ORIENTATIONS, orientation_from_angle

CHUNKS = ["frames", None]


def whole(slide, image):
    """Read as much of a slide as an array shows, by the slide's own coordinates."""
    step = 0.0005
    low = [float(image[name].min()) - step / 2 for name in ("slide_x", "slide_y")]
    size = [image.sizes[name] * step for name in ("slide_x", "slide_y")]
    return slide.get_slide_region(tuple(low), 0, tuple(size))


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
class TestUpright:
    def test_pixels_are_those_of_a_region_of_the_slide(self, make_slide, orientation, chunks):
        slide = open_slide(make_slide(orientation=orientation).folder)
        image = slide.to_datatree(chunks).slide.upright()["level_0/image"]
        assert image.dims == ("channel", "focal_plane", "slide_y", "slide_x", "sample")
        np.testing.assert_array_equal(image[0, 0], whole(slide, image))

    def test_x_ascends_and_y_descends(self, make_slide, orientation, chunks):
        tree = open_slide(make_slide(orientation=orientation).folder).to_datatree(chunks)
        level = tree["level_0"].to_dataset().slide.upright()
        assert (np.diff(level.slide_x) > 0).all()
        assert (np.diff(level.slide_y) < 0).all()

    def test_upright_arrays_stay_as_they_are(self, make_slide, orientation, chunks):
        tree = open_slide(make_slide(orientation=orientation).folder).to_datatree(chunks)
        once = tree["level_0/image"].slide.upright()
        xr.testing.assert_identical(once.slide.upright(), once)

    def test_turning_reads_nothing(self, make_slide, orientation, chunks, monkeypatch):
        from dicomslide.pixels.array import FrameArray

        slide = open_slide(make_slide(orientation=orientation).folder)
        monkeypatch.setattr(FrameArray, "read", None)
        slide.to_datatree(chunks).slide.upright().slide.clip(x=(12.4, 12.5))


def test_associated_images_stay_as_they_are(make_slide):
    tree = open_slide(make_slide(label=True).folder).to_datatree()
    upright = tree.slide.upright()
    assert {node.path for node in upright.subtree} == {node.path for node in tree.subtree}
    xr.testing.assert_identical(
        upright["associated/label"].to_dataset(), tree["associated/label"].to_dataset()
    )
    assert upright.attrs == tree.attrs


def test_segments_are_turned_with_the_image(make_slide):
    from dicomslide.testing import SegmentationOptions

    written = make_slide(orientation=ORIENTATIONS[1], segmentations=(SegmentationOptions(),))
    level = open_slide(written.folder).to_datatree()["level_0"].to_dataset()
    upright = level.slide.upright()
    # Rows of this image run upwards along Y, columns along X
    expected = level.segmentation.values.swapaxes(-1, -2)[..., ::-1, :]
    assert upright.segmentation.dims == ("segment", "focal_plane", "slide_y", "slide_x")
    np.testing.assert_array_equal(upright.segmentation, expected)


def test_xarray_plots_an_upright_array_the_right_way_round(marked):
    import matplotlib.pyplot as plt

    slide, place = marked
    upright = slide.to_datatree()["level_0/image"][0, 0].slide.upright()
    figure, ax = plt.subplots(figsize=(4, 3), dpi=100)
    upright.plot.imshow(ax=ax)
    assert colours_at(ax, [place]) == [(255, 0, 0)]
    plt.close(figure)


def colours_at(ax, places):
    """Read the colours of the pixels of a canvas that show some places."""
    ax.figure.canvas.draw()
    canvas = np.asarray(ax.figure.canvas.buffer_rgba())
    columns, from_below = np.floor(ax.transData.transform(places)).astype(int).T
    return [tuple(colour) for colour in canvas[-1 - from_below, columns, :3].tolist()]


def test_an_oblique_image_is_an_error(make_slide):
    tree = open_slide(make_slide(orientation=orientation_from_angle(30)).folder).to_datatree()
    for turned in (tree, tree["level_0"].to_dataset(), tree["level_0/image"]):
        with pytest.raises(ValueError, match="not parallel to the axes of the slide"):
            turned.slide.upright()
        with pytest.raises(ValueError, match="get_slide_region"):
            turned.slide.clip(x=(1, 2))


class TestClip:
    @settings(max_examples=30)
    @given(data=st.data())
    def test_pixels_are_those_of_a_region_of_the_slide(self, make_slide, data):
        orientation = data.draw(st.sampled_from(ORIENTATIONS))
        slide = open_slide(make_slide(orientation=orientation).folder)
        image = slide.to_datatree(None)["level_0/image"]
        bounds = {}
        for name, letter in (("slide_x", "x"), ("slide_y", "y")):
            # Whole pixels and halves of them, some beyond the image
            ends = [data.draw(st.integers(-10, 2 * image[name].size + 10)) for _ in range(2)]
            low = float(image[name].min())
            bounds[letter] = tuple(low + end * 0.00025 for end in ends)
        clipped = image.slide.clip(**bounds).slide.upright()[0, 0]
        (x, y), edges = (sorted(bounds[letter]) for letter in "xy"), []
        for (low, high), name in ((x, "slide_x"), (y, "slide_y")):
            inside = (image[name] >= low - 1e-9) & (image[name] < high - 1e-9)
            edges.append(int(inside.sum()))
        assert clipped.shape == (edges[1], edges[0], 3)
        if 0 not in clipped.shape:
            first = [float(clipped[name].min()) for name in ("slide_x", "slide_y")]
            size = [count * 0.0005 for count in edges]
            region = slide.get_slide_region(
                tuple(v - 0.0001 for v in first), 0, tuple(v - 0.0002 for v in size)
            )
            np.testing.assert_array_equal(clipped, region)

    def test_regions_side_by_side_share_no_pixel(self, make_slide):
        tree = open_slide(make_slide(orientation=ORIENTATIONS[2]).folder).to_datatree()
        image = tree["level_0/image"]
        middle = float(image.slide_x[40])
        parts = [image.slide.clip(x=bounds) for bounds in ((0, middle), (middle, 100))]
        assert sum(part.sizes["x"] for part in parts) == image.sizes["x"]

    def test_bounds_come_in_either_order_and_one_axis_is_enough(self, make_slide):
        folder = make_slide(orientation=ORIENTATIONS[0]).folder
        image = open_slide(folder).to_datatree()["level_0/image"]
        y = float(image.slide_y[30]), float(image.slide_y[10])
        xr.testing.assert_identical(image.slide.clip(y=y), image.slide.clip(y=y[::-1]))
        assert image.slide.clip(y=y).sizes["x"] == image.sizes["x"]
        xr.testing.assert_identical(image.slide.clip(), image)

    def test_all_levels_of_a_tree_are_cut(self, make_slide):
        written = make_slide(orientation=ORIENTATIONS[0], factors=(1, 2), label=True)
        tree = open_slide(written.folder).to_datatree()
        x = tree["level_0"].slide_x.values
        clipped = tree.slide.clip(x=(float(x[20]) - 1e-4, float(x[60]) - 1e-4))
        assert [clipped[f"level_{k}"].sizes["x"] for k in range(2)] == [40, 20]
        assert clipped["associated/label"].sizes == tree["associated/label"].sizes

    @pytest.mark.parametrize("bounds", [1, (1, 2, 3), "ab", (1, None)])
    def test_other_bounds_are_an_error(self, make_slide, bounds):
        image = open_slide(make_slide().folder).to_datatree()["level_0/image"]
        with pytest.raises((TypeError, ValueError), match=r"^x: "):
            image.slide.clip(x=bounds)


def test_array_without_a_place_on_the_slide_is_an_error():
    array = xr.DataArray(np.zeros((3, 4)), dims=("y", "x"))
    import dicomslide.accessor  # noqa: F401

    with pytest.raises(ValueError, match="no coordinates slide_x and slide_y"):
        array.slide.upright()
    with pytest.raises(ValueError, match="no coordinates slide_x and slide_y"):
        xr.DataTree.from_dict({"/a": array.to_dataset(name="a")}).slide.upright()
