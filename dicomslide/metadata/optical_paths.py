"""Optical paths: the channels of images that were scanned (PS3.3 C.8.12.5)."""

import re
from collections.abc import Sequence
from functools import partial
from operator import attrgetter

from pydicom.dataset import Dataset

from dicomslide.enum import ChannelTypes
from dicomslide.metadata.channel_kind import Channel, ChannelKind, Coordinate, coded
from dicomslide.metadata.codes import CodeItem, code_of
from dicomslide.metadata.flavors import SLIDE_MICROSCOPY, is_one_picture
from dicomslide.metadata.presentation import Window, palette_color, read_window
from dicomslide.metadata.stains import Staining, read_stainings, stainings_of_path

__all__ = ["OPTICAL_PATHS"]

# Code Meanings that name a colour of light instead of a substance
_LIGHT = re.compile(
    r"(?:(?:full|narrow|broad|wide|visible|near|far|white|red|orange|yellow|green|cyan|blue|violet|"
    r"magenta|gr[ae]y|infra-?red|ultra-?violet|free)[\s-]*)+"
    r"(?:band|spectrum|light|colou?r|channel|filter)?",
    re.IGNORECASE,
)


def _items(dataset: Dataset) -> list[Dataset]:
    items = list(dataset.get("OpticalPathSequence") or ())
    return items[:1] if is_one_picture(dataset) else items


def _identifiers(dataset: Dataset, items: Sequence[Dataset]) -> tuple[str, ...]:
    return tuple(str(item.get("OpticalPathIdentifier", "1")) for item in items) or ("1",)


def _channels(
    dataset: Dataset, items: Sequence[Dataset], identifiers: Sequence[str]
) -> tuple[Channel, ...]:
    items = items or [Dataset()]
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


OPTICAL_PATHS = ChannelKind(
    type=ChannelTypes.OPTICAL_PATH,
    sop_classes=SLIDE_MICROSCOPY,
    items=_items,
    identifiers=_identifiers,
    channels=_channels,
    attribute="OpticalPathIdentifier",
    reference=("OpticalPathIdentificationSequence", "OpticalPathIdentifier"),
    variable="image",
    dimension="channel",
    coordinates=(
        Coordinate(
            "channel",
            "Optical Path Identifier",
            attrgetter("identifier"),
            long_name="optical path",
        ),
        Coordinate("description", "Optical Path Description", attrgetter("label")),
        *coded("marker", "target that the channel shows, such as an antigen", "markers"),
        *coded("stain", "substance that the specimen was stained with for the channel", "stains"),
        Coordinate(
            "wavelength",
            "wavelength of the illumination, in nm",
            attrgetter("wavelength"),
            float,
            "nm",
        ),
        Coordinate(
            "emission", "wavelength of the image path, in nm", attrgetter("emission"), float, "nm"
        ),
        Coordinate(
            "color",
            "display colour, sRGB, hexadecimal; empty for colour images",
            attrgetter("color"),
            long_name="sRGB, hexadecimal",
        ),
        Coordinate(
            "window_start",
            "stored value that is shown as black",
            lambda channel: channel.window and channel.window[0],
            float,
            long_name="shown as black",
        ),
        Coordinate(
            "window_end",
            "stored value that is shown as white",
            lambda channel: channel.window and channel.window[1],
            float,
            long_name="shown as white",
        ),
    ),
    identity=("channel",),
    heading="Optical paths",
)
