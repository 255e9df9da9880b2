"""Facts of all slides at some places, and what is wrong with those that cannot be opened."""

import logging
from collections.abc import Iterable
from typing import Any

from dicomslide.cli.facts import SlideFacts, read_facts
from dicomslide.errors import DicomSlideError
from dicomslide.errors.failures import logger
from dicomslide.opening import open_slides
from dicomslide.slide import Slide
from dicomslide.stores.files import name_of_paths

__all__ = ["gather_facts"]

# Parameters that tell one of several slides
_NAMES = ("container_identifier", "series_instance_uid", "pyramid_uid")


def gather_facts(
    sources: Iterable[str], choices: dict[str, Any], *, debug: bool
) -> tuple[list[SlideFacts], list[str]]:
    """Gather the facts of slides.

    Parameters
    ----------
    sources : iterable of str
        Places
    choices : dict
        Parameters of `open_slides`
    debug : bool
        Whether the first error is raised

    Returns
    -------
    slides : list of SlideFacts
        Slides that can be opened
    errors : list of str
        What is wrong with others
    """
    gathered: list[SlideFacts] = []
    errors: list[str] = []
    for source in sources:
        try:
            slides, left_out = _open_all(source, choices, debug)
            errors += left_out
            while slides:
                # Nothing of a slide is held any more when its facts are known
                gathered.append(read_facts(slides.pop(0), name_of_paths(source)))
        except (DicomSlideError, OSError) as error:
            if debug:
                raise
            errors.append(str(error))
    return gathered, errors


def _open_all(source: str, choices: dict[str, Any], debug: bool) -> tuple[list[Slide], list[str]]:
    """Open the slides at a place; gives what is left out, too, and why."""
    # No pixels are read, so that no ICC profiles are needed
    options = {"correct_color": False, **choices}
    # A slide that was asked for is whole or an error, whatever became of others
    if not debug and not any(choices[name] for name in _NAMES):
        messages = _Messages()
        logger.addHandler(messages)
        try:
            slides = open_slides(source, errors="skip", **options)
        finally:
            logger.removeHandler(messages)
        if slides:
            return slides, messages.found
    # Where nothing can be opened the error itself says best why
    return open_slides(source, **options), []


class _Messages(logging.Handler):
    """Collects what is logged: what is left out, and why."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take up a message."""
        self.found.append(record.getMessage())
