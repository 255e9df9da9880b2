"""Writing of Microscopy Bulk Simple Annotations (PS3.3 A.87)."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicomslide.annotations.incoming import NewGroup, groups_of
from dicomslide.annotations.places import Affine, from_pixels, to_pixels
from dicomslide.annotations.vectors import POINTS_EACH
from dicomslide.arguments import require_type, selection
from dicomslide.errors import ArgumentValueError
from dicomslide.image import TiledImage
from dicomslide.pyramid import LevelGrid
from dicomslide.slide import Slide
from dicomslide.writing.identity import WrittenInstance
from dicomslide.writing.outputs import open_output

if TYPE_CHECKING:
    import highdicom as hd
    from pydicom.sr.coding import Code

__all__ = ["write_annotations"]

_PRIVATE_SCHEME = "99DICOMSLIDE"
_MOST_LABEL, _MOST_CODE = 64, 16
# Units in UCUM by what names of measurements end with, as those of QuPath do
_UNITS = {"µm^2": "um2", "µm": "um", "um^2": "um2", "um": "um", "mm^2": "mm2", "mm": "mm"}
# Attributes that images of slides have, though they may be empty (PS3.3 C.7.1.1, C.7.2.1)
_TYPE_2 = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)


def write_annotations(
    geometries: Any,
    path: str | os.PathLike[str],
    *,
    slide: Slide,
    level: int = 0,
    units: str = "pixels",
    coordinate_type: str = "2D",
    precision: str = "float",
    label: str = "annotations",
    graphic_type: str | None = None,
    measurements: Mapping[str, Any] | None = None,
    codes: Mapping[str, Code] | None = None,
    category: Code | None = None,
    algorithm: tuple[str, str] | hd.AlgorithmIdentificationSequence | None = None,
    series_description: str | None = None,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> WrittenInstance:
    """Write annotations of a slide as a Microscopy Bulk Simple Annotations instance.

    There is a group for each label and graphic type. The file is complete, or not there.

    Parameters
    ----------
    geometries : GeoDataFrame, GeoJSON or tuple of array_like
        What is written: a table, whose column ``classification`` or ``label`` has labels, and whose
        columns of numbers are measurements; a GeoJSON FeatureCollection or its path, as QuPath
        writes it, whose features have classifications and measurements; or points, shape (number of
        points, 2 or 3), and the number of points of each annotation, shape (n,)
    path : path or str
        File whose name ends with ``.dcm``, or folder; local or a URL that fsspec knows
    slide : Slide
        Slide that is annotated
    level : int, optional
        Level whose pixels the coordinates are, and which two-dimensional ones are stored for
    units : {"pixels", "mm"}, optional
        Whether coordinates are (column, row) in pixels from the corner of the top left pixel of
        `level`, whose centre is (0.5, 0.5), or (x, y) or (x, y, z) on the slide in millimetres
    coordinate_type : {"2D", "3D"}, optional
        Whether pixels of `level` are stored, or millimetres on the slide
    precision : {"float", "double"}, optional
        Whether coordinates are stored as 32-bit or 64-bit floats
    label : str, optional
        Label of geometries that have none
    graphic_type : str, optional
        Graphic Type of arrays: POINT, POLYLINE, POLYGON (by default), ELLIPSE or RECTANGLE
    measurements : mapping, optional
        Values of arrays by the names of measurements, each of shape (n,); NaN for none
    codes : mapping, optional
        Codes of property types by label, of measurements by name, and of units by ``"NAME units"``.
        By default types and measurements have codes of a private scheme, and units are those that
        names end with, such as ``"Area µm^2"``
    category : pydicom.sr.coding.Code, optional
        Annotation Property Category; by default "Spatial and Relational Concept"
    algorithm : tuple of str or highdicom.AlgorithmIdentificationSequence, optional
        Name and version of the algorithm that made the annotations; without it people made them
    series_description : str, optional
        Series Description
    overwrite : bool, optional
        Whether an existing file is replaced
    storage_options : mapping, optional
        Options of the file system of a URL

    Returns
    -------
    WrittenInstance
        Path and UIDs of the instance

    Raises
    ------
    TypeError, ValueError
        When an argument is invalid, or a geometry cannot be an annotation
    OSError
        When the file exists, or cannot be written

    Warns
    -----
    UserWarning
        When holes of polygons are left out, or geometries of several parts are divided

    Examples
    --------
    >>> dicomslide.write_annotations("cells.geojson", "cells.dcm", slide=slide)
    """
    require_type("slide", slide, Slide)
    number = selection("level", level, slide.num_levels)
    for name, value, choices in (
        ("units", units, ("pixels", "mm")),
        ("coordinate_type", coordinate_type, ("2D", "3D")),
        ("precision", precision, ("float", "double")),
    ):
        if value not in choices:
            raise ArgumentValueError(f"{name}: expected {' or '.join(choices)}, got {value!r}")
    groups = groups_of(geometries, label, graphic_type, measurements)
    image = slide._arrangement.template[number]
    grid = slide._arrangement.levels[number]
    dtype = np.dtype("<f4" if precision == "float" else "<f8")
    stored = []
    for group in groups:
        points = _transform(group.vectors.points, units, coordinate_type, image, grid)
        stored.append((group, points.astype(dtype)))
    dataset = _dataset(
        _source(image.metadata),
        [
            _group(group, points, index, codes or {}, category, algorithm)
            for index, (group, points) in enumerate(stored, 1)
        ],
        coordinate_type,
    )
    if series_description is not None:
        dataset.SeriesDescription = series_description
    name = f"{dataset.SOPInstanceUID}.dcm"
    with open_output(path, storage_options, overwrite=overwrite, many=False) as output:
        dataset.save_as(output.add(name), enforce_file_format=True)
        (written,) = output.finish()
    return WrittenInstance(
        written,
        str(dataset.SOPClassUID),
        str(dataset.SOPInstanceUID),
        str(dataset.SeriesInstanceUID),
        number if coordinate_type == "2D" else None,
    )


def _transform(
    points: NDArray[np.floating],
    units: str,
    coordinate_type: str,
    image: TiledImage,
    grid: LevelGrid,
) -> NDArray[np.float64]:
    """Convert coordinates to those that are stored: pixels of an image, or millimetres."""
    if units == "pixels":
        points = points[:, :2]
        found = from_pixels(grid.geometry)
    elif points.shape[1] == 3:
        found = Affine.of(np.eye(3), np.zeros(3))
    else:
        found = Affine.of(np.eye(3, 2), np.array([0, 0, grid.geometry.origin[2]]))
    if coordinate_type == "2D":
        found = to_pixels(image.geometry).after(found).without_noise
    return found.apply(points)


def _source(metadata: Dataset) -> Dataset:
    """Copy the metadata of an image, with attributes that it must have and may lack."""
    found = copy(metadata)
    for keyword in _TYPE_2:
        if keyword not in found:
            setattr(found, keyword, "")
    return found


def _dataset(
    source: Dataset, groups: list[hd.ann.AnnotationGroup], coordinate_type: str
) -> hd.ann.MicroscopyBulkSimpleAnnotations:
    import highdicom as hd

    import dicomslide

    return hd.ann.MicroscopyBulkSimpleAnnotations(
        source_images=[source],
        annotation_coordinate_type=coordinate_type,
        annotation_groups=groups,
        series_instance_uid=hd.UID(),
        series_number=int(source.get("SeriesNumber") or 0) + 100,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="dicomslide",
        manufacturer_model_name="dicomslide",
        software_versions=dicomslide.__version__,
        device_serial_number="0",
        content_label="ANNOTATIONS",
        # Labels and names of measurements may have any letters
        specific_character_set="ISO_IR 192",
    )


def _group(
    group: NewGroup,
    points: NDArray[np.floating],
    number: int,
    codes: Mapping[str, Code],
    category: Code | None,
    algorithm: tuple[str, str] | hd.AlgorithmIdentificationSequence | None,
) -> hd.ann.AnnotationGroup:
    """Make the item of a group.

    highdicom makes it with a single annotation, whose coordinates are then replaced by those of
    all: it would need an array for each.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes as known

    count = POINTS_EACH.get(group.graphic_type, 4)
    item = hd.ann.AnnotationGroup(
        number=number,
        uid=hd.UID(),
        label=group.label[:_MOST_LABEL],
        annotated_property_category=category or known.SCT.SpatialAndRelationalConcept,
        annotated_property_type=_code(group.label, codes),
        graphic_type=group.graphic_type,
        graphic_data=[np.eye(count, points.shape[1], dtype=points.dtype)],
        algorithm_type="MANUAL" if algorithm is None else "AUTOMATIC",
        algorithm_identification=_algorithm(algorithm),
        display_color=group.color and hd.color.CIELabColor.from_rgb(*group.color),
    )
    item.NumberOfAnnotations = len(group.vectors.counts)
    if points.shape[1] == 3 and (points[:, 2] == points[0, 2]).all():
        item.CommonZCoordinateValue = float(points[0, 2])
        points = points[:, :2]
    is_double = points.dtype.itemsize == 8
    setattr(item, f"{'Double' if is_double else ''}PointCoordinatesData", points.tobytes())
    if group.graphic_type not in POINTS_EACH:
        starts = group.vectors.starts[:-1] * points.shape[1] + 1
        if starts[-1] >= 1 << 32:
            raise ArgumentValueError(
                f"geometries: {group.label!r} has {len(points)} points, which are too many to "
                "count in 32 bits"
            )
        item.LongPrimitivePointIndexList = starts.astype("<u4").tobytes()
    # What has no value at all cannot be stored
    measured = {name: own for name, own in group.measurements.items() if not np.isnan(own).all()}
    if measured:
        item.MeasurementsSequence = [
            hd.ann.Measurements(
                name=_code(name, codes),
                values=values.astype(np.float32),
                unit=codes.get(f"{name} units") or _unit(name),
            )
            for name, values in measured.items()
        ]
    return item


def _algorithm(
    stated: tuple[str, str] | hd.AlgorithmIdentificationSequence | None,
) -> hd.AlgorithmIdentificationSequence | None:
    if not isinstance(stated, tuple):
        return stated
    import highdicom as hd
    from pydicom.sr.codedict import codes

    name, version = stated
    return hd.AlgorithmIdentificationSequence(
        name=name, family=codes.DCM.ArtificialIntelligence, version=version
    )


def _code(name: str, codes: Mapping[str, Code]) -> Code:
    """Return the code that is given for a name, or make one of a private scheme."""
    from pydicom.sr.coding import Code

    if name in codes:
        return codes[name]
    value = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_") or "OTHER"
    if len(value) > _MOST_CODE:
        # A few digits tell names with the same beginning apart
        digits = hashlib.sha256(name.encode()).hexdigest()[:5].upper()
        value = f"{value[: _MOST_CODE - 6]}_{digits}"
    return Code(value, _PRIVATE_SCHEME, name[:_MOST_LABEL] or "Other")


def _unit(name: str) -> Code:
    from pydicom.sr.coding import Code

    words = name.replace("μ", "µ").split()
    unit = _UNITS.get(words[-1].strip("()[]")) if words else None
    return Code(unit, "UCUM", unit) if unit else Code("1", "UCUM", "no units")
