"""Channels, segments and parameters of a tree, each at all levels that show it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import xarray as xr

from dicomslide.display.channels import (
    Display,
    choose_window,
    image_displays,
    parameter_displays,
)
from dicomslide.display.raster import Grid, Raster, Values, coarsest
from dicomslide.metadata.colors import WHITE, distinct_color
from dicomslide.tree.schema import (
    LABEL_MAP,
    MAPS,
    SAMPLE,
    SEGMENTATION,
    Kind,
    Variable,
    level_number,
    texts_of,
    variables_of,
)

__all__ = ["Band", "Groups", "choose_windows", "find_bands", "levels_of", "read_bands"]

Groups = Mapping[str, xr.Dataset]

_COLORS = 3
# Rows and columns of the smallest level that a window is chosen from
_MOST_SAMPLED = 2048


@dataclass(frozen=True, eq=False)
class Band:
    """A channel, segment or parameter at all levels that show it.

    Parameters
    ----------
    name : str
        What it is called
    display : Display
        How it is shown
    is_color : bool
        Whether its pixels are colours
    unit : str
        Unit of its values; empty where none is known
    rasters : dict
        Arrays that it is in, finest first, to its place in each
    """

    name: str
    display: Display
    is_color: bool = False
    unit: str = ""
    rasters: dict[Raster, int] = field(default_factory=dict)

    @property
    def finest(self) -> Raster:
        """The array that has the most pixels."""
        return min(self.rasters, key=lambda raster: raster.grid.step)

    @property
    def smallest(self) -> Raster:
        """The array that has the fewest pixels."""
        return max(self.rasters, key=lambda raster: raster.grid.step)


def levels_of(groups: Groups) -> list[xr.Dataset]:
    """Find the levels of a tree, the base level first."""
    numbers = {path: level_number(path) for path in groups}
    levels = sorted((number, path) for path, number in numbers.items() if number is not None)
    return [groups[path] for _, path in levels]


def find_bands(levels: Sequence[xr.Dataset], kind: Kind) -> tuple[Band, ...]:
    """Find the channels of a kind at all levels of a tree, those of the first level first.

    Parameters
    ----------
    levels : sequence of xarray.Dataset
        Nodes of the tree
    kind : Kind
        Optical paths, segments, label maps or parameters
    """
    found: dict[tuple[str, ...], Band] = {}
    for level in levels:
        counts: Counter[tuple[str, ...]] = Counter()
        for variable in variables_of(level, kind):
            raster = Raster.of(level[variable.name])
            bands = list(_bands(level, variable))
            for place, (identity, band) in enumerate(
                zip(_identities(level, variable, len(bands)), bands, strict=True)
            ):
                # Channels of several series may have equal names: their order tells them apart
                counts[identity] += 1
                key = (*identity, str(counts[identity]))
                found.setdefault(key, band).rasters[raster] = place
    return tuple(found.values())


def read_bands(
    bands: Sequence[Band], grid: Grid, height: float, *, is_averaged: bool = True
) -> list[Values]:
    """Read pixels of bands at the distances of a grid, those of one array with one call.

    Parameters
    ----------
    bands : sequence of Band
        Which ones
    grid : Grid
        What is wanted
    height : float
        Focal plane in millimetres: the nearest one is read
    is_averaged : bool, optional
        False for numbers that stand for something

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
        pixels, inside = raster.read(places, raster.plane_at(height), grid, is_averaged=is_averaged)
        found |= {i: Values(own, inside) for i, own in zip(indices, pixels, strict=True)}
    return [found[index] for index in range(len(bands))]


def choose_windows(bands: Sequence[Band]) -> tuple[tuple[float, float], ...]:
    """Choose the smallest and largest value of each band that are shown.

    Where none is stated they are chosen from the pixels of its smallest level, which are read for
    all bands of one array together.
    """
    found: dict[int, tuple[float, float]] = {}
    unknown: dict[Raster, list[int]] = {}
    for index, band in enumerate(bands):
        if band.display.window is None:
            unknown.setdefault(band.smallest, []).append(index)
        else:
            found[index] = band.display.window
    for raster, indices in unknown.items():
        rows, columns = raster.grid.size
        # The middle of what is too large
        size = min(rows, _MOST_SAMPLED), min(columns, _MOST_SAMPLED)
        part = raster.grid.part(((rows - size[0]) // 2, (columns - size[1]) // 2), size)
        places = [bands[index].rasters[raster] for index in indices]
        values = raster.read(places, len(raster.planes) // 2, part).pixels
        for index, pixels in zip(indices, values, strict=True):
            window = choose_window(bands[index].display, pixels)
            found[index] = window["start"], window["end"]
    return tuple(found[index] for index in range(len(bands)))


def _identities(level: xr.Dataset, variable: Variable, count: int) -> Iterator[tuple[str, ...]]:
    names = [variable.of(name) for name in variable.kind.identity]
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
            yield Band(name, Display(name, color or distinct_color(int(number))))
    elif variable.kind in MAPS:
        displays = parameter_displays(level, variable)
        units = texts_of(level, variable.of("units")) or [""] * len(displays)
        for display, unit in zip(displays, units, strict=True):
            yield Band(display.label, display, unit=unit)
    elif variable.kind is LABEL_MAP:
        name = variable.name.replace("_", " ")
        yield Band(name, Display(name, WHITE))
    else:
        displays = image_displays(level, variable)
        if level[variable.name].sizes.get(variable.of(SAMPLE)) != _COLORS:
            yield from (Band(display.label, display) for display in displays)
            return
        # Red, green and blue are one band of three samples
        for index, display in enumerate(displays[::_COLORS]):
            names = texts_of(level, variable.of("description")) or [""] * (index + 1)
            yield Band(names[index] or "RGB", display, is_color=True)
