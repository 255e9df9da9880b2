"""Conversion of exceptions that damaged attributes cause to `InvalidImageError`.

pydicom converts values on access, and raises exceptions of many types if it cannot. These are signs
of damage, and so are exceptions of functions that only read metadata. All other exceptions are
mistakes of this package or a lack of memory, and are not blamed on a file.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from pydicom.dataset import Dataset

from dicomslide.errors import DicomSlideError, InvalidImageError, NoSlideError, UnsupportedError

__all__ = ["name_of_image", "naming", "reading", "reads_image"]

P = ParamSpec("P")
R = TypeVar("R")

# Exceptions that occur when values of a wrong type, number of items or format are converted
_CONVERSION = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Add the name of a source to errors in the block, and convert those of pydicom."""
    with _renaming(name, ()):
        yield


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Add a name to errors in a block that only reads attributes, and convert all others."""
    with _renaming(name, _CONVERSION):
        yield


@contextmanager
def _renaming(name: str, damage: tuple[type[Exception], ...]) -> Iterator[None]:
    try:
        yield
    except (InvalidImageError, NoSlideError, UnsupportedError) as error:
        if name in str(error):
            raise
        raise type(error)(f"{name}: {error}") from error
    except (DicomSlideError, MemoryError, Warning):
        raise
    except Exception as error:
        if not isinstance(error, damage) and not _is_of_pydicom(error):
            raise
        raise InvalidImageError(f"{name}: damaged attributes: {error}") from error


def _is_of_pydicom(error: Exception) -> bool:
    """Whether an error was raised by pydicom, or by a package that it calls."""
    package, traceback = "", error.__traceback__
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if module in ("dicomslide", "pydicom"):
            package = module
        traceback = traceback.tb_next
    return package == "pydicom"


def reads_image(
    function: Callable[Concatenate[Dataset, P], R],
) -> Callable[Concatenate[Dataset, P], R]:
    """Decorate a function of metadata, so that errors by damaged attributes name the image."""

    @wraps(function)
    def read(dataset: Dataset, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(dataset, *args, **kwargs)
        except Exception:
            # The name is looked up only after a failure, as that takes longer than most of the
            # decorated functions
            with reading(name_of_image(dataset)):
                raise

    return read


def name_of_image(dataset: Dataset) -> str:
    """Make the name of an image in messages, even if its SOP Instance UID is damaged."""
    try:
        return f"image {dataset.get('SOPInstanceUID')}"
    except Exception:
        return "image with a damaged SOP Instance UID"
