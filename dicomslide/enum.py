"""Enumerated values of the public interface."""

from enum import Enum

__all__ = ["ChannelTypes", "ImageFlavors"]


class ChannelTypes(Enum):
    """Kind of a channel of an image, which depends on its Information Object Definition."""

    OPTICAL_PATH = "OPTICAL_PATH"
    """Item of the Optical Path Sequence (PS3.3 C.8.12.5) of a slide microscopy image."""
    SEGMENT = "SEGMENT"
    """Item of the Segment Sequence (PS3.3 C.8.20.2) of a Segmentation."""
    PARAMETER = "PARAMETER"
    """Quantity of a Parametric Map: a Real World Value Mapping (PS3.3 C.7.6.16.2.11)."""


class ImageFlavors(Enum):
    """Value 3 of Image Type of a slide microscopy image (PS3.3 C.8.12.4.1.1)."""

    VOLUME = "VOLUME"
    LABEL = "LABEL"
    OVERVIEW = "OVERVIEW"
    THUMBNAIL = "THUMBNAIL"
