"""Arrays at a distance between pixels, from the best level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomslide import open_slide
from dicomslide.spacing import image_at_spacing
from dicomslide.testing import ORIENTATIONS, SegmentationOptions


@pytest.mark.parametrize("chunks", ["frames", None])
class TestTree:
    @settings(max_examples=20)
    @given(spacing=st.floats(0.2, 6))
    def test_pixels_are_those_that_the_slide_reads(self, make_slide, chunks, spacing):
        slide = open_slide(make_slide(factors=(1, 2)).folder)
        image = slide.to_datatree(chunks).slide.at_spacing(spacing).image
        np.testing.assert_array_equal(image[0, 0], image_at_spacing(slide, spacing))

    def test_spacing_of_a_stored_level_gives_its_pixels(self, make_slide, chunks):
        tree = open_slide(make_slide(factors=(1, 2)).folder).to_datatree(chunks)
        assert tree.slide.at_spacing(1.0).equals(tree["level_1"].to_dataset())

    @pytest.mark.parametrize("orientation", ORIENTATIONS[:3])
    def test_pixels_lie_where_they_are_means_of(self, make_slide, chunks, orientation):
        tree = open_slide(make_slide(orientation=orientation).folder).to_datatree(chunks)
        level, made = tree["level_0"].to_dataset(), tree.slide.at_spacing(2.0)
        for name in ("y", "x", "slide_x", "slide_y"):
            fine, coarse = level[name].values, made[name].values
            # The first of them is the mean of four pixels along each axis
            assert coarse[0] == pytest.approx(fine[:4].mean(), abs=1e-9)
            assert np.abs(np.diff(coarse)) == pytest.approx(0.002, abs=1e-9)

    def test_upright_arrays_are_resampled(self, make_slide, chunks):
        tree = open_slide(make_slide(orientation=ORIENTATIONS[2]).folder).to_datatree(chunks)
        once = tree["level_0/image"][:, :, :68, :88].slide.upright().slide.at_spacing(2.0)
        other = tree["level_0/image"][:, :, :68, :88].slide.at_spacing(2.0).slide.upright()
        np.testing.assert_array_equal(once, other)


def test_segments_take_the_value_at_the_centre(make_slide):
    written = make_slide(segmentations=(SegmentationOptions(kind="LABELMAP"),))
    level = open_slide(written.folder).to_datatree()["level_0"].to_dataset()
    made = level.slide.at_spacing(1.5)
    assert made.segmentation.dtype == bool
    for name in ("segmentation", "label_map"):
        fine = level[name].values[..., 1::3, 1::3]
        np.testing.assert_array_equal(
            made[name].values[..., : fine.shape[-2], : fine.shape[-1]], fine
        )


def test_large_sources_are_cut(make_slide, monkeypatch):
    from dicomslide.display import spacing

    image = open_slide(make_slide().folder).to_datatree()["level_0/image"]
    whole = image.slide.at_spacing(1.7)
    monkeypatch.setattr(spacing, "_SIDE", 9)
    monkeypatch.setattr(spacing, "_SOURCE_SIDE", 20)
    parts = image.slide.at_spacing(1.7)
    assert max(parts.chunks[2]) == 5
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize("spacing", [0, -1.0, "a", float("nan")])
def test_impossible_spacings_are_errors(make_slide, spacing):
    tree = open_slide(make_slide().folder).to_datatree()
    with pytest.raises((TypeError, ValueError), match=r"^spacing: "):
        tree.slide.at_spacing(spacing)


def test_array_without_millimetres_is_an_error(make_slide):
    image = open_slide(make_slide().folder).to_datatree()["level_0/image"]
    with pytest.raises(ValueError, match="coordinates in millimetres"):
        image.isel(x=[0]).slide.at_spacing(1)
