"""Choice of a stored level for a distance between pixels, or resampling to that distance."""

from collections.abc import Iterable
from dataclasses import replace

from dicomslide.arguments import number
from dicomslide.errors import ArgumentValueError
from dicomslide.metadata.geometry import ImageGeometry
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.resampled import ResampledArray
from dicomslide.placement.arrangement import Plane
from dicomslide.pyramid import LevelGrid

__all__ = ["level_at_spacing"]

# Largest shift of pixels that count as the same, in pixels, over the whole extent of a level
_SAME_PIXEL = 0.01


def level_at_spacing(
    planes: Iterable[Plane], spacing: float
) -> tuple[FrameArray | ResampledArray, LevelGrid]:
    """Find or make the level of a channel and focal plane with a distance between pixels.

    Parameters
    ----------
    planes : iterable of Plane
        Stored levels, from the finest to the coarsest
    spacing : float
        Distance in micrometres between pixels along rows and columns

    Returns
    -------
    array : FrameArray or ResampledArray
        Pixels of the level that is stored with this spacing; otherwise means of the coarsest level
        that is finer, or else of the finest one
    grid : LevelGrid
        Grid of the pixels; one that is made begins at the corner of the level that it is made from

    Raises
    ------
    ArgumentValueError
        When the spacing is not positive
    """
    distance = number("spacing", spacing) / 1000
    if distance <= 0:
        raise ArgumentValueError(f"spacing: {spacing} micrometres are not positive")
    finest, *coarser = planes
    plane, scale = finest, _scale(finest.geometry, distance)
    for candidate in coarser:
        own_scale = _scale(candidate.geometry, distance)
        if min(own_scale) >= 1 or _is_one(own_scale, candidate.grid.size):
            plane, scale = candidate, own_scale
    if _is_one(scale, plane.grid.size):
        return plane.array, plane.grid
    array = ResampledArray(plane.array, scale)
    x, y, z = plane.geometry.to_slide([step / 2 - 0.5 for step in scale]).tolist()
    geometry = replace(plane.geometry, origin=(x, y, z), spacing=(distance, distance))
    return array, LevelGrid(array.shape[:2], geometry)


def _scale(geometry: ImageGeometry, distance: float) -> tuple[float, float]:
    """Compute the rows and columns of a level for one pixel at a distance in millimetres."""
    made = replace(geometry, spacing=(distance, distance))
    return made.scale_to(geometry)


def _is_one(scale: tuple[float, float], size: tuple[int, int]) -> bool:
    """Whether a scale is 1 within the tolerance, over the size of a level."""
    drifts = (abs(step - 1) * extent for step, extent in zip(scale, size, strict=True))
    return max(drifts) < _SAME_PIXEL
