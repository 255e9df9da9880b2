"""Measure the tissue of a slide at two levels: ``python tissue_area.py [SLIDE]``.

Nothing is read before the area is asked for: mask and sum are dask arrays, computed by chunks.
"""

import sys
from tempfile import TemporaryDirectory

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import dicomslide
from dicomslide.testing import write_slide

# Tissue has colour, glass is white or grey
SATURATION = 25


def spread(pixels: NDArray) -> NDArray:
    """Subtract the smallest from the largest sample: NumPy is fast from plane to plane."""
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    return planes.max(axis=0) - planes.min(axis=0)


def tissue_area(level: xr.Dataset) -> xr.DataArray:
    """Make the mask of tissue and sum it up, in square millimetres."""
    image = level["image"].isel(channel=0, focal_plane=0)
    saturation = xr.apply_ufunc(
        spread,
        image,
        input_core_dims=[["sample"]],
        dask="parallelized",
        output_dtypes=[image.dtype],
    )
    mask = saturation > SATURATION
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
