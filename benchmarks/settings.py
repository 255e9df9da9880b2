"""What settings change for slides in a bucket 30 ms away: ``python -m benchmarks.settings``.

One level is read as a region and as the mean of a dask array, with other numbers of connections and
threads, and through a copy on disk. Files are new to the reader each time.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import dask

import dicomslide
from benchmarks.remote import BANDWIDTH, DELAY, measure_traffic
from benchmarks.report import traffic_table
from benchmarks.slides import make_slide
from tests.servers.buckets import BucketServer

SIDE = 4096
CONNECTIONS = 10, 32, 128
THREADS = 1, 2, 4, 8


def mean(slide: dicomslide.Slide, threads: int, chunks: Any = "auto") -> object:
    """Compute the mean of a level with dask."""
    array = slide.get_total_pixel_matrix(0).to_dask(chunks)
    with dask.config.set(scheduler="threads", num_workers=threads):
        return array.mean().compute()


def region(slide: dicomslide.Slide, side: int = SIDE) -> object:
    """Read the corner of a level."""
    return slide.get_image_region((0, 0), 0, (side, side))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("benchmark-slides"))
    parser.add_argument("--size", default="medium", help="size of the slide (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="reads of each kind (%(default)s)")
    arguments = parser.parse_args()
    path = make_slide(arguments.folder.resolve(), arguments.size, "full") / "level-0.dcm"
    numbers = count()
    with BucketServer(path.parents[2]) as server, tempfile.TemporaryDirectory() as copies:
        url = f"s3://{path.relative_to(path.parents[2]).as_posix()}"

        def opened(connections: int = CONNECTIONS[-1]) -> dicomslide.Slide:
            config = {**server.options["config_kwargs"], "max_pool_connections": connections}
            options = {**server.options, "config_kwargs": config}
            return dicomslide.open_slide(url, storage_options=options, max_frame_cache_size=0)

        def copied() -> dicomslide.Slide:
            place = f"{copies}/{next(numbers)}"
            options = {"s3": server.options, "simplecache": {"cache_storage": place}}
            return dicomslide.open_slide(
                f"simplecache::{url}", storage_options=options, max_frame_cache_size=0
            )

        def read_again() -> dicomslide.Slide:
            slide = copied()
            region(slide, 256)
            return slide

        cases: dict[str, tuple[Callable[[Any], object], Callable[[], Any]]] = {
            **{
                f"{SIDE} x {SIDE}, {n} connections": (region, partial(opened, n))
                for n in CONNECTIONS
            },
            **{f"mean with dask, {n} threads": (partial(mean, threads=n), opened) for n in THREADS},
            "mean with dask, a chunk for each frame, 4 threads": (
                partial(mean, threads=4, chunks="frames"),
                opened,
            ),
            "simplecache, open and 256 x 256": (
                lambda _: region(copied(), 256),
                lambda: None,
            ),
            f"simplecache, then {SIDE} x {SIDE}": (region, read_again),
        }
        found = {
            name: measure_traffic(server, act, prepare, arguments.rounds)
            for name, (act, prepare) in cases.items()
        }
    print(f"{DELAY * 1000:.0f} ms, {BANDWIDTH / 1e6:.0f} MB/s on each connection\n")
    print(traffic_table(found))


if __name__ == "__main__":
    main()
