"""One kind of error for all that damaged attributes lead to."""

from collections.abc import Iterator
from contextlib import contextmanager

from dicomslide.errors import DicomSlideError, InvalidImageError

__all__ = ["reading"]


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Name the place of an error that damaged attributes lead to.

    pydicom converts a value when it is asked for, and fails in many ways if it cannot.
    """
    try:
        yield
    except (DicomSlideError, OSError, Warning):
        raise
    except Exception as error:
        raise InvalidImageError(f"{name}: damaged attributes: {error}") from error
