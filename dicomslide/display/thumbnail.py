"""Small pictures of arrays, levels and trees."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image

from dicomslide.arguments import integer
from dicomslide.display.orientation import on_slide, step_along, upright
from dicomslide.display.picture import as_rgb, levels_of, middle_planes, with_windows
from dicomslide.display.segments import Overlays, find_overlays, nodes_beside, one_plane
from dicomslide.display.spacing import at_spacing
from dicomslide.errors import ArgumentValueError
from dicomslide.tree.schema import COLUMNS, IMAGE, ROWS, SAMPLE

__all__ = ["thumbnail", "with_segments"]


def thumbnail(data: Any, size: int = 1024, variable: str = IMAGE.name) -> Image.Image:
    """Make a small picture: see `SlideAccessor.thumbnail`."""
    wanted = integer("size", size)
    if wanted < 1:
        raise ArgumentValueError(f"size: {wanted} must be positive")
    if isinstance(data, xr.DataTree):
        levels = list(with_windows(data, variable).values())
        enough = [n for n in levels if max(n[variable].sizes[d] for d in _lines(n)) >= wanted]
        data = enough[-1] if enough else levels[0]
    elif isinstance(data, xr.DataArray):
        data = data.rename(data.name or variable).to_dataset()
        variable = str(next(iter(data)))
    # Other planes need not be read
    planes = middle_planes(data[variable].sizes)
    picture = one_plane(as_rgb(data[[variable]].isel(planes), variable))
    if 0 in picture.shape:
        raise ArgumentValueError("there are no pixels to show")
    if on_slide(picture):
        picture = upright(picture)
    down, across = [name for name in picture.dims if name != SAMPLE]
    longest = max(picture.sizes[down], picture.sizes[across])
    ratio = min(wanted / longest, 1)
    shape = [max(int(picture.sizes[name] * ratio + 0.5), 1) for name in (across, down)]
    # Leaves a last step to a filter that is better than means, and never all pixels in memory
    factor = longest / wanted / 2
    if factor > 1 and min(picture.sizes[down], picture.sizes[across]) > 1:
        picture = at_spacing(picture, abs(step_along(picture[across])) * 1000 * factor)
    made = Image.fromarray(picture.values)
    return made.resize((shape[0], shape[1]), Image.Resampling.HAMMING)


def with_segments(
    pixels: NDArray[np.uint8], tree: xr.DataTree, wanted: Overlays, opacity: float = 0.5
) -> NDArray[np.uint8]:
    """Lay segments of a tree over a picture of its whole base level.

    Parameters
    ----------
    pixels : numpy.ndarray
        Red, green and blue of the picture, shape (rows, columns, 3)
    tree : xarray.DataTree
        Tree of the slide
    wanted : bool, str, int, sequence or mapping
        See `find_overlays`
    opacity : float, optional
        How much of a pixel that is wholly covered a colour hides, from 0 to 1

    Returns
    -------
    numpy.ndarray
        Red, green and blue
    """
    levels = list(levels_of(tree).values())
    base, size = levels[0], dict(zip((ROWS, COLUMNS), pixels.shape[:2], strict=True))
    lines = {
        name: (line.dims, _centres(line, size[str(line.dims[0])]))
        for name, line in base.coords.items()
        if line.dims in ((ROWS,), (COLUMNS,))
    }
    picture = xr.DataArray(pixels, lines, (ROWS, COLUMNS, SAMPLE))
    enough = [n for n in levels if all(n.sizes[name] >= count for name, count in size.items())]
    # The smallest level that is large enough first, and those that are nearest to it
    nodes = [*reversed(enough), *(n for n in levels if all(n is not other for other in enough))]
    nodes += nodes_beside(base, tree)
    for overlay in find_overlays(nodes, wanted):
        pixels, _ = overlay.lay_over(pixels, picture, opacity)
    return pixels


def _centres(line: xr.DataArray, count: int) -> NDArray[np.float64]:
    """Find the centres of as many pixels over the extent of a coordinate."""
    step = step_along(line) * line.size / count
    first = float(line[0]) + (step - step_along(line)) / 2
    return first + step * np.arange(count, dtype=np.float64)


def _lines(node: xr.Dataset) -> list[Any]:
    return [name for name in ("y", "x", "slide_y", "slide_x") if name in node.dims]
