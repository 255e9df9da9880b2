"""
Focal planes
============

Planes of a z-stack are a dimension of the tree. In bright field the darkest pixel of all planes
shows everything that absorbs in one picture.
"""

import tempfile

import matplotlib.pyplot as plt
import xarray as xr

from dicomslide.testing import write_slide

folder = tempfile.mkdtemp()
write_slide(folder, size=(1500, 2000), focal_planes=5, factors=(1, 4))
tree = xr.open_datatree(folder, engine="dicomslide")
image = tree["level_0/image"].isel(channel=0, y=slice(600, 800), x=slice(700, 900))
figure, panels = plt.subplots(2, 3, figsize=(9, 6.6), layout="constrained")
for panel, plane in zip(panels.flat, image, strict=False):
    plane.slide.plot(panel)
    panel.set_title(f"{float(plane.focal_plane) * 1000:g} µm")
image.min("focal_plane").slide.plot(panels[1, 2])
panels[1, 2].set_title("darkest of all planes")
for panel in panels.flat:
    panel.locator_params(nbins=3)
