"""How the pixels of an image are stored (PS3.3 C.7.6.3, PS3.5 8)."""

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicomslide.errors import InvalidImageError

__all__ = ["PixelFormat", "read_pixel_format"]

_MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})
_UNSIGNED = {8: np.uint8, 16: np.uint16, 32: np.uint32}
_SIGNED = {8: np.int8, 16: np.int16, 32: np.int32}


@dataclass(frozen=True)
class PixelFormat:
    """All that is needed to decode one frame of an image.

    Parameters
    ----------
    rows, columns : int
        Size of a frame
    samples : int
        Samples per Pixel as stored
    bits_allocated, bits_stored : int
        Bits of one stored sample, and how many of them are used
    signed : bool
        Whether Pixel Representation is two's complement
    floating : bool
        Whether the frames are Float or Double Float Pixel Data
    photometric : str
        Photometric Interpretation
    planar : bool
        Whether Planar Configuration is 1 (one sample plane after the other)
    transfer_syntax_uid : str
        Transfer Syntax UID of the frames
    """

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    floating: bool
    photometric: str
    planar: bool
    transfer_syntax_uid: str

    @property
    def dtype(self) -> np.dtype:
        """Data type of the decoded pixels."""
        if self.floating:
            return np.dtype(np.float32 if self.bits_allocated == 32 else np.float64)
        if self.bits_allocated == 1:
            return np.dtype(bool)
        types = _SIGNED if self.signed else _UNSIGNED
        return np.dtype(types[self.bits_allocated])

    @property
    def is_colour(self) -> bool:
        """Whether the decoded pixels are RGB."""
        return self.photometric not in _MONOCHROME

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns and samples of a decoded frame."""
        return self.rows, self.columns, 3 if self.is_colour else self.samples

    @property
    def background(self) -> int:
        """Value of pixels that no frame covers: white for colour, 0 otherwise."""
        return 2 ** (self.bits_stored - self.signed) - 1 if self.is_colour else 0

    @property
    def frame_bits(self) -> int:
        """Size of an uncompressed frame in bits."""
        samples_per_pixel = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples_per_pixel * self.bits_allocated

    @property
    def is_encapsulated(self) -> bool:
        """Whether the frames are compressed."""
        return UID(self.transfer_syntax_uid).is_encapsulated


def read_pixel_format(dataset: Dataset, transfer_syntax_uid: str) -> PixelFormat:
    """Read the pixel format of an image.

    Raises
    ------
    InvalidImageError
        When an attribute is missing or has no valid value
    """
    name = f"image {dataset.get('SOPInstanceUID')}"

    def number(keyword: str, default: int | None = None, low: int = 1, high: int = 65535) -> int:
        value = dataset.get(keyword, default)
        if not isinstance(value, int) or not low <= value <= high:
            raise InvalidImageError(f"{name}: {keyword} is {value!r}, expected {low} to {high}")
        return int(value)

    bits_allocated = number("BitsAllocated", high=64)
    floating = "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset
    # Without the pixel data a Parametric Map tells floats from integers by what integers need
    floating |= bits_allocated in (32, 64) and "BitsStored" not in dataset
    if bits_allocated not in ((32, 64) if floating else (1, 8, 16, 32)):
        raise InvalidImageError(f"{name}: Bits Allocated is {bits_allocated}")
    photometric = dataset.get("PhotometricInterpretation")
    if not isinstance(photometric, str) or not photometric:
        raise InvalidImageError(f"{name}: PhotometricInterpretation is {photometric!r}")
    samples = number("SamplesPerPixel", default=1, high=4)
    expected = 1 if photometric in _MONOCHROME or photometric == "PALETTE COLOR" else 3
    if samples != expected:
        raise InvalidImageError(
            f"{name}: Samples per Pixel is {samples}, expected {expected} for {photometric}"
        )
    return PixelFormat(
        rows=number("Rows"),
        columns=number("Columns"),
        samples=samples,
        bits_allocated=bits_allocated,
        bits_stored=number("BitsStored", default=bits_allocated, high=bits_allocated),
        signed=number("PixelRepresentation", default=0, low=0, high=1) == 1,
        floating=floating,
        photometric=photometric,
        planar=number("PlanarConfiguration", default=0, low=0, high=1) == 1,
        transfer_syntax_uid=str(transfer_syntax_uid),
    )
