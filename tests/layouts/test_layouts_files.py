"""However the files of a slide are split, scattered or incomplete, it shows the same pixels."""

import gc
import os
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMfileClient
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from dicomslide import DicomSlideError, Slide, open_slide, open_slides
from dicomslide.errors import InvalidImageError, NoSlideError
from dicomslide.sources.files import open_image_file
from dicomslide.stores.files import FileStore
from dicomslide.stores.places import holds_slide
from dicomslide.testing import SyntheticSlide
from tests.layouts.small import GRID, JPEG, SPARSE, TILE, edit, read_all

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"


# Images in several instances (PS3.3 C.7.6.16.2.2.4)


class TestConcatenations:
    KINDS = (
        {},
        JPEG,
        {**SPARSE, "sparse": "shuffled"},
        {**SPARSE, "sparse": "gaps", "optical_paths": 2, "samples": 1},
        {**JPEG, "offset_table": "extended"},
    )

    @pytest.mark.parametrize("options", KINDS, ids=str)
    def test_parts_in_any_order_are_one_image(self, make_slide, options):
        plain = make_slide(**options)
        paths = list(make_slide(**options, concatenation=4).paths)
        assert len(paths) == 4
        for seed in range(3):
            random.Random(seed).shuffle(paths)
            slide = open_slide(paths, correct_color=False)
            assert slide.num_levels == 1
            for channel in range(options.get("optical_paths", 1)):
                expected = read_all(plain.folder, channel)
                assert np.array_equal(read_all(slide, channel), expected)

    def test_parts_with_and_without_parsed_groups_are_one_image(self, copy_slide):
        written, paths = copy_slide(**SPARSE, sparse="shuffled", concatenation=2)

        def comment(dataset: Dataset) -> None:
            item = dataset.PerFrameFunctionalGroupsSequence[2]
            item.FrameContentSequence[0].FrameComments = "out of focus"

        edit(paths[1], comment)
        assert np.array_equal(read_all(paths), written.levels[0].pixels())

    def test_parts_of_different_byte_orders_are_an_error(self, make_slide):
        parts = [
            make_slide(
                concatenation=2,
                transfer_syntax=syntax,
                series_instance_uid="1.2.3",
                frame_of_reference_uid="1.2.4",
                container_identifier="GLASS",
            ).paths[number]
            for number, syntax in enumerate([ExplicitVRLittleEndian, ExplicitVRBigEndian])
        ]
        datasets = [open_image_file(path)[0] for path in parts]
        uid = datasets[0].ConcatenationUID
        datasets[1].ConcatenationUID = uid
        store = FileStore(parts)
        with pytest.raises(InvalidImageError, match="different transfer syntaxes"):
            Slide(store, datasets)

    def test_the_image_is_that_of_the_concatenation_source(self, make_slide):
        written = make_slide(concatenation=3)
        source = pydicom.dcmread(written.paths[0]).SOPInstanceUIDOfConcatenationSource
        (image,) = open_slide(written.folder).get_volume_images()
        assert image.metadata.SOPInstanceUID == source
        assert image.metadata.NumberOfFrames == GRID[0] * GRID[1]

    @pytest.mark.parametrize("options", KINDS[:3], ids=str)
    def test_a_client_finds_all_parts(self, make_slide, tmp_path, options):
        written = make_slide(**options, concatenation=3)
        client = DICOMfileClient(f"file://{written.folder}", db_dir=tmp_path)
        metadata = [pydicom.dcmread(p, stop_before_pixels=True) for p in reversed(written.paths)]
        slide = Slide(client, metadata, correct_color=False)
        expected = read_all(make_slide(**options).folder)
        assert np.array_equal(read_all(slide), expected)
        assert np.array_equal(read_all(client), expected)

    def test_metadata_of_the_caller_stay_as_they_are(self, make_slide, tmp_path):
        written = make_slide(concatenation=2)
        client = DICOMfileClient(f"file://{written.folder}", db_dir=tmp_path)
        metadata = [pydicom.dcmread(p, stop_before_pixels=True) for p in written.paths]
        before = deepcopy(metadata)
        Slide(client, metadata)
        assert metadata == before

    @staticmethod
    def both(paths: list[Path], tmp_path: Path) -> Iterator[Callable[[], Slide]]:
        """The same files by path, and by their metadata and a client."""
        yield lambda: open_slide(paths)
        client = DICOMfileClient(f"file://{paths[0].parent}", db_dir=tmp_path / "db")
        metadata = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
        yield lambda: Slide(client, metadata)

    @pytest.mark.parametrize("missing", [0, 1, 2])
    def test_a_missing_part_is_named(self, copy_slide, tmp_path, missing):
        _, paths = copy_slide(concatenation=3)
        (tmp_path / "db").mkdir()
        uids = [pydicom.dcmread(path).SOPInstanceUID for path in paths]
        del paths[missing], uids[missing]
        for read in self.both(paths, tmp_path):
            with pytest.raises(InvalidImageError, match=f"part {missing + 1} of 3") as error:
                read()
            assert all(uid in str(error.value) for uid in uids)

    def test_a_total_may_be_missing(self, copy_slide):
        written, paths = copy_slide(concatenation=3)
        for path in paths:
            edit(path, lambda dataset: dataset.pop("InConcatenationTotalNumber"))
        assert np.array_equal(read_all(paths), written.levels[0].pixels())
        for incomplete in (paths[:1], paths[1:], [paths[0], paths[2]]):
            with pytest.raises(InvalidImageError, match=r"part . of several is missing"):
                open_slide(incomplete)
        with pytest.raises(InvalidImageError, match="Number of Frames"):
            open_slide(paths[:2])

    def test_two_parts_of_one_number_are_named(self, copy_slide, tmp_path):
        _, paths = copy_slide(concatenation=3)
        (tmp_path / "db").mkdir()
        edit(paths[2], lambda dataset: setattr(dataset, "InConcatenationNumber", 2))
        uids = [pydicom.dcmread(path).SOPInstanceUID for path in paths]
        for read in self.both(paths, tmp_path):
            with pytest.raises(InvalidImageError, match="both part 2") as error:
                read()
            assert uids[1] in str(error.value)
            assert uids[2] in str(error.value)

    @pytest.mark.parametrize("number", [0, 4, 65535])
    def test_a_number_that_cannot_be_is_an_error(self, copy_slide, number):
        _, paths = copy_slide(concatenation=3)
        edit(paths[2], lambda dataset: setattr(dataset, "InConcatenationNumber", number))
        with pytest.raises(InvalidImageError, match=r"concatenation 2\.25") as error:
            open_slide(paths)
        assert len(str(error.value)) < 1000

    @pytest.mark.parametrize(
        ("keyword", "value"),
        [
            ("Rows", 8),
            ("TotalPixelMatrixColumns", 91),
            ("PlanarConfiguration", 1),
            ("BitsStored", 7),
            ("DimensionOrganizationType", "TILED_SPARSE"),
            ("SeriesInstanceUID", "1.2.3"),
            ("OpticalPathSequence", []),
            ("SharedFunctionalGroupsSequence", []),
            ("ConcatenationFrameOffsetNumber", 7),
        ],
    )
    def test_a_part_that_contradicts_another_is_named(self, copy_slide, keyword, value):
        _, paths = copy_slide(concatenation=2)
        uids = [pydicom.dcmread(path).SOPInstanceUID for path in paths]
        edit(paths[1], lambda dataset: setattr(dataset, keyword, value))
        datasets = [open_image_file(path)[0] for path in paths]
        with pytest.raises(InvalidImageError) as error:
            Slide(FileStore(paths), datasets)
        assert uids[1] in str(error.value)
        assert keyword in str(error.value).replace(" ", "")


# Folders and what else lies in them


def copy_files(paths: Any, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(path, folder)) for path in paths]


def make_other_images(folder: Path, like: Path) -> None:
    """Write DICOM files that are no images of a slide: a photograph, a report and a scan."""
    photograph = pydicom.dcmread(like)
    photograph.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    photograph.SOPInstanceUID += ".1"
    photograph.save_as(folder / "photograph.dcm", enforce_file_format=True)
    report = pydicom.dcmread(like, stop_before_pixels=True)
    del report.Rows, report.Columns
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    report.SOPInstanceUID += ".2"
    report.save_as(folder / "report.dcm", enforce_file_format=True)
    shutil.copy(pydicom.data.get_testdata_file("CT_small.dcm"), folder)


class TestFolders:
    OPTIONS: ClassVar = {"factors": (1, 2), "label": True, "overview": True}

    @pytest.fixture
    def written(self, make_slide):
        return make_slide(**self.OPTIONS)

    @staticmethod
    def check(source: Any, written: SyntheticSlide) -> None:
        slide = open_slide(source)
        assert slide.total_pixel_matrix_dimensions == tuple(i.size for i in written.levels)
        for level, known in enumerate(written.levels):
            assert np.array_equal(read_all(slide, level=level), known.pixels())
        assert len(slide.label_images) == len(slide.overview_images) == 1

    def test_other_dicom_files_are_passed_over(self, written, tmp_path):
        copy_files(written.paths, tmp_path)
        make_other_images(tmp_path, written.paths[0])
        self.check(tmp_path, written)

    def test_damaged_or_privately_encoded_dicom_files_of_others_are_passed_over(
        self, written, tmp_path
    ):
        copy_files(written.paths, tmp_path)
        make_other_images(tmp_path, written.paths[0])
        os.truncate(tmp_path / "photograph.dcm", 3000)
        scan = (tmp_path / "CT_small.dcm").read_bytes()
        syntax = b"1.2.840.10008.1.2.1\0"
        assert syntax in scan
        (tmp_path / "CT_small.dcm").write_bytes(scan.replace(syntax, b"1.2.840.113619.5.2\0\0"))
        self.check(tmp_path, written)

    def test_an_image_of_a_slide_that_is_damaged_is_an_error(self, written, tmp_path):
        copy_files(written.paths, tmp_path)
        os.truncate(tmp_path / "label.dcm", 3000)
        with pytest.raises(DicomSlideError, match=r"label\.dcm"):
            open_slide(tmp_path)

    def test_a_folder_of_other_dicom_files_is_an_error_that_counts_them(self, written, tmp_path):
        make_other_images(tmp_path, written.paths[0])
        (tmp_path / "notes.txt").write_text("nothing")
        with pytest.raises(NoSlideError) as error:
            open_slide(tmp_path)
        assert "1 x Secondary Capture" in str(error.value)
        assert "1 x CT Image Storage" in str(error.value)
        assert not holds_slide(tmp_path)

    def test_files_need_no_extension(self, written, tmp_path):
        for number, path in enumerate(written.paths):
            shutil.copy(path, tmp_path / f"IM{number}")
        self.check(tmp_path, written)

    def test_hidden_files_and_folders_are_passed_over(self, written, make_slide, tmp_path):
        copy_files(written.paths, tmp_path)
        other = make_slide(**self.OPTIONS, container_identifier="OTHER")
        copy_files(other.paths, tmp_path / ".trash")
        shutil.copy(other.paths[0], tmp_path / "._level-0.dcm")
        self.check(tmp_path, written)

    def test_linked_files_and_folders_are_followed(self, written, tmp_path):
        base, *others = written.paths
        (tmp_path / "slide").mkdir()
        (tmp_path / "slide" / "base.dcm").symlink_to(base)
        copy_files(others, tmp_path / "elsewhere")
        (tmp_path / "slide" / "others").symlink_to(tmp_path / "elsewhere")
        self.check(tmp_path / "slide", written)
        (tmp_path / "link").symlink_to(tmp_path / "slide")
        self.check(tmp_path / "link", written)

    def test_a_circle_of_links_ends(self, written, tmp_path):
        copy_files(written.paths, tmp_path / "slide")
        (tmp_path / "slide" / "again").symlink_to(tmp_path / "slide")
        (tmp_path / "slide" / "above").symlink_to(tmp_path)
        self.check(tmp_path / "slide", written)

    def test_a_link_to_nothing_is_passed_over(self, written, tmp_path):
        copy_files(written.paths, tmp_path)
        (tmp_path / "gone.dcm").symlink_to(tmp_path / "nowhere.dcm")
        self.check(tmp_path, written)

    def test_copies_of_an_instance_count_once(self, written, tmp_path):
        copy_files(written.paths, tmp_path)
        copy_files(written.paths, tmp_path / "copy")
        self.check(tmp_path, written)

    def test_one_of_several_copies_that_differ_is_used(self, written, tmp_path):
        """Attributes and frames are of the same file."""
        copy_files(written.paths, tmp_path / "a")

        def crop(dataset: Dataset) -> None:
            dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = TILE
            dataset.NumberOfFrames = 1
            dataset.PixelData = bytes(TILE[0] * TILE[1] * 3)

        (tmp_path / "b").mkdir()
        edit(written.paths[0], crop, to=tmp_path / "b" / "level-0.dcm")
        self.check(tmp_path, written)

    def test_images_that_show_the_same_are_named(self, written, tmp_path):
        copy_files(written.paths, tmp_path)

        def rename(dataset: Dataset) -> None:
            dataset.SOPInstanceUID += ".1"

        edit(written.paths[1], rename, to=tmp_path / "another.dcm")
        with pytest.raises(InvalidImageError, match=r"another\.dcm") as error:
            open_slide(tmp_path)
        assert "level-1.dcm" in str(error.value)
        assert "35 x 45" in str(error.value)

    def test_a_thumbnail_as_large_as_a_level_gives_way(self, written, tmp_path):
        copy_files(written.paths, tmp_path)

        def thumbnail(dataset: Dataset) -> None:
            dataset.SOPInstanceUID += ".1"
            dataset.InstanceNumber = 0
            dataset.ImageType = ["DERIVED", "PRIMARY", "THUMBNAIL", "RESAMPLED"]
            dataset.PixelData = bytes(len(dataset.PixelData))

        edit(written.paths[1], thumbnail, to=tmp_path / "a-thumbnail.dcm")
        self.check(tmp_path, written)

    def test_an_image_without_sop_instance_uid_is_named(self, written, tmp_path):
        copy_files(written.paths, tmp_path)
        data = (tmp_path / "level-1.dcm").read_bytes()
        # Another attribute takes its place
        data = data.replace(b"\x08\x00\x18\x00UI", b"\x08\x00\x17\x00UI")
        (tmp_path / "level-1.dcm").write_bytes(data)
        with pytest.raises(InvalidImageError, match=r"level-1\.dcm.*SOP Instance UID"):
            open_slide(tmp_path)

    def test_metadata_without_sop_instance_uid_are_an_error(self, written):
        datasets = [open_image_file(path)[0] for path in written.paths[:2]]
        for dataset in datasets:
            del dataset.SOPInstanceUID
        with pytest.raises(ValueError, match="SOP Instance UID"):
            Slide(FileStore(written.paths), datasets)


class TestSeveralSlides:
    @pytest.fixture
    def archive(self, make_slide, tmp_path):
        slides = [make_slide(container_identifier=name, label=True) for name in ("A-1", "B-2")]
        for slide in slides:
            copy_files(slide.paths, tmp_path / slide.container_identifier)
        return tmp_path, slides

    def test_an_error_lists_the_slides_of_a_folder(self, archive):
        with pytest.raises(NoSlideError, match="2 slides: 'A-1', 'B-2'"):
            open_slide(archive[0])

    def test_a_container_identifier_picks_one(self, archive):
        folder, slides = archive
        for written in slides:
            slide = open_slide(folder, container_identifier=written.container_identifier)
            assert np.array_equal(read_all(slide), written.levels[0].pixels())

    def test_all_slides_of_a_folder_can_be_opened(self, archive):
        folder, slides = archive
        found = {slide.container_identifier: slide for slide in open_slides(folder)}
        for written in slides:
            slide = found[written.container_identifier]
            assert np.array_equal(read_all(slide), written.levels[0].pixels())

    def test_the_label_of_another_slide_is_no_slide(self, archive):
        folder, (first, _) = archive
        (folder / "B-2" / "level-0.dcm").unlink()
        slide = open_slide(folder)
        assert slide.container_identifier == first.container_identifier
        assert len(slide.label_images) == 1


class TestDicomdir:
    @staticmethod
    def write(folder: Path, paths: Any) -> Path:
        files = FileSet()
        for path in paths:
            files.add(path)
        files.write(folder)
        # pydicom leaves its temporary folder to the garbage collector
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del files
            gc.collect()
        return folder / "DICOMDIR"

    def test_a_dicomdir_lists_the_files(self, make_slide, tmp_path):
        written = make_slide(factors=(1, 2), label=True)
        other = make_slide(container_identifier="OTHER")
        directory = self.write(tmp_path, written.paths)
        shutil.copy(other.paths[0], tmp_path)
        for source in (tmp_path, directory):
            slide = open_slide(source)
            for level, known in enumerate(written.levels):
                assert np.array_equal(read_all(slide, level=level), known.pixels())
            assert len(slide.label_images) == 1

    def test_a_dicomdir_may_list_other_images(self, make_slide, tmp_path):
        written = make_slide()
        other = pydicom.data.get_testdata_file("CT_small.dcm")
        directory = self.write(tmp_path, [*written.paths, other])
        for source in (tmp_path, directory, [directory]):
            assert np.array_equal(read_all(source), written.levels[0].pixels())

    def test_a_file_that_is_listed_has_to_be_there(self, make_slide, tmp_path):
        directory = self.write(tmp_path, make_slide(factors=(1, 2)).paths)
        files = [path for path in tmp_path.rglob("*") if path.is_file() and path != directory]
        files[0].unlink()
        with pytest.raises(OSError, match=r"DICOMDIR.*no such file"):
            open_slide(tmp_path)

    def test_a_dicomdir_lists_nothing_outside_its_folder(self, make_slide, tmp_path):
        directory = self.write(tmp_path / "disc", make_slide().paths)
        shutil.copy(make_slide().paths[0], tmp_path / "OUTSIDE")
        data = pydicom.dcmread(directory)
        with pydicom.config.disable_value_validation():
            for record in data.DirectoryRecordSequence:
                if "ReferencedFileID" in record:
                    record.ReferencedFileID = ["..", "OUTSIDE"]
            data.save_as(directory)
        with pytest.raises(InvalidImageError, match="DICOMDIR"):
            open_slide(tmp_path / "disc")

    @pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
    def test_a_dicomdir_that_is_cut_off_is_an_error(self, make_slide, tmp_path, kept):
        directory = self.write(tmp_path, make_slide().paths)
        os.truncate(directory, int(directory.stat().st_size * kept))
        with pytest.raises(DicomSlideError, match="DICOMDIR"):
            open_slide(tmp_path)

    def test_a_file_called_dicomdir_that_is_no_dicom_file_is_one_like_others(
        self, make_slide, tmp_path
    ):
        written = make_slide()
        copy_files(written.paths, tmp_path)
        (tmp_path / "DICOMDIR").write_text("nothing")
        assert np.array_equal(read_all(tmp_path), written.levels[0].pixels())


# What some writers leave out


def forget(*keywords: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        for keyword in keywords:
            del dataset[keyword]

    return change


class TestLeniency:
    OPTIONS: ClassVar = {
        "factors": (1, 2),
        "label": True,
        "overview": True,
        "level_origins": "same",
    }

    @pytest.fixture
    def files(self, copy_slide):
        return copy_slide(**self.OPTIONS)

    @staticmethod
    def open_warned(folder: Path, message: str) -> Slide:
        """Open a slide, with one warning."""
        with pytest.warns(UserWarning, match=message) as caught:
            slide = open_slide(folder)
        assert len(caught) == 1
        assert str(folder) in str(caught[0].message)
        # Nothing is said again when pixels are read
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            slide.get_image_region((0, 0), 0, slide.size)
        return slide

    @staticmethod
    def check(slide: Slide, written: SyntheticSlide) -> None:
        assert slide.num_levels == 2
        for level, known in enumerate(written.levels):
            assert np.array_equal(read_all(slide, level=level), known.pixels())
        assert len(slide.label_images) == len(slide.overview_images) == 1

    def test_slide_without_container_identifier_opens(self, files, tmp_path):
        written, paths = files
        for path in paths:
            edit(path, forget("ContainerIdentifier"))
        slide = self.open_warned(tmp_path, "2 of 2 images have no Container Identifier")
        self.check(slide, written)
        assert slide.container_identifier == ""

    def test_slide_with_a_container_identifier_in_some_images_opens(self, files, tmp_path):
        written, paths = files
        edit(paths[1], forget("ContainerIdentifier"))
        slide = self.open_warned(tmp_path, "1 of 2 images have no Container Identifier")
        self.check(slide, written)
        assert slide.container_identifier == written.container_identifier

    def test_slide_without_optical_path_sequence_opens(self, files, tmp_path):
        written, paths = files
        for path in paths:
            edit(path, forget("OpticalPathSequence"))
        slide = self.open_warned(tmp_path, "2 of 2 images have no Optical Path Sequence")
        self.check(slide, written)
        assert slide.num_channels == 1

    def test_slide_without_total_pixel_matrix_origin_opens(self, files, tmp_path):
        written, paths = files
        for path in paths[:2]:
            edit(path, forget("TotalPixelMatrixOriginSequence"))
        slide = self.open_warned(
            tmp_path, r"2 of 2 images have no Total Pixel Matrix Origin.*\(0, 0\)"
        )
        self.check(slide, written)
        assert slide.physical_offset == (0.0, 0.0)

    def test_slide_with_a_frame_of_reference_for_each_level_opens(self, files, tmp_path):
        written, paths = files
        for number, path in enumerate(paths):
            edit(path, lambda d, n=number: setattr(d, "FrameOfReferenceUID", f"1.2.{n}"))
        slide = self.open_warned(tmp_path, "each level .* a Frame of Reference UID of its own")
        self.check(slide, written)
        assert slide.frame_of_reference_uid == "1.2.0"

    def test_slide_with_a_level_without_frame_of_reference_opens(self, files, tmp_path):
        written, paths = files
        edit(paths[0], forget("FrameOfReferenceUID"))
        slide = self.open_warned(tmp_path, "a Frame of Reference UID of its own")
        self.check(slide, written)
        assert slide.frame_of_reference_uid == written.frame_of_reference_uid

    def test_slide_with_another_frame_of_reference_for_label_and_overview_opens(
        self, files, tmp_path
    ):
        """They may have a Frame of Reference of their own: nobody measured where they lie."""
        written, paths = files
        for number, path in enumerate(paths[2:]):
            edit(path, lambda d, n=number: setattr(d, "FrameOfReferenceUID", f"1.2.{n}"))
        self.check(open_slide(tmp_path), written)

    def test_label_and_overview_belong_to_the_slide_of_their_series(self, files, tmp_path):
        written, paths = files
        for number, path in enumerate(paths):
            edit(path, forget("ContainerIdentifier"))
            if number > 1:
                edit(path, lambda d, n=number: setattr(d, "FrameOfReferenceUID", f"1.2.{n}"))
        self.check(self.open_warned(tmp_path, "Container Identifier"), written)

    def test_label_and_overview_need_no_pixel_spacing(self, files, tmp_path):
        written, paths = files
        for path in paths[2:]:
            edit(path, forget("SharedFunctionalGroupsSequence"))
        slide = open_slide(tmp_path)
        self.check(slide, written)
        assert np.array_equal(slide.label_images[0].get_total_pixel_matrix()[...], written.label)
        with pytest.raises(ValueError, match="Pixel Spacing"):
            _ = slide.label_images[0].physical_offset

    @pytest.mark.parametrize("options", [{}, SPARSE, JPEG, {"focal_planes": 2}], ids=str)
    def test_slide_without_number_of_frames_opens(self, copy_slide, tmp_path, options):
        written, (path,) = copy_slide(**options)
        edit(path, forget("NumberOfFrames"))
        slide = self.open_warned(tmp_path, "1 of 1 images have no Number of Frames")
        assert np.array_equal(
            read_all(slide, focal_plane=slide.num_focal_planes - 1),
            read_all(written.folder, focal_plane=slide.num_focal_planes - 1),
        )

    def test_slide_with_uids_that_are_too_long_opens(self, files, tmp_path):
        written, paths = files
        uid = "1.2." + 80 * "3"
        with pydicom.config.disable_value_validation():
            for path in paths:
                edit(path, lambda dataset: setattr(dataset, "FrameOfReferenceUID", uid))
        with pytest.warns(UserWarning, match="maximum length of 64"):
            slide = open_slide(tmp_path)
        self.check(slide, written)
        assert slide.frame_of_reference_uid == uid

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda dataset: setattr(dataset, "FrameOfReferenceUID", "1.2"), "FrameOfReferenceUID"),
            (forget("TotalPixelMatrixOriginSequence"), "Total Pixel Matrix Origin"),
            (forget("ImageOrientationSlide"), "Image Orientation"),
            (forget("SharedFunctionalGroupsSequence"), "Pixel Spacing"),
            (forget("TotalPixelMatrixRows"), "Total Pixel Matrix Rows"),
        ],
    )
    def test_a_slide_supplies_nothing_itself(self, files, change, message):
        _, paths = files
        edit(paths[1], change)
        datasets = [open_image_file(path)[0] for path in paths]
        with pytest.raises(ValueError, match=message):
            Slide(FileStore(paths), datasets)


# Real files of others


def real_folder(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the real slides of {folder} are not here")
    return folder


def test_files_of_wsi2dcm_open_with_a_warning_of_each_omission():
    folder = real_folder("wsi2dcm")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        slide = open_slide(folder)
    assert len(caught) == len({str(warning.message) for warning in caught}) == 4
    assert slide.num_levels == 4


def test_files_of_wsidicomizer_have_the_pixels_of_wsidicom():
    wsidicom = pytest.importorskip("wsidicom")
    folder = real_folder("cmu-1-small-region")
    slide = open_slide(folder, correct_color=False)
    with wsidicom.WsiDicom.open(folder) as library:
        columns, rows = library.size.to_tuple()
        region = np.asarray(library.read_region((0, 0), 0, (columns, rows)))
    assert np.array_equal(read_all(slide), region)
