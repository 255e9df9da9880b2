"""
Look at a slide
===============

A slide is a tree of levels. It is plotted as the glass stands, in millimetres, from the level that
has as many pixels as the figure.
"""

import tempfile

import matplotlib.pyplot as plt
import xarray as xr

from dicomslide.testing import write_slide

folder = tempfile.mkdtemp()
write_slide(folder, size=(4500, 6000), seed=3)
tree = xr.open_datatree(folder, engine="dicomslide")
axes = tree.slide.plot()

# %%
# Parts are cut in millimetres of the slide. Nothing is read until they are plotted, and then only
# the frames that they touch.

figure, panels = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
(left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
x, y = (left + right) / 2, (bottom + top) / 2
for panel, half in zip(panels, (0.5, 0.1, 0.02), strict=True):
    part = tree.slide.clip(x=(x - half, x + half), y=(y - half, y + half))
    part.slide.plot(panel)
    panel.set_title(f"{2 * half:g} mm")

# %%
# Levels are arrays of dask or xarray like any other.

print(tree["level_2"]["image"])
