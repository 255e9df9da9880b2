"""Colour correction with ICC profiles (PS3.3 C.11.15)."""

import io
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from pydicom.dataset import Dataset

from dicomslide.metadata.channels import channel_items

__all__ = ["ColorTransform", "color_transform", "icc_profile"]


@dataclass(frozen=True)
class ColorTransform:
    """Transforms 8-bit RGB pixels from the device's colour space to sRGB.

    Parameters
    ----------
    profile : bytes
        ICC profile of the device
    """

    profile: bytes

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Correct pixels of shape (rows, columns, 3)."""
        image = Image.fromarray(np.ascontiguousarray(pixels))
        corrected = ImageCms.applyTransform(image, _transform(self.profile))
        return np.asarray(corrected)


def icc_profile(dataset: Dataset, optical_path: int = 0) -> bytes | None:
    """Get the ICC Profile of an optical path, or of the image; None where there is none."""
    items = channel_items(dataset)
    for item in (*items[optical_path : optical_path + 1], dataset):
        profile = item.get("ICCProfile")
        if profile:
            return bytes(profile)
    return None


def color_transform(profile: bytes | None, name: str) -> ColorTransform | None:
    """Make the transform of a profile; None for no profile and, with a warning, a broken one."""
    if profile is None:
        return None
    try:
        _transform(profile)
    except (OSError, ValueError, ImageCms.PyCMSError) as error:
        warnings.warn(
            f"{name}: colours stay uncorrected: broken ICC profile: {error}", stacklevel=2
        )
        return None
    return ColorTransform(profile)


@lru_cache(maxsize=32)
def _transform(profile: bytes) -> ImageCms.ImageCmsTransform:
    device = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(device, ImageCms.createProfile("sRGB"), "RGB", "RGB")
