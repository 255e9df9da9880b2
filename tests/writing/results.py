"""What the tests of written results share: small slides, masks, and how they are opened again."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import dicomslide
from dicomslide import Slide, open_slide
from dicomslide.testing import SyntheticSlide

CATEGORY = ("91723000", "SCT", "Anatomical structure")
NUCLEUS = ("84640000", "SCT", "Nucleus")
STROMA = ("85756007", "SCT", "Tissue")
SEGMENTS = {"nucleus": (CATEGORY, NUCLEUS), "stroma": (CATEGORY, STROMA)}
ALGORITHM = ("threshold", "1")
# Three levels whose sizes are no multiples of each other, in partial tiles
LEVELS = {"factors": (1, 2, 4), "size": (70, 90), "tile": (16, 24)}


def run_program(program: str, *arguments: Path) -> str:
    """Run a program in a process of its own, with this package; gives what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=280,
        env=dict(os.environ, PYTHONPATH=str(Path(dicomslide.__file__).parents[1])),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def plane_of(slide: Slide, level: int) -> xr.DataArray:
    """An array of the pixels of a level, without channels, planes and samples."""
    image = slide.to_datatree()[f"level_{level}/image"]
    return image.isel(channel=0, focal_plane=0, sample=0)


def labels_on(slide: Slide, level: int, count: int = 2) -> xr.DataArray:
    """Segment numbers on all pixels of a level: blobs, and tiles without any."""
    plane = plane_of(slide, level)
    rows, columns = np.indices(plane.shape)
    labels = (rows // 3 + columns // 5) % (count + 1)
    labels[(rows // 16) % 2 == 1] = 0
    return plane.copy(data=labels.astype(np.uint8))


def open_with(written: SyntheticSlide, *paths: Any) -> Slide:
    """Open a slide with what was written for it."""
    return open_slide([*written.paths, *map(Path, paths)])


def positions_of(data: Any) -> dict[str, NDArray]:
    """Coordinates of pixels on the slide and along the levels, in millimetres."""
    return {
        name: data[name].values for name in ("y", "x", "slide_y", "slide_x") if name in data.coords
    }


def assert_same_place(data: Any, other: Any) -> None:
    """Check that the pixels of two arrays lie in the same places, to 1e-9 mm."""
    expected = positions_of(other)
    for name, values in positions_of(data).items():
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=1e-9)
