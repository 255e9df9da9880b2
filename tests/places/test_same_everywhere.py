"""The same slide, tree and pixels from each place."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import xarray as xr

import dicomslide
from tests.places.kinds import KINDS

# Transfer syntaxes of uncompressed pixels: a service sends them all as the first (PS3.18 8.7.3)
NATIVE = {f"1.2.840.10008.1.2{ending}" for ending in (".1", "", ".1.99", ".2")}


def load(arguments: dict[str, Any]) -> xr.DataTree:
    """The tree with all its pixels, without what a service cannot know."""
    tree = dicomslide.open_slide(**arguments).to_datatree(chunks=None).load()
    for group in tree.subtree:
        if group.attrs.get("transfer_syntax_uid") in NATIVE:
            group.attrs["transfer_syntax_uid"] = "native"
    return tree


@pytest.mark.parametrize("kind", KINDS)
def test_tree_is_the_same_from_every_place(put, kind, write_kind):
    written = write_kind(kind)
    xr.testing.assert_identical(load(put(written)), load({"source": written.folder}))


@pytest.mark.parametrize("chunks", ["frames", "auto"])
def test_dask_array_is_the_same_from_every_place(put, write_kind, chunks):
    written = write_kind("brightfield")
    slide = dicomslide.open_slide(**put(written), correct_color=False)
    expected = dicomslide.open_slide(written.folder, correct_color=False)
    for level in range(3):
        matrix, same = (
            s.get_volume_images()[level].get_total_pixel_matrix() for s in (slide, expected)
        )
        np.testing.assert_array_equal(matrix.to_dask(chunks).compute(), same[...])


def test_tree_of_the_engine_is_the_same_from_every_place(put, write_kind):
    written = write_kind("fluorescence")
    arguments = put(written)
    tree = xr.open_datatree(arguments.pop("source"), engine="dicomslide", chunks={}, **arguments)
    for index, level in enumerate(written.levels):
        image = tree[f"level_{index}/image"]
        for channel in range(3):
            for plane in range(2):
                pixels = image.isel(channel=channel, focal_plane=plane).to_numpy()
                np.testing.assert_array_equal(pixels, level.pixels(channel, plane))


@pytest.mark.parametrize("kind", ["sparse", "concatenation", "deflated", "big endian", "instances"])
def test_pixels_are_those_that_were_written(put, write_kind, kind):
    """The expected pixels are those that were painted, and not those read from the folder."""
    written = write_kind(kind)
    slide = dicomslide.open_slide(**put(written))
    for index, level in enumerate(written.levels):
        for channel in range(slide.num_channels):
            for plane in range(slide.num_focal_planes):
                region = slide.get_image_region((0, 0), index, level.size, channel, plane)
                np.testing.assert_array_equal(region, level.pixels(channel, plane))


def test_pixels_are_the_same_on_several_threads(put, write_kind):
    """Many threads at once read one slide, each a part of it."""
    written = write_kind("concatenation")
    slide = dicomslide.open_slide(**put(written), max_frame_cache_size=0)
    pixels = written.levels[0].pixels()
    corners = [(row, column) for row in range(0, 120, 12) for column in range(0, 160, 20)]

    def read(corner: tuple[int, int]) -> np.ndarray:
        return slide.get_image_region(corner, 0, (30, 50))

    with ThreadPoolExecutor(8) as pool:
        for (row, column), region in zip(corners, pool.map(read, corners), strict=True):
            np.testing.assert_array_equal(region, pixels[row : row + 30, column : column + 50])
