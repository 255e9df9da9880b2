"""What only all channels of a slide together tell of each: whose stains are whose, and colours."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from dicomslide.enum import ChannelTypes
from dicomslide.metadata.channels import Channel
from dicomslide.metadata.colors import color_among, light_color
from dicomslide.metadata.presentation import Window

__all__ = ["channel_names", "describe_channels"]


def describe_channels(
    channels: Sequence[Channel],
    is_colored: Sequence[bool],
    presentations: Sequence[tuple[str, Window | None]],
) -> tuple[Channel, ...]:
    """Complete what images say of the channels of a slide.

    Images repeat the stains of the whole slide: a list of several that channels have in common says
    nothing of any of them. The colour of an optical path is the first of: that of a Presentation
    State, of its palette, of the light that it emits, of its name, and one that tells it from
    others; white where there is no other.

    Parameters
    ----------
    channels : sequence of Channel
        Channels as their images describe them
    is_colored : sequence of bool
        Whether each has pixels of several samples, which are shown in their own colours
    presentations : sequence of tuple
        Colour and window that Presentation States give each, empty and None where none does

    Returns
    -------
    tuple of Channel
        The same channels
    """
    lists = Counter(c.listed for c in channels if len(c.listed) > 1)
    described: list[Channel] = []
    count = sum(channel.type is ChannelTypes.OPTICAL_PATH for channel in channels)
    for channel, colored, shown in zip(channels, is_colored, presentations, strict=True):
        if channel.type is not ChannelTypes.OPTICAL_PATH:
            described.append(channel)
            continue
        if not channel.has_own_stains and lists[channel.listed] > 1:
            own = tuple(code for code in channel.markers if code not in channel.listed)
            channel = replace(channel, stains=(), markers=own, fluorophores=())
        color = ""
        if not colored:
            color = shown[0] or _stated_color(channel) or color_among(len(described), count)
        described.append(replace(channel, color=color, window=shown[1] or channel.window))
    return tuple(described)


def _stated_color(channel: Channel) -> str:
    """Find the colour that the image states, or that the light of the channel has."""
    codes = (code.meaning for code in channel.stains + channel.markers)
    name = " ".join((channel.label, channel.identifier, *channel.fluorophores, *codes))
    light = light_color(channel.emission, channel.wavelength, name)
    return channel.color or light or ""


def channel_names(
    identifiers: Sequence[str], descriptions: Sequence[str], markers: Sequence[str]
) -> list[str]:
    """Choose names for optical paths that people tell apart.

    Parameters
    ----------
    identifiers, descriptions, markers : sequence of str
        Of each path: what it may be called

    Returns
    -------
    list of str
        Descriptions, or else markers, or else identifiers that are no numbers, if they are all
        there and different. Otherwise the first of these that each path has, and names that are
        repeated are numbered: "DAPI (1)", "DAPI (2)"
    """
    words = [] if any(name.isdigit() for name in identifiers) else identifiers
    for names in (descriptions, markers, words):
        if names and all(names) and len(set(names)) == len(names):
            return list(names)
    blank = [""] * len(identifiers)
    every = zip(descriptions or blank, markers or blank, identifiers, strict=True)
    return _numbered([next(filter(None, names), "") for names in every])


def _numbered(names: Sequence[str]) -> list[str]:
    counts, seen = Counter(names), Counter[str]()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(f"{name} ({seen[name]})" if counts[name] > 1 else name)
    return numbered
