"""Patches for a model: readers in two processes each, and many regions beside their limit."""

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import dicomslide
from benchmarks.compare import answer_of, is_there, send, worker_process
from benchmarks.slides import SIZES
from benchmarks.worker import Limit
from tests.servers.faults import silence
from tests.servers.ranges import RangeServer

__all__ = ["patches_per_second", "regions"]

SIDE, PATCHES, PROCESSES, REGIONS = 256, 32, 2, 100
# Regions after which a process has found out whether a profile changes any colour, and their side
LARGE, LARGE_SIDE = 5, 4096
# Left out where no reader corrects colours, as it would be the same as wsidicom
_AS_STORED = "wsidicom, as stored"
# Readers by their titles, and whether their colours are corrected where that is measured
READERS = {
    "limit": ("limit", False),
    "dicomslide": ("dicomslide", True),
    "wsidicom": ("wsidicom", True),
    _AS_STORED: ("wsidicom", False),
    "OpenSlide": ("openslide", True),
}
# Seconds that a bucket in another region takes to answer
DELAY = 0.05


def patches_per_second(
    folder: Path, size: str, rounds: int, *, correct_color: bool
) -> dict[str, float]:
    """Measure how many patches of 256 x 256 pixels at random two processes read in a second.

    Each process reads a batch of 32, as those of a data loader do. Readers without colour
    correction have theirs from Pillow; the limit has none, and wsidicom is measured without it as
    well. What dicomslide does once for a profile is over when it is measured, as it is after the
    first minute of training.
    """
    titles = [
        title
        for title, (reader, _) in READERS.items()
        if is_there(reader) and (correct_color or title != _AS_STORED)
    ]
    rates: dict[str, list[float]] = {title: [] for title in titles}
    with ExitStack() as stack:
        workers = {
            title: [
                stack.enter_context(worker_process(READERS[title][0])) for _ in range(PROCESSES)
            ]
            for title in titles
        }
        common = {"folder": str(folder.resolve()), "threads": 1, "opening": False}
        if correct_color:
            side = min(LARGE_SIDE, *SIZES[size])
            windows = [[0, 0, 0, side, side]] * LARGE
            for worker in workers["dicomslide"]:
                send(worker, {**common, "correct_color": True, "windows": windows})
                answer_of(worker)
        # The first round imports modules, and the system reads the file
        for number in range(-1, rounds):
            first = number % len(titles)
            for title in titles[first:] + titles[:first]:
                start = time.perf_counter()
                for place, worker in enumerate(workers[title]):
                    places = _places(size, (number + 1, place), PATCHES)
                    request = {
                        **common,
                        "correct_color": correct_color and READERS[title][1],
                        "together": title == "dicomslide",
                        "windows": [[0, *corner, SIDE, SIDE] for corner in places],
                    }
                    send(worker, request)
                for worker in workers[title]:
                    answer_of(worker)
                if number >= 0:
                    seconds = time.perf_counter() - start
                    rates[title].append(PROCESSES * PATCHES / seconds)
    return {title: statistics.median(found) for title, found in rates.items()}


def regions(folder: Path, size: str, rounds: int) -> dict[str, dict[str, float]]:
    """Measure 100 regions read together beside the limit, from a disk and from far away.

    The limit decodes the frames that the regions touch, each once, on two threads; of a server it
    reads them with one call first.
    """
    limit = Limit(folder, PROCESSES)
    with RangeServer(folder) as server:
        server.misbehave(silence(DELAY))
        files = {
            "local": str(folder / "level-0.dcm"),
            "50 ms away": server.url(folder / "level-0.dcm"),
        }
        return {name: _beside(limit, file, size, rounds) for name, file in files.items()}


def _beside(limit: Limit, file: str, size: str, rounds: int) -> dict[str, float]:
    slide = dicomslide.open_slide([file], correct_color=False, max_frame_cache_size=0)
    source = slide.get_total_pixel_matrix(0).array.source
    seconds: dict[str, list[float]] = {}
    dicomslide.set_threads(PROCESSES)
    # The first round is not counted
    for number in range(-1, rounds):
        places = _places(size, number + 1, REGIONS)
        frames = sorted({f for place in places for f in limit.frames(0, *place, SIDE, SIDE)})
        encoded = None if source.remote else source.read(frames)
        reads: dict[str, Callable[[], object]] = {
            "limit": partial(_limit, limit, source, frames, encoded),
            "`get_image_regions`": partial(slide.get_image_regions, places, 0, (SIDE, SIDE)),
            "`get_image_region`, one by one": partial(_one_by_one, slide, places),
        }
        for name, read in reads.items():
            start = time.perf_counter()
            read()
            if number >= 0:
                seconds.setdefault(name, []).append(time.perf_counter() - start)
    dicomslide.set_threads(None)
    return {name: statistics.median(found) for name, found in seconds.items()}


def _limit(limit: Limit, source: Any, frames: list[int], encoded: list[bytes] | None) -> None:
    limit.decode(source.read(frames) if encoded is None else encoded)


def _one_by_one(slide: dicomslide.Slide, places: list[list[int]]) -> None:
    for row, column in places:
        slide.get_image_region((row, column), 0, (SIDE, SIDE))


def _places(size: str, seed: Any, count: int) -> list[list[int]]:
    """Choose corners of patches at random."""
    rows, columns = SIZES[size]
    limits = rows - SIDE, columns - SIDE
    return np.random.default_rng(seed).integers(0, limits, (count, 2)).tolist()
