"""Identity of written instances: UIDs, numbers, and who made them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.uid import generate_uid

from dicomslide.errors import ArgumentTypeError
from dicomslide.slide import Slide

__all__ = ["Identity", "WrittenInstance"]

_NAME = "dicomslide"
# Keywords of the classes of highdicom that say what an object is and who made it
_KEYWORDS = frozenset(
    {
        "content_creator_identification",
        "content_creator_name",
        "content_description",
        "content_label",
        "contributing_equipment",
        "device_serial_number",
        "institution_name",
        "institutional_department_name",
        "instance_number",
        "manufacturer",
        "manufacturer_model_name",
        "pyramid_label",
        "pyramid_uid",
        "series_description",
        "series_instance_uid",
        "series_number",
        "software_versions",
        "sop_instance_uid",
        "specific_character_set",
    }
)


@dataclass(frozen=True)
class WrittenInstance:
    """Instance that was written.

    Parameters
    ----------
    path : str
        Path or URL of its file
    sop_class_uid, sop_instance_uid, series_instance_uid : str
        UIDs of the instance
    level : int or None
        Level of the slide on whose pixels it lies; None where there is none
    """

    path: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    level: int | None


@dataclass(frozen=True)
class Identity:
    """Identity of the instances of a series.

    Parameters
    ----------
    keywords : dict
        Keywords of a class of highdicom
    """

    keywords: dict[str, Any]

    @classmethod
    def of(cls, slide: Slide, attributes: Mapping[str, Any], *, many: bool) -> "Identity":
        """Choose the identity of results of a slide, but for what the caller gives.

        Raises
        ------
        ArgumentTypeError
            When there is no such attribute, or one SOP Instance UID for several instances
        """
        if unknown := sorted({*attributes} - _KEYWORDS):
            known = ", ".join(sorted(_KEYWORDS))
            raise ArgumentTypeError(f"there is no argument {unknown[0]!r}; attributes are {known}")
        if many and "sop_instance_uid" in attributes:
            raise ArgumentTypeError("sop_instance_uid: several instances are written")
        from dicomslide import __version__

        arrangement = slide._arrangement
        shown = (image for channel in arrangement.channels for image in channel.images)
        # Channels of slides are in the order of series, so that results come after what is there
        numbers = [
            int(image.metadata.get("SeriesNumber") or 0)
            for image in (*arrangement.template, *shown)
        ]
        chosen = {
            "series_instance_uid": generate_uid(prefix=None),
            "series_number": max(numbers) + 1,
            "instance_number": 1,
            "manufacturer": _NAME,
            "manufacturer_model_name": _NAME,
            "software_versions": __version__,
            "device_serial_number": "0",
        }
        if many:
            chosen["pyramid_uid"] = generate_uid(prefix=None)
        return cls(chosen | dict(attributes))

    def numbered(self, index: int) -> dict[str, Any]:
        """Return the keywords of one of the instances, counted from 0."""
        return {
            "sop_instance_uid": generate_uid(prefix=None),
            **self.keywords,
            "instance_number": int(self.keywords["instance_number"]) + index,
        }
