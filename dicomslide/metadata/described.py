"""Descriptions of channels that depend on all channels of a slide: stains, colours and names."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from dicomslide.enum import ChannelTypes
from dicomslide.metadata.channel_kind import Channel
from dicomslide.metadata.colors import color_among, light_color
from dicomslide.metadata.presentation import Window

__all__ = ["channel_names", "describe_channels"]


def describe_channels(
    channels: Sequence[Channel],
    is_colored: Sequence[bool],
    presentations: Sequence[tuple[str, Window | None]],
) -> tuple[Channel, ...]:
    """Complete the descriptions of the channels of a slide by their images.

    Images often list the stains of the whole slide: a list of several stains that channels have in
    common describes none of them. The colour of an optical path is the first of those by a
    Presentation State, its palette, its wavelengths, its name; otherwise it is chosen to differ
    from those of the other channels, and white for a single one.

    Parameters
    ----------
    channels : sequence of Channel
        Channels as their images describe them
    is_colored : sequence of bool
        Whether the pixels of each channel are colours, which need no display colour
    presentations : sequence of tuple
        Colour and window of each channel by Presentation States, empty and None where none has them

    Returns
    -------
    tuple of Channel
        Completed descriptions, in the same order
    """
    lists = Counter(c.listed for c in channels if len(c.listed) > 1)
    described: list[Channel] = []
    count = sum(channel.type is ChannelTypes.OPTICAL_PATH for channel in channels)
    for channel, colored, presented in zip(channels, is_colored, presentations, strict=True):
        if channel.type is not ChannelTypes.OPTICAL_PATH:
            described.append(channel)
            continue
        if not channel.has_own_stains and lists[channel.listed] > 1:
            own = tuple(code for code in channel.markers if code not in channel.listed)
            channel = replace(channel, stains=(), markers=own, fluorophores=())
        color = ""
        if not colored:
            color = presented[0] or _stated_color(channel) or color_among(len(described), count)
        described.append(replace(channel, color=color, window=presented[1] or channel.window))
    return tuple(described)


def _stated_color(channel: Channel) -> str:
    """Find the colour that the image states, or that the wavelengths or names of a channel tell."""
    codes = (code.meaning for code in channel.stains + channel.markers)
    name = " ".join((channel.label, channel.identifier, *channel.fluorophores, *codes))
    light = light_color(channel.emission, channel.wavelength, name)
    return channel.color or light or ""


def channel_names(
    identifiers: Sequence[str], descriptions: Sequence[str], markers: Sequence[str]
) -> list[str]:
    """Choose names by which people can tell optical paths apart.

    Parameters
    ----------
    identifiers, descriptions, markers : sequence of str
        Possible names of each path; the last two may be empty sequences

    Returns
    -------
    list of str
        Descriptions, or else markers, or else identifiers that are not numbers, if all paths have
        one and all differ. Otherwise the first of these that each path has, with repeated names
        numbered: "DAPI (1)", "DAPI (2)"
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
