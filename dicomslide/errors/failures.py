"""Files and images that cannot be read, and the slides that lack them."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from pydicom.dataset import Dataset

from dicomslide.errors import ArgumentTypeError, DicomSlideError

__all__ = [
    "Failure",
    "Failures",
    "Marks",
    "collecting",
    "log_failure",
    "marks_of",
    "slides_by_mark",
    "slides_hit_by",
]

logger = logging.getLogger("dicomslide")


@dataclass(frozen=True)
class Marks:
    """Identifiers that tell which slide an image belongs to; empty where they are not known."""

    series: str = ""
    container: str = ""
    frame_of_reference: str = ""

    @property
    def tell_slide(self) -> bool:
        """Whether an image with these marks can be told from those of all other slides."""
        return bool(self.container or self.frame_of_reference)


@dataclass(frozen=True)
class Failure:
    """Something that could not be read.

    Parameters
    ----------
    name : str
        Name used in messages
    error : DicomSlideError
        Why it could not be read
    marks : Marks
        What is known of its slide
    """

    name: str
    error: DicomSlideError
    marks: Marks = Marks()

    @property
    def reason(self) -> str:
        """The error, which names what failed."""
        text = str(self.error)
        return text if self.name in text else f"{self.name}: {text}"


Failures = list[Failure] | None
"""Where failures are collected; None where the first one is raised."""
SlidesByMark = dict[tuple[str, str], dict[int, None]]
"""Names and values of marks to the indices of slides, in their order."""


@dataclass(frozen=True)
class _Collector:
    """Collects what goes wrong while its context lasts."""

    failures: Failures
    name: str
    marks: Marks

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> bool:
        if self.failures is None or not isinstance(error, DicomSlideError):
            return False
        if isinstance(error, ArgumentTypeError):
            return False
        self.failures.append(Failure(self.name, error, self.marks))
        return True


def collecting(failures: Failures, name: str, marks: Marks | None = None) -> _Collector:
    """Collect what goes wrong in a context, and go on behind it.

    Parameters
    ----------
    failures : list of Failure, optional
        Takes up the error; without it, it is raised as usual
    name : str
        Name of what is read, in messages
    marks : Marks, optional
        What is known of its slide
    """
    return _Collector(failures, name, marks or Marks())


def marks_of(dataset: Dataset) -> Marks:
    """Read the marks of an image, as far as they can be read."""
    values = []
    for keyword in ("SeriesInstanceUID", "ContainerIdentifier", "FrameOfReferenceUID"):
        try:
            values.append(str(dataset.get(keyword) or ""))
        # A damaged attribute, which pydicom fails on in many ways
        except Exception:
            values.append("")
    return Marks(*values)


def slides_by_mark(slides: Sequence[Sequence[Dataset]]) -> SlidesByMark:
    """Collect the indices of the slides that have an image with a mark."""
    found: SlidesByMark = {}
    for index, images in enumerate(slides):
        for marks in {marks_of(image) for image in images}:
            for field in fields(marks):
                found.setdefault((field.name, getattr(marks, field.name)), {})[index] = None
    return found


def slides_hit_by(failure: Failure, slides: SlidesByMark) -> list[int]:
    """Find the slides that lack an image because of a failure; gives their indices.

    It is of the slides of its series; otherwise of those of its container, or else of its frame of
    reference.
    """
    for field in fields(failure.marks):
        own = getattr(failure.marks, field.name)
        if own and (field.name, own) in slides:
            return list(slides[field.name, own])
    return []


def log_failure(failure: Failure, containers: Iterable[str] = ()) -> None:
    """Log what is left out, and why."""
    names = ", ".join(f"slide {container!r}" for container in containers)
    if not names:
        of = failure.marks.container
        names = f"{failure.name} of slide {of!r}" if of else failure.name
    logger.warning("%s is left out: %s", names, failure.reason)
