"""Files of real slides, beside the libraries that read them too."""

import io
import warnings
from pathlib import Path

import highdicom as hd
import numpy as np
import openslide
import pydicom
import pytest
from PIL import Image, ImageCms
from wsidicom import WsiDicom

from dicomslide import OpenSlide, open_slide

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


def folder_of(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the real slides of {folder} are not here")
    return folder


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


# CMU-1-Small-Region: Aperio frames, RGB JPEG without an Adobe marker, edge frames cropped

LEVELS = [(2967, 2220), (1484, 1110), (742, 555), (371, 278), (186, 139)]
THUMBNAIL = (768, 574)
SPACING = 0.000499
THUMBNAIL_SPACING = 0.00192993031359


@pytest.fixture(scope="module")
def cmu():
    return folder_of("cmu-1-small-region")


@pytest.fixture(scope="module")
def pixels(cmu):
    return read_with_wsidicom(cmu)


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
def test_stored_pixels_are_those_of_wsidicom(slide, pixels, size):
    assert np.array_equal(read_level(slide, size), pixels[size])


def test_stored_pixels_are_those_of_openslide(slide, cmu):
    levels = read_with_openslide(cmu / "level-0.dcm")
    assert {LEVELS[0], LEVELS[4]} <= set(levels)
    for size, expected in levels.items():
        assert np.array_equal(read_level(slide, size), expected)


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


def test_a_slide_that_lacks_attributes_has_the_pixels_of_openslide(incomplete):
    folder, slide, _ = incomplete
    levels = read_with_openslide(folder / "level-0-frames-0-30.dcm")
    assert len(levels) == 4
    for size, expected in levels.items():
        assert np.array_equal(read_level(slide, size), expected)


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
