"""A browser draws the pixels of slides that are served, and not copied."""

import re

import numpy as np
import pytest
from pytest_httpserver import HTTPServer

from dicomslide import SlideServer, make_thumbnail, open_slide

pytestmark = pytest.mark.browser

COLOUR = {"size": (700, 900), "tile": (128, 128), "factors": (1, 2, 4)}
FLUORESCENCE = {"samples": 1, "bits": 16, "optical_paths": 3, "focal_planes": 2}


@pytest.fixture
def serve(server: HTTPServer):
    """Serves a slide to the pages of the tests, which are of another origin."""
    origin = re.match("http://[^/]+", server.url_for("/"))[0]
    running = []

    def begin(slide, **options):
        running.append(SlideServer([slide], allow_origins=[origin], **options))
        (url,) = running[-1].__enter__().urls.values()
        return url

    yield begin
    for one in running:
        one.__exit__()


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_every_level_has_the_pixels_of_the_slide(make_slide, serve, draw, version):
    written = make_slide(**COLOUR)
    url = serve(open_slide(written.folder), version=version)
    for level in written.levels:
        drawing = draw(f"{url}ome.zarr", level=level.index)
        np.testing.assert_array_equal(drawing.pixels, level.pixels())
        assert drawing.version == version


def test_missing_levels_are_there_when_they_are_computed(make_slide, serve, draw):
    written = make_slide(size=(700, 900), factors=(1, 4))
    url = serve(open_slide(written.folder), levels="dyadic")
    corners = written.levels[0].pixels().reshape(350, 2, 450, 2, 3).astype(int)
    expected = (corners.sum(axis=(1, 3)) + 2) // 4
    np.testing.assert_array_equal(draw(f"{url}ome.zarr", level=1).pixels, expected)


def test_a_segment_lies_over_the_image(make_slide, serve, draw):
    written = make_slide(size=(300, 400), factors=(1, 2), segmentations=("BINARY",))
    url = serve(open_slide(written.folder))
    plain = draw(f"{url}ome.zarr", level=1).pixels
    covered = draw(f"{url}ome.zarr", level=1, label="nucleus").pixels
    mask = written.segmentations[0].mask(1, 1)
    np.testing.assert_array_equal((plain != covered).any(axis=-1), mask)


def test_channels_and_focal_planes_can_be_drawn(make_slide, serve, draw):
    written = make_slide(samples=1, optical_paths=2, focal_planes=2)
    url = serve(open_slide(written.folder))
    white = {"color": "FFFFFF", "window": {"start": 0, "end": 255}}
    for c, z in np.ndindex(2, 2):
        channels = [{**white, "active": channel == c} for channel in range(2)]
        drawing = draw(f"{url}ome.zarr", level=0, slices={"z": z}, channels=channels)
        expected = np.broadcast_to(written.levels[0].pixels(c, z), drawing.pixels.shape)
        np.testing.assert_array_equal(drawing.pixels, expected)


class TestDeepZoom:
    def test_colours_are_those_of_the_slide(self, make_slide, serve, show):
        written = make_slide(**COLOUR)
        url = serve(open_slide(written.folder))
        shown = show("deepzoom.html", f"{url}deepzoom.dzi", width=900, height=700)
        assert shown["size"] == [700, 900]
        difference = shown["pixels"].astype(int) - written.levels[0].pixels()
        # JPEG changes noise, and neither colours nor places
        assert np.abs(difference).mean() < 3
        assert np.abs(difference.mean(axis=(0, 1))).max() < 1

    def test_fluorescence_has_the_colours_of_the_thumbnail(self, make_slide, serve, show):
        slide = open_slide(make_slide(size=(300, 400), **FLUORESCENCE).folder)
        url = serve(slide)
        shown = show("deepzoom.html", f"{url}deepzoom.dzi", width=400, height=300)["pixels"]
        expected = np.asarray(make_thumbnail(slide, 400))
        for channel in range(3):
            pairs = shown[..., channel].ravel(), expected[..., channel].ravel()
            assert np.corrcoef(*pairs)[0, 1] > 0.9
