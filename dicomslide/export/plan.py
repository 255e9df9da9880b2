"""Plan of a store: its arrays, and the metadata that make an OME-Zarr image of them."""

import hashlib
import io
import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import xarray as xr
import zarr
from zarr.storage import MemoryStore

from dicomslide.arguments import require_type
from dicomslide.errors import ArgumentValueError
from dicomslide.export.arrays import TreeArray
from dicomslide.export.choices import LEVELS, VERSIONS
from dicomslide.export.compression import find_compressors
from dicomslide.export.content import Image, find_images
from dicomslide.export.derived import Derivation
from dicomslide.export.grid import BlockReader, Division, Grid
from dicomslide.export.journal import Journal
from dicomslide.export.levels import Level
from dicomslide.export.metadata import image_attributes, labels_attributes, zarr_format
from dicomslide.export.store import ZarrFormat
from dicomslide.export.stored import StoredArray
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.stack import FrameStack
from dicomslide.slide import Slide

__all__ = ["PROJECT", "Plan", "PlannedArray", "make_plan", "require_choice"]

# Name of the attribute of the store with facts that OME-Zarr cannot express
PROJECT = "dicomslide"
# Ratio of the memory of a computed block: four times the elements, in wider integers
_DERIVED = 8


@dataclass(frozen=True)
class PlannedArray:
    """Array of the store.

    Parameters
    ----------
    path : str
        Path of the array in the store
    axes : tuple of str
        Names of the axes
    level : Level
        Level that the array holds
    grid : Grid
        Division of the array along (c, z, y, x)
    first : int
        Number of the first block, counted over all arrays
    """

    path: str
    axes: tuple[str, ...]
    level: Level
    grid: Grid
    first: int


@dataclass(frozen=True)
class Plan:
    """Content of a store, written or virtual: images, arrays and metadata.

    Parameters
    ----------
    images : sequence of Image
        The images, first the one whose group is the store itself
    version : str
        Version of OME-Zarr
    division : Division
        Sizes of chunks and shards
    compressors : tuple
        Codecs of the chunks
    fill : bool
        Whether frames that cannot be decoded are background
    frame_of_reference : str, optional
        Frame of Reference UID; empty where it is not known
    """

    images: Sequence[Image]
    version: str
    division: Division
    compressors: tuple[Any, ...]
    fill: bool
    frame_of_reference: str = ""

    @cached_property
    def arrays(self) -> dict[str, list[PlannedArray]]:
        """Arrays of each image, by the path of the image."""
        found: dict[str, list[PlannedArray]] = {}
        first = 0
        for image in self.images:
            arrays = found[image.path] = []
            for index, level in enumerate(image.levels):
                weight = _DERIVED if isinstance(level.pixels, Derivation) else 1
                grid = self.division.grid(level.shape, weight * level.dtype.itemsize, level.unit)
                path = f"{image.path}/{index}".lstrip("/")
                arrays.append(PlannedArray(path, image.axes, level, grid, first))
                first += grid.num_blocks
        return found

    @property
    def format(self) -> ZarrFormat:
        """Format of Zarr."""
        return zarr_format(self.version)

    @property
    def all_arrays(self) -> Iterator[PlannedArray]:
        """The arrays of all images."""
        return chain.from_iterable(self.arrays.values())

    @property
    def num_blocks(self) -> int:
        """Number of blocks of all arrays."""
        return sum(array.grid.num_blocks for array in self.all_arrays)

    @property
    def most_pieces(self) -> int:
        """Largest number of chunks or shards of a block."""
        return max(array.grid.num_pieces for array in self.all_arrays)

    @cached_property
    def fingerprint(self) -> str:
        """Key that is equal for equal pixels that are written in the same way."""
        parts: list[Any] = [self.version, repr(self.compressors), self.fill]
        for arrays in self.arrays.values():
            for array in arrays:
                parts.append([array.path, repr(array.grid), str(array.level.dtype)])
                parts.append([repr(array.level.calibration), _pixels_name(array.level)])
                parts.append(repr(getattr(array.level.pixels, "convert", None)))
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def without_pixels(self) -> "Plan":
        """Return the plan without references to pixels, as needed when all arrays are written."""
        images = [
            replace(image, levels=tuple(replace(level, pixels=None) for level in image.levels))
            for image in self.images
        ]
        return replace(self, images=images)

    def stored(self, journal: Journal) -> dict[str, StoredArray]:
        """The arrays as they are in the store, or will be, by their paths."""
        return {
            array.path: StoredArray(
                array.path,
                array.grid,
                array.first,
                self._create(zarr.create_group(MemoryStore(), zarr_format=self.format), array),
                journal,
            )
            for array in self.all_arrays
        }

    def create_arrays(self, group: zarr.Group) -> None:
        """Make those arrays that are not there yet."""
        for array in self.all_arrays:
            if array.path not in group:
                self._create(group, array)

    def _create(self, group: zarr.Group, array: PlannedArray) -> dict[str, Any]:
        """Create an array in a group; return its metadata."""
        grid, ndim = array.grid, len(array.axes)
        extra: dict[str, Any] = {"dimension_names": array.axes}
        if self.format == 2:
            extra = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
        group.create_array(
            array.path,
            shape=grid.shape[-ndim:],
            dtype=array.level.dtype,
            chunks=grid.chunks[-ndim:],
            shards=grid.shards and grid.shards[-ndim:],
            compressors=self.compressors,
            fill_value=0,
            **extra,
        )
        # zarr-python completes the metadata when it writes them, so they are read back
        metadata: dict[str, Any] = group[array.path].metadata.to_dict()
        return metadata

    @property
    def groups(self) -> list[str]:
        """Paths of the groups that have metadata, that of the top last."""
        labels = ["labels"] if self._labels else []
        return [*labels, *(image.path for image in self.images[1:]), self.images[0].path]

    def attributes(self, path: str, arrays: Mapping[str, BlockReader]) -> dict[str, Any]:
        """Make the metadata of a group.

        Parameters
        ----------
        path : str
            Its path
        arrays : mapping
            The arrays by their paths, which can be read
        """
        if path == "labels":
            return labels_attributes(self._labels, self.version)
        image = next(image for image in self.images if image.path == path)
        smallest = arrays[self.arrays[path][-1].path]
        made = image_attributes(image, self.version, smallest)
        if facts := self._facts(image):
            made[PROJECT] = facts
        return made

    def _facts(self, image: Image) -> dict[str, Any]:
        """Collect facts about an image that OME-Zarr cannot express."""
        facts: dict[str, Any] = {}
        if image.planes:
            facts |= {
                "focal_plane_offsets": list(image.planes),
                "focal_plane_units": "micrometer",
            }
        if not image.path and self.frame_of_reference:
            facts["frame_of_reference_uid"] = self.frame_of_reference
        return facts

    @property
    def _labels(self) -> list[str]:
        """Names of the label images."""
        return [image.path.partition("/")[2] for image in self.images if image.label]


def make_plan(
    slide_or_tree: Slide | xr.DataTree,
    *,
    version: str,
    division: Division,
    compressor: Any,
    levels: str,
    labels: bool,
    associated: bool,
    fill: bool = False,
) -> Plan:
    """Plan a store of a slide; the parameters are those of `to_ome_zarr`.

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When an argument has no possible value, or the slide has no optical paths
    """
    require_type("slide_or_tree", slide_or_tree, Slide, xr.DataTree)
    require_choice("version", version, VERSIONS)
    require_choice("levels", levels, LEVELS)
    if division.shards is not None and zarr_format(version) == 2:
        raise ArgumentValueError("shards: version 0.4 is Zarr 2, which has none")
    compressors = find_compressors(compressor, zarr_format(version))
    if isinstance(slide_or_tree, Slide):
        slide_or_tree = slide_or_tree.to_datatree(chunks=None)
    groups = _groups(slide_or_tree)
    if fill:
        _require_lazy(groups)
    images = find_images(groups, dyadic=levels == "dyadic", labels=labels, associated=associated)
    frame_of_reference = str(groups["/"].attrs.get("frame_of_reference_uid", ""))
    return Plan(images, version, division, compressors, fill, frame_of_reference)


def require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Check an argument that has few possible values.

    Raises
    ------
    ValueError
        When it has none of them
    """
    if value not in choices:
        raise ArgumentValueError(f"{name}: expected {', '.join(choices)}, got {value!r}")


def _groups(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    """Get the nodes of a tree, which may be a part of another one, by their paths in it."""
    return {
        "/" if path == "." else f"/{path}": node.to_dataset(inherit=False)
        for path, node in tree.subtree_with_keys
    }


def _require_lazy(groups: Mapping[str, xr.Dataset]) -> None:
    if any(variable.chunks for group in groups.values() for variable in group.data_vars.values()):
        raise ArgumentValueError(
            'errors: to "fill" frames the tree must not be chunked; give the slide, or its tree '
            "with chunks=None"
        )


def _pixels_name(level: Level) -> str:
    """Make a key that is equal for equal pixels, as far as that is known without reading them."""
    if not isinstance(level.pixels, TreeArray):
        return hashlib.sha256(pickle.dumps(level.pixels)).hexdigest()
    if level.pixels.is_chunked:
        return str(level.pixels.variable.data.name)
    named = io.BytesIO()
    _Namer(named).dump(level.pixels.variable)
    return hashlib.sha256(named.getvalue()).hexdigest()


class _Namer(pickle.Pickler):
    """Pickler that writes frame arrays as their token, as their pickles differ by process."""

    def persistent_id(self, obj: Any) -> str | None:
        return obj.token if isinstance(obj, FrameStack | FrameArray) else None
