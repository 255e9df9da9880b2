"""Segmentations and Parametric Maps whose pixels are those of no level are images of their own."""

import numpy as np
import pydicom
import pytest

from dicomslide.testing.geometry import orientation_from_angle
from tests.slide.derived import (
    INTERCEPT,
    SLOPE,
    make_mask,
    positions,
    read_level,
    upright,
    write_map,
    write_segment,
)
from tests.slide.derived_checks import (
    assert_levels_are_those_of_the_images,
    box_of,
    channel_of,
    open_with,
    same,
)

# Beside the levels, whose rows run along -Y and columns along -X
OFF_GRID = {
    "turned by 180 degrees": {"orientation": (0, 1, 0, 1, 0, 0)},
    "turned by 90 degrees": {"orientation": (1, 0, 0, 0, -1, 0)},
    "turned by 3 degrees": {"orientation": orientation_from_angle(-87)},
    "mirrored": {"orientation": (0, -1, 0, 1, 0, 0)},
    "with a Pixel Spacing of no level": {"spacing": (0.0015, 0.0015)},
    "with pixels that are not square": {"spacing": (0.0005, 0.001)},
    "shifted by half a pixel": {"at": (20.5, 30)},
    "shifted by a fiftieth of a pixel": {"at": (20, 30.02)},
    "whose spacing adds up to a part of a pixel": {"spacing": (0.0005, 0.0005005)},
}


@pytest.mark.parametrize("case", OFF_GRID)
def test_an_image_off_all_grids_has_its_own_coordinates(plain, tmp_path, case):
    mask, how = make_mask((23, 17)), {"at": (40, 30)} | OFF_GRID[case]
    path = write_segment(tmp_path / "own.dcm", read_level(plain, 0), mask, **how)
    slide = open_with(plain, path)
    assert_levels_are_those_of_the_images(slide, plain)
    (image,) = slide.derived_images
    channel = channel_of(slide, "region 1")
    assert slide.get_volume_images(channel) == (image,)
    places = positions(pydicom.dcmread(path))
    indices = np.indices((23, 17)).reshape(2, -1).T
    mapped = image.map_pixel_indices_to_slide_coordinates(indices)
    assert mapped[:, :2] == pytest.approx(places.reshape(-1, 2), abs=1e-9)
    assert same(image.get_total_pixel_matrix(0)[...][..., 0], mask)
    for level in range(3):
        with pytest.raises(ValueError, match="derived_images"):
            slide.get_image_region((0, 0), level, (5, 5), channel)
    for chunks in (None, "frames"):
        tree = slide.to_datatree(chunks)
        assert all("segmentation" not in tree[f"level_{level}"] for level in range(3))
        node = tree["derived/segmentation"]
        assert same(node["segmentation"].values[0, 0], mask)
        assert node["label"].values.tolist() == ["region 1"]
        assert np.diff(node["y"]) == pytest.approx(np.full(22, image.geometry.spacing[0]))
        if case == "turned by 3 degrees":
            assert "slide_x" not in node.coords
            continue
        x, y = (node[f"slide_{axis}"].broadcast_like(node["segmentation"][0, 0]) for axis in "xy")
        assert x.transpose("y", "x").values == pytest.approx(places[..., 0], abs=1e-9)
        assert y.transpose("y", "x").values == pytest.approx(places[..., 1], abs=1e-9)
        offset, size = box_of(places)
        region = image.get_slide_region(offset, size)
        assert same(region[..., 0], upright(mask, places))


def test_parallel_images_off_the_grid_count_y_and_x_as_the_levels_do(either, tmp_path):
    mask = make_mask((23, 17))
    path = write_segment(tmp_path / "own.dcm", read_level(either, 0), mask, (20.5, -3.25))
    node = open_with(either, path).to_datatree(None)["derived/segmentation"]
    assert node["y"].values == pytest.approx((20.5 + np.arange(23)) * 0.0005, abs=1e-9)
    assert node["x"].values == pytest.approx((-3.25 + np.arange(17)) * 0.0005, abs=1e-9)


def test_parameters_off_all_grids_have_their_values(plain, tmp_path):
    stored = np.arange(20.0).reshape(4, 5)
    path = write_map(tmp_path / "map.dcm", read_level(plain, 0), stored, (2.5, 3), kind="integer")
    slide = open_with(plain, path)
    node = slide.to_datatree(None)["derived/parametric_map"]
    assert same(node["parametric_map"].values[0, 0], stored * SLOPE + INTERCEPT)
    channel = slide.get_channel_index("DENSITY", "PARAMETER")
    assert slide.get_volume_images(channel) == slide.derived_images


def test_images_off_all_grids_are_numbered_by_kind(plain, tmp_path):
    source = read_level(plain, 0)
    paths = [
        write_segment(tmp_path / "a.dcm", source, make_mask((5, 5)), (0.5, 0)),
        write_segment(tmp_path / "b.dcm", source, make_mask((5, 5)), (1.5, 0)),
        write_map(tmp_path / "c.dcm", source, np.ones((5, 5)), (0.5, 0)),
    ]
    tree = open_with(plain, *paths).to_datatree(None)
    assert set(tree["derived"].children) == {"segmentation", "segmentation_2", "parametric_map"}


def test_an_image_outside_of_the_slide_is_warned_of_and_kept(plain, tmp_path):
    mask = make_mask((5, 5))
    path = write_segment(tmp_path / "far.dcm", read_level(plain, 0), mask, (900, 0))
    with pytest.warns(UserWarning, match=r"far\.dcm.*outside") as caught:
        slide = open_with(plain, path)
    assert len(caught) == 1
    assert len(slide.derived_images) == 1
    assert_levels_are_those_of_the_images(slide, plain)
    assert same(slide.to_datatree(None)["derived/segmentation"]["segmentation"].values[0, 0], mask)
