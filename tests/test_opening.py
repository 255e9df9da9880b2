"""open_slide: the slide that a folder, a file, a list of files or a client holds."""

import gc
import shutil
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMfileClient
from pydicom.fileset import FileSet

import dicomslide
from dicomslide import DicomSlideError, Slide, find_slides, open_slide, open_slides
from dicomslide.testing import make_wide_gamut_profile

SMALL = {
    "size": (60, 50),
    "tile": (32, 32),
    "factors": (1, 2),
    "transfer_syntax": "1.2.840.10008.1.2.1",
    "icc_profile": False,
    "label": True,
    "overview": True,
    "segmentations": ("BINARY",),
}


@pytest.fixture(scope="module")
def written(make_slide):
    return make_slide(**SMALL)


def copy_files(paths, folder) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(path, folder)) for path in paths]


def write_dicomdir(paths, folder):
    """Copy files into a folder with a DICOMDIR that lists them."""
    files = FileSet()
    for path in paths:
        files.add(path)
    files.write(folder)
    # pydicom leaves its temporary folder to the garbage collector
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del files
        gc.collect()


def assert_shows(slide, written):
    """A slide has the levels, segments, label and overview that were written, and their pixels."""
    assert isinstance(slide, Slide)
    assert slide.container_identifier == written.container_identifier
    assert slide.total_pixel_matrix_dimensions == tuple(level.size for level in written.levels)
    for level, known in enumerate(written.levels):
        assert np.array_equal(slide.get_image_region((0, 0), level, known.size), known.pixels())
    assert len(slide.find_segments()) == 3
    mask = slide.get_image_region((0, 0), 0, (60, 50), slide.find_segments(number=2)[0])
    assert np.array_equal(mask[..., 0], written.segmentations[0].mask(0, 2))
    assert np.array_equal(slide.label_images[0].get_total_pixel_matrix()[...], written.label)
    assert np.array_equal(slide.overview_images[0].get_total_pixel_matrix()[...], written.overview)


# What can be opened


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_opens_as_a_slide(written, kind):
    assert_shows(open_slide(kind(written.folder)), written)


def test_a_folder_with_other_files_opens_as_a_slide(written, tmp_path):
    copy_files(written.paths, tmp_path)
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / ".hidden.dcm").write_bytes(b"DICM")
    directory = pydicom.dcmread(written.paths[0], stop_before_pixels=True)
    for keyword in ("Rows", "Columns"):
        delattr(directory, keyword)
    directory.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    directory.save_as(tmp_path / "report.dcm")
    assert_shows(open_slide(tmp_path), written)


def test_folders_within_a_folder_are_searched(written, tmp_path):
    copy_files(written.paths[:1], tmp_path / "base")
    copy_files(written.paths[1:], tmp_path / "others" / "here")
    assert_shows(open_slide(tmp_path), written)


def test_names_of_files_do_not_matter(written, tmp_path):
    for number, path in enumerate(written.paths):
        shutil.copy(path, tmp_path / f"{number:08}")
    assert_shows(open_slide(tmp_path), written)


def test_a_path_may_be_relative_to_the_working_directory(written, monkeypatch, tmp_path):
    monkeypatch.chdir(written.folder.parent)
    slide = open_slide(written.folder.name)
    monkeypatch.chdir(tmp_path)
    assert_shows(slide, written)


def test_a_list_of_files_opens_as_a_slide(written):
    assert_shows(open_slide(list(written.paths)), written)
    assert_shows(open_slide(tuple(map(str, reversed(written.paths)))), written)


def test_one_file_is_a_slide_of_one_level(written):
    slide = open_slide(written.levels[1].paths[0])
    assert slide.total_pixel_matrix_dimensions == ((30, 25),)
    assert np.array_equal(slide.get_image_region((0, 0), 0, (30, 25)), written.levels[1].pixels())


def test_a_client_opens_as_a_slide(written, tmp_path):
    client = DICOMfileClient(f"file://{written.folder}", db_dir=tmp_path)
    assert_shows(open_slide(client), written)


def test_a_slide_is_the_same_from_each_source(written, tmp_path):
    client = DICOMfileClient(f"file://{written.folder}", db_dir=tmp_path)
    slides = [open_slide(s) for s in (written.folder, list(written.paths), client)]
    assert slides[0] == slides[1] == slides[2] == find_slides(client)[0]
    assert len({hash(slide) for slide in slides}) == 1


def test_opening_is_part_of_the_package():
    assert dicomslide.open_slide is open_slide


# Several slides


@pytest.fixture(scope="module")
def pair(make_slide):
    return [make_slide(**SMALL, seed=n, container_identifier=f"GLASS-{n}") for n in (1, 2)]


@pytest.fixture(scope="module")
def archive(pair, tmp_path_factory):
    """A folder with two slides in folders of their own."""
    folder = tmp_path_factory.mktemp("archive")
    for number, written in enumerate(pair):
        copy_files(written.paths, folder / f"slide-{number}")
    return folder


def test_all_slides_of_a_folder_are_opened(archive, pair):
    slides = sorted(open_slides(archive), key=lambda slide: slide.container_identifier)
    assert len(slides) == 2
    for slide, written in zip(slides, pair, strict=True):
        assert_shows(slide, written)


def test_all_slides_of_a_client_are_opened(archive, pair, tmp_path):
    client = DICOMfileClient(f"file://{archive}", db_dir=tmp_path)
    slides = sorted(open_slides(client), key=lambda slide: slide.container_identifier)
    for slide, written in zip(slides, pair, strict=True):
        assert_shows(slide, written)


def test_the_slide_in_a_container_is_opened(archive, pair, tmp_path):
    client = DICOMfileClient(f"file://{archive}", db_dir=tmp_path)
    for number, written in enumerate(pair, start=1):
        for source in (archive, client):
            slide = open_slide(source, container_identifier=f"GLASS-{number}")
            assert_shows(slide, written)


def test_open_slides_opens_the_one_slide_of_a_folder(written):
    (slide,) = open_slides(written.folder)
    assert_shows(slide, written)


def test_a_dicomdir_lists_the_files_of_a_slide(pair, tmp_path):
    write_dicomdir(pair[0].paths, tmp_path)
    # What is not listed does not count
    copy_files(pair[1].paths, tmp_path)
    assert_shows(open_slide(tmp_path), pair[0])
    assert_shows(open_slide(tmp_path / "DICOMDIR"), pair[0])


# Options


def test_colours_are_corrected_unless_told_otherwise(make_slide):
    written = make_slide(**{**SMALL, "icc_profile": make_wide_gamut_profile()})
    stored = written.levels[0].pixels()
    plain = open_slide(written.folder, correct_color=False)
    assert np.array_equal(plain.get_image_region((0, 0), 0, (60, 50)), stored)
    corrected = open_slide(written.folder).get_image_region((0, 0), 0, (60, 50))
    assert np.abs(corrected.astype(int) - stored).max() > 10


def test_the_pyramid_tolerance_is_that_of_the_slide(written, tmp_path):
    copy_files(written.paths, tmp_path)
    dataset = pydicom.dcmread(tmp_path / "level-1.dcm")
    dataset.TotalPixelMatrixOriginSequence[0].YOffsetInSlideCoordinateSystem += 1
    dataset.save_as(tmp_path / "level-1.dcm")
    with pytest.raises(ValueError, match="not aligned"):
        open_slide(tmp_path)
    assert open_slide(tmp_path, pyramid_tolerance=1.1).num_levels == 2


def test_the_cache_size_is_that_of_the_slide(written):
    assert open_slide(written.folder, max_frame_cache_size=0).num_levels == 2
    with pytest.raises(ValueError, match="max_frame_cache_size"):
        open_slide(written.folder, max_frame_cache_size=-1)
    with pytest.raises(TypeError, match="max_frame_cache_size"):
        open_slide(written.folder, max_frame_cache_size=1.5)


# What cannot be opened


@pytest.mark.parametrize("source", [None, 5, 5.0, object(), [5], {"path": "folder"}, b"bytes"])
def test_other_types_are_type_errors(source):
    with pytest.raises(TypeError, match=r"^source:"):
        open_slide(source)


def test_no_such_folder_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="nothing-here"):
        open_slide(tmp_path / "nothing-here")
    with pytest.raises(OSError, match="nothing-here"):
        open_slide([tmp_path / "nothing-here.dcm"])


@pytest.mark.parametrize("source", [[], ()])
def test_no_files_are_a_value_error(source):
    with pytest.raises(ValueError, match="no slide"):
        open_slide(source)


def test_an_empty_folder_is_a_value_error(tmp_path):
    with pytest.raises(ValueError, match=tmp_path.name):
        open_slide(tmp_path)


def test_a_folder_of_other_files_is_a_value_error_that_counts_them(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "more.txt").write_text("nothing")
    with pytest.raises(ValueError, match="2"):
        open_slide(tmp_path)


def test_a_named_file_that_is_not_dicom_is_a_value_error(written, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ValueError, match=r"notes\.txt"):
        open_slide(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match=r"notes\.txt"):
        open_slide([*written.paths, tmp_path / "notes.txt"])


def test_a_named_image_of_something_else_is_a_value_error(written, tmp_path):
    dataset = pydicom.dcmread(written.levels[1].paths[0])
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.save_as(tmp_path / "capture.dcm")
    with pytest.raises(ValueError, match=r"capture\.dcm.*Secondary Capture"):
        open_slide(tmp_path / "capture.dcm")


def test_a_label_alone_is_a_value_error(written):
    with pytest.raises(ValueError, match="VOLUME"):
        open_slide(written.folder / "label.dcm")


def test_two_slides_are_a_value_error_that_names_both(archive, tmp_path):
    client = DICOMfileClient(f"file://{archive}", db_dir=tmp_path)
    for source in (archive, sorted(archive.rglob("*.dcm")), client):
        with pytest.raises(ValueError, match="2 slides") as error:
            open_slide(source)
        assert "GLASS-1" in str(error.value)
        assert "GLASS-2" in str(error.value)


def test_a_client_without_slides_is_a_value_error(tmp_path):
    with pytest.raises(ValueError, match="no image of a slide"):
        open_slide(DICOMfileClient(f"file://{tmp_path}"))


def test_a_container_that_is_not_there_is_a_value_error_that_names_it(archive, tmp_path):
    with pytest.raises(ValueError, match="GLASS-9"):
        open_slide(archive, container_identifier="GLASS-9")
    client = DICOMfileClient(f"file://{archive}", db_dir=tmp_path)
    with pytest.raises(ValueError, match="no slide"):
        open_slide(client, container_identifier="GLASS-9")


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_file_is_an_error_that_names_it(written, tmp_path, keep):
    copy_files(written.paths, tmp_path)
    path = tmp_path / "level-0.dcm"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(ValueError, match=r"level-0\.dcm"):
        open_slide(tmp_path)


def test_a_damaged_header_is_an_error_that_names_the_file(written, tmp_path):
    copy_files(written.paths, tmp_path)
    path = tmp_path / "level-0.dcm"
    data = bytearray(path.read_bytes())
    # The length of Total Pixel Matrix Rows
    position = data.index(struct.pack("<HH2sH", 0x0048, 0x0007, b"UL", 4))
    data[position + 6] = 3
    path.write_bytes(data)
    with pytest.raises((ValueError, OSError), match=r"level-0\.dcm"):
        open_slide(tmp_path)


def test_an_attribute_that_makes_no_sense_is_named(written, tmp_path):
    copy_files(written.paths, tmp_path)
    dataset = pydicom.dcmread(tmp_path / "level-1.dcm")
    dataset.ImageOrientationSlide = [1, 0, 0, 1, 0, 0]
    dataset.save_as(tmp_path / "level-1.dcm")
    with pytest.raises(ValueError, match="Image Orientation"):
        open_slide(tmp_path)


def test_levels_that_are_not_parallel_are_a_value_error(written, tmp_path):
    copy_files(written.paths, tmp_path)
    dataset = pydicom.dcmread(tmp_path / "level-1.dcm")
    dataset.ImageOrientationSlide = [0.6, -0.8, 0, -0.8, -0.6, 0]
    dataset.save_as(tmp_path / "level-1.dcm")
    with pytest.raises(ValueError, match="parallel"):
        open_slide(tmp_path, pyramid_tolerance=1)


def test_every_error_is_one_of_the_package(tmp_path):
    for source in (tmp_path / "nothing-here", tmp_path, None, []):
        with pytest.raises(DicomSlideError):
            open_slide(source)


def test_package_that_a_url_needs_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ValueError, match=r"https://example\.org/slide/.*aiohttp.*extra.* http"):
        open_slide("https://example.org/slide/")
