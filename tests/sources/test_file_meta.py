"""File Meta Information: what pydicom finds in it, and what damage to it costs."""

import copy
import pickle
import shutil
import struct

import pydicom
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage, VLWholeSlideMicroscopyImageStorage

from dicomslide import open_slide
from dicomslide.errors import InvalidImageError
from dicomslide.sources.files import open_image_file
from dicomslide.sources.siblings import find_siblings, is_slide_file
from dicomslide.stores.files import holds_images

OPEN = 0xFFFFFFFF
PRIVATE = struct.pack("<HH2sH6s", 2, 0x100, b"UI", 6, b"1.2.3\0")
PRIVATE += struct.pack("<HH2sHI4s", 2, 0x102, b"OB", 0, 4, b"abcd")
REPEATED = struct.pack("<HH2sH2s", 2, 0x16, b"AE", 2, b"A ") * 2
# A value representation that is not text
NO_TEXT = struct.pack("<HH2sH2s", 2, 0x16, b"A\xc8", 2, b"ab")
# A sequence of undefined length with an item that pydicom finds no end of
NO_ITEM = struct.pack("<HH2sHI", 2, 0x102, b"SQ", 0, OPEN)
NO_ITEM += struct.pack("<HHIHH2sH4s", 0xFFFE, 0xE000, OPEN, 8, 0x18, b"Q\xff", 4, b"abcd")
NO_ITEM += struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)


@pytest.fixture
def folder(make_slide, tmp_path):
    """A folder with a slide, to which a test can add."""
    return shutil.copytree(make_slide(factors=(1, 2)).folder, tmp_path / "slide")


@pytest.fixture
def add(folder):
    """Makes a copy of a level with more elements in its File Meta Information."""

    def call(elements, sop_class=VLWholeSlideMicroscopyImageStorage):
        data = (folder / "level-1.dcm").read_bytes()
        (length,) = struct.unpack("<I", data[140:144])
        meta, rest = data[: 144 + length], data[144 + length :]
        name = VLWholeSlideMicroscopyImageStorage.encode()
        meta = meta.replace(name, sop_class.encode().ljust(len(name), b"\0"))
        (folder / "other.dcm").write_bytes(meta + elements + rest)
        return folder / "other.dcm"

    return call


@pytest.mark.parametrize("elements", [b"", PRIVATE, REPEATED], ids=["plain", "private", "repeated"])
def test_it_is_what_pydicom_reads(add, elements):
    path = add(elements)
    dataset, _ = open_image_file(path)
    # pydicom goes by the group length
    data = path.read_bytes()
    (length,) = struct.unpack("<I", data[140:144])
    path.write_bytes(data[:140] + struct.pack("<I", length + len(elements)) + data[144:])
    expected = pydicom.dcmread(path, stop_before_pixels=True).file_meta
    del expected.FileMetaInformationGroupLength
    copies = dataset, copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))
    for meta in (found.file_meta for found in copies):
        del meta.FileMetaInformationGroupLength
        assert type(meta) is type(expected)
        assert meta == expected


def test_a_data_set_can_be_written_with_it(add, tmp_path):
    dataset, _ = open_image_file(add(PRIVATE))
    path = tmp_path / "written.dcm"
    FileDataset(path, dataset, file_meta=dataset.file_meta).save_as(path, enforce_file_format=True)
    written = pydicom.dcmread(path)
    assert written == pydicom.dcmread(tmp_path / "slide" / "level-1.dcm", stop_before_pixels=True)
    assert written.file_meta.PrivateInformation == b"abcd"


def test_a_damaged_value_representation_costs_nothing(add, folder):
    path = add(NO_TEXT)
    dataset, _ = open_image_file(path)
    assert dataset.file_meta.MediaStorageSOPClassUID == VLWholeSlideMicroscopyImageStorage
    assert is_slide_file(str(path))
    assert str(path) in find_siblings(str(folder / "level-0.dcm"))


def test_a_slide_whose_file_meta_is_damaged_is_no_silent_loss(add, folder):
    path = add(NO_ITEM)
    with pytest.raises(InvalidImageError, match=r"other\.dcm: damaged attributes"):
        open_image_file(path)
    with pytest.warns(UserWarning, match=r"other\.dcm.*may belong to the slide"):
        assert str(path) not in find_siblings(str(folder / "level-0.dcm"))


@pytest.mark.parametrize("elements", [NO_TEXT, NO_ITEM], ids=["VR", "item"])
def test_another_kind_of_file_may_be_damaged(add, folder, elements):
    path = add(elements, CTImageStorage)
    assert not is_slide_file(str(path))
    assert not holds_images(path)
    assert str(path) not in find_siblings(str(folder / "level-0.dcm"))
    assert open_slide(folder).num_levels == 2
