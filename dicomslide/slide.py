"""Slides: all images of a glass slide in one coordinate system."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import Dataset

from dicomslide.arguments import (
    integer_pair,
    integer_pairs,
    number,
    number_pair,
    region_size,
    require_type,
    selection,
)
from dicomslide.enum import ChannelTypes, ImageFlavors
from dicomslide.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    InvalidImageError,
    NoSlideError,
    SelectionError,
)
from dicomslide.errors.damage import reading
from dicomslide.image import TiledImage, coordinates, find_focal_plane
from dicomslide.instance import ImageInstance
from dicomslide.matrix import TotalPixelMatrix
from dicomslide.metadata.channel_kind import Channel
from dicomslide.metadata.channels import channel_items, channel_type
from dicomslide.metadata.flavors import (
    SLIDE_MICROSCOPY,
    image_flavor,
    is_annotations,
    is_label_image,
    is_overview_image,
    is_presentation_state,
    is_volume_image,
)
from dicomslide.metadata.geometry import ImageGeometry
from dicomslide.metadata.matching import (
    Coded,
    any_code_matches,
    code_types,
    does_segment_item_match,
    shows_marker,
)
from dicomslide.metadata.presentation import read_presentations
from dicomslide.metadata.references import read_uid
from dicomslide.metadata.stains import read_stainings
from dicomslide.metadata.words import counted
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.resampled import ResampledArray
from dicomslide.placement.arrangement import Plane, SlideChannel, arrange
from dicomslide.pyramid import LevelGrid, make_levels
from dicomslide.region import nearest_pixels, read_annotated_region, read_slide_region
from dicomslide.resampling import level_at_spacing
from dicomslide.sources.base import FrameSource, image_name
from dicomslide.sources.concatenation import JoinedImage, join_concatenations, join_frames
from dicomslide.stores.places import frame_sources
from dicomslide.stores.protocol import ImageStore
from dicomslide.tree.chunks import TreeChunks

if TYPE_CHECKING:
    import highdicom as hd
    import xarray as xr
    from dicomweb_client.api import DICOMClient
    from PIL import Image

    from dicomslide.annotations.group import Annotation, AnnotationGroup

__all__ = ["Slide"]

_ROUND = ("ELLIPSE", "ELLIPSOID")


class Slide:
    """Digital slide.

    A collection of DICOM image instances that share the same Frame of Reference UID and Container
    Identifier: they were acquired from the same physical glass slide and lie in the same coordinate
    system.

    A slide has one image pyramid for each pair of channel and focal plane. Its levels are the
    sizes of the VOLUME images, and of the THUMBNAIL images that fit, from the largest to the
    smallest; the images of a level may be tiled differently. Channels are counted over all images:
    optical paths, then segments, then parameters.

    The positions of all images are decided when the slide is made, and hold for all methods: levels
    that state one Total Pixel Matrix Origin have equal top left corners, and a Segmentation or
    Parametric Map has the position that its attributes state. A derived image whose pixels lie on
    those of a level belongs to that level, even if it covers only a part, and its ``(row, column)``
    are pixels of the level; otherwise it is one of the `derived_images`.

    Unless stated otherwise ``level``, ``channel_index`` and ``focal_plane_index`` are zero-based
    indices into the levels, channels and focal planes of the slide. They raise a ValueError where
    there is no such level, channel or focal plane, or it has no pixels.

    Parameters
    ----------
    client : dicomweb_client.api.DICOMClient or ImageStore
        Client that can retrieve the frames, or store that has them
    image_metadata : sequence of pydicom.dataset.Dataset
        Metadata of DICOM VL Whole Slide Microscopy Image instances, or of Segmentation or
        Parametric Map instances derived from them, that belong to the slide; also Presentation
        States, which set display colours and windows of its channels, and annotations
    max_frame_cache_size : int, optional
        Number of decoded frames that are kept for each image instance; with None the frames of all
        images are bounded together, in bytes: ``dicomslide.keep.decoded-frames``
    pyramid_tolerance : float, optional
        Largest tolerated distance in millimetres between the centres of images at different
        pyramid levels in the slide coordinate system; one pixel of the coarser image is always
        tolerated
    correct_color : bool, optional
        Whether the ICC profiles of the images are applied

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When the images do not make one slide, or one of them cannot be used

    Warns
    -----
    UserWarning
        When a THUMBNAIL image does not fit into the pyramid, an image is left out because it is
        neither VOLUME, THUMBNAIL, LABEL nor OVERVIEW, or a derived image lies outside of the slide
    """

    def __init__(
        self,
        client: DICOMClient | ImageStore,
        image_metadata: Sequence[Dataset],
        max_frame_cache_size: int | None = 6,
        pyramid_tolerance: float = 0.1,
        *,
        correct_color: bool = True,
    ) -> None:
        tolerance = number("pyramid_tolerance", pyramid_tolerance)
        if tolerance < 0:
            raise ArgumentValueError(f"pyramid_tolerance: {tolerance} mm is negative")
        datasets, states, self._annotation_metadata = _by_kind(image_metadata)
        joined = join_concatenations(_one_slide(datasets))
        found = _find_frames(client, joined)
        # Annotations may refer to any part of an image
        self._image_uids = {
            read_uid(p): read_uid(image.dataset) for image in joined for p in image.parts
        }

        def images(condition: Callable[[Dataset], bool]) -> list[TiledImage]:
            return [
                TiledImage._of(ImageInstance(source, dataset, max_frame_cache_size), correct_color)
                for dataset, source in found
                if condition(dataset)
            ]

        scanned, derived = images(_is_scanned), images(_is_derived)
        if not scanned and not derived:
            raise NoSlideError("there is no VOLUME, THUMBNAIL or derived image")
        self._label_images = tuple(images(is_label_image))
        self._overview_images = tuple(images(is_overview_image))
        _warn_of_others(found)
        presentations = [parts for _, parts in read_presentations(states)]
        self._arrangement = arrange(scanned, derived, tolerance, presentations)
        grids = self._arrangement.levels
        self._levels = make_levels(grids, [True] * len(grids))

    @property
    def frame_of_reference_uid(self) -> str:
        """Unique identifier of the frame of reference."""
        return self._arrangement.template[0].frame_of_reference_uid

    @property
    def container_identifier(self) -> str:
        """Container Identifier of the glass slide; empty where there is none."""
        return str(self._arrangement.template[0].metadata.get("ContainerIdentifier") or "")

    @property
    def label_images(self) -> tuple[TiledImage, ...]:
        """LABEL images of the slide."""
        return self._label_images

    @property
    def overview_images(self) -> tuple[TiledImage, ...]:
        """OVERVIEW images of the slide."""
        return self._overview_images

    @property
    def thumbnail_images(self) -> tuple[TiledImage, ...]:
        """THUMBNAIL images of the slide, whether they are levels or not."""
        levels = [
            plane.image
            for channel in self._arrangement.channels
            for plane in channel.planes.values()
        ]
        found = dict.fromkeys((*levels, *self._arrangement.thumbnails))
        return tuple(image for image in found if image._instance.is_thumbnail)

    @property
    def derived_images(self) -> tuple[TiledImage, ...]:
        """Images whose pixels do not lie on those of a level, and so have separate coordinates.

        Segmentations and Parametric Maps with another Pixel Spacing or orientation than the levels,
        or shifted by a part of a pixel, and optical paths that are not aligned with the others.
        """
        return self._arrangement.off_grid

    @cached_property
    def annotations(self) -> tuple[AnnotationGroup, ...]:
        """Groups of annotations: outlined cells, regions that people drew, points.

        They are from Microscopy Bulk Simple Annotations, and from Structured Reports with regions
        (PS3.16 TID 1500), in the order of their instances. Coordinates are read when they are
        needed.

        Warns
        -----
        UserWarning
            When a group cannot be used, which is left out
        """
        from dicomslide.annotations.places import Places
        from dicomslide.annotations.reading import read_annotations

        places = Places(self._arrangement, self._images, self._image_uids)
        return tuple(read_annotations(self._annotation_metadata, places))

    @property
    def num_channels(self) -> int:
        """Number of channels."""
        return len(self._arrangement.channels)

    @property
    def num_focal_planes(self) -> int:
        """Number of focal planes."""
        return len(self._arrangement.offsets)

    @property
    def num_levels(self) -> int:
        """Number of pyramid levels.

        Levels are sorted by size in descending order from the base level (highest image
        resolution, smallest pixel spacing) to the top level.
        """
        return len(self._levels)

    @property
    def total_pixel_matrix_dimensions(self) -> tuple[tuple[int, int], ...]:
        """Number of rows and columns of the total pixel matrices at each level.

        Padding to whole tiles is not part of a level.
        """
        return tuple(level.total_pixel_matrix_dimensions for level in self._levels)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the largest total pixel matrix."""
        return self._levels[0].total_pixel_matrix_dimensions

    @property
    def pixel_spacings(self) -> tuple[tuple[float, float], ...]:
        """Distance between pixels in millimetres along the row and the column, at each level."""
        return tuple(level.pixel_spacing for level in self._levels)

    @property
    def downsampling_factors(self) -> tuple[float, ...]:
        """Pixel Spacing of each level relative to the base level: the mean of rows and columns."""
        return tuple(sum(level.downsampling_factors) / 2 for level in self._levels)

    @property
    def physical_offset(self) -> tuple[float, float]:
        """Smallest X and Y of the top left pixels of the base level in millimetres."""
        x, y = np.min([plane.geometry.origin[:2] for plane in self._base_planes], axis=0).tolist()
        return x, y

    @property
    def physical_size(self) -> tuple[float, float]:
        """Largest size of the base level along the X and Y axes of the slide in millimetres."""
        bounds = [plane.geometry.bounds(plane.grid.size) for plane in self._base_planes]
        x, y = np.max([np.subtract(high, low) for low, high in bounds], axis=0).tolist()
        return x, y

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Description of each channel."""
        return self._arrangement.descriptions

    def get_channel_identifier(self, channel_index: int) -> str:
        """Get identifier of a channel.

        Parameters
        ----------
        channel_index : int
            Zero-based index into channels

        Returns
        -------
        str
            Optical Path Identifier, Segment Number or LUT Label

        Raises
        ------
        ValueError
            When no channel is found for `channel_index`
        """
        return self._channel(channel_index).identifier

    def get_channel_type(self, channel_index: int) -> ChannelTypes:
        """Get type of a channel.

        Parameters
        ----------
        channel_index : int
            Zero-based index into channels

        Returns
        -------
        ChannelTypes
            Channel type

        Raises
        ------
        ValueError
            When no channel is found for `channel_index`
        """
        return self._channel(channel_index).type

    def get_channel_index(self, channel_identifier: str, channel_type: str | ChannelTypes) -> int:
        """Get index of a channel.

        Parameters
        ----------
        channel_identifier : str
            Channel identifier
        channel_type : str or ChannelTypes
            Channel type

        Returns
        -------
        int
            Zero-based index of the first channel with this identifier and type

        Raises
        ------
        ValueError
            When no channel is found for `channel_identifier` and `channel_type`
        """
        wanted = _channel_type(channel_type)
        channels = self._arrangement.channels
        for index, channel in enumerate(channels):
            if channel.type is wanted and channel.identifier == str(channel_identifier):
                return index
        raise SelectionError(
            f"channel_identifier: there is no {wanted.value} {channel_identifier!r}, only "
            f"{[channel.identifier for channel in channels if channel.type is wanted]}"
        )

    def get_focal_plane_index(self, focal_plane_offset: float) -> int:
        """Get index of a focal plane.

        Parameters
        ----------
        focal_plane_offset : float
            Offset of the focal plane from the slide surface along the Z axis of the slide
            coordinate system in micrometres

        Returns
        -------
        int
            Zero-based index into focal planes, from the slide towards the coverslip

        Raises
        ------
        ValueError
            When no focal plane is found for `focal_plane_offset`
        """
        return find_focal_plane(self._arrangement.offsets, focal_plane_offset)

    def get_focal_plane_offset(self, focal_plane_index: int) -> float:
        """Get z offset in slide coordinate system of a focal plane.

        Parameters
        ----------
        focal_plane_index : int
            Zero-based index into focal planes, from the slide towards the coverslip

        Returns
        -------
        float
            Offset of the focal plane from the slide surface along the Z axis of the slide
            coordinate system in micrometres

        Raises
        ------
        ValueError
            When no focal plane is found for `focal_plane_index`
        """
        return self._arrangement.offsets[self._focal_plane(focal_plane_index)]

    def find_optical_paths(
        self,
        identifier: str | None = None,
        description: str | None = None,
        illumination_wavelength: float | None = None,
        specimen_stain: Coded | None = None,
        *,
        marker: str | Coded | None = None,
    ) -> tuple[int, ...]:
        """Find the optical paths that match all criteria that are given.

        Parameters
        ----------
        identifier : str, optional
            Optical path identifier
        description : str, optional
            Optical path description
        illumination_wavelength : float, optional
            Optical path illumination wavelength in nanometres, also that of the filter of the
            light path
        specimen_stain : pydicom.sr.coding.Code or highdicom.sr.CodedConcept, optional
            Substance used for specimen staining. If the images do not state which path shows a
            stain of the slide, all paths that may show it match
        marker : str, pydicom.sr.coding.Code or highdicom.sr.CodedConcept, optional
            Code or name, in any case, of a marker, a stain, a fluorophore, or the description of
            the path

        Returns
        -------
        tuple of int
            Indices of channels, ascending

        Raises
        ------
        TypeError
            When `specimen_stain` is not a code, or `marker` is neither a code nor a name
        """
        _require_code("specimen_stain", specimen_stain)
        if not isinstance(marker, str):
            _require_code("marker", marker)
        paths = [
            (index, channel, self._arrangement.channels[index].first.image.metadata)
            for index, channel in enumerate(self.channels)
            if channel.type is ChannelTypes.OPTICAL_PATH
        ]
        attributed = {stain for _, channel, _ in paths for stain in channel.stains}
        found = []
        for index, channel, metadata in paths:
            stated = (identifier, channel.identifier), (description, channel.label)
            length = illumination_wavelength
            if (
                any(wanted not in (None, own) for wanted, own in stated)
                or (length is not None and channel.wavelength != float(length))
                or (marker is not None and not shows_marker(channel, marker))
            ):
                continue
            if specimen_stain is not None:
                whole = [s for item in read_stainings(metadata) for s in item.substances]
                own_stains = channel.stains or [s for s in whole if s not in attributed]
                if not any_code_matches(own_stains, specimen_stain):
                    continue
            found.append(index)
        return tuple(found)

    def find_segments(
        self,
        number: int | None = None,
        label: str | None = None,
        property_category: Coded | None = None,
        property_type: Coded | None = None,
    ) -> tuple[int, ...]:
        """Find the segments that match all criteria that are given.

        Parameters
        ----------
        number : int, optional
            Segment number
        label : str, optional
            Segment label
        property_category : pydicom.sr.coding.Code or highdicom.sr.CodedConcept, optional
            Category of segmented property
        property_type : pydicom.sr.coding.Code or highdicom.sr.CodedConcept, optional
            Type of segmented property

        Returns
        -------
        tuple of int
            Indices of channels, ascending

        Raises
        ------
        TypeError
            When `property_category` or `property_type` is not a code
        """
        _require_code("property_category", property_category)
        _require_code("property_type", property_type)

        criteria = number, label, property_category, property_type
        found = []
        for index, channel in enumerate(self._arrangement.channels):
            if channel.type is ChannelTypes.SEGMENT:
                image = channel.first.image
                with reading(image.label):
                    item = channel_items(image.metadata)[channel.first.channel]
                    if does_segment_item_match(item, *criteria):
                        found.append(index)
        return tuple(found)

    def get_volume_images(
        self, channel_index: int = 0, focal_plane_index: int = 0
    ) -> tuple[TiledImage, ...]:
        """Get VOLUME or THUMBNAIL images for a channel and focal plane.

        Parameters
        ----------
        channel_index, focal_plane_index : int, optional
            See `Slide`

        Returns
        -------
        tuple of dicomslide.TiledImage
            Images sorted by size in descending order; derived images for a segment or parameter
        """
        channel = self._channel(channel_index)
        plane = self._focal_plane(focal_plane_index)
        if not channel.planes:
            return (channel.first.image,)
        found = (channel.planes.get((level, plane)) for level in range(self.num_levels))
        return tuple(place.image for place in found if place is not None)

    def get_image(
        self, level: int, channel_index: int = 0, focal_plane_index: int = 0
    ) -> TiledImage:
        """Get the image that shows a channel and focal plane at a level.

        Parameters
        ----------
        level, channel_index, focal_plane_index : int
            See `Slide`

        Returns
        -------
        dicomslide.TiledImage
            VOLUME, THUMBNAIL or derived image
        """
        return self._plane(level, channel_index, focal_plane_index).image

    def get_total_pixel_matrix(
        self, level: int, channel_index: int = 0, focal_plane_index: int = 0
    ) -> TotalPixelMatrix:
        """Get the total pixel matrix of a channel and focal plane at a level.

        The matrix has the rows and columns of the level, even if the image covers only a part of
        the level, or was padded.

        Parameters
        ----------
        level, channel_index, focal_plane_index : int
            See `Slide`

        Returns
        -------
        dicomslide.TotalPixelMatrix
            Total pixel matrix
        """
        return self._plane(level, channel_index, focal_plane_index).matrix

    def get_image_region(
        self,
        offset: tuple[int, int],
        level: int,
        size: tuple[int, int],
        channel_index: int = 0,
        focal_plane_index: int = 0,
    ) -> NDArray:
        """Get image region.

        Parameters
        ----------
        offset : tuple of int
            Zero-based (row, column) of a pixel at the base level. The region starts at the pixel
            of `level` in which the centre of that pixel lies
        size : tuple of int
            Rows and columns of the requested image region, in pixels of `level`
        level, channel_index, focal_plane_index : int
            See `Slide`

        Returns
        -------
        numpy.ndarray
            Pixel array of shape (rows, columns, samples). Pixels outside the matrix are background:
            white for colour images, 0 otherwise
        """
        corner = integer_pair("offset", offset)
        return self.get_image_regions([corner], level, size, channel_index, focal_plane_index)[0]

    def get_image_regions(
        self,
        offsets: ArrayLike,
        level: int,
        size: tuple[int, int],
        channel_index: int = 0,
        focal_plane_index: int = 0,
        *,
        out: NDArray | None = None,
    ) -> NDArray:
        """Get several image regions of one size together, each as by `get_image_region`.

        Frames are fetched together, and each is decoded once, however many regions share it: see
        `TotalPixelMatrix.read_regions`.

        Parameters
        ----------
        offsets : array_like
            Zero-based (row, column) of a pixel at the base level for each region, shape (n, 2),
            integer
        size : tuple of int
            Rows and columns of each region, in pixels of `level`
        level, channel_index, focal_plane_index : int
            See `Slide`
        out : numpy.ndarray, optional
            Array that the result is written to: see `TotalPixelMatrix.read_regions`

        Returns
        -------
        numpy.ndarray
            Pixel array of shape (n, rows, columns, samples), or `out`. Pixels outside the matrix
            are background
        """
        plane = self._plane(level, channel_index, focal_plane_index)
        starts = self._starts(plane.geometry, integer_pairs("offsets", offsets))
        return plane.matrix.read_regions(starts, size, out=out)

    def get_image_region_at_spacing(
        self,
        offset: tuple[int, int],
        spacing: float,
        size: tuple[int, int],
        channel_index: int = 0,
        focal_plane_index: int = 0,
    ) -> NDArray:
        """Get image region at any distance between pixels.

        If a level has this spacing, to a hundredth of a pixel over its whole extent, the region has
        its stored pixels, as by `get_image_region`. Otherwise it is computed from the coarsest
        level that is finer, or else from the finest level, on a grid that begins at the same
        corner. Its pixels are squares of `spacing`. Each is the mean of the stored pixels in its
        area, weighted by the part of each that lies in the area; at the edges of the slide only the
        part of the area inside counts. Integers are rounded. By the same rule pixels smaller than
        those of the base level repeat stored pixels, and mix them where they lie across a border.
        Segments have the value of the pixel at the centre of the area.

        Parameters
        ----------
        offset : tuple of int
            Zero-based (row, column) of a pixel at the base level. The region starts at the pixel in
            which the centre of that pixel lies
        spacing : float
            Distance between pixels in micrometres, along rows and columns
        size : tuple of int
            Rows and columns of the requested image region, in pixels of that distance
        channel_index, focal_plane_index : int
            See `Slide`

        Returns
        -------
        numpy.ndarray
            Pixel array of shape (rows, columns, samples). Pixels outside the slide are background

        Raises
        ------
        ValueError
            When the spacing is not positive, the size is negative, or there is no such channel or
            focal plane

        See Also
        --------
        dicomslide.spacing.image_at_spacing : Lazy array of the whole slide
        """
        array, grid = self._level_at_spacing(spacing, channel_index, focal_plane_index)
        starts = self._starts(
            grid.geometry, integer_pairs("offset", [integer_pair("offset", offset)])
        )
        (row, column), (rows, columns) = starts[0].tolist(), region_size(size)
        return array.read(range(row, row + rows), range(column, column + columns))

    def get_slide_region(
        self,
        offset: tuple[float, float],
        level: int,
        size: tuple[float, float],
        channel_index: int = 0,
        focal_plane_index: int = 0,
    ) -> NDArray:
        """Get slide region.

        Parameters
        ----------
        offset : tuple of float
            (x, y) offset in the slide coordinate system in millimetres. (0.0, 0.0) is the origin
            of the slide, usually its corner
        size : tuple of float
            Width and height of the requested slide region in millimetres along the X and Y axis
            of the slide coordinate system
        level, channel_index, focal_plane_index : int
            See `Slide`

        Returns
        -------
        numpy.ndarray
            Pixel array of shape (rows, columns, samples) as seen on the upright slide: columns run
            along +X and rows along -Y. It has the pixels whose centres lie in ``[x, x + width)``
            and ``[y, y + height)``. Pixels outside the matrix are background
        """
        plane = self._plane(level, channel_index, focal_plane_index)
        return read_slide_region(
            plane.matrix,
            plane.geometry,
            number_pair("offset", offset),
            number_pair("size", size),
        )

    def get_slide_region_for_annotation(
        self,
        annotation: hd.sr.Scoord3DContentItem | Annotation,
        level: int,
        channel_index: int = 0,
        padding: float | tuple[float, float] | tuple[float, float, float, float] = 0.0,
    ) -> NDArray:
        """Get slide region defined by a graphic annotation.

        Parameters
        ----------
        annotation : highdicom.sr.Scoord3DContentItem or dicomslide.Annotation
            Graphic annotation that defines the region of interest in the slide coordinate system,
            such as one of a group of `annotations`.
            Its Z selects the focal plane: the nearest one within half the distance between planes
        level, channel_index : int
            See `Slide`
        padding : int, float or tuple, optional
            Padding on each border: integers are pixels of `level`, floats are millimetres. One
            number for all borders, two for left/right (X) and top/bottom (Y), or four for left
            (-X), top (+Y), right (+X) and bottom (-Y)

        Returns
        -------
        numpy.ndarray
            Pixel array of shape (rows, columns, samples) of the bounding box of the annotation,
            as seen on the upright slide: the pixels whose centres lie in it, and at least the one
            nearest to its centre

        Raises
        ------
        TypeError
            When `annotation` is neither
        ValueError
            When the annotation lies in another frame of reference or between all focal planes
        """
        from dicomslide.annotations.group import Annotation

        if isinstance(annotation, Annotation):
            graphic_type, points = annotation.graphic_type, annotation.points
        else:
            graphic_type, points = self._graphic(annotation)
        plane = self._plane(level, channel_index, self._nearest_focal_plane(points))
        low, high = _bounding_box(graphic_type, points)
        return read_annotated_region(
            plane.matrix, plane.geometry, low[:2], high[:2], *_padding(padding)
        )

    def _graphic(self, annotation: hd.sr.Scoord3DContentItem) -> tuple[str, NDArray[np.float64]]:
        """Read the graphic type and the points of an annotation, shape (k, 3)."""
        from highdicom.sr import Scoord3DContentItem

        require_type("annotation", annotation, Scoord3DContentItem)
        reference = str(annotation.frame_of_reference_uid)
        if reference != self.frame_of_reference_uid:
            raise ArgumentValueError(
                f"annotation: its frame of reference is {reference}, that of the slide is "
                f"{self.frame_of_reference_uid}"
            )
        points = np.asarray(annotation.value, dtype=np.float64).reshape(-1, 3)
        return annotation.graphic_type.value, points

    def map_pixel_indices_to_slide_coordinates(
        self,
        pixel_indices: ArrayLike,
        level: int,
        channel_index: int = 0,
        focal_plane_index: int = 0,
    ) -> NDArray:
        """Map pixel indices to slide coordinates.

        Parameters
        ----------
        pixel_indices : numpy.ndarray
            Zero-based (row, column) indices into the total pixel matrix of `level`, shape (n, 2)
        level, channel_index, focal_plane_index : int
            See `Slide`

        Returns
        -------
        numpy.ndarray
            (x, y, z) coordinates in the slide coordinate system in millimetres, shape (n, 3)
        """
        plane = self._plane(level, channel_index, focal_plane_index)
        z = self._arrangement.offsets[focal_plane_index] / 1000
        geometry = plane.geometry.at_height(z)
        return geometry.to_slide(coordinates("pixel_indices", pixel_indices, 2))

    def map_slide_coordinates_to_pixel_indices(
        self,
        slide_coordinates: ArrayLike,
        level: int,
        channel_index: int = 0,
        focal_plane_index: int = 0,
    ) -> NDArray:
        """Map slide coordinates to pixel indices.

        Parameters
        ----------
        slide_coordinates : numpy.ndarray
            (x, y, z) coordinates in the slide coordinate system in millimetres, shape (n, 3)
        level, channel_index, focal_plane_index : int
            See `Slide`

        Returns
        -------
        numpy.ndarray
            Zero-based (row, column) indices of the nearest pixels, shape (n, 2), integer. They may
            be negative or extend beyond the total pixel matrix
        """
        plane = self._plane(level, channel_index, focal_plane_index)
        points = coordinates("slide_coordinates", slide_coordinates, 3)
        return nearest_pixels(plane.geometry, points)

    def get_slide_offset(
        self,
        pixel_indices: tuple[int, int],
        level: int,
        channel_index: int = 0,
        focal_plane_index: int = 0,
    ) -> tuple[float, float]:
        """Get slide coordinates for a given total pixel matrix position.

        Parameters
        ----------
        pixel_indices : tuple of int
            Zero-based (row, column) offset in the total pixel matrix of `level`
        level, channel_index, focal_plane_index : int
            See `Slide`

        Returns
        -------
        tuple of float
            (x, y) position on the slide in the slide coordinate system in millimetres
        """
        plane = self._plane(level, channel_index, focal_plane_index)
        x, y, _ = plane.geometry.to_slide(number_pair("pixel_indices", pixel_indices)).tolist()
        return x, y

    def get_pixel_indices(
        self,
        offset: tuple[float, float],
        level: int,
        channel_index: int = 0,
        focal_plane_index: int = 0,
    ) -> tuple[int, int]:
        """Get indices into total pixel matrix for a given slide position.

        Parameters
        ----------
        offset : tuple of float
            (x, y) offset in the slide coordinate system in millimetres
        level, channel_index, focal_plane_index : int
            See `Slide`

        Returns
        -------
        tuple of int
            Zero-based (row, column) position of the nearest pixel in the total pixel matrix. It
            may be negative or extend beyond the matrix if the slide was not imaged there
        """
        geometry = self._plane(level, channel_index, focal_plane_index).geometry
        x, y = number_pair("offset", offset)
        row, column = nearest_pixels(geometry, [(x, y, geometry.origin[2])])[0].tolist()
        return row, column

    def get_thumbnail(self, size: int = 1024, upright: bool = False) -> Image.Image:
        """Get a small picture of the slide.

        Parameters
        ----------
        size : int, optional
            Number of pixels of the longer side, at most that of the base level
        upright : bool, optional
            Whether the picture is turned the way that the slide stands, +X to the right and +Y
            upwards; otherwise it is as stored

        Returns
        -------
        PIL.Image.Image
            RGB image, or grey for one channel of one sample

        Raises
        ------
        TypeError, ValueError
            When the size is no positive integer, or an image that is oblique is to be upright

        See Also
        --------
        dicomslide.make_thumbnail : Other channels, planes and segments
        """
        from dicomslide.thumbnail import make_thumbnail

        return make_thumbnail(self, size, upright=upright)

    def to_datatree(self, chunks: TreeChunks = "frames") -> xr.DataTree:
        """Make a tree of labelled arrays with one node for each level.

        Parameters
        ----------
        chunks : {"frames", "auto"}, str, dict, int, tuple of int or None, optional
            Sizes of chunks: one dask chunk for each frame (``{}`` is the same), chunks that suit
            the machine, the source and the level, given sizes (see `TotalPixelMatrix.to_dask`), the
            size of a chunk in words such as ``"64MiB"``, or lengths by dimension. In a dict,
            ``"auto"`` and sizes in words may be given for ``y`` and ``x``, and dimensions that are
            not named are as with ``"frames"``. Chunks are whole frames, and the same for all
            variables of a node unless their frames differ. With None the arrays are lazy arrays of
            xarray instead of dask arrays

        Returns
        -------
        xarray.DataTree
            Tree of labelled arrays: see :mod:`dicomslide.tree.datatree`. No frame is read

        Raises
        ------
        TypeError, ValueError
            When `chunks` is none of these
        """
        import xarray as xr

        return xr.DataTree.from_dict(self.to_groups(chunks))

    def to_groups(
        self, chunks: TreeChunks = "frames", mask_and_scale: bool | Mapping[str, bool] = True
    ) -> dict[str, xr.Dataset]:
        """Make the nodes of the tree, by their paths.

        Parameters
        ----------
        chunks : {"frames", "auto"}, str, dict, int, tuple of int or None, optional
            See `to_datatree`
        mask_and_scale : bool or dict, optional
            Whether scaled integers are decoded to real world values, for all variables or by name;
            variables that are not named are decoded

        Returns
        -------
        dict
            `xarray.Dataset` of each node by its path

        Raises
        ------
        TypeError, ValueError
            When `chunks` is invalid
        """
        return self._groups(chunks, mask_and_scale)

    def _groups(
        self,
        chunks: TreeChunks = "frames",
        mask_and_scale: bool | Mapping[str, bool] = True,
        paths: Collection[int] | None = None,
    ) -> dict[str, xr.Dataset]:
        """Make the nodes of the tree, with all optical paths or those of given channel indices."""
        # Importing the module registers its accessor with xarray
        import dicomslide.accessor  # noqa: F401
        from dicomslide.tree.datatree import build_groups, check_dimensions
        from dicomslide.tree.variables import ArrayForm

        associated = {
            "label": self._label_images,
            "overview": self._overview_images,
            "thumbnail": self._arrangement.thumbnails,
        }
        arrangement = self._arrangement
        if paths is not None:
            arrangement = arrangement.with_paths(paths)
        groups = build_groups(arrangement, associated, ArrayForm(chunks, mask_and_scale))
        if self.annotations:
            from dicomslide.annotations.nodes import build_annotations

            groups |= build_annotations(self.annotations, chunks)
        check_dimensions(chunks, groups)
        return groups

    def close(self) -> None:
        """Close files and drop all frames that are held for the images of the slide.

        Later reads open the files again. A slide closes by itself when it and all of its arrays
        are garbage collected.
        """
        for image in self._images:
            image._instance.close()
        for group in vars(self).get("annotations", ()):
            group._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Slide):
            return NotImplemented
        return self._instances == other._instances

    def __hash__(self) -> int:
        # Hashes of a str differ between processes, in all of which equal slides have equal hashes
        digest = hashlib.sha256(repr(self._instances).encode()).digest()
        return int.from_bytes(digest[:7], "big")

    def __repr__(self) -> str:
        rows, columns = self.size
        groups = len(self.annotations)
        annotated = f", {counted(groups, 'group')} of annotations" if groups else ""
        return (
            f"<Slide {self.container_identifier or self.frame_of_reference_uid!r}: "
            f"{rows} x {columns}, {counted(self.num_levels, 'level')}, "
            f"{counted(self.num_channels, 'channel')}, "
            f"{counted(self.num_focal_planes, 'focal plane')}{annotated}>"
        )

    def _repr_html_(self) -> str:
        from dicomslide.display.html import describe_slide

        return describe_slide(self)

    @property
    def _base_planes(self) -> list[Plane]:
        """Planes of all channels at the base level."""
        return [
            plane
            for channel in self._arrangement.channels
            for (level, _), plane in channel.planes.items()
            if level == 0
        ]

    @property
    def _images(self) -> set[TiledImage]:
        """Images of all kinds."""
        arranged = self._arrangement
        images = {plane.image for c in arranged.channels for plane in c.planes.values()}
        images.update(arranged.off_grid, arranged.thumbnails)
        images.update(self._label_images, self._overview_images)
        return images

    @property
    def _instances(self) -> tuple[str, ...]:
        """SOP Instance UIDs of all images."""
        return tuple(sorted(str(image.metadata.SOPInstanceUID) for image in self._images))

    def _channel(self, channel_index: int) -> SlideChannel:
        return self._arrangement.channels[
            selection("channel_index", channel_index, self.num_channels)
        ]

    def _focal_plane(self, focal_plane_index: int) -> int:
        return selection("focal_plane_index", focal_plane_index, self.num_focal_planes)

    def _plane(self, level: int, channel_index: int, focal_plane_index: int) -> Plane:
        """Find the plane for indices of the slide, which has the image and its own indices."""
        number = selection("level", level, self.num_levels)
        channel = self._channel(channel_index)
        plane = channel.planes.get((number, self._focal_plane(focal_plane_index)))
        if plane is None and not channel.planes:
            raise SelectionError(
                f"channel_index: {channel.type.value} {channel.identifier!r} does not lie on the "
                f"pixels of a level; read {channel.first.image.label} of derived_images instead"
            )
        if plane is None:
            there = sorted(place for own_level, place in channel.planes if own_level == number)
            levels = sorted({own_level for own_level, _ in channel.planes})
            found = f"focal planes {there} there" if there else f"levels {levels}"
            raise SelectionError(
                f"level: {channel.type.value} {channel.identifier!r} has "
                f"no image of focal plane {focal_plane_index} at level {level}, only {found}"
            )
        return plane

    def _starts(self, grid: ImageGeometry, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the pixels of a grid in which the centres of pixels of the base level lie."""
        base = self._arrangement.levels[0].geometry
        return offsets if grid == base else grid.pixels_at(base.to_slide(offsets))

    def _level_at_spacing(
        self, spacing: float, channel_index: int, focal_plane_index: int
    ) -> tuple[FrameArray | ResampledArray, LevelGrid]:
        """Find or make the level with a distance between pixels: see `level_at_spacing`."""
        channel, place = self._channel(channel_index), self._focal_plane(focal_plane_index)
        levels = sorted(level for level, own_place in channel.planes if own_place == place)
        # A channel without any level raises the error of the base level
        planes = [self._plane(level, channel_index, place) for level in levels or [0]]
        return level_at_spacing(planes, spacing)

    def _nearest_focal_plane(self, points: NDArray[np.float64]) -> int:
        offsets = np.array(self._arrangement.offsets)
        if len(offsets) == 1:
            return 0
        z = float(points[:, 2].mean()) * 1000
        nearest = int(np.abs(offsets - z).argmin())
        if abs(offsets[nearest] - z) > np.diff(offsets).min() / 2 * (1 + 1e-9):
            raise SelectionError(
                f"annotation: no focal plane is near Z = {z:g} micrometres, they are at "
                f"{offsets.tolist()}"
            )
        return nearest


def _is_derived(dataset: Dataset) -> bool:
    return channel_type(dataset) is not ChannelTypes.OPTICAL_PATH


def _is_scanned(dataset: Dataset) -> bool:
    return is_volume_image(dataset) and not _is_derived(dataset)


def _find_frames(
    client: DICOMClient | ImageStore, images: Sequence[JoinedImage]
) -> list[tuple[Dataset, FrameSource]]:
    """Find the frame sources of all images together."""
    parts = [part for image in images for part in image.parts]
    sources = iter(frame_sources(client, parts))
    return [
        (image.dataset, join_frames(image, list(islice(sources, len(image.parts)))))
        for image in images
    ]


def _warn_of_others(images: Iterable[tuple[Dataset, FrameSource]]) -> None:
    """Warn of each image of a flavor that slides do not have, which is left out."""
    for dataset, source in images:
        flavor = image_flavor(dataset)
        if not _is_derived(dataset) and flavor not in [item.value for item in ImageFlavors]:
            warnings.warn(
                f"{image_name(source)} is left out of the slide: it is a {flavor} image",
                stacklevel=3,
            )


def _by_kind(
    image_metadata: Sequence[Dataset],
) -> tuple[list[Dataset], list[Dataset], list[Dataset]]:
    """Separate images, Presentation States and annotations."""
    if isinstance(image_metadata, Dataset) or not isinstance(image_metadata, Sequence):
        raise ArgumentTypeError(
            f"image_metadata: expected a sequence, got {type(image_metadata).__name__}"
        )
    images: list[Dataset] = []
    states: list[Dataset] = []
    annotations: list[Dataset] = []
    for dataset in image_metadata:
        require_type("image_metadata", dataset, Dataset)
        if is_presentation_state(dataset):
            states.append(dataset)
        else:
            (annotations if is_annotations(dataset) else images).append(dataset)
    return images, states, annotations


def _one_slide(image_metadata: Iterable[Dataset]) -> list[Dataset]:
    """Check that images belong to one slide, and leave out copies of an instance."""
    datasets: dict[str, Dataset] = {}
    for dataset in image_metadata:
        uid = read_uid(dataset)
        if not uid:
            raise InvalidImageError("image_metadata: an image has no SOP Instance UID")
        with reading(f"image {uid}"):
            if dataset.get("SOPClassUID") in SLIDE_MICROSCOPY and image_flavor(dataset) is None:
                raise InvalidImageError(
                    f"image {uid}: Image Type is {dataset.get('ImageType')}, expected a third "
                    "value such as VOLUME"
                )
        datasets.setdefault(uid, dataset)
    if not datasets:
        raise ArgumentValueError("image_metadata: there are no images")
    for keyword, relevant in (
        ("FrameOfReferenceUID", lambda dataset: _is_derived(dataset) or _is_scanned(dataset)),
        ("ContainerIdentifier", lambda dataset: dataset.get("ContainerIdentifier")),
    ):
        found: dict[str, str] = {}
        for uid, dataset in datasets.items():
            with reading(f"image {uid}"):
                if relevant(dataset):
                    found.setdefault(str(dataset.get(keyword) or ""), uid)
        if len(found) > 1:
            (first, first_uid), (second, second_uid) = list(found.items())[:2]
            raise ArgumentValueError(
                f"images of one slide share their {keyword}: that of image {first_uid} is "
                f"{first!r}, that of image {second_uid} is {second!r}"
            )
    return list(datasets.values())


def _require_code(name: str, value: Any) -> None:
    if value is not None:
        require_type(name, value, *code_types())


def _bounding_box(
    graphic_type: str, points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the smallest and largest (x, y, z) of an annotation with points of shape (n, 3)."""
    if graphic_type not in _ROUND:
        return points.min(axis=0), points.max(axis=0)
    # The points are the ends of the axes (PS3.3 C.18.9.1.2), which may have any direction
    half_axes = (points[1::2] - points[::2]) / 2
    centre, reach = points[:2].mean(axis=0), np.sqrt((half_axes**2).sum(axis=0))
    return centre - reach, centre + reach


def _channel_type(value: str | ChannelTypes) -> ChannelTypes:
    try:
        return ChannelTypes(value)
    except ValueError:
        choices = ", ".join(item.value for item in ChannelTypes)
        raise ArgumentValueError(f"channel_type: expected {choices}, got {value!r}") from None


def _padding(padding: Any) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Split a padding into left, top, right and bottom in millimetres, and the same in pixels."""
    values = [padding] if np.ndim(padding) == 0 else list(padding)
    if len(values) not in (1, 2, 4):
        raise ArgumentValueError(f"padding: expected 1, 2 or 4 numbers, got {len(values)}")
    sides = (values * 4)[:4]
    if min(number("padding", value) for value in sides) < 0:
        raise ArgumentValueError(f"padding: {padding} must not be negative")
    is_pixels = [isinstance(value, (int, np.integer)) for value in sides]
    return (
        tuple(0.0 if whole else float(side) for side, whole in zip(sides, is_pixels, strict=True)),
        tuple(int(side) if whole else 0 for side, whole in zip(sides, is_pixels, strict=True)),
    )


def __getattr__(name: str) -> Any:
    # The published API has find_slides here; it is imported on use, as its module imports this one
    if name == "find_slides":
        from dicomslide.opening.search import find_slides

        return find_slides
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
