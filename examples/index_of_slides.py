"""Index slides and measure some of them: ``python index_of_slides.py [SOURCE [INDEX [STAIN]]]``.

The source is a folder, a prefix in a bucket or a DICOMweb service with any number of slides. Their
headers are read when they are indexed for the first time; later runs read only those that have
changed. The slides with the stain are then opened from the index, without a request, in processes
of their own, which read the smallest level of each.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import dicomslide
from dicomslide.testing import write_slide


def brightness(index: dicomslide.SlideIndex, number: int) -> float:
    """Compute the mean of the smallest level of a slide, from 0 to 255."""
    slide = index[number]
    return float(slide.get_total_pixel_matrix(slide.num_levels - 1)[:].mean())


def main(source: str, place: str, stain: str | None = None) -> None:
    index = dicomslide.index_slides(source, place)
    if stain is not None:
        index = index.select(stains=stain)
    table = index.to_dataframe()
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        table["brightness"] = list(pool.map(partial(brightness, index), range(len(index))))
    print(table[["container_identifier", "rows", "columns", "brightness"]].to_string())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(*(sys.argv[1:] if len(sys.argv) > 2 else [sys.argv[1], "slides.index"]))
    else:
        with TemporaryDirectory() as folder:
            for number in range(3):
                write_slide(
                    Path(folder, f"slide-{number}"),
                    size=(300, 400),
                    container_identifier=f"S26-{number}",
                    seed=number,
                )
            main(folder, f"{folder}/index", "*hematoxylin*")
