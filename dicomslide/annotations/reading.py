"""Reading of the groups of annotations of a slide from the metadata of their instances."""

import warnings
from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset

from dicomslide.annotations.bulk import read_bulk_annotations
from dicomslide.annotations.group import AnnotationGroup
from dicomslide.annotations.places import Places
from dicomslide.annotations.reports import read_report
from dicomslide.errors import InvalidImageError
from dicomslide.metadata.flavors import BULK_ANNOTATIONS
from dicomslide.metadata.optional import optional_number
from dicomslide.metadata.references import read_uid

__all__ = ["read_annotations"]


def read_annotations(datasets: Iterable[Dataset], places: Places) -> Iterator[AnnotationGroup]:
    """Read the groups of annotations of a slide, without their coordinates.

    Parameters
    ----------
    datasets : iterable of pydicom.dataset.Dataset
        Microscopy Bulk Simple Annotations and Structured Reports
    places : Places
        Coordinate systems of the slide

    Yields
    ------
    AnnotationGroup
        Groups, in the order of Series and Instance Number

    Warns
    -----
    UserWarning
        When a group cannot be used, which is left out
    """
    # Of several data sets of one instance the first one counts
    instances = {read_uid(dataset): dataset for dataset in reversed(list(datasets))}
    for dataset in sorted(instances.values(), key=_order):
        is_bulk = dataset.get("SOPClassUID") == BULK_ANNOTATIONS
        groups = (read_bulk_annotations if is_bulk else read_report)(dataset, places)
        for group in groups:
            if isinstance(group, InvalidImageError):
                warnings.warn(f"{group}; it is left out", stacklevel=3)
            else:
                yield group


def _order(dataset: Dataset) -> tuple[float, float, str]:
    series, instance = (
        optional_number(dataset, keyword) or 0.0 for keyword in ("SeriesNumber", "InstanceNumber")
    )
    return series, instance, read_uid(dataset)
