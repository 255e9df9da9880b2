"""Channels, segments and parameters of a tree, each at all levels that show it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import xarray as xr

from dicomslide.display.channels import Display, image_displays, parameter_displays
from dicomslide.display.raster import Grid, Raster, Values, coarsest
from dicomslide.metadata.colors import distinct_color
from dicomslide.tree.schema import (
    IMAGE,
    PARAMETRIC_MAP,
    SAMPLE,
    SEGMENTATION,
    Kind,
    Variable,
    level_number,
    texts_of,
    variables_of,
)

__all__ = ["Band", "Groups", "find_bands", "read_bands"]

Groups = Mapping[str, xr.Dataset]

_COLORS = 3
# Coordinates that tell the channels of a kind apart at all levels
_IDENTITY = {
    IMAGE.name: ("channel",),
    SEGMENTATION.name: ("segment", "label", "segment_series"),
    PARAMETRIC_MAP.name: ("parameter", "parameter_series"),
}


@dataclass(frozen=True, eq=False)
class Band:
    """A channel, segment or parameter at all levels that show it.

    Parameters
    ----------
    display : Display
        How it is shown
    is_color : bool
        Whether its pixels are colours
    rasters : dict
        Arrays that it is in, finest first, to its place in each
    """

    display: Display
    is_color: bool = False
    rasters: dict[Raster, int] = field(default_factory=dict)

    @property
    def finest(self) -> Raster:
        """The array that has the most pixels."""
        return min(self.rasters, key=lambda raster: raster.grid.step)

    @property
    def smallest(self) -> Raster:
        """The array that has the fewest pixels."""
        return max(self.rasters, key=lambda raster: raster.grid.step)


def find_bands(groups: Groups, kind: Kind) -> tuple[Band, ...]:
    """Find the channels of a kind at all levels of a tree, those of the base level first.

    Parameters
    ----------
    groups : mapping
        Nodes of the tree, by their paths
    kind : Kind
        Optical paths, segments or parameters
    """
    numbers = {path: level_number(path) for path in groups}
    levels = sorted((number, path) for path, number in numbers.items() if number is not None)
    found: dict[tuple[str, ...], Band] = {}
    for _, path in levels:
        level = groups[path]
        counts: Counter[tuple[str, ...]] = Counter()
        for variable in variables_of(level, kind):
            raster = Raster.of(level, variable.name)
            bands = list(_bands(level, variable))
            for place, (identity, band) in enumerate(
                zip(_identities(level, variable, len(bands)), bands, strict=True)
            ):
                # Channels of several series may have equal names: their order tells them apart
                counts[identity] += 1
                key = (*identity, str(counts[identity]))
                found.setdefault(key, band).rasters[raster] = place
    return tuple(found.values())


def read_bands(bands: Sequence[Band], grid: Grid, height: float) -> list[Values]:
    """Read pixels of bands at the distances of a grid, those of one array with one call.

    Parameters
    ----------
    bands : sequence of Band
        Which ones
    grid : Grid
        What is wanted
    height : float
        Focal plane in millimetres: the nearest one is read

    Returns
    -------
    list of Values
        Pixels of each, shape (rows, columns, samples)

    Raises
    ------
    UnsupportedError
        When too many pixels would have to be read
    """
    together: dict[Raster, list[int]] = {}
    for index, band in enumerate(bands):
        together.setdefault(coarsest(list(band.rasters), grid), []).append(index)
    found: dict[int, Values] = {}
    for raster, indices in together.items():
        places = [bands[index].rasters[raster] for index in indices]
        pixels, inside = raster.read(places, raster.plane_at(height), grid)
        found |= {i: Values(own, inside) for i, own in zip(indices, pixels, strict=True)}
    return [found[index] for index in range(len(bands))]


def _identities(level: xr.Dataset, variable: Variable, count: int) -> Iterator[tuple[str, ...]]:
    names = [variable.of(name) for name in _IDENTITY[variable.kind.name]]
    values = [texts for name in names if (texts := texts_of(level, name))]
    return zip(*values, strict=True) if values else iter([()] * count)


def _bands(level: xr.Dataset, variable: Variable) -> Iterator[Band]:
    """Make the bands of a variable, in no array yet."""
    if variable.kind is SEGMENTATION:
        numbers, labels, colors = (
            texts_of(level, variable.of(name)) for name in ("segment", "label", "segment_color")
        )
        for number, label, color in zip(numbers, labels, colors, strict=True):
            name = label or f"segment {number}"
            yield Band(Display(name, color or distinct_color(int(number))))
    elif variable.kind is PARAMETRIC_MAP:
        yield from map(Band, parameter_displays(level, variable))
    else:
        displays = image_displays(level, variable)
        is_color = level[variable.name].sizes.get(variable.of(SAMPLE)) == _COLORS
        # Red, green and blue are one band of three samples
        every = displays[::_COLORS] if is_color else displays
        yield from (Band(display, is_color) for display in every)
