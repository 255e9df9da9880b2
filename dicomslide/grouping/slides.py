"""Grouping of images by slides.

Images with equal frame of reference and container are of one glass slide. A glass slide may have
been scanned several times, or in several places: then each pyramid is a slide of its own.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import product

from pydicom.dataset import Dataset

from dicomslide.errors import InvalidImageError
from dicomslide.errors.damage import reads_image
from dicomslide.grouping.areas import Areas, Bounds
from dicomslide.grouping.missing import share_frame_of_reference, supply_missing
from dicomslide.grouping.summary import Summary, summarize
from dicomslide.metadata.flavors import is_volume_image
from dicomslide.metadata.kinds import DERIVED
from dicomslide.pyramid import get_image_size

__all__ = [
    "group_slides",
    "group_summaries",
    "is_scanned",
    "pyramid_uids_of",
    "series_of",
    "shows_only_labels",
]

Glass = tuple[str, str]
"""Frame of Reference UID and Container Identifier, which identify a glass slide."""


@reads_image
def is_scanned(dataset: Dataset) -> bool:
    """Whether an image is a VOLUME or THUMBNAIL image, and not derived from one."""
    return dataset.get("SOPClassUID") not in DERIVED and is_volume_image(dataset)


def shows_only_labels(images: Iterable[Dataset]) -> bool:
    """Whether images make no slide: all are LABEL or OVERVIEW images, or of unknown flavor."""
    return not any(is_scanned(image) or image.get("SOPClassUID") in DERIVED for image in images)


def pyramid_uids_of(images: Sequence[Dataset]) -> tuple[str, ...]:
    """Collect UIDs that tell the pyramid of a slide from others on the same glass slide.

    Returns
    -------
    tuple of str
        Pyramid UIDs of the images (PS3.3 C.8.12.14), if they have any, then the SOP Instance UID of
        the largest image, which no other slide has
    """
    scanned = _scanned_or_all(images)
    stated = dict.fromkeys(str(i.get("PyramidUID")) for i in scanned if i.get("PyramidUID"))
    largest = max((get_image_size(image), str(image.get("SOPInstanceUID"))) for image in scanned)
    return *stated, largest[1]


def series_of(images: Sequence[Dataset]) -> tuple[str, ...]:
    """Collect the Series Instance UIDs of the VOLUME and THUMBNAIL images of a slide."""
    scanned = _scanned_or_all(images)
    return tuple(dict.fromkeys(str(image.get("SeriesInstanceUID") or "") for image in scanned))


def _scanned_or_all(images: Sequence[Dataset]) -> Sequence[Dataset]:
    return [image for image in images if is_scanned(image)] or images


def group_slides(
    datasets: Iterable[Dataset], name: str, series_instance_uid: str | None = None
) -> list[list[Dataset]]:
    """Group images by slides, and supply attributes that their writers left out.

    Parameters
    ----------
    datasets : iterable of pydicom.dataset.Dataset
        Metadata of images, which may be changed: see `dicomslide.grouping.missing`
    name : str
        Name of the source of the images in warnings
    series_instance_uid : str, optional
        Series of the VOLUME and THUMBNAIL images of the slides that are wanted

    Returns
    -------
    list of list of pydicom.dataset.Dataset
        Metadata of the images of each slide. LABEL and OVERVIEW images are in the lists of all
        slides of their container

    Raises
    ------
    InvalidImageError
        When an attribute by which images are grouped cannot be read
    """
    return group_summaries(map(summarize, datasets), name, series_instance_uid)


def group_summaries(
    summaries: Iterable[Summary], name: str, series_instance_uid: str | None = None
) -> list[list[Dataset]]:
    """Group images by slides: see `group_slides`."""
    images = share_frame_of_reference(summaries, name)
    slides = [slide for glass in _by_glass(images) for slide in _by_pyramid(glass)]
    if series_instance_uid is not None:
        # The series is selected last, as derived images may belong to pyramids of other series
        slides = _of_series(slides, series_instance_uid)
    supply_missing(slides, name)
    return [[image.dataset for image in slide] for slide in slides]


def _of_series(slides: Sequence[list[Summary]], uid: str) -> list[list[Summary]]:
    """Leave out VOLUME and THUMBNAIL images of other series, and slides that only have such."""
    return [
        [image for image in images if not image.is_scanned or image.series == uid]
        for images in slides
        if any(image.series == uid for image in _scanned(images) or images)
    ]


def _scanned(images: Iterable[Summary]) -> list[Summary]:
    return [image for image in images if image.is_scanned]


def _by_glass(images: Iterable[Summary]) -> list[list[Summary]]:
    """Group images by frame of reference and container, and keep their order.

    Images without a container, as derived ones may be, join the others of their frame of reference.
    LABEL and OVERVIEW images, whose frame of reference may be their own, join the others of their
    container, or without one of their series.
    """
    placed: dict[Glass, list[tuple[int, Summary]]] = {}
    derived: list[tuple[int, Summary]] = []
    others: list[tuple[int, Summary]] = []
    for item in enumerate(images):
        image = item[1]
        if image.is_scanned:
            placed.setdefault(_glass(image), []).append(item)
        else:
            (derived if image.is_derived else others).append(item)
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
        for _, image in items:
            by_series.setdefault(image.series, glass)
    for item in derived:
        reference, container = own = _glass(item[1])
        other = by_reference.get(reference, own)
        glass = own if own in placed or (container and other[1]) else other
        placed.setdefault(glass, []).append(item)
    for item in others:
        reference, container = own = _glass(item[1])
        series = by_series.get(item[1].series)
        if own in placed:
            glass = own
        elif container and container in by_container:
            glass = by_container[container]
        elif series and not (container and series[1]):
            glass = series
        else:
            glass = own if container else by_reference.get(reference, own)
        placed.setdefault(glass, []).append(item)
    return [[image for _, image in sorted(items, key=_position)] for items in placed.values()]


def _position(item: tuple[int, Summary]) -> int:
    return item[0]


def _glass(image: Summary) -> Glass:
    return image.frame_of_reference, image.container


class _Pyramid:
    """VOLUME images that make the pyramid of one slide."""

    def __init__(self, scans: Iterable[Summary]) -> None:
        self.scans: list[Summary] = []
        self.add(scans)

    def add(self, scans: Iterable[Summary]) -> None:
        """Add images to the pyramid."""
        self.scans += scans
        self.largest = _largest(self.scans)

    @property
    def surroundings(self) -> Bounds:
        """Bounds of the centres of areas that count as the same as that of the largest image."""
        if self.largest.geometry is None:
            return self.largest.bounds
        (x, y), reach = self.largest.center, self.largest.tolerance
        return (x - reach, y - reach), (x + reach, y + reach)

    def completes(self, other: "_Pyramid") -> bool:
        """Whether two pyramids make one slide: they show one area, but other parts of the image."""
        first, second = self.largest, other.largest
        if first.has_extended_depth != second.has_extended_depth:
            return False
        if not first.covers_area_of(second):
            return False
        if first.pyramid and second.pyramid:
            # Pyramids with different UIDs may be channels or focal planes of a slide, never levels
            pairs = list(product(self.scans, other.scans))
            alike = [(a, b) for a, b in pairs if a.is_level_of(b)]
            return all(a.is_beside(b) for a, b in alike or pairs)
        return not any(a.rivals(b) for a, b in product(self.scans, other.scans))


def _largest(scans: Iterable[Summary]) -> Summary:
    return max(scans, key=lambda scan: math.prod(scan.size))


def _by_pyramid(glass: list[Summary]) -> list[list[Summary]]:
    """Divide the images of a glass slide by pyramids."""
    try:
        pyramids = _find_pyramids([image for image in glass if image.is_volume])
        if len(pyramids) < 2:
            return [glass]
        index = _PyramidIndex(pyramids)
        slides: list[list[Summary]] = [[] for _ in pyramids]
        for image in glass:
            for number in index.find(image):
                slides[number].append(image)
    except InvalidImageError:
        # The error is raised when the slide is made, where it can name the image
        return [glass]
    return slides


def _find_pyramids(volumes: Sequence[Summary]) -> list[_Pyramid]:
    if len(volumes) < 2:
        return [_Pyramid([scan]) for scan in volumes]
    stated: dict[tuple[str, bool], list[Summary]] = {}
    for scan in volumes:
        stated.setdefault((scan.pyramid, scan.has_extended_depth), []).append(scan)
    parts = [
        part
        for (uid, _), scans in stated.items()
        for area in ([scans] if uid else _by_area(scans))
        for part in _by_series(area)
    ]
    if len(parts) == 1:
        return [_Pyramid(parts[0])]
    found: list[_Pyramid] = []
    places = Areas()
    for part in map(_Pyramid, parts):
        near = sorted(places.near(part.surroundings))
        target = next((number for number in near if found[number].completes(part)), len(found))
        if target == len(found):
            found.append(part)
        else:
            found[target].add(part.scans)
        places.add(target, found[target].surroundings)
    return found


def _by_area(scans: Sequence[Summary]) -> list[list[Summary]]:
    """Divide images into groups whose areas overlap, directly or through others."""
    places = Areas()
    for number, scan in enumerate(scans):
        places.add(number, scan.bounds)
    areas: list[list[int]] = []
    left = set(range(len(scans)))
    while left:
        area = [left.pop()]
        for number in area:
            near = places.near(scans[number].bounds) & left
            touched = {other for other in near if scans[number].overlaps(scans[other])}
            left -= touched
            area += touched
        areas.append(sorted(area))
    return [[scans[number] for number in area] for area in sorted(areas)]


def _by_series(scans: Sequence[Summary]) -> list[list[Summary]]:
    """Divide images by series where two series show the same level, or are not aligned."""
    series: dict[str, list[Summary]] = {}
    for scan in scans:
        series.setdefault(scan.series, []).append(scan)
    if len(series) == 1:
        return [list(scans)]
    bases = [_largest(members) for members in series.values()]
    are_scans = any(a.series != b.series and a.rivals(b) for a, b in _pairs(scans)) or not all(
        a.covers_area_of(b) for a, b in _pairs(bases)
    )
    return list(series.values()) if are_scans else [list(scans)]


def _pairs(scans: Sequence[Summary]) -> Iterator[tuple[Summary, Summary]]:
    return ((a, b) for index, a in enumerate(scans) for b in scans[:index])


class _PyramidIndex:
    """Index of the pyramids on a glass slide, by all that relates an image to one of them."""

    def __init__(self, pyramids: Sequence[_Pyramid]) -> None:
        self._all = range(len(pyramids))
        self._scans = [(scan, n) for n, pyramid in enumerate(pyramids) for scan in pyramid.scans]
        self._by_uid = {scan.uid: number for scan, number in self._scans}
        self._by_pyramid: dict[str, set[int]] = defaultdict(set)
        self._by_series: dict[str, set[int]] = defaultdict(set)
        self._places = Areas()
        for index, (scan, number) in enumerate(self._scans):
            self._by_pyramid[scan.pyramid].add(number)
            self._by_series[scan.series].add(number)
            self._places.add(index, scan.bounds)

    def find(self, image: Summary) -> Collection[int]:
        """Find the numbers of an image's pyramids: all for a LABEL or OVERVIEW image, else one."""
        if image.is_of_the_glass:
            return self._all
        related = image.references if image.is_derived else {image.uid}
        candidates = {self._by_uid[uid] for uid in related if uid in self._by_uid}
        for criterion in (self._of_pyramid, self._of_series, self._of_area):
            if len(candidates) == 1:
                break
            found = criterion(image)
            candidates = (found & candidates if candidates else found) or candidates
        return (min(candidates, default=0),)

    def _of_pyramid(self, image: Summary) -> set[int]:
        return self._by_pyramid.get(image.pyramid, set()) if image.pyramid else set()

    def _of_series(self, image: Summary) -> set[int]:
        return set() if image.is_derived else self._by_series.get(image.series, set())

    def _of_area(self, image: Summary) -> set[int]:
        if image.geometry is None:
            return set()
        near = (self._scans[index] for index in self._places.near(image.bounds))
        return {number for scan, number in near if scan.overlaps(image)}
