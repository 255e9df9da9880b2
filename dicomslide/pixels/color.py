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

# One number for a colour: its samples from the least significant byte on, then what marks it
_CODE = np.dtype("<u4")
_SAMPLES = 0xFFFFFF
_KNOWN = np.uint32(0xFF000000)
# Entries of the table of a profile; memory pages that no colour touches are never allocated
_COLORS = 2**24
# Number of pixels that are corrected at once
_BAND = 2**15
# Whether a profile changes any colour is found out with so many colours at once, each time that so
# many pixels were corrected: no read takes much longer than the others, and all colours are known
# after 2^20 pixels
_TESTED, _PIXELS = 2**20, 2**16


@dataclass(frozen=True)
class ColorTransform:
    """Transforms 8-bit RGB pixels from the colour space of a device to sRGB.

    The pixels are those that LittleCMS makes. As slides have far fewer colours than pixels, it
    makes each colour only once. Many profiles are sRGB themselves and change no colour: once this
    process has seen that of all colours, pixels are only copied. A transform may be used from any
    thread; pickled, it is no more than its profile.

    Parameters
    ----------
    profile : bytes
        ICC profile of the device
    """

    profile: bytes

    def __call__(
        self, pixels: NDArray[np.uint8], out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Correct pixels of shape (rows, columns, 3), into another array if it is given."""
        if out is None:
            out = np.empty(pixels.shape, np.uint8)
        rows, columns = pixels.shape[:2]
        # Some rows at a time, so that all that is in between stays close to the processor
        step = max(_BAND // max(columns, 1), 1)
        for top in range(0, rows if columns else 0, step):
            if self.profile in _unchanging:
                out[top:] = pixels[top:]
                break
            corrected = self._correct(pixels[top : top + step])
            # Sample by sample, as NumPy is slow with axes as short as that of the samples
            for i in range(3):
                out[top : top + step, :, i] = corrected[..., i]
        return out

    def _correct(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Correct some pixels: an array whose last axis begins with their three samples.

        It is overwritten by the next call on the same thread.
        """
        rows, columns = pixels.shape[:2]
        codes, corrected = _memory.pack(pixels)
        colors = _colors.get(self.profile, partial(_Colors, self.profile), _Colors.size)
        # Codes are never out of bounds. Where another thread fills in a colour at the same time,
        # this one sees it or 0
        colors.table.take(codes, mode="clip", out=corrected)
        if corrected.min() == 0:
            missing = np.flatnonzero(corrected == 0)
            corrected[missing] = colors.learn(codes[missing])
        colors.test(len(codes))
        return corrected.view(np.uint8).reshape(rows, columns, 4)


class _Colors:
    """What this process knows of the colours of a profile.

    Parameters
    ----------
    profile : bytes
        ICC profile
    """

    size = _COLORS * _CODE.itemsize
    """Bytes that it takes at the most."""

    def __init__(self, profile: bytes) -> None:
        self.table = np.zeros(_COLORS, _CODE)
        """The corrected colours that are known so far, by code; 0 where none is."""
        self._profile = profile
        self._changes = False
        self._tested = 0
        self._pixels = 0
        self._lock = make_lock()

    def learn(self, codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Have LittleCMS correct colours, which are known from then on."""
        image = Image.frombuffer("RGBX", (len(codes), 1), codes, "raw", "RGBX", 0, 1)
        made = ImageCms.applyTransform(image, _transform(self._profile))
        corrected = np.asarray(made).view(_CODE).reshape(-1) | _KNOWN
        if not np.array_equal(corrected, codes | _KNOWN):
            self._changes = True
        self.table[codes] = corrected
        return corrected

    def test(self, pixels: int) -> None:
        """Go on to find out whether the profile changes any colour, after so many more pixels."""
        if self._changes:
            return
        with self._lock:
            self._pixels += pixels
            # Another thread may have finished in the meantime
            if self._pixels < _PIXELS or self._tested == _COLORS:
                return
            self._pixels -= _PIXELS
            stop = self._tested + _TESTED
            codes = np.arange(self._tested, stop, dtype=_CODE)
            colors = np.ascontiguousarray(codes.view(np.uint8).reshape(1, -1, 4)[..., :3])
            # Four times as fast as Pillow with the same library, and no entry of the table is used
            made = cms_transform(
                colors, self._profile, _srgb(), colorspace="rgb", outcolorspace="rgb"
            )
            self._changes = not np.array_equal(made, colors)
            self._tested = stop
            if stop == _COLORS and not self._changes:
                _unchanging.add(self._profile)
                _colors.drop(self._profile)


class _Memory(threading.local):
    """Memory of each thread for pixels that are being corrected."""

    size = 0

    def pack(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Turn pixels into codes, with as many places for their corrected colours."""
        count = pixels.shape[0] * pixels.shape[1]
        if count > self.size:
            size = max(count, _BAND)
            self.codes, self.corrected = np.empty((2, size), _CODE)
            self.bytes = np.empty(3 * size + 1, np.uint8)
            self.size = size
        self.bytes[: 3 * count].reshape(pixels.shape)[...] = pixels
        # A code is read at each pixel, with a byte too many from the pixel after it
        overlapping = np.ndarray(count, _CODE, self.bytes.data, strides=(3,))
        codes = np.bitwise_and(overlapping, _SAMPLES, out=self.codes[:count])
        return codes, self.corrected[:count]


_memory = _Memory()


@reads_image
def icc_profile(dataset: Dataset, optical_path: int = 0) -> bytes | None:
    """Get the ICC Profile of an optical path, or of the image; None where there is none."""
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
        What the image is called in a warning

    Returns
    -------
    ColorTransform, optional
        None where there is no profile, or it is broken, of which the first image with it warns
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
"""Profiles that are known to change no colour; a forked process knows them, too."""
