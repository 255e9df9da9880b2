"""What an export writes: arrays, and the metadata that make an OME-Zarr image of them."""

import hashlib
import io
import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import zarr
from zarr.storage import MemoryStore

from dicomslide.export.arrays import TreeArray
from dicomslide.export.content import Image
from dicomslide.export.derived import Derivation
from dicomslide.export.grid import Division, Grid
from dicomslide.export.journal import Journal
from dicomslide.export.levels import Level
from dicomslide.export.metadata import image_attributes, labels_attributes, zarr_format
from dicomslide.export.store import ZarrFormat
from dicomslide.export.stored import StoredArray
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.stack import FrameStack

__all__ = ["PROJECT", "Plan", "PlannedArray"]

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
    """What an export writes.

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
    def num_blocks(self) -> int:
        """Number of blocks of all arrays."""
        return sum(array.grid.num_blocks for array in chain.from_iterable(self.arrays.values()))

    @property
    def most_pieces(self) -> int:
        """Largest number of chunks or shards of a block."""
        return max(array.grid.num_pieces for array in chain.from_iterable(self.arrays.values()))

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
            for array in chain.from_iterable(self.arrays.values())
        }

    def create_arrays(self, group: zarr.Group) -> None:
        """Make those arrays that are not there yet."""
        for array in chain.from_iterable(self.arrays.values()):
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

    def attributes(self, stored: Mapping[str, StoredArray]) -> dict[str, dict[str, Any]]:
        """Make the metadata of all groups, by their paths, those of the top last.

        Parameters
        ----------
        stored : mapping
            The arrays, which are written, by their paths
        """
        made = {}
        labels = [image.path.partition("/")[2] for image in self.images if image.label]
        if labels:
            made["labels"] = labels_attributes(labels, self.version)
        for image in (*self.images[1:], self.images[0]):
            smallest = stored[f"{image.path}/{len(image.levels) - 1}".lstrip("/")]
            made[image.path] = image_attributes(image, self.version, smallest)
            if image.planes:
                made[image.path][PROJECT] = {
                    "focal_plane_offsets": list(image.planes),
                    "focal_plane_units": "micrometer",
                }
        return made

    def facts(self, fingerprint: str, problems: list[str]) -> dict[str, Any]:
        """Say of an export what OME-Zarr has no place for."""
        facts: dict[str, Any] = {"fingerprint": fingerprint}
        if self.frame_of_reference:
            facts["frame_of_reference_uid"] = self.frame_of_reference
        if problems:
            facts["filled_frames"] = problems
        return facts


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
