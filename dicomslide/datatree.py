"""A slide as a tree of labelled arrays.

::

    /                     attributes of the slide
    ├── level_0           the base level
    │     image           (channel, focal_plane, y, x, sample)
    │     segmentation    (segment, focal_plane, y, x)
    │     label_map       (focal_plane, y, x)
    │     parametric_map  (parameter, focal_plane, y, x)
    ├── level_1 …
    ├── derived/segmentation, derived/parametric_map, …
    └── associated/label, associated/overview, associated/thumbnail
          image           (y, x, sample)

``y`` and ``x`` run along the columns and rows of the total pixel matrix; their coordinates are the
centres of the pixels in millimetres from the centre of the base level's top left pixel. Where the
image is parallel to the axes of the slide, ``slide_x`` and ``slide_y`` are the positions in the
slide coordinate system, indexed too (up to a million pixels), each along the dimension that it
varies with. One point of the slide has the same coordinates at all levels.

Images whose pixels are those of no level are below ``derived``, each with coordinates of its own:
``y`` and ``x`` are those of the levels where the image is parallel to them, and otherwise count
from its own top left pixel.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from xarray.backends import BackendArray
from xarray.core import indexing

from dicomslide.arrangement import Arrangement, Plane, SlideChannel
from dicomslide.damage import reads_image
from dicomslide.enum import ChannelTypes
from dicomslide.errors import ArgumentValueError, InvalidImageError
from dicomslide.image import TiledImage
from dicomslide.metadata.channels import Channel
from dicomslide.metadata.flavors import is_label_map, read_image_type
from dicomslide.metadata.geometry import ImageGeometry
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.chunks import Chunks
from dicomslide.pixels.stack import FrameStack
from dicomslide.pyramid import LevelGrid

__all__ = ["TreeChunks", "build_groups"]

TreeChunks = Chunks | Mapping[str, int] | None

_VARIABLES = {
    ChannelTypes.OPTICAL_PATH: ("image", "channel"),
    ChannelTypes.SEGMENT: ("segmentation", "segment"),
    ChannelTypes.PARAMETER: ("parametric_map", "parameter"),
}
# Of longer coordinates there are no lists of values, which would be 8 MiB each
_MOST_VALUES = 2**20
_ROOT_ATTRIBUTES = {
    "container_identifier": "ContainerIdentifier",
    "frame_of_reference_uid": "FrameOfReferenceUID",
    "study_instance_uid": "StudyInstanceUID",
    "manufacturer": "Manufacturer",
    "manufacturer_model_name": "ManufacturerModelName",
    "acquisition_date_time": "AcquisitionDateTime",
}


def build_groups(
    arrangement: Arrangement,
    associated: Mapping[str, Sequence[TiledImage]],
    chunks: TreeChunks,
    mask_and_scale: bool = True,
) -> dict[str, xr.Dataset]:
    """Build the nodes of the tree of a slide.

    Parameters
    ----------
    arrangement : Arrangement
        Levels, channels and focal planes
    associated : mapping
        Name of a node to the images that it holds
    chunks : {"frames", "auto"}, mapping, int, tuple of int or None
        How the arrays are chunked; None for lazy arrays without dask
    mask_and_scale : bool
        Whether scaled integers are decoded to the values that they stand for

    Returns
    -------
    dict
        Path to data set. No frame is read

    Raises
    ------
    ArgumentValueError
        When `chunks` is none of these
    """
    base = arrangement.levels[0].geometry
    groups = {"/": xr.Dataset(attrs=_root_attributes(arrangement.template[0].metadata))}
    for level, (image, grid) in enumerate(
        zip(arrangement.template, arrangement.levels, strict=True)
    ):
        factors = [float(scale) for scale in grid.geometry.scale_to(base)]
        shown = [
            (channel, _planes_on(channel, level, grid, len(arrangement.offsets)))
            for channel in arrangement.channels
        ]
        groups[f"/level_{level}"] = _node(
            image, grid, base, shown, arrangement.offsets, chunks, mask_and_scale
        ).assign_attrs(downsampling_factor=factors)
    groups |= _off_grid(arrangement, chunks, mask_and_scale)
    for name, images in associated.items():
        for number, image in enumerate(images):
            path = f"/associated/{name}" + (f"_{number}" if number else "")
            groups[path] = _associated(image, chunks)
    return groups


class _LazyArray(BackendArray):
    """What xarray needs to index a stack of frames lazily."""

    def __init__(self, stack: FrameStack | FrameArray) -> None:
        self.stack = stack
        self.shape = stack.shape
        self.dtype = stack.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        if isinstance(key, indexing.BasicIndexer):
            return self.stack[key.tuple]
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self.stack.__getitem__
        )


def _planes_on(
    channel: SlideChannel, level: int, grid: LevelGrid, count: int
) -> tuple[Plane | None, ...]:
    """Find the planes of a channel whose pixels are those of a level."""
    planes = (channel.planes.get((level, k)) for k in range(count))
    return tuple(p if p is not None and p.grid.is_same_as(grid) else None for p in planes)


def _off_grid(
    arrangement: Arrangement, chunks: TreeChunks, mask_and_scale: bool
) -> dict[str, xr.Dataset]:
    """Build a node of each image whose pixels are those of no level."""
    base = arrangement.levels[0].geometry
    counts: dict[str, int] = {}
    groups = {}
    for image in arrangement.off_grid:
        grid = LevelGrid(image.size, image.geometry)
        offsets = [image.get_focal_plane_offset(k) for k in range(image.num_focal_planes)]
        shown = [
            (
                SlideChannel(image.channel_type, identifier, Plane(image, channel, 0, grid)),
                tuple(Plane(image, channel, k, grid) for k in range(len(offsets))),
            )
            for channel, identifier in enumerate(image.channel_identifiers)
        ]
        name = _VARIABLES[image.channel_type][0]
        counts[name] = counts.get(name, 0) + 1
        path = f"/derived/{name}" + (f"_{counts[name]}" if counts[name] > 1 else "")
        groups[path] = _node(image, grid, base, shown, offsets, chunks, mask_and_scale)
    return groups


def _node(
    image: TiledImage,
    grid: LevelGrid,
    base: ImageGeometry,
    shown: Sequence[tuple[SlideChannel, tuple[Plane | None, ...]]],
    offsets: Sequence[float],
    chunks: TreeChunks,
    mask_and_scale: bool,
) -> xr.Dataset:
    """Build a node of channels whose pixels are those of one grid."""
    # One point has the same y and x in all nodes that are parallel to the levels
    zero = base if grid.geometry.is_parallel_to(base) else grid.geometry
    dataset = _pixel_coordinates(zero, grid)
    for variables in _variables(shown, offsets, chunks, mask_and_scale):
        decoded = xr.decode_cf(variables, mask_and_scale=mask_and_scale, decode_times=False)
        dataset = dataset.assign(decoded.data_vars).assign_coords(decoded.coords)
    return dataset.assign_attrs(
        {**_image_attributes(image), **_geometry_attributes(grid.geometry, zero)}
    )


def _variables(
    shown: Sequence[tuple[SlideChannel, tuple[Plane | None, ...]]],
    offsets: Sequence[float],
    chunks: TreeChunks,
    mask_and_scale: bool,
) -> list[xr.Dataset]:
    """Stack the channels of a node, those of one kind, shape and type into one variable."""
    stacks: dict[Any, list[tuple[SlideChannel, tuple[FrameArray | None, ...]]]] = {}
    for channel, places in shown:
        planes = tuple(None if place is None else place.array for place in places)
        arrays = [plane for plane in planes if plane is not None]
        if arrays:
            about = channel.description
            key = about.type, arrays[0].shape[2], arrays[0].dtype, about.slope, about.intercept
            stacks.setdefault(key, []).append((channel, planes))
    counts: dict[ChannelTypes, int] = {}
    found = []
    for (kind, *_), members in stacks.items():
        counts[kind] = counts.get(kind, 0) + 1
        suffix = f"_{counts[kind]}" if counts[kind] > 1 else ""
        found.append(_stacked(members, suffix, offsets, chunks, mask_and_scale))
    return [*found, *_label_maps(shown, chunks)]


def _label_maps(
    shown: Sequence[tuple[SlideChannel, tuple[Plane | None, ...]]], chunks: TreeChunks
) -> Iterator[xr.Dataset]:
    """Make a variable of each label map: the numbers of its segments."""
    members: dict[TiledImage, list[tuple[SlideChannel, tuple[Plane | None, ...]]]] = {}
    for channel, places in shown:
        for image in dict.fromkeys(place.image for place in places if place is not None):
            if is_label_map(image.metadata):
                members.setdefault(image, []).append((channel, places))
    for count, (image, segments) in enumerate(members.items(), 1):
        planes = tuple(
            place.label_map if place and place.image is image else None for place in segments[0][1]
        )
        channels = [channel.description for channel, _ in segments]
        attributes = {
            "long_name": "numbers of segments",
            "flag_values": [int(channel.identifier) for channel in channels],
            "flag_meanings": " ".join(channel.label.replace(" ", "_") for channel in channels),
            "segment_series": segments[0][0].series,
        }
        dims = ("image", "focal_plane", "y", "x")
        variable = _variable(dims, FrameStack((planes,), samples=False), attributes, chunks)
        variable = variable.isel(image=0)
        del variable.encoding["preferred_chunks"]["image"]
        yield xr.Dataset({"label_map" + (f"_{count}" if count > 1 else ""): variable})


def _stacked(
    members: Sequence[tuple[SlideChannel, tuple[FrameArray | None, ...]]],
    suffix: str,
    offsets: Sequence[float],
    chunks: TreeChunks,
    mask_and_scale: bool,
) -> xr.Dataset:
    channels = [channel.description for channel, _ in members]
    kind = channels[0].type
    name, dimension = (part + suffix for part in _VARIABLES[kind])
    stack = FrameStack(tuple(planes for _, planes in members), kind is ChannelTypes.OPTICAL_PATH)
    # No integer says that a parameter is not known where the map has no pixels
    scaled_here = (
        mask_and_scale
        and kind is ChannelTypes.PARAMETER
        and stack.dtype.kind in "iu"
        and not stack.is_complete
    )
    if scaled_here:
        stack = replace(stack, scale=(channels[0].slope, channels[0].intercept))
    dims = (dimension, "focal_plane", "y", "x", f"sample{suffix}")[: stack.ndim]
    attributes: dict[str, Any] = {"long_name": name.replace("_", " ").strip()}
    # CF readers apply what is there; an offset of 0 would only make xarray choose a wider type
    if channels[0].slope != 1.0 and not scaled_here:
        attributes["scale_factor"] = channels[0].slope
    if channels[0].intercept != 0.0 and not scaled_here:
        attributes["add_offset"] = channels[0].intercept
    units = {channel.unit for channel in channels}
    if kind is ChannelTypes.PARAMETER and len(units) == 1:
        attributes["units"] = units.pop()
    series = [channel.series for channel, _ in members]
    coordinates = _channel_coordinates(channels, series, kind, dimension, suffix)
    z = [offset / 1000 for offset in offsets]
    coordinates["focal_plane"] = xr.Variable(
        "focal_plane", z, {"units": "mm", "long_name": "Z offset in the slide coordinate system"}
    )
    return xr.Dataset({name: _variable(dims, stack, attributes, chunks)}, coords=coordinates)


def _variable(
    dims: Sequence[str],
    stack: FrameStack | FrameArray,
    attributes: dict[str, Any],
    chunks: TreeChunks,
) -> xr.Variable:
    array, *others = stack.arrays if isinstance(stack, FrameStack) else [stack]
    rows, columns = (min(array.tile_shape[i], array.shape[i]) for i in range(2))
    preferred = dict(zip(dims, stack.shape, strict=True)) | {"y": rows, "x": columns}
    preferred |= dict.fromkeys(dims[: dims.index("y")], 1)
    bits = max(other.pixel_format.bits for other in (array, *others))
    encoding = {
        "preferred_chunks": preferred,
        "bits_stored": bits,
        "photometric_interpretation": array.pixel_format.photometric,
    }
    data: Any
    if chunks is None:
        data = indexing.LazilyIndexedArray(_LazyArray(stack))
    else:
        data = stack.to_dask(array.chunk_sizes(_frame_chunks(chunks))[:2])
    return xr.Variable(dims, data, attributes, encoding)


def _frame_chunks(chunks: Chunks | Mapping[str, int]) -> Chunks:
    """Read the sizes along y and x from a mapping; a dimension that is not named has frames."""
    if not isinstance(chunks, Mapping):
        return chunks
    if not chunks:
        return "frames"
    unknown = set(chunks) - {"y", "x"}
    if unknown:
        raise ArgumentValueError(f"chunks: only y and x can be chunked, not {sorted(unknown)}")
    # One pixel is rounded up to one frame
    return chunks.get("y", 1), chunks.get("x", 1)


def _channel_coordinates(
    channels: Sequence[Channel],
    series: Sequence[str],
    kind: ChannelTypes,
    dimension: str,
    suffix: str,
) -> dict[str, xr.Variable]:
    about_series = "Pyramid UID, or Series Instance UID where there is none"

    def along(values: Sequence[Any] | NDArray, **attributes: str) -> xr.Variable:
        array = np.array(values)
        # Zarr has no strings of a fixed length, and dask cannot measure others
        encoding = {"dtype": np.dtypes.StringDType()} if array.dtype.kind == "U" else {}
        return xr.Variable(dimension, array, attributes, encoding)

    if kind is ChannelTypes.OPTICAL_PATH:
        coordinates = {
            "channel": along([c.identifier for c in channels], long_name="optical path"),
            "description": along([c.label for c in channels]),
            "wavelength": along(np.array([c.wavelength for c in channels], float), units="nm"),
            "emission": along(np.array([c.emission for c in channels], float), units="nm"),
            "stain": along([", ".join(c.stains) for c in channels]),
        }
    elif kind is ChannelTypes.SEGMENT:
        coordinates = {
            "segment": along([int(c.identifier) for c in channels], long_name="segment number"),
            "label": along([c.label for c in channels]),
            "category": along([c.category for c in channels]),
            "type": along([c.property_type for c in channels]),
            "algorithm": along([c.algorithm for c in channels]),
            "color": along([c.color for c in channels], long_name="sRGB, hexadecimal"),
            "segmentation_type": along([c.segmentation_type for c in channels]),
            "segment_series": along(series, long_name=about_series),
        }
    else:
        coordinates = {
            "parameter": along([c.identifier for c in channels]),
            "explanation": along([c.label for c in channels]),
            "units": along([c.unit for c in channels]),
            "parameter_series": along(series, long_name=about_series),
        }
    return {name + suffix: variable for name, variable in coordinates.items()}


def _pixel_coordinates(zero: ImageGeometry, grid: LevelGrid) -> xr.Dataset:
    """Make a data set of the coordinates of the pixels of a grid, in millimetres.

    Parameters
    ----------
    zero : ImageGeometry
        The image from whose top left pixel ``y`` and ``x`` are counted
    grid : LevelGrid
        Pixels, parallel to those of `zero`
    """
    geometry = grid.geometry
    start = zero.to_pixels(geometry.at_height(zero.origin[2]).origin) * zero.spacing
    lines = [
        ("y", "y", start[0], geometry.spacing[0], "distance along the columns"),
        ("x", "x", start[1], geometry.spacing[1], "distance along the rows"),
    ]
    if geometry.is_axis_aligned:
        steps = [
            along * spacing
            for along, spacing in zip(
                (geometry.column_direction, geometry.row_direction), geometry.spacing, strict=True
            )
        ]
        for axis, name in enumerate(("slide_x", "slide_y")):
            along_x = geometry.rows_run_along_x == (axis == 0)
            step = steps[1 if along_x else 0][axis]
            long_name = f"{'XY'[axis]} in the slide coordinate system"
            lines.append((name, "x" if along_x else "y", geometry.origin[axis], step, long_name))
    sizes = dict(zip("yx", grid.size, strict=True))
    dataset = xr.Dataset()
    for name, dimension, first, step, long_name in lines:
        line = _line(name, dimension, float(first), float(step), sizes[dimension])
        dataset = dataset.assign_coords(line)
        dataset[name].attrs = {"units": "mm", "long_name": long_name}
    return dataset


def _line(name: str, dimension: str, first: float, step: float, count: int) -> xr.Coordinates:
    """Make a coordinate of evenly spaced values, which are not listed if they are many."""
    if count <= _MOST_VALUES:
        values = xr.Variable(dimension, first + step * np.arange(count))
        dataset = xr.Dataset(coords={name: values})
        # One that is called like its dimension has an index already
        return (dataset if name == dimension else dataset.set_xindex(name)).coords
    # Older versions of xarray do not have it, and no slide is so large
    from xarray.indexes import RangeIndex

    index = RangeIndex.linspace(
        first, first + step * count, num=count, endpoint=False, dim=dimension, coord_name=name
    )
    coordinates = xr.Coordinates.from_xindex(index)
    # Such an index selects only by a coordinate that is called like its dimension
    return coordinates if name == dimension else coordinates.to_dataset().drop_indexes(name).coords


def _associated(image: TiledImage, chunks: TreeChunks) -> xr.Dataset:
    array = image.get_total_pixel_matrix().array
    variable = _variable(("y", "x", "sample"), array, {"long_name": "image"}, chunks)
    return xr.Dataset({"image": variable}, attrs={**_image_attributes(image), **_placement(image)})


def _placement(image: TiledImage) -> dict[str, Any]:
    """Say where an associated image lies, if it says so itself."""
    try:
        return _geometry_attributes(image.geometry, image.geometry)
    except InvalidImageError:
        # Whoever asks for its geometry is told; the rest of the slide does not depend on it
        return {}


@reads_image
def _root_attributes(dataset: Dataset) -> dict[str, Any]:
    values = {name: dataset.get(key) for name, key in _ROOT_ATTRIBUTES.items()}
    return {name: str(value) for name, value in values.items() if value not in (None, "")}


def _geometry_attributes(geometry: ImageGeometry, zero: ImageGeometry) -> dict[str, Any]:
    """Say where pixels lie on the slide; the origin is X and Y of where ``y`` and ``x`` are 0."""
    return {
        "pixel_spacing": list(geometry.spacing),
        "pixel_spacing_units": "mm",
        "image_orientation_slide": list(geometry.orientation),
        "total_pixel_matrix_origin": list(zero.origin[:2]),
    }


def _image_attributes(image: TiledImage) -> dict[str, Any]:
    metadata = image.metadata
    return {
        "sop_instance_uid": str(metadata.get("SOPInstanceUID", "")),
        "series_instance_uid": str(metadata.get("SeriesInstanceUID", "")),
        "image_type": list(read_image_type(metadata)),
        "transfer_syntax_uid": image.transfer_syntax_uid,
        "photometric_interpretation": str(metadata.get("PhotometricInterpretation", "")),
    }
