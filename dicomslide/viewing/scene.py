"""Scene of the viewer: a slide with its layers and associated images."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import imagecodecs
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image

from dicomslide.display.bands import levels_of
from dicomslide.display.composite import light_of
from dicomslide.display.raster import Grid
from dicomslide.display.tiles import Picture
from dicomslide.errors import ArgumentTypeError, ArgumentValueError, SelectionError
from dicomslide.slide import Slide
from dicomslide.tree.schema import IMAGE, SLIDE_X, is_associated, may_show_label
from dicomslide.viewing.axes import SlideAxes, place
from dicomslide.viewing.layers import Layer, SlideLayer, Wishes
from dicomslide.viewing.outlines import annotation_layers
from dicomslide.viewing.overlays import derived_layers, open_overlays

__all__ = ["Encoded", "Scene"]

TILE = 256
"""Rows and columns of a tile."""

# Colours change little at this quality, and edges keep theirs without subsampling
_QUALITY = 90
# Of zlib, which is twice as fast as the default and as small for tissue
_RUN_LENGTHS = 3
# Associated images are small pictures
_MOST_PIXELS = 2**26
_LARGEST_SIDE = 1600


@dataclass(frozen=True)
class Encoded:
    """A picture as a browser reads it.

    Parameters
    ----------
    content : bytes
        The file
    media_type : str
        Its type
    """

    content: bytes
    media_type: str


class Scene:
    """A slide with what is laid over it.

    Parameters
    ----------
    name : str
        What it is called
    slide_or_tree : Slide or xarray.DataTree
        Slide, or its tree, which may have been computed
    overlays : mapping, or one or a sequence of overlays, optional
        See `dicomslide.view`
    show_label : bool
        Whether associated images are shown that show the label, which may name a patient
    """

    def __init__(
        self,
        name: str,
        slide_or_tree: Slide | xr.DataTree,
        overlays: Any = None,
        *,
        show_label: bool = False,
    ) -> None:
        groups = _groups(slide_or_tree)
        if not (levels := levels_of(groups)):
            raise ArgumentValueError(f"slides: {name!r} has no levels")
        self.name = name
        self._axes = SlideAxes.of(levels[0])
        # Levels that were turned upright lie on the axes of the image again
        groups = {
            path: place(node, self._axes) if SLIDE_X in node.dims else node
            for path, node in groups.items()
        }
        self._picture = Picture(groups)
        derived, self._not_shown = derived_layers(groups, self._axes)
        own = open_overlays(overlays, self._axes, self._picture.grid)
        drawn = annotation_layers(groups, self._axes)
        self._layers: list[Layer] = [SlideLayer(self._picture), *derived, *drawn, *own]
        self._associated = {
            path.rpartition("/")[2]: node[IMAGE.name]
            for path, node in groups.items()
            if is_associated(path) and (show_label or not may_show_label(path, node.attrs))
        }

    @property
    def grid(self) -> Grid:
        """Pixels of the base level."""
        return self._picture.grid

    @cached_property
    def powers(self) -> int:
        """Number of grids of which each has half the rows and columns of the one before."""
        return max(math.ceil(math.log2(max(self.grid.size) / TILE)), 0) + 1

    def describe(self) -> dict[str, Any]:
        """Describe the scene for the page. Pixels may be read to choose windows."""
        grid, picture, axes = self.grid, self._picture, self._axes
        return {
            "name": self.name,
            "size": grid.size,
            "corner": grid.corner,
            "step": grid.step,
            "tile": TILE,
            "powers": self.powers,
            "slide": axes and {"matrix": axes.matrix, "is_parallel": axes.is_parallel},
            "background": picture.background,
            "planes": [round(1000 * height, 3) for height in picture.planes],
            "layers": [layer.describe() for layer in self._layers],
            "not_shown": self._not_shown,
            "associated": list(self._associated),
        }

    def draw_tile(
        self, layer: int, power: int, row: int, column: int, plane: int, wishes: Wishes
    ) -> Encoded:
        """Draw a tile.

        Parameters
        ----------
        layer : int
            Index of the layer
        power : int
            Its pixels stand for 2^power by 2^power of the base level
        row, column : int
            Its place in the grid of tiles, which begins at the first pixel
        plane : int
            Index of the focal plane
        wishes : mapping
            How the layer is to be seen

        Raises
        ------
        SelectionError
            When there is no such tile
        """
        grid = self._grid_at(power)
        if row * TILE >= grid.size[0] or column * TILE >= grid.size[1]:
            raise SelectionError(f"tile: there is none at row {row}, column {column}")
        offset = row * TILE, column * TILE
        size = min(TILE, grid.size[0] - offset[0]), min(TILE, grid.size[1] - offset[1])
        part = grid.part(offset, size)
        # Single pixels are looked at where none is an average
        pixels = self._layer(layer).draw(part, self._height(plane), wishes)
        return _encode(pixels, is_exact=power == 0)

    def tell_values(
        self, power: int, row: int, column: int, plane: int, wishes: Mapping[int, Wishes]
    ) -> list[str]:
        """Tell what some layers have at a pixel of the base level.

        Parameters
        ----------
        power : int
            The pixels that are looked at stand for 2^power by 2^power of the base level
        row, column : int
            Pixel of the base level
        plane : int
            Index of the focal plane
        wishes : mapping
            Index of each layer to how it is seen
        """
        if not (0 <= row < self.grid.size[0] and 0 <= column < self.grid.size[1]):
            return []
        grid = self._grid_at(power)
        part = grid.part((row >> power, column >> power), (1, 1))
        height = self._height(plane)
        return [
            text
            for index, wish in wishes.items()
            for text in self._layer(index).values(part, height, wish)
        ]

    def draw_associated(self, name: str) -> Encoded:
        """Draw an associated image.

        Raises
        ------
        SelectionError
            When there is none of the name, or it is not shown
        """
        if name not in self._associated:
            raise SelectionError(f"associated: there is no {name!r}")
        image = self._associated[name]
        if image.size > _MOST_PIXELS:
            raise ArgumentValueError(f"associated: {name!r} is too large")
        pixels = image.compute().values
        if pixels.dtype != np.uint8:
            pixels = light_of(pixels, (float(pixels.min()), float(pixels.max())))
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
        return _encode(np.asarray(picture.convert("RGB")))

    def _grid_at(self, power: int) -> Grid:
        if not 0 <= power < self.powers:
            raise SelectionError(f"power: {power} is none of {self.powers}")
        return self.grid.reduced(power)

    def _height(self, plane: int) -> float:
        planes = self._picture.planes
        if not 0 <= plane < len(planes):
            raise SelectionError(f"plane: {plane} is none of {len(planes)}")
        return planes[plane]

    def _layer(self, index: int) -> Layer:
        if not 0 <= index < len(self._layers):
            raise SelectionError(f"layer: {index} is none of {len(self._layers)}")
        return self._layers[index]


def _groups(slide_or_tree: Any) -> dict[str, xr.Dataset]:
    """Get the nodes of a slide or of a tree, by their paths."""
    if isinstance(slide_or_tree, Slide):
        return slide_or_tree.to_groups(chunks=None)
    if isinstance(slide_or_tree, xr.DataTree):
        return {
            "/" if path == "." else f"/{path}": node.to_dataset(inherit=False)
            for path, node in slide_or_tree.subtree_with_keys
        }
    raise ArgumentTypeError(
        f"slides: expected a Slide or a DataTree, got {type(slide_or_tree).__name__}"
    )


def _encode(pixels: NDArray[np.uint8], *, is_exact: bool = False) -> Encoded:
    """Write a picture: as JPEG where that is enough, and otherwise as PNG."""
    if is_exact or pixels.shape[2] > 3:
        rows = np.ascontiguousarray(pixels)
        content = bytes(imagecodecs.png_encode(rows, level=1, strategy=_RUN_LENGTHS))
        return Encoded(content, "image/png")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return Encoded(file.getvalue(), "image/jpeg")
