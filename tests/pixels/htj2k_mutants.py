"""Damaged High-Throughput JPEG 2000 codestreams, given to OpenJPH where it may decode them.

Nothing but pixels or an exception may come out: no process may die, or hang. The tests decode a few
hundred; many more are decoded by hand::

    python -m tests.pixels.htj2k_mutants 100000 --seed 1 --at number

Each number is a mutant of its own. The one that is being decoded is written to a file, so that it
is known after a process died which one it was.
"""

import argparse
import faulthandler
import json
import random
import struct
import time
from collections import Counter
from pathlib import Path

import imagecodecs
import numpy as np

from dicomslide.pixels.htj2k import is_plain

__all__ = ["make_mutant", "make_originals"]

# Seconds on the clock for so many mutants, which take less than a millisecond each
_PATIENCE, _TOGETHER = 120.0, 100


def make_originals() -> list[bytes]:
    """Encode small pictures in several ways."""
    noise = np.random.default_rng(0)
    originals = []
    for rows, columns in ((64, 64), (61, 33), (7, 64)):
        y, x, z = np.ogrid[:rows, :columns, :3]
        waves = 128 + 60 * np.sin(x / 7 + z) + 40 * np.cos(y / 9)
        rgb = (waves + noise.normal(0, 8, waves.shape)).clip(0, 255).astype(np.uint8)
        wide = rgb.astype(np.uint16) * 257
        for pixels in (rgb, rgb[..., 0], wide, wide[..., 0], (wide[..., 0]).view(np.int16)):
            colour = pixels.ndim == 3
            for options in (
                {"tlm": True},
                {"rgb": colour, "resolutions": 2},
                {"rgb": False, "resolutions": 3, "tilepart": 1},
                {"resolutions": 0},
            ):
                data = imagecodecs.htj2k_encode(
                    np.ascontiguousarray(pixels), reversible=True, **options
                )
                originals.append(bytes(data))
    return originals


def make_mutant(originals: list[bytes], seed: int, number: int) -> bytes:
    """Damage one of the codestreams: its bytes anywhere, or its main header in a valid way."""
    chance = random.Random(f"{seed} {number}")
    data = chance.choice(originals)
    kind = number % 4
    if kind == 0:
        # What is valid in itself is the hardest to refuse
        data = _with_other_header(data, chance)
    end = data.index(b"\xff\x90")
    damaged = bytearray(data)
    for _ in range(chance.choice((0, 1, 3)) if kind == 0 else chance.choice((1, 1, 2, 4, 12))):
        low, high = (2, end + 14) if kind == 1 else (end, len(damaged))
        if high - low < 2:
            break
        place = chance.randrange(low, high)
        damaged[place] = chance.choice(
            (chance.randrange(256), 0, 255, damaged[place] ^ 1 << chance.randrange(8))
        )
    if kind == 3:
        damaged = _with_other_body(damaged, chance)
    return bytes(damaged)


def _with_other_body(data: bytearray, chance: random.Random) -> bytearray:
    """Cut out, repeat or replace some bytes of the last tile part, and state its new length."""
    part, end = data.rfind(b"\xff\x90\x00\x0a"), len(data) - 2
    start = part + 14
    if part < 0 or end - start < 4:
        return data
    first, second = sorted(chance.sample(range(start, end), 2))
    piece = data[first:second]
    changed = chance.choice((b"", piece + piece, chance.randbytes(len(piece)), bytes(len(piece))))
    data = data[:first] + changed + data[second:]
    struct.pack_into(">I", data, part + 6, len(data) - 2 - part)
    return data


def _with_other_header(data: bytes, chance: random.Random) -> bytes:
    """Put a main header of any valid values in front of the tile parts."""
    (depth,) = data[42:43]
    precision = chance.choice(((depth & 0x7F) + 1, chance.randint(1, 16)))
    components = chance.choice((1, 3))
    rows, columns = (chance.choice((1, 5, 33, 64, chance.randint(1, 300))) for _ in range(2))
    size = (columns, rows, 0, 0, columns, rows, 0, 0, components)
    depths = components * bytes((precision - 1 | chance.choice((0, 0x80)), 1, 1))
    levels = chance.choice((0, 1, 2, 5, chance.randint(0, 10)))
    wide = chance.randint(0, 8)
    high = chance.randint(0, 8 - wide)
    transformation = int(components == 3 and chance.random() < 0.5)
    precincts = bytes(
        chance.randint(5, 15) << 4 | chance.randint(5, 15)
        for _ in range(chance.choice((0, levels + 1)))
    )
    style = struct.pack(
        ">BBHBBBBBB",
        len(precincts) > 0,
        chance.randrange(5),
        1,
        transformation,
        levels,
        wide,
        high,
        0x40,
        1,
    )
    segments = [
        (0xFF51, struct.pack(">H8IH", 0x4000, *size) + depths),
        (0xFF50, struct.pack(">IH", 1 << 17, chance.randrange(64))),
        (0xFF52, style + precincts),
        (0xFF5C, _quantization(levels, precision, chance)),
    ]
    for component in range(components):
        if chance.random() < 0.2:
            exponents = _quantization(levels, precision, chance)
            segments.append((0xFF5D, bytes((component,)) + exponents))
    header = b"".join(
        struct.pack(">HH", marker, len(content) + 2) + content for marker, content in segments
    )
    return b"\xff\x4f" + header + data[data.index(b"\xff\x90") :]


def _quantization(levels: int, precision: int, chance: random.Random) -> bytes:
    guard_bits = chance.choice((1, 1, 2, chance.randrange(8)))
    low, high = max(precision + 1 - guard_bits, 0), 31 - guard_bits
    exponents = (chance.randint(low, high) << 3 for _ in range(1 + 3 * levels))
    return bytes((guard_bits << 5, *exponents))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, help="how many mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--at", type=Path, help="file that has the number of the current one")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="when to stop")
    options = parser.parse_args()
    originals = make_originals()
    results: Counter[str] = Counter()
    slowest, begin = 0.0, time.monotonic()
    for number in range(options.first, options.first + options.count):
        if time.monotonic() - begin > options.seconds:
            break
        if number % _TOGETHER == 0:
            faulthandler.dump_traceback_later(_PATIENCE, exit=True)
        mutant = make_mutant(originals, options.seed, number)
        if not is_plain(mutant):
            results["refused"] += 1
            continue
        if options.at is not None:
            options.at.write_text(str(number))
        start = time.process_time()
        try:
            imagecodecs.htj2k_decode(mutant, planar=False)
            results["decoded"] += 1
        except (imagecodecs.Htj2kError, RuntimeError, ValueError) as error:
            results[f"{type(error).__name__}"] += 1
        slowest = max(slowest, time.process_time() - start)
    print(json.dumps({**results, "slowest": slowest}))


if __name__ == "__main__":
    main()
