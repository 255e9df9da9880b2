"""A cluster computes what one process computes."""

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from dicomslide import as_zarr, open_slide

KINDS = {
    "native": {"transfer_syntax": ExplicitVRLittleEndian},
    "jpeg, basic offset table": {"transfer_syntax": JPEGBaseline8Bit, "offset_table": "basic"},
    "jpeg, no offset table": {"transfer_syntax": JPEGBaseline8Bit, "offset_table": "empty"},
    "jpeg, extended offset table": {
        "transfer_syntax": JPEGBaseline8Bit,
        "offset_table": "extended",
        "icc_profile": True,
    },
    "sparse": {"organization": "TILED_SPARSE", "sparse": "off-grid"},
    "overlapping": {"organization": "TILED_SPARSE", "sparse": "overlapping"},
    "channels and planes": {"optical_paths": 2, "focal_planes": 2},
    "segments": {"segmentations": ("BINARY", "FRACTIONAL", "LABELMAP")},
}


@pytest.fixture
def image(client, make_slide):
    """An image of 5 x 4 frames in its tree, and its pixels."""
    written = make_slide()
    tree = open_slide(written.folder).to_datatree()
    return tree["level_0"].image.isel(channel=0, focal_plane=0), written.levels[0].pixels()


@pytest.mark.parametrize("chunks", [{}, "auto", {"y": 32, "x": 48}])
@pytest.mark.parametrize("kind", KINDS)
def test_trees_of_all_kinds_are_those_of_one_process(client, make_slide, kind, chunks):
    slide = open_slide(make_slide(**KINDS[kind]).folder)
    computed = slide.to_datatree(chunks)["level_0"].to_dataset().compute()
    xr.testing.assert_identical(computed, slide.to_datatree(None)["level_0"].to_dataset().load())


def test_zarr_that_holds_no_pixels(client, make_slide):
    written = make_slide()
    array = da.from_zarr(as_zarr(open_slide(written.folder)), component="0")
    pixels = np.moveaxis(array[:, 0].compute(), 0, -1)
    np.testing.assert_array_equal(pixels, written.levels[0].pixels())


def test_tree_of_the_engine_is_computed_on_the_workers(client, make_slide):
    written = make_slide()
    tree = xr.open_datatree(written.folder, engine="dicomslide", chunks={})
    pixels = tree["level_0"].image[0, 0].compute().values
    np.testing.assert_array_equal(pixels, written.levels[0].pixels())


def test_dask_array_of_a_matrix_is_computed_on_the_workers(client, make_slide):
    written = make_slide()
    (image,) = open_slide(written.folder).get_volume_images()
    lazy = image.get_total_pixel_matrix().to_dask((32, 48))
    np.testing.assert_array_equal(
        lazy[3:60:2, 5:].compute(), written.levels[0].pixels()[3:60:2, 5:]
    )


def test_persisted_arrays_have_the_same_pixels(image):
    lazy, pixels = image
    kept = (lazy.astype("int64") + 1).persist()
    assert kept.chunks == lazy.chunks
    np.testing.assert_array_equal(kept[20:40, 10:70].values, pixels[20:40, 10:70].astype(int) + 1)


def test_map_blocks_is_given_one_frame_at_a_time(image):
    lazy, pixels = image

    def brightest(block):
        assert block.shape[0] <= 16
        assert block.shape[1] <= 24
        return np.full_like(block, block.max())

    found = lazy.data.map_blocks(brightest, dtype=np.uint8).compute()
    for row in range(0, 70, 16):
        for column in range(0, 90, 24):
            part = np.s_[row : row + 16, column : column + 24]
            assert (found[part] == pixels[part].max()).all()


def test_map_overlap_sees_the_neighbours(image):
    lazy, pixels = image

    def smooth(block):
        return (block[:-2] + block[1:-1] + block[2:])[:, 1:-1]

    wide = lazy.data.astype("int64")
    found = wide.map_overlap(
        smooth, depth={0: 1, 1: 1}, boundary="nearest", trim=False, dtype=np.int64
    ).compute()
    padded = np.pad(pixels.astype(int), ((1, 1), (0, 0), (0, 0)), mode="edge")
    np.testing.assert_array_equal(found, padded[:-2] + padded[1:-1] + padded[2:])


def test_apply_ufunc_gives_the_same_as_in_one_process(image):
    lazy, pixels = image
    spread = xr.apply_ufunc(
        lambda samples: samples.max(axis=-1) - samples.min(axis=-1),
        lazy,
        input_core_dims=[["sample"]],
        dask="parallelized",
        output_dtypes=[np.uint8],
    )
    np.testing.assert_array_equal(spread.compute().values, pixels.max(-1) - pixels.min(-1))


def test_map_blocks_of_xarray_sees_the_coordinates(image):
    lazy, pixels = image

    def shade(part):
        assert part.sizes["y"] <= 16
        return part * (part.y > 0.0099)

    found = xr.map_blocks(shade, lazy, template=lazy).compute()
    np.testing.assert_array_equal(found.slide_x, lazy.slide_x)
    # Pixels are 0.5 micrometres apart
    below = np.arange(70) * 0.0005 > 0.0099
    np.testing.assert_array_equal(found.values, pixels * below[:, None, None])


def test_coarsen_gives_the_same_as_in_one_process(image):
    lazy, pixels = image
    halved = lazy.coarsen(y=2, x=2).mean().compute()
    expected = pixels.reshape(35, 2, 45, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(halved.values, expected, rtol=1e-12)


def test_reductions_give_the_same_as_in_one_process(image):
    lazy, pixels = image
    assert float(lazy.mean()) == pytest.approx(pixels.mean())
    assert int((lazy.max("sample") > 200).sum()) == (pixels.max(-1) > 200).sum()
    np.testing.assert_array_equal(lazy.max(("y", "x")).values, pixels.max(axis=(0, 1)))


def test_several_slides_can_be_computed_together(client, make_slide):
    written = [make_slide(seed=seed) for seed in (1, 2, 3)]
    means = [
        open_slide(slide.folder).to_datatree("auto")["level_0"].image.mean() for slide in written
    ]
    expected = [slide.levels[0].pixels().mean() for slide in written]
    np.testing.assert_allclose(dask.compute(*means), expected)
