"""The parts of a value that a request asks for (RFC 9110, section 14)."""

import re

__all__ = ["UnsatisfiableError", "find_range"]

# More digits than any size has are no number of bytes
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class UnsatisfiableError(ValueError):
    """There is nothing in the range that a request asks for.

    Parameters
    ----------
    size : int
        Number of bytes that there are
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"there are {size} bytes")
        self.size = size


def find_range(header: str | None, size: int) -> slice | None:
    """Find the part that a header ``Range`` asks for.

    Parameters
    ----------
    header : str, optional
        The header
    size : int
        Number of bytes that there are

    Returns
    -------
    slice or None
        The part; None for all of it, also where the header is not understood or asks for several
        parts, as a server may answer then

    Raises
    ------
    UnsatisfiableError
        When there is nothing in that range
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
