"""Annotations of a slide: a list of groups, and files for other programs."""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dicomslide.annotations.geojson import to_features
from dicomslide.annotations.group import AnnotationGroup
from dicomslide.annotations.tables import measured_names
from dicomslide.errors import ArgumentValueError, DicomSlideError, StoreError
from dicomslide.writing.outputs import whole_file

__all__ = ["write_csv", "write_geojson", "write_parquet"]

_COLUMNS = ("group", "label", "type", "number", "graphic", "x_mm", "y_mm", "width_mm", "height_mm")


def write_csv(groups: Sequence[AnnotationGroup], path: Path) -> None:
    """Write a line for each annotation: its bounding box, and what was measured.

    Raises
    ------
    StoreError
        When the file cannot be written
    """
    names = dict.fromkeys(name for group in groups for name in measured_names(group))
    with _whole(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*_COLUMNS, *names))
        for index, group in enumerate(groups):
            writer.writerows(_rows(index, group, list(names)))


def _rows(index: int, group: AnnotationGroup, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    values = dict(zip(measured_names(group), (m.values for m in group.measurements), strict=True))
    about = index, group.label, group.property_type.meaning
    for number, box in enumerate(group.bounding_boxes.round(7).tolist()):
        left, bottom, right, top = box
        size = round(right - left, 7), round(top - bottom, 7)
        measured = [float(values[name][number]) if name in values else "" for name in names]
        yield (*about, number + 1, group.graphic_type, left, bottom, *size, *measured)


def write_geojson(groups: Sequence[AnnotationGroup], path: Path) -> None:
    """Write a FeatureCollection in pixels of the base level, one feature after the other.

    Raises
    ------
    StoreError
        When the file cannot be written
    """
    with _whole(path) as part, part.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for number, feature in enumerate(to_features(groups)):
            file.write(",\n" if number else "\n")
            json.dump(feature, file, ensure_ascii=False)
        file.write("\n]}\n")


def write_parquet(groups: Sequence[AnnotationGroup], path: Path) -> None:
    """Write a GeoParquet table in millimetres on the slide.

    Raises
    ------
    ArgumentValueError
        When geopandas or pyarrow is not installed
    StoreError
        When the file cannot be written
    """
    tables = []
    for group in groups:
        table = group.to_geodataframe()
        table.insert(0, "label", group.label)
        table.attrs = {}
        tables.append(table)
    import pandas as pd

    with _whole(path) as part:
        try:
            pd.concat(tables, ignore_index=True).to_parquet(part)
        except ImportError as error:
            raise ArgumentValueError("--parquet: needs the package pyarrow") from error


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Name another file to write, which gets its name when it is whole."""
    try:
        with whole_file(path) as part:
            yield part
    except DicomSlideError:
        raise
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
