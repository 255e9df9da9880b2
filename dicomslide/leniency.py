"""What some writers leave out of the images of a slide, and what is made of it.

Each omission is warned of once. `dicomslide.Slide` itself does not supply anything.
"""

import warnings
from collections.abc import Sequence

from pydicom.dataset import Dataset

from dicomslide.metadata.flavors import SLIDE_MICROSCOPY, is_volume_image
from dicomslide.metadata.frames import matrix_size

__all__ = ["supply_missing"]


def supply_missing(datasets: Sequence[Dataset], name: str) -> None:
    """Supply attributes that VL Whole Slide Microscopy Images need and some writers leave out.

    The data sets are changed.

    Parameters
    ----------
    datasets : sequence of pydicom.dataset.Dataset
        Images of one or several slides
    name : str
        What warnings call the source of the images
    """
    images = [
        dataset
        for dataset in datasets
        if dataset.get("SOPClassUID") in SLIDE_MICROSCOPY and is_volume_image(dataset)
    ]
    _share_frame_of_reference(images, name)
    for keyword, attribute, consequence in (
        ("ContainerIdentifier", "Container Identifier", "the slide has no name"),
        ("OpticalPathSequence", "Optical Path Sequence", "there is one optical path"),
        ("TotalPixelMatrixOriginSequence", "Total Pixel Matrix Origin", "it is taken for (0, 0)"),
        ("NumberOfFrames", "Number of Frames", "it is counted from the tiles"),
    ):
        lacking = [image for image in images if not image.get(keyword)]
        if lacking:
            warnings.warn(
                f"{name}: {len(lacking)} of {len(images)} images have no {attribute}: "
                f"{consequence}",
                stacklevel=2,
            )
        if keyword == "TotalPixelMatrixOriginSequence":
            for image in lacking:
                image.TotalPixelMatrixOriginSequence = [_origin()]


def _origin() -> Dataset:
    item = Dataset()
    item.XOffsetInSlideCoordinateSystem = 0.0
    item.YOffsetInSlideCoordinateSystem = 0.0
    item.ZOffsetInSlideCoordinateSystem = 0.0
    return item


def _share_frame_of_reference(images: Sequence[Dataset], name: str) -> None:
    """Give the levels of a series one frame of reference, where each came with its own."""
    by_series: dict[tuple[str, str], list[Dataset]] = {}
    for image in images:
        key = str(image.get("SeriesInstanceUID")), str(image.get("ContainerIdentifier"))
        by_series.setdefault(key, []).append(image)
    for (series, _), levels in by_series.items():
        references = {str(image.get("FrameOfReferenceUID")) for image in levels}
        sizes = {matrix_size(image) for image in levels}
        if len(references) > 1 and len(sizes) == len(levels):
            warnings.warn(
                f"{name}: each level of series {series} has a Frame of Reference UID of its own: "
                "they are taken for one slide",
                stacklevel=3,
            )
            largest_first = sorted(levels, key=matrix_size, reverse=True)
            shared = next(filter(None, (i.get("FrameOfReferenceUID") for i in largest_first)))
            for image in levels:
                image.FrameOfReferenceUID = shared
