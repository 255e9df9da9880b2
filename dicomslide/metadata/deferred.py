"""Values of data elements that are fetched when someone needs them."""

from collections.abc import Hashable
from typing import Any, Protocol, runtime_checkable

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.tag import BaseTag

__all__ = ["ANNOTATION_GROUPS", "DeferredValue", "deferred_element", "is_bulk", "may_hold_bulk"]


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return tag


ANNOTATION_GROUPS = _tag("AnnotationGroupSequence")
# Elements with a value for each annotation or each of its points (PS3.3 C.37.1.2)
_BULK = frozenset(
    map(
        _tag,
        (
            "PointCoordinatesData",
            "DoublePointCoordinatesData",
            "LongPrimitivePointIndexList",
            "AnnotationIndexList",
            "FloatingPointValues",
        ),
    )
)
# Sequences in whose items these elements are
_HOLDERS = frozenset(
    map(_tag, ("AnnotationGroupSequence", "MeasurementsSequence", "MeasurementValuesSequence"))
)


@runtime_checkable
class DeferredValue(Protocol):
    """Value of a data element that is not in memory. It can be pickled and hashed."""

    @property
    def length(self) -> int | None:
        """Number of bytes; None where it is not known before the value is fetched."""

    @property
    def big_endian(self) -> bool:
        """Whether numbers are in big endian order."""

    @property
    def token(self) -> Hashable:
        """Key that is equal in all processes for the same bytes and the same user."""

    def fetch(self) -> bytes | memoryview:
        """Fetch the value, as bytes or memory that cannot be written to.

        Raises
        ------
        SourceError
            When the file or the server does not deliver
        """

    def close(self) -> None:
        """Release what is held for the value; fetching it later acquires it again."""


def is_bulk(tag: int) -> bool:
    """Whether an element has values for all annotations of a group."""
    return tag in _BULK


def may_hold_bulk(tag: int) -> bool:
    """Whether an element is a sequence with items that may have such elements."""
    return tag in _HOLDERS


def deferred_element(tag: int, value: Any) -> DataElement:
    """Make an element whose value pydicom leaves as it is."""
    return DataElement(BaseTag(tag), dictionary_VR(tag), value, already_converted=True)
