"""Arrays of numbers in elements of a data set, read when someone needs them."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicomslide.errors import InvalidImageError
from dicomslide.metadata.deferred import DeferredValue

__all__ = ["StoredNumbers", "stored_numbers"]


@dataclass(frozen=True)
class StoredNumbers:
    """Numbers of an element.

    Parameters
    ----------
    value : bytes or DeferredValue
        Encoded numbers
    dtype : str
        Data type, with the order of bytes
    name : str
        Name of the element in messages
    """

    value: bytes | DeferredValue
    dtype: str
    name: str

    @property
    def count(self) -> int | None:
        """Number of numbers; None where it is not known before they are read.

        Raises
        ------
        InvalidImageError
            When the length of the value is not that of whole numbers
        """
        length = len(self.value) if isinstance(self.value, bytes) else self.value.length
        return None if length is None else self._whole(length)

    @property
    def token(self) -> Hashable:
        """Key that is equal for equal numbers."""
        return self.value if isinstance(self.value, bytes) else self.value.token

    def read(self) -> NDArray:
        """Read the numbers; the array is read-only.

        Raises
        ------
        InvalidImageError
            When the length of the value is not that of whole numbers
        SourceError
            When the file or the server does not deliver
        """
        data = self.value if isinstance(self.value, bytes) else self.value.fetch()
        self._whole(len(data))
        return np.frombuffer(data, self.dtype)

    def close(self) -> None:
        """Release what is held for the value."""
        if not isinstance(self.value, bytes):
            self.value.close()

    def _whole(self, length: int) -> int:
        size = np.dtype(self.dtype).itemsize
        if length % size:
            raise InvalidImageError(
                f"{self.name} has {length} bytes, expected numbers of {size} bytes each"
            )
        return length // size


def stored_numbers(item: Dataset, keyword: str, name: str, kind: str) -> StoredNumbers | None:
    """Find the numbers of an element of a data set.

    Parameters
    ----------
    item : pydicom.dataset.Dataset
        Data set, whose value may be deferred
    keyword, name : str
        Keyword of the element, and its name in messages
    kind : str
        Data type without the order of bytes, such as "f4"

    Returns
    -------
    StoredNumbers or None
        None where there is no such element, or it has no value

    Raises
    ------
    InvalidImageError
        When the element has a value of another type
    """
    value = item.get(keyword)
    if value in (None, b"", ""):
        return None
    if isinstance(value, bytes):
        big_endian = item.original_encoding[1] is False
    elif isinstance(value, DeferredValue):
        big_endian = value.big_endian
    else:
        raise InvalidImageError(f"{name} is {type(value).__name__}, expected binary numbers")
    return StoredNumbers(value, (">" if big_endian else "<") + kind, name)
