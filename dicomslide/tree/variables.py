"""Variables of the tree: lazy arrays of channels on one grid of pixels, chunked or not."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from dicomslide.enum import ChannelTypes
from dicomslide.image import TiledImage
from dicomslide.metadata.channel_kind import Channel
from dicomslide.metadata.flavors import is_label_map
from dicomslide.metadata.kinds import KINDS as CHANNEL_KINDS
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.stack import FrameStack
from dicomslide.placement.arrangement import Plane
from dicomslide.tree.chunks import TreeChunks, chunks_like, other_sizes, rows_and_columns
from dicomslide.tree.coordinates import HeldVariable, channel_coordinates, other_coordinates
from dicomslide.tree.schema import (
    COLUMNS,
    FOCAL_PLANE,
    KINDS,
    LABEL_MAP,
    ROWS,
    SAMPLE,
    numbered,
)

__all__ = ["ArrayForm", "associated_image", "channel_variables"]


class ShownChannel(NamedTuple):
    """Channel of a node.

    Parameters
    ----------
    description : Channel
        Description of the channel
    series : str
        Pyramid UID of its images, or Series Instance UID where there is none
    planes : tuple of Plane or None
        Plane of the channel for each focal plane of the node; None where it has no pixels
    """

    description: Channel
    series: str
    planes: tuple[Plane | None, ...]


Shown = Sequence[ShownChannel]

_Member = tuple[ShownChannel, tuple[FrameArray | None, ...]]


@dataclass(frozen=True)
class ArrayForm:
    """Form of the arrays of a tree.

    Parameters
    ----------
    chunks : {"frames", "auto"}, size in words, mapping, int, tuple of int or None
        Sizes of chunks; None for lazy arrays without dask
    mask_and_scale : bool or mapping
        Whether scaled integers are decoded to real world values, for all variables or by name;
        variables that are not named are decoded
    """

    chunks: TreeChunks
    mask_and_scale: bool | Mapping[str, bool] = True

    def decodes(self, name: str) -> bool:
        """Whether the scaled integers of a variable are decoded."""
        if isinstance(self.mask_and_scale, Mapping):
            return self.mask_and_scale.get(name, True)
        return self.mask_and_scale


class _LazyArray(BackendArray):
    """Backend array through which xarray indexes a stack of frames lazily."""

    def __init__(self, stack: FrameStack | FrameArray) -> None:
        self.stack = stack
        self.shape = stack.shape
        self.dtype = stack.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        if isinstance(key, indexing.VectorizedIndexer):
            return self.stack.points(key.tuple)
        return self.stack.outer(key.tuple)

    async def async_getitem(self, key: indexing.ExplicitIndexer) -> Any:
        return await asyncio.to_thread(self.__getitem__, key)


def channel_variables(shown: Shown, offsets: Sequence[float], form: ArrayForm) -> xr.Dataset:
    """Stack the channels of a node that have one kind, shape and type into one variable.

    Optical paths of one variable have the same focal planes. Segments and parameters need not:
    segments are False in the planes that they lack, and parameters are NaN.

    Parameters
    ----------
    shown : sequence of ShownChannel
        Channels of the node
    offsets : sequence of float
        Z offsets of the focal planes in micrometres
    form : ArrayForm
        Form of the arrays

    Returns
    -------
    xarray.Dataset
        Variables, with the coordinates of all dimensions but ``y`` and ``x``
    """
    stacks: dict[Any, list[_Member]] = {}
    for channel in shown:
        planes = tuple(None if place is None else place.array for place in channel.planes)
        arrays = [plane for plane in planes if plane is not None]
        if arrays:
            about = channel.description
            is_inverted = arrays[0].pixel_format.photometric == "MONOCHROME1"
            alike = arrays[0].shape[2], arrays[0].dtype, about.slope, about.intercept, is_inverted
            own = _shown_in(planes) if about.type is ChannelTypes.OPTICAL_PATH else ()
            stacks.setdefault((about.type, alike, own), []).append((channel, planes))
            if len(stacks) == 1:
                form = replace(form, chunks=chunks_like(form.chunks, arrays[0]))
    counts: dict[ChannelTypes, int] = {}
    focal_planes: list[tuple[int, ...]] = []
    variables: dict[str, xr.Variable] = {}
    coordinates: dict[str, HeldVariable] = {}
    for (kind, *_), members in stacks.items():
        counts[kind] = counts.get(kind, 0) + 1
        variable = KINDS[kind].variable(counts[kind])
        own = _shown_in(*(planes for _, planes in members))
        plane, kept = _plane_dimension(focal_planes, own, kind is ChannelTypes.OPTICAL_PATH)
        members = [(channel, tuple(planes[k] for k in kept)) for channel, planes in members]
        dims = (variable.dimension, plane, ROWS, COLUMNS, variable.of(SAMPLE))
        variables[variable.name] = stacked = _stacked(members, variable.name, dims, form)
        channels = [channel.description for channel, _ in members]
        series = [channel.series for channel, _ in members]
        coordinates |= channel_coordinates(variable, channels, series)
        coordinates |= other_coordinates(stacked.sizes, [offsets[k] for k in kept])
    return xr.Dataset(variables | _label_maps(shown, focal_planes, form), coordinates)


def _shown_in(*channels: Sequence[object]) -> tuple[int, ...]:
    """Find the focal planes in which at least one of several channels has pixels."""
    planes = enumerate(zip(*channels, strict=True))
    return tuple(k for k, found in planes if any(place is not None for place in found))


def _plane_dimension(
    known: list[tuple[int, ...]], own: tuple[int, ...], alone: bool
) -> tuple[str, tuple[int, ...]]:
    """Find or add a dimension that has given focal planes: exactly these, or also more.

    Returns
    -------
    tuple of str and tuple of int
        Name of the dimension, and its focal planes
    """
    fitting = [planes for planes in known if planes == own or not (alone or {*own} - {*planes})]
    if not fitting:
        known.append(own)
    planes = fitting[0] if fitting else own
    number = known.index(planes)
    return numbered(FOCAL_PLANE, number + 1), planes


def _stacked(
    members: Sequence[_Member], name: str, dims: Sequence[str], form: ArrayForm
) -> xr.Variable:
    channels = [channel.description for channel, _ in members]
    kind, slope, intercept = channels[0].type, channels[0].slope, channels[0].intercept
    stack = FrameStack(tuple(planes for _, planes in members), kind is ChannelTypes.OPTICAL_PATH)
    has_real_values = CHANNEL_KINDS[kind].has_real_values
    is_decoded = form.decodes(name)
    # Integers become floats where the map has gaps, as only floats have NaN for missing pixels
    has_gaps = has_real_values and stack.dtype.kind in "iu" and not stack.is_complete
    attributes: dict[str, Any] = {"long_name": name.replace("_", " ").strip()}
    if is_decoded and has_gaps:
        stack = replace(stack, scale=(slope, intercept))
    else:
        # Attributes without effect are left out, as xarray would choose a wider type for an offset
        attributes |= {"scale_factor": slope} if slope != 1.0 else {}
        attributes |= {"add_offset": intercept} if intercept != 0.0 else {}
    units = {channel.unit for channel in channels}
    if has_real_values and len(units) == 1:
        attributes["units"] = units.pop()
    variable = _variable(dims[: stack.ndim], stack, attributes, form.chunks)
    return _decoded(variable) if is_decoded else variable


def _decoded(variable: xr.Variable) -> xr.Variable:
    """Decode scaled integers to real world values, which xarray also saves as floats.

    The encoding of the integers is dropped: values that a user computes would otherwise be rounded
    when they are saved, and NaN would be lost.
    """
    if not {"scale_factor", "add_offset"} & set(variable.attrs):
        return variable
    dataset = xr.decode_cf(xr.Dataset({"values": variable}), decode_times=False)
    decoded = dataset["values"].variable
    for key in ("scale_factor", "add_offset", "dtype"):
        decoded.encoding.pop(key, None)
    return decoded


def _label_maps(
    shown: Shown, focal_planes: list[tuple[int, ...]], form: ArrayForm
) -> dict[str, xr.Variable]:
    """Make a variable of segment numbers for each label map."""
    members: dict[TiledImage, list[ShownChannel]] = {}
    for channel in shown:
        for image in dict.fromkeys(place.image for place in channel.planes if place is not None):
            if is_label_map(image.metadata):
                members.setdefault(image, []).append(channel)
    return {
        LABEL_MAP.variable(count).name: _label_map(image, segments, focal_planes, form)
        for count, (image, segments) in enumerate(members.items(), 1)
    }


def _label_map(
    image: TiledImage,
    segments: Shown,
    focal_planes: list[tuple[int, ...]],
    form: ArrayForm,
) -> xr.Variable:
    found = [place if place and place.image is image else None for place in segments[0].planes]
    # The dimension is that of the variable of the segments, which has these planes already
    name, kept = _plane_dimension(focal_planes, _shown_in(found), alone=False)
    planes = tuple(None if (place := found[k]) is None else place.label_map for k in kept)
    channels = [channel.description for channel in segments]
    attributes = {
        "long_name": "numbers of segments",
        "flag_values": [int(channel.identifier) for channel in channels],
        "flag_meanings": " ".join(channel.label.replace(" ", "_") for channel in channels),
        "segment_series": segments[0].series,
    }
    dims = ("image", name, "y", "x")
    variable = _variable(dims, FrameStack((planes,), samples=False), attributes, form.chunks)
    variable = variable.isel(image=0)
    del variable.encoding["preferred_chunks"]["image"]
    return variable


def associated_image(array: FrameArray, form: ArrayForm) -> xr.Dataset:
    """Make the data set of an associated image.

    Its dimensions are named `row` and `column`, so that a selection along ``y`` and ``x`` of the
    levels leaves it unchanged.
    """
    dims = ("row", "column", "sample")
    variable = _variable(dims, array, {"long_name": "image"}, form.chunks)
    return xr.Dataset({"image": variable}, other_coordinates(variable.sizes))


def _variable(
    dims: Sequence[str],
    stack: FrameStack | FrameArray,
    attributes: dict[str, Any],
    chunks: TreeChunks,
) -> xr.Variable:
    array, *others = stack.arrays if isinstance(stack, FrameStack) else [stack]
    rows = dims.index("y") if "y" in dims else dims.index("row")
    sizes = dict(zip(dims, stack.shape, strict=True))
    frame = (*(1,) * rows, *map(min, array.tile_shape[:2], array.shape[:2]))
    bits = max(other.pixel_format.bits for other in (array, *others))
    encoding = {
        "preferred_chunks": sizes | dict(zip(dims, frame, strict=False)),
        "bits_stored": bits,
        "photometric_interpretation": array.pixel_format.photometric,
    }
    data: Any
    if chunks is None:
        data = indexing.LazilyIndexedArray(_LazyArray(stack))
    else:
        pair = rows_and_columns(chunks, array, dims[rows : rows + 2])
        outer = other_sizes(chunks, {name: sizes[name] for name in dims[:rows]})
        data = stack.to_dask(pair, outer) if isinstance(stack, FrameStack) else array.to_dask(pair)
    return xr.Variable(dims, data, attributes, encoding)
