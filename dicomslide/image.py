"""Tiled images, one for each image instance."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import Dataset

from dicomslide.arguments import integer_pair, number, number_pair, region_size, selection
from dicomslide.enum import ChannelTypes
from dicomslide.errors import ArgumentTypeError, ArgumentValueError, SelectionError
from dicomslide.errors.damage import reading
from dicomslide.instance import ImageInstance
from dicomslide.matrix import TotalPixelMatrix
from dicomslide.metadata.channel_kind import Channel
from dicomslide.metadata.flavors import read_image_type
from dicomslide.metadata.geometry import ImageGeometry
from dicomslide.metadata.references import read_references
from dicomslide.metadata.words import counted
from dicomslide.region import nearest_pixels, read_slide_region
from dicomslide.sources.base import FrameSource
from dicomslide.stores.protocol import ImageStore

if TYPE_CHECKING:
    from dicomweb_client.api import DICOMClient

__all__ = ["TiledImage"]


class TiledImage:
    """Tiled DICOM image.

    The object gives access to the metadata and the pixels of one tiled DICOM image instance: one
    that has Total Pixel Matrix Rows and Total Pixel Matrix Columns (PS3.3 C.8.12.14), such as a VL
    Whole Slide Microscopy Image, a Segmentation or a Parametric Map.

    An image has one `TotalPixelMatrix` for each pair of channel and focal plane. The kind of its
    channels depends on the kind of image: see `ChannelTypes`. ``channel_index`` is a zero-based
    index into the channels, along the items of their DICOM attribute; ``focal_plane_index`` one
    into the focal planes, from the slide towards the coverslip. Both raise a ValueError when there
    is no such channel or focal plane.

    Parameters
    ----------
    client : dicomweb_client.api.DICOMClient or ImageStore
        Client that can retrieve the frames, or store that has them
    image_metadata : pydicom.dataset.Dataset
        Metadata of a tiled DICOM image. The metadata of a colour image should contain the ICC
        Profile, so that colours can be corrected
    max_frame_cache_size : int, optional
        Number of decoded frames that are kept
    correct_color : bool, optional
        Whether the ICC profile of the image is applied

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When the metadata are not those of a tiled image, or cannot be used

    Examples
    --------
    >>> image = TiledImage(client, metadata)  # doctest: +SKIP
    >>> image.metadata.TotalPixelMatrixRows  # doctest: +SKIP
    >>> matrix = image.get_total_pixel_matrix(channel_index=0)  # doctest: +SKIP
    >>> matrix[:1000, 350:750, :]  # doctest: +SKIP
    """

    def __init__(
        self,
        client: DICOMClient | ImageStore,
        image_metadata: Dataset,
        max_frame_cache_size: int = 6,
        *,
        correct_color: bool = True,
    ) -> None:
        instance = ImageInstance.of_client(client, image_metadata, max_frame_cache_size)
        self._take(instance, correct_color)

    @classmethod
    def _of(cls, instance: ImageInstance, correct_color: bool) -> TiledImage:
        image = cls.__new__(cls)
        image._take(instance, correct_color)
        return image

    def _take(self, instance: ImageInstance, correct_color: bool) -> None:
        self._instance = instance
        self._correct_color = bool(correct_color)
        self._matrices: dict[tuple[int, int], TotalPixelMatrix] = {}
        self._placed: ImageGeometry | None = None

    @property
    def metadata(self) -> Dataset:
        """Image metadata."""
        return self._instance.dataset

    @property
    def uid(self) -> str:
        """SOP Instance UID."""
        return self._instance.uid

    @property
    def label(self) -> str:
        """Name of the image in messages."""
        return self._instance.label

    @property
    def transfer_syntax_uid(self) -> str:
        """Transfer Syntax UID of the frames; empty where it is not known before they are read."""
        return self._instance.source.transfer_syntax_uid

    @property
    def frame_source(self) -> FrameSource:
        """Source of the encoded frames of the image, and of their locations."""
        return self._instance.source

    @property
    def frame_of_reference_uid(self) -> str:
        """Unique identifier of the frame of reference."""
        with reading(self.label):
            return str(self.metadata.get("FrameOfReferenceUID", ""))

    @property
    def geometry(self) -> ImageGeometry:
        """Relation between the pixels and the slide coordinate system.

        The relation is stated by the attributes of the image. Images of a `Slide` have the one that
        the slide decided for all of its images.

        Raises
        ------
        ValueError
            When the image does not state its position
        """
        return self._placed or self._instance.geometry

    def _place(self, geometry: ImageGeometry) -> None:
        """Set the geometry that the slide of the image decided."""
        self._placed = geometry

    @property
    def size(self) -> tuple[int, int]:
        """Number of total pixel matrix rows and columns."""
        return self._instance.size

    @property
    def physical_offset(self) -> tuple[float, float]:
        """(x, y) of the centre of the top left pixel in the slide coordinate system in millimetres.

        Raises
        ------
        ValueError
            When the image does not state its position
        """
        return self.geometry.origin[:2]

    @property
    def physical_size(self) -> tuple[float, float]:
        """Size of the total pixel matrix along the X and Y axes of the slide in millimetres.

        Raises
        ------
        ValueError
            When the image does not state its position
        """
        (left, bottom), (right, top) = self.geometry.bounds(self.size)
        return right - left, top - bottom

    @property
    def channel_type(self) -> ChannelTypes:
        """Kind of the channels."""
        return self._instance.channel_type

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Description of each channel."""
        return self._instance.channels

    @property
    def channel_identifiers(self) -> tuple[str, ...]:
        """Identifier of each channel."""
        return self._instance.channel_identifiers

    @property
    def num_channels(self) -> int:
        """Number of channels."""
        return len(self.channel_identifiers)

    @property
    def num_focal_planes(self) -> int:
        """Number of focal planes."""
        return len(self._instance.focal_plane_offsets)

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
        index = selection("channel_index", channel_index, self.num_channels)
        return self.channel_identifiers[index]

    def get_channel_index(self, channel_identifier: str) -> int:
        """Get index of a channel.

        Parameters
        ----------
        channel_identifier : str
            Identifier of a channel

        Returns
        -------
        int
            Zero-based index into channels along the items of the corresponding attribute

        Raises
        ------
        ValueError
            When no channel is found for `channel_identifier`
        """
        identifiers = list(self.channel_identifiers)
        if str(channel_identifier) not in identifiers:
            raise SelectionError(
                f"channel_identifier: there is no {channel_identifier!r}, only {identifiers}"
            )
        return identifiers.index(str(channel_identifier))

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
        return find_focal_plane(self._instance.focal_plane_offsets, focal_plane_offset)

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
        index = selection("focal_plane_index", focal_plane_index, self.num_focal_planes)
        return self._instance.focal_plane_offsets[index]

    def get_references(self, sop_class_uid: str | None = None) -> list[tuple[str, str, str]]:
        """Get unique identifiers of referenced instances.

        Parameters
        ----------
        sop_class_uid : str, optional
            SOP Class UID of instances for which references should be obtained

        Returns
        -------
        list of tuple of str
            Study, Series and SOP Instance UID of each referenced instance: those of the Referenced
            Series Sequence and of the Studies Containing Other Referenced Instances Sequence
            (PS3.3 C.12.2)
        """
        return [
            (study, series, instance)
            for study, series, sop_class, instance in read_references(self.metadata)
            if sop_class_uid in (None, sop_class)
        ]

    def get_rotation(self) -> float:
        """Get angle to rotate image such that it aligns with slide.

        The rotated image has its rows along the X axis of the slide coordinate system and its
        columns along the Y axis.

        Returns
        -------
        float
            Counterclockwise angle of rotation in degrees

        Raises
        ------
        ValueError
            When the image does not state its orientation
        """
        return self.geometry.rotation

    def map_pixel_indices_to_slide_coordinates(self, pixel_indices: ArrayLike) -> NDArray:
        """Map pixel indices to slide coordinates.

        Parameters
        ----------
        pixel_indices : numpy.ndarray
            Zero-based (row, column) indices into the total pixel matrix, shape (n, 2)

        Returns
        -------
        numpy.ndarray
            (x, y, z) coordinates in the slide coordinate system in millimetres, shape (n, 3)

        Raises
        ------
        ValueError
            When the shape is wrong, a value is not finite, or the image does not state its position
        """
        return self.geometry.to_slide(coordinates("pixel_indices", pixel_indices, 2))

    def map_slide_coordinates_to_pixel_indices(self, slide_coordinates: ArrayLike) -> NDArray:
        """Map slide coordinates to pixel indices.

        Parameters
        ----------
        slide_coordinates : numpy.ndarray
            (x, y, z) coordinates in the slide coordinate system in millimetres, shape (n, 3)

        Returns
        -------
        numpy.ndarray
            Zero-based (row, column) indices of the nearest pixels, shape (n, 2), integer. They may
            be negative or extend beyond the total pixel matrix

        Raises
        ------
        ValueError
            When the shape is wrong, a value is not finite, or the image does not state its position
        """
        return nearest_pixels(self.geometry, coordinates("slide_coordinates", slide_coordinates, 3))

    def get_slide_offset(self, pixel_indices: tuple[int, int]) -> tuple[float, float]:
        """Get slide coordinates for a given total pixel matrix position.

        Parameters
        ----------
        pixel_indices : tuple of int
            Zero-based (row, column) offset in the total pixel matrix

        Returns
        -------
        tuple of float
            (x, y) position on the slide in the slide coordinate system in millimetres

        Raises
        ------
        ValueError
            When the image does not state its position
        """
        x, y, _ = self.geometry.to_slide(number_pair("pixel_indices", pixel_indices)).tolist()
        return x, y

    def get_pixel_indices(self, offset: tuple[float, float]) -> tuple[int, int]:
        """Get indices into total pixel matrix for a given slide position.

        Parameters
        ----------
        offset : tuple of float
            (x, y) offset in the slide coordinate system in millimetres

        Returns
        -------
        tuple of int
            Zero-based (row, column) position of the nearest pixel in the total pixel matrix. It
            may be negative or extend beyond the matrix if the slide was not imaged there

        Raises
        ------
        ValueError
            When the image does not state its position
        """
        x, y = number_pair("offset", offset)
        row, column = nearest_pixels(self.geometry, [(x, y, self.geometry.origin[2])])[0].tolist()
        return row, column

    def get_total_pixel_matrix(
        self, channel_index: int = 0, focal_plane_index: int = 0
    ) -> TotalPixelMatrix:
        """Get total pixel matrix for a given channel and focal plane.

        Parameters
        ----------
        channel_index, focal_plane_index : int, optional
            See `TiledImage`

        Returns
        -------
        dicomslide.TotalPixelMatrix
            Total pixel matrix

        Raises
        ------
        ValueError
            When there is no such channel or focal plane
        """
        key = (
            selection("channel_index", channel_index, self.num_channels),
            selection("focal_plane_index", focal_plane_index, self.num_focal_planes),
        )
        if key not in self._matrices:
            array = self._instance.array(*key, self._correct_color)
            self._matrices[key] = TotalPixelMatrix._of(array)
        return self._matrices[key]

    def get_label_map(self, focal_plane_index: int = 0) -> TotalPixelMatrix:
        """Get the segment numbers of a label map Segmentation as a total pixel matrix.

        Parameters
        ----------
        focal_plane_index : int, optional
            Zero-based index into focal planes

        Returns
        -------
        dicomslide.TotalPixelMatrix
            Total pixel matrix of segment numbers, 0 where there is no segment

        Raises
        ------
        ValueError
            When the image is not a label map
        """
        array = self.get_total_pixel_matrix(0, focal_plane_index).array
        if array.label is None:
            raise ArgumentValueError(f"{self.label} is not a label map")
        return TotalPixelMatrix._of(replace(array, label=None))

    def get_image_region(
        self,
        offset: tuple[int, int],
        size: tuple[int, int],
        channel_index: int = 0,
        focal_plane_index: int = 0,
    ) -> NDArray:
        """Get image region.

        Parameters
        ----------
        offset : tuple of int
            Zero-based (row, column) of the top left pixel of the region in the total pixel matrix.
            The region may extend beyond the matrix on any side
        size : tuple of int
            Rows and columns of the requested image region
        channel_index, focal_plane_index : int, optional
            See `TiledImage`

        Returns
        -------
        numpy.ndarray
            Pixel array of shape (rows, columns, samples). Pixels outside the matrix are background:
            white for colour images, 0 otherwise

        Raises
        ------
        ValueError
            When the size is negative, or there is no such channel or focal plane
        """
        matrix = self.get_total_pixel_matrix(channel_index, focal_plane_index)
        return matrix.read_region(integer_pair("offset", offset), region_size(size))

    def get_slide_region(
        self,
        offset: tuple[float, float],
        size: tuple[float, float],
        channel_index: int = 0,
        focal_plane_index: int = 0,
    ) -> NDArray:
        """Get slide region.

        Parameters
        ----------
        offset : tuple of float
            (x, y) offset in the slide coordinate system in millimetres
        size : tuple of float
            Width and height of the requested slide region in millimetres along the X and Y axis
            of the slide coordinate system
        channel_index, focal_plane_index : int, optional
            See `TiledImage`

        Returns
        -------
        numpy.ndarray
            Pixel array of shape (rows, columns, samples) as seen on the upright slide: columns run
            along +X and rows along -Y. Pixels outside the matrix are background

        Raises
        ------
        ValueError
            When the size is negative, there is no such channel or focal plane, or the image does
            not state its position

        Notes
        -----
        The region has the pixels whose centres lie in ``[x, x + width)`` and ``[y, y + height)``.
        It is exact where the axes of the image are parallel to those of the slide, and interpolated
        linearly otherwise (segments: nearest pixel).
        """
        matrix = self.get_total_pixel_matrix(channel_index, focal_plane_index)
        return read_slide_region(
            matrix, self.geometry, number_pair("offset", offset), number_pair("size", size)
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TiledImage):
            return NotImplemented
        return self.metadata.get("SOPInstanceUID") == other.metadata.get("SOPInstanceUID")

    def __hash__(self) -> int:
        return hash(self._instance.uid)

    def __repr__(self) -> str:
        rows, columns = self.size
        flavor = "/".join(read_image_type(self.metadata))
        return (
            f"<TiledImage {rows} x {columns}, {self.num_channels} {self.channel_type.value} x "
            f"{counted(self.num_focal_planes, 'focal plane')}, {flavor}, {self._instance.uid}>"
        )


def find_focal_plane(offsets: tuple[float, ...], focal_plane_offset: float) -> int:
    """Find the index of the focal plane with a Z offset in micrometres, within a nanometre."""
    wanted = number("focal_plane_offset", focal_plane_offset)
    for index, offset in enumerate(offsets):
        if abs(offset - wanted) < 1e-3:
            return index
    raise SelectionError(
        f"focal_plane_offset: there is no focal plane at {wanted} micrometres, only at {offsets}"
    )


def coordinates(name: str, values: ArrayLike, width: int) -> NDArray[np.float64]:
    """Convert an argument that must be an array of shape (n, width)."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(f"{name}: expected an array of numbers: {error}") from error
    if array.ndim != 2 or array.shape[1] != width:
        raise ArgumentValueError(f"{name}: expected shape (n, {width}), got {array.shape}")
    if not np.isfinite(array).all():
        raise ArgumentValueError(f"{name}: not all values are finite")
    return array
