"""Parameters: the channels of Parametric Maps (PS3.3 C.8.32, Real World Value Mapping)."""

from collections.abc import Sequence
from operator import attrgetter

from pydicom.dataset import Dataset

from dicomslide.enum import ChannelTypes
from dicomslide.errors import InvalidImageError
from dicomslide.metadata.channel_kind import Channel, ChannelKind, Coordinate
from dicomslide.metadata.codes import code_of
from dicomslide.metadata.functional_groups import frame_groups

__all__ = ["PARAMETERS"]

_PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"


def _items(dataset: Dataset) -> list[Dataset]:
    """Read the Real World Value Mapping items of an image, one for each LUT Label.

    Several items of one sequence are alternatives for the same pixels: the first one counts. The
    macro is either shared or per frame, never both (PS3.3 C.7.6.16.2.11).
    """
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    mappings = [group.get("RealWorldValueMappingSequence") for group in shared]
    if not any(mappings):
        groups = frame_groups(dataset)
        mappings = [group.get("RealWorldValueMappingSequence") for group in groups]
    found: dict[str, Dataset] = {}
    for items in mappings:
        if items:
            found.setdefault(_identifier(items[0]), items[0])
    if len(found) > 1 and not all(item.get("LUTLabel") for item in found.values()):
        raise InvalidImageError(
            f"image {dataset.get('SOPInstanceUID')}: a Real World Value Mapping has no LUT Label"
        )
    return list(found.values())


def _identifiers(dataset: Dataset, items: Sequence[Dataset]) -> tuple[str, ...]:
    return tuple(map(_identifier, items)) or ("1",)


def _identifier(item: Dataset) -> str:
    return str(item.get("LUTLabel", "1"))


def _channels(
    dataset: Dataset, items: Sequence[Dataset], identifiers: Sequence[str]
) -> tuple[Channel, ...]:
    return tuple(map(_parameter, identifiers, items or [Dataset()]))


def _parameter(identifier: str, item: Dataset) -> Channel:
    units = item.get("MeasurementUnitsCodeSequence") or ()
    return Channel(
        ChannelTypes.PARAMETER,
        identifier=identifier,
        label=str(item.get("LUTExplanation") or ""),
        unit=code_of(units[0]).value if units else "",
        slope=float(item.get("RealWorldValueSlope", 1.0)),
        intercept=float(item.get("RealWorldValueIntercept", 0.0)),
    )


PARAMETERS = ChannelKind(
    type=ChannelTypes.PARAMETER,
    sop_classes=frozenset({_PARAMETRIC_MAP}),
    items=_items,
    identifiers=_identifiers,
    channels=_channels,
    attribute="LUTLabel",
    reference=("RealWorldValueMappingSequence", "LUTLabel"),
    variable="parametric_map",
    dimension="parameter",
    coordinates=(
        Coordinate("parameter", "LUT Label", attrgetter("identifier")),
        Coordinate("explanation", "LUT Explanation", attrgetter("label")),
        Coordinate("units", "Code Value of the Measurement Units", attrgetter("unit")),
    ),
    series="parameter_series",
    identity=("parameter", "parameter_series"),
    heading="Parameters",
    has_real_values=True,
)
