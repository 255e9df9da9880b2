"""The ICC profile of the sRGB colour space."""

import struct
from functools import lru_cache

from PIL import ImageCms

__all__ = ["PROFILE_DATE", "make_srgb_profile"]

PROFILE_DATE = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
"""Date and time in the headers of profiles, so that these have the same bytes each time."""


@lru_cache(maxsize=1)
def make_srgb_profile() -> bytes:
    """Make an ICC profile of the sRGB colour space, the same bytes each time."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = PROFILE_DATE
    return bytes(profile)
