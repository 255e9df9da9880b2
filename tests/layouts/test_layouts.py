"""Every layout that a slide can be stored in shows the same pixels through `open_slide`."""

import io
import os
import struct
from copy import deepcopy
from pathlib import Path
from typing import ClassVar

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from dicomslide import DicomSlideError, open_slide
from dicomslide.errors import FrameError, InvalidImageError
from dicomslide.testing import SegmentationOptions, SyntheticSlide
from tests.layouts.small import GRID, JPEG, SIZE, SPARSE, TILE, edit, read_all

PER_FRAME_GROUPS = 0x52009230
ITEM = b"\xfe\xff\x00\xe0"
END = b"\xfe\xff\xdd\xe0" + bytes(4)
PIXEL_DATA = b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"


# Encapsulated frames and their offset tables (PS3.5 A.4)


@pytest.fixture(scope="module")
def jpeg_frames(make_slide) -> tuple[Dataset, list[bytes]]:
    """A data set without pixel data, and the JPEG streams of its frames."""
    dataset = pydicom.dcmread(make_slide(**JPEG).paths[0])
    frames = list(generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames))
    del dataset.PixelData
    return dataset, frames


@pytest.fixture(scope="module")
def jpeg_pixels(jpeg_frames) -> NDArray:
    """What Pillow decodes the frames to, put together along the rows of the grid."""
    tiles = [np.asarray(Image.open(io.BytesIO(frame))) for frame in jpeg_frames[1]]
    rows = [np.hstack(tiles[i : i + GRID[1]]) for i in range(0, len(tiles), GRID[1])]
    return np.vstack(rows)[: SIZE[0], : SIZE[1]]


def make_item(data: bytes) -> bytes:
    return ITEM + struct.pack("<I", len(data) + len(data) % 2) + data + bytes(len(data) % 2)


def split(data: bytes, parts: int) -> list[bytes]:
    """Split a frame into fragments of even length, the last of which may be longer."""
    step = len(data) // parts // 2 * 2
    cuts = [step * i for i in range(parts)]
    return [data[a:b] for a, b in zip(cuts, [*cuts[1:], len(data)], strict=True)]


def offsets_of(frames: list[list[bytes]]) -> list[int]:
    """Offset of each frame's first item from the first item of all."""
    lengths = [sum(len(make_item(fragment)) for fragment in frame) for frame in frames]
    return [sum(lengths[:i]) for i in range(len(lengths))]


def store(
    path: Path, dataset: Dataset, frames: list[list[bytes]], table: bytes = b"", end: bytes = END
) -> Path:
    """Write frames of fragments as the Pixel Data of a data set."""
    with path.open("wb") as file:
        pydicom.dcmwrite(file, dataset, enforce_file_format=True)
        file.write(PIXEL_DATA + make_item(table))
        file.writelines(make_item(fragment) for frame in frames for fragment in frame)
        file.write(end)
    return path


class TestOffsetTables:
    @pytest.mark.parametrize("table", ["basic", "empty", "extended"])
    def test_each_kind_of_table_leads_to_the_frames(self, make_slide, jpeg_pixels, table):
        assert np.array_equal(read_all(make_slide(**JPEG, offset_table=table).folder), jpeg_pixels)

    @pytest.mark.parametrize("count", [2, 3, 7])
    @pytest.mark.parametrize("table", ["basic", "empty", "extended"])
    def test_a_frame_may_have_several_fragments(
        self, tmp_path, jpeg_frames, jpeg_pixels, table, count
    ):
        dataset, streams = jpeg_frames
        frames = [split(stream, count) for stream in streams]
        offsets, basic = offsets_of(frames), b""
        if table == "basic":
            basic = struct.pack(f"<{len(offsets)}I", *offsets)
        elif table == "extended":
            # Not allowed with several fragments (PS3.3 C.7.6.3.1.8), but it can be understood
            dataset = deepcopy(dataset)
            lengths = [sum(len(make_item(part)) for part in frame) - 8 for frame in frames]
            dataset.ExtendedOffsetTable = struct.pack(f"<{len(offsets)}Q", *offsets)
            dataset.ExtendedOffsetTableLengths = struct.pack(f"<{len(lengths)}Q", *lengths)
        path = store(tmp_path / "slide.dcm", dataset, frames, basic)
        assert np.array_equal(read_all(path), jpeg_pixels)

    def test_frames_may_have_different_numbers_of_fragments(
        self, tmp_path, jpeg_frames, jpeg_pixels
    ):
        dataset, streams = jpeg_frames
        frames = [split(stream, 1 + number % 4) for number, stream in enumerate(streams)]
        assert np.array_equal(read_all(store(tmp_path / "a.dcm", dataset, frames)), jpeg_pixels)

    def test_fragments_that_cannot_be_told_apart_are_an_error(self, tmp_path, jpeg_frames):
        dataset, streams = jpeg_frames
        frames = [[stream] for stream in streams]
        frames[3] = [b"", *split(streams[3], 2)]
        frames[4] = [b"\0\0" + streams[4]]
        path = store(tmp_path / "slide.dcm", dataset, frames)
        with pytest.raises(FrameError, match=r"slide\.dcm: 22 fragments .* 20 frames"):
            read_all(path)

    def test_a_single_frame_has_all_fragments(self, tmp_path, jpeg_frames, jpeg_pixels):
        dataset, streams = deepcopy(jpeg_frames)
        dataset.NumberOfFrames = 1
        dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = TILE
        path = store(tmp_path / "slide.dcm", dataset, [split(streams[0], 5)])
        assert np.array_equal(read_all(path), jpeg_pixels[: TILE[0], : TILE[1]])

    @pytest.mark.parametrize("entries", [1, 19, 21, 40])
    def test_a_table_of_another_number_of_frames_is_passed_over(
        self, tmp_path, jpeg_frames, jpeg_pixels, entries
    ):
        dataset, streams = jpeg_frames
        frames = [[stream] for stream in streams]
        table = struct.pack(f"<{entries}I", *(8 * i for i in range(entries)))
        path = store(tmp_path / "slide.dcm", dataset, frames, table)
        assert np.array_equal(read_all(path), jpeg_pixels)

    @pytest.mark.parametrize("table", ["basic", "extended"])
    @pytest.mark.parametrize(
        ("shift", "message"), [(2, "no item|exceeds its frame"), (10**6, "truncated")]
    )
    def test_a_table_that_points_elsewhere_is_an_error(
        self, tmp_path, jpeg_frames, table, shift, message
    ):
        dataset, streams = deepcopy(jpeg_frames)
        frames = [[stream] for stream in streams]
        offsets, basic = offsets_of(frames), b""
        offsets[5:] = [offset + shift for offset in offsets[5:]]
        if table == "basic":
            basic = struct.pack("<20I", *offsets)
        else:
            dataset.ExtendedOffsetTable = struct.pack("<20Q", *offsets)
            dataset.ExtendedOffsetTableLengths = struct.pack("<20Q", *map(len, streams))
        path = store(tmp_path / "slide.dcm", dataset, frames, basic)
        with pytest.raises(DicomSlideError, match=rf"slide\.dcm.*({message})"):
            read_all(path)

    @pytest.mark.parametrize("broken", ["ExtendedOffsetTable", "ExtendedOffsetTableLengths"])
    @pytest.mark.parametrize("value", [b"", bytes(8), bytes(12), b"\xff" * 160])
    def test_a_broken_extended_table_is_an_error(self, tmp_path, jpeg_frames, broken, value):
        dataset, streams = deepcopy(jpeg_frames)
        frames = [[stream] for stream in streams]
        dataset.ExtendedOffsetTable = struct.pack("<20Q", *offsets_of(frames))
        dataset.ExtendedOffsetTableLengths = struct.pack("<20Q", *map(len, streams))
        setattr(dataset, broken, value)
        path = store(tmp_path / "slide.dcm", dataset, frames)
        with pytest.raises(DicomSlideError, match=r"slide\.dcm.*(offset table|truncated|exceeds)"):
            read_all(path)


class TestEndOfPixelData:
    @pytest.mark.parametrize("table", [True, False])
    @pytest.mark.parametrize(
        "end",
        [
            END + bytes(512),
            END + b"\xfc\xff\xfc\xffOB\x00\x00\x06\x00\x00\x00" + bytes(6),
            b"",
            END[:4],
        ],
        ids=["zeros", "Data Set Trailing Padding", "no delimiter", "half a delimiter"],
    )
    def test_bytes_behind_the_last_frame_do_not_matter(
        self, tmp_path, jpeg_frames, jpeg_pixels, table, end
    ):
        dataset, streams = jpeg_frames
        frames = [[stream] for stream in streams]
        offsets = struct.pack("<20I", *offsets_of(frames)) if table else b""
        path = store(tmp_path / "slide.dcm", dataset, frames, offsets, end)
        assert np.array_equal(read_all(path), jpeg_pixels)

    def test_native_pixels_may_be_followed_by_padding(self, copy_slide):
        written, (path,) = copy_slide()
        with path.open("ab") as file:
            file.write(b"\xfc\xff\xfc\xffOB\x00\x00\x06\x00\x00\x00" + bytes(6))
        assert np.array_equal(read_all(path), written.levels[0].pixels())

    @pytest.mark.parametrize("table", [True, False])
    @pytest.mark.parametrize("kept", [0.2, 0.5, 0.97, 0.999])
    def test_frames_that_are_cut_off_are_an_error(self, tmp_path, jpeg_frames, table, kept):
        dataset, streams = jpeg_frames
        frames = [[stream] for stream in streams]
        offsets = struct.pack("<20I", *offsets_of(frames)) if table else b""
        path = store(tmp_path / "slide.dcm", dataset, frames, offsets, end=b"")
        header = path.read_bytes().rindex(PIXEL_DATA) + len(PIXEL_DATA) + 88
        size = path.stat().st_size
        os.truncate(path, header + int((size - header) * kept))
        with pytest.raises(DicomSlideError, match=r"slide\.dcm.*truncated"):
            read_all(path)

    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGBaseline8Bit])
    def test_an_image_that_is_cut_off_before_its_pixels_is_an_error(self, copy_slide, syntax):
        _, (path,) = copy_slide(transfer_syntax=syntax)
        os.truncate(path, path.read_bytes().rindex(b"\xe0\x7f\x10\x00OB"))
        for source in (path, path.parent):
            with pytest.raises(InvalidImageError, match=r"level-0\.dcm.*truncated"):
                open_slide(source)

    def test_compressed_pixel_data_with_a_length_are_an_error(self, copy_slide):
        _, (path,) = copy_slide(**JPEG)
        data = path.read_bytes()
        path.write_bytes(data.replace(PIXEL_DATA, PIXEL_DATA[:8] + b"\x00\x10\x00\x00"))
        with pytest.raises(InvalidImageError, match=r"level-0\.dcm: compressed Pixel Data"):
            open_slide(path)

    def test_native_pixel_data_without_a_length_are_an_error(self, copy_slide):
        _, (path,) = copy_slide()
        data = path.read_bytes()
        start = data.rindex(b"\xe0\x7f\x10\x00OB\x00\x00") + 8
        path.write_bytes(data[:start] + b"\xff\xff\xff\xff" + data[start + 4 :])
        with pytest.raises(InvalidImageError, match=r"level-0\.dcm.*Pixel Data"):
            open_slide(path)


class TestLargeFiles:
    """Frames beyond 4 GiB, where basic offset tables end. The files are mostly holes."""

    HOLE = 5 << 29

    @pytest.fixture
    def holes(self, tmp_path) -> None:
        path = tmp_path / "holes"
        with path.open("wb") as file:
            file.truncate(1 << 26)
        if os.stat(path).st_blocks * 512 > 1 << 20:
            pytest.skip("the file system of the temporary folder has no holes in files")
        path.unlink()

    @pytest.mark.usefixtures("holes")
    @pytest.mark.parametrize("table", ["basic", "empty", "extended"])
    def test_frames_beyond_4_gib_are_read(self, tmp_path, jpeg_frames, jpeg_pixels, table):
        dataset, streams = deepcopy(jpeg_frames)
        streams = streams[: 4 * GRID[1] : GRID[1]]
        dataset.NumberOfFrames = 4
        dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = 4 * TILE[0], TILE[1]
        # The first two frames are followed by nothing for 2.5 GiB each
        lengths = [self.HOLE, self.HOLE, *(len(make_item(stream)) - 8 for stream in streams[2:])]
        offsets = [sum(lengths[:i]) + 8 * i for i in range(4)]
        basic = b""
        if table == "basic":
            basic = struct.pack("<4I", *(offset % 2**32 for offset in offsets))
        elif table == "extended":
            dataset.ExtendedOffsetTable = struct.pack("<4Q", *offsets)
            dataset.ExtendedOffsetTableLengths = struct.pack("<4Q", *lengths)
        path = store(tmp_path / "slide.dcm", dataset, [], basic, end=b"")
        start = path.stat().st_size
        with path.open("r+b") as file:
            for offset, length, stream in zip(offsets, lengths, streams, strict=True):
                file.seek(start + offset)
                file.write(ITEM + struct.pack("<I", length) + stream)
            file.seek(start + offsets[-1] + 8 + lengths[-1])
            file.write(END)
        assert path.stat().st_size > 5 << 30
        slide = open_slide(path, correct_color=False)
        region = slide.get_image_region((2 * TILE[0], 0), 0, (2 * TILE[0], TILE[1]))
        assert np.array_equal(region, jpeg_pixels[2 * TILE[0] : 4 * TILE[0], : TILE[1]])


# Where frames lie (PS3.3 C.7.6.17.3)


class TestTiledFull:
    def test_one_instance_may_have_several_optical_paths_and_focal_planes(self, make_slide):
        written = make_slide(optical_paths=3, focal_planes=2, samples=1)
        slide = open_slide(written.folder)
        for path in range(3):
            for plane in range(2):
                expected = written.levels[0].pixels(path, plane)
                assert np.array_equal(read_all(slide, path, plane), expected)

    def test_frames_run_along_rows_then_planes_then_optical_paths(self, copy_slide):
        _, (path,) = copy_slide(optical_paths=2, focal_planes=3, samples=1)
        # Each frame shows its own number
        numbers = np.arange(2 * 3 * 5 * 4, dtype=np.uint8)

        def number_frames(dataset: Dataset) -> None:
            dataset.PixelData = np.repeat(numbers, TILE[0] * TILE[1]).tobytes()

        slide = open_slide(edit(path, number_frames))
        numbers = numbers.reshape(2, 3, 5, 4)
        for channel in range(2):
            for plane in range(3):
                shown = read_all(slide, channel, plane)[:: TILE[0], :: TILE[1], 0]
                assert np.array_equal(shown, numbers[channel, plane])

    def test_segments_come_after_one_another(self, make_slide):
        written = make_slide(segmentations=(SegmentationOptions(organization="TILED_FULL"),))
        slide = open_slide(written.folder)
        for number in (1, 2, 3):
            (channel,) = slide.find_segments(number=number)
            expected = written.segmentations[0].mask(0, number)
            assert np.array_equal(read_all(slide, channel)[..., 0], expected)

    def test_each_optical_path_and_focal_plane_may_have_its_own_instance(self, make_slide):
        written = make_slide(
            optical_paths=2,
            focal_planes=2,
            samples=1,
            optical_paths_in="each",
            focal_planes_in="each",
        )
        assert len(written.paths) == 4
        slide = open_slide(written.folder)
        assert (slide.num_channels, slide.num_focal_planes) == (2, 2)
        for path in range(2):
            for plane in range(2):
                expected = written.levels[0].pixels(path, plane)
                assert np.array_equal(read_all(slide, path, plane), expected)

    def test_focal_planes_need_a_distance(self, copy_slide):
        _, (path,) = copy_slide(focal_planes=2)

        def forget(dataset: Dataset) -> None:
            del (
                dataset.SharedFunctionalGroupsSequence[0]
                .PixelMeasuresSequence[0]
                .SpacingBetweenSlices
            )

        with pytest.raises(InvalidImageError, match="Spacing Between Slices"):
            open_slide(edit(path, forget))

    @pytest.mark.parametrize("count", [19, 21])
    def test_a_frame_too_many_or_too_few_is_an_error(self, copy_slide, count):
        _, (path,) = copy_slide()

        def miscount(dataset: Dataset) -> None:
            dataset.NumberOfFrames = count
            dataset.PixelData = bytes(count * TILE[0] * TILE[1] * 3)

        with pytest.raises(InvalidImageError, match=rf"Number of Frames is {count}.* 20"):
            open_slide(edit(path, miscount))


class TestTiledSparse:
    @pytest.mark.parametrize("organization", ["TILED_SPARSE", None])
    @pytest.mark.parametrize("sparse", ["complete", "gaps", "shuffled", "off-grid", "overlapping"])
    def test_frames_lie_where_they_say(self, make_slide, sparse, organization):
        written = make_slide(organization=organization, sparse=sparse)
        assert np.array_equal(read_all(written.folder), written.levels[0].pixels())

    @pytest.mark.parametrize("sparse", ["gaps", "shuffled", "overlapping"])
    def test_frames_of_optical_paths_and_focal_planes_lie_where_they_say(self, make_slide, sparse):
        written = make_slide(**SPARSE, sparse=sparse, optical_paths=2, focal_planes=3, samples=1)
        slide = open_slide(written.folder)
        for path in range(2):
            for plane in range(3):
                expected = written.levels[0].pixels(path, plane)
                assert np.array_equal(read_all(slide, path, plane), expected)

    def test_frames_of_segments_without_empty_frames_lie_where_they_say(self, make_slide):
        options = SegmentationOptions(organization="TILED_SPARSE", omit_empty_frames=True)
        written = make_slide(segmentations=(options,))
        slide = open_slide(written.folder)
        for number in (1, 2, 3):
            (channel,) = slide.find_segments(number=number)
            expected = written.segmentations[0].mask(0, number)
            assert np.array_equal(read_all(slide, channel)[..., 0], expected)

    def test_gaps_are_background(self, make_slide):
        written = make_slide(**SPARSE, sparse="gaps", seed=7)
        missing = written.levels[0].missing()
        assert missing.any()
        assert (read_all(written.folder)[missing] == 255).all()

    def test_the_later_of_two_frames_at_one_place_is_on_top(self, copy_slide):
        _, (path,) = copy_slide(**SPARSE, size=(16, 24))

        def repeat(dataset: Dataset) -> None:
            item = dataset.PerFrameFunctionalGroupsSequence[0]
            dataset.PerFrameFunctionalGroupsSequence = [deepcopy(item) for _ in range(3)]
            dataset.NumberOfFrames = 3
            pixels = np.repeat(np.array([10, 30, 20], np.uint8), 16 * 24 * 3)
            dataset.PixelData = pixels.tobytes()

        assert (read_all(edit(path, repeat)) == 20).all()

    @pytest.mark.parametrize("organization", ["TILED_SPARSE", None])
    def test_a_position_may_be_in_the_shared_group(self, copy_slide, organization):
        written, (path,) = copy_slide(**SPARSE, size=(16, 24))

        def share(dataset: Dataset) -> None:
            position = dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSlideSequence
            position[0].RowPositionInTotalImagePixelMatrix = 6
            position[0].ColumnPositionInTotalImagePixelMatrix = 3
            dataset.SharedFunctionalGroupsSequence[0].PlanePositionSlideSequence = position
            del dataset.PerFrameFunctionalGroupsSequence
            dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = 40, 30
            dataset.DimensionOrganizationType = organization
            if organization is None:
                del dataset.DimensionOrganizationType

        expected = np.full((40, 30, 3), 255, np.uint8)
        expected[5:21, 2:26] = written.levels[0].pixels()
        assert np.array_equal(read_all(edit(path, share)), expected)

    def test_frames_may_reach_beyond_every_edge(self, copy_slide):
        written, (path,) = copy_slide(**SPARSE, size=(16, 24))

        def move(dataset: Dataset) -> None:
            (item,) = dataset.PerFrameFunctionalGroupsSequence
            item.PlanePositionSlideSequence[0].RowPositionInTotalImagePixelMatrix = -3
            item.PlanePositionSlideSequence[0].ColumnPositionInTotalImagePixelMatrix = 15

        expected = np.full((16, 24, 3), 255, np.uint8)
        expected[:12, 14:] = written.levels[0].pixels()[4:, :10]
        assert np.array_equal(read_all(edit(path, move)), expected)

    def test_a_frame_outside_the_matrix_is_an_error(self, copy_slide):
        _, (path,) = copy_slide(**SPARSE)

        def move(dataset: Dataset) -> None:
            item = dataset.PerFrameFunctionalGroupsSequence[6]
            item.PlanePositionSlideSequence[0].RowPositionInTotalImagePixelMatrix = 71

        with pytest.raises(InvalidImageError, match=r"frame 7 .*\(70, 48\).* 70 x 90"):
            read_all(edit(path, move))

    def test_several_frames_without_any_position_are_an_error(self, copy_slide):
        _, (path,) = copy_slide(**SPARSE)

        def forget(dataset: Dataset) -> None:
            del dataset.PerFrameFunctionalGroupsSequence

        with pytest.raises(InvalidImageError, match="no Plane Position"):
            read_all(edit(path, forget))

    def test_a_matrix_of_any_size_takes_little_memory(self, copy_slide):
        """The grid of a sparse matrix may have far more places than frames."""
        written, (path,) = copy_slide(**SPARSE, size=(16, 24))

        def enlarge(dataset: Dataset) -> None:
            dataset.TotalPixelMatrixRows = dataset.TotalPixelMatrixColumns = 2**32 - 1

        slide = open_slide(edit(path, enlarge), correct_color=False)
        region = slide.get_image_region((0, 0), 0, (20, 30))
        assert np.array_equal(region[:16, :24], written.levels[0].pixels())
        assert (region[16:] == 255).all()


def delimit(dataset: Dataset, outer: bool = True, inner: bool = True) -> None:
    """Have sequences end with a delimiter: the outermost ones, those within, or both."""
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = outer
            for item in element.value:
                item.is_undefined_length_sequence_item = inner
                delimit(item, inner, inner)


class TestFunctionalGroups:
    """Each encoding of the Per-Frame Functional Groups says the same."""

    # Frames in no order, over two optical paths
    OPTIONS: ClassVar = {**SPARSE, "sparse": "shuffled", "optical_paths": 2, "samples": 1}

    def check(self, written: SyntheticSlide, path: Path, *, parsed: bool = False) -> None:
        slide = open_slide(path)
        for channel in range(2):
            expected = written.levels[0].pixels(channel)
            assert np.array_equal(read_all(slide, channel), expected)
        dataset = slide.get_volume_images(0)[0].metadata
        element = dataset.get_item(PER_FRAME_GROUPS)
        assert isinstance(element, RawDataElement) == (not parsed)

    @pytest.mark.parametrize("outer", [True, False])
    @pytest.mark.parametrize("inner", [True, False])
    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    def test_items_may_be_of_defined_or_undefined_length(self, copy_slide, syntax, outer, inner):
        written, (path,) = copy_slide(**self.OPTIONS, transfer_syntax=syntax)
        edit(path, lambda dataset: delimit(dataset, outer, inner))
        self.check(written, path)

    @pytest.mark.parametrize(
        "syntax",
        [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian],
    )
    def test_items_that_are_alike_are_not_parsed(self, make_slide, syntax):
        written = make_slide(**self.OPTIONS, transfer_syntax=syntax)
        self.check(written, written.paths[0])

    def test_big_endian_items_are_parsed(self, make_slide):
        written = make_slide(**self.OPTIONS, transfer_syntax=ExplicitVRBigEndian)
        self.check(written, written.paths[0], parsed=True)

    def test_items_that_differ_are_parsed(self, copy_slide):
        written, (path,) = copy_slide(**self.OPTIONS)

        def comment(dataset: Dataset) -> None:
            item = dataset.PerFrameFunctionalGroupsSequence[5]
            item.FrameContentSequence[0].FrameComments = "out of focus"

        edit(path, comment)
        self.check(written, path, parsed=True)

    def test_items_in_any_order_of_length_are_not_parsed(self, copy_slide):
        written, (path,) = copy_slide(**self.OPTIONS)

        def lengthen(dataset: Dataset) -> None:
            for number, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
                position = item.PlanePositionSlideSequence[0]
                position.ZOffsetInSlideCoordinateSystem = "0." + number % 7 * "00"
                item.FrameContentSequence[0].FrameComments = number % 5 * "good "

        edit(path, lengthen)
        self.check(written, path)

    @pytest.mark.parametrize("undefined", [True, False])
    def test_another_sequence_may_follow_the_functional_groups(self, copy_slide, undefined):
        written, (path,) = copy_slide(**self.OPTIONS)

        def append(dataset: Dataset) -> None:
            delimit(dataset)
            block = dataset.private_block(0x7FDF, "DICOMSLIDE TEST", create=True)
            block.add_new(1, "SQ", [Dataset()])
            dataset[0x7FDF1001].is_undefined_length = undefined

        edit(path, append)
        slide = open_slide(path)
        for channel in range(2):
            expected = written.levels[0].pixels(channel)
            assert np.array_equal(read_all(slide, channel), expected)

    def test_a_frame_without_groups_is_an_error(self, copy_slide):
        _, (path,) = copy_slide(**self.OPTIONS)
        edit(path, lambda dataset: dataset.PerFrameFunctionalGroupsSequence.pop())
        with pytest.raises(InvalidImageError, match=r"39 items .* 40 frames"):
            read_all(path)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
    ],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_each_native_transfer_syntax_is_read(make_slide, syntax, sparse, bits):
    options = {**SPARSE, "sparse": "shuffled"} if sparse else {}
    written = make_slide(
        **options, transfer_syntax=syntax, bits=bits, samples=3 if bits == 8 else 1
    )
    assert np.array_equal(read_all(written.folder), written.levels[0].pixels())


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_deflated_data_set_that_is_cut_off_is_an_error(copy_slide, kept):
    _, (path,) = copy_slide(transfer_syntax=DeflatedExplicitVRLittleEndian)
    os.truncate(path, int(path.stat().st_size * kept))
    with pytest.raises(DicomSlideError, match=r"level-0\.dcm"):
        read_all(path)
