"""Segmentations and Parametric Maps lie where they say, whatever size they have."""

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomslide import open_slide
from dicomslide.testing.geometry import ORIENTATIONS, orientation_from_angle
from tests.slide.derived import (
    INTERCEPT,
    SLIDE,
    SLOPE,
    level_positions,
    make_mask,
    paste,
    read_level,
    tile_positions,
    to_slide,
    write_map,
    write_segment,
)
from tests.slide.derived_checks import (
    assert_levels_are_those_of_the_images,
    assert_shown_on_level,
    channel_of,
    open_with,
    same,
    tree_arrays,
)
from tests.slide.small import FLUORESCENCE

# On the pixels of a level


@pytest.mark.parametrize("level_origins", ["centres", "same"])
@pytest.mark.parametrize("number", range(8))
def test_a_region_of_a_level_lies_at_its_place_in_every_orientation(
    make_slide, tmp_path, level_origins, number
):
    level = (0, 1, 2)[number % 3]
    written = make_slide(**SLIDE, orientation=ORIENTATIONS[number], level_origins=level_origins)
    mask, at = make_mask((11, 9), number), (7, 3)
    path = write_segment(tmp_path / "region.dcm", read_level(written, level), mask, at)
    slide = open_with(written, path)
    expected = paste(mask, at, written.levels[level].size, False)
    assert slide.derived_images == ()
    assert_levels_are_those_of_the_images(slide, written)
    assert_shown_on_level(slide, written, level, channel_of(slide, "region 1"), at, expected)
    for found in tree_arrays(slide, level, "segmentation"):
        assert same(found, expected[np.newaxis])


def test_a_region_may_have_the_matrix_size_of_another_level(either, tmp_path):
    size, at = either.levels[1].size, (40, 30)
    mask = make_mask(size)
    path = write_segment(tmp_path / "region.dcm", read_level(either, 0), mask, at)
    slide = open_with(either, path)
    assert_levels_are_those_of_the_images(slide, either)
    expected = paste(mask, at, either.levels[0].size, False)
    assert_shown_on_level(slide, either, 0, channel_of(slide, "region 1"), at, expected)
    assert "segmentation" not in slide.to_datatree()["level_1"]


@pytest.mark.parametrize("level", range(3))
def test_an_image_of_a_whole_level_goes_where_the_level_goes(either, tmp_path, level):
    mask = make_mask(either.levels[level].size)
    path = write_segment(tmp_path / "whole.dcm", read_level(either, level), mask)
    slide = open_with(either, path)
    assert_levels_are_those_of_the_images(slide, either)
    assert_shown_on_level(slide, either, level, channel_of(slide, "region 1"), (0, 0), mask)


@pytest.mark.parametrize("is_one_series", [True, False])
def test_two_regions_of_one_size_and_one_meaning_are_both_there(plain, tmp_path, is_one_series):
    places = [(5, 9), (41, 22)]
    masks = [make_mask((25, 31), seed) for seed in range(2)]
    series = "1.2.3.4" if is_one_series else None
    paths = [
        write_segment(tmp_path / f"{at[0]}.dcm", read_level(plain, 0), mask, at, series=series)
        for at, mask in zip(places, masks, strict=True)
    ]
    slide = open_with(plain, *paths)
    assert_levels_are_those_of_the_images(slide, plain)
    expected = {
        paste(mask, at, (90, 70), False).tobytes() for at, mask in zip(places, masks, strict=True)
    }
    channels = slide.find_segments(label="region 1")
    assert len(channels) == 2
    found = {slide.get_image_region((0, 0), 0, (90, 70), channel).tobytes() for channel in channels}
    assert found == expected
    for chunks in (None, "frames"):
        segments = slide.to_datatree(chunks)["level_0"]["segmentation"]
        assert {segments[i, 0].values.tobytes() for i in range(2)} == expected


@pytest.mark.parametrize(
    ("kind", "at"), [("BINARY", (6, 11)), ("FRACTIONAL", (-9, -4)), ("LABELMAP", (70, 60))]
)
def test_segments_of_every_kind_are_zero_around_their_region(plain, tmp_path, kind, at):
    numbers = np.random.default_rng(1).integers(0, 4, (33, 21), dtype=np.uint8)
    numbers[0, 0], numbers[-1, -1] = 3, 2
    stored = {"BINARY": numbers > 1, "FRACTIONAL": numbers / 255, "LABELMAP": numbers}[kind]
    path = write_segment(tmp_path / "region.dcm", read_level(plain, 0), stored, at, kind=kind)
    slide = open_with(plain, path)
    whole = paste(numbers, at, (90, 70), 0)
    expected = {
        "BINARY": [whole > 1],
        "FRACTIONAL": [whole],
        "LABELMAP": [whole == number for number in (1, 2, 3)],
    }[kind]
    for channel, pixels in zip(slide.find_segments(), expected, strict=True):
        assert_shown_on_level(slide, plain, 0, channel, at, pixels)
    values = whole[np.newaxis] / 255 if kind == "FRACTIONAL" else np.stack(expected)
    for found in tree_arrays(slide, 0, "segmentation"):
        assert found == pytest.approx(values, abs=1e-6)
    if kind == "LABELMAP":
        for found in tree_arrays(slide, 0, "label_map"):
            assert same(found, whole)


@pytest.mark.parametrize("kind", ["float", "double", "integer"])
@pytest.mark.parametrize("at", [(6, 11), (-9, -4), (70, 60), (0, 1)])
def test_parameters_of_every_kind_are_not_known_around_their_region(plain, tmp_path, kind, at):
    stored = np.random.default_rng(2).integers(0, 1000, (33, 21)).astype(np.float64)
    path = write_map(tmp_path / "map.dcm", read_level(plain, 0), stored, at, kind=kind)
    slide = open_with(plain, path)
    assert_levels_are_those_of_the_images(slide, plain)
    values = stored * SLOPE + INTERCEPT if kind == "integer" else stored
    for found in tree_arrays(slide, 0, "parametric_map"):
        assert same(found[0], paste(values, at, (90, 70), np.nan))
    channel = slide.get_channel_index("DENSITY", "PARAMETER")
    around = 0 if kind == "integer" else np.nan
    assert_shown_on_level(slide, plain, 0, channel, at, paste(stored, at, (90, 70), around))


@pytest.mark.parametrize("kind", ["float", "double", "integer"])
def test_parameters_of_a_whole_level_are_as_they_were_stored(plain, tmp_path, kind):
    stored = np.random.default_rng(3).integers(0, 1000, (45, 35)).astype(np.float64)
    path = write_map(tmp_path / "map.dcm", read_level(plain, 1), stored, kind=kind)
    slide = open_with(plain, path)
    values = stored * SLOPE + INTERCEPT if kind == "integer" else stored
    for found in tree_arrays(slide, 1, "parametric_map"):
        assert same(found[0], values)


def test_a_few_tiles_of_a_level_are_at_their_places(either, tmp_path):
    tiles = [(1, 1), (2, 0)]
    for level in (0, 1):
        source = read_level(either, level)
        places = [tile for tile in tiles if level == 0 or tile == (1, 1)]
        frames = np.stack([make_mask((32, 32), seed) for seed in range(len(places))])
        path = write_segment(
            tmp_path / f"{level}.dcm",
            source,
            frames,
            plane_positions=tile_positions(source, places),
        )
        # The last row of tiles reaches beyond the level
        expected = sum(
            paste(frame, (32 * row, 32 * column), either.levels[level].size, False)
            for frame, (row, column) in zip(frames, places, strict=True)
        ).astype(bool)
        slide = open_with(either, path)
        assert_levels_are_those_of_the_images(slide, either)
        assert slide.derived_images == ()
        channel = channel_of(slide, "region 1")
        assert_shown_on_level(slide, either, level, channel, (0, 0), expected)


@pytest.mark.parametrize("kind", ["float", "integer"])
@pytest.mark.parametrize("tiles", [[(1, 1), (2, 0)], [(0, 0), (1, 1)], [(0, 1), (2, 2)]])
@pytest.mark.parametrize("size", [None, (90, 70)])
def test_parameters_of_a_few_tiles_are_not_known_elsewhere(plain, tmp_path, kind, tiles, size):
    source = read_level(plain, 0)
    frames = np.random.default_rng(4).integers(1, 1000, (2, 32, 32)).astype(np.float64)
    path = write_map(
        tmp_path / "map.dcm",
        source,
        frames,
        kind=kind,
        plane_positions=tile_positions(source, tiles),
    )
    if size is not None:
        # Tiles of a matrix of the size of the level
        dataset = pydicom.dcmread(path)
        dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = size
        dataset.save_as(path)
    slide = open_with(plain, path)
    values = frames * SLOPE + INTERCEPT if kind == "integer" else frames
    expected = np.full((90, 70), np.nan)
    for tile, (row, column) in zip(values, tiles, strict=True):
        part = expected[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
        part[...] = tile[: part.shape[0], : part.shape[1]]
    for found in tree_arrays(slide, 0, "parametric_map"):
        assert same(found[0], expected)


# What decides


@pytest.fixture(scope="module")
def region(plain, tmp_path_factory):
    """A region of the base level."""
    path = tmp_path_factory.mktemp("region") / "region.dcm"
    return write_segment(path, read_level(plain, 0), make_mask((20, 15)), (1, 1))


def moved(path, written, level, at, folder):
    """Write a copy that states another place, to a millionth of a micrometre."""
    dataset = pydicom.dcmread(path)
    x, y, _ = to_slide(read_level(written, level), *at)
    origin = dataset.TotalPixelMatrixOriginSequence[0]
    origin.XOffsetInSlideCoordinateSystem = round(x, 9)
    origin.YOffsetInSlideCoordinateSystem = round(y, 9)
    dataset.save_as(folder / "moved.dcm")
    return folder / "moved.dcm"


@settings(max_examples=20)
@given(
    row=st.integers(-19, 89),
    column=st.integers(-14, 69),
    noise=st.tuples(*[st.floats(-0.009, 0.009)] * 2),
)
def test_any_place_within_a_hundredth_of_a_pixel_is_on_the_grid(
    plain, region, tmp_path_factory, row, column, noise
):
    at = row + noise[0], column + noise[1]
    path = moved(region, plain, 0, at, tmp_path_factory.getbasetemp())
    slide = open_with(plain, path)
    (channel,) = slide.find_segments()
    expected = paste(make_mask((20, 15)), (row, column), (90, 70), False)
    assert same(slide.get_image_region((0, 0), 0, (90, 70), channel)[..., 0], expected)
    assert slide.derived_images == ()


@settings(max_examples=20)
@given(
    row=st.integers(0, 60),
    column=st.integers(0, 50),
    noise=st.floats(0.011, 0.989),
    axis=st.integers(0, 1),
)
def test_any_place_off_by_more_than_a_hundredth_of_a_pixel_is_off_the_grid(
    plain, region, tmp_path_factory, row, column, noise, axis
):
    at = (row + noise, column) if axis == 0 else (row, column + noise)
    path = moved(region, plain, 0, at, tmp_path_factory.getbasetemp())
    slide = open_with(plain, path)
    (image,) = slide.derived_images
    assert image.physical_offset == pytest.approx(to_slide(read_level(plain, 0), *at)[:2], abs=1e-9)


def test_what_a_level_repeats_decides_and_not_where_it_lies(make_slide, tmp_path):
    written = make_slide(**SLIDE, level_origins="same")
    source, mask = read_level(written, 2), make_mask((9, 8))
    # Level 2 lies one and a half base pixels from where it states: a region that states the
    # place of its pixels has the pixels of no level
    x, y = level_positions(written, 2)[4, 3]
    path = write_segment(tmp_path / "region.dcm", source, mask, (4, 3))
    dataset = pydicom.dcmread(path)
    dataset.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem = round(x, 9)
    dataset.TotalPixelMatrixOriginSequence[0].YOffsetInSlideCoordinateSystem = round(y, 9)
    dataset.save_as(path)
    (image,) = open_with(written, path).derived_images
    assert image.physical_offset == pytest.approx((x, y), abs=1e-9)


def test_each_level_may_come_with_a_frame_of_reference_of_its_own(make_slide, tmp_path):
    written = make_slide(**SLIDE, level_origins="same")
    paths, masks = [], []
    for level in range(3):
        dataset = pydicom.dcmread(written.levels[level].paths[0])
        dataset.FrameOfReferenceUID = f"1.2.3.{level + 1}"
        dataset.save_as(tmp_path / f"level-{level}.dcm")
        masks.append(make_mask((9, 8), level))
        paths.append(tmp_path / f"level-{level}.dcm")
        source = pydicom.dcmread(paths[-1], stop_before_pixels=True)
        name = f"of level {level}"
        paths.append(
            write_segment(tmp_path / f"{level}.dcm", source, masks[-1], (5, 6), label=name)
        )
    with pytest.warns(UserWarning, match="Frame of Reference UID of its own"):
        slide = open_slide(paths)
    assert slide.derived_images == ()
    for level, mask in enumerate(masks):
        expected = paste(mask, (5, 6), written.levels[level].size, False)
        channel = channel_of(slide, f"of level {level} 1")
        assert_shown_on_level(slide, written, level, channel, (5, 6), expected)


def test_segments_of_another_height_add_no_focal_plane(plain, tmp_path):
    source = read_level(plain, 0)
    paths = [
        write_segment(tmp_path / f"{n}.dcm", source, make_mask((9, 8), n), (5, 6), height=height)
        for n, height in enumerate((0.0, 5.0))
    ]
    slide = open_with(plain, *paths)
    assert slide.num_focal_planes == 1
    assert slide.to_datatree(None)["level_0"]["image"].sizes["focal_plane"] == 1


@pytest.mark.parametrize("second", ["region", "another"])
def test_segments_go_on_at_another_level_if_they_mean_the_same(plain, tmp_path, second):
    masks = [make_mask((9, 8), seed) for seed in range(2)]
    paths = [
        write_segment(
            tmp_path / f"{level}.dcm",
            read_level(plain, level),
            masks[level],
            (1, 2),
            label=label,
            series="1.2.3.4",
        )
        for level, label in enumerate(("region", second))
    ]
    slide = open_with(plain, *paths)
    for level, label in enumerate(("region 1", f"{second} 1")):
        channel = channel_of(slide, label)
        expected = paste(masks[level], (1, 2), plain.levels[level].size, False)
        assert_shown_on_level(slide, plain, level, channel, (1, 2), expected)


def test_the_tile_of_a_frame_is_the_one_in_which_it_begins(plain, tmp_path):
    path = write_segment(
        tmp_path / "region.dcm", read_level(plain, 0), np.ones((48, 48), bool), (20, 30)
    )
    matrix = open_with(plain, path).get_total_pixel_matrix(0, 1)
    assert matrix.shape == (90, 70, 1)
    frame = pydicom.dcmread(path).PerFrameFunctionalGroupsSequence[5].PlanePositionSlideSequence[0]
    # Frames of 16 x 24 pixels, two in a row: the sixth begins at (32, 24)
    assert frame.RowPositionInTotalImagePixelMatrix == 33
    assert frame.ColumnPositionInTotalImagePixelMatrix == 25
    tile = matrix.get_tile_index(frame_number=6)
    assert matrix.get_tile_position(tile) == ((20 + 32) // 16 * 16, (30 + 24) // 24 * 24)


@pytest.mark.parametrize("angle", [7.0, 100.0])
def test_regions_of_an_oblique_level_are_part_of_it(make_slide, tmp_path, angle):
    written = make_slide(**SLIDE, orientation=orientation_from_angle(angle))
    mask = make_mask((20, 15))
    path = write_segment(tmp_path / "region.dcm", read_level(written, 1), mask, (11, 8))
    slide = open_with(written, path)
    expected = paste(mask, (11, 8), (45, 35), False)
    for found in tree_arrays(slide, 1, "segmentation"):
        assert same(found[0], expected)
    corner = level_positions(written, 1)[11, 8]
    image = slide.get_image(1, 1)
    assert image.physical_offset == pytest.approx(tuple(corner), abs=1e-9)


def test_segments_of_one_meaning_are_told_apart_by_their_series(plain, tmp_path):
    for level in range(2):
        write_segment(
            tmp_path / f"{level}.dcm",
            read_level(plain, level),
            make_mask((9, 8), level),
            (1, 2),
            series=f"1.2.3.{level}",
        )
    tree = open_with(plain, *tmp_path.iterdir()).to_datatree(None)
    for level in range(2):
        node = tree[f"level_{level}"]
        assert node["label"].values.tolist() == ["region 1"]
        assert node["segment_series"].values.tolist() == [f"1.2.3.{level}"]


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_segments_of_one_pyramid_have_one_series_at_all_levels(plain, tmp_path, kind):
    for level in range(2):
        write_segment(
            tmp_path / f"{level}.dcm",
            read_level(plain, level),
            make_mask((9, 8), level).astype(np.uint8),
            (1, 2),
            kind=kind,
            pyramid="1.2.3",
        )
    slide = open_with(plain, *tmp_path.iterdir())
    assert len(slide.find_segments()) == 1
    tree = slide.to_datatree(None)
    for level in range(2):
        assert tree[f"level_{level}"]["segment_series"].values.tolist() == ["1.2.3"]


@pytest.mark.parametrize("height", [0.0, 0.75, 2.9])
def test_a_derived_image_between_focal_planes_adds_none(make_slide, tmp_path, height):
    written = make_slide(**FLUORESCENCE, focal_planes=3, segmentations=("BINARY",))
    path = written.segmentations[0].paths[0]
    moved = pydicom.dcmread(path)
    moved.TotalPixelMatrixOriginSequence[0].ZOffsetInSlideCoordinateSystem = height
    for item in moved.get("PerFrameFunctionalGroupsSequence", ()):
        for position in item.get("PlanePositionSlideSequence", ()):
            position.ZOffsetInSlideCoordinateSystem = height
    moved.save_as(tmp_path / path.name)
    slide = open_slide([*(p for p in written.paths if p != path), tmp_path / path.name])
    assert [slide.get_focal_plane_offset(k) for k in range(3)] == [0.0, 1.5, 3.0]
    assert slide.num_focal_planes == 3
