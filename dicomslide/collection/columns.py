"""Columns of an index that slides are selected by."""

from collections.abc import Iterable
from typing import Any

from dicomslide.enum import ChannelTypes
from dicomslide.metadata.channels import objective_lens_power
from dicomslide.metadata.optional import optional_text
from dicomslide.slide import Slide

__all__ = ["COLUMNS", "columns_of"]

COLUMNS = {
    "container_identifier": "string",
    "patient_id": "string",
    "study_instance_uid": "string",
    "series_instance_uid": "string",
    "frame_of_reference_uid": "string",
    "manufacturer": "string",
    "acquisition_date_time": "string",
    "stains": "strings",
    "channels": "strings",
    "segments": "strings",
    "annotations": "strings",
    "rows": "integer",
    "columns": "integer",
    "pixel_spacing_um": "number",
    "objective_lens_power": "number",
    "levels": "integer",
    "focal_planes": "integer",
    "transfer_syntax_uids": "strings",
    "bytes": "integer",
}
"""Kind of the values of each column.

``pixel_spacing_um`` is the distance in micrometres between the rows of the largest level, and
``bytes`` the size of all files of the slide.
"""


def columns_of(slide: Slide) -> dict[str, Any]:
    """Gather the values of a slide for all columns but ``bytes``; no frame is read."""
    channels = slide.channels
    images = slide._arrangement.images
    base = images[0]
    rows, columns = slide.size
    paths = [channel for channel in channels if channel.type is ChannelTypes.OPTICAL_PATH]
    return {
        "container_identifier": slide.container_identifier,
        "patient_id": optional_text(base.metadata, "PatientID"),
        "study_instance_uid": optional_text(base.metadata, "StudyInstanceUID"),
        "series_instance_uid": optional_text(base.metadata, "SeriesInstanceUID"),
        "frame_of_reference_uid": slide.frame_of_reference_uid,
        "manufacturer": optional_text(base.metadata, "Manufacturer"),
        "acquisition_date_time": optional_text(base.metadata, "AcquisitionDateTime"),
        "stains": _each_once(
            code.meaning for channel in paths for code in (*channel.stains, *channel.markers)
        ),
        "channels": _each_once(channel.label or channel.identifier for channel in paths),
        "segments": [
            channel.label or channel.identifier
            for channel in channels
            if channel.type is ChannelTypes.SEGMENT
        ],
        "annotations": [group.label for group in slide.annotations],
        "rows": rows,
        "columns": columns,
        "pixel_spacing_um": round(slide.pixel_spacings[0][1] * 1000, 9),
        "objective_lens_power": objective_lens_power(base.metadata),
        "levels": slide.num_levels,
        "focal_planes": slide.num_focal_planes,
        "transfer_syntax_uids": _each_once(image.transfer_syntax_uid for image in images),
    }


def _each_once(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, values)))
