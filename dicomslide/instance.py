"""Image instances: metadata, frames and cache that all arrays of an instance share."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset

from dicomslide.arguments import integer, require_type
from dicomslide.enum import ChannelTypes
from dicomslide.errors import (
    ArgumentValueError,
    InvalidImageError,
    SelectionError,
    UnsupportedError,
)
from dicomslide.metadata.channel_kind import Channel
from dicomslide.metadata.channels import (
    channel_type,
    read_channels,
    read_identifiers,
    read_path_marks,
)
from dicomslide.metadata.flavors import is_label_map, is_thumbnail, is_tiled_image
from dicomslide.metadata.frames import focal_plane_offsets, matrix_size
from dicomslide.metadata.geometry import ImageGeometry, read_geometry
from dicomslide.metadata.pixel_format import read_pixel_format
from dicomslide.metadata.references import read_uid
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.cache import FrameCache
from dicomslide.pixels.codecs import check_supported
from dicomslide.pixels.color import color_transform, icc_profile
from dicomslide.pixels.frames import ImageFrames
from dicomslide.pixels.notice import Notice
from dicomslide.sources.base import FrameSource, image_name
from dicomslide.stores.places import frame_source
from dicomslide.stores.protocol import ImageStore
from dicomslide.tile import read_tilings

if TYPE_CHECKING:
    from dicomweb_client.api import DICOMClient

__all__ = ["ImageInstance"]


class ImageInstance:
    """Image instance with the source of its frames.

    Parameters
    ----------
    source : FrameSource
        Source of the frames of the instance
    dataset : pydicom.dataset.Dataset
        Metadata of a tiled image
    max_frame_cache_size : int or None
        Number of decoded frames that are kept; None for the bound of all images together

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When the metadata are not those of a tiled image, or cannot be used
    """

    def __init__(
        self, source: FrameSource, dataset: Dataset, max_frame_cache_size: int | None
    ) -> None:
        size = max_frame_cache_size
        if size is not None and integer("max_frame_cache_size", size) < 0:
            raise ArgumentValueError(f"max_frame_cache_size: {size} is negative")
        self.uid = read_uid(dataset)
        if not is_tiled_image(dataset):
            raise InvalidImageError(
                f"image {self.uid} is not a tiled image: Rows, Columns, Total Pixel Matrix Rows "
                "and Total Pixel Matrix Columns are needed"
            )
        self.dataset = dataset
        self.source = source
        self.pixel_format = read_pixel_format(dataset, source.transfer_syntax_uid)
        self.size = matrix_size(dataset)
        key = f"{source.token} {self.pixel_format.token}"
        self.cache = FrameCache(key, size)
        self._frames = ImageFrames(source, self.pixel_format, self.cache, Notice(source.token))
        self._tilings = read_tilings(dataset)

    @classmethod
    def of_client(
        cls, client: DICOMClient | ImageStore, dataset: Dataset, max_frame_cache_size: int
    ) -> ImageInstance:
        """Make an instance whose frames are from a client or a store."""
        require_type("image_metadata", dataset, Dataset)
        integer("max_frame_cache_size", max_frame_cache_size)
        return cls(frame_source(client, dataset), dataset, max_frame_cache_size)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns and samples of a total pixel matrix."""
        return (*self.size, self.pixel_format.shape[2])

    @cached_property
    def channel_type(self) -> ChannelTypes:
        """Kind of the channels."""
        return channel_type(self.dataset)

    @cached_property
    def channel_identifiers(self) -> tuple[str, ...]:
        """Identifiers of the channels: see `read_identifiers`."""
        return read_identifiers(self.dataset)

    @cached_property
    def path_marks(self) -> tuple[tuple[str, ...], ...]:
        """Marks of each channel: see `read_path_marks`."""
        return read_path_marks(self.dataset)

    @cached_property
    def series(self) -> tuple[str, str]:
        """Pyramid and Series Instance UID, within which equal identifiers are the same path."""
        pyramid, series = map(self.dataset.get, ("PyramidUID", "SeriesInstanceUID"))
        return str(pyramid or ""), str(series)

    @cached_property
    def is_thumbnail(self) -> bool:
        """Whether this is a THUMBNAIL image."""
        return is_thumbnail(self.dataset)

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """Descriptions of the channels in the order of the items of their DICOM attribute."""
        return read_channels(self.dataset)

    @cached_property
    def focal_plane_offsets(self) -> tuple[float, ...]:
        """Z offsets of the focal planes in micrometres, ascending."""
        return focal_plane_offsets(self.dataset)

    def focal_planes_of(self, channel: int) -> tuple[int, ...]:
        """Find the indices of the focal planes that show a channel.

        An optical path is shown in the planes in which it has frames, or in all if it has none.
        Segments and parameters are shown in all planes, as missing frames have a meaning: False for
        a segment, and NaN for a parameter.
        """
        planes = tuple(range(len(self.focal_plane_offsets)))
        is_path = self.channel_type is ChannelTypes.OPTICAL_PATH
        # With a single channel or plane the positions of frames need not be read
        if not is_path or min(len(planes), len(self.channel_identifiers)) == 1:
            return planes
        return tuple(k for k in planes if self._tilings.has_frames(channel, k)) or planes

    @cached_property
    def placement(self) -> ImageGeometry | None:
        """Position of the image on the slide; None where it is not stated."""
        return read_geometry(self.dataset)

    @property
    def geometry(self) -> ImageGeometry:
        """Position of the image on the slide.

        Raises
        ------
        InvalidImageError
            When the image does not state it
        """
        if self.placement is None:
            raise InvalidImageError(
                f"image {self.uid} has no position on the slide: Pixel Spacing, Image Orientation "
                "(Slide) and Total Pixel Matrix Origin are needed"
            )
        return self.placement

    def array(self, channel: int, focal_plane: int, correct_color: bool) -> FrameArray:
        """Make the lazy array of a channel and focal plane.

        Raises
        ------
        ValueError
            When there is no such channel or focal plane, the plane does not show the channel, or
            the format of the pixels is not supported
        """
        channels, planes = len(self.channel_identifiers), len(self.focal_plane_offsets)
        if not 0 <= channel < channels:
            raise SelectionError(
                f"channel_index: there is no {channel}, image {self.uid} has {channels}"
            )
        if not 0 <= focal_plane < planes:
            raise SelectionError(
                f"focal_plane_index: there is no {focal_plane}, image {self.uid} has {planes}"
            )
        if focal_plane not in self.focal_planes_of(channel):
            raise SelectionError(
                f"focal_plane_index: {self.label} has no frames of "
                f"{self.channel_type.value} {self.channel_identifiers[channel]!r} in focal plane "
                f"{focal_plane}, only in {list(self.focal_planes_of(channel))}"
            )
        try:
            check_supported(self.pixel_format)
        except UnsupportedError as error:
            raise UnsupportedError(f"{self.label}: {error}") from None
        label_map = is_label_map(self.dataset)
        return FrameArray(
            frames=self._frames,
            size=self.size,
            tiling=self._tilings.get(0 if label_map else channel, focal_plane),
            plane=(channel, focal_plane),
            transform=self._transform(channel) if correct_color else None,
            label=int(self.channel_identifiers[channel]) if label_map else None,
        )

    def _transform(self, channel: int) -> Any:
        if self.pixel_format.shape[2] != 3 or self.pixel_format.dtype != np.uint8:
            return None
        return color_transform(icc_profile(self.dataset, channel), self.label)

    def close(self) -> None:
        """Drop decoded frames, and close the source of the frames."""
        self.cache.clear()
        self.source.close()

    @property
    def label(self) -> str:
        """Name of the image in messages."""
        return image_name(self.source)
