from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest

from dicomslide.testing import SlideOptions, write_slide
from dicomslide.writing.part10 import write_native

ITEM, END = 0xE000FFFE, 0xE0DDFFFE
FRAMES = 12


def _write(folder: Path, **changes: Any) -> bytes:
    options = {"size": (150, 180), "tile": (50, 50), "factors": (1,), "seed": 4}
    slide = write_slide(folder, **options, label=False, overview=False, **changes)
    assert len(slide.levels[0].frames) == FRAMES
    return slide.paths[0].read_bytes()


def _parse_pixel_data(content: bytes) -> tuple[bytes, list[tuple[int, bytes]]]:
    """Get the Basic Offset Table and the fragments, with offsets from the first (PS3.5 A.4)."""
    start = content.rindex(struct.pack("<HH", 0x7FE0, 0x0010) + b"OB\0\0\xff\xff\xff\xff") + 12
    items, position = [], start
    while True:
        tag, length = struct.unpack_from("<II", content, position)
        if tag == END:
            assert length == 0
            assert position + 8 == len(content)
            break
        assert tag == ITEM
        assert length % 2 == 0
        items.append((position, content[position + 8 : position + 8 + length]))
        position += 8 + length
    first = items[1][0]
    return items[0][1], [(position - first, data) for position, data in items[1:]]


def test_the_basic_offset_table_points_at_the_frames(tmp_path: Path) -> None:
    table, fragments = _parse_pixel_data(_write(tmp_path))
    assert list(struct.unpack(f"<{FRAMES}I", table)) == [offset for offset, _ in fragments]
    assert all(data[:2] == b"\xff\xd8" for _, data in fragments)


@pytest.mark.parametrize("offset_table", ["basic", "empty"])
def test_frames_are_split_into_fragments(tmp_path: Path, offset_table: str) -> None:
    table, fragments = _parse_pixel_data(
        _write(tmp_path, fragments_per_frame=3, offset_table=offset_table)
    )
    assert len(fragments) == 3 * FRAMES
    starts = [offset for offset, data in fragments if data[:2] == b"\xff\xd8"]
    assert starts == [offset for offset, _ in fragments[::3]]
    assert list(struct.unpack(f"<{len(table) // 4}I", table)) == (
        starts if offset_table == "basic" else []
    )


def test_the_empty_offset_table_is_empty(tmp_path: Path) -> None:
    table, fragments = _parse_pixel_data(_write(tmp_path, offset_table="empty"))
    assert table == b""
    assert len(fragments) == FRAMES


def test_the_extended_offset_table_points_at_the_frames(tmp_path: Path) -> None:
    content = _write(tmp_path, offset_table="extended")
    table, fragments = _parse_pixel_data(content)
    dataset = pydicom.dcmread(tmp_path / "level-0.dcm", stop_before_pixels=True)
    assert table == b""
    offsets = struct.unpack(f"<{FRAMES}Q", dataset.ExtendedOffsetTable)
    lengths = struct.unpack(f"<{FRAMES}Q", dataset.ExtendedOffsetTableLengths)
    assert list(offsets) == [offset for offset, _ in fragments]
    assert list(lengths) == [len(data) for _, data in fragments]


@pytest.mark.parametrize(
    "changes",
    [
        {"offset_table": "empty"},
        {"offset_table": "extended"},
        {"fragments_per_frame": 2},
        {"fragments_per_frame": 10_000},
        {"fragments_per_frame": 2, "offset_table": "empty"},
    ],
    ids=str,
)
def test_every_offset_table_leads_highdicom_to_the_same_pixels(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    syntax = "1.2.840.10008.1.2.4.50"
    _write(tmp_path / "plain", transfer_syntax=syntax)
    _write(tmp_path / "other", transfer_syntax=syntax, **changes)
    one, other = (
        hd.imread(tmp_path / name / "level-0.dcm").get_total_pixel_matrix()
        for name in ("plain", "other")
    )
    np.testing.assert_array_equal(one, other)


def test_an_extended_offset_table_does_not_go_with_fragments() -> None:
    with pytest.raises(ValueError, match="one fragment per frame"):
        SlideOptions(offset_table="extended", fragments_per_frame=2)


def test_the_file_starts_as_part_10_says(tmp_path: Path) -> None:
    content = _write(tmp_path)
    assert content[:132] == bytes(128) + b"DICM"
    # (0002,0000) File Meta Information Group Length, UL, 4 bytes; PS3.10 7.1.
    tag_vr_length, length = content[132:140], int.from_bytes(content[140:144], "little")
    assert tag_vr_length == b"\x02\0\0\0UL\x04\0"
    assert content[144 + length : 148 + length] == b"\x08\0\x08\0"


def test_big_endian_files_have_swapped_words(tmp_path: Path) -> None:
    options = {"samples": 1, "bits": 16}
    little = _write(tmp_path / "a", transfer_syntax="1.2.840.10008.1.2.1", **options)
    big = _write(tmp_path / "b", transfer_syntax="1.2.840.10008.1.2.2", **options)
    length = FRAMES * 50 * 50 * 2
    one, other = np.frombuffer(little[-length:], "<u2"), np.frombuffer(big[-length:], ">u2")
    np.testing.assert_array_equal(one, other)
    assert big[-length - 12 : -length] == b"\x7f\xe0\0\x10OW\0\0" + struct.pack(">I", length)


def test_implicit_files_have_no_value_representations(tmp_path: Path) -> None:
    content = _write(tmp_path, transfer_syntax="1.2.840.10008.1.2")
    length = FRAMES * 50 * 50 * 3
    assert content[-length - 8 : -length] == b"\xe0\x7f\x10\0" + struct.pack("<I", length)


def test_a_deflated_file_inflates_to_the_explicit_file(tmp_path: Path) -> None:
    deflated = _write(tmp_path, transfer_syntax="1.2.840.10008.1.2.1.99")
    meta = 144 + int.from_bytes(deflated[140:144], "little")
    body = zlib.decompress(deflated[meta:], -15)
    length = FRAMES * 50 * 50 * 3
    assert len(deflated) % 2 == 0
    header = b"\xe0\x7f\x10\0OB\0\0" + struct.pack("<I", length)
    assert body[-length - 12 : -length] == header


def test_native_pixel_data_of_odd_length_is_padded(tmp_path: Path) -> None:
    slide = write_slide(
        tmp_path,
        size=(3, 5),
        tile=(3, 5),
        factors=(1,),
        transfer_syntax="1.2.840.10008.1.2.1",
        label=False,
        overview=False,
    )
    content = slide.paths[0].read_bytes()
    assert content[-46 - 4 : -46] == struct.pack("<I", 46)
    assert content[-46:-1] == slide.levels[0].pixels().tobytes()
    assert content[-1] == 0


def test_native_pixel_data_longer_than_an_element_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 4294967294"):
        write_native(io.BytesIO(), pydicom.Dataset(), "1.2.840.10008.1.2.1", [], 2**32 - 1)
