"""ICC profiles of written images: that of the sRGB colour space, and those of callers."""

import io
import struct
from functools import lru_cache

from PIL import ImageCms

from dicomslide.arguments import require_type
from dicomslide.errors import ArgumentValueError

__all__ = ["PROFILE_DATE", "check_profile", "make_srgb_profile"]

PROFILE_DATE = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
"""Date and time in the headers of profiles, so that these have the same bytes each time."""


@lru_cache(maxsize=1)
def make_srgb_profile() -> bytes:
    """Make an ICC profile of the sRGB colour space, the same bytes each time."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = PROFILE_DATE
    return bytes(profile)


def check_profile(name: str, profile: bytes) -> None:
    """Check that an argument is an ICC profile of red, green and blue.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        When it is none
    """
    require_type(name, profile, bytes)
    try:
        space = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip()
    except (OSError, ImageCms.PyCMSError) as error:
        raise ArgumentValueError(f"{name}: is not an ICC profile") from error
    if space != "RGB":
        raise ArgumentValueError(f"{name}: has the colour space {space}, expected RGB")
