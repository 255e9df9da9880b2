"""Slides in a bucket that is far away: requests, their depth, bytes and time."""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dask
import fsspec
import imagecodecs
from fsspec.core import url_to_fs

import dicomslide
from benchmarks.slides import TILE, make_slide
from dicomslide.testing import write_slide
from tests.servers.buckets import BucketServer
from tests.servers.distance import RoundTrips, Waves, depth

__all__ = ["BANDWIDTH", "DELAY", "Traffic", "measure_traffic", "remote"]

# Seconds until an answer begins, and bytes that a connection delivers in a second
DELAY, BANDWIDTH = 0.03, 50e6
_SLIDES = 10
# Files beside a slide, and how many there are where all only has to run
_OTHERS, _FEW_OTHERS = 500, 20
# Least and most pixels along the sides of regions
_SMALL, _LARGE = 256, 4096


@dataclass(frozen=True)
class Traffic:
    """Requests, their depth, bytes that were delivered, and seconds."""

    requests: int
    depth: int
    size: int
    seconds: float


def remote(folder: Path, size: str, rounds: int) -> dict[str, Traffic]:
    """Measure what is done with slides in a bucket, whose files are read anew each time."""
    full, sparse = (make_slide(folder, size, kind) for kind in ("full", "sparse"))
    others = _FEW_OTHERS if size == "tiny" else _OTHERS
    many = _many(folder, others)
    found: dict[str, Traffic] = {}
    with BucketServer(folder.parent) as server:
        options = {"storage_options": server.options}

        def url(path: Path) -> str:
            return f"s3://{path.relative_to(folder.parent).as_posix()}"

        def measure(name: str, act: Callable[[Any], object], prepare: Callable[[], Any]) -> None:
            found[name] = measure_traffic(server, act, prepare, rounds)

        def nothing() -> None:
            pass

        def opened(path: Path) -> Any:
            return dicomslide.open_slide(url(path), max_frame_cache_size=0, **options)

        slides = [many / "slides" / f"{number}" for number in range(_SLIDES)]
        urls = [url(path) for slide in slides for path in sorted(slide.iterdir())]
        # The first use of the file system makes its session
        opened(slides[0] / "level-0.dcm")
        measure("open 10 slides, a list of 50 URLs", partial(_open_all, urls, options), nothing)
        prefixes = [f"{url(slide)}/" for slide in slides]
        measure(
            "open 10 slides, a list of prefixes", partial(_open_all, prefixes, options), nothing
        )
        measure(
            "open 10 slides with `iter_slides`",
            lambda _: list(dicomslide.iter_slides(prefixes, **options)),
            nothing,
        )
        beside = many / "beside"
        measure(f"open a slide beside {others} other files", lambda _: opened(beside), nothing)
        for name, path in (("", full / "level-0.dcm"), (", sparse", sparse / "level-0.dcm")):
            make = partial(opened, path)
            measure(f"open{name}", lambda _, make=make: make(), nothing)
            measure(f"first 256 x 256{name}", partial(_region, side=_SMALL), make)
        large = partial(opened, full / "level-0.dcm")
        side = min(_LARGE, *large().get_total_pixel_matrix(0).shape[:2])
        measure(f"{side} x {side}", partial(_region, side=side), large)
        level = partial(opened, full / "level-2.dcm")
        measure("whole level 2", lambda slide: slide.get_total_pixel_matrix(0)[:], level)
        measure("mean of level 2, dask, 2 threads", _mean, level)
        for other, open_other in OTHERS.items():
            make = partial(open_other, url(full / "level-0.dcm"), server.options)
            if other != "by hand":
                measure(f"{other}: open", lambda _, make=make: make(), nothing)
            for length in (_SMALL, side):
                measure(
                    f"{other}: {length} x {length}",
                    lambda read, length=length: read(length),
                    make,
                )
    return found


def by_hand(url: str, options: dict[str, Any]) -> Callable[[int], object]:
    """Read the frames of a region whose offsets are known with one call, and decode them.

    This is what no reader can do without: no header, no offset table, no stitching.
    """
    matrix = dicomslide.open_slide(url, storage_options=options).get_total_pixel_matrix(0)
    source: Any = matrix.array.source
    offsets = source.find_offsets()
    across = -(-matrix.shape[1] // TILE)
    files, path = url_to_fs(url, **options)

    def read(side: int) -> object:
        count = -(-side // TILE)
        rows = [range(row * across, row * across + count) for row in range(count)]
        starts = [int(offsets.starts[row[0]]) for row in rows]
        ends = [int(offsets.ends[row[-1]]) for row in rows]
        found = files.cat_ranges([path] * count, starts, ends)
        frames = [
            data[int(offsets.starts[frame]) - start + 8 : int(offsets.ends[frame]) - start]
            for data, start, row in zip(found, starts, rows, strict=True)
            for frame in row
        ]
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(imagecodecs.jpeg8_decode, frames))

    return read


def with_wsidicom(url: str, options: dict[str, Any]) -> Callable[[int], object]:
    """Open a file with wsidicom."""
    from wsidicom import WsiDicom

    slide = WsiDicom.open(url, file_options=options)
    return lambda side: slide.read_region((0, 0), 0, (side, side), threads=2)


def with_highdicom(url: str, options: dict[str, Any]) -> Callable[[int], object]:
    """Open an image with highdicom, which reads any object that is like a file."""
    import highdicom

    file = fsspec.open(url, **options).open()
    image = highdicom.imread(file, lazy_frame_retrieval=True)
    return lambda side: image.get_total_pixel_matrix(row_end=side + 1, column_end=side + 1)


OTHERS = {"by hand": by_hand, "wsidicom": with_wsidicom, "highdicom": with_highdicom}
"""Functions of other readers that open a file, and return a function that reads its corner."""


def measure_traffic(
    server: BucketServer, act: Callable[[Any], object], prepare: Callable[[], Any], rounds: int
) -> Traffic:
    """Measure what an act on what was prepared costs; the time is the median of all rounds."""

    def once() -> float:
        thing = prepare()
        server.behave()
        start = time.perf_counter()
        act(thing)
        return time.perf_counter() - start

    # Counted apart, as on a busy machine requests that belong together begin at different times
    server.distance = Waves()
    once()
    requests = list(server.requests)
    server.distance = RoundTrips(DELAY, BANDWIDTH)
    seconds = statistics.median(once() for _ in range(rounds))
    return Traffic(len(requests), depth(requests), sum(r.sent for r in requests), seconds)


def _open_all(sources: list[str], options: dict[str, Any], _: object) -> object:
    return dicomslide.open_slides(sources, **options)


def _region(slide: dicomslide.Slide, side: int) -> object:
    return slide.get_image_region((0, 0), 0, (side, side))


def _mean(slide: dicomslide.Slide) -> object:
    array = slide.get_total_pixel_matrix(0).to_dask("auto")
    with dask.config.set(scheduler="threads", num_workers=2):
        return array.mean().compute()


def _many(folder: Path, others: int) -> Path:
    """Write ten small slides of five files each, and one beside many other files."""
    path = folder / f"many-{others}"
    if not path.exists():
        unfinished = folder / f"{path.name}.unfinished"
        for number in range(_SLIDES):
            _write(unfinished / "slides" / f"{number}", number)
        _write(unfinished / "beside" / "slide", _SLIDES)
        for number in range(others):
            (unfinished / "beside" / f"{number:03}.json").write_bytes(b'{"a": "b"}' * 20_000)
        unfinished.rename(path)
    return path


def _write(folder: Path, number: int) -> None:
    write_slide(
        folder,
        size=(480, 720),
        tile=(240, 240),
        factors=(1, 2, 4),
        container_identifier=f"S26-{number}",
        accession_number=f"remote {number}",
        seed=number,
    )
