"""Look at an analysis on its slide: ``python overlay_of_an_analysis.py [SLIDE] [--show]``.

Nothing is computed before somebody looks at it: the viewer computes the tiles that are on the
screen. Without ``--show`` the program asks for one of them itself, and ends.
"""

import json
import sys
from tempfile import TemporaryDirectory
from urllib.request import urlopen

import numpy as np
import xarray as xr

import dicomslide
from dicomslide.testing import write_slide

# Tissue has colour, glass is white or grey
SATURATION = 25
# Nuclei are dark in red light
DARK = 130


def analyse(level: xr.Dataset) -> dict[str, xr.DataArray]:
    """Make lazy overlays of a level: a mask, and a map of values."""
    image = level["image"].isel(channel=0, focal_plane=0)
    tissue = image.max("sample") - image.min("sample") > SATURATION
    nuclei = tissue & (image.sel(sample="R") < DARK)
    # Parts of squares of 32 by 32 pixels: coarser pixels, whose coordinates are their centres
    density = nuclei.astype(np.float32).coarsen(y=32, x=32, boundary="trim").mean()
    return {
        "tissue": tissue,
        "nuclei": nuclei,
        "density of nuclei": density.assign_attrs(units="nuclei per area"),
    }


def main(source: str, show: bool) -> None:
    slide = dicomslide.open_slide(source)
    level = slide.to_datatree()["level_1"].to_dataset()
    with dicomslide.view(slide, overlays=analyse(level), show=show) as viewer:
        if show:
            print(viewer.url)
            viewer.wait()
            return
        with urlopen(f"{viewer.url}slides/0") as answer:
            layers = [layer["name"] for layer in json.load(answer)["layers"]]
        with urlopen(f"{viewer.url}slides/0/tiles/1/2/0/0") as answer:
            size = len(answer.read())
        print(f"layers: {', '.join(layers)}; a tile of the mask has {size} bytes")


if __name__ == "__main__":
    places = [argument for argument in sys.argv[1:] if argument != "--show"]
    if places:
        main(places[0], "--show" in sys.argv)
    else:
        with TemporaryDirectory() as folder:
            write_slide(folder, size=(1500, 2000))
            main(folder, "--show" in sys.argv)
