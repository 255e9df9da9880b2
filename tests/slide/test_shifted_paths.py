"""Optical paths that lie beside each other: each has its own coordinates, at all levels."""

import numpy as np
import pydicom
import pytest

from dicomslide import open_slide
from tests.slide.derived import (
    SLIDE,
    make_mask,
    paste,
    positions,
    read_level,
    to_slide,
    upright,
    write_segment,
)
from tests.slide.derived_checks import box_of, channel_of, same

PATHS = {**SLIDE, "samples": 1, "bits": 16, "optical_paths": 2, "optical_paths_in": "each"}
OFFSET = "{}OffsetInSlideCoordinateSystem"


@pytest.fixture(params=[5.5, 7])
def shift(request):
    """Rows of the base level by which the second path is shifted."""
    return request.param


@pytest.fixture(params=["centres", "same"])
def written(request, make_slide):
    return make_slide(**PATHS, level_origins=request.param)


@pytest.fixture
def shifted(written, shift, tmp_path):
    """The files of a slide whose second path lies some rows below the first one."""
    first, base = read_level(written, 0), np.array(to_slide(read_level(written, 0), 0, 0))
    distance = np.array(to_slide(first, shift, 0)) - base
    paths = []
    for level in written.levels:
        for number, path in enumerate(level.paths):
            dataset = pydicom.dcmread(path)
            origin = dataset.TotalPixelMatrixOriginSequence[0]
            for axis, by in zip("XY", distance[:2] * number, strict=True):
                keyword = OFFSET.format(axis)
                setattr(origin, keyword, round(float(origin.get(keyword)) + by, 9))
            paths.append(tmp_path / path.name)
            dataset.save_as(paths[-1])
    return paths


def places_of(paths, written, level, channel):
    """Centres of the pixels of a path: its levels have the corner of its own base level."""
    factor = written.levels[level].factor
    base = pydicom.dcmread(paths[channel], stop_before_pixels=True)
    own = pydicom.dcmread(paths[2 * level + channel], stop_before_pixels=True)
    corner = to_slide(base, factor / 2 - 0.5, factor / 2 - 0.5)
    moved = np.array(corner) - to_slide(own, 0, 0)
    return positions(own) + moved[:2]


def test_each_path_lies_where_it_says(shifted, written):
    slide = open_slide(shifted)
    assert slide.total_pixel_matrix_dimensions == tuple(level.size for level in written.levels)
    for level in range(3):
        for channel in range(2):
            places = places_of(shifted, written, level, channel)
            x, y = places[9, 4]
            assert slide.get_slide_offset((9, 4), level, channel) == pytest.approx((x, y), abs=1e-9)
            assert slide.get_pixel_indices((x, y), level, channel) == (9, 4)
            offset, size = box_of(places)
            region = slide.get_slide_region(offset, level, size, channel)
            expected = written.levels[level].pixels(channel)
            assert same(region, upright(expected, places))
            image = slide.get_image(level, channel)
            assert same(image.get_slide_region(offset, size), upright(expected, places))


@pytest.mark.parametrize("chunks", [None, "frames"])
def test_a_node_has_the_paths_of_its_coordinates_only(shifted, written, chunks):
    tree = open_slide(shifted).to_datatree(chunks)
    for level in range(3):
        name = "image" + (f"_{level + 1}" if level else "")
        for channel, node in enumerate((tree[f"level_{level}"], tree[f"derived/{name}"])):
            places = places_of(shifted, written, level, channel)
            assert node["channel"].values.tolist() == [str(channel + 1)]
            assert same(node["image"].values[0, 0], written.levels[level].pixels(channel))
            # Rows run along -Y, columns along -X
            assert node["slide_x"].values == pytest.approx(places[:, 0, 0], abs=1e-9)
            assert node["slide_y"].values == pytest.approx(places[0, :, 1], abs=1e-9)


def test_a_box_on_the_slide_shows_the_same_place_of_each_path(shifted, written, shift):
    slide = open_slide(shifted)
    # What the first path has from row 40 on, the second has so many rows further up
    corner = places_of(shifted, written, 0, 0)[49, 20]
    offset = tuple((corner - 0.0005 * 0.25).tolist())
    first, second = (slide.get_slide_region(offset, 0, (0.005, 0.003), c) for c in range(2))
    start = 40 - shift
    rows = [int(np.ceil(start - 0.25)), 40]
    for region, row, channel in ((first, rows[1], 0), (second, rows[0], 1)):
        assert region.shape == (6, 10, 1)
        pixels = written.levels[0].pixels(channel)[row : row + 10, 15:21, 0]
        # Upright: columns along +X are rows from the last one on, rows along -Y are columns
        assert same(region[..., 0], pixels.T[:, ::-1])


def test_segments_of_the_first_path_are_on_its_pixels(shifted, written, tmp_path):
    source, mask = pydicom.dcmread(shifted[0], stop_before_pixels=True), make_mask((20, 15))
    path = write_segment(tmp_path / "region.dcm", source, mask, (10, 12))
    slide = open_slide([*shifted, path])
    region = slide.get_image_region((0, 0), 0, (90, 70), channel_of(slide, "region 1"))
    assert same(region[..., 0], paste(mask, (10, 12), (90, 70), False))


@pytest.mark.parametrize("level", range(3))
def test_segments_of_the_second_path_lie_where_it_lies(shifted, written, tmp_path, level, shift):
    source = pydicom.dcmread(shifted[2 * level + 1], stop_before_pixels=True)
    path = write_segment(tmp_path / "region.dcm", source, make_mask((8, 6)), (3, 2))
    slide = open_slide([*shifted, path])
    (channel,) = slide.find_segments()
    (image,) = slide.get_volume_images(channel)
    places = places_of(shifted, written, level, 1)
    assert image.physical_offset == pytest.approx(tuple(places[3, 2]), abs=1e-9)
    # By whole pixels of the base level it is part of that one
    assert (image in slide.derived_images) == (level > 0 or shift != 7)
