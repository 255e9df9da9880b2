"""The documented class OpenSlide, beside the OpenSlide library itself on the same files."""

import io
import itertools

import numpy as np
import openslide
import pydicom
import pytest
from openslide.deepzoom import DeepZoomGenerator
from PIL import Image, ImageCms

import dicomslide.openslide
from dicomslide import OpenSlide, open_slide
from dicomslide.testing import make_wide_gamut_profile

# Sizes that halve and quarter without a remainder: their levels lie exactly on each other
EXACT = {
    "size": (256, 384),
    "tile": (64, 64),
    "factors": (1, 2, 4),
    "transfer_syntax": "1.2.840.10008.1.2.1",
    "icc_profile": make_wide_gamut_profile(),
    "label": True,
    "overview": True,
}
INEXACT = {**EXACT, "size": (250, 379)}


class Pair:
    """One slide behind both interfaces."""

    def __init__(self, written):
        self.written = written
        self.library = openslide.OpenSlide(written.levels[0].paths[0])
        self.ours = OpenSlide(open_slide(written.folder, correct_color=False))


@pytest.fixture(scope="module", params=[EXACT, INEXACT], ids=["exact", "inexact"])
def pair(make_slide, request):
    return Pair(make_slide(**request.param))


@pytest.fixture(scope="module")
def exact(make_slide):
    return Pair(make_slide(**EXACT))


def assert_same_image(ours, library):
    assert ours.mode == library.mode
    assert ours.size == library.size
    assert np.array_equal(np.asarray(ours), np.asarray(library))


# Levels


def test_dimensions_are_columns_and_rows(pair):
    rows, columns = pair.written.levels[0].size
    assert pair.ours.dimensions == pair.library.dimensions == (columns, rows)


def test_levels_are_those_of_openslide(pair):
    assert pair.ours.level_count == pair.library.level_count == 3
    assert pair.ours.level_dimensions == pair.library.level_dimensions
    assert pair.ours.level_downsamples == pytest.approx(pair.library.level_downsamples)


@pytest.mark.parametrize("downsample", [0.1, 1, 1.0, 1.9, 2, 2.01, 3.9, 3.999, 4, 4.1, 8, 1000])
def test_the_best_level_is_the_one_of_openslide(pair, downsample):
    assert pair.ours.get_best_level_for_downsample(
        downsample
    ) == pair.library.get_best_level_for_downsample(downsample)


def test_a_thumbnail_image_is_a_level(make_slide):
    written = make_slide(**{**EXACT, "size": (600, 500), "factors": (1, 4)}, thumbnail=True)
    slide = OpenSlide(open_slide(written.folder))
    assert slide.level_dimensions == ((500, 600), (427, 512), (125, 150))


# Regions


def test_whole_levels_are_those_of_openslide(pair):
    for level, size in enumerate(pair.library.level_dimensions):
        region = pair.ours.read_region((0, 0), level, size)
        assert_same_image(region, pair.library.read_region((0, 0), level, size))
        assert np.array_equal(np.asarray(region)[..., :3], pair.written.levels[level].pixels())


@pytest.mark.parametrize("location", [(0, 0), (64, 128), (-40, -20), (372, 240), (5000, 0), (4, 4)])
@pytest.mark.parametrize("size", [(1, 1), (64, 64), (33, 57), (500, 400)])
def test_regions_inside_and_outside_are_those_of_openslide(exact, location, size):
    for level in range(3):
        assert_same_image(
            exact.ours.read_region(location, level, size),
            exact.library.read_region(location, level, size),
        )


def test_regions_at_any_place_of_the_base_level_are_those_of_openslide(pair):
    for location in [(0, 0), (17, 31), (-3, 200), (377, 249), (400, 300), (-50, -50)]:
        assert_same_image(
            pair.ours.read_region(location, 0, (50, 40)),
            pair.library.read_region(location, 0, (50, 40)),
        )


def test_what_lies_outside_is_transparent_black(exact):
    region = np.asarray(exact.ours.read_region((-10, -5), 0, (500, 300)))
    inside = np.zeros((300, 500), bool)
    inside[5 : 5 + 256, 10 : 10 + 384] = True
    assert (region[~inside] == 0).all()
    assert (region[inside, 3] == 255).all()


def test_between_the_pixels_of_a_level_the_nearest_one_counts(exact):
    pixels = exact.written.levels[2].pixels().astype(int)
    for (x, column), (y, row) in itertools.product([(81, 20), (83, 21)], [(41, 10), (43, 11)]):
        region = np.asarray(exact.ours.read_region((x, y), 2, (30, 40)))
        assert np.array_equal(region[..., :3], pixels[row : row + 40, column : column + 30])
        # OpenSlide interpolates; of all pixel positions this one is the closest to its image
        library = np.asarray(exact.library.read_region((x, y), 2, (30, 40)))[..., :3].astype(int)
        distance = {
            (r, c): np.abs(pixels[r : r + 40, c : c + 30] - library).mean()
            for r in (9, 10, 11, 12)
            for c in (19, 20, 21, 22)
        }
        assert min(distance, key=distance.__getitem__) == (row, column)


def test_tiles_that_are_not_there_are_transparent(make_slide):
    written = make_slide(**EXACT, organization="TILED_SPARSE", sparse="gaps")
    missing = written.levels[0].missing()
    assert 0.05 < missing.mean() < 0.95
    slide = OpenSlide(open_slide(written.folder, correct_color=False))
    region = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))
    assert (region[missing] == 0).all()
    assert (region[~missing, 3] == 255).all()
    assert np.array_equal(region[~missing, :3], written.levels[0].pixels()[~missing])


def test_compressed_frames_are_those_of_openslide(make_slide):
    pair = Pair(make_slide(**{**EXACT, "transfer_syntax": "1.2.840.10008.1.2.4.50"}))
    for level, size in enumerate(pair.library.level_dimensions):
        ours, library = (
            np.asarray(slide.read_region((0, 0), level, size)).astype(int)
            for slide in (pair.ours, pair.library)
        )
        # Two builds of the decoder may round differently
        assert np.abs(ours - library).max() <= 1


def test_colours_are_those_of_the_slide(exact):
    corrected = OpenSlide(open_slide(exact.written.folder))
    region = corrected.read_region((30, 60), 0, (50, 50))
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(EXACT["icc_profile"])),
        ImageCms.createProfile("sRGB"),
        "RGB",
        "RGB",
    )
    stored = Image.fromarray(exact.written.levels[0].pixels()[60:110, 30:80])
    expected = np.asarray(ImageCms.applyTransform(stored, transform))
    assert np.array_equal(np.asarray(region)[..., :3], expected)
    assert not np.array_equal(expected, np.asarray(stored))


@pytest.mark.parametrize("size", [(100, 100), (50, 400), (384, 256), (96, 64), (7, 3)])
def test_thumbnails_are_those_of_openslide(pair, size):
    assert_same_image(pair.ours.get_thumbnail(size), pair.library.get_thumbnail(size))


def test_a_thumbnail_of_a_sparse_slide_has_a_white_background(make_slide):
    written = make_slide(**EXACT, organization="TILED_SPARSE", sparse="gaps")
    slide = OpenSlide(open_slide(written.folder, correct_color=False))
    thumbnail = slide.get_thumbnail((384, 256))
    assert thumbnail.mode == "RGB"
    assert (np.asarray(thumbnail)[written.levels[0].missing()] == 255).all()


@pytest.mark.parametrize("limit_bounds", [False, True])
@pytest.mark.parametrize(("tile_size", "overlap"), [(64, 0), (62, 1), (254, 1)])
def test_deep_zoom_tiles_are_those_of_openslide(exact, tile_size, overlap, limit_bounds):
    ours, library = (
        DeepZoomGenerator(slide, tile_size, overlap, limit_bounds)
        for slide in (exact.ours, exact.library)
    )
    assert ours.level_tiles == library.level_tiles
    assert ours.level_dimensions == library.level_dimensions
    assert ours.get_dzi("png") == library.get_dzi("png")
    for level, (columns, rows) in enumerate(library.level_tiles):
        for address in itertools.product(range(columns), range(rows)):
            tile, expected = ours.get_tile(level, address), library.get_tile(level, address)
            assert_same_image(tile, expected)
            assert tile.info["icc_profile"] == expected.info["icc_profile"]


# Associated images and metadata


def test_associated_images_are_named_by_their_flavor(pair):
    images = pair.ours.associated_images
    assert set(images) == {"LABEL", "OVERVIEW"}
    assert len(images) == 2
    assert_same_image(images["LABEL"], pair.library.associated_images["label"])
    assert_same_image(images["OVERVIEW"], pair.library.associated_images["macro"])
    assert np.array_equal(np.asarray(images["LABEL"])[..., :3], pair.written.label)


def test_associated_images_also_have_the_names_of_openslide(exact):
    for name in ("label", "macro"):
        assert name in exact.ours.associated_images
        assert_same_image(exact.ours.associated_images[name], exact.library.associated_images[name])
    with pytest.raises(KeyError):
        exact.ours.associated_images["barcode"]


def test_an_associated_image_of_monochrome1_is_shown_the_right_way_round(make_slide, tmp_path):
    written = make_slide(**EXACT)
    label = pydicom.dcmread(written.folder / "label.dcm")
    grey = written.label[..., 0]
    label.SamplesPerPixel, label.PhotometricInterpretation = 1, "MONOCHROME1"
    del label.PlanarConfiguration
    label.PixelData = grey.tobytes() + b"\0" * (grey.size % 2)
    label.save_as(tmp_path / "label.dcm")
    slide = open_slide([*(level.paths[0] for level in written.levels), tmp_path / "label.dcm"])
    shown = np.asarray(OpenSlide(slide).associated_images["label"])
    assert np.array_equal(shown[..., 0], 255 - grey)
    assert np.array_equal(slide.label_images[0].get_total_pixel_matrix()[..., 0], grey)


def test_a_slide_without_label_has_no_associated_images(make_slide):
    written = make_slide(**{**EXACT, "label": False, "overview": False})
    assert dict(OpenSlide(open_slide(written.folder)).associated_images) == {}


def test_properties_are_those_of_openslide(pair):
    ours, library = pair.ours.properties, pair.library.properties
    # The hash is of the files in a way of the library's own, associated images have other names
    names = {
        name
        for name in library
        if name.startswith("openslide.")
        and not name.startswith(("openslide.quickhash", "openslide.associated"))
    }
    assert names >= {"openslide.mpp-x", "openslide.level[2].downsample", "openslide.icc-size"}
    assert {name: ours.get(name) for name in names} == {name: library[name] for name in names}


@pytest.mark.parametrize(
    "name",
    [
        openslide.PROPERTY_NAME_COMMENT,
        openslide.PROPERTY_NAME_VENDOR,
        openslide.PROPERTY_NAME_QUICKHASH1,
        openslide.PROPERTY_NAME_BACKGROUND_COLOR,
        openslide.PROPERTY_NAME_OBJECTIVE_POWER,
        openslide.PROPERTY_NAME_MPP_X,
        openslide.PROPERTY_NAME_MPP_Y,
        openslide.PROPERTY_NAME_BOUNDS_X,
        openslide.PROPERTY_NAME_BOUNDS_Y,
        openslide.PROPERTY_NAME_BOUNDS_WIDTH,
        openslide.PROPERTY_NAME_BOUNDS_HEIGHT,
    ],
)
def test_the_properties_that_openslide_names_are_there(exact, name):
    assert isinstance(exact.ours.properties[name], str)


def test_microns_per_pixel_are_along_x_and_y_of_the_image(make_slide):
    written = make_slide(**EXACT, pixel_spacing=(0.0005, 0.001))
    properties = OpenSlide(open_slide(written.folder)).properties
    # Pixel Spacing is between rows, then between columns
    assert float(properties["openslide.mpp-y"]) == pytest.approx(0.5)
    assert float(properties["openslide.mpp-x"]) == pytest.approx(1.0)


def test_bounds_are_the_whole_matrix(exact):
    properties = exact.ours.properties
    bounds = [properties[f"openslide.bounds-{name}"] for name in ("x", "y", "width", "height")]
    assert bounds == ["0", "0", "384", "256"]


def test_properties_have_the_attributes_of_dicom(pair):
    ours, library = pair.ours.properties, pair.library.properties
    assert ours["dicom.ContainerIdentifier"] == pair.written.container_identifier
    shared = {name for name in set(ours) & set(library) if name.startswith("dicom.")}
    assert len(shared) > 80
    for name in shared:
        try:
            assert float(ours[name]) == pytest.approx(float(library[name])), name
        except ValueError:
            assert ours[name] == library[name]


def test_the_quickhash_tells_slides_apart(exact, make_slide):
    other = OpenSlide(open_slide(make_slide(**EXACT, seed=9).folder))
    again = OpenSlide(open_slide(exact.written.folder))
    name = openslide.PROPERTY_NAME_QUICKHASH1
    assert exact.ours.properties[name] == again.properties[name] != other.properties[name]


def test_the_profile_of_uncorrected_pixels_is_that_of_the_scanner(exact):
    assert exact.ours.color_profile.tobytes() == exact.library.color_profile.tobytes()
    for ours, library in [
        (s.read_region((0, 0), 0, (8, 8)), s.get_thumbnail((50, 50)))
        for s in (exact.ours, exact.library)
    ]:
        assert ours.info["icc_profile"] == library.info["icc_profile"] == EXACT["icc_profile"]


def test_the_profile_of_corrected_pixels_is_srgb(exact):
    slide = OpenSlide(open_slide(exact.written.folder))
    assert "sRGB" in ImageCms.getProfileDescription(slide.color_profile)
    region = slide.read_region((0, 0), 0, (8, 8))
    profile = ImageCms.ImageCmsProfile(io.BytesIO(region.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_a_slide_without_profile_has_none(make_slide):
    written = make_slide(**{**EXACT, "icc_profile": False})
    pair = Pair(written)
    assert pair.ours.color_profile is None
    assert pair.library.color_profile is None
    assert "icc_profile" not in pair.ours.read_region((0, 0), 0, (8, 8)).info
    assert "openslide.icc-size" not in pair.ours.properties


# Opening and closing


def test_a_closed_slide_reads_no_more(exact):
    with OpenSlide(open_slide(exact.written.folder)) as slide:
        assert isinstance(slide, OpenSlide)
        slide.read_region((0, 0), 0, (8, 8))
    with pytest.raises(ValueError, match="closed"):
        slide.read_region((0, 0), 0, (8, 8))
    slide.close()


def test_closing_leaves_the_slide_itself_open(exact):
    slide = open_slide(exact.written.folder)
    OpenSlide(slide).close()
    assert slide.get_image_region((0, 0), 0, (8, 8)).shape == (8, 8, 3)
    assert OpenSlide(slide).read_region((0, 0), 0, (8, 8)).size == (8, 8)


def test_a_cache_may_be_set(exact):
    slide = OpenSlide(open_slide(exact.written.folder, correct_color=False))
    slide.set_cache(openslide.OpenSlideCache(1 << 20))
    assert_same_image(
        slide.read_region((64, 64), 1, (64, 64)), exact.library.read_region((64, 64), 1, (64, 64))
    )


def test_representation_names_the_class(exact):
    assert "OpenSlide" in repr(exact.ours)


# What the interface cannot express


@pytest.mark.parametrize(
    "options",
    [
        {"samples": 1},
        {"samples": 1, "bits": 16, "optical_paths": 3},
        {"optical_paths": 2},
        {"focal_planes": 3},
    ],
)
@pytest.mark.parametrize("together", ["one", "each"])
def test_other_slides_are_value_errors(make_slide, options, together):
    written = make_slide(
        **{**EXACT, "factors": (1,), "icc_profile": False},
        **options,
        optical_paths_in=together,
        focal_planes_in=together,
    )
    with pytest.raises(ValueError, match=r"^slide:"):
        OpenSlide(open_slide(written.folder))


def test_segmentations_do_not_matter(make_slide):
    written = make_slide(**EXACT, segmentations=("BINARY",), parametric_maps=("float",))
    slide = OpenSlide(open_slide(written.folder, correct_color=False))
    region = np.asarray(slide.read_region((0, 0), 1, (192, 128)))
    assert np.array_equal(region[..., :3], written.levels[1].pixels())


@pytest.mark.parametrize("slide", [None, 5, {"folder": 1}])
def test_anything_else_is_no_slide(slide):
    with pytest.raises(TypeError, match="expected a path, a URL"):
        OpenSlide(slide)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("level", lambda slide: slide.read_region((0, 0), -1, (1, 1))),
        ("level", lambda slide: slide.read_region((0, 0), 3, (1, 1))),
        ("size", lambda slide: slide.read_region((0, 0), 0, (-1, 1))),
        ("size", lambda slide: slide.get_thumbnail((0, 10))),
    ],
)
def test_impossible_values_are_value_errors(exact, name, call):
    with pytest.raises(ValueError, match=rf"^{name}:"):
        call(exact.ours)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("location", lambda slide: slide.read_region(0, 0, (1, 1))),
        ("location", lambda slide: slide.read_region(("0", "0"), 0, (1, 1))),
        ("level", lambda slide: slide.read_region((0, 0), "0", (1, 1))),
        ("size", lambda slide: slide.read_region((0, 0), 0, 5)),
        ("size", lambda slide: slide.read_region((0, 0), 0, ("1", "1"))),
        ("size", lambda slide: slide.get_thumbnail(100)),
        ("downsample", lambda slide: slide.get_best_level_for_downsample("2")),
    ],
)
def test_wrong_types_are_type_errors_that_name_the_argument(exact, name, call):
    with pytest.raises(TypeError, match=rf"^{name}:"):
        call(exact.ours)


def test_names_of_properties_are_those_of_openslide_python():
    theirs = {name: getattr(openslide, name) for name in vars(openslide) if "PROPERTY_NAME" in name}
    ours = {name: getattr(dicomslide.openslide, name) for name in dicomslide.openslide.__all__}
    del ours["OpenSlide"]
    assert ours == theirs
