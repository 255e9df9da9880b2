"""Measure many slides at once: ``python slides_in_parallel.py [FOLDER [SCHEDULER]]``.

For each slide in the folder: the area of its tissue, and how densely the tissue is stained by
haematoxylin and by eosin. All chunks of all slides are tasks of one computation, which runs on the
threads of this machine or on the dask cluster whose scheduler has the given address.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import dask
import numpy as np
import xarray as xr
from dask.diagnostics import ProgressBar

import dicomslide
from dicomslide.testing import write_slide

# The coarsest level whose pixels are no larger than this many millimetres is measured
PIXEL = 0.002
# Absorbance of red, green and blue light by haematoxylin and by eosin, each of length 1
# (Ruifrok and Johnston, Anal Quant Cytol Histol 23:291-299, 2001)
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]], np.float32)
UNMIX = np.linalg.pinv(STAINS)
# Glass absorbs less than this
GLASS = 0.08


def stain_densities(pixels: np.ndarray) -> np.ndarray:
    """Turn colours into densities of both stains, along the last axis."""
    absorbance = -np.log10(np.maximum(pixels, 1).astype(np.float32) / 255)
    return absorbance @ UNMIX


def measure(level: xr.Dataset) -> xr.Dataset:
    """Describe the measurement of a level; nothing is read yet."""
    image = level["image"].isel(channel=0, focal_plane=0, drop=True)
    density = xr.apply_ufunc(
        stain_densities,
        image,
        input_core_dims=[["sample"]],
        output_core_dims=[["dye"]],
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {"dye": len(STAINS)}},
        output_dtypes=[np.float32],
    )
    tissue = density.sum("dye") > GLASS
    rows, columns = level.attrs["pixel_spacing"]
    return xr.Dataset(
        {
            "area": tissue.sum() * rows * columns,
            "density": density.where(tissue).mean(["y", "x"], dtype=np.float64),
        }
    )


def level_to_measure(slide: dicomslide.Slide) -> xr.Dataset:
    tree = slide.to_datatree(chunks="auto")
    levels = [tree[f"level_{index}"].to_dataset() for index in range(slide.num_levels)]
    fine = [level for level in levels if max(level.attrs["pixel_spacing"]) <= PIXEL]
    return fine[-1] if fine else levels[0]


def compute(measurements: Sequence[xr.Dataset], scheduler: str | None) -> Sequence[xr.Dataset]:
    """Compute all measurements, with a progress bar."""
    if scheduler is None:
        with ProgressBar():
            return dask.compute(*measurements)
    from distributed import Client, progress

    with Client(scheduler) as client:
        running = client.compute(list(measurements))
        progress(running, notebook=False)
        return client.gather(running)


def places(folder: Path) -> Sequence[Path]:
    """Folders of the slides, each of its own; the folder itself where it has no others."""
    return sorted(path for path in folder.iterdir() if path.is_dir()) or [folder]


def open_all(place: Path) -> Sequence[dicomslide.Slide]:
    """Open the slides at a place; a damaged one does not keep the others from being measured."""
    try:
        return dicomslide.open_slides(place)
    except (ValueError, OSError) as error:
        print(f"left out: {error}", file=sys.stderr)
        return []


def main(folder: str, scheduler: str | None = None) -> None:
    slides = [slide for place in places(Path(folder)) for slide in open_all(place)]
    results = compute([measure(level_to_measure(slide)) for slide in slides], scheduler)
    print("\nslide           tissue, mm²  haematoxylin  eosin")
    for slide, result in zip(slides, results, strict=True):
        haematoxylin, eosin = result["density"].values
        print(
            f"{slide.container_identifier or '':<15} {float(result['area']):>11.4f} "
            f"{haematoxylin:>13.3f} {eosin:>6.3f}"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(*sys.argv[1:3])
    else:
        with TemporaryDirectory() as folder:
            for number in range(3):
                write_slide(Path(folder, f"slide-{number}"), size=(1500, 2000), seed=number)
            main(folder)
