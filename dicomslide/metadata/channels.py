"""What a channel is: an optical path, a segment or a parameter."""

from dataclasses import dataclass
from functools import lru_cache, partial

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from dicomslide.damage import reads_image
from dicomslide.enum import ChannelTypes
from dicomslide.errors import InvalidImageError
from dicomslide.metadata.flavors import (
    LABEL_MAP_SEGMENTATION,
    PARAMETRIC_MAP,
    SEGMENTATION,
    is_label_map,
    is_one_picture,
)
from dicomslide.metadata.functional_groups import frame_groups
from dicomslide.metadata.matching import code_of, iter_stain_items

__all__ = ["Channel", "channel_type", "read_channels", "read_identifiers"]

_SPECIMENS = "SpecimenDescriptionSequence"
_PATH_MARKS = (
    "OpticalPathDescription",
    "IlluminationWaveLength",
    "ImagePathFilterPassThroughWavelength",
)
_TYPES = {
    SEGMENTATION: ChannelTypes.SEGMENT,
    LABEL_MAP_SEGMENTATION: ChannelTypes.SEGMENT,
    PARAMETRIC_MAP: ChannelTypes.PARAMETER,
}


@dataclass(frozen=True)
class Channel:
    """One channel of an image.

    Parameters
    ----------
    type : ChannelTypes
        What the channel is
    identifier : str
        Optical Path Identifier, Segment Number or LUT Label
    label : str
        Optical Path Description, Segment Label or LUT Explanation
    wavelength, emission : float, optional
        Illumination Wave Length, and Image Path Filter Pass-Through Wavelength, in nanometres; None
        where they are not known
    stains : tuple of str
        Meanings of the substances that the specimen was stained with
    category, property_type, algorithm : str
        Meanings of Segmented Property Category and Type, and Segment Algorithm Type
    color : str
        Recommended Display CIELab Value as sRGB, six hexadecimal digits
    segmentation_type : str
        Segmentation Type
    unit : str
        Code Value of the Measurement Units of a parameter
    slope, intercept : float
        Real World Value Slope and Intercept; of a fractional segment what a stored 1 stands for
    """

    type: ChannelTypes
    identifier: str
    label: str = ""
    wavelength: float | None = None
    emission: float | None = None
    stains: tuple[str, ...] = ()
    category: str = ""
    property_type: str = ""
    algorithm: str = ""
    color: str = ""
    segmentation_type: str = ""
    unit: str = ""
    slope: float = 1.0
    intercept: float = 0.0


def channel_type(dataset: Dataset) -> ChannelTypes:
    """Tell what the channels of an image are, from its SOP Class."""
    return _TYPES.get(str(dataset.get("SOPClassUID")), ChannelTypes.OPTICAL_PATH)


@reads_image
def channel_items(dataset: Dataset) -> list[Dataset]:
    """Get the sequence items that describe the channels of an image, in their order."""
    kind = channel_type(dataset)
    if kind is ChannelTypes.OPTICAL_PATH:
        items = list(dataset.get("OpticalPathSequence") or ())
        return items[:1] if is_one_picture(dataset) else items
    if kind is ChannelTypes.SEGMENT:
        items = list(dataset.get("SegmentSequence") or ())
        if is_label_map(dataset):
            # Number 0 of a label map is what belongs to no segment
            items = [item for item in items if item.get("SegmentNumber") != 0]
        return items
    return _parameter_items(dataset)


@reads_image
def read_path_marks(dataset: Dataset) -> tuple[tuple[str, ...], ...]:
    """Read what tells optical paths of one identifier apart; empty where it is not stated.

    Returns
    -------
    tuple of tuple of str
        Description and wavelengths of each channel of the image
    """
    items = channel_items(dataset) or [Dataset()]
    return tuple(tuple(str(item.get(k) or "") for k in _PATH_MARKS) for item in items)


def may_be_one_path(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """Whether two optical paths of one identifier say nothing that contradicts each other."""
    return all(not a or not b or a == b for a, b in zip(first, second, strict=True))


@reads_image
def read_identifiers(dataset: Dataset) -> tuple[str, ...]:
    """Read what the channels of an image are told apart by, and no more of them.

    Raises
    ------
    InvalidImageError
        When a Segmentation has no segments, or one has no number
    """
    kind = channel_type(dataset)
    items = channel_items(dataset)
    if kind is ChannelTypes.SEGMENT:
        if not items:
            raise InvalidImageError("a Segmentation needs a Segment Sequence")
        if not all(isinstance(item.get("SegmentNumber"), int) for item in items):
            raise InvalidImageError("a segment has no Segment Number")
        return tuple(str(item.get("SegmentNumber")) for item in items)
    identifier = parameter_identifier if kind is ChannelTypes.PARAMETER else _path_identifier
    return tuple(identifier(item) for item in items) or ("1",)


@reads_image
def read_channels(dataset: Dataset) -> tuple[Channel, ...]:
    """Read the channels of an image in the order of the items of their DICOM attribute.

    Raises
    ------
    InvalidImageError
        When a Segmentation has no segments, or one has no number
    """
    kind = channel_type(dataset)
    identifiers = read_identifiers(dataset)
    items = channel_items(dataset) or [Dataset()]
    if kind is ChannelTypes.SEGMENT:
        segment = partial(_segment, str(dataset.get("SegmentationType") or ""), _fraction(dataset))
        return tuple(map(segment, identifiers, items))
    if kind is ChannelTypes.PARAMETER:
        return tuple(map(_parameter, identifiers, items))
    return tuple(map(partial(_optical_path, _read_stains(dataset)), identifiers, items))


def _read_stains(dataset: Dataset) -> tuple[str, ...]:
    """Read the meanings of the substances that the specimens were stained with."""
    element = dataset.get_item(_SPECIMENS)
    if isinstance(element, RawDataElement):
        character_set = dataset.get("SpecificCharacterSet")
        names = (character_set,) if isinstance(character_set, str) else tuple(character_set or ())
        return _stains_of(element._replace(value_tell=0), names)
    return _stains(dataset)


@lru_cache(maxsize=8)
def _stains_of(element: RawDataElement, character_set: tuple[str, ...]) -> tuple[str, ...]:
    """Parse specimens once, which all images of a slide repeat."""
    dataset = Dataset()
    if character_set:
        dataset.SpecificCharacterSet = list(character_set)
    dataset[element.tag] = element
    return _stains(dataset)


def _stains(dataset: Dataset) -> tuple[str, ...]:
    specimens = dataset.get(_SPECIMENS) or ()
    stains = (stain for specimen in specimens for stain in iter_stain_items(specimen))
    return tuple(dict.fromkeys(code_of(stain).meaning for stain in stains))


def _optical_path(stains: tuple[str, ...], identifier: str, item: Dataset) -> Channel:
    return Channel(
        ChannelTypes.OPTICAL_PATH,
        identifier=identifier,
        label=str(item.get("OpticalPathDescription") or ""),
        wavelength=_wavelength(item, "IlluminationWaveLength"),
        emission=_wavelength(item, "ImagePathFilterPassThroughWavelength"),
        stains=stains,
    )


def _wavelength(item: Dataset, keyword: str) -> float | None:
    """Read a wavelength; some writers have to give one and write 0."""
    value = float(item.get(keyword) or 0)
    return value if value > 0 else None


def _fraction(dataset: Dataset) -> float:
    """Read what a stored 1 stands for in a fractional Segmentation (PS3.3 C.8.20.2.3)."""
    if dataset.get("SegmentationType") != "FRACTIONAL":
        return 1.0
    return 1.0 / max(int(dataset.get("MaximumFractionalValue") or 255), 1)


def _segment(segmentation_type: str, slope: float, identifier: str, item: Dataset) -> Channel:
    return Channel(
        ChannelTypes.SEGMENT,
        identifier=identifier,
        label=str(item.get("SegmentLabel") or ""),
        category=_meaning(item, "SegmentedPropertyCategoryCodeSequence"),
        property_type=_meaning(item, "SegmentedPropertyTypeCodeSequence"),
        algorithm=str(item.get("SegmentAlgorithmType") or ""),
        color=_color(item),
        segmentation_type=segmentation_type,
        slope=slope,
    )


def _color(item: Dataset) -> str:
    """Read the colour that a segment is shown in (PS3.3 C.8.20.2); empty where there is none."""
    value = item.get("RecommendedDisplayCIELabValue")
    if value is None or len(value) != 3:
        return ""
    from highdicom.color import CIELabColor

    stated = CIELabColor.from_dicom_value(tuple(map(int, value)))
    # CIELab has more colours than a display
    red, green, blue = stated.to_rgb(clip=True)
    return f"{red:02X}{green:02X}{blue:02X}"


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


def _parameter_items(dataset: Dataset) -> list[Dataset]:
    """Real World Value Mapping items, one for each LUT Label.

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
            found.setdefault(parameter_identifier(items[0]), items[0])
    if len(found) > 1 and not all(item.get("LUTLabel") for item in found.values()):
        raise InvalidImageError(
            f"image {dataset.get('SOPInstanceUID')}: a Real World Value Mapping has no LUT Label"
        )
    return list(found.values())


def _path_identifier(item: Dataset) -> str:
    return str(item.get("OpticalPathIdentifier", "1"))


def parameter_identifier(item: Dataset) -> str:
    """Identifier of the parameter that a Real World Value Mapping item describes."""
    return str(item.get("LUTLabel", "1"))


def _meaning(item: Dataset, keyword: str) -> str:
    codes = item.get(keyword) or ()
    return code_of(codes[0]).meaning if codes else ""
