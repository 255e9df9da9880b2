"""Parts of a synthetic slide: the files of some levels, optical paths and focal planes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dicomslide.testing import SyntheticSlide

# A slide with a file for each optical path and focal plane
APART: dict[str, Any] = {
    "size": (40, 56),
    "samples": 1,
    "bits": 12,
    "optical_paths": 2,
    "optical_paths_in": "each",
    "focal_planes": 3,
    "focal_planes_in": "each",
}


def paths_of(written: SyntheticSlide, keeps: Callable[[int, int, int], bool]) -> list[Path]:
    """Find the files of the levels, optical paths and focal planes (by index) that are kept."""
    return [
        level.folder / instance.file_name
        for level in written.levels
        for instance in level.instances
        if keeps(level.index, instance.optical_paths[0], instance.focal_planes[0])
    ]
