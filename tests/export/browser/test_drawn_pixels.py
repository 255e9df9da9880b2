"""A browser draws the pixels of a slide from its OME-Zarr image, and knows their size."""

from itertools import product

import numpy as np
import pytest
import zarr

from dicomslide import open_slide, to_ome_zarr
from dicomslide.testing import make_wide_gamut_profile
from dicomslide.testing.painting.structures import STRUCTURES

pytestmark = pytest.mark.browser

# Several chunks, the last ones of them not full, and levels that are no half of each other
COLOUR = {"size": (700, 900), "tile": (128, 128), "factors": (1, 2, 3.3)}
FORMATS = {
    "0.4": {"version": "0.4"},
    "0.5": {},
    "0.5 with shards": {"shards": 1024},
    "0.6": {"version": "0.6"},
}
SEGMENTS = ("nucleus", "epithelium", "stroma")


@pytest.fixture(scope="module", params=FORMATS)
def export(request, make_slide, tmp_path_factory):
    """A slide of colour, its store, and the version that this has."""
    options = FORMATS[request.param]
    written = make_slide(**COLOUR)
    store = tmp_path_factory.mktemp("colour") / "slide.ome.zarr"
    to_ome_zarr(open_slide(written.folder), store, **options)
    return written, store, options.get("version", "0.5")


class TestColour:
    def test_every_level_has_the_pixels_of_the_slide(self, export, draw):
        written, store, _ = export
        for level in written.levels:
            drawing = draw(store, level=level.index)
            np.testing.assert_array_equal(drawing.pixels, level.pixels())

    def test_pixels_have_the_size_of_those_of_the_slide(self, export, draw):
        written, store, version = export
        drawing = draw(store, level=2)
        assert drawing.version == version
        assert [(axis["name"], axis.get("unit")) for axis in drawing.axes] == [
            ("c", None),
            ("z", "micrometer"),
            ("y", "micrometer"),
            ("x", "micrometer"),
        ]
        spacings = [[1000 * spacing for spacing in level.spacing] for level in written.levels]
        np.testing.assert_allclose([scale[2:] for scale in drawing.scales], spacings)

    @pytest.mark.parametrize("correct_color", [False, True])
    def test_correction_of_colour_is_that_of_the_slide(
        self, make_slide, draw, tmp_path, correct_color
    ):
        written = make_slide(**COLOUR, icc_profile=make_wide_gamut_profile())
        slide = open_slide(written.folder, correct_color=correct_color)
        to_ome_zarr(slide, tmp_path / "slide.ome.zarr")
        pixels = draw(tmp_path / "slide.ome.zarr", level=1).pixels
        expected = slide.get_image_region((0, 0), 1, written.levels[1].size)
        np.testing.assert_array_equal(pixels, expected)
        assert np.array_equal(pixels, written.levels[1].pixels()) == (not correct_color)


class TestLabels:
    @pytest.mark.parametrize(
        ("version", "kind"),
        [
            ("0.4", "BINARY"),
            ("0.5", "BINARY"),
            ("0.5", "FRACTIONAL"),
            ("0.5", "LABELMAP"),
            ("0.6", "BINARY"),
        ],
    )
    def test_segments_lie_over_the_image_in_their_colours(
        self, make_slide, draw, tmp_path, version, kind
    ):
        written = make_slide(size=(300, 400), factors=(1, 2), segmentations=(kind,))
        to_ome_zarr(open_slide(written.folder), tmp_path / "slide.ome.zarr", version=version)
        (segmentation,) = written.segmentations
        for label, level in product(["label_map"] if kind == "LABELMAP" else SEGMENTS, (0, 1)):
            drawing = draw(tmp_path / "slide.ome.zarr", level=level, label=label)
            expected = written.levels[level].pixels().astype(float)
            for number, segment in enumerate(SEGMENTS, start=1):
                if label in (segment, "label_map"):
                    mask = segmentation.mask(level, number)[..., np.newaxis]
                    opacity = mask / 255 if kind == "FRACTIONAL" else mask
                    expected += opacity * (STRUCTURES[segment].color - expected)
            # The colours were CIELab in between, and browsers round them times their opacity
            tolerance = 3 if kind == "FRACTIONAL" else 1
            np.testing.assert_allclose(drawing.pixels, expected, rtol=0, atol=tolerance)


class TestChannels:
    def test_every_channel_and_focal_plane_can_be_drawn(self, make_slide, draw, tmp_path):
        written = make_slide(samples=1, optical_paths=3, focal_planes=3)
        to_ome_zarr(open_slide(written.folder), tmp_path / "slide.ome.zarr")
        white = {"color": "FFFFFF", "window": {"start": 0, "end": 255}}
        for c, z in product(range(3), range(3)):
            channels = [{**white, "active": channel == c} for channel in range(3)]
            drawing = draw(tmp_path / "slide.ome.zarr", level=0, slices={"z": z}, channels=channels)
            expected = np.broadcast_to(written.levels[0].pixels(c, z), drawing.pixels.shape)
            np.testing.assert_array_equal(drawing.pixels, expected)

    def test_colours_and_windows_are_those_of_the_metadata(self, make_slide, draw, tmp_path):
        written = make_slide(samples=1, bits=12, optical_paths=3)
        to_ome_zarr(open_slide(written.folder), tmp_path / "slide.ome.zarr")
        drawing = draw(tmp_path / "slide.ome.zarr", level=0)
        omero = zarr.open_group(str(tmp_path / "slide.ome.zarr"), mode="r").attrs["ome"]["omero"]
        expected = np.zeros(drawing.pixels.shape)
        for index, channel in enumerate(omero["channels"]):
            start, end = (channel["window"][name] for name in ("start", "end"))
            shown = np.clip((written.levels[0].pixels(index) - start) / (end - start), 0, 1)
            expected = np.maximum(expected, shown * list(bytes.fromhex(channel["color"])))
        assert expected.max() > 100
        # The reader cuts fractions off
        np.testing.assert_allclose(drawing.pixels, expected, rtol=0, atol=1)
