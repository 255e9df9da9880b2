"""Layers of annotations: the outlines of those in sight, drawn when they are looked at."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicomslide.annotations.filling import fill
from dicomslide.annotations.places import Affine
from dicomslide.annotations.shapes import bounding_boxes
from dicomslide.annotations.vectors import Vectors
from dicomslide.display.raster import Grid
from dicomslide.metadata.colors import distinct_color
from dicomslide.tree.schema import (
    ANNOTATION,
    GEOMETRY,
    NODE_COUNT,
    SLIDE_X,
    SLIDE_Y,
    is_annotations,
)
from dicomslide.viewing.axes import SlideAxes
from dicomslide.viewing.layers import Wishes, read_color

__all__ = ["Outlines", "annotation_layers"]

# Outlines that are drawn in one tile; of more, which nobody can tell apart, each n-th one is drawn
_MOST_DRAWN = 4096
# Outlines that are smaller, in pixels, are drawn as dots
_SMALLEST = 2.0
_GRAPHIC_TYPES = {"point": "POINT", "line": "POLYLINE", "polygon": "POLYGON"}
# Pixels of a line, and of a dot to either side of its centre
_WIDTH, _REACH = 2, 1


def annotation_layers(
    groups: Mapping[str, xr.Dataset], axes: SlideAxes | None
) -> Iterator["Outlines"]:
    """Make a layer of each group of annotations of a tree, if it is known where its slide lies.

    Parameters
    ----------
    groups : mapping
        Nodes of the tree, by their paths
    axes : SlideAxes or None
        Where the slide has its axes
    """
    colors = map(distinct_color, count())
    for path, node in groups.items():
        if axes is not None and is_annotations(path) and GEOMETRY in node:
            name = str(node.attrs.get("label") or path.rpartition("/")[2])
            yield Outlines(name, str(node.attrs.get("color") or next(colors)), node, axes)


@dataclass(frozen=True, eq=False)
class Outlines:
    """Layer of the outlines of a group of annotations. Their points are read when it is drawn.

    Parameters
    ----------
    name : str
        Name of the group
    color : str
        Six hexadecimal digits of the colour of the lines
    node : xarray.Dataset
        Node of the group in the tree
    axes : SlideAxes
        Where the slide has its axes
    """

    name: str
    color: str
    node: xr.Dataset
    axes: SlideAxes

    def describe(self) -> dict[str, Any]:
        """Describe the layer for the page, which shows it like a mask."""
        return {"kind": "mask", "name": self.name, "color": self.color}

    def draw(self, grid: Grid, height: float, wishes: Wishes) -> NDArray[np.uint8]:
        """Draw a part."""
        color = read_color(wishes["color"]) if "color" in wishes else self.color
        picture = Image.new("RGBA", grid.size[::-1])
        pen, ink = ImageDraw.Draw(picture), (*bytes.fromhex(color), 255)
        found = self._in_sight(grid, _REACH + _WIDTH)
        found = found[:: -(-len(found) // _MOST_DRAWN) or 1]
        shapes, boxes = self._shapes, self._boxes[found]
        is_dot = ((boxes[:, 2:] - boxes[:, :2]) / grid.step).max(axis=1, initial=0) < _SMALLEST
        for row, column in self._pixels(grid, (boxes[is_dot, :2] + boxes[is_dot, 2:]) / 2):
            pen.rectangle((column - _REACH, row - _REACH, column + _REACH, row + _REACH), ink)
        for index in found[~is_dot]:
            points = shapes.points[shapes.starts[index] : shapes.starts[index + 1]]
            line = [(column, row) for row, column in self._pixels(grid, points)]
            pen.line([*line, line[0]] if self._type == "polygon" else line, ink, _WIDTH)
        return np.asarray(picture)

    def values(self, grid: Grid, height: float, wishes: Wishes) -> list[str]:
        """Tell the number and the measurements of the annotation at a pixel in words."""
        found = self._in_sight(grid, 0)
        near = self._shapes.of(found)
        # Columns and rows from the centre of the pixel
        points = ((near.points - grid.corner) / grid.step - 0.5)[:, ::-1]
        vectors = Vectors(points, near.starts)
        owners, _ = fill(_GRAPHIC_TYPES[self._type], vectors, (1, 1))
        return [self._about(index) for index in found[owners[:1]].tolist()]

    def _about(self, index: int) -> str:
        measured = [
            f"{name} {float(variable[index]):.4g} {variable.attrs.get('units', '')}".rstrip()
            for name, variable in self.node.data_vars.items()
            if variable.dims == (ANNOTATION,) and name != NODE_COUNT
        ]
        return ", ".join([f"{self.name} {index}", *measured])

    @property
    def _type(self) -> str:
        return str(self.node[GEOMETRY].attrs["geometry_type"])

    @cached_property
    def _shapes(self) -> Vectors:
        """Read all points, and turn them to y and x along the axes of the image."""
        matrix = np.array(self.axes.matrix)
        on_slide = np.stack([self.node[name].values for name in (SLIDE_X, SLIDE_Y)], axis=-1)
        x_and_y = (on_slide - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
        return Vectors.of_counts(x_and_y[:, ::-1], self.node[NODE_COUNT].values)

    @cached_property
    def _boxes(self) -> NDArray[np.float64]:
        """Compute smallest y and x, largest y and x of each, shape (n, 4)."""
        same = Affine.of(np.eye(2), np.zeros(2))
        return bounding_boxes(_GRAPHIC_TYPES[self._type], self._shapes, same)

    def _in_sight(self, grid: Grid, margin: float) -> NDArray[np.int64]:
        """Find the annotations whose boxes touch a part, with a margin in pixels around it."""
        step = np.array(grid.step)
        low = np.array(grid.corner) - margin * step
        high = low + (np.array(grid.size) + 2 * margin) * step
        boxes = self._boxes
        inside = (boxes[:, 2:] >= low).all(axis=1) & (boxes[:, :2] <= high).all(axis=1)
        return np.flatnonzero(inside)

    def _pixels(self, grid: Grid, points: NDArray[np.floating]) -> list[list[int]]:
        """Find the row and column of the pixels that points lie in."""
        found: list[list[int]] = np.floor((points - grid.corner) / grid.step).astype(int).tolist()
        return found
