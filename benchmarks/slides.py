"""The slides that are read."""

from pathlib import Path
from typing import Any

from dicomslide.testing import make_wide_gamut_profile, write_slide

__all__ = ["FACTORS", "KINDS", "PROFILES", "SIZES", "TILE", "frames", "make_slide"]

# Rows and columns of the base level: 96 frames, and then 1,632 of them, 4 and 16 times as many
SIZES = {
    "tiny": (1920, 2880),
    "small": (8160, 11520),
    "medium": (16320, 23040),
    "large": (32640, 46080),
}
TILE = 240
FACTORS = (1, 2, 4, 8)
# The profile is sRGB, which changes no colour, or one that changes nearly all
KINDS: dict[str, dict[str, Any]] = {
    "full": {"organization": "TILED_FULL"},
    "sparse": {"organization": "TILED_SPARSE"},
    "wide": {"organization": "TILED_FULL", "icc_profile": make_wide_gamut_profile()},
}
PROFILES = {"full": "sRGB", "wide": "wide gamut"}
"""Names of the profiles by kind of slide."""


def frames(size: str) -> int:
    """Count the frames of the base level."""
    rows, columns = SIZES[size]
    return (rows // TILE) * (columns // TILE)


def make_slide(folder: Path, size: str, kind: str) -> Path:
    """Write a slide if it is not there yet, and get its folder."""
    path = folder / f"{size}-{kind}"
    if not path.exists():
        print(f"writing {path} ...", flush=True)
        unfinished = folder / f"{path.name}.unfinished"
        write_slide(
            unfinished,
            size=SIZES[size],
            tile=(TILE, TILE),
            factors=FACTORS,
            **KINDS[kind],
            offset_table="extended",
            label=False,
            overview=False,
            threads=2,
        )
        unfinished.rename(path)
    return path
