"""Demonstration of the ``dicomslide demo`` command."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import xarray as xr

from dicomslide.errors import StoreError
from dicomslide.export.ome_zarr import to_ome_zarr
from dicomslide.opening import open_slide
from dicomslide.testing import write_slide
from dicomslide.thumbnail import make_thumbnail

__all__ = ["run_demo", "tissue_area"]

# Least difference between samples of tissue, as glass and fat are white or grey
_SATURATION = 25
# 16 frames for each task of dask, as the synthetic slide has frames of 256 x 256 pixels
_CHUNKS = {"y": 1024, "x": 1024}


def tissue_area(level: xr.Dataset) -> xr.DataArray:
    """Compute the area of tissue of a level in square millimetres, lazily.

    Parameters
    ----------
    level : xarray.Dataset
        Level of the tree of a colour slide

    Returns
    -------
    xarray.DataArray
        Single value; nothing is read before it is computed
    """
    image = level.image.isel(channel=0, focal_plane=0)
    mask = image.max("sample") - image.min("sample") > _SATURATION
    rows, columns = level.attrs["pixel_spacing"]
    return mask.sum() * rows * columns


def run_demo(
    folder: Path,
    say: Callable[[str], None],
    progress: Callable[[str], AbstractContextManager[object]],
) -> None:
    """Write a synthetic slide, analyse it, and convert it.

    Parameters
    ----------
    folder : pathlib.Path
        Folder that is created for the results
    say : callable
        Shows a line of text to the user
    progress : callable
        Makes a context in which computations of dask show their progress, from a description

    Raises
    ------
    StoreError
        When the folder exists and is not empty
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder}: already exists and is not empty; name another folder")
    source, store, picture = folder / "slide", folder / "slide.ome.zarr", folder / "thumbnail.png"
    say("Writing a synthetic slide ...")
    with progress("writing"):
        slide_files = write_slide(source, size=(4500, 6000), factors=(1, 2, 4, 8, 16))
    (rows, columns), count = slide_files.levels[0].size, len(slide_files.levels)
    say(f"  {rows} x {columns} pixels, {count} levels, {len(slide_files.paths)} files")
    tree = xr.open_datatree(source, engine="dicomslide", chunks=_CHUNKS)
    names = [name for name in tree.children if name.startswith("level_")]
    say("Tissue area, computed lazily through xarray and dask:")
    for name in (names[-1], names[0]):
        level = tree[name].to_dataset()
        with progress(f"tissue area of {name}"):
            area = float(tissue_area(level))
        size = f"{level.sizes['y']} x {level.sizes['x']}"
        say(f"  {name} ({size} pixels): {area:.3f} mm²")
    slide = open_slide(source)
    with progress("exporting"):
        to_ome_zarr(slide, store)
    with progress("thumbnail"):
        make_thumbnail(slide, 1200).save(picture)
    say("Results:")
    for name, path in (("slide", source), ("thumbnail", picture), ("OME-Zarr", store)):
        say(f"  {name:9} {path}")
    say("The same in Python:")
    say("  import xarray as xr")
    say(f'  tree = xr.open_datatree("{source}", engine="dicomslide", chunks={_CHUNKS})')
    say('  tree["level_0"].image.mean().compute()')
