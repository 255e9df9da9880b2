"""Write nuclei as a Segmentation: ``nuclei_as_segmentation.py [SLIDE] [OUT.dcm]``.

The mask is computed while it is written.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import xarray as xr

import dicomslide
from dicomslide.testing import write_slide

SEGMENTS = {"Nuclei": (("91723000", "SCT", "Anatomical structure"), ("84640000", "SCT", "Nucleus"))}
# Tissue has colour, glass is white or grey
SATURATION = 25
# Nuclei are dark in red light
DARK = 130


def find_nuclei(image: xr.DataArray) -> xr.DataArray:
    """Make a lazy mask of an image of red, green and blue."""
    tissue = image.max("sample") - image.min("sample") > SATURATION
    return tissue & (image.sel(sample="R") < DARK)


def main(source: str, out: str) -> None:
    slide = dicomslide.open_slide(source)
    image = slide.to_datatree()["level_1/image"].isel(channel=0, focal_plane=0)
    nuclei = find_nuclei(image)
    written = dicomslide.write_segmentation(
        nuclei, out, slide=slide, segments=SEGMENTS, algorithm=("threshold", "1"), overwrite=True
    )
    again = dicomslide.open_slide([*Path(source).glob("*.dcm"), out])
    mask = again.to_datatree()["level_1/segmentation"].isel(segment=-1, focal_plane=0)
    rows, columns = image.shape[:2]
    print(f"nuclei: {int(mask.sum())} of {rows * columns} pixels, in {written[0].path}")


if __name__ == "__main__":
    given = sys.argv[1:]
    with TemporaryDirectory() as folder:
        if not given:
            write_slide(Path(folder) / "slide", size=(1500, 2000))
        source, out = [*given, None, None][:2]
        main(source or f"{folder}/slide", out or f"{folder}/nuclei.dcm")
