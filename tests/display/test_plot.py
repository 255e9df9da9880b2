"""Plots in millimetres: what is painted at a place of the slide is there on the canvas."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from dicomslide import open_slide
from dicomslide.testing import ORIENTATIONS, SegmentationOptions, orientation_from_angle
from tests.display.test_orientation import colours_at

RED, GREEN = (255, 0, 0), (0, 255, 0)


@pytest.fixture(autouse=True)
def canvas():
    """Nothing is shown on a screen, and figures are closed."""
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.subplots(figsize=(5, 4), dpi=100)[1]


class TestLandmark:
    def test_landmark_is_at_its_place(self, marked, ax):
        slide, place = marked
        slide.to_datatree(None).slide.plot(ax)
        assert colours_at(ax, [place]) == [RED]
        assert ax.get_xlabel() == "X [mm]"
        assert ax.get_ylabel() == "Y [mm]"
        assert ax.get_aspect() == 1.0

    def test_landmark_is_nowhere_else(self, marked, ax):
        slide, (x, y) = marked
        slide.to_datatree(None).slide.plot(ax)
        beside = ((0.003, 0), (-0.003, 0), (0, 0.003), (0, -0.003))
        assert RED not in colours_at(ax, [(x + dx, y + dy) for dx, dy in beside])

    def test_x_runs_to_the_right_and_y_upwards(self, marked, ax):
        slide, _ = marked
        slide.to_datatree().slide.plot(ax)
        assert ax.get_xlim()[0] < ax.get_xlim()[1]
        assert ax.get_ylim()[0] < ax.get_ylim()[1]

    def test_axes_of_the_image_show_it_as_stored(self, marked, ax):
        slide, _ = marked
        slide.to_datatree().slide.plot(ax, axes="image")
        # Row 12 and column 33, 0.5 micrometres apart
        assert colours_at(ax, [(33 * 0.0005, 12 * 0.0005)]) == [RED]
        assert ax.get_ylim()[0] > ax.get_ylim()[1]

    def test_part_keeps_its_place(self, marked, ax):
        slide, (x, y) = marked
        part = slide.to_datatree().slide.clip(x=(x - 0.006, x + 0.006), y=(y - 0.006, y + 0.006))
        part.slide.plot(ax)
        assert colours_at(ax, [(x, y)]) == [RED]
        assert np.diff(ax.get_xlim()) == pytest.approx(0.012, abs=0.0006)

    def test_edges_are_those_of_the_area(self, marked, ax):
        slide, _ = marked
        slide.to_datatree().slide.plot(ax)
        assert np.diff(ax.get_xlim())[0] == pytest.approx(slide.physical_size[0])
        assert np.diff(ax.get_ylim())[0] == pytest.approx(slide.physical_size[1])


class TestOverlay:
    def test_mask_lies_where_the_pixels_are_that_it_comes_from(self, marked, ax):
        slide, place = marked
        tree = slide.to_datatree()
        image = tree["level_0/image"][0, 0]
        mask = (image.sel(sample="R") == 255) & (image.sel(sample="G") == 0)
        tree.slide.plot(ax, overlay=mask.rename("mark"), colors={"mark": "#00FF00"}, alpha=1)
        assert colours_at(ax, [place]) == [GREEN]
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["mark"]

    def test_mask_of_another_resolution_or_orientation_lies_at_its_place(self, marked, ax):
        slide, place = marked
        tree = slide.to_datatree()
        coarse = (
            tree["level_0/image"]
            .slide.upright()[0, 0]
            .coarsen(slide_y=2, slide_x=2, boundary="trim")
        )
        mask = coarse.mean().sel(sample="G") < 1
        tree.slide.plot(ax, overlay={"mark": mask}, colors={"mark": "00FF00"}, alpha=1)
        assert colours_at(ax, [place]) == [GREEN]

    def test_legend_can_be_left_out(self, marked, ax):
        slide, _ = marked
        tree = slide.to_datatree()
        tree.slide.plot(ax, overlay=tree["level_0/image"][0, 0, :, :, 0] > 9, legend=False)
        assert ax.get_legend() is None

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    @pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
    def test_segments_lie_on_their_pixels(self, make_slide, ax, orientation, kind):
        written = make_slide(
            orientation=orientation, segmentations=(SegmentationOptions(kind=kind),)
        )
        tree = open_slide(written.folder).to_datatree()
        tree.slide.plot(ax, overlay="Stroma", colors={"Stroma": "00FF00"}, alpha=1)
        segment = tree["level_0/segmentation"].isel(segment=2, focal_plane=0)
        rows, columns = np.nonzero(segment.values == 1)
        along = {segment[name].dims[0]: segment[name].values for name in ("slide_x", "slide_y")}
        places = np.stack([along["y"][rows], along["x"][columns]], axis=-1)
        if segment.slide_x.dims == ("x",):
            places = places[:, ::-1]
        assert set(colours_at(ax, places)) == {GREEN}

    def test_all_segments_have_their_own_colours(self, make_slide, ax):
        written = make_slide(segmentations=(SegmentationOptions(),))
        open_slide(written.folder).to_datatree().slide.plot(ax, overlay=True)
        texts = [text.get_text() for text in ax.get_legend().get_texts()]
        assert texts == ["Nucleus", "Epithelium", "Stroma"]

    def test_labels_have_a_colour_each(self, make_slide, ax):
        tree = open_slide(make_slide().folder).to_datatree()
        image = tree["level_0/image"][0, 0, :, :, 0]
        labels = xr.zeros_like(image, dtype=int).rename("cell")
        labels[10:20, 10:20], labels[30:40, 30:40] = 3, 7
        tree.slide.plot(ax, overlay=labels)
        texts = [text.get_text() for text in ax.get_legend().get_texts()]
        assert texts == ["cell 3", "cell 7"]

    def test_missing_segment_is_an_error(self, make_slide, ax):
        written = make_slide(segmentations=(SegmentationOptions(),))
        tree = open_slide(written.folder).to_datatree()
        with pytest.raises(ValueError, match=r"no segment 'Fat', only 1 \(Nucleus\), 2 \(Epi"):
            tree.slide.plot(ax, overlay="Fat")
        with pytest.raises(TypeError, match="overlay: expected True"):
            tree.slide.plot(ax, overlay=[1.5])

    def test_array_without_a_place_is_an_error(self, make_slide, ax):
        tree = open_slide(make_slide().folder).to_datatree()
        with pytest.raises(ValueError, match="overlay: an array needs the coordinates"):
            tree.slide.plot(ax, overlay=xr.DataArray(np.ones((4, 4), bool), dims=("y", "x")))


class TestLevel:
    @pytest.mark.parametrize(("inches", "expected"), [(8, 0.5), (0.45, 1), (0.2, 2)])
    def test_level_fits_the_pixels_of_the_axes(self, make_slide, inches, expected):
        written = make_slide(size=(90, 90), factors=(1, 2, 4))
        tree = open_slide(written.folder).to_datatree()
        figure = plt.figure(figsize=(inches, inches), dpi=100)
        ax = figure.add_axes((0, 0, 1, 1))
        tree.slide.plot(ax)
        assert ax.get_title() == f"{written.container_identifier}, {expected:g} µm per pixel"

    def test_node_or_array_is_plotted_itself(self, make_slide, ax):
        tree = open_slide(make_slide(factors=(1, 2)).folder).to_datatree()
        tree["level_1"].to_dataset().slide.plot(ax)
        assert ax.get_title() == "1 µm per pixel"
        tree["level_0/image"].slide.plot(ax)
        assert ax.get_title() == "0.5 µm per pixel"


class TestOtherArrays:
    def test_one_channel_of_fluorescence_is_plotted(self, make_slide, ax):
        tree = open_slide(make_slide(samples=1, optical_paths=2).folder).to_datatree()
        level = tree["level_0"].to_dataset().isel(channel=[1])
        level.assign_coords(
            color=("channel", ["00FF00"]),
            window_start=("channel", [0.0]),
            window_end=("channel", [255.0]),
        ).slide.plot(ax)
        shown = np.asarray(ax.images[0].get_array())
        np.testing.assert_array_equal(shown[..., 1], level.image.slide.upright()[0, 0, :, :, 0])
        assert not shown[..., [0, 2]].any()

    def test_values_have_a_bar_of_colours(self, make_slide, ax):
        tree = open_slide(make_slide().folder).to_datatree()
        score = tree["level_0/image"][0, 0].astype(float).mean("sample").rename("score")
        score.slide.plot(ax, cmap="magma", vmin=0)
        np.testing.assert_array_equal(ax.images[0].get_array(), score.slide.upright())
        assert ax.figure.axes[1].get_ylabel() == "score"
        assert ax.images[0].get_cmap().name == "magma"

    def test_dimension_that_is_left_over_is_an_error(self, make_slide, ax):
        tree = open_slide(make_slide(segmentations=(SegmentationOptions(),)).folder).to_datatree()
        with pytest.raises(ValueError, match=r"no place for the dimensions \['segment'\]"):
            tree.slide.plot(ax, "segmentation")
        tree["level_0/segmentation"][1].slide.plot(ax)

    def test_impossible_choices_are_errors(self, make_slide, ax):
        tree = open_slide(make_slide().folder).to_datatree()
        with pytest.raises(ValueError, match="no level with the variable 'parametric_map'"):
            tree.slide.plot(ax, "parametric_map")
        with pytest.raises(ValueError, match=r"no 'nothing', only \['image'\]"):
            tree["level_0"].to_dataset().slide.plot(ax, "nothing")
        with pytest.raises(ValueError, match='axes: expected "slide" or "image"'):
            tree.slide.plot(ax, axes="map")
        with pytest.raises(ValueError, match="no pixels to plot"):
            tree["level_0/image"].slide.clip(x=(0, 1)).slide.plot(ax)

    def test_too_many_pixels_for_a_figure_are_an_error(self, make_slide, ax, monkeypatch):
        from dicomslide.display import plot

        monkeypatch.setattr(plot, "_MOST_PIXELS", 100)
        with pytest.raises(ValueError, match="70 x 90 x 3 are too many pixels for a figure"):
            open_slide(make_slide().folder).to_datatree()["level_0/image"].slide.plot(ax)

    def test_oblique_image_stands_on_its_own_axes_only(self, make_slide, ax):
        tree = open_slide(make_slide(orientation=orientation_from_angle(30)).folder).to_datatree()
        with pytest.raises(ValueError, match="not parallel"):
            tree.slide.plot(ax)
        tree.slide.plot(ax, axes="image")
        np.testing.assert_array_equal(ax.images[0].get_array(), tree["level_0/image"][0, 0])


def test_current_axes_are_the_default(make_slide):
    ax = open_slide(make_slide().folder).to_datatree().slide.plot()
    assert ax is plt.gca()
