"""Give a slide the strength of stains of another: ``stain_normalisation.py [SLIDE OUT]``.

Means and standard deviations of optical densities are measured on the tissue of a small level
(Reinhard's method, on densities). The slide is then written with those of a target, at all levels;
pixels are computed while they are written.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xarray as xr

import dicomslide
from dicomslide.testing import write_slide

# Mean and standard deviation of the densities of red, green and blue of the target
TARGET = np.float32([[0.30, 0.45, 0.25], [0.15, 0.18, 0.10]])
# Tissue has colour, glass is white or grey
SATURATION = 25


def densities(image: xr.DataArray) -> xr.DataArray:
    """Compute how much light is absorbed, as a decimal logarithm."""
    return -np.log10((image.astype(np.float32) + 1) / 256)


def normalise(image: xr.DataArray, mean: xr.DataArray, deviation: xr.DataArray) -> xr.DataArray:
    """Change the densities of an image lazily; glass, which absorbs nothing, stays white."""
    target_mean, target_deviation = (mean.copy(data=values) for values in TARGET)
    density = densities(image)
    changed = (density - mean) * (target_deviation / deviation) + target_mean
    # Densities below those of tissue fade out
    share = (density / mean).clip(0, 1)
    light = 256 * 10 ** -(share * changed + (1 - share) * density) - 1
    return light.round().clip(0, 255).astype(np.uint8).transpose(*image.dims)


def main(source: str, out: str) -> None:
    slide = dicomslide.open_slide(source)
    tree = slide.to_datatree()
    small = tree[f"level_{slide.num_levels - 1}/image"].isel(channel=0, focal_plane=0)
    tissue = small.max("sample") - small.min("sample") > SATURATION
    seen = densities(small).where(tissue)
    mean, deviation = seen.mean(["y", "x"]).compute(), seen.std(["y", "x"]).compute()
    image = tree["level_0/image"].isel(channel=0, focal_plane=0)
    written = dicomslide.write_image(
        normalise(image, mean, deviation),
        out,
        slide=slide,
        levels="all",
        series_description="normalised",
        derivation_description="optical densities with given means and standard deviations",
    )
    again = dicomslide.open_slide(out)
    print(f"{len(written)} levels of {again.size} in {out}")
    color = again.to_datatree()["level_0/image"].mean(["y", "x"]).values.ravel()
    print("mean colour:", ", ".join(f"{value:.0f}" for value in color))


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        if len(sys.argv) > 2:
            main(*sys.argv[1:3])
        else:
            write_slide(Path(folder) / "slide", size=(1000, 1400))
            main(f"{folder}/slide", f"{folder}/normalised")
