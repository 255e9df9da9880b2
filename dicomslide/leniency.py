"""What some writers leave out of the images of a slide, and what is made of it.

Each omission is warned of once. `dicomslide.Slide` itself does not supply anything.
"""

import warnings
from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset

from dicomslide.metadata.flavors import DERIVED, SLIDE_MICROSCOPY, is_volume_image
from dicomslide.metadata.frames import matrix_size
from dicomslide.metadata.geometry import has_origin, pixel_spacing

__all__ = ["share_frame_of_reference", "supply_missing"]

_FROM_OTHERS = "the origin of the other images is taken"
_FROM_NOTHING = "it is taken for (0, 0)"


def supply_missing(slides: Sequence[Sequence[Dataset]], name: str) -> None:
    """Supply attributes that VL Whole Slide Microscopy Images need and some writers leave out.

    The data sets are changed.

    Parameters
    ----------
    slides : sequence of sequence of pydicom.dataset.Dataset
        Images of each slide
    name : str
        Name of the source of the images in warnings
    """
    images = list(_pyramid_images(image for slide in slides for image in slide))
    for keyword, attribute, consequence in (
        ("ContainerIdentifier", "Container Identifier", "the slide has no name"),
        ("OpticalPathSequence", "Optical Path Sequence", "there is one optical path"),
        ("NumberOfFrames", "Number of Frames", "it is counted from the tiles"),
    ):
        lacking = [image for image in images if not image.get(keyword)]
        if lacking:
            warnings.warn(
                f"{name}: {len(lacking)} of {len(images)} images have no {attribute}: "
                f"{consequence}",
                stacklevel=2,
            )
    _supply_origins(slides, name)


def _pyramid_images(images: Iterable[Dataset]) -> Iterable[Dataset]:
    return (
        image
        for image in images
        if image.get("SOPClassUID") in SLIDE_MICROSCOPY and is_volume_image(image)
    )


def _supply_origins(slides: Sequence[Sequence[Dataset]], name: str) -> None:
    """Give images without Total Pixel Matrix Origin that of the other images of their slide."""
    counts = {_FROM_OTHERS: 0, _FROM_NOTHING: 0}
    total = 0
    for slide in slides:
        placed = [
            image
            for image in slide
            if image.get("SOPClassUID") in DERIVED
            or (image.get("SOPClassUID") in SLIDE_MICROSCOPY and is_volume_image(image))
        ]
        total += len(placed)
        lacking = [image for image in placed if not has_origin(image)]
        if not lacking:
            continue
        stated = [image for image in _pyramid_images(slide) if has_origin(image)]
        stated.sort(key=matrix_size, reverse=True)
        for image in lacking:
            image.TotalPixelMatrixOriginSequence = [_origin_for(image, stated)]
        counts[_FROM_OTHERS if stated else _FROM_NOTHING] += len(lacking)
    for consequence, count in counts.items():
        if count:
            warnings.warn(
                f"{name}: {count} of {total} images have no Total Pixel Matrix Origin: "
                f"{consequence}",
                stacklevel=3,
            )


def _origin_for(image: Dataset, stated: Sequence[Dataset]) -> Dataset:
    """Copy the origin of the image of equal Pixel Spacing, or else of the largest one."""
    spacing = pixel_spacing(image)
    alike = [other for other in stated if pixel_spacing(other) == spacing]
    found = alike or stated
    source = found[0].TotalPixelMatrixOriginSequence[0] if found else Dataset()
    item = Dataset()
    for axis in "XYZ":
        keyword = f"{axis}OffsetInSlideCoordinateSystem"
        setattr(item, keyword, source.get(keyword) or 0.0)
    return item


def share_frame_of_reference(datasets: Sequence[Dataset], name: str) -> None:
    """Give the levels of a series one frame of reference, where each came with its own.

    What was derived from a level goes with it. The data sets are changed.

    Parameters
    ----------
    datasets : sequence of pydicom.dataset.Dataset
        Images of one or several slides
    name : str
        Name of the source of the images in warnings
    """
    by_series: dict[tuple[str, str], list[Dataset]] = {}
    for image in _pyramid_images(datasets):
        key = str(image.get("SeriesInstanceUID")), str(image.get("ContainerIdentifier"))
        by_series.setdefault(key, []).append(image)
    replaced: dict[str, str] = {}
    for (series, _), levels in by_series.items():
        references = [str(image.get("FrameOfReferenceUID") or "") for image in levels]
        sizes = {matrix_size(image) for image in levels}
        if len(set(references)) > 1 and len(sizes) == len(levels):
            warnings.warn(
                f"{name}: each level of series {series} has a Frame of Reference UID of its own: "
                "they are taken for one slide",
                stacklevel=3,
            )
            largest_first = sorted(levels, key=matrix_size, reverse=True)
            stated = (str(i.get("FrameOfReferenceUID") or "") for i in largest_first)
            shared = next(filter(None, stated))
            replaced |= dict.fromkeys(references, shared)
            for image in levels:
                image.FrameOfReferenceUID = shared
    for image in datasets:
        own = str(image.get("FrameOfReferenceUID") or "")
        if replaced and own in replaced and image.get("SOPClassUID") in DERIVED:
            image.FrameOfReferenceUID = replaced[own]
