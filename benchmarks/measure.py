"""What is measured of each reader."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.readers import READERS

__all__ = ["measure"]

_SIDES = (256, 1024, 4096)
_REPEATS = 5


def measure(reader: str, slides: dict[str, Path], size: tuple[int, int]) -> dict[str, float]:
    """Measure one reader: name of the figure to seconds."""
    make = READERS[reader]
    figures = {}
    for kind, folder in slides.items():
        make(folder)
        figures[f"open, {kind}"] = _median(lambda folder=folder: make(folder))
        figures[f"open and read 256 x 256, {kind}"] = _median(
            lambda folder=folder: make(folder).read(1000, 2000, 256)
        )
    opened = make(slides["full"])
    random = np.random.default_rng(0)
    for side in _SIDES:
        reads = []
        for _ in range(max(2**16 // side**2 * 20, 5)):
            row, column = (int(random.integers(0, extent - side)) for extent in size)
            start = time.perf_counter()
            opened.read(row, column, side)
            reads.append(time.perf_counter() - start)
        figures[f"{side} x {side} at random"] = statistics.median(reads)
    return figures


def _median(function: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
