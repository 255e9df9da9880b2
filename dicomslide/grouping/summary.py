"""Attributes of an image that decide which slide it belongs to, each read once."""

import math
from dataclasses import dataclass, field
from functools import cached_property

from pydicom.dataset import Dataset

from dicomslide.enum import ImageFlavors
from dicomslide.errors.damage import reads_image
from dicomslide.grouping.areas import Bounds
from dicomslide.metadata.channels import may_be_one_path, read_identifiers, read_path_marks
from dicomslide.metadata.flavors import image_flavor, is_image
from dicomslide.metadata.frames import matrix_size
from dicomslide.metadata.geometry import (
    ImageGeometry,
    are_of_one_level,
    has_origin,
    pixel_spacing,
    read_geometry,
    spacing_between_planes,
)
from dicomslide.metadata.kinds import DERIVED
from dicomslide.metadata.references import referenced_instances

__all__ = ["Summary", "summarize"]

_THUMBNAIL = ImageFlavors.THUMBNAIL.value
_SCANNED = (ImageFlavors.VOLUME.value, _THUMBNAIL)
_OF_THE_GLASS = (ImageFlavors.LABEL.value, ImageFlavors.OVERVIEW.value)
# Largest distance in millimetres between the centres of areas that count as the same
_SAME_AREA = 0.1


@dataclass(frozen=True, eq=False)
class Summary:
    """Summary of an image: its identifiers, and further attributes that are read on access.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        Metadata of the image
    uid, series, pyramid : str
        SOP Instance UID, Series Instance UID and Pyramid UID; empty where there is none
    frame_of_reference, container : str
        Frame of Reference UID and Container Identifier; empty where there is none
    flavor : str or None
        Value 3 of Image Type; None where there are no pixels, or no such value
    is_derived : bool
        Whether the image is a Segmentation or Parametric Map
    """

    dataset: Dataset = field(repr=False)
    uid: str
    series: str
    pyramid: str
    frame_of_reference: str
    container: str
    flavor: str | None
    is_derived: bool

    @property
    def is_scanned(self) -> bool:
        """Whether the image is a VOLUME or THUMBNAIL image, and not derived from one."""
        return not self.is_derived and self.flavor in _SCANNED

    @property
    def is_volume(self) -> bool:
        """Whether the image is a VOLUME image, and not derived from one."""
        return self.is_scanned and self.flavor != _THUMBNAIL

    @property
    def is_of_the_glass(self) -> bool:
        """Whether the image is a LABEL or OVERVIEW image, which shows the glass slide."""
        return self.flavor in _OF_THE_GLASS

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the total pixel matrix."""
        return matrix_size(self.dataset)

    @cached_property
    def has_origin(self) -> bool:
        """Whether the image states its Total Pixel Matrix Origin."""
        return has_origin(self.dataset)

    @cached_property
    def spacing(self) -> tuple[float, float] | None:
        """Pixel Spacing in millimetres; None where it is not stated."""
        return pixel_spacing(self.dataset)

    @cached_property
    def references(self) -> set[str]:
        """SOP Instance UIDs of the images that this one was derived from."""
        return referenced_instances(self.dataset)

    @cached_property
    def has_extended_depth(self) -> bool:
        """Whether the image shows several focal planes as one (Extended Depth of Field)."""
        return _has_extended_depth(self.dataset)

    @cached_property
    def geometry(self) -> ImageGeometry | None:
        """Position of the image on the slide; None where it is not stated."""
        return read_geometry(self.dataset)

    @cached_property
    def bounds(self) -> Bounds:
        """Smallest and largest (x, y) of the image in millimetres; infinite without a position."""
        if self.geometry is None:
            return (-math.inf, -math.inf), (math.inf, math.inf)
        return self.geometry.bounds(self.size)

    @cached_property
    def center(self) -> tuple[float, float]:
        """Centre (x, y) of the area of the image in millimetres, if its position is stated."""
        x, y = ((low + high) / 2 for low, high in zip(*self.bounds, strict=True))
        return x, y

    @cached_property
    def tolerance(self) -> float:
        """Largest distance in millimetres to the centre of an area that counts as the same."""
        return max(_SAME_AREA, *(self.geometry.spacing if self.geometry else (0.0,)))

    @cached_property
    def paths(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Identifier and marks of each optical path: see `read_path_marks`."""
        identifiers = read_identifiers(self.dataset)
        return tuple(zip(identifiers, read_path_marks(self.dataset), strict=True))

    @cached_property
    def heights(self) -> tuple[float, float]:
        """Z of the lowest and of the highest focal plane in millimetres."""
        low = 0.0 if self.geometry is None else self.geometry.origin[2]
        count = _count_planes(self.dataset)
        high = low + (count - 1) * spacing_between_planes(self.dataset)
        return round(low, 6), round(high, 6)

    @cached_property
    def samples(self) -> object:
        """Value of Samples per Pixel."""
        return _samples(self.dataset)

    def is_higher_than(self, other: "Summary") -> bool:
        """Whether all focal planes are above those of another image."""
        return self.heights[0] > other.heights[1]

    def overlaps(self, other: "Summary") -> bool:
        """Whether the areas on the slide have a part in common."""
        (left, bottom), (right, top) = self.bounds
        (other_left, other_bottom), (other_right, other_top) = other.bounds
        return (
            left < other_right and other_left < right and bottom < other_top and other_bottom < top
        )

    def is_beside(self, other: "Summary") -> bool:
        """Whether two images may be of one slide: they show different optical paths or heights.

        Monochrome images of different series with exactly the same position are different paths
        even if their identifiers are equal, as a second scan would have another position.
        """
        if self.is_higher_than(other) or other.is_higher_than(self):
            return True
        if self.samples != other.samples:
            return True
        alike = any(
            name == other_name and may_be_one_path(marks, other_marks)
            for name, marks in self.paths
            for other_name, other_marks in other.paths
        )
        is_channel = (
            self.series != other.series and self.samples == 1 and self.geometry == other.geometry
        )
        return not alike or is_channel

    def is_level_of(self, other: "Summary") -> bool:
        """Whether two images may be of one level, as their pixels have the same size."""
        if self.spacing is None or other.spacing is None:
            return self.size == other.size
        return are_of_one_level(self.spacing, other.spacing)

    def rivals(self, other: "Summary") -> bool:
        """Whether two images show the same path and heights of one level, as repeated scans do."""
        return self.is_level_of(other) and not self.is_beside(other)

    def covers_area_of(self, other: "Summary") -> bool:
        """Whether the areas of two images are the same, as far as their positions are stated."""
        if self.geometry is None or other.geometry is None:
            return True
        if not self.geometry.is_parallel_to(other.geometry):
            return False
        return math.dist(self.center, other.center) <= max(self.tolerance, other.tolerance)


@reads_image
def summarize(dataset: Dataset) -> Summary:
    """Read the attributes of an image by which it is grouped with others.

    Raises
    ------
    InvalidImageError
        When one of them cannot be read. Other attributes are read when the slide is made
    """
    summary = Summary(
        dataset,
        uid=str(dataset.get("SOPInstanceUID") or ""),
        series=str(dataset.get("SeriesInstanceUID") or ""),
        pyramid=str(dataset.get("PyramidUID") or ""),
        frame_of_reference=str(dataset.get("FrameOfReferenceUID") or ""),
        container=str(dataset.get("ContainerIdentifier") or ""),
        flavor=image_flavor(dataset) if is_image(dataset) else None,
        is_derived=dataset.get("SOPClassUID") in DERIVED,
    )
    # These attributes are read now, where an error can name the image
    if summary.is_derived:
        _ = summary.references
    if summary.is_derived or summary.is_scanned:
        _ = summary.size
        if not summary.has_origin:
            _ = summary.spacing
    return summary


@reads_image
def _has_extended_depth(dataset: Dataset) -> bool:
    return dataset.get("ExtendedDepthOfField") == "YES"


@reads_image
def _samples(dataset: Dataset) -> object:
    return dataset.get("SamplesPerPixel")


@reads_image
def _count_planes(dataset: Dataset) -> int:
    return int(dataset.get("TotalPixelMatrixFocalPlanes") or 1)
