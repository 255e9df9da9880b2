"""
Stain separation
================

Colour deconvolution of scikit-image turns colours into amounts of stains. It runs over the chunks
of a slide, and the amounts keep the coordinates of the slide.
"""

import tempfile

import matplotlib.pyplot as plt
import xarray as xr
from skimage.color import rgb2hed

import dicomslide
from dicomslide.testing import write_slide

folder = tempfile.mkdtemp()
write_slide(folder, size=(1500, 2000))
tree = dicomslide.open_slide(folder).to_datatree(chunks="auto")
image = tree["level_0/image"].isel(channel=0, focal_plane=0, drop=True)
stains = xr.apply_ufunc(
    rgb2hed,
    image,
    input_core_dims=[["sample"]],
    output_core_dims=[["stain"]],
    dask="parallelized",
    output_dtypes=["float64"],
    dask_gufunc_kwargs={"output_sizes": {"stain": 3}},
)
stains = stains.assign_coords(stain=["haematoxylin", "eosin", "DAB"]).rename("amount")

# %%
# Nothing was computed yet. A part that is plotted costs the frames of that part.

part = stains.slide.clip(x=(12.55, 12.75), y=(27.0, 27.2))
figure, panels = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
tree.slide.clip(x=(12.55, 12.75), y=(27.0, 27.2)).slide.plot(panels[0])
part.sel(stain="haematoxylin").slide.plot(panels[1], cmap="BuPu", vmin=0)
part.sel(stain="eosin").slide.plot(panels[2], cmap="RdPu", vmin=0)
for panel, title in zip(panels, ("image", "haematoxylin", "eosin"), strict=True):
    panel.set_title(title)
