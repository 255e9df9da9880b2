"""OpenSlide with a path, beside the OpenSlide library with the same path."""

import io
import itertools
import os
import shutil
import warnings
from pathlib import Path

import fsspec
import numpy as np
import openslide
import pydicom
import pytest
from openslide.deepzoom import DeepZoomGenerator
from PIL import Image
from pydicom.errors import BytesLengthException

import dicomslide.openslide
from dicomslide import OpenSlide, open_slide
from dicomslide.testing import make_wide_gamut_profile
from tests.test_openslide import EXACT, assert_same_image

# The THUMBNAIL image has 427 x 512 pixels, between the levels of 600 x 500 and of 150 x 125
SLIDE = {**EXACT, "size": (600, 500), "factors": (1, 4), "thumbnail": True}
# What OpenSlide does not say of DICOM slides
MORE = {
    "openslide.background-color",
    "openslide.barcode",
    "openslide.bounds-height",
    "openslide.bounds-width",
    "openslide.bounds-x",
    "openslide.bounds-y",
    "openslide.comment",
}


@pytest.fixture
def folder(make_slide, tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(make_slide(**SLIDE).folder, tmp_path / "slide")


@pytest.fixture(scope="module")
def written(make_slide):
    return make_slide(**SLIDE)


@pytest.fixture(scope="module")
def base(written):
    return written.folder / "level-0.dcm"


@pytest.fixture(scope="module")
def library(base):
    return openslide.OpenSlide(base)


def change(path, **values):
    dataset = pydicom.dcmread(path)
    for keyword, value in values.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path)


def assert_same_levels(ours, library):
    assert ours.level_count == library.level_count
    assert ours.level_dimensions == library.level_dimensions
    assert ours.dimensions == library.dimensions
    assert ours.level_downsamples == library.level_downsamples
    for downsample in np.arange(0.5, 40, 0.25).tolist():
        assert ours.get_best_level_for_downsample(
            downsample
        ) == library.get_best_level_for_downsample(downsample)


# Which files are the slide


@pytest.mark.parametrize("name", ["level-0", "level-1", "label", "overview", "thumbnail"])
def test_any_file_stands_for_the_slide_as_in_openslide(written, name):
    path = written.folder / f"{name}.dcm"
    ours, library = OpenSlide(path), openslide.OpenSlide(path)
    assert_same_levels(ours, library)
    assert ours.level_dimensions == ((500, 600), (125, 150))
    assert set(ours.associated_images) == set(library.associated_images)


def test_a_path_may_be_all_that_openslide_takes(base, library):
    for path in (base, str(base), os.fsencode(base)):
        assert_same_levels(OpenSlide(path), library)


def test_a_path_may_be_relative(base, library, monkeypatch):
    monkeypatch.chdir(base.parent)
    assert_same_levels(OpenSlide(base.name), library)


def test_a_path_may_be_a_link_in_a_folder_of_links(written, library, tmp_path):
    for path in written.folder.iterdir():
        (tmp_path / path.stem).symlink_to(path)
    assert_same_levels(OpenSlide(tmp_path / "level-1"), library)


def test_other_places_are_those_of_open_slide(written, base, library):
    for place in (written.folder, str(written.folder), list(written.paths), base.as_uri()):
        ours = OpenSlide(place)
        assert_same_levels(ours, library)
        assert list(ours.associated_images) == ["label", "macro", "thumbnail"]


def test_a_list_of_files_has_no_others(written):
    assert OpenSlide([written.folder / "level-1.dcm"]).level_dimensions == ((125, 150),)


def test_files_of_another_series_are_not_of_the_slide(folder):
    change(folder / "level-1.dcm", SeriesInstanceUID="1.2.3")
    change(folder / "label.dcm", SeriesInstanceUID="1.2.3")
    path = folder / "level-0.dcm"
    ours, library = OpenSlide(path), openslide.OpenSlide(path)
    assert_same_levels(ours, library)
    assert ours.level_count == 1
    assert list(ours.associated_images) == list(library.associated_images) == ["macro", "thumbnail"]


def test_files_of_another_folder_are_not_of_the_slide(folder):
    (folder / "more").mkdir()
    shutil.move(folder / "level-1.dcm", folder / "more")
    assert_same_levels(
        OpenSlide(folder / "level-0.dcm"), openslide.OpenSlide(folder / "level-0.dcm")
    )


def test_another_slide_in_the_folder_does_not_matter(folder, library, make_slide):
    for path in make_slide(**SLIDE, seed=7).folder.iterdir():
        shutil.copy(path, folder / f"other-{path.name}")
    (folder / "notes.txt").write_text("no DICOM file")
    ours = OpenSlide(folder / "level-0.dcm")
    assert_same_levels(ours, library)
    assert_same_image(
        ours.read_region((0, 0), 0, (500, 600)), library.read_region((0, 0), 0, (500, 600))
    )


def test_copies_of_a_file_count_once(folder, library):
    shutil.copy(folder / "level-1.dcm", folder / "copy.dcm")
    assert_same_levels(OpenSlide(folder / "level-0.dcm"), library)


def test_a_damaged_file_beside_is_warned_of(folder):
    os.truncate(folder / "level-1.dcm", 1200)
    with pytest.warns(UserWarning, match=r"level-1\.dcm: .*it may belong to the slide"):
        ours = OpenSlide(folder / "level-0.dcm")
    assert_same_levels(ours, openslide.OpenSlide(folder / "level-0.dcm"))


def test_a_segmentation_beside_does_not_matter(make_slide):
    written = make_slide(**SLIDE, segmentations=("BINARY",))
    path = written.folder / "level-0.dcm"
    assert_same_levels(OpenSlide(path), openslide.OpenSlide(path))


# Levels


def test_thumbnails_are_levels_of_a_slide_and_not_of_a_path(written, base):
    without, with_it = ((500, 600), (125, 150)), ((500, 600), (427, 512), (125, 150))
    slide = open_slide(written.folder)
    for source, default in ((slide, with_it), (base, without), (written.folder, without)):
        assert OpenSlide(source).level_dimensions == default
        assert OpenSlide(source, thumbnail_levels=None).level_dimensions == default
        assert OpenSlide(source, thumbnail_levels=True).level_dimensions == with_it
        assert OpenSlide(source, thumbnail_levels=False).level_dimensions == without


def test_a_level_number_reads_what_it_reads_in_openslide(base, library):
    ours = OpenSlide(base)
    for level, size in enumerate(library.level_dimensions):
        assert_same_image(
            ours.read_region((0, 0), level, size), library.read_region((0, 0), level, size)
        )


def test_a_thumbnail_alone_is_only_a_level_if_it_is_asked_for(folder):
    path = folder / "thumbnail.dcm"
    for other in set(folder.iterdir()) - {path}:
        other.unlink()
    with pytest.raises(openslide.OpenSlideError):
        openslide.OpenSlide(path)
    with pytest.raises(ValueError, match="thumbnail_levels"):
        OpenSlide(path)
    assert OpenSlide(path, thumbnail_levels=True).level_dimensions == ((427, 512),)


@pytest.mark.parametrize("size", [(1000, 1000), (300, 200), (125, 150), (40, 90)])
def test_thumbnails_are_those_of_openslide(base, library, size):
    assert_same_image(OpenSlide(base).get_thumbnail(size), library.get_thumbnail(size))


def test_deep_zoom_tiles_are_those_of_openslide(base, library):
    ours, theirs = (DeepZoomGenerator(slide, 126, 1) for slide in (OpenSlide(base), library))
    assert ours.level_tiles == theirs.level_tiles
    assert ours.get_dzi("jpeg") == theirs.get_dzi("jpeg")
    # Where OpenSlide reads a level between its pixels it interpolates, so that only the base level
    # is the same
    for level in (theirs.level_count - 1, theirs.level_count - 2):
        columns, rows = theirs.level_tiles[level]
        for address in itertools.product(range(columns), range(rows)):
            assert_same_image(ours.get_tile(level, address), theirs.get_tile(level, address))


# Colours


def test_colours_of_a_path_are_stored_ones(written, base, library):
    ours = OpenSlide(base)
    region = ours.read_region((0, 0), 0, (500, 600))
    assert np.array_equal(np.asarray(region)[..., :3], written.levels[0].pixels())
    assert region.info["icc_profile"] == EXACT["icc_profile"]
    assert ours.color_profile.tobytes() == library.color_profile.tobytes()


def test_colours_of_a_path_can_be_corrected(written, base):
    expected = OpenSlide(open_slide(written.folder))
    ours = OpenSlide(base, correct_color=True)
    regions = [s.read_region((10, 20), 0, (64, 64)) for s in (ours, expected)]
    assert_same_image(*regions)
    stored = OpenSlide(base, correct_color=False).read_region((10, 20), 0, (64, 64))
    assert not np.array_equal(np.asarray(regions[0]), np.asarray(stored))
    assert "sRGB" in ours.color_profile.profile.profile_description


def test_a_slide_cannot_change_its_colours(written):
    with pytest.raises(ValueError, match=r"^correct_color:"):
        OpenSlide(open_slide(written.folder), correct_color=False)


# Associated images


def test_associated_images_of_a_path_are_those_of_openslide(base, library):
    ours, theirs = OpenSlide(base).associated_images, library.associated_images
    assert list(ours) == list(theirs) == ["label", "macro", "thumbnail"]
    assert len(ours) == 3
    for name in theirs:
        assert_same_image(ours[name], theirs[name])
        assert ours[name].info == theirs[name].info


@pytest.mark.parametrize("thumbnail_levels", [False, True])
def test_associated_images_have_both_names_whatever_is_listed(written, base, thumbnail_levels):
    slide = open_slide(written.folder, correct_color=False)
    for source, listed in (
        (slide, ["LABEL", "OVERVIEW", "THUMBNAIL"]),
        (base, ["label", "macro", "thumbnail"]),
    ):
        images = OpenSlide(source, thumbnail_levels=thumbnail_levels).associated_images
        # An image that is a level is not listed
        assert list(images) == listed[: 2 if thumbnail_levels else 3]
        for flavor, name in (("LABEL", "label"), ("OVERVIEW", "macro"), ("THUMBNAIL", "thumbnail")):
            assert flavor in images
            assert name in images
            assert_same_image(images[flavor], images[name])
        assert "VOLUME" not in images
        assert 5 not in images
        with pytest.raises(KeyError, match="barcode"):
            images["barcode"]


def test_an_associated_image_of_one_row_keeps_its_colours(folder):
    dataset = pydicom.dcmread(folder / "label.dcm")
    row = np.frombuffer(dataset.PixelData, np.uint8)[: 3 * dataset.Columns]
    change(folder / "label.dcm", Rows=1, TotalPixelMatrixRows=1, PixelData=row.tobytes())
    label = OpenSlide(folder / "level-0.dcm").associated_images["label"]
    assert label.size == (dataset.Columns, 1)
    assert np.array_equal(np.asarray(label)[0, :, :3], row.reshape(-1, 3))


def make_gray(path, dtype):
    dataset = pydicom.dcmread(path)
    pixels = np.frombuffer(dataset.PixelData, np.uint8)
    pixels = pixels.reshape(dataset.Rows, dataset.Columns, 3)[..., 0].astype(dtype)
    bits = 8 * np.dtype(dtype).itemsize
    del dataset.PlanarConfiguration
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path)
    return pixels


def test_a_gray_associated_image_becomes_coloured(folder):
    pixels = make_gray(folder / "label.dcm", np.uint8)
    label = np.asarray(OpenSlide(folder / "level-0.dcm").associated_images["label"])
    assert label.shape == (*pixels.shape, 4)
    assert (label[..., :3] == pixels[..., np.newaxis]).all()


def test_an_associated_image_of_16_bits_is_a_value_error(folder):
    make_gray(folder / "label.dcm", np.uint16)
    ours = OpenSlide(folder / "level-0.dcm")
    assert set(ours.associated_images) == {"label", "macro", "thumbnail"}
    with pytest.raises(ValueError, match="8 bits"):
        ours.associated_images["label"]


# Properties


def test_properties_are_those_of_openslide(base, library):
    ours, theirs = OpenSlide(base).properties, dict(library.properties)
    assert theirs.keys() >= {
        "openslide.quickhash-1",
        "openslide.associated.thumbnail.width",
        "openslide.associated.macro.icc-size",
        "dicom.TransferSyntaxUID",
    }
    assert {name: ours.get(name) for name in theirs} == theirs
    assert ours.keys() - theirs.keys() == MORE


@pytest.mark.parametrize(
    "options",
    [
        {"icc_profile": False},
        {"label": False, "overview": False, "thumbnail": False},
        {"organization": "TILED_SPARSE", "sparse": "shuffled"},
        # Numbers that need all their digits
        {"pixel_spacing": (0.0002520912, 0.000227273)},
        {"pixel_spacing": (0.00025209123, 1 / 3000)},
        {"size": (601, 503), "factors": (1, 3, 7)},
    ],
    ids=str,
)
def test_properties_of_other_slides_are_those_of_openslide(make_slide, options):
    path = make_slide(**{**SLIDE, **options}).folder / "level-0.dcm"
    ours, theirs = OpenSlide(path).properties, dict(openslide.OpenSlide(path).properties)
    assert {name: ours.get(name) for name in theirs} == theirs
    assert ours.keys() - theirs.keys() <= MORE


def test_empty_attributes_are_properties_where_openslide_has_them(folder):
    path = folder / "level-0.dcm"
    dataset = pydicom.dcmread(path)
    dataset.PatientSize = None
    dataset.PatientComments = ""
    dataset.PregnancyStatus = None
    dataset.AcquisitionDuration = 2.5
    dataset.ImagedVolumeDepth = 0.1
    dataset.save_as(path)
    ours, theirs = OpenSlide(path).properties, dict(openslide.OpenSlide(path).properties)
    assert {name: ours.get(name) for name in theirs} == theirs
    assert ours.keys() - theirs.keys() == MORE


def test_the_barcode_is_that_of_the_label(folder):
    change(folder / "label.dcm", BarcodeValue="S26-1;A;3")
    name = openslide.PROPERTY_NAME_BARCODE
    assert OpenSlide(folder / "level-0.dcm").properties[name] == "S26-1;A;3"
    assert OpenSlide(open_slide(folder)).properties[name] == "S26-1;A;3"
    (folder / "label.dcm").unlink()
    assert name not in OpenSlide(folder / "level-0.dcm").properties


def test_thumbnails_that_are_levels_are_described_as_levels(written):
    properties = OpenSlide(open_slide(written.folder)).properties
    assert properties["openslide.level-count"] == "3"
    assert properties["openslide.level[1].width"] == "427"
    assert properties["openslide.associated.label.width"] == str(written.label.shape[1])
    assert "openslide.associated.thumbnail.width" not in properties


def test_properties_are_worked_out_once(base, monkeypatch):
    ours = OpenSlide(base)
    expected = ours.properties
    monkeypatch.delattr(dicomslide.openslide, "slide_properties")
    assert ours.properties == expected
    ours.properties.clear()
    assert ours.properties == expected


def test_a_damaged_attribute_costs_its_own_property(folder):
    path = folder / "level-0.dcm"
    change(path, PatientWeight="61.5")
    whole = OpenSlide(path).properties
    assert whole["dicom.PatientWeight"] == "61.5"
    # A double of four bytes
    damaged = path.read_bytes().replace(b"DS\4\0" + b"61.5", b"FD\4\0" + b"61.5")
    path.write_bytes(damaged)
    with pytest.raises(BytesLengthException):
        pydicom.dcmread(path).PatientWeight  # noqa: B018
    ours = OpenSlide(path).properties
    assert whole.items() - ours.items() == {("dicom.PatientWeight", "61.5")}
    assert ours.items() <= whole.items()


def test_an_objective_power_that_is_no_number_costs_its_own_property(folder):
    path = folder / "level-0.dcm"
    dataset = pydicom.dcmread(path)
    dataset.OpticalPathSequence[0].ObjectiveLensPower = "31.25"
    dataset.save_as(path)
    assert OpenSlide(path).properties["openslide.objective-power"] == "31.25"
    path.write_bytes(path.read_bytes().replace(b"31.25 ", b"3one25"))
    with warnings.catch_warnings():
        # That of pydicom
        warnings.simplefilter("ignore")
        ours = OpenSlide(path).properties
    theirs = dict(openslide.OpenSlide(path).properties)
    assert "openslide.objective-power" not in theirs
    assert {name: ours.get(name) for name in theirs} == theirs
    assert ours.keys() - theirs.keys() == MORE


# Errors


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="no such file"):
        OpenSlide(tmp_path / "missing.dcm")


def test_other_files_are_value_errors(tmp_path):
    (tmp_path / "notes.dcm").write_text("no DICOM file")
    with pytest.raises(ValueError, match=r"notes\.dcm"):
        OpenSlide(tmp_path / "notes.dcm")
    with pytest.raises(ValueError, match="no slide"):
        OpenSlide(tmp_path)


def test_a_file_without_series_is_a_value_error_as_in_openslide(folder):
    path = folder / "level-0.dcm"
    change(path, SeriesInstanceUID=None)
    with pytest.raises(openslide.OpenSlideError, match="SeriesInstanceUID"):
        openslide.OpenSlide(path)
    with pytest.raises(ValueError, match=r"level-0\.dcm: without Series Instance UID"):
        OpenSlide(path)


def test_a_damaged_file_is_a_value_error(folder):
    os.truncate(folder / "level-0.dcm", 1200)
    with pytest.raises(ValueError, match=r"level-0\.dcm: .* truncated"):
        OpenSlide(folder / "level-0.dcm")


def test_a_broken_profile_is_a_value_error_when_it_is_asked_for(make_slide):
    broken = bytes(len(make_wide_gamut_profile()))
    path = make_slide(**{**SLIDE, "icc_profile": broken}).folder / "level-0.dcm"
    ours, library = OpenSlide(path), openslide.OpenSlide(path)
    assert_same_image(
        ours.read_region((0, 0), 0, (64, 64)), library.read_region((0, 0), 0, (64, 64))
    )
    assert ours.properties["openslide.icc-size"] == str(len(broken))
    with pytest.raises(ValueError, match="broken ICC profile"):
        ours.color_profile  # noqa: B018


@pytest.mark.parametrize("name", ["thumbnail_levels", "correct_color"])
def test_choices_of_another_type_are_type_errors(base, name):
    with pytest.raises(TypeError, match=rf"^{name}:"):
        OpenSlide(base, **{name: "yes"})


# Formats


def test_the_format_is_the_one_that_openslide_detects(folder, tmp_path):
    (tmp_path / "notes.txt").write_text("no DICOM file")
    Image.new("RGB", (4, 4)).save(tmp_path / "picture.png")
    os.truncate(folder / "level-1.dcm", 1200)
    os.truncate(folder / "label.dcm", 140)
    paths = [*folder.iterdir(), folder, *tmp_path.iterdir(), tmp_path / "missing.dcm"]
    formats = {path.name: OpenSlide.detect_format(path) for path in paths}
    assert formats == {path.name: openslide.OpenSlide.detect_format(path) for path in paths}
    assert formats["level-0.dcm"] == formats["level-1.dcm"] == "dicom"
    assert set(formats.values()) == {"dicom", None}


def test_a_segmentation_has_no_format(make_slide):
    written = make_slide(**SLIDE, segmentations=("BINARY",))
    for path in written.paths:
        assert OpenSlide.detect_format(path) == openslide.OpenSlide.detect_format(path)


def test_formats_of_strings_and_bytes_are_detected(base):
    assert OpenSlide.detect_format(str(base)) == "dicom"
    assert OpenSlide.detect_format(os.fsencode(base)) == "dicom"


@pytest.mark.parametrize("path", [None, 5, ["level-0.dcm"], io.BytesIO()])
def test_what_is_no_path_is_a_type_error(path):
    with pytest.raises(TypeError, match=r"^path:"):
        OpenSlide.detect_format(path)


def test_representation_names_the_path(base):
    assert repr(OpenSlide(base)) == f"OpenSlide({base!r})" == repr(openslide.OpenSlide(base))


def test_a_url_is_opened_and_described_without_its_secrets(written, library):
    memory = fsspec.filesystem("memory")
    memory.put(str(written.folder), "/somebody:secret@/slide", recursive=True)
    try:
        ours = OpenSlide("memory://somebody:secret@/slide/")
        assert_same_levels(ours, library)
        assert repr(ours) == "OpenSlide('memory:///slide/')"
    finally:
        memory.rm("/somebody:secret@", recursive=True)


def test_a_closed_path_reads_no_more(base):
    with OpenSlide(Path(base)) as ours:
        ours.read_region((0, 0), 0, (8, 8))
    with pytest.raises(ValueError, match="closed"):
        ours.read_region((0, 0), 0, (8, 8))


def test_a_closed_slide_of_a_path_has_no_file_open_and_gives_no_pictures(make_slide):
    slide = OpenSlide(make_slide(**EXACT).levels[0].paths[0])
    slide.read_region((0, 0), 0, (5, 5))
    slide.close()
    cache = slide._levels[0].array.frames.cache
    assert len(cache) == 0
    for ask in (
        lambda: slide.read_region((0, 0), 0, (5, 5)),
        lambda: slide.get_thumbnail((5, 5)),
    ):
        with pytest.raises(ValueError, match="closed"):
            ask()
