"""Exceptions of the package, each of which is also a built-in one that callers may catch."""

__all__ = [
    "ArgumentTypeError",
    "ArgumentValueError",
    "DicomSlideError",
    "FrameError",
    "InvalidImageError",
    "NoSlideError",
    "PixelIndexError",
    "SelectionError",
    "SourceError",
    "StoreError",
    "UnsupportedError",
]


class DicomSlideError(Exception):
    """Base class of all errors that this package raises on purpose."""


class ArgumentTypeError(DicomSlideError, TypeError):
    """Raised for an argument of the wrong type."""


class ArgumentValueError(DicomSlideError, ValueError):
    """Raised for an argument with a value that cannot be used."""


class PixelIndexError(DicomSlideError, IndexError):
    """Raised for an index outside the pixels, tiles or regions that exist."""


class SelectionError(DicomSlideError, ValueError, IndexError):
    """Raised for a level, channel or focal plane that does not exist or has no pixels."""


class NoSlideError(DicomSlideError, ValueError):
    """Raised for a source that holds no slide, or none that matches."""


class InvalidImageError(DicomSlideError, ValueError):
    """Raised for metadata that contradict the standard or lack what the pixels need."""


class UnsupportedError(DicomSlideError, ValueError):
    """Raised for a valid image that is stored in a way that this package cannot read."""


class FrameError(DicomSlideError, ValueError):
    """Raised for a frame whose bytes cannot be located or decoded."""


class SourceError(DicomSlideError, OSError):
    """Raised for a file or a server that does not deliver what was requested."""


class StoreError(DicomSlideError, OSError):
    """Raised for an output that cannot be written, or would replace existing data."""
