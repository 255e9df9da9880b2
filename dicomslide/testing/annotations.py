"""Writes Microscopy Bulk Simple Annotations (PS3.3 A.87) of the levels of a slide."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import highdicom as hd
import numpy.typing as npt
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicomslide.testing.derived import PRODUCER, read_sources, use_fixed_dates
from dicomslide.testing.slide import SyntheticSlide

__all__ = ["AnnotationOptions", "write_annotations"]


@dataclass(frozen=True)
class AnnotationOptions:
    """A group of annotations.

    Parameters
    ----------
    graphic_type : str
        Graphic Type: "POINT", "POLYLINE", "POLYGON", "ELLIPSE" or "RECTANGLE"
    graphics : sequence of numpy.ndarray
        Points of each annotation: (column, row) in pixels from the corner of the level, shape
        (k, 2), or (x, y, z) in mm on the slide, shape (k, 3). They are stored with the precision
        that they have: of float32 or float64
    label : str
        Annotation Group Label
    measurements : mapping
        Values of each annotation by the name of the measurement, in micrometres
    """

    graphic_type: str
    graphics: Sequence[npt.NDArray]
    label: str = "cells"
    measurements: Mapping[str, npt.NDArray] = field(default_factory=dict)


def write_annotations(
    path: str | os.PathLike[str],
    slide: SyntheticSlide,
    groups: Sequence[AnnotationOptions],
    level: int = 0,
    transfer_syntax: str = "1.2.840.10008.1.2.1",
) -> Path:
    """Write one instance with groups of annotations.

    The same arguments give the same bytes.

    Parameters
    ----------
    path : str or os.PathLike
        File to write
    slide : SyntheticSlide
        Slide that is annotated
    groups : sequence of AnnotationOptions
        Groups, either all in pixels or all on the slide
    level : int
        Index of the level that they refer to
    transfer_syntax : str
        Transfer Syntax UID, of a syntax without compression, or the deflated one

    Returns
    -------
    pathlib.Path
        The file
    """
    path, name = Path(path), Path(path).name
    uid = slide.options.make_uid
    sources = read_sources(slide.levels[level])
    dimensions = groups[0].graphics[0].shape[1]
    dataset = hd.ann.MicroscopyBulkSimpleAnnotations(
        source_images=sources[:1],
        annotation_coordinate_type=f"{dimensions}D",
        annotation_groups=[
            _group(group, number, uid("group", name, number))
            for number, group in enumerate(groups, 1)
        ],
        series_instance_uid=uid("series", name),
        series_number=20,
        sop_instance_uid=uid("instance", name),
        instance_number=1,
        content_label="ANNOTATIONS",
        **PRODUCER,
    )
    use_fixed_dates(dataset)
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    dataset.save_as(path, enforce_file_format=True)
    return path


def _group(group: AnnotationOptions, number: int, uid: str) -> hd.ann.AnnotationGroup:
    return hd.ann.AnnotationGroup(
        number=number,
        uid=uid,
        label=group.label,
        annotated_property_category=codes.SCT.AnatomicalStructure,
        annotated_property_type=Code("4421005", "SCT", "Cell"),
        graphic_type=group.graphic_type,
        graphic_data=list(group.graphics),
        algorithm_type="AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="synthetic cells", family=codes.DCM.ArtificialIntelligence, version="1"
        ),
        measurements=[
            hd.ann.Measurements(
                name=Code(f"99{index}", "99TEST", name), values=values, unit=codes.UCUM.Micrometer
            )
            for index, (name, values) in enumerate(group.measurements.items())
        ],
    )
