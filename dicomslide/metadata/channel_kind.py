"""Descriptions of channels, and of kinds of channels: optical paths, segments and parameters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset

from dicomslide.enum import ChannelTypes
from dicomslide.metadata.codes import CodeItem
from dicomslide.metadata.presentation import Window

__all__ = ["Channel", "ChannelKind", "Coordinate", "coded"]


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


@dataclass(frozen=True)
class Coordinate:
    """Coordinate along the channels of a variable of the tree.

    Parameters
    ----------
    name : str
        Name of the coordinate
    about : str
        What its values are
    value : callable
        Function of a `Channel` that returns its value; None stands for a missing number
    type : {str, int, float}, optional
        Type of the values
    unit, long_name : str, optional
        Attributes of the coordinate
    """

    name: str
    about: str
    value: Callable[[Channel], Any]
    type: type = str
    unit: str = ""
    long_name: str = ""


def coded(name: str, about: str, attribute: str) -> tuple[Coordinate, ...]:
    """Make the coordinates of meaning, value and scheme of the codes in an attribute of channels.

    Parameters
    ----------
    name : str
        Name of the coordinate of meanings
    about : str
        What the codes are
    attribute : str
        Attribute of `Channel` that has the codes
    """

    def joined(part: str) -> Callable[[Channel], str]:
        return lambda channel: ", ".join(getattr(c, part) for c in getattr(channel, attribute))

    return (
        Coordinate(name, about, joined("meaning")),
        Coordinate(f"{name}_code", f"Code Value of `{name}`", joined("value")),
        Coordinate(
            f"{name}_scheme",
            f"Coding Scheme Designator of `{name}`",
            joined("scheme_designator"),
        ),
    )


@dataclass(frozen=True, eq=False)
class ChannelKind:
    """Kind of channels: how images describe them, and how the tree shows them.

    Parameters
    ----------
    type : ChannelTypes
        Type of the channels
    sop_classes : frozenset of str
        SOP Class UIDs of the images that have such channels
    items : callable
        Function of an image that returns the sequence items that describe its channels
    identifiers : callable
        Function of an image and these items that returns the identifiers of its channels
    channels : callable
        Function of an image, these items and the identifiers that returns its channels
    attribute : str
        Keyword of the attribute of an item by which frames refer to it
    reference : tuple of str
        Keywords of the sequence in the functional groups of a frame, and of its attribute, that
        refer to the channel of the frame
    variable, dimension : str
        Names of the variable and of its dimension in the tree
    coordinates : tuple of Coordinate
        Coordinates along that dimension, but for that of the series
    series : str, optional
        Name of the coordinate of the series of each channel; empty where there is none
    identity : tuple of str
        Names of the coordinates by which a channel is found at other levels
    heading : str
        What people call several of them
    has_real_values : bool, optional
        Whether pixels are real world values that have a unit, and that may be missing
    """

    type: ChannelTypes
    sop_classes: frozenset[str]
    items: Callable[[Dataset], list[Dataset]]
    identifiers: Callable[[Dataset, Sequence[Dataset]], tuple[str, ...]]
    channels: Callable[[Dataset, Sequence[Dataset], Sequence[str]], tuple[Channel, ...]]
    attribute: str
    reference: tuple[str, str]
    variable: str
    dimension: str
    coordinates: tuple[Coordinate, ...]
    identity: tuple[str, ...]
    heading: str
    series: str = ""
    has_real_values: bool = False
