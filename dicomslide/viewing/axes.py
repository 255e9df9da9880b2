"""The axes of the slide and those of the image: one is a turn of the other."""

from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dicomslide.display.raster import Grid
from dicomslide.errors import ArgumentValueError
from dicomslide.tree.schema import COLUMNS, ROWS, SLIDE_X, SLIDE_Y

__all__ = ["SlideAxes", "over_area", "place"]

Placed = TypeVar("Placed", xr.DataArray, xr.Dataset)

_SLIDE = (SLIDE_X, SLIDE_Y)
# Direction cosines that deviate by less are those of a multiple of 90 degrees
_PARALLEL = 1e-6
# A mask may be this much of a pixel longer or shorter than the slide that it covers
_SAME_SHAPE = 1.0


@dataclass(frozen=True)
class SlideAxes:
    """Where the axes of an image lie on the slide.

    Parameters
    ----------
    matrix : tuple of tuple of float
        X and Y from x, y and 1, in millimetres: two rows of three numbers
    """

    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]

    @classmethod
    def of(cls, level: xr.Dataset) -> Self | None:
        """Read the axes of a level of the tree; None where it does not tell them."""
        orientation = level.attrs.get("image_orientation_slide")
        origin = level.attrs.get("total_pixel_matrix_origin")
        if orientation is None or origin is None:
            return None
        # Adding zero turns negative zeros into positive ones
        row, column = np.array(orientation[:2]) + 0.0, np.array(orientation[3:5]) + 0.0
        if np.abs([*row, *column]).min() < _PARALLEL:
            row, column = row.round(), column.round()
        x, y = ((float(row[i]), float(column[i]), float(origin[i])) for i in range(len(_SLIDE)))
        return cls((x, y))

    @property
    def is_parallel(self) -> bool:
        """Whether the image is turned by a multiple of 90 degrees."""
        return bool(self._turn.min() == 0)

    @property
    def _turn(self) -> NDArray[np.float64]:
        return np.abs(np.array(self.matrix)[:, :2])


def place(image: Placed, axes: SlideAxes | None) -> Placed:
    """Give an array the coordinates ``y`` and ``x`` of a slide, by where it lies on the slide.

    Parameters
    ----------
    image : xarray.DataArray or xarray.Dataset
        Has the coordinates ``slide_x`` and ``slide_y``; otherwise it stays as it is
    axes : SlideAxes or None
        Where the slide has its axes
    """
    on_slide = [image.coords[name] for name in _SLIDE if name in image.coords]
    varying = {line.dims for line in on_slide if line.ndim == 1}
    if axes is None or not axes.is_parallel or len(varying) < len(_SLIDE):
        return image
    lines, names = {}, {}
    for axis, name in enumerate((COLUMNS, ROWS)):
        # The coordinate of the slide that varies along this axis of the image
        number = int(axes._turn[:, axis].argmax())
        line = image.coords[_SLIDE[number]]
        lines[name] = (line.values - axes.matrix[number][2]) * axes.matrix[number][axis]
        names[line.dims[0]] = name
    bare: Any = image.drop_vars([n for n in (*_SLIDE, ROWS, COLUMNS) if n in image.coords])
    return bare.rename(names).assign_coords({name: (name, line) for name, line in lines.items()})


def over_area(image: xr.DataArray, grid: Grid) -> xr.DataArray:
    """Lay an array without coordinates over the whole area of a slide.

    Raises
    ------
    ArgumentValueError
        When the pixels would not be as wide as they are high
    """
    if not {ROWS, COLUMNS} <= set(image.dims):
        raise ArgumentValueError(f"overlays: expected dimensions y and x, got {image.dims}")
    shape = tuple(image.sizes[name] for name in (ROWS, COLUMNS))
    steps = [s * n / own for s, n, own in zip(grid.step, grid.size, shape, strict=True)]
    short = min(shape)
    if abs(steps[0] / steps[1] - 1) * short > _SAME_SHAPE:
        raise ArgumentValueError(
            f"overlays: {shape[0]} x {shape[1]} pixels do not cover a slide of {grid.size[0]} x "
            f"{grid.size[1]}: give the array coordinates y and x, or slide_x and slide_y, in mm"
        )
    lines = {
        name: (name, grid.corner[axis] + (np.arange(shape[axis]) + 0.5) * steps[axis])
        for axis, name in enumerate((ROWS, COLUMNS))
    }
    return image.assign_coords(lines)
