"""Tree of labelled arrays of a slide.

::

    /                     attributes of the slide
    ├── level_0           the base level
    │     image           (channel, focal_plane, y, x, sample)
    │     segmentation    (segment, focal_plane, y, x)
    │     label_map       (focal_plane, y, x)
    │     parametric_map  (parameter, focal_plane, y, x)
    ├── level_1 …
    ├── derived/segmentation, derived/parametric_map, …
    ├── annotations/…     a group of annotations each: see `dicomslide.annotations.nodes`
    └── associated/label, associated/overview, associated/thumbnail
          image           (row, column, sample)

Optical paths with other focal planes than the first ones are separate variables, ``image_2`` along
``channel_2`` and ``focal_plane_2``, so that no variable lacks planes of a channel. Segmentations
are False in focal planes that a segment lacks, and parametric maps are NaN there.

``y`` and ``x`` run along the columns and rows of the total pixel matrix; their coordinates are the
centres of the pixels in millimetres from the centre of the base level's top left pixel. Where the
image is parallel to the axes of the slide, ``slide_x`` and ``slide_y`` are the positions in the
slide coordinate system, each along the dimension that it varies with. One point of the slide has
the same coordinates at all levels. Associated images have separate dimensions.

Images whose pixels do not lie on the grid of a level are below ``derived``, each with separate
coordinates: ``y`` and ``x`` are on the axes of the levels where the image is parallel to them, and
otherwise count from its own top left pixel.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr
from pydicom.dataset import Dataset

from dicomslide.errors import ArgumentValueError, InvalidImageError
from dicomslide.errors.damage import reads_image
from dicomslide.image import TiledImage
from dicomslide.metadata.flavors import read_image_type
from dicomslide.metadata.geometry import ImageGeometry
from dicomslide.metadata.stains import read_stainings
from dicomslide.placement.arrangement import Arrangement, Plane, SlideChannel, family_of
from dicomslide.pyramid import LevelGrid
from dicomslide.tree.chunks import TreeChunks
from dicomslide.tree.coordinates import pixel_coordinates
from dicomslide.tree.schema import KINDS, associated_path, derived_path, level_path
from dicomslide.tree.variables import (
    ArrayForm,
    Shown,
    ShownChannel,
    associated_image,
    channel_variables,
)

__all__ = ["build_groups", "check_dimensions"]

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
    form: ArrayForm,
) -> dict[str, xr.Dataset]:
    """Build the nodes of the tree of a slide.

    Parameters
    ----------
    arrangement : Arrangement
        Levels, channels and focal planes
    associated : mapping
        Associated images by the names of their nodes
    form : ArrayForm
        Form of the arrays

    Returns
    -------
    dict
        Data sets by the paths of their nodes. No frame is read

    Raises
    ------
    ArgumentValueError
        When sizes of chunks are invalid
    """
    base = arrangement.levels[0].geometry
    template = arrangement.template[0].metadata
    groups = {"/": xr.Dataset(attrs=_root_attributes(template) | _stains(arrangement))}
    for level, (image, grid) in enumerate(
        zip(arrangement.template, arrangement.levels, strict=True)
    ):
        factors = [float(scale) for scale in grid.geometry.scale_to(base)]
        shown = [
            ShownChannel(
                description,
                channel.series,
                _planes_on(channel, level, grid, len(arrangement.offsets)),
            )
            for channel, description in zip(
                arrangement.channels, arrangement.descriptions, strict=True
            )
        ]
        node = _node(image, grid, base, shown, arrangement.offsets, form)
        groups[level_path(level)] = node.assign_attrs(downsampling_factor=factors)
    groups |= _off_grid(arrangement, form)
    for name, images in associated.items():
        for number, image in enumerate(images):
            groups[associated_path(name, number)] = _associated(image, form)
    return groups


def check_dimensions(chunks: TreeChunks, groups: Mapping[str, xr.Dataset]) -> None:
    """Check that chunks are given for dimensions that nodes have.

    Raises
    ------
    ArgumentValueError
        When no node has a dimension
    """
    if isinstance(chunks, Mapping):
        known = {str(name) for group in groups.values() for name in group.dims}
        if unknown := set(chunks) - known:
            raise ArgumentValueError(
                f"chunks: there is no dimension {sorted(unknown)}, only {sorted(known)}"
            )


def _planes_on(
    channel: SlideChannel, level: int, grid: LevelGrid, count: int
) -> tuple[Plane | None, ...]:
    """Find the planes of a channel that lie on the grid of a level; None for those that do not."""
    planes = (channel.planes.get((level, k)) for k in range(count))
    return tuple(p if p is not None and p.grid.is_same_as(grid) else None for p in planes)


def _off_grid(arrangement: Arrangement, form: ArrayForm) -> dict[str, xr.Dataset]:
    """Build a node for each image whose pixels do not lie on the grid of a level."""
    base = arrangement.levels[0].geometry
    counts: dict[str, int] = {}
    groups = {}
    for image in arrangement.off_grid:
        grid = LevelGrid(image.size, image.geometry)
        offsets = [image.get_focal_plane_offset(k) for k in range(image.num_focal_planes)]
        shown = [
            ShownChannel(
                description,
                family_of(image),
                tuple(
                    Plane(image, channel, k, grid) if k in planes else None
                    for k in range(len(offsets))
                ),
            )
            for channel, description in enumerate(image.channels)
            for planes in [image._instance.focal_planes_of(channel)]
        ]
        kind = KINDS[image.channel_type]
        counts[kind.name] = counts.get(kind.name, 0) + 1
        path = derived_path(kind, counts[kind.name])
        groups[path] = _node(image, grid, base, shown, offsets, form)
    return groups


def _node(
    image: TiledImage,
    grid: LevelGrid,
    base: ImageGeometry,
    shown: Shown,
    offsets: Sequence[float],
    form: ArrayForm,
) -> xr.Dataset:
    """Build a node of channels on one grid of pixels."""
    # Nodes parallel to the levels share their origin, so that a point has the same y and x in all
    zero = base if grid.geometry.is_parallel_to(base) else grid.geometry
    variables = channel_variables(shown, offsets, form)
    dataset = pixel_coordinates(zero, grid).assign_coords(variables.coords)
    dataset = dataset.assign(variables.data_vars)
    return dataset.assign_attrs(
        {
            **_image_attributes(image),
            **_focus_attributes(image.metadata),
            **_geometry_attributes(grid.geometry, zero),
        }
    )


def _associated(image: TiledImage, form: ArrayForm) -> xr.Dataset:
    dataset = associated_image(image.get_total_pixel_matrix().array, form)
    # Specimen Label in Image (PS3.3 C.8.12.4): what shows the label may show patient data
    label = {"specimen_label_in_image": str(image.metadata.get("SpecimenLabelInImage") or "")}
    return dataset.assign_attrs({**_image_attributes(image), **label, **_placement(image)})


def _placement(image: TiledImage) -> dict[str, Any]:
    """Make the attributes of the position of an associated image, if it states one."""
    try:
        return _geometry_attributes(image.geometry, image.geometry)
    except InvalidImageError:
        # Associated images need no position
        return {}


@reads_image
def _focus_attributes(dataset: Dataset) -> dict[str, Any]:
    """Make the attributes that tell if several focal planes were combined (PS3.3 C.8.12.4)."""
    found: dict[str, Any] = {}
    if value := dataset.get("ExtendedDepthOfField"):
        found["extended_depth_of_field"] = str(value)
    if value := dataset.get("NumberOfFocalPlanes"):
        found["number_of_focal_planes"] = int(value)
    if value := dataset.get("DistanceBetweenFocalPlanes"):
        found["distance_between_focal_planes"] = float(value)
        found["distance_between_focal_planes_units"] = "um"
    return found


@reads_image
def _root_attributes(dataset: Dataset) -> dict[str, Any]:
    values = {name: dataset.get(key) for name, key in _ROOT_ATTRIBUTES.items()}
    return {name: str(value) for name, value in values.items() if value not in (None, "")}


def _stains(arrangement: Arrangement) -> dict[str, list[str]]:
    """Make the attribute of the stains of the slide, or of what unnamed stains investigated."""
    images = dict.fromkeys(channel.first.image for channel in arrangement.channels)
    codes = [
        code
        for image in images
        for staining in read_stainings(image.metadata)
        for code in staining.substances or staining.components
    ]
    return {"stains": list(dict.fromkeys(code.meaning for code in codes))} if codes else {}


def _geometry_attributes(geometry: ImageGeometry, zero: ImageGeometry) -> dict[str, Any]:
    """Make the attributes of a position; the origin is (X, Y) where ``y`` and ``x`` are 0."""
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
