"""What users write to Zarr and netCDF comes back as it was, without a warning."""

import numpy as np
import pytest
import xarray as xr

from tests.users.test_selecting import same


def opened(path) -> xr.Dataset:
    return xr.open_dataset(path, engine="zarr", consolidated=False).load()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_tree_comes_back_from_zarr(slide, zarr_format, tmp_path):
    slide.tree.to_zarr(tmp_path / "tree.zarr", zarr_format=zarr_format, consolidated=False)
    back = xr.open_datatree(tmp_path / "tree.zarr", engine="zarr", consolidated=False)
    xr.testing.assert_identical(back.load(), slide.tree.load())


def test_a_tree_comes_back_from_netcdf(slide, tmp_path):
    slide.tree.to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "tree.nc", engine="h5netcdf") as back:
        xr.testing.assert_equal(back.load(), slide.tree.load())


def test_a_tree_that_was_chunked_anew_comes_back(slide, tmp_path):
    tree = slide.tree.chunk(y=32, x=48, channel=1)
    assert tree["associated/label/image"].dims == ("row", "column", "sample")
    tree.to_zarr(tmp_path / "tree.zarr", consolidated=False)
    back = xr.open_datatree(tmp_path / "tree.zarr", engine="zarr", consolidated=False)
    xr.testing.assert_identical(back.load(), slide.tree.load())


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_regions_of_an_array_are_written_one_by_one(slide, zarr_format, tmp_path):
    level = slide.level.chunk(y=35)
    path = tmp_path / "level.zarr"
    level.to_zarr(path, compute=False, zarr_format=zarr_format, consolidated=False)
    for rows in (slice(35, 70), slice(0, 35)):
        level.isel(y=rows).to_zarr(path, region="auto", consolidated=False)
    xr.testing.assert_identical(opened(path), slide.level.load())


def test_channels_are_appended_one_after_the_other(slide, tmp_path):
    image = slide.level[["image"]]
    path = tmp_path / "level.zarr"
    image.isel(channel=[0]).to_zarr(path, consolidated=False)
    for index in range(1, image.sizes["channel"]):
        image.isel(channel=[index]).to_zarr(path, append_dim="channel", consolidated=False)
    xr.testing.assert_identical(opened(path), image.load())


def test_segments_are_appended_one_after_the_other(bright_field, tmp_path):
    segments = bright_field.level[["segmentation"]]
    path = tmp_path / "level.zarr"
    segments.isel(segment=[0]).to_zarr(path, consolidated=False)
    # Labels of other lengths
    segments.isel(segment=[1, 2]).to_zarr(path, append_dim="segment", consolidated=False)
    xr.testing.assert_identical(opened(path), segments.load())


def test_rows_are_appended_one_after_the_other(slide, tmp_path):
    path = tmp_path / "level.zarr"
    slide.level.isel(y=slice(0, 30)).to_zarr(path, consolidated=False)
    slide.level.isel(y=slice(30, None)).to_zarr(path, append_dim="y", consolidated=False)
    xr.testing.assert_identical(opened(path), slide.level.load())


def test_a_result_is_added_to_a_saved_tree(slide, tmp_path):
    path = tmp_path / "level.zarr"
    slide.level.to_zarr(path, consolidated=False)
    result = slide.level.assign(bright=slide.image > 100)
    result[["bright"]].to_zarr(path, mode="a", consolidated=False)
    xr.testing.assert_identical(opened(path), result.load())


def test_a_saved_tree_can_be_saved_again(slide, tmp_path):
    slide.level.to_zarr(tmp_path / "first.zarr", consolidated=False)
    first = xr.open_dataset(tmp_path / "first.zarr", engine="zarr", consolidated=False)
    first.to_zarr(tmp_path / "second.zarr", consolidated=False)
    xr.testing.assert_identical(opened(tmp_path / "second.zarr"), slide.level.load())


def test_changed_fractions_come_back(bright_field, tmp_path):
    level = bright_field.level[["segmentation_2"]].load()
    # None of these is a stored fraction
    level["segmentation_2"][0, 0, :3, 0] = [np.nan, 0.3, 7.0]
    level.to_zarr(tmp_path / "level.zarr", consolidated=False)
    found = opened(tmp_path / "level.zarr")
    xr.testing.assert_identical(found, level)
    np.testing.assert_array_equal(found.segmentation_2[0, 0, :3, 0], [np.nan, 0.3, 7.0])


def test_fractions_are_saved_as_they_are_stored(bright_field, tmp_path):
    codes = xr.open_dataset(bright_field.written.folder, engine="dicomslide", mask_and_scale=False)
    assert codes.segmentation_2.dtype == np.uint8
    codes.to_zarr(tmp_path / "level.zarr", consolidated=False)
    found = xr.open_dataset(
        tmp_path / "level.zarr", engine="zarr", consolidated=False, mask_and_scale=False
    )
    same(found.segmentation_2, codes.segmentation_2.values)
    decoded = opened(tmp_path / "level.zarr").segmentation_2
    np.testing.assert_allclose(decoded, bright_field.level.segmentation_2)
