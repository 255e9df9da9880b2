"""GeoJSON as QuPath writes and reads it: features in pixels of the base level (RFC 7946)."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dicomslide.annotations.group import AnnotationGroup
from dicomslide.annotations.shapes import is_area
from dicomslide.annotations.tables import measured_names, outlines_on
from dicomslide.errors import ArgumentTypeError, ArgumentValueError, SourceError

__all__ = ["Feature", "read_features", "to_features"]

Feature = dict[str, Any]


def to_features(groups: Iterable[AnnotationGroup], level: int = 0) -> Iterator[Feature]:
    """Make a feature of each annotation.

    Parameters
    ----------
    groups : iterable of AnnotationGroup
        Groups
    level : int, optional
        Level whose pixels the coordinates are, from the corner of the top left one on

    Yields
    ------
    dict
        Feature with its classification and measurements; values that were not measured are left
        out
    """
    for group in groups:
        kind = "detection" if group.generation_type == "AUTOMATIC" else "annotation"
        classification: Feature = {"name": group.label or group.property_type.meaning}
        if group.color:
            classification["color"] = list(bytes.fromhex(group.color))
        points, starts = outlines_on(group, level)
        names = measured_names(group)
        values = [measurement.values.tolist() for measurement in group.measurements]
        for index in range(len(group)):
            corners = points[starts[index] : starts[index + 1]].tolist()
            measured = {
                name: own[index]
                for name, own in zip(names, values, strict=True)
                if math.isfinite(own[index])
            }
            properties: Feature = {"objectType": kind, "classification": classification}
            if group.identifiers and group.identifiers[index]:
                properties["name"] = group.identifiers[index]
            if measured:
                properties["measurements"] = measured
            geometry = _geometry(group.graphic_type, corners)
            yield {"type": "Feature", "geometry": geometry, "properties": properties}


def _geometry(graphic_type: str, points: list[list[float]]) -> Feature:
    if graphic_type == "POINT":
        if len(points) == 1:
            return {"type": "Point", "coordinates": points[0]}
        return {"type": "MultiPoint", "coordinates": points}
    if not is_area(graphic_type):
        return {"type": "LineString", "coordinates": points}
    return {"type": "Polygon", "coordinates": [[*points, points[0]]]}


def read_features(source: object) -> list[Feature]:
    """Read the features of a FeatureCollection, a feature, a list of features, or a file of them.

    Raises
    ------
    ArgumentTypeError
        When it is none of these
    ArgumentValueError
        When it is not GeoJSON
    SourceError
        When a file cannot be read
    """
    name = "geometries"
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        try:
            with open(source, encoding="utf-8") as file:
                source = json.load(file)
        except OSError as error:
            raise SourceError(f"{name}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise ArgumentValueError(f"{name}: no GeoJSON: {error}") from error
    if isinstance(source, Mapping) and source.get("type") == "FeatureCollection":
        source = source.get("features")
    elif isinstance(source, Mapping):
        source = [source]
    if not isinstance(source, list):
        raise ArgumentTypeError(
            f"{name}: expected GeoJSON with features, got {type(source).__name__}"
        )
    for index, feature in enumerate(source):
        if not isinstance(feature, Mapping) or not isinstance(feature.get("geometry"), Mapping):
            raise ArgumentValueError(f"{name}: feature {index} has no geometry")
    return source
