"""Slides that are served, and their names in URLs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from dicomslide.display.tiles import Picture
from dicomslide.export.virtual import VirtualStore
from dicomslide.serving.deepzoom import DeepZoom
from dicomslide.slide import Slide

__all__ = ["ServedSlide", "name_slides"]

_LONGEST_NAME = 64


@dataclass(frozen=True, eq=False)
class ServedSlide:
    """A slide that is served.

    Parameters
    ----------
    slide : Slide
        The slide
    store : VirtualStore
        The slide as Zarr
    """

    slide: Slide
    store: VirtualStore

    @cached_property
    def deep_zoom(self) -> DeepZoom:
        """The slide as a Deep Zoom image, made on first access."""
        return DeepZoom(Picture(self.slide.to_groups(chunks=None)))


def name_slides(identifiers: Iterable[str]) -> list[str]:
    """Make unique names of identifiers, of characters that need no escapes in a URL."""
    names: dict[str, None] = {}
    for identifier in identifiers:
        safe = re.sub(r"[^A-Za-z0-9._-]+", "_", identifier)[:_LONGEST_NAME].strip("._") or "slide"
        name, number = safe, 1
        while name in names:
            number += 1
            name = f"{safe}_{number}"
        names[name] = None
    return list(names)
