"""Plots of slides in millimetres, with matplotlib."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from dicomslide.display.orientation import in_order, on_slide, step_along, upright
from dicomslide.display.picture import as_rgb, middle_planes, with_windows
from dicomslide.display.segments import Overlays, find_overlays, nodes_beside, one_plane
from dicomslide.errors import ArgumentValueError
from dicomslide.tree.schema import COLUMNS, IMAGE, ROWS, SAMPLE, SLIDE_X, SLIDE_Y

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot"]

# More pixels than any figure shows
_MOST_PIXELS = 2**26
_ALONG = {SLIDE_X: "X", SLIDE_Y: "Y", COLUMNS: "along the rows", ROWS: "along the columns"}


def plot(
    data: xr.DataArray | xr.Dataset | xr.DataTree,
    ax: "Axes | None" = None,
    variable: str = IMAGE.name,
    *,
    overlay: Overlays = False,
    colors: Mapping[str, str] | None = None,
    alpha: float = 0.5,
    legend: bool = True,
    axes: str = "slide",
    **options: Any,
) -> "Axes":
    """Plot an image where it lies on the slide: see `SlideAccessor.plot`."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "dicomslide[plot]"') from error

    if axes not in ("slide", "image"):
        raise ArgumentValueError(f'axes: expected "slide" or "image", got {axes!r}')
    ax = ax or plt.gca()
    node, array, others = _chosen(data, variable, ax, axes)
    name = str(array.name)
    is_picture = IMAGE.find(name) is not None or SAMPLE in array.dims
    if is_picture:
        # Other planes need not be read
        array = as_rgb(node.isel(middle_planes(array.sizes)), name)
    array = _two_dimensional(array)
    if axes == "slide":
        array = upright(array)
    down, across = [str(name) for name in array.dims if name != SAMPLE]
    values = array.values
    entries: dict[str, str] = {}
    if overlay is not False:
        if not is_picture:
            raise ArgumentValueError(f"overlay: {array.name} is not shown in colours of its own")
        if isinstance(data, xr.DataTree) and not isinstance(overlay, xr.DataArray | Mapping):
            others = [*others, *nodes_beside(node, data)]
        for one in find_overlays(others, overlay, colors):
            values, added = one.lay_over(values, array, alpha)
            entries |= added
    lines = array[across], array[down]
    extent = (*_edges(*lines), *reversed(_edges(*lines[::-1])))
    shown = ax.imshow(
        values, **{"extent": extent, "interpolation": "nearest", "aspect": "equal"} | options
    )
    if not is_picture:
        label = " ".join(filter(None, (str(array.name or ""), _unit(array))))
        ax.figure.colorbar(shown, ax=ax, label=label)
    if entries and legend:
        from matplotlib.patches import Patch

        ax.legend(
            handles=[Patch(color=f"#{c}", label=n, alpha=alpha) for n, c in entries.items()],
            loc="upper left",
            bbox_to_anchor=(1, 1),
            fontsize="small",
        )
    ax.set_xlabel(f"{_ALONG.get(across, across)} [mm]")
    ax.set_ylabel(f"{_ALONG.get(down, down)} [mm]")
    ax.set_title(_title(data, array))
    return ax


def _chosen(
    data: xr.DataArray | xr.Dataset | xr.DataTree, variable: str, ax: "Axes", axes: str
) -> tuple[xr.Dataset, xr.DataArray, Sequence[xr.Dataset]]:
    """Choose the node to show, and the nodes that may have segments of it, that one first."""
    if isinstance(data, xr.DataArray):
        name = str(data.name or variable)
        node = data.rename(name).to_dataset()
        return node, node[name], [node]
    if isinstance(data, xr.Dataset):
        if variable not in data:
            raise ArgumentValueError(f"there is no {variable!r}, only {sorted(map(str, data))}")
        return data, data[variable], [data]
    levels = list(with_windows(data, variable).values())
    levels = [level for level in levels if level[variable].size] or levels
    box = ax.get_window_extent()
    node = levels[0]
    for level in levels[1:]:
        across, down = (SLIDE_X, SLIDE_Y) if axes == "slide" and on_slide(level) else "xy"
        # The axes are filled along one of the two
        if min(box.width / level[across].size, box.height / level[down].size) <= 1:
            node = level
    rest = [level for level in reversed(levels) if level is not node]
    return node, node[variable], [node, *rest]


def _two_dimensional(array: xr.DataArray) -> xr.DataArray:
    """Leave rows and columns: other dimensions need an index of the caller's choice."""
    array = in_order(one_plane(array))
    samples = [name for name in array.dims if str(name).startswith(SAMPLE)]
    spatial = array.dims[-2 - len(samples) :]
    if others := [name for name in array.dims if name not in spatial]:
        raise ArgumentValueError(
            f"one picture has no place for the dimensions {others}: choose with isel or sel"
        )
    if array.size > _MOST_PIXELS:
        raise ArgumentValueError(
            f"{' x '.join(str(size) for size in array.shape)} are too many pixels for a figure: "
            "plot the tree, which chooses the level, or cut it with clip"
        )
    if 0 in array.shape:
        raise ArgumentValueError("there are no pixels to plot")
    return array


def _edges(coordinate: xr.DataArray, other: xr.DataArray) -> tuple[float, float]:
    """Find where the first pixel begins and the last one ends, knowing those of the other axis."""
    first, last = coordinate[[0, -1]].values.astype(float)
    half = step_along(coordinate, other) / 2
    if coordinate.size == 1 and coordinate.name == SLIDE_Y:
        # Y descends from row to row of what is upright
        half = -half
    return first - half, last + half


def _unit(array: xr.DataArray) -> str:
    unit = str(array.attrs.get("units") or array.coords.get("units", ""))
    return f"[{unit}]" if unit else ""


def _title(data: xr.DataArray | xr.Dataset | xr.DataTree, array: xr.DataArray) -> str:
    """Say what is shown: the slide where it is known, and how far pixels are apart."""
    lines = [array[name] for name in array.dims if name != SAMPLE]
    steps = [abs(step_along(*pair)) for pair in (lines, lines[::-1])]
    parts = [f"{np.mean(steps) * 1000:.3g} µm per pixel"]
    if isinstance(data, xr.DataTree) and (name := data.root.attrs.get("container_identifier")):
        parts.insert(0, str(name))
    return ", ".join(parts)
