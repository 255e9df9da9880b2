"""Reader of the regions in Structured Reports (PS3.16 TID 1500, TID 1410, TID 1411).

A report has an item for each region. Regions with the same finding, graphic type and coordinate
system make one group, as those of bulk annotations are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicomslide.annotations.group import AnnotationGroup
from dicomslide.annotations.measurements import HeldValues, Measurement
from dicomslide.annotations.places import Place, Places
from dicomslide.annotations.vectors import HeldVectors, Vectors
from dicomslide.errors import InvalidImageError
from dicomslide.errors.damage import reading
from dicomslide.metadata.codes import CodeItem, code_in
from dicomslide.metadata.references import COORDINATES, content_items, read_uid

__all__ = ["read_report"]

# Concepts by Code Value, which are of DCM or SCT (PS3.16 TID 1410, TID 1411, TID 1501)
_MEASUREMENT_GROUP = "125007"
_FINDING, _CATEGORY = "121071", "276214006"
_TRACKING_IDENTIFIER = "112039"
_NONE = CodeItem("", "", "")


@dataclass
class _Region:
    """Region of a measurement group, with what the group states.

    Parameters
    ----------
    graphic_type : str
        Graphic type of bulk annotations
    points : numpy.ndarray
        Coordinates, shape (k, 2 or 3)
    place : Place
        Coordinate system
    """

    graphic_type: str
    points: NDArray[np.float64]
    place: Place
    category: CodeItem = _NONE
    finding: CodeItem = _NONE
    identifier: str = ""
    measurements: dict[tuple[CodeItem, CodeItem], float] = field(default_factory=dict)

    @property
    def kind(self) -> Any:
        """Key that is equal for the regions of one group."""
        return self.graphic_type, self.place, self.category, self.finding


def read_report(dataset: Dataset, places: Places) -> Iterator[AnnotationGroup | InvalidImageError]:
    """Read the regions of a Structured Report that lie on the slide.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        Enhanced, Comprehensive or Comprehensive 3D SR
    places : Places
        Coordinate systems of the slide

    Yields
    ------
    AnnotationGroup or InvalidImageError
        Each group of regions, or what is wrong with a region. Regions on other images than those of
        the slide, or in another frame of reference, are passed over: a report may be of several
        slides
    """
    uid = read_uid(dataset)
    kinds: dict[Any, list[_Region]] = {}
    for index, item in enumerate(_measurement_groups(dataset), 1):
        name = f"report {uid}, measurement group {index}"
        try:
            with reading(name):
                for region in _regions(item, places):
                    kinds.setdefault(region.kind, []).append(region)
        except InvalidImageError as error:
            yield error
    for number, regions in enumerate(kinds.values(), 1):
        yield _group(dataset, uid, number, regions)


def _measurement_groups(dataset: Dataset) -> Iterator[Dataset]:
    for item in content_items(dataset):
        if item.get("ValueType") == "CONTAINER" and _concept(item).value == _MEASUREMENT_GROUP:
            yield item


def _concept(item: Dataset) -> CodeItem:
    return code_in(item, "ConceptNameCodeSequence")


def _regions(group: Dataset, places: Places) -> Iterator[_Region]:
    stated: dict[str, Any] = {"measurements": {}}
    found = []
    for item in group.get("ContentSequence") or ():
        kind, concept = item.get("ValueType"), _concept(item)
        if kind in COORDINATES:
            region = _region(item, places)
            found += [] if region is None else [region]
        elif kind == "CODE" and concept.value == _FINDING:
            stated["finding"] = code_in(item, "ConceptCodeSequence")
        elif kind == "CODE" and concept.value == _CATEGORY:
            stated["category"] = code_in(item, "ConceptCodeSequence")
        elif kind == "TEXT" and concept.value == _TRACKING_IDENTIFIER:
            stated["identifier"] = str(item.get("TextValue") or "")
        elif kind == "NUM":
            for value in item.get("MeasuredValueSequence") or ():
                unit = code_in(value, "MeasurementUnitsCodeSequence")
                number = value.get("FloatingPointValue") or value.get("NumericValue")
                stated["measurements"][concept, unit] = float(number)
    for region in found:
        vars(region).update(stated)
        yield region


def _region(item: Dataset, places: Places) -> _Region | None:
    """Read a content item with coordinates; None for one that does not lie on the slide."""
    is_3d = item.get("ValueType") == "SCOORD3D"
    place = (_place_on_slide if is_3d else _place_on_image)(item, places)
    if place is None:
        return None
    dimensions = 3 if is_3d else 2
    values = np.array(item.get("GraphicData") or (), float)
    graphic_type = str(item.get("GraphicType"))
    if not len(values) or len(values) % dimensions or not np.isfinite(values).all():
        raise InvalidImageError(
            f"Graphic Data of a {graphic_type} has {len(values)} values, expected finite "
            f"coordinates of points, {dimensions} each"
        )
    return _Region(*_as_bulk(graphic_type, values.reshape(-1, dimensions)), place)


def _place_on_slide(item: Dataset, places: Places) -> Place | None:
    uid = str(item.get("ReferencedFrameOfReferenceUID") or "")
    return places.on_slide() if uid == places.frame_of_reference_uid else None


def _place_on_image(item: Dataset, places: Places) -> Place | None:
    """Find the image that coordinates were selected from (PS3.3 C.18.6)."""
    for image in item.get("ContentSequence") or ():
        for reference in image.get("ReferencedSOPSequence") or ():
            uid = str(reference.get("ReferencedSOPInstanceUID") or "")
            if not places.has_image(uid):
                continue
            frame = reference.get("ReferencedFrameNumber")
            # Coordinates with a frame are those of its pixels, unless they state otherwise
            is_of_volume = item.get("PixelOriginInterpretation") == "VOLUME" or frame is None
            return places.on_image(uid, None if is_of_volume else int(frame))
    return None


def _as_bulk(graphic_type: str, points: NDArray[np.float64]) -> tuple[str, NDArray[np.float64]]:
    """Convert a graphic of a report (PS3.3 C.18.6.1.2, C.18.9.1.2) to that of bulk annotations."""
    count = len(points)
    if graphic_type == "POINT" and count == 1:
        return "POINT", points
    if graphic_type == "MULTIPOINT":
        return "POINT", points
    if graphic_type in ("POLYLINE", "POLYGON") and count > 1:
        is_closed = count > 3 and bool((points[0] == points[-1]).all())
        # Polygons of a report end with their first point, those of bulk annotations do not
        return ("POLYGON", points[:-1]) if is_closed else (graphic_type, points)
    if graphic_type == "CIRCLE" and count == 2:
        centre, (x, y) = points[0], points[1] - points[0]
        return "ELLIPSE", centre + np.array([(-x, -y), (x, y), (y, -x), (-y, x)])
    if graphic_type == "ELLIPSE" and count == 4:
        return "ELLIPSE", points
    raise InvalidImageError(f"Graphic Type is {graphic_type} with {count} points")


def _group(dataset: Dataset, uid: str, number: int, regions: Sequence[_Region]) -> AnnotationGroup:
    first = regions[0]
    points = [region.points for region in regions]
    vectors = Vectors.of_counts(np.concatenate(points), list(map(len, points)))
    names = dict.fromkeys(key for region in regions for key in region.measurements)
    return AnnotationGroup(
        number=number,
        uid="",
        label=first.finding.meaning or first.category.meaning,
        description="",
        graphic_type=first.graphic_type,
        coordinate_type="3D" if first.place.geometry is None else "2D",
        category=first.category,
        property_type=first.finding,
        generation_type="",
        algorithms=(),
        color="",
        optical_paths=(),
        measurements=tuple(
            Measurement(*key, HeldValues(_values(key, regions), (uid, number, *key)))
            for key in names
        ),
        identifiers=tuple(region.identifier for region in regions),
        sop_instance_uid=uid,
        series_instance_uid=str(dataset.get("SeriesInstanceUID") or ""),
        _source=HeldVectors(vectors, (uid, number)),
        _place=first.place,
    )


def _values(key: tuple[CodeItem, CodeItem], regions: Sequence[_Region]) -> NDArray[np.float64]:
    return np.array([region.measurements.get(key, np.nan) for region in regions])
