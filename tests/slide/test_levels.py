"""Which images are levels, where they lie, and that everything agrees on it."""

import json
import math
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
import zarr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicomslide import OpenSlide, Pyramid, Slide, open_slide, to_ome_zarr
from dicomslide.cli import main
from dicomslide.grouping.slides import group_slides
from dicomslide.metadata.json_model import dataset_of_json
from dicomslide.testing import ORIENTATIONS, OpticalPath
from dicomslide.thumbnail import make_thumbnail
from tests.slide.small import FLUORESCENCE, SMALL, NoFrames, read_metadata

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"


def real(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the real slides of {path} are not here")
    return path


def read_json(name: str) -> list[Dataset]:
    items = json.loads(real(f"json/{name}").read_text())
    return [dataset_of_json(item, {}, f"image {number}") for number, item in enumerate(items)]


def spacing_item(dataset: Dataset) -> Dataset:
    return dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]


def origin_item(dataset: Dataset) -> Dataset:
    return dataset.TotalPixelMatrixOriginSequence[0]


def resized(dataset: Dataset, size: tuple[int, int], spacing: tuple[float, float]) -> Dataset:
    """Give metadata of a one-tile-wide image another size; there are no pixels to go with them."""
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = size
    tiles = -(-size[0] // dataset.Rows) * -(-size[1] // dataset.Columns)
    dataset.NumberOfFrames = tiles
    spacing_item(dataset).PixelSpacing = [f"{value:.10g}" for value in spacing]
    return dataset


def copies(dataset: Dataset, count: int) -> list[Dataset]:
    """Copies that are instances of their own."""
    found = [deepcopy(dataset) for _ in range(count)]
    for number, copy in enumerate(found, 1):
        copy.SOPInstanceUID = f"2.25.{number}"
        copy.InstanceNumber = number
    return found


# Alignment


def test_a_slide_whose_coarsest_pixel_is_wider_than_the_tolerance_opens():
    folder = real("3dhistech-bpaec")
    with pytest.warns(UserWarning, match="1_Map is left out of the slide.*REGIONLOCALIZER"):
        slide = open_slide(folder, correct_color=False)
    assert slide.num_levels == 8
    assert slide.downsampling_factors == pytest.approx([2.0**n for n in range(8)], rel=1e-5)
    assert max(slide.pixel_spacings[-1]) > 0.1
    assert [c.label for c in slide.channels] == ["Green", "Blue", "Red"]
    (label,) = slide.label_images
    assert label.num_channels == 1
    assert label.get_total_pixel_matrix()[...].shape == (*label.size, 3)


DEEP = [(3000 >> n, 2100 >> n) for n in range(12)]


@pytest.mark.parametrize("spacings", ["doubled", "of the area"])
def test_a_pyramid_of_halves_that_are_rounded_down_to_one_pixel_opens(make_slide, spacings):
    (template,) = read_metadata(make_slide(**{**SMALL, "factors": (1,)}))
    images = [
        resized(
            dataset,
            size,
            (0.0005 * 2**n, 0.0005 * 2**n)
            if spacings == "doubled"
            else (0.0005 * 3000 / size[0], 0.0005 * 2100 / size[1]),
        )
        for n, (dataset, size) in enumerate(zip(copies(template, 12), DEEP, strict=True))
    ]
    assert DEEP[-1] == (1, 1)
    slide = Slide(NoFrames(), images)
    assert slide.total_pixel_matrix_dimensions == tuple(DEEP)


def test_levels_that_are_not_aligned_are_named_by_file_flavor_size_and_keyword(
    make_slide, tmp_path, capsys
):
    written = make_slide(**{**SMALL, "factors": (1, 2)})
    for path in written.paths:
        dataset = pydicom.dcmread(path)
        if path.name == "level-1.dcm":
            origin_item(dataset).XOffsetInSlideCoordinateSystem += 0.5
        dataset.save_as(tmp_path / path.name)
    with pytest.raises(ValueError, match="not aligned") as error:
        open_slide(tmp_path)
    for part in (
        "level-0.dcm (VOLUME, 90 x 70 pixels)",
        "level-1.dcm (VOLUME, 45 x 35 pixels)",
        "0.5 mm apart",
        "pyramid_tolerance",
    ):
        assert part in str(error.value)
    assert open_slide(tmp_path, pyramid_tolerance=0.6).num_levels == 2
    assert main(["info", str(tmp_path)]) == 2
    assert main(["info", str(tmp_path), "--pyramid-tolerance", "0.6"]) == 0
    capsys.readouterr()


def test_levels_without_a_common_origin_are_compared_by_their_areas(make_slide):
    # The origin of level 2 is a pixel and a half of the base level from that of level 0
    images = read_metadata(make_slide(**SMALL, level_origins="centres", pixel_spacing=0.2))
    assert Slide(NoFrames(), images, pyramid_tolerance=0.0).num_levels == 3


# Levels that are padded to whole tiles

BASE, TILE, FACTORS = (1500, 2000), 512, (1, 2, 4, 8)
SIZES = ((1500, 2000), (750, 1000), (375, 500), (188, 250))
STORED = ((1500, 2000), (1024, 1024), (512, 512), (512, 512))
GARBAGE = (255, 0, 255)
WHITE = (255, 255, 255)


def landmark(rows, columns):
    """Colour of the base pixels; blocks of 8 x 8 pixels have one, so that all levels show it."""
    r, c = np.asarray(rows) // 8, np.asarray(columns) // 8
    return np.stack(np.broadcast_arrays(r % 188, 10 + c % 200, 20 + (r + c) % 180), axis=-1)


def paint_level(level: int, padding: tuple[int, int, int]) -> np.ndarray:
    """The stored pixels of a level: landmarks, and padding beyond the area of the base level."""
    rows, columns = STORED[level]
    pixels = np.empty((rows, columns, 3), np.uint8)
    pixels[:] = padding
    height, width = SIZES[level]
    factor = FACTORS[level]
    pixels[:height, :width] = landmark(
        np.arange(height)[:, None] * factor, np.arange(width)[None] * factor
    )
    return pixels


def cut_into_tiles(pixels: np.ndarray) -> bytes:
    rows, columns = (-(-n // TILE) for n in pixels.shape[:2])
    whole = np.full((rows * TILE, columns * TILE, 3), 7, np.uint8)
    whole[: pixels.shape[0], : pixels.shape[1]] = pixels
    tiles = whole.reshape(rows, TILE, columns, TILE, 3).swapaxes(1, 2)
    return tiles.tobytes()


def write_padded(folder: Path, template: Path, origins: str, padding: tuple[int, int, int]) -> Path:
    folder.mkdir(exist_ok=True)
    for level, factor in enumerate(FACTORS):
        dataset = pydicom.dcmread(template)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"2.25.{level + 1}"
        dataset.InstanceNumber = level + 1
        dataset.Rows = dataset.Columns = TILE
        resized(dataset, STORED[level], (0.0005 * factor,) * 2)
        if origins == "own":
            shift = 0.0005 * (factor - 1) / 2
            item = origin_item(dataset)
            # Rows run along -Y, columns along -X
            item.XOffsetInSlideCoordinateSystem -= shift
            item.YOffsetInSlideCoordinateSystem -= shift
        dataset.PixelData = cut_into_tiles(paint_level(level, padding))
        dataset.save_as(folder / f"level-{level}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture(scope="module", params=["one", "own"])
def padded(request, make_slide, tmp_path_factory):
    """A slide whose levels are stored as whole tiles, with garbage beyond the base level's area."""
    written = make_slide(**{**SMALL, "factors": (1,)})
    folder = tmp_path_factory.mktemp("padded")
    return write_padded(folder, written.paths[0], request.param, GARBAGE)


@pytest.fixture(scope="module")
def padded_slide(padded):
    return open_slide(padded)


# Pixels of the base level: corners, the last block, and some between
POINTS = [(0, 0), (8, 1992), (1496, 0), (1496, 1992), (744, 1000), (1000, 496), (504, 1536)]


def test_padded_levels_end_where_the_base_level_ends(padded_slide):
    assert padded_slide.downsampling_factors == (1, 2, 4, 8)
    assert padded_slide.total_pixel_matrix_dimensions == SIZES
    tree = padded_slide.to_datatree()
    assert tuple(tree[f"level_{n}"]["image"].shape[2:4] for n in range(4)) == SIZES


@pytest.mark.parametrize("level", range(4))
def test_the_same_point_has_the_same_colour_at_all_padded_levels(padded, padded_slide, level):
    tree = padded_slide.to_datatree()
    node = tree[f"level_{level}"]["image"]
    with OpenSlide(padded) as path, OpenSlide(padded_slide) as wrapped:
        for row, column in POINTS:
            expected = landmark(row, column).tolist()
            # The middle of the block
            point = {"y": 0.0005 * (row + 3.5), "x": 0.0005 * (column + 3.5)}
            shown = node.sel(point, method="nearest").isel(channel=0, focal_plane=0)
            assert shown.values.tolist() == expected
            region = padded_slide.get_image_region((row, column), level, (1, 1))
            assert region[0, 0].tolist() == expected
            for slide in (path, wrapped):
                pixel = slide.read_region((column, row), level, (1, 1)).getpixel((0, 0))
                assert list(pixel) == [*expected, 255]


@pytest.mark.parametrize("level", range(4))
def test_slide_regions_have_the_same_colours_at_all_padded_levels(padded_slide, level):
    width = 0.0005 * 8
    for row, column in (*POINTS[:2], *POINTS[4:]):
        x, y = padded_slide.get_slide_offset((row + 3.5, column + 3.5), 0)
        region = padded_slide.get_slide_region(
            (x - width / 2, y - width / 2), level, (width, width)
        )
        assert region.shape[:2] == (8 // FACTORS[level],) * 2
        assert np.unique(region.reshape(-1, 3), axis=0).tolist() == [landmark(row, column).tolist()]


def test_padding_of_levels_is_shown_nowhere(padded, padded_slide):
    tree = padded_slide.to_datatree()
    with OpenSlide(padded) as opened:
        assert opened.level_dimensions == tuple((columns, rows) for rows, columns in SIZES)
        for level, (rows, columns) in enumerate(SIZES):
            expected = paint_level(level, GARBAGE)[:rows, :columns]
            found = tree[f"level_{level}"]["image"].values[0, 0]
            assert np.array_equal(found, expected)
            region = padded_slide.get_image_region((0, 0), level, STORED[level])
            assert np.array_equal(region[:rows, :columns], expected)
            assert (region[rows:] == 255).all()
            assert (region[:, columns:] == 255).all()
            rgba = np.asarray(opened.read_region((0, 0), level, STORED[level][::-1]))
            assert np.array_equal(rgba[:rows, :columns, :3], expected)
            assert not rgba[rows:].any()
            assert not rgba[:, columns:].any()


def test_the_thumbnail_of_a_padded_slide_has_its_proportions_and_no_padding(padded_slide):
    for size in (40, 250, 500):
        picture = make_thumbnail(padded_slide, size)
        assert picture.size == (size, size * 3 // 4 + (size == 250))
        pixels = np.asarray(picture).astype(int)
        # Magenta is far from every landmark
        assert (np.abs(pixels - GARBAGE).sum(axis=-1) > 100).all()


def test_white_padding_is_no_part_of_a_level_either(make_slide, tmp_path):
    written = make_slide(**{**SMALL, "factors": (1,)})
    slide = open_slide(write_padded(tmp_path, written.paths[0], "one", WHITE))
    assert slide.total_pixel_matrix_dimensions == SIZES


def describe(
    size: tuple[int, int],
    spacing: tuple[float, float],
    origin: tuple[float, float] = (10.0, 20.0),
    tile: tuple[int, int] = (64, 64),
    uid: str = "1.2.3",
) -> Dataset:
    """As much of the metadata of an image as tells its pixels and where they lie."""
    image = Dataset()
    image.SOPInstanceUID = uid
    image.Rows, image.Columns = tile
    image.TotalPixelMatrixRows, image.TotalPixelMatrixColumns = size
    image.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    place, measures, groups = Dataset(), Dataset(), Dataset()
    place.XOffsetInSlideCoordinateSystem, place.YOffsetInSlideCoordinateSystem = origin
    measures.PixelSpacing = list(spacing)
    groups.PixelMeasuresSequence = [measures]
    image.TotalPixelMatrixOriginSequence = [place]
    image.SharedFunctionalGroupsSequence = [groups]
    return image


@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    tile=st.tuples(*[st.sampled_from([1, 2, 16, 64, 240, 256, 512])] * 2),
    factor=st.floats(1.001, 70),
    spacing=st.sampled_from([0.0005, 0.000499, 0.00025, 0.0002325, 0.00012199]),
    own_origin=st.booleans(),
)
@settings(max_examples=150)
def test_levels_that_are_rounded_up_are_never_cropped(size, tile, factor, spacing, own_origin):
    smaller = math.ceil(size[0] / factor), math.ceil(size[1] / factor)
    assume(smaller != size)
    shift = spacing * (factor - 1) / 2 if own_origin else 0.0
    images = [
        describe(size, (spacing, spacing), tile=tile),
        # Decimal Strings have up to 16 characters
        describe(
            smaller,
            (float(f"{spacing * factor:.10g}"),) * 2,
            (round(10 - shift, 9), round(20 - shift, 9)),
            tile,
            "1.2.4",
        ),
    ]
    found = [level.total_pixel_matrix_dimensions for level in Pyramid(images, 0.0)]
    assert found == [size, smaller]


def test_a_single_tile_of_its_own_size_is_not_padded():
    # Its Pixel Spacing is 3 % too large, so that it only seems to reach beyond the base level
    base = describe((3000, 4000), (0.0005, 0.0005), tile=(256, 256))
    whole = describe((300, 400), (0.00515, 0.00515), tile=(300, 400), uid="1.2.4")
    levels = Pyramid([base, whole], tolerance=0.1)
    assert levels[1].total_pixel_matrix_dimensions == (300, 400)


# THUMBNAIL images


def test_a_thumbnail_that_fits_nowhere_is_set_aside_with_one_warning():
    datasets = read_json("google-pipeline.json")
    # The metadata lack all binary values and origins
    with pytest.warns(UserWarning, match="10 of 10 images have no Total Pixel Matrix Origin"):
        (images,) = group_slides(datasets, "json")
    with pytest.warns(UserWarning, match="is no level of the pyramid.*THUMBNAIL") as warned:
        slide = Slide(NoFrames(), images)
    assert len(warned) == 1
    assert slide.num_levels == 9
    (thumbnail,) = slide.thumbnail_images
    assert thumbnail.metadata.ImageType[2] == "THUMBNAIL"
    assert thumbnail.size not in slide.total_pixel_matrix_dimensions
    tree = slide.to_datatree()
    assert tree["associated/thumbnail"]["image"].shape == (*thumbnail.size, 3)
    assert len(slide.label_images) == len(slide.overview_images) == 1


def test_a_thumbnail_of_colours_does_not_disturb_fluorescence(make_slide):
    images = read_metadata(make_slide(**FLUORESCENCE))
    (thumbnail,) = copies(images[0], 1)
    thumbnail.ImageType = ["DERIVED", "PRIMARY", "THUMBNAIL", "RESAMPLED"]
    thumbnail.SamplesPerPixel, thumbnail.PhotometricInterpretation = 3, "RGB"
    thumbnail.PlanarConfiguration = 0
    thumbnail.BitsAllocated = thumbnail.BitsStored = 8
    thumbnail.HighBit = 7
    thumbnail.Rows, thumbnail.Columns = 30, 23
    resized(thumbnail, (30, 23), (0.0015, 70 / 23 * 0.0005))
    slide = Slide(NoFrames(), [*images, thumbnail])
    assert slide.num_levels == 3
    assert slide.num_channels == 1
    assert [image.uid for image in slide.thumbnail_images] == [thumbnail.SOPInstanceUID]
    assert slide.to_datatree()["associated/thumbnail"]["image"].shape == (30, 23, 3)


# What writers leave out, and what they repeat


@pytest.mark.parametrize("how", ["no sequence", "empty item"])
@pytest.mark.parametrize("origins", ["same", "centres"])
def test_a_level_without_origin_has_that_of_its_siblings(make_slide, tmp_path, how, origins):
    written = make_slide(**SMALL, level_origins=origins)
    for path in written.paths:
        dataset = pydicom.dcmread(path)
        if path.name == "level-1.dcm":
            dataset.TotalPixelMatrixOriginSequence = [Dataset()] if how == "empty item" else []
        dataset.save_as(tmp_path / path.name)
    with pytest.warns(UserWarning, match="1 of 3 images have no Total Pixel Matrix") as warned:
        slide = open_slide(tmp_path)
    assert len(warned) == 1
    # The top left pixel of level 1 covers two by two of the base level
    expected = slide.get_slide_offset((0.5, 0.5), 0)
    assert slide.get_slide_offset((0, 0), 1) == pytest.approx(expected, abs=1e-9)


def test_label_overview_and_thumbnail_are_one_picture_each(make_slide, tmp_path):
    paths = tuple(OpticalPath(name, name) for name in "ABC")
    extra = {"label": True, "overview": True, "thumbnail": True}
    written = make_slide(**SMALL | extra, optical_paths=paths, optical_paths_in="each")
    (item,) = pydicom.dcmread(written.levels[0].paths[0]).OpticalPathSequence
    for path in written.paths:
        dataset = pydicom.dcmread(path)
        if dataset.ImageType[2] != "VOLUME":
            dataset.OpticalPathSequence = [deepcopy(item) for _ in range(3)]
            for path_item, name in zip(dataset.OpticalPathSequence, "ABC", strict=True):
                path_item.OpticalPathIdentifier = path_item.OpticalPathDescription = name
            dataset.NumberOfOpticalPaths = 3
        dataset.save_as(tmp_path / path.name)
    slide = open_slide(tmp_path)
    assert slide.num_channels == 3
    for images, pixels in (
        (slide.label_images, written.label),
        (slide.overview_images, written.overview),
        (slide.thumbnail_images, written.thumbnail),
    ):
        (image,) = images
        assert image.num_channels == 1
        assert np.array_equal(image.get_total_pixel_matrix()[...], pixels)


PATHS = {
    "wavelengths": (OpticalPath("1", None, 385.0), OpticalPath("1", None, 475.0)),
    "descriptions": (OpticalPath("1", "Nuclei"), OpticalPath("1", "Fibres")),
    "series": (OpticalPath("1"), OpticalPath("1")),
}


@pytest.mark.parametrize("pyramids", ["one", "own", "none"])
@pytest.mark.parametrize("differ", PATHS)
def test_optical_paths_of_one_name_are_channels_at_all_levels(
    make_slide, tmp_path, differ, pyramids
):
    written = make_slide(
        **FLUORESCENCE, optical_paths=PATHS[differ], optical_paths_in="each", seed=3
    )
    for path in written.paths:
        dataset = pydicom.dcmread(path)
        number = int(path.stem[-1])
        if differ == "series":
            dataset.SeriesInstanceUID += f".{number}"
        if pyramids == "own":
            dataset.PyramidUID += f".{number}"
        if pyramids == "none":
            del dataset.PyramidUID
        dataset.save_as(tmp_path / path.name)
    slide = open_slide(tmp_path)
    assert slide.num_channels == 2
    assert slide.total_pixel_matrix_dimensions == tuple(level.size for level in written.levels)
    planes = [
        [slide.get_image_region((0, 0), n, level.size, channel) for channel in range(2)]
        for n, level in enumerate(written.levels)
    ]
    expected = [[level.pixels(path) for path in range(2)] for level in written.levels]
    # Series without numbers may come in any order, but in the same at all levels
    if differ == "series" and not np.array_equal(planes[0][0], expected[0][0]):
        expected = [pixels[::-1] for pixels in expected]
    for found, pixels in zip(planes, expected, strict=True):
        assert np.array_equal(found, pixels)
    assert not np.array_equal(*expected[0])


@given(order=st.permutations(range(6)), is_missing=st.booleans())
@settings(max_examples=30)
def test_channels_that_only_series_tell_apart_keep_their_levels_in_any_order(
    make_slide, order, is_missing
):
    options = {**FLUORESCENCE, "optical_paths": PATHS["series"], "optical_paths_in": "each"}
    images = read_metadata(make_slide(**options, seed=3))
    second = {image.SOPInstanceUID for image in images[1::2]}
    for image, number in zip(images, order, strict=True):
        image.SeriesInstanceUID = f"1.2.{int(image.SOPInstanceUID in second)}"
        image.SeriesNumber = None
        image.InstanceNumber = number
        del image.PyramidUID
    # The smallest level of one of them may be missing
    slide = Slide(NoFrames(), images[: 5 if is_missing else 6])
    assert (slide.num_channels, slide.num_levels) == (2, 3)
    for channel in range(2):
        series = {image.metadata.SeriesInstanceUID for image in slide.get_volume_images(channel)}
        assert len(series) == 1


def test_images_that_are_passed_over_are_named_once(make_slide, tmp_path):
    written = make_slide(**SMALL)
    for path in written.paths:
        dataset = pydicom.dcmread(path)
        dataset.save_as(tmp_path / path.name)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER", "RESAMPLED"]
    dataset.save_as(tmp_path / "map.dcm")
    with pytest.warns(UserWarning, match=r"image map\.dcm is left out.*LOCALIZER") as warned:
        slide = open_slide(tmp_path)
    assert len(warned) == 1
    assert slide.num_levels == 3


def test_a_label_of_the_series_needs_no_container_and_flavors_may_be_in_lower_case(
    make_slide, tmp_path
):
    written = make_slide(**SMALL | {"label": True, "thumbnail": True})
    for path in written.paths:
        dataset = pydicom.dcmread(path)
        if path.name == "label.dcm":
            del dataset.ContainerIdentifier
        dataset.save_as(tmp_path / path.name)
        content = (tmp_path / path.name).read_bytes()
        for flavor in (b"VOLUME", b"LABEL", b"THUMBNAIL"):
            content = content.replace(flavor, flavor.lower())
        (tmp_path / path.name).write_bytes(content)
    slide = open_slide(tmp_path)
    assert slide.num_levels == 3
    (label,) = slide.label_images
    assert np.array_equal(label.get_total_pixel_matrix()[...], written.label)


# One place for each pixel

PLACED = {
    **SMALL,
    "size": (23, 17),
    "tile": (8, 8),
    "factors": (1, 2, 4),
    "samples": 1,
    "optical_paths": 2,
    "optical_paths_in": "each",
    "focal_planes": 2,
    "focal_planes_in": "each",
    "pixel_spacing": (0.001, 0.0006),
}
EVERYWHERE = [
    pytest.param(orientation, origins, id=f"{number}-{origins}")
    for number, orientation in enumerate(ORIENTATIONS)
    for origins in ("same", "centres")
]


def all_indices(size: tuple[int, int]) -> np.ndarray:
    return np.indices(size).reshape(2, -1).T


def places_in_tree(node) -> np.ndarray:
    """X and Y of all pixels, row after row, from the coordinates of a level."""
    template = node["image"].isel(channel=0, focal_plane=0, sample=0, drop=True)
    found = [node[name].broadcast_like(template).transpose("y", "x") for name in XY]
    return np.stack([values.values.ravel() for values in found], axis=-1)


XY = ("slide_x", "slide_y")


def places_in_export(multiscale, level: int, size: tuple[int, int], plane: int) -> np.ndarray:
    (sequence,) = multiscale["datasets"][level]["coordinateTransformations"]
    scale, translation = (step[step["type"]] for step in sequence["transformations"])
    rows, columns = all_indices(size).T
    indices = np.stack([0 * rows, 0 * rows + plane, rows, columns], axis=-1)
    local = np.column_stack([indices * scale + translation, np.ones(len(indices))])
    (affine,) = multiscale["coordinateTransformations"]
    return (local @ np.array(affine["affine"]).T)[:, [3, 2, 1]] / 1000


@pytest.mark.parametrize(("orientation", "origins"), EVERYWHERE)
def test_everything_agrees_on_the_place_of_every_pixel(make_slide, tmp_path, orientation, origins):
    written = make_slide(**PLACED, orientation=orientation, level_origins=origins)
    slide = open_slide(written.folder)
    to_ome_zarr(slide, tmp_path / "slide.zarr", version="0.6")
    group = zarr.open_group(str(tmp_path / "slide.zarr"), mode="r")
    (multiscale,) = group.attrs["ome"]["multiscales"]
    tree = slide.to_datatree()
    assert (slide.num_channels, slide.num_focal_planes, slide.num_levels) == (2, 2, 3)
    for level, known in enumerate(written.levels):
        indices = all_indices(known.size)
        # The centre of a pixel is in the middle of the base pixels that it covers
        in_base = indices * known.factor + (known.factor - 1) / 2
        expected = np.array([position_of(written, index) for index in in_base])
        assert_near(places_in_tree(tree[f"level_{level}"]), expected)
        for channel in range(2):
            for plane in range(2):
                z = plane * written.options.focal_plane_spacing / 1000
                points = np.column_stack([expected, np.full(len(expected), z)])
                assert_near(
                    slide.map_pixel_indices_to_slide_coordinates(indices, level, channel, plane),
                    points,
                )
                image = slide.get_image(level, channel, plane)
                assert_near(image.map_pixel_indices_to_slide_coordinates(indices), points)
                for index, (x, y) in zip(indices[::7], expected[::7], strict=True):
                    at = tuple(index.tolist())
                    assert slide.get_slide_offset(at, level, channel, plane) == near(x, y)
                    assert image.get_slide_offset(at) == near(x, y)
                assert_near(places_in_export(multiscale, level, known.size, plane), points)


def position_of(written, index) -> tuple[float, float]:
    """PS3.3 C.8.12.2.1: the origin and steps along the rows and the columns."""
    (x, y), cosines = written.origin, written.orientation
    along_column, along_row = (
        n * step for n, step in zip(index, written.options.spacing, strict=True)
    )
    return (
        x + cosines[0] * along_row + cosines[3] * along_column,
        y + cosines[1] * along_row + cosines[4] * along_column,
    )


def assert_near(found, expected) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def near(*values: float):
    return pytest.approx(values, abs=1e-9)


@pytest.mark.parametrize(("orientation", "origins"), EVERYWHERE)
@given(level=st.integers(0, 2), y=st.floats(-0.49, 22.49), x=st.floats(-0.49, 16.49))
@settings(max_examples=20)
def test_a_selection_and_get_pixel_indices_name_the_same_pixel(
    make_slide, orientation, origins, level, y, x
):
    written = make_slide(**PLACED, orientation=orientation, level_origins=origins)
    slide, tree = opened(written.folder)
    point = position_of(written, (y, x))
    row, column = slide.get_pixel_indices(point, level)
    places = slide.map_slide_coordinates_to_pixel_indices([(*point, 0.0)], level)
    assert places.tolist() == [[row, column]]
    assert slide.get_image(level).get_pixel_indices(point) == (row, column)
    factor = written.levels[level].factor
    in_level = [(n - (factor - 1) / 2) / factor for n in (y, x)]
    # Half way between two pixels both are the nearest
    assume(all(abs(n % 1 - 0.5) > 1e-6 for n in in_level))
    rows, columns = written.levels[level].size
    assert (row, column) == tuple(round(n) for n in in_level)
    assume(row < rows and column < columns)
    node = tree[f"level_{level}"]["image"]
    chosen = node.sel(dict(zip(XY, point, strict=True)), method="nearest")
    expected = node.isel(y=row, x=column)
    for name in (*XY, "y", "x"):
        assert float(chosen[name]) == float(expected[name])


@cache
def opened(folder: Path):
    slide = open_slide(folder)
    return slide, slide.to_datatree(None)


def test_a_thumbnail_that_shows_the_path_of_a_lower_level_only_is_a_level(make_slide):
    written = make_slide(**{**SMALL, "size": (600, 500), "factors": (1, 4)}, thumbnail=True)
    images = read_metadata(written)
    for image, description in zip(images, ("A", None, "B"), strict=True):
        item = image.OpticalPathSequence[0]
        item.pop("OpticalPathDescription", None)
        if description is not None:
            item.OpticalPathDescription = description
    slide = Slide(NoFrames(), images)
    assert slide.total_pixel_matrix_dimensions == ((600, 500), (512, 427), (150, 125))


def test_levels_with_an_empty_and_without_a_frame_of_reference_are_one_slide(make_slide, tmp_path):
    written = make_slide(**SMALL)
    for path in written.paths:
        dataset = pydicom.dcmread(path)
        if path.name == "level-0.dcm":
            dataset.FrameOfReferenceUID = ""
        else:
            del dataset.FrameOfReferenceUID
        dataset.save_as(tmp_path / path.name)
    slide = open_slide(tmp_path)
    assert slide.num_levels == 3
    assert slide.frame_of_reference_uid == ""


def test_an_image_type_of_one_value_is_no_sequence_of_letters(make_slide):
    images = read_metadata(make_slide(**{**SMALL, "segmentations": ("BINARY",)}))
    images[-1].ImageType = "DERIVED"
    slide = Slide(NoFrames(), images)
    assert "DERIVED" in repr(slide.get_image(0, 1))
