"""Palettes of PALETTE COLOR images (PS3.3 C.7.6.3.1.5, C.7.9)."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicomslide.errors import InvalidImageError

__all__ = ["Palette", "read_palette"]

_COLOURS = ("Red", "Green", "Blue")
_DISCRETE, _LINEAR, _INDIRECT = range(3)


@dataclass(frozen=True)
class Palette:
    """Colours of stored values.

    Parameters
    ----------
    first : int
        Stored value of the first colour; lower values have the first colour too, and values above
        the range have the last one
    bits : int
        Number of bits of one sample of a colour, 8 or 16
    colours : bytes
        Red, green and blue of one colour after the other, little endian
    """

    first: int
    bits: int
    colours: bytes

    @cached_property
    def token(self) -> str:
        """Key that is equal for the same colours, also in another process."""
        parts = self.first, self.bits, hashlib.sha256(self.colours).hexdigest()
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    @property
    def dtype(self) -> np.dtype:
        """Data type of the samples of a colour."""
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    @property
    def table(self) -> NDArray:
        """Array of the colours, shape (colours, 3)."""
        stored = np.frombuffer(self.colours, self.dtype.newbyteorder("<"))
        return stored.astype(self.dtype, copy=False).reshape(-1, 3)


def read_palette(dataset: Dataset, name: str, *, signed: bool, big_endian: bool) -> Palette:
    """Read the discrete or segmented palette of an image.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        Metadata of the image
    name : str
        Name of the image in messages
    signed : bool
        Whether the stored values of pixels are signed
    big_endian : bool
        Whether the values of the data set are big endian

    Raises
    ------
    InvalidImageError
        When an attribute is missing or has no valid value
    """
    descriptors = {_read_descriptor(dataset, name, colour, signed) for colour in _COLOURS}
    if len(descriptors) > 1:
        raise InvalidImageError(
            f"{name}: the descriptors of its palette (RedPaletteColorLookupTableDescriptor, …) "
            f"differ: {sorted(descriptors)}"
        )
    ((entries, first, bits),) = descriptors
    table = np.empty((entries, 3), "u1" if bits == 8 else "<u2")
    for column, colour in enumerate(_COLOURS):
        table[:, column] = _read_samples(dataset, name, colour, entries, bits, big_endian)
    return Palette(first, bits, table.tobytes())


def _read_descriptor(
    dataset: Dataset, name: str, colour: str, signed: bool
) -> tuple[int, int, int]:
    """Read number of entries, first stored value and bits of an entry (PS3.3 C.7.6.3.1.5)."""
    keyword = f"{colour}PaletteColorLookupTableDescriptor"
    value = dataset.get(keyword)
    try:
        entries, first, bits = (int(number) for number in value)
    except (TypeError, ValueError):
        raise InvalidImageError(f"{name}: {keyword} is {value!r}, expected 3 numbers") from None
    if bits not in (8, 16):
        raise InvalidImageError(f"{name}: {keyword} is {value!r}, expected 8 or 16 bits")
    # Numbers may have been read with the wrong sign, as their VR is ambiguous; 0 entries are 65536
    first = (first + 0x8000) % 0x10000 - 0x8000 if signed else first % 0x10000
    return entries % 0x10000 or 0x10000, first, bits


def _read_samples(
    dataset: Dataset, name: str, colour: str, entries: int, bits: int, big_endian: bool
) -> NDArray:
    """Read one colour component of all entries."""
    discrete = f"{colour}PaletteColorLookupTableData"
    segmented = f"Segmented{discrete}"
    keyword = segmented if segmented in dataset and discrete not in dataset else discrete
    data = dataset.get(keyword)
    if not isinstance(data, bytes):
        raise InvalidImageError(f"{name}: {keyword} is {data!r}, expected bytes")
    # Some writers store entries of 8 bits in 16 bits: discrete tables are then twice as long, and
    # the first segment of segmented ones would have 0 entries if it were read as bytes
    wide = bits == 16 or (len(data) >= 2 * entries if keyword == discrete else data[1:2] == b"\0")
    order = ">" if big_endian else "<"
    size = 2 if wide else 1
    samples = np.frombuffer(data[: len(data) // size * size], f"{order}u2" if wide else "u1")
    if keyword == segmented:
        try:
            samples = np.array(_expand(samples, size, entries), np.int64)
        except (IndexError, ValueError) as error:
            raise InvalidImageError(f"{name}: {keyword} cannot be expanded: {error}") from error
    if len(samples) < entries or samples.max() >= 2**bits:
        raise InvalidImageError(
            f"{name}: {keyword} has {len(samples)} values up to {samples.max(initial=0)}, "
            f"expected {entries} of {bits} bits"
        )
    return samples[:entries]


def _expand(words: NDArray, size: int, entries: int) -> list[int]:
    """Expand a segmented lookup table of words of `size` bytes (PS3.3 C.7.9.2).

    Segments without entries are an error, which bounds the number of steps by that of entries.
    """
    values: list[int] = []

    def expand_segment(position: int, may_be_indirect: bool) -> int:
        kind, length = words[position : position + 2].tolist()
        if length == 0:
            raise ValueError(f"the segment at word {position} has no entries")
        position += 2
        if kind == _DISCRETE:
            values.extend(words[position : position + length].tolist())
            return position + length
        if kind == _LINEAR:
            line = np.linspace(values[-1], int(words[position]), length + 1)[1:]
            values.extend(np.rint(line).astype(int).tolist())
            return position + 1
        if kind != _INDIRECT or not may_be_indirect:
            raise ValueError(f"there is a segment of type {kind} at word {position - 2}")
        width = 4 // size
        parts = words[position : position + width].tolist()
        start = sum(part << 8 * size * i for i, part in enumerate(parts)) // size
        for _ in range(length):
            if len(values) < entries:
                start = expand_segment(start, may_be_indirect=False)
        return position + width

    position = 0
    while len(values) < entries:
        position = expand_segment(position, may_be_indirect=True)
    return values
