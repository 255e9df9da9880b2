"""What an export writes: arrays, and the metadata that make an OME-Zarr image of them."""

import hashlib
import io
import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import zarr

from dicomslide.export.arrays import TreeArray
from dicomslide.export.content import Image
from dicomslide.export.derived import Derivation
from dicomslide.export.grid import Division, Grid
from dicomslide.export.levels import Level
from dicomslide.export.metadata import AXES, image_attributes, labels_attributes, zarr_format
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.stack import FrameStack

__all__ = ["Plan", "PlannedArray"]

# A block that is computed takes this much more memory: four times the elements, in wider integers
_DERIVED = 8


@dataclass(frozen=True)
class PlannedArray:
    """An array of the store.

    Parameters
    ----------
    path : str
        Its path in the store
    level : Level
        What it holds
    grid : Grid
        How it is divided
    first : int
        Number of its first block, counted over all arrays
    """

    path: str
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
        """The arrays of each image, by its path."""
        found: dict[str, list[PlannedArray]] = {}
        first = 0
        for image in self.images:
            arrays = found[image.path] = []
            for index, level in enumerate(image.levels):
                weight = _DERIVED if isinstance(level.pixels, Derivation) else 1
                grid = self.division.grid(level.shape, weight * level.dtype.itemsize, level.unit)
                path = f"{image.path}/{index}".lstrip("/")
                arrays.append(PlannedArray(path, level, grid, first))
                first += grid.num_blocks
        return found

    @property
    def num_blocks(self) -> int:
        """Number of blocks of all arrays."""
        return sum(array.grid.num_blocks for arrays in self.arrays.values() for array in arrays)

    @cached_property
    def fingerprint(self) -> str:
        """A name that is the same for the same pixels, written in the same way."""
        parts: list[Any] = [self.version, repr(self.compressors), self.fill]
        for arrays in self.arrays.values():
            for array in arrays:
                parts.append([array.path, repr(array.grid), str(array.level.dtype)])
                parts.append([repr(array.level.calibration), _pixels_name(array.level)])
                parts.append(repr(getattr(array.level.pixels, "convert", None)))
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def without_pixels(self) -> "Plan":
        """What is left to do when all arrays are written."""
        images = [
            replace(image, levels=tuple(replace(level, pixels=None) for level in image.levels))
            for image in self.images
        ]
        return replace(self, images=images)

    def create_arrays(self, group: zarr.Group) -> None:
        """Make those arrays that are not there yet."""
        extra: dict[str, Any] = {"dimension_names": AXES}
        if zarr_format(self.version) == 2:
            extra = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
        for arrays in self.arrays.values():
            for array in arrays:
                if array.path not in group:
                    group.create_array(
                        array.path,
                        shape=array.grid.shape,
                        dtype=array.level.dtype,
                        chunks=array.grid.chunks,
                        shards=array.grid.shards,
                        compressors=self.compressors,
                        fill_value=0,
                        **extra,
                    )

    def describe_parts(self, group: zarr.Group) -> None:
        """Write the metadata of all images but the first one."""
        labels = [image.path.partition("/")[2] for image in self.images if image.label]
        for image in self.images[1:]:
            group.require_group(image.path).attrs.put(self._attributes(group, image))
        if labels:
            group.require_group("labels").attrs.put(labels_attributes(labels, self.version))

    def facts(self, fingerprint: str, problems: list[str]) -> dict[str, Any]:
        """Say of an export what OME-Zarr has no place for."""
        facts: dict[str, Any] = {"fingerprint": fingerprint}
        if self.frame_of_reference:
            facts["frame_of_reference_uid"] = self.frame_of_reference
        if problems:
            facts["filled_frames"] = problems
        return facts

    def top_attributes(self, group: zarr.Group) -> dict[str, Any]:
        """Make the metadata of the first image."""
        return self._attributes(group, self.images[0])

    def _attributes(self, group: zarr.Group, image: Image) -> dict[str, Any]:
        smallest = f"{image.path}/{len(image.levels) - 1}".lstrip("/")
        return image_attributes(image, self.version, group[smallest])


def _pixels_name(level: Level) -> str:
    """A name that is the same for the same pixels, as far as that can be told without reading."""
    if not isinstance(level.pixels, TreeArray):
        return hashlib.sha256(pickle.dumps(level.pixels)).hexdigest()
    if level.pixels.is_chunked:
        return str(level.pixels.variable.data.name)
    named = io.BytesIO()
    _Namer(named).dump(level.pixels.variable)
    return hashlib.sha256(named.getvalue()).hexdigest()


class _Namer(pickle.Pickler):
    """Pickles frames as their token: what they are pickled to is another in each process."""

    def persistent_id(self, obj: Any) -> str | None:
        return obj.token if isinstance(obj, FrameStack | FrameArray) else None
