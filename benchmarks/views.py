"""The views of the pixels that this library offers, beside the plain matrix."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import dicomslide
from benchmarks.slides import TILE
from dicomslide.pixels.codecs import decode_frame
from dicomslide.pixels.threads import set_threads

__all__ = ["mean_by_hand", "peak_memory", "reductions", "small_reads"]

_SIDE, _BATCH = 256, 64
_CHUNKS: dict[str, Any] = {
    '`"frames"`': "frames",
    "4 x 4 frames": 4 * TILE,
    "8 x 8 frames": 8 * TILE,
    '`"auto"`': "auto",
}


def small_reads(folder: Path, rounds: int) -> dict[str, float]:
    """Measure reads of 256 x 256 pixels at random through each view: name to seconds."""
    slide = dicomslide.open_slide(folder, correct_color=False, max_frame_cache_size=0)
    matrix = slide.get_image(0).get_total_pixel_matrix()
    lazy = slide.to_datatree(chunks=None)["level_0"].image
    chunked = slide.to_datatree()["level_0"].image
    frames = matrix.dask
    views: dict[str, Callable[[slice, slice], Any]] = {
        "`matrix[y, x]`": lambda y, x: matrix[y, x],
        "`image[0, 0, y, x].values`, `chunks=None`": lambda y, x: lazy[0, 0, y, x].values,
        "`matrix.dask[y, x]`, nothing computed": lambda y, x: frames[y, x],
        "`matrix.dask[y, x].compute()`": lambda y, x: frames[y, x].compute(),
        "`image[0, 0, y, x].values`, `chunks={}`": lambda y, x: chunked[0, 0, y, x].values,
    }
    random = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {name: [] for name in views}
    for read in views.values():
        read(slice(0, _SIDE), slice(0, _SIDE))
    set_threads(1)
    for _ in range(10 * rounds):
        row, column = (int(random.integers(0, extent - _SIDE)) for extent in matrix.shape[:2])
        # The first one would pay for bringing the frames into the memory of the processor
        matrix[row : row + _SIDE, column : column + _SIDE]
        for name, read in views.items():
            start = time.perf_counter()
            read(slice(row, row + _SIDE), slice(column, column + _SIDE))
            seconds[name].append(time.perf_counter() - start)
    set_threads(None)
    return {name: statistics.median(values) for name, values in seconds.items()}


def mean_by_hand(matrix: dicomslide.TotalPixelMatrix, pool: Executor) -> float:
    """Compute the mean of a level: workers read batches of frames, and add up their pixels."""
    frames = range(matrix.num_tiles)
    batches = [frames[first : first + _BATCH] for first in frames[::_BATCH]]
    return sum(pool.map(partial(_add_up, matrix.array), batches)) / matrix.size


def _add_up(array: Any, frames: range) -> float:
    batch = array.source.read(frames)
    return sum(float(decode_frame(f, array.pixel_format).sum(dtype=np.float64)) for f in batch)


def reductions(folder: Path, rounds: int) -> dict[str, float]:
    """Measure the mean of the whole base level on two threads, by the size of chunks.

    The first one is made by hand: each thread decodes frames and adds up their pixels.
    """
    slide = dicomslide.open_slide(folder, correct_color=False, max_frame_cache_size=0)
    matrix = slide.get_image(0).get_total_pixel_matrix()

    def by_hand() -> float:
        with ThreadPoolExecutor(2) as pool:
            return mean_by_hand(matrix, pool)

    def with_dask(chunks: Any) -> float:
        return float(matrix.to_dask(chunks).mean().compute(scheduler="threads", num_workers=2))

    seconds: dict[str, list[float]] = {}
    means = set()
    for _ in range(rounds):
        start = time.perf_counter()
        means.add(round(by_hand(), 6))
        seconds.setdefault("by hand", []).append(time.perf_counter() - start)
        for name, chunks in _CHUNKS.items():
            start = time.perf_counter()
            means.add(round(with_dask(chunks), 6))
            seconds.setdefault(name, []).append(time.perf_counter() - start)
    if len(means) > 1:
        raise RuntimeError(f"the means of one level differ: {means}")
    return {name: statistics.median(values) for name, values in seconds.items()}


_PEAK = """
import sys, dicomslide
tree = dicomslide.open_slide(sys.argv[1]).to_datatree()
tree["level_0"].image.mean().compute()
# Unlike what getrusage tells, this is not that that of the process that started this one
with open("/proc/self/status") as status:
    print(*(line.split()[1] for line in status if line.startswith("VmHWM:")))
"""


def peak_memory(folder: Path) -> int:
    """Measure the peak memory of a process that computes the mean of the base level, in bytes.

    Linux tells it.
    """
    parent = Path(dicomslide.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(folder.resolve())],
        capture_output=True,
        check=True,
        text=True,
        cwd=parent,
    )
    return int(done.stdout) * 1024
