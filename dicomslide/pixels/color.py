"""Colour correction with ICC profiles (PS3.3 C.11.15)."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from pydicom.dataset import Dataset

from dicomslide.damage import reads_image
from dicomslide.metadata.channels import channel_items

__all__ = ["ColorTransform", "color_transform", "icc_profile"]

# One number for a colour: its samples from the least significant byte on, then what marks it
_CODE = np.dtype("<u4")
_KNOWN = 255
# The table of a profile takes up to 64 MiB, of which only what its colours touch is used
_MAX_TABLES = 4


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

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Correct pixels of shape (rows, columns, 3)."""
        table = _table(self.profile)
        codes = _pack(pixels, 0)
        # Where another thread fills in a colour at the same time, this one sees it or 0
        corrected = table.take(codes, mode="wrap")  # Codes are never out of bounds
        missing = np.flatnonzero(corrected == 0)
        if missing.size:
            unknown = codes.flat[missing]
            image = Image.fromarray(_unpack(unknown)[np.newaxis])
            known = np.asarray(ImageCms.applyTransform(image, _transform(self.profile)))
            corrected.flat[missing] = table[unknown] = _pack(known[0], _KNOWN)
        return _unpack(corrected)


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


@lru_cache(maxsize=_MAX_TABLES)
def _table(profile: bytes) -> NDArray[np.uint32]:
    """The corrected colours that are known so far, by code; 0 where none is."""
    return np.zeros(2**24, _CODE)


def _pack(pixels: NDArray[np.uint8], mark: int) -> NDArray[np.uint32]:
    """Turn pixels of shape (..., 3) into codes."""
    codes = np.empty(pixels.shape[:-1], _CODE)
    samples = codes.view(np.uint8).reshape(*codes.shape, 4)
    # Sample by sample, as NumPy is slow with axes as short as that of the samples
    for i in range(3):
        samples[..., i] = pixels[..., i]
    samples[..., 3] = mark
    return codes


def _unpack(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Turn codes into pixels of shape (..., 3)."""
    samples = codes.view(np.uint8).reshape(*codes.shape, 4)
    pixels = np.empty((*codes.shape, 3), np.uint8)
    for i in range(3):
        pixels[..., i] = samples[..., i]
    return pixels
