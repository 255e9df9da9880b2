"""What a file claims is bounded before memory or time is spent on it.

Each of these files is small, and claims what would take gigabytes or minutes.
"""

import json
import struct
import time
import tracemalloc
import zlib
from contextlib import contextmanager

import fsspec
import numpy as np
import pydicom
import pytest
import xarray as xr
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicomslide import DicomSlideError, OpenSlide, open_slide
from dicomslide.cli import main
from dicomslide.errors import ArgumentValueError, InvalidImageError, SourceError, UnsupportedError
from dicomslide.metadata.json_model import dataset_of_json
from dicomslide.metadata.palette import read_palette
from dicomslide.sources.dicomweb import _read_json
from dicomslide.sources.http import Reply
from dicomslide.testing import write_slide
from dicomslide.thumbnail import make_thumbnail

SMALL = {
    "size": (40, 60),
    "tile": (16, 24),
    "factors": (1,),
    "icc_profile": False,
    "label": False,
    "overview": False,
}
MIB = 2**20


@contextmanager
def bounded(megabytes: float, seconds: float = 20):
    """Check that little memory and time is taken; times of busy machines vary much."""
    tracemalloc.start()
    started = time.process_time()
    try:
        yield
        assert time.process_time() - started < seconds
        assert tracemalloc.get_traced_memory()[1] < megabytes * MIB
    finally:
        tracemalloc.stop()


# Sizes


@pytest.fixture(scope="module", params=[2**26, 2**31], ids=["2^26", "2^31"])
def huge(request, tmp_path_factory):
    """A sparse slide of nine frames that claims a matrix of so many rows and columns."""
    folder = tmp_path_factory.mktemp("huge")
    (path,) = write_slide(folder, **SMALL, organization="TILED_SPARSE").paths
    dataset = pydicom.dcmread(path)
    dataset.TotalPixelMatrixRows = dataset.TotalPixelMatrixColumns = request.param
    dataset.save_as(path)
    assert path.stat().st_size < 16_000
    # What is imported is not what a file costs
    open_slide(folder).to_datatree(None)
    return folder, request.param


def test_a_tree_of_any_size_opens(huge):
    folder, side = huge
    with bounded(8):
        tree = xr.open_datatree(folder, engine="dicomslide")
        assert tree["level_0"].sizes["y"] == side
        assert len(repr(tree)) > 1000
    tree.close()


def test_a_part_of_any_matrix_is_selected_by_its_place(huge):
    folder, _ = huge
    level = open_slide(folder).to_datatree(None)["level_0"]
    step = level.pixel_spacing[0]
    with bounded(8):
        by_index = level["image"].isel(y=range(10, 20), x=range(5, 25))
        by_place = level["image"].sel(
            y=by_index.y.values, x=by_index.x.values + step / 4, method="nearest"
        )
        np.testing.assert_array_equal(by_place.values, by_index.values)
    np.testing.assert_allclose(by_index.y, step * np.arange(10, 20))
    # The rows of the synthetic slide run along -Y, its columns along -X
    x, y = level.total_pixel_matrix_origin
    np.testing.assert_allclose(by_index.slide_x, x - by_index.y)
    np.testing.assert_allclose(by_index.slide_y, y - by_index.x)


def test_a_tree_has_no_more_chunks_than_dask_can_hold(huge):
    slide = open_slide(huge[0])
    with bounded(8), pytest.warns(UserWarning, match="more chunks than dask can hold"):
        tree = slide.to_datatree()
    assert tree["level_0/image"].data.npartitions <= 2**22
    with bounded(8):
        slide.to_datatree("auto")


def test_more_chunks_than_dask_can_hold_are_an_error_that_says_what_will_do(huge):
    matrix = open_slide(huge[0]).get_total_pixel_matrix(0)
    with bounded(8), pytest.raises(ArgumentValueError, match='"auto" or') as caught:
        _ = matrix.dask
    sizes = str(caught.value).partition('"auto" or (')[2].partition(")")[0].split(", ")
    for chunks in ("auto", tuple(map(int, sizes))):
        with bounded(8):
            assert matrix.to_dask(chunks).npartitions <= 2**22


def test_information_on_a_slide_of_any_size(huge, capsys):
    with bounded(16):
        assert not main(["info", str(huge[0])])
    assert str(huge[1]) in capsys.readouterr().out


def test_a_thumbnail_without_end_is_refused(huge):
    slide = open_slide(huge[0])
    for make in (make_thumbnail, lambda slide: OpenSlide(slide).get_thumbnail((100, 100))):
        with bounded(8), pytest.raises(UnsupportedError, match="too large for one picture"):
            make(slide)


def test_an_associated_image_of_any_size_is_refused(tmp_path):
    written = write_slide(tmp_path, **SMALL | {"label": True})
    path = next(path for path in written.paths if path.name.startswith("label"))
    dataset = pydicom.dcmread(path)
    dataset.TotalPixelMatrixColumns = 2**31
    dataset.save_as(path)
    slide = OpenSlide(open_slide(tmp_path))
    with bounded(8), pytest.raises(UnsupportedError, match="too large for one picture"):
        slide.associated_images["label"]


def test_a_thumbnail_of_openslide_takes_less_memory_than_its_level(tmp_path):
    write_slide(tmp_path, **SMALL | {"size": (6000, 6000), "tile": (1000, 1000)})
    slide = OpenSlide(open_slide(tmp_path))
    # The level has 137 MiB of RGBA, and would be there several times
    with bounded(120, seconds=60):
        assert slide.get_thumbnail((50, 50)).size == (50, 50)


# Palettes


def test_repeated_segments_of_a_palette_take_linear_time():
    dataset = Dataset()
    dataset.SOPInstanceUID = "1.2"
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [65535, 0, 16])
        # A segment of one entry, one of none from byte 6 on, and repetitions of that
        data = struct.pack("<5H", 0, 1, 5, 0, 0) + struct.pack("<4H", 2, 65535, 6, 0) * 52_500
        setattr(dataset, f"Segmented{colour}PaletteColorLookupTableData", data)
    with bounded(32), pytest.raises(InvalidImageError, match="has no entries"):
        read_palette(dataset, "image 1.2", signed=False, big_endian=False)


# Headers


def insert(path, element: bytes, before: bytes = b"\x20\x00\x0d\x00UI") -> None:
    """Put an element before the Study Instance UID of an explicit little endian file."""
    data = path.read_bytes()
    place = data.index(before)
    path.write_bytes(data[:place] + element + data[place:])


@pytest.fixture
def written(tmp_path):
    (path,) = write_slide(tmp_path, **SMALL, transfer_syntax="1.2.840.10008.1.2.1").paths
    return path


def long_element(path, length: int) -> None:
    """Put a private element of zeros before the pixels, which a sparse file does not store."""
    data = path.read_bytes()
    place = data.index(b"\x20\x00\x0d\x00UI")
    with path.open("wb") as file:
        file.write(data[:place] + struct.pack("<HH2sHI", 0x19, 0x1001, b"OB", 0, length))
        file.seek(length, 1)
        file.write(data[place:])


def test_a_long_private_element_is_not_read(written):
    expected = open_slide(written).get_image_region((0, 0), 0, (40, 60))
    long_element(written, 900 * MIB)
    with bounded(8):
        slide = open_slide(written)
        found = slide.get_image_region((0, 0), 0, (40, 60))
    np.testing.assert_array_equal(found, expected)


def test_a_long_private_element_at_another_place_is_not_read(written):
    long_element(written, 40 * MIB)
    memory = fsspec.filesystem("memory")
    memory.pipe("/claims/level.dcm", written.read_bytes())
    try:
        with bounded(8):
            slide = open_slide("memory://claims/level.dcm")
            assert slide.get_image_region((0, 0), 0, (40, 60)).any()
    finally:
        memory.rm("/claims", recursive=True)


def test_a_long_element_that_the_file_does_not_have_is_damage(written):
    insert(written, struct.pack("<HH2sHI", 0x19, 0x1001, b"OB", 0, 900 * MIB))
    with bounded(8), pytest.raises(InvalidImageError, match=r"\.dcm.*damaged or truncated"):
        open_slide(written)


@pytest.mark.parametrize("content", [bytes(50 * MIB), b"\x08\x00\x05\x00CS\x00\x00" * 6_000_000])
def test_a_deflated_header_has_no_more_attributes_than_there_are(tmp_path, content):
    options = SMALL | {"transfer_syntax": DeflatedExplicitVRLittleEndian}
    (path,) = write_slide(tmp_path, **options).paths
    data = path.read_bytes()
    meta = pydicom.filereader.read_file_meta_info(path)
    start = 132 + 12 + meta.FileMetaInformationGroupLength
    compressor = zlib.compressobj(wbits=-15)
    path.write_bytes(data[:start] + compressor.compress(content) + compressor.flush())
    assert path.stat().st_size < 300_000
    with bounded(64), pytest.raises(InvalidImageError, match=r"\.dcm: has more than \d+ attr"):
        open_slide(path)


def test_items_of_a_deflated_header_are_bounded(tmp_path):
    options = SMALL | {"transfer_syntax": DeflatedExplicitVRLittleEndian}
    (path,) = write_slide(tmp_path, **options).paths
    data = path.read_bytes()
    meta = pydicom.filereader.read_file_meta_info(path)
    start = 132 + 12 + meta.FileMetaInformationGroupLength
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 1_500_000
    content = struct.pack("<HH2sHI", 0x40, 0x555, b"SQ", 0, len(items)) + items
    compressor = zlib.compressobj(wbits=-15)
    path.write_bytes(data[:start] + compressor.compress(content) + compressor.flush())
    with bounded(64), pytest.raises(InvalidImageError, match=r"\.dcm: has more than \d+ data el"):
        open_slide(path)


@pytest.mark.parametrize("depth", [150, 2000])
def test_sequences_that_are_nested_deeply_are_damage(written, depth):
    element = b""
    for _ in range(depth):
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(element)) + element
        element = struct.pack("<HH2sHI", 0x40, 0xA730, b"SQ", 0, len(item)) + item
    insert(written, element)
    with pytest.raises(InvalidImageError, match=r"\.dcm: sequences are nested too deeply"):
        open_slide(written)


# DICOM JSON


def test_sequences_of_json_that_are_nested_deeply_are_damage():
    item: dict = {}
    for _ in range(150):
        item = {"0040A730": {"vr": "SQ", "Value": [item]}}
    with pytest.raises(InvalidImageError, match=r"image 1\.2: sequences are nested too deeply"):
        dataset_of_json(item, {}, "image 1.2")


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"{}," * 10_000_000 + b"{}]",
        b'[{"00080018":{"vr":"UI","Value":[' + b"[]," * 10_000_000 + b"[]]}}]",
    ],
    ids=["data sets", "values"],
)
def test_json_of_nothing_but_brackets_is_not_parsed(body):
    with bounded(8), pytest.raises(SourceError, match="brackets"):
        _read_json(Reply("https://example.org/metadata", "application/dicom+json", body))


def test_metadata_of_many_frames_are_parsed():
    items = [
        {"00480221": {"vr": "SQ", "Value": [{"0048021F": {"vr": "SL", "Value": [n]}}]}}
        for n in range(100_000)
    ]
    found = [{"52009230": {"vr": "SQ", "Value": items}}]
    body = json.dumps(found, separators=(",", ":")).encode()
    assert _read_json(Reply("https://example.org/metadata", "", body)) == found


def test_halves_of_characters_in_json_are_replaced():
    body = rb'[{"00080018":{"vr":"UI","Value":["\ud800","\uD83D\uDE00","\\ud800"]}}]'
    (found,) = _read_json(Reply("https://example.org/metadata", "", body))
    assert found["00080018"]["Value"] == [
        "\N{REPLACEMENT CHARACTER}",
        "\N{GRINNING FACE}",
        "\\ud800",
    ]


# Mistakes of this package


@pytest.mark.parametrize("error", [TypeError, KeyError, MemoryError, RuntimeError])
def test_files_are_not_blamed_for_mistakes_of_this_package(written, monkeypatch, error):
    def fail(*args, **options):
        raise error("a mistake")

    monkeypatch.setattr("dicomslide.slide.arrange", fail)
    with pytest.raises(error, match="a mistake") as caught:
        open_slide(written)
    assert not isinstance(caught.value, DicomSlideError)


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize("keyword", ["InstanceNumber", "SeriesNumber", "NumberOfFrames"])
def test_values_that_cannot_be_converted_are_damage(written, keyword):
    dataset = pydicom.dcmread(written)
    tag = dataset.data_element(keyword).tag
    header = struct.pack("<HH2sH", tag.group, tag.element, b"IS", 2)
    data = written.read_bytes()
    place = data.index(header[:6]) + 8
    written.write_bytes(data[:place] + b"x" + data[place + 1 :])
    with pytest.raises(InvalidImageError, match=r"image|dcm"):
        open_slide(written)
