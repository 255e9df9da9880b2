"""What is damage to a file and what is not.

pydicom converts a value when it is asked for, and fails in many ways if it cannot. That is damage,
and so is a value that a function of metadata cannot convert. Whatever else goes wrong is a mistake
of this package or a lack of memory, and no file is blamed for it.
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

# Exceptions of converting a value of another type, number of items or with other digits
_CONVERSION = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Name the place in errors that its images lead to, and in those of pydicom."""
    with _renaming(name, ()):
        yield


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Name the place in errors that its attributes lead to, where nothing is done but read them."""
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
    """Whether pydicom, or what it calls, raised an error and not this package."""
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
    """Have a function of metadata name the image in errors that damaged attributes lead to."""

    @wraps(function)
    def read(dataset: Dataset, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(dataset, *args, **kwargs)
        except Exception:
            # Most of these functions are faster than finding the name, so it is found after a
            # failure only
            with reading(name_of_image(dataset)):
                raise

    return read


def name_of_image(dataset: Dataset) -> str:
    """Name an image in messages, even where its name is what is damaged."""
    try:
        return f"image {dataset.get('SOPInstanceUID')}"
    except Exception:
        return "image with a damaged SOP Instance UID"
