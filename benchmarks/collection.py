"""A thousand slides in a bucket far away, with an index: ``python -m benchmarks.collection``.

The slides are small, as their number is what is measured: copies of one that have UIDs of their
own. They are indexed, opened from the index on one process and on two, and a mean is computed over
a level of all of them on two processes. For comparison they are opened without an index.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import generate_uid

import dicomslide
from benchmarks.remote import BANDWIDTH, DELAY
from dicomslide.testing import write_slide
from tests.servers.buckets import BucketServer
from tests.servers.distance import RoundTrips

PROCESSES = 2
# Keywords of UIDs that every slide has for itself
_UIDS = ("SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PyramidUID")


def write_collection(folder: Path, count: int) -> None:
    """Write slides of four levels, a label and an overview, with one folder each."""
    template = write_slide(
        folder / "template",
        size=(1440, 1920),
        tile=(240, 240),
        factors=(1, 2, 4, 8),
        label=True,
        overview=True,
    )
    for number in range(count):
        target = folder / "bucket" / "slides" / f"{number:05}"
        target.mkdir(parents=True)
        uids: dict[str, str] = {}
        for path in template.paths:
            dataset = pydicom.dcmread(path)
            for keyword in _UIDS:
                if keyword in dataset:
                    uid = dataset[keyword].value
                    dataset[keyword].value = uids.setdefault(uid, generate_uid())
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.ContainerIdentifier = f"S26-{number:05}"
            dataset.save_as(target / path.name)


def _serve(folder: Path, connection: Any) -> None:
    with BucketServer(folder) as server:
        server.distance = RoundTrips(DELAY, BANDWIDTH)
        connection.send(server.options)
        while connection.recv():
            connection.send((len(server.requests), server.bytes_sent))
            server.behave()


class Bucket:
    """Bucket in a process of its own, which tells how many requests there were since."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.options: dict[str, Any] = connection.recv()

    def requests(self) -> tuple[int, int]:
        """Count requests, and the bytes that were sent, since the last call."""
        self._connection.send(True)
        return self._connection.recv()


@contextmanager
def run_bucket(folder: Path) -> Iterator[Bucket]:
    """Serve the buckets in a folder."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(folder, theirs))
    server.start()
    try:
        yield Bucket(ours)
    finally:
        ours.send(False)
        server.join()


def open_part(index: Path, options: dict[str, Any], part: slice) -> int:
    """Open some of the slides of an index; returns the number of levels."""
    found = dicomslide.open_index(index, storage_options=options)[part]
    return sum(slide.num_levels for slide in found)


def mean_part(index: Path, options: dict[str, Any], part: slice) -> list[float]:
    """Compute the mean of the level of half size of some of the slides."""
    found = dicomslide.open_index(index, storage_options=options)[part]
    return [float(slide.get_total_pixel_matrix(1)[:].mean()) for slide in found]


def in_processes(function: Callable[[slice], Any], count: int, processes: int) -> list[Any]:
    """Call a function for parts of the slides, in processes that are running already."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        list(pool.map(_warm, range(processes)))
        start = time.perf_counter()
        steps = [slice(first, first + 50) for first in range(0, count, 50)]
        results = list(pool.map(function, steps))
        return [time.perf_counter() - start, results]


def _warm(_: int) -> None:
    import s3fs  # noqa: F401

    import dicomslide.collection.index  # noqa: F401


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="number of slides")
    parser.add_argument("--folder", type=Path, help="folder of an earlier run, or a new one")
    arguments = parser.parse_args()
    count = arguments.count
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        if not (folder / "bucket").exists():
            write_collection(folder, count)
        index = folder / "index"
        with run_bucket(folder) as bucket:
            options = bucket.options

            def tell(name: str, seconds: float) -> None:
                requests, size = bucket.requests()
                print(f"{name}: {seconds:.1f} s, {requests} requests, {size / 1e6:.1f} MB")

            start = time.perf_counter()
            dicomslide.index_slides("s3://bucket/slides/", index, storage_options=options)
            tell("index", time.perf_counter() - start)
            stored = sum(path.stat().st_size for path in index.iterdir())
            print(f"index: {stored / 1e6:.2f} MB, {stored / count:.0f} bytes for a slide")
            start = time.perf_counter()
            dicomslide.index_slides(None, index, storage_options=options)
            tell("index again, nothing has changed", time.perf_counter() - start)
            start = time.perf_counter()
            opened = dicomslide.open_index(index, storage_options=options)
            opened.to_dataframe()
            tell("table of the index", time.perf_counter() - start)
            for processes in (1, PROCESSES):
                seconds, found = in_processes(partial(open_part, index, options), count, processes)
                assert sum(found) == 4 * count
                tell(f"open all from the index, {processes} processes", seconds)
            seconds, means = in_processes(partial(mean_part, index, options), count, PROCESSES)
            assert sum(map(len, means)) == count
            tell(f"mean of level 1 of all, {PROCESSES} processes", seconds)
            prefixes = [f"s3://bucket/slides/{number:05}/" for number in range(count)]
            start = time.perf_counter()
            assert (
                sum(1 for _ in dicomslide.iter_slides(prefixes, storage_options=options)) == count
            )
            tell("open all without the index, 1 process", time.perf_counter() - start)


if __name__ == "__main__":
    main()
