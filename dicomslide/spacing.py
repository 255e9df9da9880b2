"""Labelled arrays of a slide at any distance between pixels."""

import xarray as xr

from dicomslide.arguments import require_type
from dicomslide.pixels.chunks import Chunks
from dicomslide.slide import Slide
from dicomslide.tree.coordinates import pixel_coordinates

__all__ = ["image_at_spacing"]


def image_at_spacing(
    slide: Slide,
    spacing: float,
    channel_index: int = 0,
    focal_plane_index: int = 0,
    *,
    chunks: Chunks = "auto",
) -> xr.DataArray:
    """Make a lazy array of a slide at a distance between pixels.

    Parameters
    ----------
    slide : Slide
        Slide that is read
    spacing : float
        Distance between pixels in micrometres: see `Slide.get_image_region_at_spacing`
    channel_index, focal_plane_index : int, optional
        See `Slide`
    chunks : {"auto", "frames"}, int or tuple of int, optional
        Chunks for as many pixels of the stored level as its own chunks of that kind have, or
        (rows, columns) of this array

    Returns
    -------
    xarray.DataArray
        Array of shape (y, x, sample) of a dask array, with the coordinates of the levels of the
        tree: see :mod:`dicomslide.tree.datatree`. No frame is read

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When the spacing is not positive, or there is no such channel or focal plane
    """
    require_type("slide", slide, Slide)
    array, grid = slide._level_at_spacing(spacing, channel_index, focal_plane_index)
    return xr.DataArray(
        array.to_dask(chunks),
        pixel_coordinates(slide._arrangement.levels[0].geometry, grid).coords,
        ("y", "x", "sample"),
        "image",
        {"pixel_spacing": list(grid.geometry.spacing), "pixel_spacing_units": "mm"},
    )
