"""The ways in which frames are stored, each beside the codec alone."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import dask
import imagecodecs
import numpy as np
from pydicom.uid import (
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

import dicomslide
from dicomslide.testing import SegmentationOptions, write_slide

__all__ = ["formats"]

_JPEG_XL = "1.2.840.10008.1.2.4.112"
# Rows and columns of the slides, in tiles
_TILES = {240: 4, 512: 2, 1024: 2}


@dataclass(frozen=True)
class _Format:
    """How frames are stored, and what decodes them and does nothing else."""

    name: str
    decode: Callable[[bytes], Any]
    transfer_syntax: str = ExplicitVRLittleEndian
    tile: int = 240
    options: Mapping[str, Any] = field(default_factory=dict)
    setting: Mapping[str, Any] = field(default_factory=dict)
    channel: int = 0


def _copy(frame: bytes) -> Any:
    return np.frombuffer(frame, np.uint8).copy()


def _bits(frame: bytes) -> Any:
    return np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little").view(bool)


_jpeg = partial(imagecodecs.jpeg8_decode, colorspace="YCBCR", outcolorspace="RGB")
_jpeg2000 = partial(imagecodecs.jpeg2k_decode, numthreads=1)
_htj2k = partial(imagecodecs.htj2k_decode, planar=False)
_jpeg_xl = partial(imagecodecs.jpegxl_decode, numthreads=1)
_GREY_16 = {"samples": 1, "bits": 16}


def _segments(kind: Any) -> dict[str, Any]:
    options = SegmentationOptions(kind, segments=("nucleus",), levels=(0,))
    return {"segmentations": (options,)}


_FORMATS = (
    _Format("JPEG, 240 x 240", _jpeg, JPEGBaseline8Bit),
    _Format("JPEG, 512 x 512", _jpeg, JPEGBaseline8Bit, 512),
    _Format("JPEG, 1024 x 1024", _jpeg, JPEGBaseline8Bit, 1024),
    _Format("JPEG 2000", _jpeg2000, JPEG2000Lossless),
    _Format("JPEG 2000, 16 bits", _jpeg2000, JPEG2000Lossless, options=_GREY_16),
    _Format("HTJ2K", _htj2k, HTJ2KLossless),
    _Format("HTJ2K, `fast-htj2k`", _htj2k, HTJ2KLossless, setting={"dicomslide.fast-htj2k": True}),
    _Format("JPEG XL", _jpeg_xl, _JPEG_XL),
    _Format("not compressed", _copy),
    _Format("not compressed, 16 bits", _copy, options=_GREY_16),
    _Format("binary segments", _bits, options=_segments("BINARY"), channel=1),
    _Format("label map", _copy, options=_segments("LABELMAP"), channel=1),
)


def formats(folder: Path, rounds: int) -> dict[str, tuple[float, float]]:
    """Measure whole images on one thread: seconds of a frame, of the codec alone and of a read.

    They are those of the processor, as some take so little that other programs would be seen.

    Parameters
    ----------
    folder : Path
        Where the slides are, which are made if they are not there
    rounds : int
        How often
    """
    found = {}
    dicomslide.set_threads(1)
    for way in _FORMATS:
        slide = dicomslide.open_slide(
            _make_slide(folder, way), correct_color=False, max_frame_cache_size=0
        )
        matrix = slide.get_total_pixel_matrix(0, way.channel)
        source = matrix.array.source
        frames = source.read(range(_TILES[way.tile] ** 2))
        seconds: dict[bool, list[float]] = {False: [], True: []}
        with dask.config.set(way.setting):
            # The first round is not counted
            for number in range(-1, rounds):
                for reads in (False, True) if number % 2 else (True, False):
                    start = time.process_time()
                    if reads:
                        matrix[:, :]
                    else:
                        for frame in frames:
                            way.decode(frame)
                    if number >= 0:
                        seconds[reads].append((time.process_time() - start) / len(frames))
        found[way.name] = statistics.median(seconds[False]), statistics.median(seconds[True])
    dicomslide.set_threads(None)
    return found


def _make_slide(folder: Path, way: _Format) -> Path:
    path = folder / "formats" / way.name.split(", `")[0].replace(" ", "-").replace(",", "")
    if not path.exists():
        print(f"writing {path} ...", flush=True)
        side = way.tile * _TILES[way.tile]
        unfinished = path.with_name(f"{path.name}.unfinished")
        write_slide(
            unfinished,
            size=(side, side),
            tile=(way.tile, way.tile),
            factors=(1,),
            transfer_syntax=way.transfer_syntax,
            label=False,
            overview=False,
            **way.options,
        )
        unfinished.rename(path)
    return path
