"""Measure the tissue of a slide at two levels: ``python tissue_area.py [SLIDE]``.

Nothing is read before the area is asked for: mask and sum are dask arrays, computed by chunks.
"""

import sys
from tempfile import TemporaryDirectory

import xarray as xr

import dicomslide
from dicomslide.testing import write_slide

# Tissue has colour, glass is white or grey
SATURATION = 25


def tissue_area(level: xr.Dataset) -> xr.DataArray:
    """Make the mask of tissue and sum it up, in square millimetres."""
    image = level["image"].isel(channel=0, focal_plane=0)
    mask = image.max("sample") - image.min("sample") > SATURATION
    rows, columns = level.attrs["pixel_spacing"]
    return mask.sum() * rows * columns


def main(source: str) -> None:
    tree = dicomslide.open_slide(source).to_datatree(chunks="auto")
    for name in ("level_0", "level_1"):
        level = tree[name].to_dataset()
        area = float(tissue_area(level))
        print(f"{name}: {level.sizes['y']} x {level.sizes['x']} pixels, {area:.4f} mm² of tissue")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with TemporaryDirectory() as folder:
            write_slide(folder, size=(2000, 3000))
            main(folder)
