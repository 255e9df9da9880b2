"""One kind of error for all that damaged attributes lead to.

pydicom converts a value when it is asked for, and fails in many ways if it cannot.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from pydicom.dataset import Dataset

from dicomslide.errors import DicomSlideError, InvalidImageError, NoSlideError, UnsupportedError

__all__ = ["reading", "reads_image"]

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Name the place in errors that its attributes lead to, if they do not name it."""
    try:
        yield
    except (InvalidImageError, NoSlideError, UnsupportedError) as error:
        if name in str(error):
            raise
        raise type(error)(f"{name}: {error}") from error
    except (DicomSlideError, MemoryError, Warning):
        raise
    except Exception as error:
        raise InvalidImageError(f"{name}: damaged attributes: {error}") from error


def reads_image(
    function: Callable[Concatenate[Dataset, P], R],
) -> Callable[Concatenate[Dataset, P], R]:
    """Have a function of metadata name the image in errors that damaged attributes lead to."""

    @wraps(function)
    def read(dataset: Dataset, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(dataset, *args, **kwargs)
        except Exception:
            # A name costs more than most of these functions do
            with reading(f"image {dataset.get('SOPInstanceUID')}"):
                raise

    return read
