"""Damage to the bytes of files without regard to their structure."""

import random
import struct
from pathlib import Path

import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.fuzzing.files import Damaged

__all__ = ["Areas", "damage_bytes", "find_areas"]

Areas = tuple[list[tuple[int, int]], list[tuple[int, int]]]
"""The ranges of bytes of a file that are of frames, and those of its structure."""

_PIXELS, _UNDEFINED = b"\xe0\x7f\x10\x00", b"\xff" * 4
INTERESTING = (0, 1, 2, 7, 8, 127, 128, 254, 255)
LARGE = (0, 1, 8, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)


def find_areas(path: Path) -> Areas:
    """Find the bytes of a file that are of frames, and those of its structure."""
    with path.open("rb") as file:
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        start = file.tell()
    data = path.read_bytes()
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == DeflatedExplicitVRLittleEndian:
        return [(132, len(data))], [(132, len(data))]
    value = start + (8 if syntax == ImplicitVRLittleEndian else 12)
    if data[start : start + 4] != _PIXELS or data[value - 4 : value] != _UNDEFINED:
        return [(value, len(data))], [(128, value)]
    frames, structure, position = [], [(128, value)] * 4, value
    while data[position : position + 4] == b"\xfe\xff\x00\xe0":
        (length,) = struct.unpack_from("<I", data, position + 4)
        structure.append((position, position + 8))
        if position > value:
            frames.append((position + 8, position + 8 + length))
        elif length:
            structure += [(position + 8, position + 8 + length)] * 10
        position += 8 + length
    return frames, structure


def damage_bytes(data: bytes, areas: Areas, rng: random.Random) -> Damaged:
    """Change up to three places, or cut off the end; most of them in the structure of the file."""
    frames, structure = areas

    def place() -> int:
        start, stop = rng.choice(structure) if rng.random() < 0.8 else (0, len(data))
        return rng.randrange(start, stop)

    changed, touched = bytearray(data), []
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        start = place()
        kind = rng.random()
        if kind < 0.4:
            value = bytes([rng.choice(INTERESTING) if kind < 0.2 else rng.randrange(256)])
        elif kind < 0.6:
            value = bytes([data[start] ^ 1 << rng.randrange(8)])
        else:
            start -= start % 2
            value = struct.pack("<I", rng.choice(LARGE))[: rng.choice((2, 4))]
        value = value[: len(data) - start]
        changed[start : start + len(value)] = value
        touched.append((start, start + len(value)))
    kind = rng.random()
    if kind < 0.36 or not touched:
        # All that follows is at another place then
        start, length = place(), rng.choice((1, 2, 8, 100))
        touched.append((start, len(data)))
        if kind < 0.12:
            changed[start:start] = changed[start : start + length] or b"\0"
        else:
            del changed[start : start + length if kind < 0.24 else None]
    in_frames = any(
        start < end and begin < stop for start, stop in touched for begin, end in frames
    )
    return Damaged(bytes(changed), [f"bytes {touched}"], in_frames)
