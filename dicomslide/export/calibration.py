"""Positions of the elements of arrays: in micrometres along their axes, and on the slide."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dicomslide.errors import ArgumentValueError
from dicomslide.tree.schema import FOCAL_PLANE, plane_dimension

__all__ = ["Calibration", "plane_offsets", "slide_affine", "uneven_planes"]

_MICROMETRES_PER_MM = 1000.0
_DECIMALS = 9
# Largest relative deviation of distances that count as equal
_UNEVEN = 1e-3
# Number of positions that are compared at once, as long coordinates are computed on access
_TOGETHER = 2**16


@dataclass(frozen=True)
class Calibration:
    """Positions of the elements of an array along (z, y, x).

    The centre of element `i` is at ``translation + scale * i``.

    Parameters
    ----------
    scale : tuple of float
        Distance between neighbours, in micrometres
    translation : tuple of float
        Position of the first element, in micrometres
    known : bool
        Whether the positions are known; if not, distances are in pixels
    """

    scale: tuple[float, float, float]
    translation: tuple[float, float, float]
    known: bool = True

    @classmethod
    def of(cls, dataset: xr.Dataset, variable: str | None = None) -> "Calibration":
        """Read the calibration of a variable of a level, or of an associated image, of the tree.

        Parameters
        ----------
        dataset : xarray.Dataset
            Level or associated image
        variable : str, optional
            Name of the variable, which may have other focal planes than others of the level

        Raises
        ------
        ValueError
            When positions along an axis are not ascending and evenly spaced
        """
        spacing = dataset.attrs.get("pixel_spacing")
        known = spacing is not None or "y" in dataset.coords
        steps = dict(zip(("y", "x"), spacing or (1 / _MICROMETRES_PER_MM,) * 2, strict=True))
        plane = _plane_name(dataset, variable)
        lines = [_line(dataset, axis, steps.get(axis)) for axis in (plane, "y", "x")]
        # Rounding removes errors of arithmetic, as Decimal Strings have fewer digits
        (z, y, x), (z0, y0, x0) = (
            [round(value, _DECIMALS) for value in values] for values in zip(*lines, strict=True)
        )
        return cls((z, y, x), (z0, y0, x0), known)

    def edge(self, axis: int) -> float:
        """Compute the position of the first edge along one of (z, y, x), in micrometres."""
        return self.translation[axis] - self.scale[axis] / 2

    def halved(self) -> "Calibration":
        """Compute the calibration of an array each of whose elements covers two by two of these."""
        (z, y, x), (z0, y0, x0) = self.scale, self.translation
        return Calibration((z, 2 * y, 2 * x), (z0, y0 + y / 2, x0 + x / 2), self.known)


def _line(dataset: xr.Dataset, axis: str, step: float | None) -> tuple[float, float]:
    """Read distance and first position along an axis, in micrometres."""
    if axis not in dataset.coords:
        return (1.0 if step is None else step * _MICROMETRES_PER_MM), 0.0
    positions = dataset[axis].variable
    if positions.size == 0:
        raise ArgumentValueError(f"slide_or_tree: the dimension {axis} has no elements")
    first, last = (_position(dataset, axis, end) * _MICROMETRES_PER_MM for end in (0, -1))
    if positions.size == 1:
        return (1.0 if step is None else step * _MICROMETRES_PER_MM), first
    scale = (last - first) / (positions.size - 1)
    if scale <= 0 or (axis in ("y", "x") and not _is_even(positions, scale)):
        raise ArgumentValueError(
            f"slide_or_tree: positions along {axis} must be ascending and evenly spaced, as "
            "OME-Zarr has only a scale and a translation"
        )
    return scale, first


def _position(dataset: xr.Dataset, name: str, index: int) -> float:
    """Read one position of a coordinate, which may be a scalar."""
    positions = dataset[name].variable
    return float(positions.isel(dict.fromkeys(positions.dims, index)).values)


def _is_even(positions: xr.Variable, scale: float) -> bool:
    """Whether positions in millimetres are evenly spaced at a distance in micrometres."""
    for start in range(0, positions.size - 1, _TOGETHER):
        part = np.asarray(positions[start : start + _TOGETHER + 1].values, np.float64)
        distances = np.diff(part * _MICROMETRES_PER_MM)
        if not np.abs(distances - scale).max() <= _UNEVEN * scale:
            return False
    return True


def _plane_name(dataset: xr.Dataset, variable: str | None) -> str:
    """Find the name of the coordinate of focal planes of a variable, a dimension or a scalar."""
    if variable is None:
        return FOCAL_PLANE
    image = dataset[variable]
    return plane_dimension((*image.dims, *image.coords)) or FOCAL_PLANE


def plane_offsets(dataset: xr.Dataset, variable: str) -> tuple[float, ...]:
    """Read the Z offsets of the focal planes of a variable in micrometres; empty if not known."""
    plane = _plane_name(dataset, variable)
    if plane not in dataset.coords:
        return ()
    heights = np.atleast_1d(dataset[plane].values) * _MICROMETRES_PER_MM
    return tuple(heights.round(_DECIMALS).tolist())


def uneven_planes(offsets: tuple[float, ...]) -> tuple[float, ...]:
    """Return offsets of focal planes if they are not evenly spaced; empty otherwise."""
    distances = np.diff(offsets)
    is_uneven = len(distances) and np.ptp(distances) > _UNEVEN * distances.mean()
    return offsets if is_uneven else ()


def slide_affine(dataset: xr.Dataset) -> NDArray[np.float64] | None:
    """Compute the transform from image axes to the slide coordinate system (PS3.3 C.8.12.2.1).

    Parameters
    ----------
    dataset : xarray.Dataset
        Level or associated image of the tree

    Returns
    -------
    numpy.ndarray or None
        Matrix of shape (4, 5) from homogeneous (c, z, y, x) to (c, z, y, x), in micrometres; None
        where the position of the image is not known
    """
    orientation = dataset.attrs.get("image_orientation_slide")
    origin = _origin(dataset, orientation) if orientation else None
    if orientation is None or origin is None:
        return None
    # Adding zero turns negative zeros of the attribute into zeros
    row, column = np.array(orientation[:3]) + 0.0, np.array(orientation[3:]) + 0.0
    affine = np.eye(4, 5)
    # Z of the slide is that of the focal plane, plus the tilt of the image along rows and columns
    for output, axis in ((1, 2), (2, 1), (3, 0)):
        affine[output, 2:4] = column[axis], row[axis]
        if axis < 2:
            affine[output, 4] = origin[axis] * _MICROMETRES_PER_MM
    return affine


def _origin(dataset: xr.Dataset, orientation: list[float]) -> tuple[float, float] | None:
    """Read X and Y in millimetres of the point where ``y`` and ``x`` are 0; None if not known."""
    stated = dataset.attrs.get("total_pixel_matrix_origin")
    if stated is not None:
        return float(stated[0]), float(stated[1])
    if not {"slide_x", "slide_y", "y", "x"} <= set(dataset.coords):
        return None
    y, x, slide_x, slide_y = (_position(dataset, n, 0) for n in ("y", "x", "slide_x", "slide_y"))
    return (
        slide_x - y * orientation[3] - x * orientation[0],
        slide_y - y * orientation[4] - x * orientation[1],
    )
