"""Nodes of annotations in the tree of a slide.

Each group is a node below ``annotations`` with the simple geometries of CF 1.8 (section 7.5)::

    geometry             container of the geometries
    node_count           (annotation)   number of points of each
    slide_x, slide_y     (node)         positions of the points in millimetres
    slide_z              (node) or ()   the same for Z, which all points may share
    area, …              (annotation)   a variable for each measurement
"""

import asyncio
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import dask.base
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from dicomslide.annotations.drawn import DrawnColumn
from dicomslide.annotations.group import AnnotationGroup
from dicomslide.annotations.measurements import Measurement, ValueSource
from dicomslide.metadata.codes import CodeItem
from dicomslide.pixels.chunks import LazyArray, as_dask
from dicomslide.tree.chunks import TreeChunks, other_sizes
from dicomslide.tree.coordinates import texts
from dicomslide.tree.schema import (
    ANNOTATION,
    GEOMETRY,
    NODE,
    NODE_COUNT,
    SLIDE_X,
    SLIDE_Y,
    SLIDE_Z,
    TRACKING,
    annotations_path,
    as_name,
    numbered,
)

__all__ = ["build_annotations"]

# Length of a chunk, of 8 MiB for coordinates
_CHUNK = 2**20


@dataclass(frozen=True)
class _Values:
    """Lazy array of the values of a measurement."""

    source: ValueSource
    size: int

    @property
    def ndim(self) -> int:
        return 1

    @property
    def shape(self) -> tuple[int]:
        return (self.size,)

    @property
    def dtype(self) -> np.dtype:
        return self.source.dtype

    def __getitem__(self, key: Any) -> NDArray:
        return self.source.read()[key]


class _Backend(BackendArray):
    """Backend array through which xarray indexes a lazy array of one dimension."""

    def __init__(self, array: LazyArray) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return self.array[key.tuple]

    async def async_getitem(self, key: indexing.ExplicitIndexer) -> Any:
        return await asyncio.to_thread(self.__getitem__, key)


def build_annotations(
    groups: Iterable[AnnotationGroup], chunks: TreeChunks
) -> dict[str, xr.Dataset]:
    """Build the nodes of groups of annotations.

    Parameters
    ----------
    groups : iterable of AnnotationGroup
        Groups
    chunks : TreeChunks
        Sizes of chunks; None for lazy arrays without dask. Sizes of ``annotation`` and ``node`` may
        be given by dimension

    Returns
    -------
    dict
        Data sets by the paths of their nodes. No coordinate is read where the number of points is
        known
    """
    nodes: dict[str, xr.Dataset] = {}
    for group in groups:
        nodes[annotations_path(group.label, nodes)] = _node(group, chunks)
    return nodes


def _node(group: AnnotationGroup, chunks: TreeChunks) -> xr.Dataset:
    source, place = group._source, group._place

    def column(axis: int, dimension: str, attributes: dict[str, str]) -> xr.Variable:
        array = DrawnColumn(source, group.graphic_type, place, axis)
        return _variable(dimension, array, (source.token, place, axis), attributes, chunks)

    kind = {"POINT": "point", "POLYLINE": "line"}.get(group.graphic_type, "polygon")
    container = {
        "geometry_type": kind,
        "node_count": NODE_COUNT,
        "node_coordinates": f"{SLIDE_X} {SLIDE_Y}",
        # Name of the variable of geometries that cf-xarray makes
        "variable_name": GEOMETRY,
    }
    axes = {
        name: column(axis, NODE, {"axis": letter, **_about(letter)})
        for axis, (name, letter) in enumerate(((SLIDE_X, "X"), (SLIDE_Y, "Y")))
    }
    variables = {
        GEOMETRY: xr.Variable((), np.int8(0), container),
        NODE_COUNT: column(-1, ANNOTATION, {"long_name": "number of points"}),
        # No coordinate, as cf-xarray knows none of single values beside a geometry
        SLIDE_Z: column(2, NODE, _about("Z"))
        if place.height is None and place.geometry is None
        else xr.Variable((), place.to_slide.offset[2], _about("Z")),
    }
    names: dict[str, int] = dict.fromkeys((*variables, *axes, TRACKING), 1)
    for measurement in group.measurements:
        name = as_name(measurement.name.meaning) or "measurement"
        names[name] = names.get(name, 0) + 1
        variables[numbered(name, names[name])] = _measured(measurement, len(group), chunks)
    if group.identifiers:
        axes[TRACKING] = texts(ANNOTATION, group.identifiers)
    return xr.Dataset(variables, axes, _attributes(group))


def _about(letter: str) -> dict[str, str]:
    return {"units": "mm", "long_name": f"{letter} in the slide coordinate system"}


def _measured(measurement: Measurement, size: int, chunks: TreeChunks) -> xr.Variable:
    attributes = {
        "long_name": measurement.name.meaning,
        "units": measurement.unit.value,
        "code": measurement.name.value,
        "code_scheme": measurement.name.scheme_designator,
        "geometry": GEOMETRY,
    }
    array = _Values(measurement.source, size)
    return _variable(ANNOTATION, array, measurement.source.token, attributes, chunks)


def _variable(
    dimension: str,
    array: LazyArray,
    token: Hashable,
    attributes: dict[str, str],
    chunks: TreeChunks,
) -> xr.Variable:
    (length,) = array.shape
    if chunks is None:
        data: Any = indexing.LazilyIndexedArray(_Backend(array))
    else:
        sizes = other_sizes(chunks, {dimension: length}, _CHUNK)
        data = as_dask(array, f"annotations-{dask.base.tokenize(token)}", sizes)
    encoding = {"preferred_chunks": {dimension: max(min(_CHUNK, length), 1)}}
    return xr.Variable(dimension, data, attributes, encoding)


def _attributes(group: AnnotationGroup) -> dict[str, Any]:
    stated: dict[str, Any] = {
        "annotation_group_number": group.number,
        "annotation_group_uid": group.uid,
        "label": group.label,
        "description": group.description,
        "graphic_type": group.graphic_type,
        "coordinate_type": group.coordinate_type,
        **_coded("category", group.category),
        **_coded("type", group.property_type),
        "generation_type": group.generation_type,
        "algorithms": list(group.algorithms),
        "color": group.color,
        "optical_paths": list(group.optical_paths),
        "sop_instance_uid": group.sop_instance_uid,
        "series_instance_uid": group.series_instance_uid,
    }
    return {name: value for name, value in stated.items() if value not in ("", [])}


def _coded(name: str, code: CodeItem) -> dict[str, str]:
    return {
        name: code.meaning,
        f"{name}_code": code.value,
        f"{name}_scheme": code.scheme_designator,
    }
