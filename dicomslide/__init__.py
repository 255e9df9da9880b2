"""DICOM whole slide images as trees of lazy, labelled, chunked arrays."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dicomslide.annotations.group import Annotation as Annotation
    from dicomslide.annotations.group import AnnotationGroup as AnnotationGroup
    from dicomslide.collection.index import SlideIndex as SlideIndex
    from dicomslide.collection.index import index_slides as index_slides
    from dicomslide.collection.index import open_index as open_index
    from dicomslide.enum import ChannelTypes as ChannelTypes
    from dicomslide.enum import ImageFlavors as ImageFlavors
    from dicomslide.errors import DicomSlideError as DicomSlideError
    from dicomslide.errors import FrameError as FrameError
    from dicomslide.errors import SourceError as SourceError
    from dicomslide.export.ome_zarr import to_ome_zarr as to_ome_zarr
    from dicomslide.export.virtual import VirtualStore as VirtualStore
    from dicomslide.export.virtual import as_zarr as as_zarr
    from dicomslide.image import TiledImage as TiledImage
    from dicomslide.matrix import TotalPixelMatrix as TotalPixelMatrix
    from dicomslide.matrix import TotalPixelMatrixSampler as TotalPixelMatrixSampler
    from dicomslide.metadata.flavors import is_image as is_image
    from dicomslide.metadata.flavors import is_label_image as is_label_image
    from dicomslide.metadata.flavors import is_overview_image as is_overview_image
    from dicomslide.metadata.flavors import is_tiled_image as is_tiled_image
    from dicomslide.metadata.flavors import is_volume_image as is_volume_image
    from dicomslide.metadata.matching import (
        does_optical_path_item_match as does_optical_path_item_match,
    )
    from dicomslide.metadata.matching import does_segment_item_match as does_segment_item_match
    from dicomslide.metadata.matching import (
        does_specimen_description_item_match as does_specimen_description_item_match,
    )
    from dicomslide.opening import open_slide as open_slide
    from dicomslide.opening import open_slides as open_slides
    from dicomslide.opening.many import iter_slides as iter_slides
    from dicomslide.opening.search import find_slides as find_slides
    from dicomslide.openslide import OpenSlide as OpenSlide
    from dicomslide.pixels.slices import optimize_slices as optimize_slices
    from dicomslide.pixels.threads import set_threads as set_threads
    from dicomslide.pyramid import Pyramid as Pyramid
    from dicomslide.pyramid import PyramidLevel as PyramidLevel
    from dicomslide.pyramid import compute_image_center_position as compute_image_center_position
    from dicomslide.pyramid import get_image_pixel_spacing as get_image_pixel_spacing
    from dicomslide.pyramid import get_image_size as get_image_size
    from dicomslide.pyramid import select_image_at_magnification as select_image_at_magnification
    from dicomslide.pyramid import select_image_at_pixel_spacing as select_image_at_pixel_spacing
    from dicomslide.pyramid import sort_images_by_pixel_spacing as sort_images_by_pixel_spacing
    from dicomslide.pyramid import sort_images_by_size as sort_images_by_size
    from dicomslide.serving.server import SlideServer as SlideServer
    from dicomslide.slide import Slide as Slide
    from dicomslide.sources.base import FrameLocation as FrameLocation
    from dicomslide.sources.base import FrameSource as FrameSource
    from dicomslide.stores.protocol import ImageQuery as ImageQuery
    from dicomslide.stores.protocol import ImageStore as ImageStore
    from dicomslide.thumbnail import make_thumbnail as make_thumbnail
    from dicomslide.tile import assemble_total_pixel_matrix as assemble_total_pixel_matrix
    from dicomslide.tile import compute_frame_positions as compute_frame_positions
    from dicomslide.tile import disassemble_total_pixel_matrix as disassemble_total_pixel_matrix
    from dicomslide.viewing import view as view
    from dicomslide.writing.annotations import write_annotations as write_annotations
    from dicomslide.writing.identity import WrittenInstance as WrittenInstance
    from dicomslide.writing.image import write_image as write_image
    from dicomslide.writing.parametric_map import write_parametric_map as write_parametric_map
    from dicomslide.writing.segmentation import write_segmentation as write_segmentation
    from dicomslide.writing.storing import StoredInstance as StoredInstance
    from dicomslide.writing.storing import store as store

    __version__: str

# Modules of the public names, each of which is imported when one of its names is first used.
# dask.array, dicomweb_client, highdicom, pydicom.sr, rich, xarray and zarr are slow to import, and
# few programs need all: modules that nearly all programs use import these in functions
_PLACES = {
    "Annotation": "annotations.group",
    "AnnotationGroup": "annotations.group",
    "ChannelTypes": "enum",
    "DicomSlideError": "errors",
    "FrameError": "errors",
    "FrameLocation": "sources.base",
    "FrameSource": "sources.base",
    "ImageFlavors": "enum",
    "ImageQuery": "stores.protocol",
    "ImageStore": "stores.protocol",
    "OpenSlide": "openslide",
    "Pyramid": "pyramid",
    "PyramidLevel": "pyramid",
    "Slide": "slide",
    "SlideIndex": "collection.index",
    "SlideServer": "serving.server",
    "SourceError": "errors",
    "StoredInstance": "writing.storing",
    "TiledImage": "image",
    "TotalPixelMatrix": "matrix",
    "TotalPixelMatrixSampler": "matrix",
    "VirtualStore": "export.virtual",
    "WrittenInstance": "writing.identity",
    "as_zarr": "export.virtual",
    "assemble_total_pixel_matrix": "tile",
    "compute_frame_positions": "tile",
    "compute_image_center_position": "pyramid",
    "disassemble_total_pixel_matrix": "tile",
    "does_optical_path_item_match": "metadata.matching",
    "does_segment_item_match": "metadata.matching",
    "does_specimen_description_item_match": "metadata.matching",
    "find_slides": "opening.search",
    "get_image_pixel_spacing": "pyramid",
    "get_image_size": "pyramid",
    "index_slides": "collection.index",
    "is_image": "metadata.flavors",
    "is_label_image": "metadata.flavors",
    "is_overview_image": "metadata.flavors",
    "is_tiled_image": "metadata.flavors",
    "is_volume_image": "metadata.flavors",
    "iter_slides": "opening.many",
    "make_thumbnail": "thumbnail",
    "open_index": "collection.index",
    "open_slide": "opening",
    "open_slides": "opening",
    "optimize_slices": "pixels.slices",
    "select_image_at_magnification": "pyramid",
    "select_image_at_pixel_spacing": "pyramid",
    "set_threads": "pixels.threads",
    "sort_images_by_pixel_spacing": "pyramid",
    "sort_images_by_size": "pyramid",
    "store": "writing.storing",
    "to_ome_zarr": "export.ome_zarr",
    "view": "viewing",
    "write_annotations": "writing.annotations",
    "write_image": "writing.image",
    "write_parametric_map": "writing.parametric_map",
    "write_segmentation": "writing.segmentation",
}

__all__ = sorted(_PLACES)


# Hidden from type checkers, which would otherwise accept any name as one of this module
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _PLACES:
            value = getattr(import_module(f"dicomslide.{_PLACES[name]}"), name)
        elif name == "__version__":
            value = _version()
        elif name in {place.partition(".")[0] for place in _PLACES.values()}:
            value = import_module(f"dicomslide.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dicomslide")
    except PackageNotFoundError:
        return "0"
