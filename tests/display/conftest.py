"""Slides with a landmark at a known place."""

import pydicom
import pytest

from dicomslide import open_slide
from dicomslide.testing import ORIENTATIONS
from dicomslide.testing.geometry import locate_pixel

ROW, COLUMN = 12, 33
RED = (255, 0, 0)


@pytest.fixture(params=ORIENTATIONS, ids=lambda o: "".join(f"{int(v):+d}"[:2] for v in o))
def marked(request, make_slide, tmp_path):
    """A slide of one frame with 7 x 5 red pixels, and X and Y of their middle in millimetres."""
    written = make_slide(size=(48, 64), tile=(48, 64), orientation=request.param)
    (path,) = written.paths
    dataset = pydicom.dcmread(path)
    pixels = bytearray(dataset.PixelData)
    for row in range(ROW - 3, ROW + 4):
        for column in range(COLUMN - 2, COLUMN + 3):
            start = 3 * (64 * row + column)
            pixels[start : start + 3] = bytes(RED)
    dataset.PixelData = bytes(pixels)
    dataset.save_as(tmp_path / "marked.dcm")
    (level,) = written.levels
    place = locate_pixel(ROW, COLUMN, level.origin, request.param, level.spacing)
    return open_slide(tmp_path), place
