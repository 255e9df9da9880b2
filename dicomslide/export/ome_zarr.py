"""OME-Zarr, version 0.5 (https://ngff.openmicroscopy.org/0.5/)."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr
import zarr
from dask.system import CPU_COUNT

from dicomslide.arguments import require_type
from dicomslide.enum import ChannelTypes
from dicomslide.errors import ArgumentValueError, StoreError
from dicomslide.slide import Slide

__all__ = ["to_ome_zarr"]

_AXES = [
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space", "unit": "micrometer"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]
_RGB = (("R", "FF0000"), ("G", "00FF00"), ("B", "0000FF"))
_MICROMETRES_PER_MM = 1000.0
# About this many rows and columns of pixels in a chunk of the store
_CHUNK_SIDE = 512


def to_ome_zarr(slide: Slide, store: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write the optical paths of a slide as an OME-Zarr image with all its levels.

    The pixels are written a part at a time, one writer for each chunk, so that memory does not
    grow with the slide. The metadata that make the store an OME-Zarr image are written last: a
    store that was not finished does not pass for one. Levels that do not show all optical paths
    are left out.

    Parameters
    ----------
    slide : Slide
        Slide
    store : path
        Folder that is made for the store
    overwrite : bool, optional
        Whether a Zarr store that is already there is deleted first. Anything else that is there is
        left alone

    Raises
    ------
    TypeError
        When `slide` is no slide
    ValueError
        When the slide has optical paths of different kinds, or not all of them at the largest
        level
    OSError
        When there is something at `store` already, or it cannot be written
    """
    require_type("slide", slide, Slide)
    path = Path(store)
    tree = slide.to_datatree(chunks="auto")
    levels = [tree[f"level_{level}"].to_dataset() for level in range(slide.num_levels)]
    levels = [level for level in levels if "image" in level]
    if not levels or any("image_2" in level for level in levels):
        raise ArgumentValueError("slide: its optical paths are not of one kind, or there are none")
    paths = [c.identifier for c in slide.channels if c.type is ChannelTypes.OPTICAL_PATH]
    if levels[0]["channel"].values.tolist() != paths:
        raise ArgumentValueError("slide: its largest level does not show all optical paths")
    # Readers take the channels of all levels for the same
    levels = [level for level in levels if level["channel"].values.tolist() == paths]
    _make_room(path, overwrite)
    try:
        group = zarr.create_group(str(path), zarr_format=3)
        arrays = [_channels_first(level["image"].data) for level in levels]
        targets = [
            _create(group, str(index), array, level["image"].encoding["preferred_chunks"])
            for index, (array, level) in enumerate(zip(arrays, levels, strict=True))
        ]
        # Dask chunks are whole multiples of the chunks of the store: no two tasks write one chunk.
        # The pool waits for its threads: after an error none of them writes on
        with ThreadPoolExecutor(CPU_COUNT) as pool, dask.config.set(pool=pool):
            da.store(arrays, targets, lock=False)
        group.attrs["ome"] = _metadata(slide, levels)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}; the store is not complete") from error


def _make_room(path: Path, overwrite: bool) -> None:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    is_store = (path / "zarr.json").exists() or (path / ".zgroup").exists()
    if not (overwrite and is_store):
        hint = "overwrite it explicitly or choose another" if is_store else "it is no Zarr store"
        raise StoreError(f"{path}: there is something already: {hint}")
    shutil.rmtree(path)


def _channels_first(image: da.Array) -> da.Array:
    """From (channel, focal plane, y, x, sample) to (channel and sample, z, y, x)."""
    channels, planes, rows, columns, samples = image.shape
    moved = image.transpose(0, 4, 1, 2, 3)
    return moved.reshape(channels * samples, planes, rows, columns, merge_chunks=False)


def _create(group: zarr.Group, name: str, array: da.Array, tile: dict[str, int]) -> zarr.Array:
    """Create the array of a level, with chunks that divide those of the dask array."""
    chunks = tuple(
        _divisor(array.chunks[axis][0], tile[dimension]) for axis, dimension in ((2, "y"), (3, "x"))
    )
    return group.create_array(
        name,
        shape=array.shape,
        dtype=array.dtype,
        chunks=(1, 1, *chunks),
        dimension_names=[axis["name"] for axis in _AXES],
    )


def _divisor(chunk: int, tile: int) -> int:
    """The whole number of tiles that divides a chunk and is closest to the wanted size."""
    tiles = max(chunk // tile, 1)
    divisors = [n for n in range(1, tiles + 1) if tiles % n == 0]
    best = min(divisors, key=lambda n: abs(n * tile - _CHUNK_SIDE))
    return min(best * tile, chunk)


def _metadata(slide: Slide, levels: list[xr.Dataset]) -> dict[str, Any]:
    datasets = [
        {
            "path": str(index),
            "coordinateTransformations": [
                {"type": "scale", "scale": [1.0, *_scale(level)]},
                {"type": "translation", "translation": [0.0, *_translation(level)]},
            ],
        }
        for index, level in enumerate(levels)
    ]
    name = slide.container_identifier or slide.frame_of_reference_uid
    multiscale = {"name": name, "axes": _AXES, "datasets": datasets}
    return {
        "version": "0.5",
        "multiscales": [multiscale],
        "omero": {"channels": _omero_channels(levels[0])},
    }


def _scale(level: xr.Dataset) -> list[float]:
    z = level["focal_plane"].values
    between_planes = float(z[1] - z[0]) * _MICROMETRES_PER_MM if len(z) > 1 else 1.0
    spacing = [float(value) * _MICROMETRES_PER_MM for value in level.attrs["pixel_spacing"]]
    return [between_planes, *spacing]


def _translation(level: xr.Dataset) -> list[float]:
    return [float(level[name][0]) * _MICROMETRES_PER_MM for name in ("focal_plane", "y", "x")]


def _omero_channels(level: xr.Dataset) -> list[dict[str, Any]]:
    image = level["image"]
    identifiers = [str(value) for value in level["channel"].values]
    if image.sizes["sample"] == 3:
        labels = [
            (label if len(identifiers) == 1 else f"{identifier} {label}", color)
            for identifier in identifiers
            for label, color in _RGB
        ]
    else:
        labels = [(identifier, "FFFFFF") for identifier in identifiers]
    high = float(np.iinfo(image.dtype).max) if np.issubdtype(image.dtype, np.integer) else 1.0
    window = {"min": 0.0, "max": high, "start": 0.0, "end": high}
    return [
        {"label": label, "color": color, "active": True, "window": window}
        for label, color in labels
    ]
