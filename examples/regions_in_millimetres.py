"""Show one place of a slide at every level: ``python regions_in_millimetres.py [SLIDE]``.

The place is given in millimetres on the glass. It is found at each level, whatever the level's
resolution and however the scanner turned the image, and all pictures are saved as one PNG.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import xarray as xr
from PIL import Image

from dicomslide.testing import write_slide

OUT = Path("regions.png")
# Millimetres on the slide, and pixels of a picture
FIELD = 0.5
SIDE = 360


def upright(image: xr.DataArray) -> xr.DataArray:
    """Turn an image as the glass stands: columns along +X, rows along -Y."""
    image = image.sortby("slide_x").sortby("slide_y", ascending=False)
    return image.transpose(*image["slide_y"].dims, *image["slide_x"].dims, "sample")


def main(source: str) -> None:
    tree = xr.open_datatree(source, engine="dicomslide")
    levels = [node for name, node in tree.children.items() if name.startswith("level_")]
    x = float(levels[0]["slide_x"].mean())
    y = float(levels[0]["slide_y"].mean())
    figure = Image.new("RGB", (SIDE * len(levels), SIDE), "white")
    for number, level in enumerate(levels):
        image = upright(level["image"].isel(channel=0, focal_plane=0))
        region = image.sel(
            slide_x=slice(x - FIELD / 2, x + FIELD / 2),
            slide_y=slice(y + FIELD / 2, y - FIELD / 2),
        )
        print(f"{level.name}: {region.shape[0]} x {region.shape[1]} pixels")
        picture = Image.fromarray(region.values)
        figure.paste(picture.resize((SIDE, SIDE), Image.Resampling.BOX), (SIDE * number, 0))
    figure.save(OUT)
    print(f"{FIELD} mm x {FIELD} mm around X = {x:.3f}, Y = {y:.3f} mm: {OUT}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with TemporaryDirectory() as folder:
            write_slide(folder, size=(2000, 3000))
            main(folder)
