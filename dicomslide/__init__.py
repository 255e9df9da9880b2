"""DICOM whole slide images as trees of lazy, labelled, chunked arrays."""

from importlib.metadata import PackageNotFoundError, version

from dicomslide.enum import ChannelTypes, ImageFlavors
from dicomslide.errors import DicomSlideError, FrameError, SourceError
from dicomslide.export.ome_zarr import to_ome_zarr
from dicomslide.image import TiledImage
from dicomslide.matrix import TotalPixelMatrix, TotalPixelMatrixSampler
from dicomslide.metadata.flavors import (
    is_image,
    is_label_image,
    is_overview_image,
    is_tiled_image,
    is_volume_image,
)
from dicomslide.metadata.matching import (
    does_optical_path_item_match,
    does_segment_item_match,
    does_specimen_description_item_match,
)
from dicomslide.opening import open_slide, open_slides
from dicomslide.openslide import OpenSlide
from dicomslide.pixels.threads import set_threads
from dicomslide.pyramid import (
    Pyramid,
    PyramidLevel,
    compute_image_center_position,
    get_image_pixel_spacing,
    get_image_size,
    select_image_at_magnification,
    select_image_at_pixel_spacing,
    sort_images_by_pixel_spacing,
    sort_images_by_size,
)
from dicomslide.search import find_slides
from dicomslide.slide import Slide
from dicomslide.sources.base import FrameLocation, FrameSource
from dicomslide.stores.protocol import ImageQuery, ImageStore
from dicomslide.tile import (
    assemble_total_pixel_matrix,
    compute_frame_positions,
    disassemble_total_pixel_matrix,
)

try:
    __version__ = version("dicomslide")
except PackageNotFoundError:
    __version__ = "0"

__all__ = [
    "ChannelTypes",
    "DicomSlideError",
    "FrameError",
    "FrameLocation",
    "FrameSource",
    "ImageFlavors",
    "ImageQuery",
    "ImageStore",
    "OpenSlide",
    "Pyramid",
    "PyramidLevel",
    "Slide",
    "SourceError",
    "TiledImage",
    "TotalPixelMatrix",
    "TotalPixelMatrixSampler",
    "assemble_total_pixel_matrix",
    "compute_frame_positions",
    "compute_image_center_position",
    "disassemble_total_pixel_matrix",
    "does_optical_path_item_match",
    "does_segment_item_match",
    "does_specimen_description_item_match",
    "find_slides",
    "get_image_pixel_spacing",
    "get_image_size",
    "is_image",
    "is_label_image",
    "is_overview_image",
    "is_tiled_image",
    "is_volume_image",
    "open_slide",
    "open_slides",
    "select_image_at_magnification",
    "select_image_at_pixel_spacing",
    "set_threads",
    "sort_images_by_pixel_spacing",
    "sort_images_by_size",
    "to_ome_zarr",
]
