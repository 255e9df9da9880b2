"""Which files a folder, a file or a DICOMDIR stands for."""

import os

import pydicom.data
import pytest
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from dicomslide.errors import DicomSlideError, SourceError
from dicomslide.sources.folders import find_files, looks_like_dicom


def make_files(folder, *names) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def found_in(folder) -> list[str]:
    """What is found, relative to the folder."""
    return [os.path.relpath(path, folder).replace(os.sep, "/") for path in find_files(folder)]


def write_dicomdir(folder, listed) -> None:
    """Write a DICOMDIR with a record for each file; None is a record without one (PS3.3 F.3)."""
    records = []
    for parts in listed:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE" if parts else "PATIENT"
        if parts:
            record[0x00041500] = DataElement(0x00041500, "CS", parts, validation_mode=IGNORE)
        records.append(record)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.DirectoryRecordSequence = records
    dataset.save_as(folder / "DICOMDIR", enforce_file_format=True)


class TestFolder:
    def test_files_of_a_folder_are_all_in_it_and_below_in_one_order(self, tmp_path):
        make_files(tmp_path, "b.dcm", "a", "sub/z.dcm", "sub/deeper/1", "c.txt")
        assert sorted(found_in(tmp_path)) == ["a", "b.dcm", "c.txt", "sub/deeper/1", "sub/z.dcm"]
        assert found_in(tmp_path) == found_in(tmp_path)

    def test_hidden_files_and_folders_are_left_out(self, tmp_path):
        make_files(tmp_path, ".hidden", "._a.dcm", ".git/b.dcm", "a.dcm")
        assert found_in(tmp_path) == ["a.dcm"]

    def test_folder_that_is_named_may_be_hidden(self, tmp_path):
        make_files(tmp_path / ".cache", "a.dcm")
        assert found_in(tmp_path / ".cache") == ["a.dcm"]

    def test_empty_folder_has_none(self, tmp_path):
        assert list(find_files(tmp_path)) == []

    @pytest.mark.skipif(not hasattr(os, "symlink"), reason="the system has no links")
    def test_links_are_followed_but_not_in_circles(self, tmp_path):
        make_files(tmp_path, "slides/a.dcm", "elsewhere/b.dcm")
        (tmp_path / "slides" / "linked").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "slides" / "circle").symlink_to(tmp_path / "slides")
        (tmp_path / "slides" / "broken").symlink_to(tmp_path / "nothing")
        assert sorted(found_in(tmp_path / "slides")) == ["a.dcm", "linked/b.dcm"]


class TestFile:
    @pytest.mark.parametrize("kind", [str, None])
    def test_file_stands_for_itself(self, tmp_path, kind):
        make_files(tmp_path, ".hidden.dcm")
        path = tmp_path / ".hidden.dcm"
        assert list(find_files(kind(path) if kind else path)) == [str(path)]

    def test_missing_file_is_named(self, tmp_path):
        with pytest.raises(SourceError, match=r"missing\.dcm"):
            find_files(tmp_path / "missing.dcm")


class TestDicomdir:
    @pytest.fixture
    def folder(self, make_slide, tmp_path):
        """A folder with a DICOMDIR, the two files that it lists, and one that it does not."""
        folder = tmp_path / "media"
        make_files(folder, "OTHER")
        listed = []
        for number, path in enumerate(make_slide(factors=(1, 2)).paths):
            (folder / f"PART{number}").mkdir()
            (folder / f"PART{number}" / "IMAGE").write_bytes(path.read_bytes())
            listed.append([f"PART{number}", "IMAGE"])
        write_dicomdir(folder, [*listed, None])
        return folder

    def test_dicomdir_lists_the_files(self, folder):
        expected = [str(folder / name / "IMAGE") for name in ("PART0", "PART1")]
        assert list(find_files(folder)) == expected
        assert list(find_files(folder / "DICOMDIR")) == expected

    def test_file_that_is_listed_but_missing_is_named(self, folder):
        (folder / "PART1" / "IMAGE").unlink()
        with pytest.raises(SourceError, match=r"DICOMDIR.*PART1.IMAGE"):
            find_files(folder)

    @pytest.mark.parametrize("parts", [["..", "SECRET"], ["PART0", "../../SECRET"], ["/SECRET"]])
    def test_dicomdir_never_leads_out_of_its_folder(self, folder, tmp_path, parts):
        make_files(tmp_path, "SECRET")
        write_dicomdir(folder, [parts])
        with pytest.raises(DicomSlideError, match="DICOMDIR"):
            find_files(folder)

    def test_damaged_dicomdir_is_named(self, folder):
        path = folder / "DICOMDIR"
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(DicomSlideError, match="DICOMDIR"):
            find_files(folder)

    def test_file_called_dicomdir_that_is_none_is_a_file(self, tmp_path):
        make_files(tmp_path, "DICOMDIR", "a.dcm")
        assert sorted(found_in(tmp_path)) == ["DICOMDIR", "a.dcm"]


class TestPrefix:
    def test_prefix_of_dicom_files_is_recognised(self, make_slide):
        assert looks_like_dicom(make_slide().paths[0])
        assert looks_like_dicom(str(pydicom.data.get_testdata_file("CT_small.dcm")))

    @pytest.mark.parametrize("content", [b"", b"DICM", bytes(127) + b"DICM", b"text" * 50])
    def test_other_files_have_no_prefix(self, tmp_path, content):
        (tmp_path / "file.dcm").write_bytes(content)
        assert not looks_like_dicom(tmp_path / "file.dcm")

    def test_missing_file_and_folder_have_no_prefix(self, tmp_path):
        assert not looks_like_dicom(tmp_path / "missing")
        assert not looks_like_dicom(tmp_path)
