"""Codecs of the chunks of a store, by name."""

from collections.abc import Iterable
from typing import Any

import numcodecs  # type: ignore[import-untyped]
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from dicomslide.errors import ArgumentValueError
from dicomslide.export.choices import COMPRESSORS

__all__ = ["find_compressors"]

# Higher levels take several times as long, and save only a few percent for pixels of lossy images
_LEVEL = 1


def find_compressors(compressor: Any, zarr_format: int) -> tuple[Any, ...]:
    """Find the codecs for the name of a compressor; codecs are returned as they are.

    Raises
    ------
    ValueError
        When no compressor has the name
    """
    if compressor is None:
        return ()
    if isinstance(compressor, str):
        return _named(compressor, zarr_format)
    if isinstance(compressor, Iterable) and not isinstance(compressor, dict):
        return tuple(compressor)
    return (compressor,)


def _named(name: str, zarr_format: int) -> tuple[Any, ...]:
    if name not in COMPRESSORS:
        raise ArgumentValueError(
            f"compressor: expected {', '.join(COMPRESSORS)} or a codec, got {name!r}"
        )
    if name == "none":
        return ()
    if name == "blosc":
        if zarr_format == 2:
            return (numcodecs.Blosc("zstd", _LEVEL, numcodecs.Blosc.SHUFFLE),)
        return (BloscCodec(cname="zstd", clevel=_LEVEL, shuffle="shuffle"),)
    if name == "zstd":
        return (numcodecs.Zstd(_LEVEL) if zarr_format == 2 else ZstdCodec(level=_LEVEL),)
    return (numcodecs.GZip(_LEVEL) if zarr_format == 2 else GzipCodec(level=_LEVEL),)
