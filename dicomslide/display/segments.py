"""What is laid over a picture: segments and label maps of the tree, and arrays of the user."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dicomslide.arguments import require_type
from dicomslide.display.orientation import on_slide
from dicomslide.display.overlay import lay_over
from dicomslide.display.picture import middle_planes
from dicomslide.display.sampling import sample_onto
from dicomslide.errors import ArgumentTypeError, SelectionError
from dicomslide.metadata.colors import distinct_color
from dicomslide.tree.schema import (
    COLUMNS,
    ROWS,
    SEGMENTATION,
    SLIDE_X,
    SLIDE_Y,
    is_derived,
    texts_of,
    variables_of,
)

__all__ = ["Overlay", "Overlays", "find_overlays", "nodes_beside", "one_plane"]

Overlays = bool | str | int | xr.DataArray | Sequence[str | int] | Mapping[str, xr.DataArray]
"""All segments; labels or numbers of some; an array or named ones with coordinates of the slide."""


# Largest difference between the direction cosines of images that are parallel
_SAME_DIRECTION = 1e-3
# More labels are named together in a legend
_MOST_ENTRIES = 24
_SPATIAL = {ROWS, COLUMNS, SLIDE_X, SLIDE_Y}


@dataclass(frozen=True, eq=False)
class Overlay:
    """Something that is laid over a picture.

    Parameters
    ----------
    name : str
        What a legend calls it
    color : str
        Six hexadecimal digits; labels of an array that has several have colours of their own
    amount : xarray.DataArray
        Where it is, on pixels of its own: a mask, parts from 0 to 1, or labels, 0 being none. In
        several focal planes it is where it is in any of them
    """

    name: str
    color: str
    amount: xr.DataArray

    def lay_over(
        self, pixels: NDArray[np.uint8], picture: xr.DataArray, opacity: float
    ) -> tuple[NDArray[np.uint8], dict[str, str]]:
        """Lay it over a picture.

        Parameters
        ----------
        pixels : numpy.ndarray
            Red, green and blue of the picture so far, shape (rows, columns, 3)
        picture : xarray.DataArray
            The picture, which says where its pixels lie
        opacity : float
            How much of a pixel that is wholly covered the colour hides, from 0 to 1

        Returns
        -------
        pixels : numpy.ndarray
            Red, green and blue
        entries : dict
            Names and colours of the legend
        """
        found = sample_onto(self.amount, picture)
        others = [name for name in found.dims if name not in picture.dims]
        # Whatever is in one of the focal planes is shown
        amount = found.fillna(0).max(others).values
        if self.amount.dtype.kind not in "iu":
            return lay_over(pixels, amount, self.color, opacity), {self.name: self.color}
        values, places = np.unique(amount, return_inverse=True)
        labels = {int(value): distinct_color(int(value)) for value in values if value}
        if len(labels) == 1:
            return lay_over(pixels, amount != 0, self.color, opacity), {self.name: self.color}
        table = np.array([list(bytes.fromhex(labels.get(int(v), "000000"))) for v in values])
        colors = table[places.reshape(amount.shape)]
        entries = {f"{self.name} {label}": color for label, color in labels.items()}
        if len(entries) > _MOST_ENTRIES:
            entries = {f"{self.name}, {len(entries):,} labels": self.color}
        return lay_over(pixels, amount != 0, colors, opacity), entries


def find_overlays(
    nodes: Sequence[xr.Dataset], wanted: Overlays, colors: Mapping[str, str] | None = None
) -> list[Overlay]:
    """Find what is to be laid over a picture.

    Parameters
    ----------
    nodes : sequence of xarray.Dataset
        Nodes that may have segments: the one that is shown first. A segment is taken from the first
        node that has it
    wanted : bool, str, int, xarray.DataArray, sequence or mapping
        True for all segments; labels or numbers of some; an array, or arrays by their names: masks,
        parts from 0 to 1, or labels, 0 being none
    colors : mapping, optional
        Colours by names, six hexadecimal digits each

    Raises
    ------
    TypeError
        When this is something else
    ValueError
        When there is no such segment
    """
    if isinstance(wanted, xr.DataArray):
        wanted = {str(wanted.name or "overlay"): wanted}
    if isinstance(wanted, Mapping):
        found = list(_given(wanted))
    else:
        known = list(_segments(nodes))
        if wanted is True:
            found = [overlay for _, overlay in known]
        elif wanted is False:
            found = []
        else:
            names = [wanted] if isinstance(wanted, str | int | np.integer) else list(wanted)
            found = [_named(known, name) for name in names]
    return [
        Overlay(o.name, (colors or {}).get(o.name, o.color).removeprefix("#"), o.amount)
        for o in found
    ]


def _named(known: Iterable[tuple[int, Overlay]], name: str | int) -> Overlay:
    if isinstance(name, bool) or not isinstance(name, str | int | np.integer):
        raise ArgumentTypeError(
            "overlay: expected True, labels or numbers of segments, or arrays, got "
            f"{type(name).__name__}"
        )
    for number, overlay in known:
        if str(name) == str(number) or str(name).casefold() == overlay.name.casefold():
            return overlay
    listed = ", ".join(f"{number} ({overlay.name})" for number, overlay in known) or "none"
    raise SelectionError(f"overlay: there is no segment {name!r}, only {listed}")


def _segments(nodes: Sequence[xr.Dataset]) -> Iterator[tuple[int, Overlay]]:
    """Find the segments, each in the first node that has it."""
    seen = set()
    for node in nodes:
        for variable in variables_of(node, SEGMENTATION):
            array = node[variable.name]
            if variable.dimension not in array.dims:
                array = array.expand_dims(variable.dimension)

            count = array.sizes[variable.dimension]
            # Coordinates may have been dropped
            numbers, series, labels, colors = (
                texts_of(node, variable.of(name)) or [""] * count
                for name in ("segment", "segment_series", "label", "segment_color")
            )
            for row in range(count):
                number = int(numbers[row] or row + 1)
                identity = number, series[row], labels[row]
                if identity in seen:
                    continue
                seen.add(identity)
                name = labels[row] or f"segment {number}"
                color = colors[row] or distinct_color(number)
                yield number, Overlay(name, color, array.isel({variable.dimension: row}, drop=True))


def _given(arrays: Mapping[str, xr.DataArray]) -> Iterator[Overlay]:
    for index, (name, array) in enumerate(arrays.items()):
        require_type(f"overlay[{name!r}]", array, xr.DataArray)
        yield Overlay(name, distinct_color(index), array)


def nodes_beside(base: xr.Dataset, tree: xr.DataTree) -> list[xr.Dataset]:
    """Find the nodes of derived images that can be laid over a level.

    Warns
    -----
    UserWarning
        When there are others, which are turned against the level
    """
    found = []
    for node in tree.subtree:
        if not is_derived(node.path):
            continue
        derived = node.to_dataset()
        own, other = (
            np.array(data.attrs.get("image_orientation_slide", (0.0,) * 6))
            for data in (base, derived)
        )
        is_parallel = bool(np.abs(own - other).max() <= _SAME_DIRECTION)
        if is_parallel or (on_slide(base) and on_slide(derived)):
            found.append(derived)
        else:
            warnings.warn(
                f"{node.path.lstrip('/')} is not laid over the image: it is turned against it",
                stacklevel=2,
            )
    return found


def one_plane(array: xr.DataArray) -> xr.DataArray:
    """Leave the middle focal plane, and no dimension of one element but rows and columns."""
    array = array.isel(middle_planes(array.sizes), drop=True)
    single = [n for n, size in array.sizes.items() if size == 1 and n not in _SPATIAL]
    return array.squeeze(single, drop=True)
