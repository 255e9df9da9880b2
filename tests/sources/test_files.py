"""Image instances in Part 10 files: header and frames as pydicom reads them, and no byte more."""

import pickle
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import generate_frames
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from dicomslide import open_slide
from dicomslide.errors import (
    DicomSlideError,
    FrameError,
    InvalidImageError,
    NoSlideError,
    SourceError,
)
from dicomslide.sources import offsets
from dicomslide.sources.base import FrameSource
from dicomslide.sources.files import open_image_file
from dicomslide.sources.offsets import encapsulated_offsets
from dicomslide.stores.files import FileStore
from dicomslide.stores.protocol import ImageStore
from dicomslide.testing import ParametricMapOptions, SegmentationOptions

NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
ENCAPSULATED = [JPEGBaseline8Bit, JPEG2000Lossless, JPEGLSLossless, RLELossless]
FRAMES = 5 * 4


def expected_frames(path: Path) -> list[bytes]:
    """Frames of a file as pydicom finds them, in whole bytes."""
    dataset = pydicom.dcmread(path)
    count = int(dataset.NumberOfFrames)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        extended = None
        if "ExtendedOffsetTable" in dataset:
            extended = dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths
        found = generate_frames(
            dataset.PixelData, number_of_frames=count, extended_offsets=extended
        )
        return list(found)
    length = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8
    return [dataset.PixelData[n * length : (n + 1) * length] for n in range(count)]


class TestFrames:
    @pytest.mark.parametrize("syntax", [*NATIVE, DeflatedExplicitVRLittleEndian, *ENCAPSULATED])
    def test_frames_are_the_bytes_of_the_file(self, make_slide, syntax):
        path = make_slide(transfer_syntax=syntax).paths[0]
        _, frames = open_image_file(path)
        assert frames.read(range(FRAMES)) == expected_frames(path)
        assert frames.transfer_syntax_uid == syntax

    @pytest.mark.parametrize(
        ("offset_table", "fragments"),
        # An extended offset table has one fragment for each frame
        [("basic", 1), ("basic", 3), ("empty", 1), ("empty", 3), ("extended", 1)],
    )
    def test_every_offset_table_leads_to_the_frames(self, make_slide, offset_table, fragments):
        path = make_slide(
            transfer_syntax=JPEGBaseline8Bit,
            offset_table=offset_table,
            fragments_per_frame=fragments,
        ).paths[0]
        assert open_image_file(path)[1].read(range(FRAMES)) == expected_frames(path)

    @pytest.mark.parametrize("missing", ["ExtendedOffsetTable", "ExtendedOffsetTableLengths"])
    def test_half_of_an_extended_offset_table_is_none(self, make_slide, tmp_path, missing):
        path = make_slide(transfer_syntax=JPEGBaseline8Bit, offset_table="extended").paths[0]
        dataset = pydicom.dcmread(path)
        del dataset[missing]
        dataset.save_as(tmp_path / "half.dcm")
        assert open_image_file(tmp_path / "half.dcm")[1].read(range(FRAMES)) == (
            expected_frames(path)
        )

    def test_frames_are_located_once_by_threads_that_read_side_by_side(
        self, make_slide, monkeypatch
    ):
        path = make_slide(transfer_syntax=JPEGBaseline8Bit, offset_table="empty").paths[0]
        _, frames = open_image_file(path)
        located = []

        def locate(*arguments, **options):
            located.append(arguments)
            time.sleep(0.05)
            return encapsulated_offsets(*arguments, **options)

        monkeypatch.setattr(offsets, "encapsulated_offsets", locate)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(frames.read, [[n] for n in range(FRAMES)]))
        assert [data for (data,) in found] == expected_frames(path)
        assert len(located) == 1

    @pytest.mark.parametrize("bits", [8, 12, 16, 32])
    @pytest.mark.parametrize("syntax", NATIVE)
    def test_frames_may_have_more_than_eight_bits(self, make_slide, bits, syntax):
        path = make_slide(samples=1, bits=bits, transfer_syntax=syntax).paths[0]
        assert open_image_file(path)[1].read(range(FRAMES)) == expected_frames(path)

    @pytest.mark.parametrize(("kind", "dtype"), [("float", "<f4"), ("double", "<f8")])
    def test_frames_may_be_of_floats(self, make_slide, kind, dtype):
        options = ParametricMapOptions(kind, parameters=("eosin",), organization="TILED_FULL")
        written = make_slide(parametric_maps=(options,))
        (parametric_map,) = written.parametric_maps
        dataset, frames = open_image_file(parametric_map.paths[0])
        assert dataset.BitsAllocated == np.dtype(dtype).itemsize * 8
        first = np.frombuffer(frames.read([0])[0], dtype).reshape(16, 24)
        np.testing.assert_array_equal(first, parametric_map.stored(0, 0)[:16, :24])

    @pytest.mark.parametrize("tile", [(16, 24), (7, 9), (3, 5)])
    def test_frames_of_one_bit_are_shifted_to_a_byte(self, make_slide, tile):
        options = SegmentationOptions(segments=("tissue",), tile=tile)
        written = make_slide(segmentations=(options,), size=(40, 30))
        (segmentation,) = written.segmentations
        _, frames = open_image_file(segmentation.paths[0])
        mask = segmentation.mask(0, 1)
        grid = [(r, c) for r in range(0, 40, tile[0]) for c in range(0, 30, tile[1])]
        for (row, column), data in zip(grid, frames.read(range(len(grid))), strict=True):
            bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
            found = bits[: tile[0] * tile[1]].reshape(tile)
            expected = mask[row : row + tile[0], column : column + tile[1]]
            np.testing.assert_array_equal(found[: expected.shape[0], : expected.shape[1]], expected)
            assert len(data) == -(-tile[0] * tile[1] // 8)

    @given(wanted=st.lists(st.integers(0, FRAMES - 1), max_size=30))
    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGBaseline8Bit])
    def test_frames_come_in_the_order_asked_for(self, make_slide, syntax, wanted):
        path = make_slide(transfer_syntax=syntax).paths[0]
        expected = expected_frames(path)
        assert open_image_file(path)[1].read(wanted) == [expected[frame] for frame in wanted]

    @pytest.mark.parametrize("frame", [-1, FRAMES, 10**6])
    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGBaseline8Bit])
    def test_frames_that_are_not_there_are_an_error(self, make_slide, syntax, frame):
        path = make_slide(transfer_syntax=syntax).paths[0]
        with pytest.raises(FrameError, match=rf"{path.name}: frames .{frame + 1}. do not exist"):
            open_image_file(path)[1].read([0, frame])


class TestSource:
    def test_source_has_the_interface_of_sources(self, make_slide):
        path = make_slide().paths[0]
        dataset, frames = open_image_file(path)
        assert isinstance(frames, FrameSource)
        assert isinstance(FileStore(path), ImageStore)
        assert frames.name == str(path.resolve())
        assert frames.sop_instance_uid == dataset.SOPInstanceUID

    @pytest.mark.parametrize("offset_table", ["basic", "empty"])
    def test_pickled_source_has_no_frames_but_what_was_found_of_them(
        self, make_slide, offset_table
    ):
        path = make_slide(transfer_syntax=JPEGBaseline8Bit, offset_table=offset_table).paths[0]
        _, frames = open_image_file(path)
        fresh = len(pickle.dumps(frames))
        expected = frames.read(range(FRAMES))
        data = pickle.dumps(frames)
        assert fresh < 1000 + 4 * FRAMES
        # Starts and ends of eight bytes each
        assert len(data) < fresh + 16 * FRAMES + 500
        assert pickle.loads(data).read(range(FRAMES)) == expected

    def test_token_is_that_of_the_file(self, make_slide, tmp_path):
        path = make_slide().paths[0]
        assert open_image_file(path)[1].token == open_image_file(str(path))[1].token
        copy = tmp_path / "copy.dcm"
        shutil.copy(path, copy)
        assert open_image_file(copy)[1].token != open_image_file(path)[1].token

    def test_store_finds_a_source_by_the_instance(self, make_slide):
        paths = make_slide(factors=(1, 2)).paths
        datasets, sources = zip(*map(open_image_file, paths), strict=True)
        assert FileStore(paths).frame_sources(datasets) == list(sources)
        with pytest.raises(SourceError, match=datasets[1].SOPInstanceUID):
            FileStore(paths[:1]).frame_sources(datasets)


class TestHeader:
    @pytest.mark.parametrize(
        "options",
        [
            {"transfer_syntax": ImplicitVRLittleEndian},
            {"transfer_syntax": ExplicitVRLittleEndian},
            {"transfer_syntax": ExplicitVRBigEndian},
            {"transfer_syntax": DeflatedExplicitVRLittleEndian},
            {"transfer_syntax": JPEGBaseline8Bit, "offset_table": "extended"},
            {"organization": "TILED_SPARSE", "transfer_syntax": ImplicitVRLittleEndian},
            {"organization": "TILED_SPARSE"},
            {"organization": "TILED_SPARSE", "transfer_syntax": ExplicitVRBigEndian},
            {"organization": "TILED_SPARSE", "optical_paths": 2, "focal_planes": 2},
        ],
        ids=str,
    )
    def test_header_is_what_pydicom_reads(self, make_slide, options):
        path = make_slide(**options).paths[0]
        dataset, _ = open_image_file(path)
        expected = pydicom.dcmread(path, stop_before_pixels=True)
        assert dataset == expected
        assert dataset.file_meta == expected.file_meta

    @pytest.mark.parametrize("undefined", [False, True])
    def test_sequences_may_have_a_length_or_none(self, make_slide, tmp_path, undefined):
        written = make_slide(organization="TILED_SPARSE", sparse="shuffled")
        dataset = pydicom.dcmread(written.paths[0])
        for element in dataset.iterall():
            if element.VR == "SQ":
                element.is_undefined_length = undefined
                for item in element.value:
                    item.is_undefined_length_sequence_item = undefined
        path = tmp_path / "sequences.dcm"
        dataset.save_as(path)
        found, frames = open_image_file(path)
        assert found == pydicom.dcmread(path, stop_before_pixels=True)
        assert frames.read(range(FRAMES)) == expected_frames(written.paths[0])
        image = open_slide(path).get_volume_images()[0]
        np.testing.assert_array_equal(
            image.get_total_pixel_matrix().array[...], written.levels[0].pixels()
        )

    def test_private_elements_are_kept(self, make_slide, tmp_path):
        dataset = pydicom.dcmread(make_slide().paths[0])
        block = dataset.private_block(0x0099, "SOMEONE", create=True)
        block.add_new(0x01, "UN", b"\xfe\xff\x00\xe0\x00\x00")
        block.add_new(0x02, "OB", bytes(100_000))
        path = tmp_path / "private.dcm"
        dataset.save_as(path)
        assert open_image_file(path)[0] == pydicom.dcmread(path, stop_before_pixels=True)
        assert open_slide(path).size == (70, 90)

    def test_elements_behind_the_pixel_data_do_no_harm(self, make_slide, tmp_path):
        dataset = pydicom.dcmread(make_slide().paths[0])
        dataset.add_new(0xFFFCFFFC, "OB", bytes(50))
        path = tmp_path / "trailing.dcm"
        dataset.save_as(path)
        assert open_image_file(path)[1].read(range(FRAMES)) == expected_frames(path)


class TestOtherFiles:
    @pytest.mark.parametrize(
        ("content", "error"),
        [
            (b"", NoSlideError),
            (b"text", NoSlideError),
            (b"text" * 1000, NoSlideError),
            (bytes(128) + b"DICM", NoSlideError),
            (bytes(128) + b"DICM" + bytes(1000), DicomSlideError),
            (bytes(128) + b"DICM" + b"\xff" * 1000, DicomSlideError),
        ],
    )
    def test_other_files_are_named_in_errors(self, tmp_path, content, error):
        path = tmp_path / "other.dcm"
        path.write_bytes(content)
        with pytest.raises(error, match=r"other\.dcm"):
            open_image_file(path)

    def test_missing_file_and_folder_are_errors(self, tmp_path):
        with pytest.raises(SourceError, match=r"missing\.dcm"):
            open_image_file(tmp_path / "missing.dcm")
        with pytest.raises(SourceError, match=tmp_path.name):
            open_image_file(tmp_path)

    def test_dicom_file_that_is_no_image_is_an_error(self):
        with pytest.raises(NoSlideError, match=r"reportsi\.dcm.*not an image"):
            open_image_file(pydicom.data.get_testdata_file("reportsi.dcm"))

    def test_image_of_another_kind_is_opened(self):
        dataset, frames = open_image_file(pydicom.data.get_testdata_file("CT_small.dcm"))
        assert dataset.Modality == "CT"
        assert len(frames.read([0])[0]) == 128 * 128 * 2

    @pytest.mark.parametrize(
        "syntax", [ExplicitVRLittleEndian, JPEGBaseline8Bit, DeflatedExplicitVRLittleEndian]
    )
    @pytest.mark.parametrize("organization", ["TILED_FULL", "TILED_SPARSE"])
    def test_truncated_file_is_an_error_with_its_name(
        self, make_slide, tmp_path, syntax, organization
    ):
        data = make_slide(transfer_syntax=syntax, organization=organization).paths[0].read_bytes()
        path = tmp_path / "cut.dcm"
        for end in np.linspace(140, len(data) - 20, 40).astype(int):
            path.write_bytes(data[:end])
            with pytest.raises((ValueError, OSError), match=r"cut\.dcm") as caught:
                open_image_file(path)[1].read(range(FRAMES))
            assert isinstance(caught.value, DicomSlideError)

    def test_pixel_data_that_are_too_short_for_the_frames_are_an_error(self, make_slide, tmp_path):
        dataset = pydicom.dcmread(make_slide().paths[0])
        dataset.PixelData = dataset.PixelData[:-100]
        dataset.save_as(tmp_path / "short.dcm")
        with pytest.raises(InvalidImageError, match=r"short\.dcm.*bytes"):
            open_image_file(tmp_path / "short.dcm")


class TestBytesThatAreRead:
    """Only headers, offset tables and the frames that are asked for."""

    SIDE, TILES = 256, 64

    @pytest.fixture
    def large(self, make_slide, tmp_path) -> Path:
        """An uncompressed slide of 805 MB, nearly all of it a hole in the file."""
        dataset = pydicom.dcmread(make_slide().paths[0], stop_before_pixels=True)
        dataset.Rows = dataset.Columns = self.SIDE
        dataset.TotalPixelMatrixRows = dataset.TotalPixelMatrixColumns = self.SIDE * self.TILES
        dataset.NumberOfFrames = self.TILES**2
        path = tmp_path / "large.dcm"
        dcmwrite(path, dataset)
        length = 3 * self.SIDE**2 * self.TILES**2
        with path.open("r+b") as file:
            file.seek(0, 2)
            file.write(b"\xe0\x7f\x10\x00OB\0\0" + length.to_bytes(4, "little"))
            file.truncate(file.tell() + length)
        return path

    @staticmethod
    def count() -> int:
        """Bytes that this process has read so far."""
        text = Path("/proc/self/io").read_text()
        return int(text.split()[1])

    @pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system does not count them")
    def test_opening_reads_the_header_and_a_region_its_frames(self, large):
        # What the first use of codecs and data dictionaries reads is not to be counted
        open_slide(large).get_image_region((0, 0), 0, (1, 1))
        start = self.count()
        slide = open_slide(large, max_frame_cache_size=0)
        opened = self.count()
        # The first bytes are read once, though the kind of the file is told from them first
        assert opened - start < 80_000
        slide.get_image_region((1000, 1000), 0, (2 * self.SIDE, 2 * self.SIDE))
        # Columns 1000 to 1511 touch three tiles of 256; of these 512 rows are read
        needed = 3 * 512 * 3 * self.SIDE
        assert needed <= self.count() - opened < needed + 20_000
