"""
Overlays and areas of segments
==============================

A Segmentation on the pixels of a level is a variable of that level, with one mask for each segment.
"""

import tempfile

import matplotlib.pyplot as plt
import xarray as xr

from dicomslide.testing import write_slide

folder = tempfile.mkdtemp()
write_slide(folder, size=(1500, 2000), segmentations=["BINARY"])
tree = xr.open_datatree(folder, engine="dicomslide")
part = tree.slide.clip(x=(12.5, 12.8), y=(26.95, 27.25))
figure, panels = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
part.slide.plot(panels[0])
part.slide.plot(panels[1], overlay=True)

# %%
# Its labels and colours are coordinates, and the sum of a mask is an area.

level = tree["level_0"].to_dataset().isel(focal_plane=0)
rows, columns = level.attrs["pixel_spacing"]
areas = level["segmentation"].sum(["y", "x"]) * rows * columns
figure, axes = plt.subplots(figsize=(6, 2.4), layout="constrained")
axes.barh(
    level["label"].values, areas.values, color=["#" + c for c in level["segment_color"].values]
)
axes.set_xlabel("area in mm²")
