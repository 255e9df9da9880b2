"""Optimization of dask graphs, so that of chunks only the frames that are needed are read."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from numbers import Integral
from typing import Any, NamedTuple

from dask._task_spec import convert_legacy_graph
from dask.array import chunk
from dask.array.core import getter
from dask.array.optimization import optimize
from dask.blockwise import optimize_blockwise
from dask.core import flatten, reverse_dict
from dask.highlevelgraph import HighLevelGraph
from dask.utils import ensure_dict

from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.indexing import as_slice
from dicomslide.pixels.stack import FrameStack

__all__ = ["optimize_slices"]

_SLICERS = operator.getitem, chunk.getitem


class _Part(NamedTuple):
    """Part of a lazy array that a task reads."""

    frame: tuple[int, ...]
    """Length of a frame along each axis"""
    selected: tuple[range | int, ...]
    """Indices along each axis; a number where the axis is dropped"""

    @property
    def key(self) -> tuple[slice | int, ...]:
        """Index of the part in the array."""
        return tuple(as_slice(part) if isinstance(part, range) else part for part in self.selected)

    @property
    def frames(self) -> int:
        """Number of frames that hold pixels of the part."""
        return math.prod(map(_touched, self.selected, self.frame))

    def narrowed(self, index: Any) -> _Part | None:
        """Return a part of this part; None where the index has more than numbers and slices."""
        axes = [axis for axis, part in enumerate(self.selected) if isinstance(part, range)]
        basic = isinstance(index, tuple) and all(isinstance(i, (Integral, slice)) for i in index)
        if not basic or len(index) != len(axes):
            return None
        selected = list(self.selected)
        for axis, i in zip(axes, index, strict=True):
            part = self.selected[axis]
            assert isinstance(part, range)
            selected[axis] = part[i]
        return self._replace(selected=tuple(selected))


def _touched(part: range | int, size: int) -> int:
    """Count the frames along an axis that hold any of some indices."""
    if isinstance(part, int) or not part:
        return int(isinstance(part, int))
    if abs(part.step) >= size:
        return len(part)
    return abs(part[-1] // size - part[0] // size) + 1


def optimize_slices(graph: Mapping[Any, Any], keys: Any, **options: Any) -> Mapping[Any, Any]:
    """Optimize a graph as dask does for arrays, and read only the frames that are needed.

    Dask by itself reads whole chunks for slices of slices, and for several slices of one chunk that
    are computed together. With this function tasks that slice a chunk read their own part of it,
    unless that would decode more frames than the chunk has. The values are the same. Use it in the
    configuration of dask: ``dask.config.set(array_optimize=dicomslide.optimize_slices)``.

    Parameters
    ----------
    graph : mapping
        Graph of dask
    keys : list
        Keys to be computed, which may be in nested lists
    **options
        Passed on to `dask.array.optimization.optimize`

    Returns
    -------
    mapping
        Optimized graph
    """
    wanted = set(flatten(keys if isinstance(keys, (list, set)) else [keys]))
    if not isinstance(graph, HighLevelGraph):
        graph = HighLevelGraph.from_collections(id(graph), graph, dependencies=())
    culled = optimize_blockwise(graph, keys=wanted).cull(wanted)
    tasks = convert_legacy_graph(ensure_dict(culled))
    _narrow(tasks, wanted)
    return optimize(tasks, list(wanted), **options)


def _narrow(tasks: dict[Any, Any], wanted: set[Any]) -> None:
    """Replace tasks that slice the result of a reading task by tasks that read the slice."""
    users = reverse_dict({key: task.dependencies for key, task in tasks.items()})
    parts = {key: part for key, task in tasks.items() if (part := _read_by(task, tasks))}
    waiting = list(parts)
    while waiting:
        key = waiting.pop()
        reading, part = tasks[key], parts[key]
        slices = {user: _sliced(tasks[user], part) for user in users[key]}
        found = {user: inner for user, inner in slices.items() if inner is not None}
        if key in wanted or not found or len(found) < len(slices):
            continue
        if sum(inner.frames for inner in found.values()) > part.frames:
            continue
        for user, inner in found.items():
            tasks[user] = type(reading)(user, getter, reading.args[0], inner.key)
        parts |= found
        waiting.extend(found)


def _read_by(task: Any, tasks: Mapping[Any, Any]) -> _Part | None:
    """Find the part of an array of frames that a task reads; None for other tasks."""
    if getattr(task, "func", None) is not getter or len(task.args) != 2:
        return None
    array: Any = getattr(tasks.get(getattr(task.args[0], "key", None)), "value", None)
    frame = _frame_shape(array)
    if frame is None:
        return None
    return _Part(frame, tuple(map(range, array.shape))).narrowed(_value(task.args[1]))


def _frame_shape(array: Any) -> tuple[int, ...] | None:
    """Find the length of a frame along each axis of an array; None for other arrays."""
    inner = array
    # xarray wraps several arrays of its own around the one of an engine
    while hasattr(inner, "array"):
        inner = inner.array
    inner = getattr(inner, "stack", inner)
    if not isinstance(inner, (FrameArray, FrameStack)) or inner.ndim != array.ndim:
        return None
    return inner.tile_shape


def _sliced(task: Any, part: _Part) -> _Part | None:
    """Find the part that a slicing task takes of another part; None for other tasks."""
    if getattr(task, "func", None) not in _SLICERS or len(task.args) != 2:
        return None
    return part.narrowed(_value(task.args[1]))


def _value(argument: Any) -> Any:
    return getattr(argument, "value", argument)
