"""Identity of written instances: UIDs, numbers, and who made them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.config import IGNORE
from pydicom.uid import UID, generate_uid

from dicomslide.arguments import integer, require_type
from dicomslide.errors import ArgumentTypeError, ArgumentValueError
from dicomslide.slide import Slide

__all__ = ["Identity", "WrittenInstance", "check_text"]

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


# Those of them that are numbers, UIDs, or no texts of the value representation Long String
_NUMBERS = frozenset({"instance_number", "series_number"})
_UIDS = frozenset({"pyramid_uid", "series_instance_uid", "sop_instance_uid"})
_OTHERS = frozenset(
    {
        "content_creator_identification",
        "content_creator_name",
        "contributing_equipment",
        "software_versions",
        "specific_character_set",
    }
)
_LONGEST_TEXT, _LARGEST_NUMBER = 64, 2**31 - 1


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
        for name, value in attributes.items():
            _check(name, value)
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
            "specific_character_set": "ISO_IR 192",
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


def _check(name: str, value: Any) -> None:
    """Check the value of an attribute (PS3.5 6.2)."""
    if name in _NUMBERS:
        if not 0 <= integer(name, value) <= _LARGEST_NUMBER:
            raise ArgumentValueError(f"{name}: {value}, expected from 0 to {_LARGEST_NUMBER}")
        return
    if name in _OTHERS:
        return
    if name not in _UIDS:
        check_text(name, value, _LONGEST_TEXT)
        return
    require_type(name, value, str)
    if not UID(value, IGNORE).is_valid:
        raise ArgumentValueError(f"{name}: {value!r} is not a UID")


def check_text(name: str, value: Any, most: int) -> None:
    """Check that an argument is one text of a number of characters at most (PS3.5 6.1.2.3).

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        When it is none
    """
    require_type(name, value, str)
    if len(value) > most:
        raise ArgumentValueError(
            f"{name}: {value!r} has {len(value)} characters, which is over {most}"
        )
    if "\\" in value or not value.isprintable():
        raise ArgumentValueError(f"{name}: {value!r} has a backslash or a control character")
