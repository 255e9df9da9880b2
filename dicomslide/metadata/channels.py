"""Readers of the channels of an image: optical paths, segments or parameters."""

import re
from dataclasses import dataclass, field
from functools import partial

from pydicom.dataset import Dataset

from dicomslide.enum import ChannelTypes
from dicomslide.errors import InvalidImageError
from dicomslide.errors.damage import reads_image
from dicomslide.metadata.codes import CodeItem, code_of
from dicomslide.metadata.colors import hexadecimal
from dicomslide.metadata.flavors import (
    LABEL_MAP_SEGMENTATION,
    PARAMETRIC_MAP,
    SEGMENTATION,
    is_label_map,
    is_one_picture,
)
from dicomslide.metadata.functional_groups import frame_groups
from dicomslide.metadata.presentation import Window, palette_color, read_window
from dicomslide.metadata.stains import Staining, read_stainings, stainings_of_path

__all__ = ["Channel", "channel_type", "read_channels", "read_identifiers"]

_PATH_MARKS = (
    "OpticalPathDescription",
    "IlluminationWaveLength",
    "ImagePathFilterPassThroughWavelength",
)
# Code Meanings that name a colour of light instead of a substance
_LIGHT = re.compile(
    r"(?:(?:full|narrow|broad|wide|visible|near|far|white|red|orange|yellow|green|cyan|blue|violet|"
    r"magenta|gr[ae]y|infra-?red|ultra-?violet|free)[\s-]*)+"
    r"(?:band|spectrum|light|colou?r|channel|filter)?",
    re.IGNORECASE,
)
_TYPES = {
    SEGMENTATION: ChannelTypes.SEGMENT,
    LABEL_MAP_SEGMENTATION: ChannelTypes.SEGMENT,
    PARAMETRIC_MAP: ChannelTypes.PARAMETER,
}


@dataclass(frozen=True)
class Channel:
    """Description of a channel of an image.

    Parameters
    ----------
    type : ChannelTypes
        Kind of the channel
    identifier : str
        Optical Path Identifier, Segment Number or LUT Label
    label : str
        Optical Path Description, Segment Label or LUT Explanation
    wavelength, emission : float, optional
        Wavelengths of the illumination and of the image path in nanometres: Illumination Wave
        Length and the Pass-Through Wavelengths of filters, or the middles of their Pass Bands; None
        where they are not known
    markers : tuple of CodeItem
        Targets that the channel shows, such as antigens: Component Investigated of its stainings,
        or else its Channel Description Code, or the only substance that it was stained with
    stains : tuple of CodeItem
        Substances that the specimen was stained with for this channel
    has_own_stains : bool
        Whether the image states that markers and stains are those of this channel; otherwise they
        are all markers and stains of the specimen
    listed : frozenset of CodeItem
        All markers and stains that the image lists, for any channel
    fluorophores : tuple of str
        Names of the substances that emit the light of the channel
    categories, property_types : tuple of CodeItem
        Segmented Property Category and Type
    algorithm : str
        Segment Algorithm Type
    color : str
        Six hexadecimal digits of sRGB: Recommended Display CIELab Value of a segment, brightest
        colour of the Palette Color Lookup Table of an optical path; empty where none is stated
    window : tuple of float, optional
        Stored values that are displayed as black and as white
    segmentation_type : str
        Segmentation Type
    unit : str
        Code Value of the Measurement Units of a parameter
    slope, intercept : float
        Real World Value Slope and Intercept; the slope of a fractional segment is the fraction that
        a stored 1 stands for
    """

    type: ChannelTypes
    identifier: str
    label: str = ""
    wavelength: float | None = None
    emission: float | None = None
    markers: tuple[CodeItem, ...] = ()
    stains: tuple[CodeItem, ...] = ()
    has_own_stains: bool = False
    listed: frozenset[CodeItem] = field(default=frozenset(), repr=False)
    fluorophores: tuple[str, ...] = ()
    categories: tuple[CodeItem, ...] = ()
    property_types: tuple[CodeItem, ...] = ()
    algorithm: str = ""
    color: str = ""
    window: Window | None = None
    segmentation_type: str = ""
    unit: str = ""
    slope: float = 1.0
    intercept: float = 0.0


def channel_type(dataset: Dataset) -> ChannelTypes:
    """Determine the kind of the channels of an image by its SOP Class."""
    return _TYPES.get(str(dataset.get("SOPClassUID")), ChannelTypes.OPTICAL_PATH)


@reads_image
def channel_items(dataset: Dataset) -> list[Dataset]:
    """Read the sequence items that describe the channels of an image, in their order."""
    kind = channel_type(dataset)
    if kind is ChannelTypes.OPTICAL_PATH:
        items = list(dataset.get("OpticalPathSequence") or ())
        return items[:1] if is_one_picture(dataset) else items
    if kind is ChannelTypes.SEGMENT:
        items = list(dataset.get("SegmentSequence") or ())
        if is_label_map(dataset):
            # Segment Number 0 of a label map stands for pixels that belong to no segment
            items = [item for item in items if item.get("SegmentNumber") != 0]
        return items
    return _parameter_items(dataset)


@reads_image
def read_path_marks(dataset: Dataset) -> tuple[tuple[str, ...], ...]:
    """Read attributes that tell optical paths with equal identifiers apart; empty if not stated.

    Returns
    -------
    tuple of tuple of str
        Description and wavelengths of each channel of the image
    """
    items = channel_items(dataset) or [Dataset()]
    return tuple(tuple(str(item.get(k) or "") for k in _PATH_MARKS) for item in items)


def may_be_one_path(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """Whether the marks of two optical paths with equal identifiers allow them to be one path."""
    return all(not a or not b or a == b for a, b in zip(first, second, strict=True))


@reads_image
def read_identifiers(dataset: Dataset) -> tuple[str, ...]:
    """Read the identifiers of the channels of an image, and nothing else of them.

    Raises
    ------
    InvalidImageError
        When a Segmentation has no segments, or a segment has no Segment Number
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
    """Read the channels of an image in the order of the items that describe them.

    Raises
    ------
    InvalidImageError
        When a Segmentation has no segments, or a segment has no Segment Number
    """
    kind = channel_type(dataset)
    identifiers = read_identifiers(dataset)
    items = channel_items(dataset) or [Dataset()]
    if kind is ChannelTypes.SEGMENT:
        segment = partial(_segment, str(dataset.get("SegmentationType") or ""), _fraction(dataset))
        return tuple(map(segment, identifiers, items))
    if kind is ChannelTypes.PARAMETER:
        return tuple(map(_parameter, identifiers, items))
    path = partial(_optical_path, read_stainings(dataset), len(items) == 1, read_window(dataset))
    return tuple(map(path, identifiers, items))


def _optical_path(
    stainings: tuple[Staining, ...],
    is_only_path: bool,
    window: Window | None,
    identifier: str,
    item: Dataset,
) -> Channel:
    label = str(item.get("OpticalPathDescription") or "")
    described = _described(item)
    own, is_stated = stainings_of_path(stainings, identifier, label, is_only_path, described)
    stains, components, fluorophores = (
        tuple(dict.fromkeys(code for staining in own for code in getattr(staining, kind)))
        for kind in ("substances", "components", "fluorophores")
    )
    return Channel(
        ChannelTypes.OPTICAL_PATH,
        identifier=identifier,
        label=label,
        wavelength=_wavelength(item, "IlluminationWaveLength")
        or _filtered(item, "LightPathFilter"),
        emission=_filtered(item, "ImagePathFilter"),
        markers=components or described or stains * (len(stains) == 1),
        stains=stains,
        has_own_stains=is_stated,
        listed=frozenset(code for s in stainings for code in s.components + s.substances),
        fluorophores=tuple(code.meaning for code in fluorophores),
        color=palette_color(item),
        window=window,
    )


def _described(item: Dataset) -> tuple[CodeItem, ...]:
    """Read the Channel Description Codes of an optical path that do not name a colour."""
    codes = tuple(map(code_of, item.get("ChannelDescriptionCodeSequence") or ()))
    return tuple(code for code in codes if not _LIGHT.fullmatch(code.meaning.strip()))


def _filtered(item: Dataset, filter_name: str) -> float | None:
    """Read the Pass-Through Wavelength of a filter, or the middle of its Pass Band."""
    stated = _wavelength(item, f"{filter_name}PassThroughWavelength")
    band = item.get(f"{filter_name}PassBand")
    if stated is not None or isinstance(band, str) or not hasattr(band, "__len__"):
        return stated
    ends = [float(end) for end in band if end not in (None, "")]
    return sum(ends) / 2 if len(ends) == 2 and min(ends) > 0 else None


def _wavelength(item: Dataset, keyword: str) -> float | None:
    """Read a wavelength; None for 0, which some writers give where none is known."""
    value = float(item.get(keyword) or 0)
    return value if value > 0 else None


def _fraction(dataset: Dataset) -> float:
    """Read the fraction that a stored 1 stands for in a Segmentation (PS3.3 C.8.20.2.3)."""
    if dataset.get("SegmentationType") != "FRACTIONAL":
        return 1.0
    return 1.0 / max(int(dataset.get("MaximumFractionalValue") or 255), 1)


def _segment(segmentation_type: str, slope: float, identifier: str, item: Dataset) -> Channel:
    return Channel(
        ChannelTypes.SEGMENT,
        identifier=identifier,
        label=str(item.get("SegmentLabel") or ""),
        categories=_codes(item, "SegmentedPropertyCategoryCodeSequence"),
        property_types=_codes(item, "SegmentedPropertyTypeCodeSequence"),
        algorithm=str(item.get("SegmentAlgorithmType") or ""),
        color=read_display_color(item),
        segmentation_type=segmentation_type,
        slope=slope,
    )


def read_display_color(item: Dataset) -> str:
    """Read Recommended Display CIELab Value as six hexadecimal digits; empty where there is none.

    Segments have it (PS3.3 C.8.20.2), and groups of annotations (PS3.3 C.37.1.2).
    """
    value = item.get("RecommendedDisplayCIELabValue")
    if value is None or len(value) != 3:
        return ""
    from highdicom.color import CIELabColor

    stated = CIELabColor.from_dicom_value(tuple(map(int, value)))
    # CIELab has colours outside of sRGB, which become the nearest one inside
    return hexadecimal(*(part / 255 for part in stated.to_rgb(clip=True)))


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
            found.setdefault(parameter_identifier(items[0]), items[0])
    if len(found) > 1 and not all(item.get("LUTLabel") for item in found.values()):
        raise InvalidImageError(
            f"image {dataset.get('SOPInstanceUID')}: a Real World Value Mapping has no LUT Label"
        )
    return list(found.values())


def _path_identifier(item: Dataset) -> str:
    return str(item.get("OpticalPathIdentifier", "1"))


def parameter_identifier(item: Dataset) -> str:
    """Read the identifier of the parameter that a Real World Value Mapping item describes."""
    return str(item.get("LUTLabel", "1"))


def _codes(item: Dataset, keyword: str) -> tuple[CodeItem, ...]:
    return tuple(map(code_of, item.get(keyword) or ()))[:1]
