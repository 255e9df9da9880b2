"""Writes an instance: paints and encodes its frames, and streams them to a file."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy.typing as npt

from dicomslide.testing.instance import Instance
from dicomslide.testing.layout import Frame
from dicomslide.testing.options import SlideOptions
from dicomslide.testing.wsi import build_dataset
from dicomslide.writing.encoding import encode_frame
from dicomslide.writing.part10 import open_spool, write_encapsulated, write_native

__all__ = ["write_instance"]

Render = Callable[[Frame], npt.NDArray[Any]]

_BATCH = 16


def write_instance(
    folder: Path,
    options: SlideOptions,
    instance: Instance,
    number: int,
    render: Render,
    sources: Sequence[Instance] = (),
) -> None:
    """Write an instance to a file in `folder`.

    Parameters
    ----------
    folder : pathlib.Path
        Folder to write into
    options : SlideOptions
        The slide
    instance : Instance
        The instance
    number : int
        Instance Number
    render : Callable
        Paints a frame: an array of shape (rows, columns, samples)
    sources : sequence of Instance, optional
        Instances that it was resampled from
    """
    path = folder / instance.file_name
    stored = instance.pixel_format
    dataset = build_dataset(options, instance, number, sources)
    frames = _encode_frames(instance, render, options.threads)
    if stored.is_native:
        length = len(instance.frames) * instance.frame_length
        with path.open("wb") as file:
            write_native(file, dataset, stored.transfer_syntax, frames, length)
        return
    with open_spool(folder) as spool:
        encoded = spool.take([spool.add(frame) for frame in frames])
        if dataset.LossyImageCompression == "01":
            ratio = len(encoded) * instance.frame_length / int(encoded.lengths.sum())
            dataset.LossyImageCompressionRatio = f"{ratio:.6g}"
        with path.open("wb") as file:
            write_encapsulated(
                file,
                dataset,
                stored.transfer_syntax,
                encoded,
                options.offset_table,
                options.fragments_per_frame,
            )


def _encode_frames(instance: Instance, render: Render, threads: int) -> Iterator[bytes]:
    """Paint and encode the frames in order; no more than a batch is in memory at a time."""

    def encode(frame: Frame) -> bytes:
        return encode_frame(render(frame), instance.pixel_format)

    if threads == 1 or len(instance.frames) == 1:
        yield from map(encode, instance.frames)
        return
    batch = _BATCH * threads
    with ThreadPoolExecutor(threads) as executor:
        for start in range(0, len(instance.frames), batch):
            yield from executor.map(encode, instance.frames[start : start + batch])
