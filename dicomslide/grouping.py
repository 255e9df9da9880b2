"""Which images make one slide.

Frame of Reference and container come first: they tell what lies on one glass slide. A glass slide
may have been scanned several times, or in several places: then each pyramid is a slide of its own.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydicom.dataset import Dataset

from dicomslide.damage import reads_image
from dicomslide.errors import InvalidImageError
from dicomslide.leniency import share_frame_of_reference, supply_missing
from dicomslide.metadata.channels import may_be_one_path, read_identifiers, read_path_marks
from dicomslide.metadata.flavors import (
    DERIVED,
    is_label_image,
    is_overview_image,
    is_thumbnail,
    is_volume_image,
)
from dicomslide.metadata.frames import matrix_size
from dicomslide.metadata.geometry import (
    ImageGeometry,
    are_of_one_level,
    has_origin,
    pixel_spacing,
    read_geometry,
    spacing_between_planes,
)
from dicomslide.metadata.references import referenced_instances

__all__ = [
    "check_image",
    "group_images",
    "group_slides",
    "is_scanned",
    "pyramid_uids_of",
    "series_of",
    "shows_only_labels",
]

Glass = tuple[str, str]
"""Frame of Reference UID and Container Identifier"""

# Distance in millimetres between the centres of areas that are the same
_SAME_AREA = 0.1


@reads_image
def is_scanned(dataset: Dataset) -> bool:
    """Whether an image is a VOLUME or THUMBNAIL image, and not derived from one."""
    return dataset.get("SOPClassUID") not in DERIVED and is_volume_image(dataset)


def shows_only_labels(images: Iterable[Dataset]) -> bool:
    """Whether no image makes a slide: there are only LABEL and OVERVIEW images, or unknown ones."""
    return not any(is_scanned(image) or image.get("SOPClassUID") in DERIVED for image in images)


def pyramid_uids_of(images: Sequence[Dataset]) -> tuple[str, ...]:
    """Get what tells the pyramid of a slide from others on the same glass slide.

    Returns
    -------
    tuple of str
        Pyramid UIDs of its images (PS3.3 C.8.12.14), of which there may be none, and the SOP
        Instance UID of the largest image, which no other slide has
    """
    scanned = _scanned_or_all(images)
    stated = dict.fromkeys(str(i.get("PyramidUID")) for i in scanned if i.get("PyramidUID"))
    largest = max((_pixel_count(image), str(image.get("SOPInstanceUID"))) for image in scanned)
    return *stated, largest[1]


def series_of(images: Sequence[Dataset]) -> tuple[str, ...]:
    """Get the Series Instance UIDs of the VOLUME and THUMBNAIL images of a slide."""
    scanned = _scanned_or_all(images)
    return tuple(dict.fromkeys(str(image.get("SeriesInstanceUID") or "") for image in scanned))


def _scanned_or_all(images: Sequence[Dataset]) -> Sequence[Dataset]:
    return [image for image in images if is_scanned(image)] or images


def check_image(dataset: Dataset) -> None:
    """Raise an InvalidImageError where the attributes cannot be read that slides are grouped by.

    Other attributes are looked at when the slide is made.
    """
    is_derived = dataset.get("SOPClassUID") in DERIVED
    if is_derived:
        referenced_instances(dataset)
    if is_derived or is_scanned(dataset):
        matrix_size(dataset)
        if not has_origin(dataset):
            pixel_spacing(dataset)


def group_slides(
    datasets: Sequence[Dataset], name: str, series_instance_uid: str | None = None
) -> list[list[Dataset]]:
    """Put the images of one slide together, and supply what their writers left out.

    Parameters
    ----------
    datasets : sequence of pydicom.dataset.Dataset
        Metadata of images, which may be changed: see `dicomslide.leniency`
    name : str
        Name of their source in warnings
    series_instance_uid : str, optional
        Series of the VOLUME and THUMBNAIL images of the slides that are wanted

    Returns
    -------
    list of list of pydicom.dataset.Dataset
        See `group_images`
    """
    share_frame_of_reference(datasets, name)
    slides = group_images(datasets)
    if series_instance_uid is not None:
        # What was derived from another series has been told apart by now
        slides = _of_series(slides, series_instance_uid)
    supply_missing(slides, name)
    return slides


def _of_series(slides: Sequence[list[Dataset]], uid: str) -> list[list[Dataset]]:
    """Leave VOLUME and THUMBNAIL images of other series out, and slides that have none."""
    return [
        [
            image
            for image in images
            if not is_scanned(image) or image.get("SeriesInstanceUID") == uid
        ]
        for images in slides
        if uid in series_of(images)
    ]


def group_images(datasets: Iterable[Dataset]) -> list[list[Dataset]]:
    """Put the images of one slide together.

    Parameters
    ----------
    datasets : iterable of pydicom.dataset.Dataset
        Metadata of images, in any order

    Returns
    -------
    list of list of pydicom.dataset.Dataset
        A list for each slide. LABEL and OVERVIEW images are in the list of each slide of their
        container
    """
    return [slide for glass in _by_glass(datasets) for slide in _by_pyramid(glass)]


def _by_glass(datasets: Iterable[Dataset]) -> list[list[Dataset]]:
    """Put the images of one frame of reference and container together, in their order.

    Images without a container, as derived ones may be, join the others of their frame of reference.
    LABEL and OVERVIEW images, whose frame of reference may be their own, join the others of their
    container, or without one of their series.
    """
    placed: dict[Glass, list[tuple[int, Dataset]]] = {}
    derived: list[tuple[int, Dataset]] = []
    others: list[tuple[int, Dataset]] = []
    for position, dataset in enumerate(datasets):
        item = position, dataset
        if is_scanned(dataset):
            placed.setdefault(_glass(dataset), []).append(item)
        else:
            (derived if dataset.get("SOPClassUID") in DERIVED else others).append(item)
    by_reference: dict[str, Glass] = {}
    for reference, container in sorted(placed, key=lambda glass: not glass[1]):
        by_reference.setdefault(reference, (reference, container))
    for glass in [glass for glass in placed if not glass[1]]:
        if by_reference[glass[0]] != glass:
            placed[by_reference[glass[0]]] += placed.pop(glass)
    by_container: dict[str, Glass] = {}
    by_series: dict[str, Glass] = {}
    for glass, items in placed.items():
        by_container.setdefault(glass[1], glass)
        for _, dataset in items:
            by_series.setdefault(str(dataset.get("SeriesInstanceUID")), glass)
    for item in derived:
        reference, container = own = _glass(item[1])
        other = by_reference.get(reference, own)
        home = own if own in placed or (container and other[1]) else other
        placed.setdefault(home, []).append(item)
    for item in others:
        reference, container = own = _glass(item[1])
        series = by_series.get(str(item[1].get("SeriesInstanceUID")))
        if own in placed:
            home = own
        elif container and container in by_container:
            home = by_container[container]
        elif series and not (container and series[1]):
            home = series
        else:
            home = own if container else by_reference.get(reference, own)
        placed.setdefault(home, []).append(item)
    return [[dataset for _, dataset in sorted(items, key=_position)] for items in placed.values()]


def _position(item: tuple[int, Dataset]) -> int:
    return item[0]


@reads_image
def _glass(dataset: Dataset) -> Glass:
    reference = str(dataset.get("FrameOfReferenceUID") or "")
    return reference, str(dataset.get("ContainerIdentifier") or "")


@reads_image
def _samples(dataset: Dataset) -> object:
    return dataset.get("SamplesPerPixel")


@reads_image
def _count_planes(dataset: Dataset) -> int:
    return int(dataset.get("TotalPixelMatrixFocalPlanes") or 1)


class _Scan:
    """A VOLUME image: its pyramid, what it shows, and where, as far as its attributes tell."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.uid = str(dataset.get("SOPInstanceUID"))
        self.series = str(dataset.get("SeriesInstanceUID"))
        self.pyramid = str(dataset.get("PyramidUID") or "")
        self.has_extended_depth = dataset.get("ExtendedDepthOfField") == "YES"

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return matrix_size(self.dataset)

    @cached_property
    def geometry(self) -> ImageGeometry | None:
        """Where it lies."""
        return read_geometry(self.dataset)

    @cached_property
    def spacing(self) -> tuple[float, float] | None:
        """Pixel Spacing."""
        return pixel_spacing(self.dataset)

    @cached_property
    def bounds(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Smallest and largest (x, y) in millimetres."""
        if self.geometry is None:
            return (-math.inf, -math.inf), (math.inf, math.inf)
        return self.geometry.bounds(self.size)

    @cached_property
    def paths(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Identifier and marks of each optical path."""
        identifiers = read_identifiers(self.dataset)
        return tuple(zip(identifiers, read_path_marks(self.dataset), strict=True))

    @cached_property
    def heights(self) -> tuple[float, float]:
        """Z of the lowest and of the highest focal plane in millimetres."""
        low = 0.0 if self.geometry is None else self.geometry.origin[2]
        count = _count_planes(self.dataset)
        high = low + (count - 1) * spacing_between_planes(self.dataset)
        return round(low, 6), round(high, 6)

    def is_higher_than(self, other: "_Scan") -> bool:
        """Whether all focal planes are above those of another image."""
        return self.heights[0] > other.heights[1]

    @cached_property
    def samples(self) -> object:
        """Samples per Pixel."""
        return _samples(self.dataset)

    def overlaps(self, other: "_Scan") -> bool:
        """Whether the areas on the slide have a part in common."""
        (left, bottom), (right, top) = self.bounds
        (other_left, other_bottom), (other_right, other_top) = other.bounds
        return (
            left < other_right and other_left < right and bottom < other_top and other_bottom < top
        )

    def is_beside(self, other: "_Scan") -> bool:
        """Whether both images may be of one slide: they show different paths, or heights.

        Monochrome images of other series that lie exactly alike are other optical paths as well,
        though all be called alike: a second scan would not lie so.
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

    def is_level_of(self, other: "_Scan") -> bool:
        """Whether both may be of one level: their pixels are equally large."""
        if self.spacing is None or other.spacing is None:
            return self.size == other.size
        return are_of_one_level(self.spacing, other.spacing)

    def rivals(self, other: "_Scan") -> bool:
        """Whether both show the same of one level."""
        return self.is_level_of(other) and not self.is_beside(other)

    def covers_area_of(self, other: "_Scan") -> bool:
        """Whether the areas of both images are the same."""
        if self.geometry is None or other.geometry is None:
            return True
        if not self.geometry.is_parallel_to(other.geometry):
            return False
        centers = [
            [(low + high) / 2 for low, high in zip(*scan.bounds, strict=True)]
            for scan in (self, other)
        ]
        pixel = max(*self.geometry.spacing, *other.geometry.spacing)
        return math.dist(*centers) <= max(_SAME_AREA, pixel)


@dataclass(eq=False)
class _Pyramid:
    """VOLUME images that belong together."""

    scans: list[_Scan]

    @property
    def largest(self) -> _Scan:
        return max(self.scans, key=lambda scan: math.prod(scan.size))

    def completes(self, other: "_Pyramid") -> bool:
        """Whether both make one slide: they show the same area, but not the same of it."""
        first, second = self.largest, other.largest
        if first.has_extended_depth != second.has_extended_depth:
            return False
        if not first.covers_area_of(second):
            return False
        pairs = [(a, b) for a in self.scans for b in other.scans]
        if first.pyramid and second.pyramid:
            # Levels of two pyramids do not make one, but channels and focal planes do
            alike = [(a, b) for a, b in pairs if a.is_level_of(b)]
            return all(a.is_beside(b) for a, b in alike or pairs)
        return not any(a.rivals(b) for a, b in pairs)


def _by_pyramid(glass: list[Dataset]) -> list[list[Dataset]]:
    """Divide the images of a glass slide by pyramids."""
    scans = [_Scan(dataset) for dataset in glass if is_scanned(dataset)]
    volumes = [scan for scan in scans if not is_thumbnail(scan.dataset)]
    try:
        pyramids = _find_pyramids(volumes)
        known = {scan.uid: pyramid for pyramid in pyramids for scan in pyramid.scans}
        homes = [(dataset, _homes(dataset, pyramids, known)) for dataset in glass]
    except InvalidImageError:
        # Whoever opens the slide is told what is wrong with the image
        return [glass]
    if len(pyramids) < 2:
        return [glass]
    return [[dataset for dataset, found in homes if pyramid in found] for pyramid in pyramids]


def _find_pyramids(volumes: Sequence[_Scan]) -> list[_Pyramid]:
    stated: dict[tuple[str, bool], list[_Scan]] = {}
    for scan in volumes:
        stated.setdefault((scan.pyramid, scan.has_extended_depth), []).append(scan)
    parts = [
        part
        for (uid, _), scans in stated.items()
        for area in ([scans] if uid else _by_area(scans))
        for part in _by_series(area)
    ]
    found: list[_Pyramid] = []
    for part in map(_Pyramid, parts):
        home = next((pyramid for pyramid in found if pyramid.completes(part)), None)
        if home is None:
            found.append(part)
        else:
            home.scans += part.scans
    return found


def _by_area(scans: Sequence[_Scan]) -> list[list[_Scan]]:
    """Divide images whose areas do not overlap."""
    areas: list[list[_Scan]] = []
    for scan in scans:
        touched = [area for area in areas if any(scan.overlaps(other) for other in area)]
        areas = [area for area in areas if area not in touched]
        areas.append([*(other for area in touched for other in area), scan])
    return areas


def _by_series(scans: Sequence[_Scan]) -> list[list[_Scan]]:
    """Divide images by series where two series show the same level, or are not aligned."""
    series: dict[str, list[_Scan]] = {}
    for scan in scans:
        series.setdefault(scan.series, []).append(scan)
    if len(series) == 1:
        return [list(scans)]
    bases = [_Pyramid(members).largest for members in series.values()]
    are_scans = any(a.series != b.series and a.rivals(b) for a, b in _pairs(scans)) or not all(
        a.covers_area_of(b) for a, b in _pairs(bases)
    )
    return list(series.values()) if are_scans else [list(scans)]


def _pairs(scans: Sequence[_Scan]) -> Iterator[tuple[_Scan, _Scan]]:
    return ((a, b) for index, a in enumerate(scans) for b in scans[:index])


def _homes(
    dataset: Dataset, pyramids: Sequence[_Pyramid], known: dict[str, _Pyramid]
) -> Sequence[_Pyramid]:
    """Find the pyramids that an image of a glass slide belongs to; those of scans are known."""
    if len(pyramids) < 2:
        return pyramids
    if is_label_image(dataset) or is_overview_image(dataset):
        return pyramids
    own = _Scan(dataset)
    is_derived = dataset.get("SOPClassUID") in DERIVED
    related = referenced_instances(dataset) if is_derived else {own.uid}
    referenced = {known[uid] for uid in related if uid in known}
    candidates = [pyramid for pyramid in pyramids if pyramid in referenced] or pyramids
    criteria: tuple[Callable[[_Scan], bool], ...] = (
        lambda scan: bool(own.pyramid) and scan.pyramid == own.pyramid,
        lambda scan: not is_derived and scan.series == own.series,
        lambda scan: own.geometry is not None and scan.overlaps(own),
    )
    for belongs in criteria:
        if len(candidates) == 1:
            break
        found = [p for p in candidates if any(belongs(scan) for scan in p.scans)]
        candidates = found or candidates
    return candidates[:1]


def _pixel_count(dataset: Dataset) -> int:
    return math.prod(matrix_size(dataset))
