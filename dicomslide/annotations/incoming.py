"""Groups of annotations that are to be written, from tables, GeoJSON or arrays."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomslide.annotations.geojson import read_features
from dicomslide.annotations.vectors import POINTS_EACH, Vectors
from dicomslide.errors import ArgumentTypeError, ArgumentValueError

__all__ = ["NewGroup", "groups_of"]

_LEAST_POINTS = {"POLYLINE": 2, "POLYGON": 3}
# Graphic types of the geometries of GeoJSON and shapely
_KINDS = {
    "Point": "POINT",
    "LineString": "POLYLINE",
    "LinearRing": "POLYGON",
    "Polygon": "POLYGON",
}


@dataclass(frozen=True, eq=False)
class NewGroup:
    """Group of annotations that is to be written.

    Parameters
    ----------
    label : str
        Annotation Group Label
    graphic_type : str
        Graphic Type
    vectors : Vectors
        Points; polygons do not repeat their first one
    measurements : mapping
        Values by name, each of shape (n,); NaN for none
    color : tuple of int, optional
        Red, green and blue
    """

    label: str
    graphic_type: str
    vectors: Vectors
    measurements: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    color: tuple[int, int, int] | None = None


def groups_of(
    geometries: Any,
    label: str,
    graphic_type: str | None,
    measurements: Mapping[str, Any] | None,
) -> list[NewGroup]:
    """Sort geometries into groups of one label and graphic type.

    Parameters
    ----------
    geometries : GeoDataFrame, GeoJSON or tuple of array_like
        See `dicomslide.write_annotations`
    label : str
        Label of geometries that have none
    graphic_type : str, optional
        Graphic type of arrays
    measurements : mapping, optional
        Measurements of arrays

    Raises
    ------
    TypeError, ValueError
        When there are no geometries, or one of them cannot be an annotation

    Warns
    -----
    UserWarning
        When holes are left out, or geometries of several parts are divided
    """
    if isinstance(geometries, tuple):
        found = [_of_arrays(geometries, label, graphic_type or "POLYGON", measurements or {})]
    elif graphic_type is not None or measurements is not None:
        name = "graphic_type" if graphic_type is not None else "measurements"
        raise ArgumentValueError(f"{name}: for arrays alone, as tables and GeoJSON have their own")
    elif hasattr(geometries, "geometry") and hasattr(geometries, "columns"):
        found = _of_table(geometries, label)
    else:
        found = _sorted_by_kind(_features(geometries, label))
    if not found:
        raise ArgumentValueError("geometries: there are none")
    for group in found:
        _check(group)
    return found


def _check(group: NewGroup) -> None:
    points, counts = group.vectors.points, group.vectors.counts
    if not np.isfinite(points).all():
        raise ArgumentValueError(f"geometries: a coordinate of {group.label!r} is not finite")
    each = POINTS_EACH.get(group.graphic_type)
    least = each or _LEAST_POINTS[group.graphic_type]
    if (counts < least).any() or (each is not None and (counts != each).any()):
        raise ArgumentValueError(
            f"geometries: a {group.graphic_type} of {group.label!r} has {counts.min()} to "
            f"{counts.max()} points, expected {'' if each else 'at least '}{least}"
        )


def _of_arrays(
    arrays: tuple[Any, ...], label: str, graphic_type: str, measurements: Mapping[str, Any]
) -> NewGroup:
    if len(arrays) != 2:
        raise ArgumentValueError(
            f"geometries: expected points and their counts, got {len(arrays)} arrays"
        )
    if graphic_type not in (*POINTS_EACH, *_LEAST_POINTS):
        raise ArgumentValueError(f"graphic_type: there is no {graphic_type!r}")
    points, counts = np.asarray(arrays[0]), np.asarray(arrays[1])
    if points.dtype not in (np.float32, np.float64):
        points = points.astype(np.float64)
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise ArgumentValueError(
            f"geometries: expected points of shape (n, 2) or (n, 3), got {points.shape}"
        )
    if counts.ndim != 1 or counts.dtype.kind not in "iu":
        raise ArgumentTypeError("geometries: expected the number of points of each as integers")
    if not len(counts) or counts.sum() != len(points):
        raise ArgumentValueError(
            f"geometries: {len(points)} points, expected {counts.sum()} for {len(counts)} of them"
        )
    values = {name: np.asarray(own, np.float64) for name, own in measurements.items()}
    for name, own in values.items():
        if own.shape != counts.shape:
            raise ArgumentValueError(
                f"measurements: {name} has shape {own.shape}, expected {counts.shape}"
            )
    return NewGroup(label, graphic_type, Vectors.of_counts(points, counts), values)


@dataclass(frozen=True)
class _Item:
    """Geometry with what is stated of it."""

    label: str
    type: str
    coordinates: Any
    measurements: Mapping[str, float]
    color: tuple[int, int, int] | None = None


def _of_table(table: Any, label: str) -> list[NewGroup]:
    """Sort the rows of a GeoDataFrame, whose other numbers are measurements."""
    import shapely

    geometry = table.geometry.name
    name = next((name for name in ("classification", "label") if name in table.columns), None)
    numbers = {
        str(column): table[column].to_numpy(np.float64)
        for column in table.columns
        if column not in (geometry, name) and table[column].dtype.kind in "iuf"
    }
    labels = np.full(len(table), label) if name is None else table[name].astype(str).to_numpy()
    shapes = table.geometry.to_numpy()
    if (empty := shapely.is_missing(shapes) | shapely.is_empty(shapes)).any():
        raise ArgumentValueError(f"geometries: row {np.flatnonzero(empty)[0]} has none")
    parts, rows = shapely.get_parts(shapes, return_index=True)
    types = shapely.get_type_id(parts)
    is_polygon = types == shapely.GeometryType.POLYGON
    holes = shapely.get_num_interior_rings(parts[is_polygon]) > 0
    _warn(int(holes.sum()), int((np.bincount(rows) > 1).sum()))
    parts[is_polygon] = shapely.get_exterior_ring(parts[is_polygon])
    found = []
    for own in dict.fromkeys(labels.tolist()):
        for kind in _KINDS:
            same = types == shapely.GeometryType[kind.upper()]
            chosen = np.flatnonzero(same & (labels[rows] == own))
            if len(chosen):
                vectors = _open_rings(parts[chosen], _KINDS[kind] == "POLYGON")
                values = {key: column[rows[chosen]] for key, column in numbers.items()}
                found.append(NewGroup(own, _KINDS[kind], vectors, values))
    if sum(len(group.vectors.counts) for group in found) != len(parts):
        raise ArgumentValueError(
            f"geometries: expected {', '.join(_KINDS)}, or several of these in one"
        )
    return found


def _open_rings(parts: NDArray[Any], is_closed: bool) -> Vectors:
    """Collect the points of geometries, without the last one of each if it repeats the first."""
    import shapely

    points, owners = shapely.get_coordinates(
        parts, include_z=bool(shapely.has_z(parts).all()), return_index=True
    )
    counts = np.bincount(owners, minlength=len(parts))
    if is_closed:
        points = np.delete(points, np.cumsum(counts) - 1, axis=0)
        counts -= 1
    return Vectors.of_counts(points, counts)


def _features(source: Any, label: str) -> Iterator[_Item]:
    for index, feature in enumerate(read_features(source)):
        stated = feature.get("properties") or {}
        classification = stated.get("classification") or {}
        if isinstance(classification, str):
            classification = {"name": classification}
        name = classification.get("name") or label
        measured = stated.get("measurements") or {}
        if isinstance(measured, list):
            # Older versions of QuPath write a list of names and values
            measured = {item.get("name"): item.get("value") for item in measured}
        geometry = feature["geometry"]
        try:
            values = {str(key): float(value) for key, value in measured.items()}
            color = classification.get("color")
            red, green, blue = map(int, color) if color else (0, 0, 0)
            yield _Item(
                str(name),
                geometry["type"],
                geometry["coordinates"],
                values,
                (red, green, blue) if color else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArgumentValueError(f"geometries: feature {index}: {error!r}") from error


def _sorted_by_kind(items: Iterator[_Item]) -> list[NewGroup]:
    kinds: dict[tuple[str, str], list[tuple[_Item, NDArray]]] = {}
    divided = holes = 0
    for index, item in enumerate(items):
        parts = [item.coordinates]
        kind = item.type
        if kind.startswith("Multi"):
            parts, kind = list(item.coordinates), kind.removeprefix("Multi")
            divided += len(parts) > 1
        if kind not in _KINDS:
            raise ArgumentValueError(
                f"geometries: {index} is a {item.type}, expected {', '.join(_KINDS)}, or several "
                "of these"
            )
        for part in parts:
            if kind == "Polygon":
                holes += len(part) > 1
                part = part[0] if part else []
            points = _points(part, kind, index)
            kinds.setdefault((item.label, _KINDS[kind]), []).append((item, points))
    _warn(holes, divided)
    return [_group(label, kind, members) for (label, kind), members in kinds.items()]


def _warn(holes: int, divided: int) -> None:
    for number, what in (
        (holes, "polygons with holes, which annotations cannot have: these are left out"),
        (divided, "geometries of several parts, each of which becomes an annotation"),
    ):
        if number:
            warnings.warn(f"geometries: there are {number} {what}", stacklevel=5)


def _points(coordinates: Any, kind: str, index: int) -> NDArray[np.float64]:
    try:
        points = np.array([coordinates] if kind == "Point" else coordinates, np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentValueError(f"geometries: {index} has no coordinates: {error}") from error
    if points.ndim != 2 or points.shape[1] < 2:
        raise ArgumentValueError(
            f"geometries: {index} has coordinates of shape {points.shape}, expected (n, 2)"
        )
    # Others repeat the first point of a polygon at its end
    is_closed = _KINDS[kind] == "POLYGON" and len(points) > 1 and (points[0] == points[-1]).all()
    return points[:-1] if is_closed else points


def _group(label: str, kind: str, members: Sequence[tuple[_Item, NDArray]]) -> NewGroup:
    names = dict.fromkeys(name for item, _ in members for name in item.measurements)
    dimensions = {points.shape[1] for _, points in members}
    if len(dimensions) > 1:
        raise ArgumentValueError(f"geometries: some of {label!r} have Z, and others have none")
    counts = [len(points) for _, points in members]
    return NewGroup(
        label,
        kind,
        Vectors.of_counts(np.concatenate([points for _, points in members]), counts),
        {
            name: np.array([item.measurements.get(name, np.nan) for item, _ in members])
            for name in names
        },
        members[0][0].color,
    )
