"""Tables of annotations, with a geometry of shapely for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomslide.annotations.group import AnnotationGroup
from dicomslide.annotations.shapes import is_area, outlines
from dicomslide.annotations.vectors import Vectors
from dicomslide.errors import ArgumentValueError

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["measured_names", "outlines_on", "to_geodataframe"]


def to_geodataframe(group: AnnotationGroup, level: int | None) -> gpd.GeoDataFrame:
    """Make a table of a group: see `AnnotationGroup.to_geodataframe`."""
    try:
        import geopandas as gpd
    except ImportError as error:
        raise ArgumentValueError(
            f"tables of annotations need {error.name}: the extra annotations installs it"
        ) from error
    names = measured_names(group)
    columns: dict[str, Any] = dict(
        zip(names, (found.values for found in group.measurements), strict=True)
    )
    if group.identifiers:
        columns["tracking_identifier"] = list(group.identifiers)
    table = gpd.GeoDataFrame(columns, geometry=_geometries(group, level))
    table.attrs = {
        "label": group.label,
        "category": group.category.meaning,
        "type": group.property_type.meaning,
        "coordinates": "mm" if level is None else f"pixels of level {level}",
        "units": dict(zip(names, (m.unit.value for m in group.measurements), strict=True)),
    }
    return table


def measured_names(group: AnnotationGroup) -> list[str]:
    """Make a name for each measurement of a group: its meaning, numbered where it occurs again."""
    names: list[str] = []
    for measurement in group.measurements:
        meaning = measurement.name.meaning or measurement.name.value
        count = sum(name == meaning or name.startswith(f"{meaning} (") for name in names)
        names.append(f"{meaning} ({count + 1})" if count else meaning)
    return names


def outlines_on(group: AnnotationGroup, level: int | None) -> Vectors:
    """Compute the outlines of a group in (column, row) of a level, or in (x, y) in millimetres."""
    points, starts = outlines(group.graphic_type, group.vectors)
    transform = group._place.to_slide if level is None else group._place.to_level(level)
    return Vectors(np.stack([transform.axis(axis, points) for axis in range(2)], axis=1), starts)


def _geometries(group: AnnotationGroup, level: int | None) -> NDArray[Any]:
    import shapely

    points, starts = outlines_on(group, level)
    if group.graphic_type == "POINT":
        if len(points) == len(group):
            return shapely.points(points)
        return shapely.from_ragged_array(shapely.GeometryType.MULTIPOINT, points, (starts,))
    # Rings need three points and lines two; what has fewer repeats its last one
    points, starts = _padded(Vectors(points, starts), 3 if is_area(group.graphic_type) else 2)
    if not is_area(group.graphic_type):
        return shapely.from_ragged_array(shapely.GeometryType.LINESTRING, points, (starts,))
    rings = np.arange(len(starts))
    return shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, (starts, rings))


def _padded(vectors: Vectors, least: int) -> Vectors:
    points, starts = vectors
    counts = vectors.counts
    lacking = np.maximum(least - counts, 0)
    if not lacking.any():
        return vectors
    repeats = np.ones(len(points), np.int64)
    repeats[starts[1:] - 1] += lacking
    return Vectors.of_counts(np.repeat(points, repeats, axis=0), counts + lacking)
