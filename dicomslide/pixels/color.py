"""Colour correction with ICC profiles (PS3.3 C.11.15)."""

import hashlib
import io
import threading
import warnings
from dataclasses import dataclass
from functools import cache, lru_cache, partial

import numpy as np
from imagecodecs import cms_profile, cms_transform
from numpy.typing import NDArray
from PIL import Image, ImageCms
from pydicom.dataset import Dataset

from dicomslide.bounds import Recent
from dicomslide.errors.damage import reads_image
from dicomslide.metadata.channels import channel_items
from dicomslide.processes import make_lock

__all__ = ["ColorTransform", "color_transform", "icc_profile"]

# A colour as a number: its samples from the least significant byte on; the highest byte marks the
# entries of a table that are known
_CODE = np.dtype("<u4")
_SAMPLES = 0xFFFFFF
_KNOWN = np.uint32(0xFF000000)
# Entries of the table of a profile; the system allocates only memory pages that colours touch
_COLORS = 2**24
# Number of pixels that are corrected at once: all of a frame of 256 x 256 pixels
_BAND = 2**16
# Colours whose samples share their upper four bits are a block. Slides have many colours of one
# block, so all of them are corrected when one is seen, those of at most _BLOCKS blocks at once
_UPPER, _BLOCKS = np.uint32(0xF0F0F0), 64
_BITS = np.arange(16, dtype=_CODE)
_LOWER = (_BITS[:, np.newaxis, np.newaxis] << 16 | _BITS[:, np.newaxis] << 8 | _BITS).ravel()
# Each time that _PIXELS pixels were corrected, _TESTED more colours are tested for changes by the
# profile: no read takes much longer than the others, and all colours are known after 2^20 pixels
_TESTED, _PIXELS = 2**20, 2**16


@dataclass(frozen=True)
class ColorTransform:
    """Transform of 8-bit RGB pixels from the colour space of a device to sRGB.

    LittleCMS transforms each colour once, and a table remembers the result, as slides have far
    fewer colours than pixels. Many profiles are sRGB themselves: once all colours were found to
    stay the same, pixels are only copied. A transform may be used from any thread, and only its
    profile is pickled.

    Parameters
    ----------
    profile : bytes
        ICC profile of the device
    """

    profile: bytes

    def __call__(
        self, pixels: NDArray[np.uint8], out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Correct pixels of shape (rows, columns, 3), and write them to `out` if it is given."""
        if out is None:
            out = np.empty(pixels.shape, np.uint8)
        rows, columns = pixels.shape[:2]
        # Some rows at a time, so that intermediate results stay in the processor's cache
        step = max(_BAND // max(columns, 1), 1)
        for top in range(0, rows if columns else 0, step):
            if self.profile in _unchanging:
                out[top:] = pixels[top:]
                break
            out[top : top + step] = self._correct(pixels[top : top + step])
        return out

    def _correct(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Correct pixels; the next call on the same thread overwrites the result."""
        codes, corrected = _memory.pack(pixels)
        colors = _colors.get(self.profile, partial(_Colors, self.profile), _Colors.size)
        # The mode spares a check of the codes, which are in bounds. A colour that another thread
        # is just learning is read as its code or as 0
        colors.table.take(codes, mode="clip", out=corrected)
        if corrected.min() == 0:
            missing = np.flatnonzero(corrected == 0)
            corrected[missing] = colors.learn(codes[missing].astype(_CODE))
        colors.test(len(codes))
        return _memory.unpack(corrected).reshape(pixels.shape)


class _Colors:
    """Table of the colours of a profile that this process has corrected.

    Parameters
    ----------
    profile : bytes
        ICC profile
    """

    size = _COLORS * _CODE.itemsize
    """Most bytes that a table takes."""

    def __init__(self, profile: bytes) -> None:
        self.table = np.zeros(_COLORS, _CODE)
        """Corrected colours by the code of the colour; 0 where none is known yet."""
        self._profile = profile
        self._changes = False
        self._tested = 0
        self._pixels = 0
        self._lock = make_lock()

    def learn(self, codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Correct colours with LittleCMS, and remember them and others of their blocks."""
        blocks = np.bitwise_or.outer(np.unique(codes & _UPPER)[:_BLOCKS], _LOWER)
        learned = np.concatenate([codes, blocks.ravel()])
        image = Image.frombuffer("RGBX", (len(learned), 1), learned, "raw", "RGBX", 0, 1)
        made = ImageCms.applyTransform(image, _transform(self._profile))
        corrected = np.asarray(made).view(_CODE).reshape(-1) | _KNOWN
        if not np.array_equal(corrected, learned | _KNOWN):
            self._changes = True
        self.table[learned] = corrected
        return corrected[: len(codes)]

    def test(self, pixels: int) -> None:
        """Count corrected pixels, and now and then test more colours for changes by the profile."""
        if self._changes:
            return
        with self._lock:
            self._pixels += pixels
            # Another thread may have tested the last colours in the meantime
            if self._pixels < _PIXELS or self._tested == _COLORS:
                return
            self._pixels -= _PIXELS
            stop = self._tested + _TESTED
            codes = np.arange(self._tested, stop, dtype=_CODE)
            colors = np.ascontiguousarray(codes.view(np.uint8).reshape(1, -1, 4)[..., :3])
            # imagecodecs is four times as fast as Pillow here, with the same library. The table is
            # not used, as all of its memory would be
            made = cms_transform(
                colors, self._profile, _srgb(), colorspace="rgb", outcolorspace="rgb"
            )
            self._changes = not np.array_equal(made, colors)
            self._tested = stop
            if stop == _COLORS and not self._changes:
                _unchanging.add(self._profile)
                _colors.drop(self._profile)


class _Memory(threading.local):
    """Memory of each thread that corrections reuse."""

    size = 0

    def pack(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.uint32]]:
        """Convert pixels to codes; return these, and memory for their corrected colours."""
        count = pixels.shape[0] * pixels.shape[1]
        if count > self.size:
            self._allocate(max(count, _BAND))
        self.bytes[: 3 * count].reshape(pixels.shape)[...] = pixels
        codes = self.codes[:count]
        # The bytes of the next colours are masked out
        np.bitwise_and(self.packed[:count], _SAMPLES, out=codes)
        return codes, self.corrected[:count]

    def unpack(self, corrected: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """Convert corrected colours of `pack` to their samples, one after the other."""
        # The byte too many of each colour is overwritten by the next one, as NumPy copies to
        # ascending addresses. Copies sample by sample take two to three times as long
        self.unpacked[: len(corrected)] = corrected
        return self.bytes[: 3 * len(corrected)]

    def _allocate(self, size: int) -> None:
        """Allocate memory for some pixels."""
        # NumPy would convert indices of another type each time
        self.codes = np.empty(size, np.intp)
        self.corrected = np.empty(size, _CODE)
        self.bytes = np.empty(3 * size + self.codes.itemsize, np.uint8)
        # The bytes as little-endian numbers, which overlap at a stride of three
        codes = self.codes.dtype.newbyteorder("<")
        self.packed = np.ndarray(size, codes, self.bytes.data, strides=(3,))
        self.unpacked = np.ndarray(size, _CODE, self.bytes.data, strides=(3,))
        self.size = size


_memory = _Memory()


@reads_image
def icc_profile(dataset: Dataset, optical_path: int = 0) -> bytes | None:
    """Read the ICC Profile of an optical path, or else of the image; None where there is none."""
    items = channel_items(dataset)
    for item in (*items[optical_path : optical_path + 1], dataset):
        profile = item.get("ICCProfile")
        if profile:
            return bytes(profile)
    return None


def color_transform(profile: bytes | None, name: str) -> ColorTransform | None:
    """Make the transform of a profile.

    Parameters
    ----------
    profile : bytes, optional
        ICC profile
    name : str
        Name of the image in a warning

    Returns
    -------
    ColorTransform, optional
        None where there is no profile, or a broken one

    Warns
    -----
    UserWarning
        When the profile is broken, once for each profile
    """
    if profile is None:
        return None
    try:
        _transform(profile)
    except (OSError, ValueError, ImageCms.PyCMSError) as error:
        digest = hashlib.sha256(profile).digest()
        if digest not in _reported:
            _reported.add(digest)
            warnings.warn(
                f"{name}: colours stay uncorrected: broken ICC profile: {error}", stacklevel=2
            )
        return None
    return ColorTransform(profile)


_reported: set[bytes] = set()


@cache
def _srgb() -> bytes:
    profile: bytes = cms_profile("srgb")
    return profile


@lru_cache(maxsize=32)
def _transform(profile: bytes) -> ImageCms.ImageCmsTransform:
    device = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(device, ImageCms.createProfile("sRGB"), "RGBX", "RGBX")


_colors = Recent("colors")
_unchanging: set[bytes] = set()
"""Profiles that are known to change no colour, kept also in the child of a fork."""
