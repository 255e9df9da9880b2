"""Collection of failures to read files and images, and of the slides that lack these."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

from pydicom.dataset import Dataset

from dicomslide.errors import ArgumentTypeError, DicomSlideError

__all__ = [
    "Failure",
    "Failures",
    "Marks",
    "collecting",
    "log_failure",
    "logging_failure",
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
        """Whether these identifiers suffice to tell which slide an image belongs to."""
        return bool(self.container or self.frame_of_reference)


@dataclass(frozen=True)
class Failure:
    """Failure to read a file, an image, a series or a study.

    Parameters
    ----------
    name : str
        Name of what could not be read in messages
    error : DicomSlideError
        Error that was raised
    marks : Marks
        Known identifiers of its slide
    """

    name: str
    error: DicomSlideError
    marks: Marks = Marks()

    @property
    def reason(self) -> str:
        """Message of the error, with the name of what could not be read."""
        text = str(self.error)
        return text if self.name in text else f"{self.name}: {text}"


Failures = list[Failure] | None
"""List that failures are added to, or None if they are to be raised."""
SlidesByMark = dict[tuple[str, str], dict[int, None]]
"""Indices of slides in their order, by name and value of a mark."""


@dataclass(frozen=True)
class _Collector:
    """Context manager that adds an error of its block to a list of failures."""

    failures: Failures
    name: str
    marks: Marks | Dataset

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> bool:
        if self.failures is None or not isinstance(error, DicomSlideError):
            return False
        if isinstance(error, ArgumentTypeError):
            return False
        marks = self.marks if isinstance(self.marks, Marks) else marks_of(self.marks)
        self.failures.append(Failure(self.name, error, marks))
        return True


def collecting(failures: Failures, name: str, marks: Marks | Dataset | None = None) -> _Collector:
    """Collect an error of the block as a failure, and continue after the block.

    Parameters
    ----------
    failures : list of Failure, optional
        List that the failure is added to; without it the error is raised as usual
    name : str
        Name of what is read in messages
    marks : Marks or pydicom.dataset.Dataset, optional
        Known identifiers of its slide, or the image that they are read from after an error
    """
    return _Collector(failures, name, Marks() if marks is None else marks)


@contextmanager
def logging_failure(is_logged: bool, name: str) -> Iterator[None]:
    """Log an error of the block, and continue after the block; otherwise it is raised.

    Parameters
    ----------
    is_logged : bool
        Whether the error is logged
    name : str
        Name of what is read or made in messages
    """
    failures: Failures = [] if is_logged else None
    with collecting(failures, name):
        yield
    for failure in failures or ():
        log_failure(failure)


def marks_of(dataset: Dataset) -> Marks:
    """Read the marks of an image; those that cannot be read are empty."""
    values = []
    for keyword in ("SeriesInstanceUID", "ContainerIdentifier", "FrameOfReferenceUID"):
        try:
            values.append(str(dataset.get(keyword) or ""))
        # pydicom raises exceptions of many types for damaged attributes
        except Exception:
            values.append("")
    return Marks(*values)


def slides_by_mark(slides: Sequence[Sequence[Dataset]]) -> SlidesByMark:
    """Map marks to the indices of the slides that have an image with them."""
    found: SlidesByMark = {}
    for index, images in enumerate(slides):
        for marks in {marks_of(image) for image in images}:
            for field in fields(marks):
                found.setdefault((field.name, getattr(marks, field.name)), {})[index] = None
    return found


def slides_hit_by(failure: Failure, slides: SlidesByMark) -> list[int]:
    """Find the indices of the slides that lack an image because of a failure.

    These are the slides with its series; without any, those with its container, or else with its
    frame of reference.
    """
    for field in fields(failure.marks):
        own = getattr(failure.marks, field.name)
        if own and (field.name, own) in slides:
            return list(slides[field.name, own])
    return []


def log_failure(failure: Failure, containers: Iterable[str] = ()) -> None:
    """Log that slides, or else what could not be read, are left out, and why."""
    names = ", ".join(f"slide {container!r}" for container in containers)
    if not names:
        own = failure.marks.container
        names = f"{failure.name} of slide {own!r}" if own else failure.name
    logger.warning("%s is left out: %s", names, failure.reason.removeprefix(f"{names}: "))
