"""
Fluorescence
============

Channels are found by what they show, and are added in their colours.
"""

import tempfile

import matplotlib.pyplot as plt
import xarray as xr

from dicomslide.testing import OpticalPath, write_slide

folder = tempfile.mkdtemp()
paths = [
    OpticalPath("1", "Nuclei", 385, "DAPI"),
    OpticalPath("2", "Fibres", 475, "vimentin"),
    OpticalPath("3", "Epithelium", 555, "pan-cytokeratin"),
]
write_slide(
    folder,
    size=(1500, 2000),
    samples=1,
    bits=16,
    transfer_syntax="1.2.840.10008.1.2.1",
    optical_paths=paths,
)
tree = xr.open_datatree(folder, engine="dicomslide")
axes = tree.slide.plot()

# %%
# One channel is selected by its marker.

figure, panels = plt.subplots(1, 3, figsize=(10, 4), layout="constrained")
level = tree["level_1"].to_dataset()
for panel, marker in zip(panels, level["marker"].values, strict=True):
    level.isel(channel=level["marker"].values == marker).slide.plot(panel)
    panel.set_title(marker)
