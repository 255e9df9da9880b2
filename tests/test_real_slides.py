"""Files of real slides, beside the libraries that read them too."""

import io
import itertools
import json
import sys
import warnings
from pathlib import Path

import highdicom as hd
import numpy as np
import openslide
import pydicom
import pytest
import xarray as xr
import zarr
from PIL import Image, ImageCms
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from wsidicom import WsiDicom

from dicomslide import OpenSlide, Slide, as_zarr, make_thumbnail, open_slide
from dicomslide.cli import main
from dicomslide.grouping.slides import group_slides
from tests.slide.small import NoFrames

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"
CONTRADICTION = "Photometric Interpretation is RGB, but the frames hold YCbCr"

pytestmark = pytest.mark.filterwarnings(f"ignore:.*{CONTRADICTION}:UserWarning")


def folder_of(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the real slides of {folder} are not here")
    return folder


def read_with_pillow(path: Path) -> np.ndarray:
    """The pixels of a level, of which each frame is decoded for itself."""
    dataset = pydicom.dcmread(path)
    size = dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns
    across = -(-size[1] // dataset.Columns)
    pixels = np.empty((size[0] + dataset.Rows, size[1] + dataset.Columns, 3), np.uint8)
    frames = generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames))
    for number, frame in enumerate(frames):
        image = np.asarray(Image.open(io.BytesIO(frame)))
        row, column = dataset.Rows * (number // across), dataset.Columns * (number % across)
        pixels[row : row + image.shape[0], column : column + image.shape[1]] = image
    return pixels[: size[0], : size[1]]


def to_rgb(components: np.ndarray) -> np.ndarray:
    image = Image.frombytes("YCbCr", components.shape[1::-1], components.tobytes())
    return np.asarray(image.convert("RGB"))


def halve(pixels: np.ndarray) -> np.ndarray:
    rows, columns = (size // 2 for size in pixels.shape[:2])
    return pixels[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, 3).mean(axis=(1, 3))


def mean_difference(one: np.ndarray, other: np.ndarray) -> float:
    rows, columns = (min(sizes) for sizes in zip(one.shape[:2], other.shape[:2], strict=True))
    return float(np.abs(one[:rows, :columns].astype(float) - other[:rows, :columns]).mean())


def read_with_wsidicom(folder: Path) -> dict[tuple[int, int], np.ndarray]:
    """The stored pixels of all levels, by (rows, columns)."""
    with WsiDicom.open(folder) as slide:
        levels = [
            np.asarray(slide.read_region((0, 0), level.level, level.size.to_tuple()))
            for level in slide.pyramid
        ]
    return {pixels.shape[:2]: pixels for pixels in levels}


def read_with_openslide(path: Path) -> dict[tuple[int, int], np.ndarray]:
    """The stored pixels of the levels that OpenSlide can read, by (rows, columns)."""
    levels = {}
    with openslide.OpenSlide(path) as slide:
        dimensions = slide.level_dimensions
    for level, (columns, rows) in enumerate(dimensions):
        # A slide that failed once can no longer be used
        with openslide.OpenSlide(path) as slide:
            try:
                region = slide.read_region((0, 0), level, (columns, rows))
            except openslide.OpenSlideError:
                continue
        levels[rows, columns] = np.asarray(region)[..., :3]
    return levels


def read_level(slide, size) -> np.ndarray:
    return slide.get_image_region((0, 0), slide.total_pixel_matrix_dimensions.index(size), size)


# CMU-1-Small-Region: the frames of level 0 are the scanner's, RGB with an Adobe segment; those of
# levels 1 to 4 are JFIF, thus YCbCr, in images that say RGB; edge frames are cropped

LEVELS = [(2967, 2220), (1484, 1110), (742, 555), (371, 278), (186, 139)]
THUMBNAIL = (768, 574)
SPACING = 0.000499
THUMBNAIL_SPACING = 0.00192993031359


@pytest.fixture(scope="module")
def cmu():
    return folder_of("cmu-1-small-region")


@pytest.fixture(scope="module")
def pixels(cmu):
    return {size: read_with_pillow(cmu / f"level-{i}.dcm") for i, size in enumerate(LEVELS)}


@pytest.fixture(scope="module")
def slide(cmu):
    return open_slide(cmu, correct_color=False)


def test_levels_are_the_volume_images_and_the_thumbnail(slide):
    assert slide.total_pixel_matrix_dimensions == (*LEVELS[:2], THUMBNAIL, *LEVELS[2:])
    flavors = [image.metadata.ImageType[2] for image in slide.get_volume_images()]
    assert flavors == ["VOLUME", "VOLUME", "THUMBNAIL", "VOLUME", "VOLUME", "VOLUME"]


def test_downsampling_factors_are_ratios_of_pixel_spacings(slide):
    assert slide.downsampling_factors == (
        1,
        2,
        pytest.approx(THUMBNAIL_SPACING / SPACING),
        4,
        8,
        16,
    )


@pytest.mark.parametrize("size", LEVELS)
def test_stored_pixels_are_those_of_pillow(slide, pixels, size):
    assert np.array_equal(read_level(slide, size), pixels[size])


def test_stored_pixels_of_the_base_level_are_those_of_wsidicom_and_openslide(slide, cmu):
    ours = read_level(slide, LEVELS[0])
    assert np.array_equal(ours, read_with_wsidicom(cmu)[LEVELS[0]])
    assert np.array_equal(ours, read_with_openslide(cmu / "level-0.dcm")[LEVELS[0]])


def test_levels_have_the_colours_of_the_base_level(slide):
    """The other levels were made from the base level by halving it."""
    levels = [read_level(slide, size) for size in LEVELS]
    for finer, coarser in itertools.pairwise(levels):
        assert mean_difference(coarser, halve(finer)) < 4


def test_wsidicom_and_openslide_show_the_components_of_levels_that_say_rgb(slide, cmu, pixels):
    """They go by Photometric Interpretation: luminance is red there, and chrominance green, blue.

    So the slide changes its colours from level to level.
    """
    halved = halve(pixels[LEVELS[0]])
    others = read_with_wsidicom(cmu), read_with_openslide(cmu / "level-0.dcm")
    for levels in others:
        for size in set(levels) & set(LEVELS[1:]):
            assert mean_difference(to_rgb(levels[size]), read_level(slide, size)) < 1
    assert mean_difference(read_level(slide, LEVELS[1]), halved) < 4
    assert mean_difference(others[0][LEVELS[1]], halved) > 40
    assert LEVELS[4] in others[1]


# Levels that say RGB and hold YCbCr


def read_all_levels(slide) -> None:
    for level, size in enumerate(slide.total_pixel_matrix_dimensions):
        slide.get_image_region((0, 0), level, size)


def test_each_image_that_contradicts_itself_is_warned_of_once(cmu):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        slide = open_slide(cmu)
        for _ in range(2):
            read_all_levels(slide)
        for image in (*slide.label_images, *slide.overview_images):
            image.get_total_pixel_matrix()[...]
    messages = sorted(str(warning.message) for warning in caught)
    assert len(messages) == 4
    for number, message in enumerate(messages, 1):
        assert f"level-{number}.dcm: {CONTRADICTION}" in message


@pytest.mark.parametrize("size", LEVELS)
def test_corrected_pixels_are_those_of_pillow(cmu, pixels, size):
    metadata = pydicom.dcmread(cmu / "level-0.dcm", stop_before_pixels=True)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(metadata.OpticalPathSequence[0].ICCProfile))
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    image = ImageCms.applyTransform(Image.fromarray(pixels[size]), transform)
    assert np.array_equal(read_level(open_slide(cmu), size), np.asarray(image))


def test_associated_images_are_those_of_openslide(slide, cmu):
    with openslide.OpenSlide(cmu / "level-0.dcm") as library:
        images = {name: np.asarray(image) for name, image in library.associated_images.items()}
    (label,), (overview,) = slide.label_images, slide.overview_images
    for ours, name in (
        (label.get_total_pixel_matrix()[...], "label"),
        (overview.get_total_pixel_matrix()[...], "macro"),
        (read_level(slide, THUMBNAIL), "thumbnail"),
    ):
        assert np.array_equal(ours, images[name][..., :3])


def test_the_openslide_interface_reads_what_openslide_reads(slide, cmu):
    ours = OpenSlide(slide)
    with openslide.OpenSlide(cmu / "level-0.dcm") as library:
        for location in [(0, 0), (1000, 1500), (-100, 2800), (2100, -50)]:
            region = ours.read_region(location, 0, (300, 200))
            expected = library.read_region(location, 0, (300, 200))
            assert np.array_equal(np.asarray(region), np.asarray(expected))
        for name in ("openslide.mpp-x", "openslide.mpp-y", "openslide.level[0].tile-width"):
            assert ours.properties[name] == library.properties[name]
        assert ours.color_profile.tobytes() == library.color_profile.tobytes()


@pytest.mark.parametrize("name", ["level-0", "level-3", "label", "thumbnail"])
def test_a_path_has_the_levels_of_openslide(cmu, name):
    ours = OpenSlide(cmu / f"{name}.dcm")
    with openslide.OpenSlide(cmu / f"{name}.dcm") as library:
        assert ours.level_count == library.level_count == len(LEVELS)
        assert ours.level_dimensions == library.level_dimensions
        assert ours.level_downsamples == library.level_downsamples
        for downsample in (1, 2, 3.99, 4, 8, 15, 100):
            level = library.get_best_level_for_downsample(downsample)
            assert ours.get_best_level_for_downsample(downsample) == level


def test_a_slide_has_its_thumbnail_among_the_levels_and_can_do_without(slide, cmu):
    assert OpenSlide(slide).level_count == len(LEVELS) + 1
    expected = OpenSlide(cmu / "level-0.dcm").level_dimensions
    assert OpenSlide(slide, thumbnail_levels=False).level_dimensions == expected


def test_a_path_has_the_stored_pixels_and_the_profile_of_openslide(cmu):
    ours = OpenSlide(cmu / "level-1.dcm")
    with openslide.OpenSlide(cmu / "level-1.dcm") as library:
        for location in [(0, 0), (1000, 1500), (-100, 2800), (2100, -50)]:
            region = ours.read_region(location, 0, (300, 200))
            expected = library.read_region(location, 0, (300, 200))
            assert np.array_equal(np.asarray(region), np.asarray(expected))
            assert region.info == expected.info
        # Larger than half of the slide, so that it is made of the base level
        thumbnails = [s.get_thumbnail((1800, 1800)) for s in (ours, library)]
        assert np.array_equal(*map(np.asarray, thumbnails))


def test_a_path_has_the_associated_images_of_openslide(cmu):
    ours = OpenSlide(cmu / "level-0.dcm").associated_images
    with openslide.OpenSlide(cmu / "level-0.dcm") as library:
        assert list(ours) == list(library.associated_images) == ["label", "macro", "thumbnail"]
        for name, expected in library.associated_images.items():
            assert np.array_equal(np.asarray(ours[name]), np.asarray(expected))
            assert ours[name].info == expected.info


@pytest.mark.parametrize("chunks", ["frames", "auto"])
def test_means_over_the_dask_tree_are_those_of_the_pixels(slide, pixels, chunks):
    tree = slide.to_datatree(chunks)
    for level, size in enumerate(slide.total_pixel_matrix_dimensions):
        if size == THUMBNAIL:
            continue
        image = tree[f"level_{level}/image"]
        mean = image.mean(("channel", "focal_plane", "y", "x")).compute()
        assert mean.values == pytest.approx(pixels[size].mean(axis=(0, 1)), rel=1e-12)


# Rows and columns of base pixels all over the slide
PLACES = [(0, 0), (1500, 1000), (777, 2111), (2900, 100), (2945, 2200), (1234, 567)]


@pytest.mark.parametrize("place", PLACES)
def test_one_position_selects_the_same_tissue_at_every_level(slide, pixels, place):
    tree = slide.to_datatree()
    # Orientation 0\-1\0\-1\0\0 from (25, 50): rows run along -Y, columns along -X
    x, y = 25.0 - place[0] * SPACING, 50.0 - place[1] * SPACING
    for level, size in enumerate(slide.total_pixel_matrix_dimensions):
        if size == THUMBNAIL:
            continue
        # All levels have one origin, thus one corner: a pixel of level n covers 2 ** n base pixels
        factor = 2 ** LEVELS.index(size)
        row, column = (int((index + 0.5) / factor) for index in place)
        found = tree[f"level_{level}/image"].sel(slide_x=x, slide_y=y, method="nearest")
        assert found.shape == (1, 1, 3)
        assert np.array_equal(found.values[0, 0], pixels[size][row, column])


def test_a_position_selects_the_tissue_in_the_thumbnail(slide):
    level = slide.total_pixel_matrix_dimensions.index(THUMBNAIL)
    image = slide.to_datatree()[f"level_{level}/image"]
    matrix = read_level(slide, THUMBNAIL)
    for place in PLACES:
        x, y = 25.0 - place[0] * SPACING, 50.0 - place[1] * SPACING
        factor = THUMBNAIL_SPACING / SPACING
        row, column = (int((index + 0.5) / factor) for index in place)
        found = image.sel(slide_x=x, slide_y=y, method="nearest")
        assert np.array_equal(found.values[0, 0], matrix[row, column])


def test_a_range_of_the_slide_selects_matching_areas(slide, pixels):
    tree = slide.to_datatree()
    # 1024 x 512 base pixels from row 512, column 1024 on, and the pixels of the levels within
    area = {
        "slide_x": slice(25.0 - 511.5 * SPACING, 25.0 - 1535.5 * SPACING),
        "slide_y": slice(50.0 - 1023.5 * SPACING, 50.0 - 1535.5 * SPACING),
    }
    for level, size in enumerate(slide.total_pixel_matrix_dimensions):
        if size == THUMBNAIL:
            continue
        factor = 2 ** LEVELS.index(size)
        found = tree[f"level_{level}/image"].sel(area).squeeze(("channel", "focal_plane"))
        rows, columns = (slice(n // factor, m // factor) for n, m in ((512, 1536), (1024, 1536)))
        assert np.array_equal(found.values, pixels[size][rows, columns])


def test_slide_regions_are_upright(slide, pixels):
    # The image has to be turned by -90 degrees; rows 1400 to 1999 end half a pixel beyond centres
    offset = (25.0 - 1999.5 * SPACING, 50.0 - 1699.5 * SPACING)
    region = slide.get_slide_region(offset, 0, (600 * SPACING, 500 * SPACING))
    expected = np.rot90(pixels[LEVELS[0]][1400:2000, 1200:1700], -1)
    assert region.shape == (500, 600, 3)
    assert np.array_equal(region, expected)


# Google's wsi2dcm of 2020: no container, no optical path, no origin, a frame of reference per level


@pytest.fixture(scope="module")
def incomplete():
    folder = folder_of("wsi2dcm")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        slide = open_slide(folder, correct_color=False)
    return folder, slide, [str(warning.message) for warning in caught]


def test_a_slide_that_lacks_attributes_opens_with_a_warning_of_each(incomplete):
    _, slide, messages = incomplete
    assert slide.total_pixel_matrix_dimensions == (
        (2967, 2220),
        (1483, 1110),
        (741, 555),
        (370, 277),
    )
    for attribute in (
        "Frame of Reference UID",
        "Container Identifier",
        "Optical Path Sequence",
        "Total Pixel Matrix Origin",
    ):
        assert sum(attribute in message for message in messages) == 1


def test_a_slide_that_lacks_attributes_has_the_pixels_of_pillow(incomplete, pixels):
    folder, slide, _ = incomplete
    paths = sorted(folder.iterdir())
    assert len(paths) == slide.num_levels == 4
    for path, size in zip(paths, slide.total_pixel_matrix_dimensions, strict=True):
        assert np.array_equal(read_level(slide, size), read_with_pillow(path))
    # It is the same glass slide
    assert mean_difference(read_level(slide, LEVELS[0]), pixels[LEVELS[0]]) < 4


def test_openslide_shows_the_components_of_a_slide_that_says_rgb(incomplete):
    folder, slide, _ = incomplete
    levels = read_with_openslide(folder / "level-0-frames-0-30.dcm")
    assert len(levels) == 4
    for size, components in levels.items():
        ours = read_level(slide, size)
        assert mean_difference(to_rgb(components), ours) < 1
        assert mean_difference(components, ours) > 40


@pytest.mark.filterwarnings("ignore:.*images have no:UserWarning")
def test_slide_that_says_ycbcr_has_the_pixels_of_pillow():
    path = folder_of("wsi2dcm-2021") / "jpeg.dicom"
    expected = read_with_pillow(path)
    slide = open_slide(path, correct_color=False)
    assert np.array_equal(read_level(slide, (715, 957)), expected)


def test_frame_with_subsampled_rows_and_columns_has_the_pixels_of_pillow():
    path = folder_of("ims-echo") / "layer.dcm"
    expected = read_with_pillow(path)
    slide = open_slide(path, correct_color=False)
    assert np.array_equal(read_level(slide, (512, 512)), expected)


# Properties of all these slides


@pytest.mark.parametrize(
    "path",
    [
        "cmu-1-small-region/overview.dcm",
        "highdicom/sm_image.dcm",
        "ims-echo/layer.dcm",
        "wsi2dcm/level-1-frames-0-9.dcm",
        "wsi2dcm-2021/jpeg.dicom",
    ],
)
def test_a_path_has_the_properties_of_openslide(path):
    folder, name = path.split("/")
    file = folder_of(folder) / name
    with warnings.catch_warnings(), openslide.OpenSlide(file) as library:
        # Of attributes that are missing or damaged
        warnings.simplefilter("ignore")
        ours = OpenSlide(file)
        assert ours.level_dimensions == library.level_dimensions
        expected = dict(library.properties)
        assert {name: ours.properties.get(name) for name in expected} == expected


def test_files_of_whole_slide_images_are_dicom_as_in_openslide():
    folders = ("3dhistech-bpaec", "annotations", "cmu-1-small-region", "highdicom", "json")
    paths = [path for name in folders for path in folder_of(name).iterdir()]
    assert len(paths) > 20
    for path in paths:
        assert OpenSlide.detect_format(path) == openslide.OpenSlide.detect_format(path)


# Small files of highdicom's test data


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("sm_image", np.uint8),
        ("sm_image_jpegls_nobot", np.uint8),
        ("sm_image_grayscale", np.uint16),
    ],
)
def test_images_have_the_pixels_of_highdicom(name, dtype):
    path = folder_of("highdicom") / f"{name}.dcm"
    expected = hd.imread(path).get_total_pixel_matrix(
        apply_real_world_transform=False,
        apply_modality_transform=False,
        apply_voi_transform=False,
        apply_icc_profile=False,
        dtype=dtype,
    )
    region = open_slide(path, correct_color=False).get_image_region((0, 0), 0, (50, 50))
    assert region.dtype == dtype
    assert np.array_equal(region, expected.reshape(region.shape))


def test_segments_have_the_pixels_of_highdicom():
    folder = folder_of("highdicom")
    path = folder / "seg_image_sm_numbers.dcm"
    segmentation = hd.seg.segread(path)
    expected = segmentation.get_total_pixel_matrix(combine_segments=False)
    slide = open_slide([folder / "sm_image.dcm", path])
    assert slide.num_channels == 1 + 20
    for index, number in enumerate(segmentation.segment_numbers):
        (channel,) = slide.find_segments(number=number)
        assert channel == 1 + index
        image = slide.get_image(0, channel)
        region = image.get_image_region((0, 0), (50, 50), image.get_channel_index(str(number)))
        assert np.array_equal(region[..., 0], expected[..., index])
        # Its origin is one row and one column further than that of the image it was made for
        region = slide.get_image_region((0, 0), 0, (50, 50), channel)
        assert np.array_equal(region[1:, 1:, 0], expected[:-1, :-1, index])
        assert not region[0].any()
        assert not region[:, 0].any()


# Everything, at default settings

SLIDES = ["cmu-1-small-region", "wsi2dcm", "wsi2dcm-2021", "3dhistech-bpaec", "ims-echo"]
FILES = [
    "highdicom/sm_image.dcm",
    "highdicom/sm_image_grayscale.dcm",
    "highdicom/sm_image_jpegls_nobot.dcm",
    "highdicom/seg_image_sm_numbers.dcm",
]


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("name", [*SLIDES, *FILES])
def test_every_real_slide_opens_with_the_engine_and_reads(name):
    source = folder_of(name.split("/")[0]).parent / name
    tree = xr.open_datatree(source, engine="dicomslide")
    smallest = max((path for path in tree.children if path.startswith("level_")), key=len)
    for variable in tree[smallest].to_dataset().data_vars.values():
        assert variable.values.size


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("name", SLIDES)
def test_every_real_slide_is_a_zarr_store_without_a_copy(name):
    slide = open_slide(folder_of(name))
    tree = slide.to_datatree(chunks=None)
    group = zarr.open_group(as_zarr(slide, associated=True), mode="r")
    (multiscale,) = group.attrs["ome"]["multiscales"]
    levels = [node for path, node in tree.children.items() if path.startswith("level_")]
    assert len(multiscale["datasets"]) == len(levels)
    image = levels[-1]["image"].transpose("channel", "sample", "focal_plane", "y", "x").values
    found = group[multiscale["datasets"][-1]["path"]][...]
    np.testing.assert_array_equal(found, image.reshape(found.shape))
    for associated in group.get("associated", ()):
        assert group[f"associated/{associated}/0"][...].std() > 0


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("name", SLIDES)
def test_every_real_slide_goes_through_the_command(name, tmp_path, capsys):
    folder = folder_of(name)
    assert main(["info", str(folder)]) == 0
    assert "Levels" in capsys.readouterr().out
    assert main(["thumbnail", str(folder), str(tmp_path / "small.png"), "--size", "256"]) == 0
    assert max(Image.open(tmp_path / "small.png").size) == 256
    assert main(["export", str(folder), str(tmp_path / "slide.ome.zarr")]) == 0
    image = zarr.open_array(tmp_path / "slide.ome.zarr/0", mode="r")
    assert image.shape[:2] == (3, 1)


@pytest.mark.filterwarnings("ignore:.*Photometric Interpretation:UserWarning")
def test_levels_of_a_real_slide_have_the_same_area_of_tissue(cmu):
    sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
    try:
        from tissue_area import tissue_area
    finally:
        sys.path.pop(0)
    tree = open_slide(cmu).to_datatree(chunks="auto")
    areas = [float(tissue_area(tree[f"level_{level}"].to_dataset())) for level in (0, 1, 3, 4, 5)]
    assert areas == pytest.approx([0.530, 0.539, 0.549, 0.558, 0.563], abs=0.001)
    assert all(abs(a / b - 1) < 0.03 for a, b in itertools.pairwise(areas))


def read_json(name: str) -> list[Dataset]:
    items = json.loads((folder_of("json") / f"{name}.json").read_text())
    return [Dataset.from_json(item, bulk_data_uri_handler=lambda *_: b"") for item in items]


def test_metadata_of_googles_pipeline_make_a_slide_whose_thumbnail_is_set_aside():
    with pytest.warns(UserWarning, match=r"10 of 10 images have no Total Pixel Matrix Origin"):
        (images,) = group_slides(read_json("google-pipeline"), "the pipeline")
    with pytest.warns(UserWarning, match="no level of the pyramid") as caught:
        slide = Slide(NoFrames(), images, correct_color=False)
    assert len(caught) == 1
    assert slide.num_levels == 9
    assert slide.size == (46765, 53524)
    (thumbnail,) = slide.thumbnail_images
    assert thumbnail.size == (894, 1024)
    groups = slide.to_datatree(chunks=None).groups
    assert {"/associated/thumbnail", "/associated/label", "/associated/overview"} <= set(groups)


def test_metadata_of_a_slide_of_cptac_have_derived_images_on_the_level_of_the_thumbnail():
    (images,) = group_slides(read_json("cptac-images-segmentation-map"), "cptac")
    slide = Slide(NoFrames(), images, correct_color=False)
    assert slide.total_pixel_matrix_dimensions == (
        (47007, 47807),
        (11751, 11951),
        (2937, 2987),
        (768, 781),
    )
    assert slide.derived_images == ()
    top = slide.to_datatree(chunks=None)["level_3"]
    assert {"image", "segmentation", "parametric_map"} <= set(top.data_vars)


def test_the_slide_of_3dhistech_has_its_three_paths_at_eight_levels():
    with pytest.warns(UserWarning, match="1_Map is left out.*REGIONLOCALIZER") as caught:
        slide = open_slide(folder_of("3dhistech-bpaec"))
    assert len(caught) == 1
    assert slide.downsampling_factors == (1, 2, 4, 8, 16, 32, 64, 128)
    assert [channel.label for channel in slide.channels] == ["Green", "Blue", "Red"]
    # The colours of the palettes of its paths
    assert [channel.color for channel in slide.channels] == ["00FF00", "0000FF", "FF0000"]
    (label,) = slide.label_images
    assert label.num_channels == 1
    assert label.get_total_pixel_matrix()[...].shape == (441, 579, 3)
    level = slide.to_datatree()["level_7"]
    assert np.isnan(level["wavelength"]).all()
    assert level["image"].shape == (3, 1, 18, 24, 1)
    picture = np.asarray(make_thumbnail(slide, 384))
    for sample, path in enumerate([2, 0, 1]):
        # Red is that of the path called so, stretched over the values that occur
        pixels = slide.get_total_pixel_matrix(3, path)[..., 0].astype(float)
        low, high = np.percentile(pixels, (0.5, 99.5))
        stretched = ((pixels - low) / (high - low)).clip(0, 1) * 255
        assert np.abs(picture[..., sample] - stretched).max() <= 0.5
