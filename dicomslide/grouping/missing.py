"""Defaults for attributes that some writers leave out of the images of a slide.

Each missing attribute gives one warning. `dicomslide.Slide` itself does not supply defaults.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pydicom.dataset import Dataset

from dicomslide.grouping.summary import Summary

__all__ = ["share_frame_of_reference", "supply_missing"]

_FROM_OTHERS = "the origin of the other images is taken"
_FROM_NOTHING = "it is taken for (0, 0)"


def supply_missing(slides: Sequence[Sequence[Summary]], name: str) -> None:
    """Supply attributes that VL Whole Slide Microscopy Images need and some writers leave out.

    The data sets are changed. Each missing attribute gives a UserWarning.

    Parameters
    ----------
    slides : sequence of sequence of Summary
        Images of each slide
    name : str
        Name of the source of the images in warnings
    """
    images = [image.dataset for slide in slides for image in slide if image.is_scanned]
    for keyword, attribute, consequence in (
        ("ContainerIdentifier", "Container Identifier", "the slide has no name"),
        ("OpticalPathSequence", "Optical Path Sequence", "there is one optical path"),
        ("NumberOfFrames", "Number of Frames", "it is counted from the tiles"),
    ):
        lacking = sum(not _is_stated(image, keyword) for image in images)
        if lacking:
            warnings.warn(
                f"{name}: {lacking} of {len(images)} images have no {attribute}: {consequence}",
                stacklevel=2,
            )
    _supply_origins(slides, name)


def _is_stated(dataset: Dataset, keyword: str) -> bool:
    """Whether an attribute has a value; it is not converted, as that is slow for sequences."""
    if keyword not in dataset:
        return False
    value = dataset.get_item(keyword).value
    return bool(value.strip(b" \0") if isinstance(value, bytes) else value)


def _supply_origins(slides: Sequence[Sequence[Summary]], name: str) -> None:
    """Supply images without Total Pixel Matrix Origin with that of other images of their slide."""
    counts = {_FROM_OTHERS: 0, _FROM_NOTHING: 0}
    total = 0
    for slide in slides:
        placed = [image for image in slide if image.is_scanned or image.is_derived]
        total += len(placed)
        lacking = [image for image in placed if not image.has_origin]
        if not lacking:
            continue
        stated = [image for image in placed if image.is_scanned and image.has_origin]
        stated.sort(key=lambda image: image.size, reverse=True)
        for image in lacking:
            image.dataset.TotalPixelMatrixOriginSequence = [_origin_for(image, stated)]
        counts[_FROM_OTHERS if stated else _FROM_NOTHING] += len(lacking)
    for consequence, count in counts.items():
        if count:
            warnings.warn(
                f"{name}: {count} of {total} images have no Total Pixel Matrix Origin: "
                f"{consequence}",
                stacklevel=3,
            )


def _origin_for(image: Summary, stated: Sequence[Summary]) -> Dataset:
    """Copy the origin of an image with equal Pixel Spacing, or else of the largest image."""
    alike = [other for other in stated if other.spacing == image.spacing]
    found = alike or stated
    source = found[0].dataset.TotalPixelMatrixOriginSequence[0] if found else Dataset()
    item = Dataset()
    for axis in "XYZ":
        keyword = f"{axis}OffsetInSlideCoordinateSystem"
        setattr(item, keyword, source.get(keyword) or 0.0)
    return item


def share_frame_of_reference(images: Iterable[Summary], name: str) -> list[Summary]:
    """Give the levels of a series one Frame of Reference UID, where each has one of its own.

    Images derived from a level get the same one. The data sets are changed.

    Parameters
    ----------
    images : iterable of Summary
        Images of one or several slides
    name : str
        Name of the source of the images in warnings

    Returns
    -------
    list of Summary
        Images with their present frames of reference

    Warns
    -----
    UserWarning
        When the levels of a series had different frames of reference
    """
    images = list(images)
    by_series: dict[tuple[str, str], list[Summary]] = {}
    for image in images:
        if image.is_scanned:
            by_series.setdefault((image.series, image.container), []).append(image)
    of_series: dict[tuple[str, str], str] = {}
    replaced: dict[str, str] = {}
    for key, levels in by_series.items():
        references = {image.frame_of_reference for image in levels}
        if len(references) > 1 and len({image.size for image in levels}) == len(levels):
            warnings.warn(
                f"{name}: each level of series {key[0]} has a Frame of Reference UID of its own: "
                "they are taken for one slide",
                stacklevel=3,
            )
            largest_first = sorted(levels, key=lambda image: image.size, reverse=True)
            shared = next(filter(None, (image.frame_of_reference for image in largest_first)))
            of_series[key] = shared
            replaced |= dict.fromkeys(references, shared)
    if not of_series:
        return images
    found = []
    for image in images:
        reference = image.frame_of_reference
        if image.is_scanned:
            reference = of_series.get((image.series, image.container), reference)
        elif image.is_derived:
            reference = replaced.get(reference, reference)
        if reference != image.frame_of_reference:
            image.dataset.FrameOfReferenceUID = reference
            image = replace(image, frame_of_reference=reference)
        found.append(image)
    return found
