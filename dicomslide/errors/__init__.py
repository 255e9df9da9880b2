"""The exceptions that the package raises, each also a built-in that callers may already catch."""

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
    """Base of all errors that this package raises on purpose."""


class ArgumentTypeError(DicomSlideError, TypeError):
    """An argument has the wrong type."""


class ArgumentValueError(DicomSlideError, ValueError):
    """An argument has a value that cannot be used."""


class PixelIndexError(DicomSlideError, IndexError):
    """An index lies outside the pixels, tiles or regions that exist."""


class SelectionError(DicomSlideError, ValueError, IndexError):
    """There is no such level, channel or focal plane, or it has no pixels."""


class NoSlideError(DicomSlideError, ValueError):
    """A source holds no slide, or none that matches."""


class InvalidImageError(DicomSlideError, ValueError):
    """A file or data set contradicts the standard or lacks what is needed to place its pixels."""


class UnsupportedError(DicomSlideError, ValueError):
    """A valid image that is stored in a way which this package cannot read."""


class FrameError(DicomSlideError, ValueError):
    """The bytes of a frame cannot be located or decoded."""


class SourceError(DicomSlideError, OSError):
    """A file or a server did not deliver what was asked for."""


class StoreError(DicomSlideError, OSError):
    """An output cannot be written, or would replace something that is there."""
