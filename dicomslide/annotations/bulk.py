"""Reader of Microscopy Bulk Simple Annotations (PS3.3 A.87, C.37.1.2)."""

from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset

from dicomslide.annotations.group import AnnotationGroup
from dicomslide.annotations.measurements import Measurement, StoredValues
from dicomslide.annotations.numbers import StoredNumbers, stored_numbers
from dicomslide.annotations.places import Place, Places
from dicomslide.annotations.vectors import POINTS_EACH, StoredVectors
from dicomslide.errors import InvalidImageError
from dicomslide.errors.damage import reading
from dicomslide.metadata.codes import code_in
from dicomslide.metadata.colors import read_display_color
from dicomslide.metadata.references import read_uid

__all__ = ["read_bulk_annotations"]

# More would take over 1 GiB for each measurement, even of a file that states none of the values
_MOST_ANNOTATIONS = 1 << 28
_GRAPHIC_TYPES = (*POINTS_EACH, "POLYLINE", "POLYGON")


def read_bulk_annotations(
    dataset: Dataset, places: Places
) -> Iterator[AnnotationGroup | InvalidImageError]:
    """Read the groups of an instance, without coordinates and measurements.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        Microscopy Bulk Simple Annotations instance; its long values may be deferred
    places : Places
        Coordinate systems of the slide

    Yields
    ------
    AnnotationGroup or InvalidImageError
        Each group, or what is wrong with it
    """
    uid = read_uid(dataset)
    for index, item in enumerate(dataset.get("AnnotationGroupSequence") or (), 1):
        name = f"annotations {uid}, group {index}"
        try:
            with reading(name):
                yield _read_group(dataset, item, name, places)
        except InvalidImageError as error:
            yield error


def _read_group(dataset: Dataset, item: Dataset, name: str, places: Places) -> AnnotationGroup:
    graphic_type = str(item.get("GraphicType"))
    if graphic_type not in _GRAPHIC_TYPES:
        raise InvalidImageError(
            f"Graphic Type is {graphic_type}, expected {', '.join(_GRAPHIC_TYPES)}"
        )
    coordinate_type = str(dataset.get("AnnotationCoordinateType"))
    if coordinate_type not in ("2D", "3D"):
        raise InvalidImageError(
            f"Annotation Coordinate Type is {coordinate_type}, expected 2D or 3D"
        )
    height = item.get("CommonZCoordinateValue")
    if coordinate_type == "3D":
        place = places.on_slide(None if height is None else float(height))
    else:
        height, place = None, _place_on_image(dataset, places)
    dimensions = 3 if coordinate_type == "3D" and height is None else 2
    size = int(item.get("NumberOfAnnotations"))
    if not 0 <= size <= _MOST_ANNOTATIONS:
        raise InvalidImageError(
            f"Number of Annotations is {size}, expected at most {_MOST_ANNOTATIONS}"
        )
    vectors = StoredVectors(
        name, graphic_type, size, _coordinates(item, name), dimensions, _indices(item, name)
    )
    vectors.check()
    paths = item.get("ReferencedOpticalPathIdentifier") or ()
    return AnnotationGroup(
        number=int(item.get("AnnotationGroupNumber") or 0),
        uid=str(item.get("AnnotationGroupUID") or ""),
        label=str(item.get("AnnotationGroupLabel") or ""),
        description=str(item.get("AnnotationGroupDescription") or ""),
        graphic_type=graphic_type,
        coordinate_type=coordinate_type,
        category=code_in(item, "AnnotationPropertyCategoryCodeSequence"),
        property_type=code_in(item, "AnnotationPropertyTypeCodeSequence"),
        generation_type=str(item.get("AnnotationGroupGenerationType") or ""),
        algorithms=tuple(
            map(_algorithm, item.get("AnnotationGroupAlgorithmIdentificationSequence") or ())
        ),
        color=read_display_color(item),
        optical_paths=(paths,) if isinstance(paths, str) else tuple(map(str, paths)),
        measurements=tuple(_measurements(item, name, size)),
        identifiers=(),
        sop_instance_uid=read_uid(dataset),
        series_instance_uid=str(dataset.get("SeriesInstanceUID") or ""),
        _source=vectors,
        _place=place,
    )


def _place_on_image(dataset: Dataset, places: Places) -> Place:
    """Find the image, or the frame, whose pixels two-dimensional coordinates are."""
    references = dataset.get("ReferencedImageSequence") or ()
    if not references:
        raise InvalidImageError("2D coordinates without Referenced Image Sequence")
    uids = [str(item.get("ReferencedSOPInstanceUID")) for item in references]
    index = next((index for index, uid in enumerate(uids) if places.has_image(uid)), 0)
    frame = None
    if dataset.get("PixelOriginInterpretation") == "FRAME":
        frame = _only_frame(references[index].get("ReferencedFrameNumber"))
    return places.on_image(uids[index], frame)


def _only_frame(value: Any) -> int:
    numbers = [value] if isinstance(value, (int, str)) else list(value or ())
    if len(numbers) != 1:
        raise InvalidImageError(
            f"Pixel Origin Interpretation is FRAME, but Referenced Frame Number is {value}; "
            "expected one frame"
        )
    return int(numbers[0])


def _coordinates(item: Dataset, name: str) -> StoredNumbers:
    found = [
        stored_numbers(item, keyword, f"{name}: {keyword}", kind)
        for keyword, kind in (("PointCoordinatesData", "f4"), ("DoublePointCoordinatesData", "f8"))
    ]
    stated = [numbers for numbers in found if numbers is not None]
    if len(stated) > 1:
        raise InvalidImageError("Point Coordinates Data and Double Point Coordinates Data")
    # A group without annotations has no coordinates
    return stated[0] if stated else StoredNumbers(b"", "<f4", f"{name}: PointCoordinatesData")


def _indices(item: Dataset, name: str) -> StoredNumbers | None:
    if str(item.get("GraphicType")) in POINTS_EACH:
        return None
    keyword = "LongPrimitivePointIndexList"
    found = stored_numbers(item, keyword, f"{name}: {keyword}", "u4")
    return found or StoredNumbers(b"", "<u4", f"{name}: {keyword}")


def _algorithm(item: Dataset) -> str:
    parts = item.get("AlgorithmName"), item.get("AlgorithmVersion")
    return " ".join(str(part) for part in parts if part)


def _measurements(item: Dataset, name: str, size: int) -> Iterator[Measurement]:
    for measured in item.get("MeasurementsSequence") or ():
        concept = code_in(measured, "ConceptNameCodeSequence")
        own = f"{name}, {concept.meaning}"
        values = (measured.get("MeasurementValuesSequence") or [Dataset()])[0]
        numbers = stored_numbers(values, "FloatingPointValues", f"{own}: FloatingPointValues", "f4")
        indices = stored_numbers(values, "AnnotationIndexList", f"{own}: AnnotationIndexList", "u4")
        yield Measurement(
            concept,
            code_in(measured, "MeasurementUnitsCodeSequence"),
            StoredValues(own, size, numbers or StoredNumbers(b"", "<f4", own), indices),
        )
