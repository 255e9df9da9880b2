"""Find nuclei, write their outlines as DICOM annotations, and measure them in another program:
``python cells_as_annotations.py [SLIDE]``.

The slide is analysed by parts; the outlines of all parts are written together.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours

import dicomslide
from dicomslide.testing import write_slide

PART = 512
# Nuclei are dark blue: they have little red
MOST_RED = 120
FEWEST_POINTS = 12


def outlines(slide: dicomslide.Slide) -> Iterator[NDArray]:
    """Yield closed outlines of dark blue pixels, as (column, row) from the corner of the slide."""
    rows, columns = slide.size
    for row in range(0, rows, PART):
        for column in range(0, columns, PART):
            pixels = slide.get_image_region((row, column), 0, (PART, PART))
            # Contours count from the centre of a pixel and rows come first; annotations count from
            # its corner. With a margin of one pixel all contours are closed
            dark = np.pad(pixels[..., 0] < MOST_RED, 1)
            for found in find_contours(dark, 0.5):
                if len(found) > FEWEST_POINTS:
                    yield found[:-1, ::-1] + (column - 0.5, row - 0.5)


def main(source: Path, target: Path) -> None:
    slide = dicomslide.open_slide(source)
    found = list(outlines(slide))
    dicomslide.write_annotations(
        (np.concatenate(found), np.array([len(one) for one in found])),
        target,
        slide=slide,
        label="Nucleus",
        algorithm=("dark blue pixels", "1"),
    )
    (group,) = dicomslide.open_slide([source, target]).annotations
    table = group.to_geodataframe()
    areas = table.geometry.area * 1e6
    print(f"{len(table)} nuclei, of {areas.median():.1f} µm² in the middle")


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        target = Path(folder) / "nuclei.dcm"
        if len(sys.argv) > 1:
            main(Path(sys.argv[1]), target)
        else:
            write_slide(Path(folder) / "slide", size=(500, 750))
            main(Path(folder) / "slide", target)
