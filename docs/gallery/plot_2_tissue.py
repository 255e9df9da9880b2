"""
Measure tissue
==============

Glass has no colour: where red, green and blue differ, there is tissue. A mask of a low level has
the coordinates of that level, so it can be laid over any other one.
"""

import tempfile

import numpy as np
import xarray as xr

from dicomslide.testing import write_slide

folder = tempfile.mkdtemp()
write_slide(folder, size=(3000, 4000), seed=8, pixel_spacing=0.002)
tree = xr.open_datatree(folder, engine="dicomslide")


def spread(pixels):
    """Subtract the smallest from the largest sample."""
    planes = np.moveaxis(pixels, -1, 0)
    return planes.max(axis=0) - planes.min(axis=0)


level = tree["level_2"].to_dataset().isel(channel=0, focal_plane=0)
tissue = xr.apply_ufunc(spread, level["image"], input_core_dims=[["sample"]]) > 25
axes = tree.slide.plot(overlay={"tissue": tissue}, colors={"tissue": "#00A0FF"})

# %%
# The size of a pixel makes an area of a number of pixels.

rows, columns = level.attrs["pixel_spacing"]
print(f"{float(tissue.sum()) * rows * columns:.1f} mm² of tissue")
