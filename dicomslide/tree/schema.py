"""Names in the tree of a slide: of its nodes, variables, dimensions and coordinates.

Several variables of one kind are numbered, as are their dimensions and coordinates: ``image``,
``image_2``, with ``channel_2`` and ``description_2``.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from dicomslide.enum import ChannelTypes
from dicomslide.metadata.channel_kind import ChannelKind
from dicomslide.metadata.kinds import KINDS as CHANNEL_KINDS

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "Kind",
    "Variable",
    "annotations_path",
    "as_name",
    "describe",
    "is_annotations",
    "is_associated",
    "is_derived",
    "level_number",
    "may_show_label",
    "numbered",
    "plane_dimension",
    "texts_of",
    "variables_of",
]

FOCAL_PLANE, SAMPLE, ROWS, COLUMNS = "focal_plane", "sample", "y", "x"
SLIDE_X, SLIDE_Y = "slide_x", "slide_y"
_LEVEL = re.compile(r"/level_(\d+)")


def numbered(name: str, number: int) -> str:
    """Make the name of the first, second, … of a kind; the first one has no number."""
    return name if number == 1 else f"{name}_{number}"


@dataclass(frozen=True, eq=False)
class Kind:
    """Kind of variable.

    Parameters
    ----------
    name : str
        Name of the first variable of the kind
    dimension : str
        Name of the dimension of its channels; empty where it has none
    channels : ChannelKind, optional
        What the channels are along that dimension
    """

    name: str
    dimension: str = ""
    channels: ChannelKind | None = None

    @property
    def coordinates(self) -> dict[str, str]:
        """Descriptions of the coordinates along the channels by name."""
        if self.channels is None:
            return {}
        found = {coordinate.name: coordinate.about for coordinate in self.channels.coordinates}
        return found | ({self.channels.series: SERIES} if self.channels.series else {})

    @property
    def identity(self) -> tuple[str, ...]:
        """Names of the coordinates that tell the channels apart at all levels."""
        return () if self.channels is None else self.channels.identity

    def variable(self, number: int = 1) -> Variable:
        """Return the variable of this kind with a number."""
        return Variable(self, number)

    def find(self, name: str) -> Variable | None:
        """Return the variable of this kind with a name; None for a name of another kind."""
        found = re.fullmatch(rf"{self.name}(?:_(\d+))?", name)
        return None if found is None else Variable(self, int(found[1] or 1))


@dataclass(frozen=True)
class Variable:
    """Variable of the tree, by its kind and number.

    Parameters
    ----------
    kind : Kind
        Kind of the variable
    number : int
        Number among the variables of the kind, from 1 on
    """

    kind: Kind
    number: int

    @property
    def name(self) -> str:
        """Name of the variable."""
        return numbered(self.kind.name, self.number)

    @property
    def dimension(self) -> str:
        """Name of the dimension of its channels."""
        return self.of(self.kind.dimension)

    def of(self, name: str) -> str:
        """Make the name of a coordinate or dimension of this variable."""
        return numbered(name, self.number)


SERIES = "Pyramid UID, or Series Instance UID where there is none"
KINDS = {found: Kind(kind.variable, kind.dimension, kind) for found, kind in CHANNEL_KINDS.items()}
IMAGE = KINDS[ChannelTypes.OPTICAL_PATH]
SEGMENTATION = KINDS[ChannelTypes.SEGMENT]
LABEL_MAP = Kind("label_map")
MAPS = tuple(kind for kind in KINDS.values() if kind not in (IMAGE, SEGMENTATION))

ANNOTATION, NODE = "annotation", "node"
"""Dimensions of annotations, and of the points along their outlines."""
GEOMETRY, NODE_COUNT, TRACKING = "geometry", "node_count", "tracking_identifier"
SLIDE_Z = "slide_z"


def describe() -> str:
    """Format a table of the coordinates along channels, segments and parameters."""
    return "\n".join(
        f"{name:18} {kind.dimension:10} {about}"
        for kind in KINDS.values()
        for name, about in kind.coordinates.items()
    )


def variables_of(dataset: xr.Dataset, kind: Kind) -> Iterator[Variable]:
    """Find the variables of a kind in a node."""
    found = (kind.find(str(name)) for name in dataset.data_vars)
    return (variable for variable in found if variable is not None)


def texts_of(dataset: xr.Dataset, coordinate: str) -> list[str]:
    """Read a coordinate along channels as texts; none where there is no such coordinate."""
    if coordinate not in dataset.coords:
        return []
    return [str(value) for value in np.atleast_1d(dataset[coordinate].values)]


def plane_dimension(names: Iterable[object]) -> str | None:
    """Find the dimension or coordinate of focal planes among names; None where there is none."""
    return next((str(name) for name in names if is_plane(name)), None)


def is_plane(name: object) -> bool:
    """Whether a dimension or coordinate is that of focal planes."""
    return re.fullmatch(rf"{FOCAL_PLANE}(_\d+)?", str(name)) is not None


def level_path(number: int) -> str:
    """Make the path of the node of a level."""
    return f"/level_{number}"


def level_number(path: str) -> int | None:
    """Read the number of a level from the path of its node; None for other nodes."""
    found = _LEVEL.fullmatch(path)
    return None if found is None else int(found[1])


def derived_path(kind: Kind, number: int) -> str:
    """Make the path of the node of an image whose pixels do not lie on the grid of a level."""
    return f"/derived/{numbered(kind.name, number)}"


def is_derived(path: str) -> bool:
    """Whether a node is that of an image whose pixels do not lie on the grid of a level."""
    return path.startswith("/derived/")


def associated_path(name: str, index: int) -> str:
    """Make the path of the node of an associated image, counted from 0."""
    return f"/associated/{name}" + (f"_{index}" if index else "")


def annotations_path(label: str, known: Container[str]) -> str:
    """Make the path of the node of a group of annotations, other than those that are known."""
    name = as_name(label) or "group"
    paths = (f"/annotations/{numbered(name, number)}" for number in count(1))
    return next(path for path in paths if path not in known)


def as_name(text: str) -> str:
    """Make a name of a text: letters and digits of it in lower case, with underscores between."""
    return re.sub(r"\W+", "_", text.lower()).strip("_")


def is_annotations(path: str) -> bool:
    """Whether a node is that of a group of annotations."""
    return path.startswith("/annotations/")


def is_associated(path: str) -> bool:
    """Whether a node is that of an associated image."""
    return path.startswith("/associated/")


def may_show_label(path: str, attributes: Mapping[str, object]) -> bool:
    """Whether an associated image may show the label of the slide, which may name a patient.

    A LABEL image does, an OVERVIEW image unless it says that it does not, and others if they say
    so.
    """
    stated = attributes.get("specimen_label_in_image")
    if path.startswith(associated_path("label", 0)):
        return True
    return stated != "NO" if path.startswith(associated_path("overview", 0)) else stated == "YES"
