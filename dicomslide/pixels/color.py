"""Colour correction with ICC profiles (PS3.3 C.11.15)."""

import hashlib
import io
import threading
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from pydicom.dataset import Dataset

from dicomslide.bounds import Recent
from dicomslide.damage import reads_image
from dicomslide.metadata.channels import channel_items

__all__ = ["ColorTransform", "color_transform", "icc_profile"]

# One number for a colour: its samples from the least significant byte on, then what marks it
_CODE = np.dtype("<u4")
_KNOWN = 255
# Of the table of a profile only what its colours touch is used
_COLORS = 2**24
# So many pixels are corrected at once
_BAND = 2**15


@dataclass(frozen=True)
class ColorTransform:
    """Transforms 8-bit RGB pixels from the colour space of a device to sRGB.

    The pixels are those that LittleCMS makes. As slides have far fewer colours than pixels, it
    makes each colour only once. A transform may be used from any thread; pickled, it is no more
    than its profile.

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
        table = _tables.get(self.profile, _table, _COLORS * _CODE.itemsize)
        # Codes are never out of bounds. Where another thread fills in a colour at the same time,
        # this one sees it or 0
        table.take(codes, mode="clip", out=corrected)
        if corrected.min() == 0:
            missing = np.flatnonzero(corrected == 0)
            unknown = codes[missing]
            image = Image.fromarray(_samples(unknown)[np.newaxis, :, :3])
            known = np.asarray(ImageCms.applyTransform(image, _transform(self.profile)))
            marked = np.full((len(unknown), 4), _KNOWN, np.uint8)
            marked[:, :3] = known[0]
            corrected[missing] = table[unknown] = marked.view(_CODE)[:, 0]
        return _samples(corrected).reshape(rows, columns, 4)


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
        codes = np.bitwise_and(overlapping, 0xFFFFFF, out=self.codes[:count])
        return codes, self.corrected[:count]


_memory = _Memory()


def _samples(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """The bytes of contiguous codes, shape (codes, 4)."""
    return codes.view(np.uint8).reshape(-1, 4)


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


@lru_cache(maxsize=32)
def _transform(profile: bytes) -> ImageCms.ImageCmsTransform:
    device = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(device, ImageCms.createProfile("sRGB"), "RGB", "RGB")


def _table() -> NDArray[np.uint32]:
    """The corrected colours that are known so far, by code; 0 where none is."""
    return np.zeros(_COLORS, _CODE)


_tables = Recent("colors")
