"""Opening of the slides of many sources, one after the other: `iter_slides`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from inspect import signature
from itertools import chain
from typing import Any, Literal, cast

from dicomslide.errors import ArgumentValueError
from dicomslide.errors.failures import logging_failure
from dicomslide.opening import open_slides
from dicomslide.pixels.threads import ahead
from dicomslide.slide import Slide
from dicomslide.stores.files import Paths, name_of_paths
from dicomslide.stores.places import Source

__all__ = ["iter_slides"]

# Number of sources that are opened while the caller uses the slides of one
_AT_ONCE = 16


def iter_slides(
    sources: Source | Iterable[Source],
    *,
    errors: Literal["raise", "skip"] = "raise",
    **options: Any,
) -> Iterator[Slide]:
    """Open the slides of many sources, and yield each as soon as it is open.

    While the caller uses a slide, the next sources are opened side by side, which is what counts
    where each of them is far away. Only a bounded number of slides is ahead of the caller, so any
    number of sources may follow, and the slides that the caller has dropped take no memory.

    Parameters
    ----------
    sources : source or iterable of sources
        Sources as for `open_slides`, such as the prefixes of slides in a bucket. All images of a
        slide have to be in one of them; a source that is a list has them in any of its files and
        folders. The sources are taken as they are needed
    errors : {"raise", "skip"}, optional
        Whether a slide that cannot be opened, or a source without slides, is an error, or is left
        out; the logger ``dicomslide`` then states which, and why
    **options
        Other parameters of `open_slides`

    Yields
    ------
    Slide
        Slides in the order of their sources

    Raises
    ------
    TypeError
        When an argument has the wrong type, or there is no such parameter
    OSError, ValueError
        When a source cannot be opened, as for `open_slides`

    Examples
    --------
    >>> for slide in dicomslide.iter_slides(["slide-1", "slide-2"]):  # doctest: +SKIP
    ...     print(slide.container_identifier)
    """
    if errors not in ("raise", "skip"):
        raise ArgumentValueError(f"errors: expected 'raise' or 'skip', got {errors!r}")
    signature(open_slides).bind(sources, errors=errors, **options)
    single = isinstance(sources, (str, os.PathLike)) or not isinstance(sources, Iterable)
    each = cast("Iterable[Source]", [sources] if single else sources)

    def open_all(source: Source) -> list[Slide]:
        slides: list[Slide] = []
        with logging_failure(errors == "skip", _name_of(source)):
            slides += open_slides(source, errors=errors, **options)
        return slides

    return chain.from_iterable(ahead(open_all, each, _AT_ONCE))


def _name_of(source: Source) -> str:
    """Make the name of a source in messages."""
    is_paths = isinstance(source, (str, os.PathLike, list, tuple))
    return name_of_paths(cast("Paths", source)) if is_paths else str(source)
