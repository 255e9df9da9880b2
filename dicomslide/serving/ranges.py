"""Ranges of bytes in HTTP requests (RFC 9110, section 14)."""

import re

__all__ = ["UnsatisfiableError", "find_range"]

# Ranges with more digits than any size has are ignored
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class UnsatisfiableError(ValueError):
    """Raised for a requested range without any bytes of the value.

    Parameters
    ----------
    size : int
        Number of bytes of the value
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"there are {size} bytes")
        self.size = size


def find_range(header: str | None, size: int) -> slice | None:
    """Find the part of a value that a header ``Range`` requests.

    Parameters
    ----------
    header : str, optional
        Value of the header
    size : int
        Number of bytes of the value

    Returns
    -------
    slice or None
        Requested bytes; None for all of them, also where the header is invalid or requests several
        ranges, which a server may ignore

    Raises
    ------
    UnsatisfiableError
        When the range contains no bytes of the value
    """
    found = _RANGE.fullmatch(header or "")
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= stop:
        raise UnsatisfiableError(size)
    return slice(start, stop)
