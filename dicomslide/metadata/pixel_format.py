"""Pixel format of an image: all attributes that decoding needs (PS3.3 C.7.6.3, PS3.5 8)."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from dicomslide.errors import InvalidImageError
from dicomslide.errors.damage import reads_image
from dicomslide.metadata.flavors import is_label_map
from dicomslide.metadata.palette import Palette, read_palette
from dicomslide.metadata.transfer_syntaxes import is_encapsulated

__all__ = ["PixelFormat", "read_pixel_format"]

_MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})
_PALETTE = "PALETTE COLOR"
_UNSIGNED = {8: np.uint8, 16: np.uint16, 32: np.uint32}
_SIGNED = {8: np.int8, 16: np.int16, 32: np.int32}


@dataclass(frozen=True)
class PixelFormat:
    """Pixel format of the frames of an image.

    Parameters
    ----------
    rows, columns : int
        Size of a frame
    samples : int
        Samples per Pixel as stored
    bits_allocated, bits_stored, high_bit : int
        Number of bits of one stored sample, number of bits that are used, and highest used bit
    signed : bool
        Whether Pixel Representation is two's complement
    floating : bool
        Whether the frames are Float or Double Float Pixel Data
    photometric : str
        Photometric Interpretation
    planar : bool
        Whether Planar Configuration is 1 (one sample plane after the other)
    transfer_syntax_uid : str
        Transfer Syntax UID of the frames; empty where it is not known before they are read
    palette : Palette, optional
        Colours of the stored values
    """

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    floating: bool
    photometric: str
    planar: bool
    transfer_syntax_uid: str
    palette: Palette | None = None

    @cached_property
    def token(self) -> str:
        """Key that is equal for the same format, also in another process."""
        fields = [
            value.token if isinstance(value, Palette) else value
            for name, value in sorted(vars(self).items())
            if name in self.__dataclass_fields__
        ]
        return hashlib.sha256(repr(fields).encode()).hexdigest()[:32]

    @cached_property
    def stored_dtype(self) -> np.dtype:
        """Data type of the stored values."""
        if self.floating:
            return np.dtype(np.float32 if self.bits_allocated == 32 else np.float64)
        if self.bits_allocated == 1:
            return np.dtype(bool)
        types = _SIGNED if self.signed else _UNSIGNED
        return np.dtype(types[self.bits_allocated])

    @cached_property
    def dtype(self) -> np.dtype:
        """Data type of the decoded pixels."""
        return self.palette.dtype if self.palette else self.stored_dtype

    @property
    def is_colour(self) -> bool:
        """Whether the decoded pixels are RGB."""
        return self.samples == 3 or self.palette is not None

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns and samples of a decoded frame."""
        return self.rows, self.columns, 3 if self.is_colour else self.samples

    @property
    def bits(self) -> int:
        """Number of bits of a decoded sample that are used."""
        return self.palette.bits if self.palette else self.bits_stored

    @property
    def background(self) -> int:
        """Value of pixels that no frame covers: white for colour, 0 otherwise."""
        if not self.is_colour:
            return 0
        # Signed stored values of an image with a palette have unsigned colours
        return int(2 ** (self.bits - (self.signed and self.palette is None)) - 1)

    @property
    def frame_bits(self) -> int:
        """Size of an uncompressed frame in bits."""
        samples_per_pixel = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples_per_pixel * self.bits_allocated

    @property
    def is_encapsulated(self) -> bool:
        """Whether the frames are compressed."""
        return is_encapsulated(self.transfer_syntax_uid)


@reads_image
def read_pixel_format(dataset: Dataset, transfer_syntax_uid: str) -> PixelFormat:
    """Read the pixel format of an image.

    Raises
    ------
    InvalidImageError
        When an attribute is missing or has no valid value
    """

    def number(keyword: str, default: int | None = None, low: int = 1, high: int = 65535) -> int:
        value = dataset.get(keyword, default)
        if not isinstance(value, int) or not low <= value <= high:
            raise InvalidImageError(f"{keyword} is {value!r}, expected {low} to {high}")
        return int(value)

    bits_allocated = number("BitsAllocated", high=64)
    floating = "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset
    # A data set without its pixel data has floats if it lacks Bits Stored, which integers need
    floating |= bits_allocated in (32, 64) and "BitsStored" not in dataset
    if bits_allocated not in (allowed := (32, 64) if floating else (1, 8, 16, 32)):
        raise InvalidImageError(f"Bits Allocated is {bits_allocated}, expected one of {allowed}")
    photometric = dataset.get("PhotometricInterpretation")
    if not isinstance(photometric, str) or not photometric:
        raise InvalidImageError(f"PhotometricInterpretation is {photometric!r}, expected a term")
    samples = number("SamplesPerPixel", default=1, high=4)
    expected = 1 if photometric in _MONOCHROME or photometric == _PALETTE else 3
    if samples != expected:
        raise InvalidImageError(
            f"Samples per Pixel is {samples}, expected {expected} for {photometric}"
        )
    if photometric not in _MONOCHROME and (floating or bits_allocated == 1):
        kind = "floats" if floating else "one bit"
        raise InvalidImageError(
            f"PhotometricInterpretation is {photometric}, expected MONOCHROME2 for {kind}"
        )
    bits_stored = number("BitsStored", default=bits_allocated, high=bits_allocated)
    signed = number("PixelRepresentation", default=0, low=0, high=1) == 1
    # The pixels of a label map stay Segment Numbers, as its palette is only for display
    has_palette = photometric == _PALETTE and not is_label_map(dataset)
    return PixelFormat(
        rows=number("Rows"),
        columns=number("Columns"),
        samples=samples,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=number(
            "HighBit", default=bits_stored - 1, low=bits_stored - 1, high=bits_allocated - 1
        ),
        signed=signed,
        floating=floating,
        photometric=photometric,
        planar=number("PlanarConfiguration", default=0, low=0, high=1) == 1,
        transfer_syntax_uid=str(transfer_syntax_uid),
        palette=(
            read_palette(
                dataset,
                f"image {dataset.get('SOPInstanceUID')}",
                signed=signed,
                big_endian=transfer_syntax_uid == ExplicitVRBigEndian,
            )
            if has_palette
            else None
        ),
    )
