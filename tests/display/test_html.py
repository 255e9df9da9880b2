"""Slides in notebooks, and small pictures of slides and trees."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from dicomslide import make_thumbnail, open_slide
from dicomslide.testing import (
    ORIENTATIONS,
    AnnotationOptions,
    OpticalPath,
    SegmentationOptions,
    orientation_from_angle,
    write_annotations,
)

TIMES = "\N{MULTIPLICATION SIGN}"


def picture_of(html):
    found = re.search(r'src="data:image/jpeg;base64,([^"]*)"', html)
    return None if found is None else Image.open(io.BytesIO(base64.b64decode(found[1])))


class TestHtml:
    def test_annotations_are_counted(self, make_slide, tmp_path):
        written = make_slide()
        points = [np.array([[5.5, 6.5]]), np.array([[1.5, 2.5]])]
        path = tmp_path / "cells.dcm"
        write_annotations(path, written, [AnnotationOptions("POINT", points, "a < b")])
        html = open_slide([written.folder, path])._repr_html_()
        text = re.sub("<[^>]*>", " ", html)
        assert "Annotations" in text
        assert re.search(rf"a &lt; b\s+2 {TIMES} POINT", text)
        assert "Annotations" not in open_slide(written.folder)._repr_html_()

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_picture_is_upright(self, make_slide, orientation):
        slide = open_slide(make_slide(orientation=orientation, tile=(48, 64)).folder)
        image = slide.to_datatree()["level_0/image"].slide.upright()[0, 0]
        shown = np.asarray(picture_of(slide._repr_html_()), float)
        assert shown.shape == image.shape
        # JPEG is not exact, but much closer than any other way up
        others = (image.values[::-1], image.values[:, ::-1], image.values[::-1, ::-1])
        error = np.abs(shown - image.values).mean()
        assert all(error < np.abs(shown - other).mean() / 2 for other in others)

    def test_html_says_what_there_is(self, make_slide):
        written = make_slide(
            factors=(1, 2),
            focal_planes=3,
            samples=1,
            optical_paths=(OpticalPath("1", "a < b & c"),),
            segmentations=(SegmentationOptions(),),
            label=True,
            overview=True,
        )
        html = open_slide(written.folder)._repr_html_()
        text = re.sub("<[^>]*>", " ", html)
        for words in (
            written.container_identifier,
            f"70 {TIMES} 90",
            f"35 {TIMES} 45",
            "3 focal planes from 0 to 3 µm",
            "a &lt; b &amp; c",
            "Epithelium",
            "Associated images: label, overview",
        ):
            assert words in text
        assert "background:#28AA5A" in html
        assert len(html) < 30_000

    def test_images_of_the_label_are_not_shown(self, make_slide):
        written = make_slide(label=True, overview=True, tile=(48, 64))
        html = open_slide(written.folder)._repr_html_()
        assert html.count("<img") == 1

    def test_no_picture_where_even_the_smallest_level_has_many_frames(self, make_slide):
        slide = open_slide(make_slide(size=(100, 100), tile=(16, 16)).folder)
        html = slide._repr_html_()
        assert "<img" not in html
        assert f"100 {TIMES} 100" in html

    def test_no_picture_where_reading_fails(self, make_slide, monkeypatch):
        from dicomslide.pixels.array import FrameArray

        slide = open_slide(make_slide(tile=(48, 64)).folder)
        monkeypatch.setattr(FrameArray, "read", None)
        html = slide._repr_html_()
        assert "<img" not in html
        assert f"70 {TIMES} 90" in html

    def test_channels_beyond_the_first_are_counted(self, make_slide):
        paths = tuple(OpticalPath(str(k), f"Marker {k}") for k in range(30))
        html = open_slide(make_slide(samples=1, optical_paths=paths).folder)._repr_html_()
        assert "Marker 23" in html
        assert "Marker 24" not in html
        assert "and 6 more" in html


class TestThumbnail:
    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_thumbnail_is_upright_where_that_is_wanted(self, make_slide, orientation):
        slide = open_slide(make_slide(orientation=orientation).folder)
        image = slide.to_datatree()["level_0/image"].slide.upright()[0, 0]
        np.testing.assert_array_equal(slide.get_thumbnail(90, upright=True), image)
        np.testing.assert_array_equal(
            slide.get_thumbnail(90), slide.get_image_region((0, 0), 0, (70, 90))
        )
        np.testing.assert_array_equal(slide.to_datatree().slide.thumbnail(90), image)

    def test_oblique_image_is_not_upright(self, make_slide):
        slide = open_slide(make_slide(orientation=orientation_from_angle(30)).folder)
        with pytest.raises(ValueError, match="upright: the image is turned by 30 degrees"):
            slide.get_thumbnail(upright=True)
        np.testing.assert_array_equal(
            slide.to_datatree().slide.thumbnail(90), slide.get_thumbnail(90)
        )

    def test_segments_lie_on_their_pixels(self, make_slide):
        slide = open_slide(make_slide(segmentations=(SegmentationOptions(),)).folder)
        plain = np.asarray(make_thumbnail(slide, 90)).astype(float)
        laid = np.asarray(make_thumbnail(slide, 90, overlay="stroma"))
        mask = slide.get_image_region((0, 0), 0, (70, 90), 3)[..., 0]
        assert mask.any()
        np.testing.assert_array_equal(laid[~mask], plain[~mask])
        color = np.array([0xE6, 0x78, 0xA0])
        assert np.abs(laid[mask] - (plain[mask] + color) / 2).max() <= 0.5

    def test_reduced_tree_is_like_the_reduced_slide(self, make_slide):
        slide = open_slide(make_slide(size=(300, 400), tile=(64, 64)).folder)
        one = np.asarray(slide.get_thumbnail(50, upright=True), float)
        other = np.asarray(slide.to_datatree().slide.thumbnail(50), float)
        assert one.shape == other.shape
        assert np.abs(one - other).mean() < 3

    def test_fluorescence_of_a_tree_is_shown(self, make_slide):
        slide = open_slide(make_slide(samples=1, optical_paths=3).folder)
        picture = slide.to_datatree(None).slide.thumbnail(90)
        assert picture.mode == "RGB"
        np.testing.assert_array_equal(
            picture, slide.to_datatree().slide.to_rgb()["level_0/image"].slide.upright()[0]
        )

    @pytest.mark.parametrize("size", [0, -3, 1.5])
    def test_impossible_sizes_are_errors(self, make_slide, size):
        tree = open_slide(make_slide().folder).to_datatree()
        with pytest.raises((TypeError, ValueError), match=r"^size: "):
            tree.slide.thumbnail(size)
