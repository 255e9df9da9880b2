"""What the tasks of a cluster cost: ``python -m benchmarks.cluster``.

The mean of a level is computed by a cluster of two processes, with chunks of one frame and more,
beside the same by hand in a pool of two processes, and beside the mean of as many chunks for which
nothing is read: what dask itself takes for its tasks.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import dask.array as da
from distributed import Client, LocalCluster

import dicomslide
from benchmarks.slides import SIZES, TILE, make_slide
from benchmarks.views import mean_by_hand

PROCESSES = 2
FRAMES_ACROSS = 1, 2, 4, 8


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=Path("benchmark-slides"))
    parser.add_argument("--size", choices=SIZES, default="medium")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    slide = dicomslide.open_slide(
        make_slide(options.folder, options.size, "full"),
        correct_color=False,
        max_frame_cache_size=0,
    )
    matrix = slide.get_total_pixel_matrix(0)
    seconds = measure(matrix, options.rounds)
    by_hand = seconds["by hand"]
    print(f"| mean of {matrix.num_tiles:,} frames | s | times by hand |\n| --- | ---: | ---: |")
    for name, found in seconds.items():
        print(f"| {name} | {found:.2f} | {found / by_hand:.2f} |")


def measure(matrix: dicomslide.TotalPixelMatrix, rounds: int) -> dict[str, float]:
    """Measure the mean in each way: name to seconds."""
    workers = {"n_workers": PROCESSES, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool,
        LocalCluster(**workers) as cluster,
        Client(cluster),
    ):
        ways: dict[str, Callable[[], Any]] = {"by hand": partial(mean_by_hand, matrix, pool)}
        for across in FRAMES_ACROSS:
            array = matrix.to_dask(across * TILE)
            empty = da.ones(array.shape, array.dtype, chunks=array.chunks)
            title = f"{across} x {across} frames"
            ways[f"{title}, nothing read"] = empty.mean().compute
            ways[title] = array.mean().compute
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        # In the first round processes import modules
        for number in range(rounds + 1):
            means = set()
            for way, compute in ways.items():
                start = time.perf_counter()
                means.add(round(float(compute()), 6))
                if number:
                    seconds[way].append(time.perf_counter() - start)
            # Those of the level, and of what holds ones
            if len(means) > 2:
                raise RuntimeError(f"the means of one level differ: {means}")
    return {way: statistics.median(found) for way, found in seconds.items()}


if __name__ == "__main__":
    main()
