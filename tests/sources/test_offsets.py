"""Where encapsulated frames lie, for every kind of offset table, as pydicom encapsulates them."""

import struct
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import encapsulate, encapsulate_extended

from dicomslide.errors import FrameError
from dicomslide.sources.offsets import FrameIndex, encapsulated_offsets, join_fragments

HEAD = b"head of the file"
ITEM, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
NAME = "slide.dcm"
FRAMES = [b"\xff\xd8" + bytes([65 + n]) * (2 * n + 3) for n in range(5)]


class Bytes:
    """A file in memory, and how many of its bytes were read."""

    def __init__(self, value: bytes) -> None:
        self.data = HEAD + value
        self.count = 0

    def read(self, ranges):
        self.count += sum(length for _, length in ranges)
        return [self.data[offset : offset + length] for offset, length in ranges]


def find(file: Bytes, count: int, extended=None) -> list[bytes]:
    """Frames of a file in memory."""
    index = FrameIndex(len(HEAD), count, extended=extended)
    found = index.offsets(file.read, len(file.data), NAME, 8, range(count))
    return [
        join_fragments(file.data[start:end], NAME)
        for start, end in zip(found.starts, found.ends, strict=True)
    ]


def item(data: bytes) -> bytes:
    return ITEM + struct.pack("<I", len(data)) + data


def padded(frames) -> list[bytes]:
    """Frames as they are stored: with an even number of bytes (PS3.5 A.4)."""
    return [frame + bytes(len(frame) % 2) for frame in frames]


frames_of_any_size = st.lists(
    st.binary(min_size=1, max_size=40).map(lambda data: b"\xff\xd8" + data), min_size=1, max_size=12
)


class TestTables:
    @given(frames=frames_of_any_size, delimited=st.booleans())
    def test_basic_offset_table_leads_to_the_frames(self, frames, delimited):
        value = encapsulate(frames) + DELIMITER * delimited
        assert find(Bytes(value), len(frames)) == padded(frames)

    @given(frames=frames_of_any_size, delimited=st.booleans())
    def test_empty_offset_table_leads_to_the_frames(self, frames, delimited):
        value = encapsulate(frames, has_bot=False) + DELIMITER * delimited
        assert find(Bytes(value), len(frames)) == padded(frames)

    @given(frames=frames_of_any_size)
    def test_extended_offset_table_leads_to_the_frames(self, frames):
        value, *extended = encapsulate_extended(frames)
        assert find(Bytes(value + DELIMITER), len(frames), tuple(extended)) == padded(frames)

    @pytest.mark.parametrize("even", [False, True])
    def test_lengths_of_an_extended_table_may_leave_out_the_padding(self, even):
        lengths = [len(frame) + even * (len(frame) % 2) for frame in FRAMES]
        items = [item(frame) for frame in padded(FRAMES)]
        starts = [0, *accumulate(map(len, items))][:-1]
        extended = (struct.pack("<5Q", *starts), struct.pack("<5Q", *lengths))
        value = item(b"") + b"".join(items) + DELIMITER
        assert find(Bytes(value), 5, extended) == padded(FRAMES)

    @pytest.mark.parametrize("has_bot", [False, True])
    @pytest.mark.parametrize("fragments", [2, 3])
    def test_frames_may_have_several_fragments(self, fragments, has_bot):
        value = encapsulate(FRAMES, fragments_per_frame=fragments, has_bot=has_bot) + DELIMITER
        assert find(Bytes(value), 5) == padded(FRAMES)

    @pytest.mark.parametrize("fragments", [1, 2, 4])
    def test_all_fragments_are_those_of_a_single_frame(self, fragments):
        frame = b"no codestream starts like this"
        value = encapsulate([frame], fragments_per_frame=fragments, has_bot=False) + DELIMITER
        assert find(Bytes(value), 1) == [frame]

    @pytest.mark.parametrize(
        "start", [b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\xff\x0a", bytes(3) + b"\x0c"]
    )
    def test_fragments_are_told_apart_by_how_codestreams_start(self, start):
        frames = [start + bytes([n]) * 20 for n in range(1, 4)]
        value = encapsulate(frames, fragments_per_frame=3, has_bot=False) + DELIMITER
        assert find(Bytes(value), 3) == padded(frames)

    def test_fragments_may_begin_like_codestreams_of_another_kind(self):
        frames = [b"\xff\xd8" + bytes(10), b"\xff\xd8" + bytes(8)]
        box = bytes(3) + b"\x0c" + bytes(8)
        value = b"".join(map(item, (b"", frames[0], box, frames[1], box))) + DELIMITER
        assert find(Bytes(value), 2) == [frame + box for frame in frames]

    @pytest.mark.parametrize(
        "table", [(1, 2, 3, 4, 5), (0, 0, 0, 0, 0), (0, 40, 20, 60, 80), (0, 14), tuple(range(6))]
    )
    def test_wrong_table_is_not_used(self, table):
        items = b"".join(item(frame) for frame in padded(FRAMES))
        value = item(struct.pack(f"<{len(table)}I", *table)) + items + DELIMITER
        assert find(Bytes(value), 5) == padded(FRAMES)

    def test_with_a_table_no_frame_is_read(self):
        frames = [b"\xff\xd8" + bytes(10_000)] * 20
        for value, extended in (
            (encapsulate(frames), None),
            ((whole := encapsulate_extended(frames))[0], whole[1:]),
        ):
            file = Bytes(value + DELIMITER)
            encapsulated_offsets(file.read, NAME, len(HEAD), len(file.data), 20, extended)
            assert file.count < 200

    def test_without_a_table_only_the_headers_of_items_are_read(self):
        frames = [b"\xff\xd8" + bytes(10_000)] * 20
        file = Bytes(encapsulate(frames, has_bot=False) + DELIMITER)
        encapsulated_offsets(file.read, NAME, len(HEAD), len(file.data), 20, None)
        assert file.count < 20 * 16 + 100


class TestSteps:
    """Items of files at other places are walked in blocks instead of one by one."""

    @given(frames=frames_of_any_size, step=st.integers(8, 200), delimited=st.booleans())
    def test_steps_of_any_size_find_the_same_frames(self, frames, step, delimited):
        file = Bytes(encapsulate(frames, has_bot=False) + DELIMITER * delimited)
        arguments = file.read, NAME, len(HEAD), len(file.data), len(frames), None
        found, expected = encapsulated_offsets(*arguments, step), encapsulated_offsets(*arguments)
        assert found.starts.tolist() == expected.starts.tolist()
        assert found.ends.tolist() == expected.ends.tolist()

    def test_few_reads_find_the_items(self):
        frames = [b"\xff\xd8" + bytes(998)] * 100
        file = Bytes(encapsulate(frames, has_bot=False) + DELIMITER)
        reads = []

        def read(ranges):
            reads.append(ranges)
            return file.read(ranges)

        encapsulated_offsets(read, NAME, len(HEAD), len(file.data), 100, None, 10_000)
        # 100 items of 1008 bytes, in blocks with nine or ten headers, and the offset table
        assert len(reads) <= 13

    @given(value=st.binary(max_size=80), count=st.integers(1, 4), step=st.integers(8, 40))
    def test_noise_is_one_error(self, value, count, step):
        file = Bytes(ITEM + bytes(4) + value)
        arguments = file.read, NAME, len(HEAD), len(file.data), count, None, step
        try:
            found = encapsulated_offsets(*arguments)
        except FrameError:
            return
        assert len(found.starts) == count


class TestErrors:
    def fails(self, value: bytes, count: int, match: str, extended=None) -> None:
        with pytest.raises(FrameError, match=match) as caught:
            find(Bytes(value), count, extended)
        assert NAME in str(caught.value)

    def test_missing_table_is_an_error(self):
        self.fails(b"\xff\xd8" + bytes(30), 1, "offset table")

    def test_table_longer_than_the_file_is_an_error(self):
        self.fails(ITEM + struct.pack("<I", 4000) + bytes(10), 1, "offset table")

    def test_fewer_fragments_than_frames_are_an_error(self):
        self.fails(encapsulate(FRAMES, has_bot=False) + DELIMITER, 6, "5 fragments for 6 frames")

    def test_fragments_that_cannot_be_told_apart_are_an_error(self):
        frames = [b"raw" + bytes(20)] * 3
        value = encapsulate(frames, fragments_per_frame=2, has_bot=False) + DELIMITER
        self.fails(value, 3, "cannot be told apart")

    @pytest.mark.parametrize("has_bot", [False, True])
    @pytest.mark.parametrize("missing", [3, 15, 60])
    def test_truncated_file_is_an_error(self, has_bot, missing):
        value = encapsulate(FRAMES, has_bot=has_bot)
        self.fails(value[:-missing], 5, "truncated|missing")

    def test_extended_table_that_is_too_short_is_an_error(self):
        value, offsets, lengths = encapsulate_extended(FRAMES)
        self.fails(value, 6, "extended offset table", (offsets, lengths))
        self.fails(value, 5, "extended offset table", (offsets, lengths[:-8]))

    @pytest.mark.parametrize("offset", [10**6, 2**63 - 1, 2**64 - 1])
    def test_extended_table_that_points_out_of_the_file_is_an_error(self, offset):
        value, offsets, lengths = encapsulate_extended(FRAMES)
        offsets = offsets[:-8] + struct.pack("<Q", offset)
        self.fails(value, 5, "frame 5", (offsets, lengths))

    @pytest.mark.parametrize("length", [10**6, 2**63 - 8, 2**64 - 1])
    def test_extended_table_with_frames_that_are_too_long_is_an_error(self, length):
        value, offsets, lengths = encapsulate_extended(FRAMES)
        lengths = lengths[:-8] + struct.pack("<Q", length)
        self.fails(value, 5, "frame", (offsets, lengths))

    def test_something_else_between_the_items_is_an_error(self):
        value = encapsulate(FRAMES[:2], has_bot=False) + b"what is this" + DELIMITER
        self.fails(value, 3, "no item")


class TestJoinFragments:
    def test_takes_the_fragments_out_of_their_items(self):
        assert join_fragments(item(b"one") + item(b"") + item(b"two"), NAME) == b"onetwo"

    @pytest.mark.parametrize(
        "data", [b"none", item(b"one")[:-1], item(b"one") + b"\xfe\xff", item(b"one") + bytes(8)]
    )
    def test_other_bytes_are_an_error_with_the_name_of_the_file(self, data):
        with pytest.raises(FrameError, match=NAME):
            join_fragments(data, NAME)
