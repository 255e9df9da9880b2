"""How fast slides are exported, beside the fewest steps: ``python -m benchmarks.export``.

The limit decodes the frames of each chunk with the same codec and writes them with the same
compressor, on two threads, and does nothing else. Runs alternate, each in a process of its own.
"""

import argparse
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dicomslide.testing import write_slide

SIZES = ((4080, 5760), (8160, 11520))
TILE = 240
# Frames on a side of a chunk: the default of the export for these frames
FRAMES = 2
THREADS = 2


def export(folder: Path, store: Path) -> None:
    """Export as users do."""
    from dicomslide import open_slide, to_ome_zarr

    to_ome_zarr(open_slide(folder, correct_color=False), store)


def limit(folder: Path, store: Path) -> None:
    """Decode and write, and nothing else."""
    import imagecodecs
    import numpy as np
    import zarr
    from zarr.codecs import BloscCodec

    from dicomslide.sources.files import open_image_file

    dataset, source = open_image_file(folder / "level-0.dcm")
    rows, columns = dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns
    side = FRAMES * TILE
    array = zarr.create_array(
        store,
        shape=(3, 1, rows, columns),
        chunks=(1, 1, side, side),
        dtype="u1",
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
    )
    across = -(-columns // TILE)

    def write(top: int) -> None:
        for left in range(0, columns, side):
            places = [
                (row, column)
                for row in range(top, min(top + side, rows), TILE)
                for column in range(left, min(left + side, columns), TILE)
            ]
            frames = source.read([row // TILE * across + column // TILE for row, column in places])
            block = np.empty((side, side, 3), np.uint8)
            for (row, column), data in zip(places, frames, strict=True):
                pixels = imagecodecs.jpeg8_decode(data, colorspace="YCBCR", outcolorspace="RGB")
                block[row - top : row - top + TILE, column - left : column - left + TILE] = pixels
            bottom, right = min(top + side, rows), min(left + side, columns)
            part = block[: bottom - top, : right - left]
            array[:, 0, top:bottom, left:right] = np.moveaxis(part, -1, 0)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(write, range(0, rows, side)))


def measure(run: Callable[[Path, Path], None], folder: Path) -> tuple[float, float]:
    """Seconds of one run after a first small one, and its peak of memory in MiB."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        run(folder.parent / "warm", Path(scratch) / "warm.zarr")
        start = time.perf_counter()
        run(folder, Path(scratch) / "out.zarr")
        seconds = time.perf_counter() - start
    # Unlike that of getrusage this figure does not begin with the peak of the parent process
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return seconds, int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("benchmark-slides"))
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    table = Table(title="export and the fewest steps: medians")
    for heading in ("level", "export (s)", "limit (s)", "ratio", "export (MiB)", "limit (MiB)"):
        table.add_column(heading, justify="right")
    prepare(options.folder / "export" / "warm", (TILE, TILE))
    for size in SIZES:
        folder = options.folder / "export" / "{}x{}".format(*size)
        prepare(folder, size)
        figures: dict[str, list[tuple[float, float]]] = {"export": [], "limit": []}
        for _ in range(options.repeats):
            for name, run in (("export", export), ("limit", limit)):
                context = multiprocessing.get_context("spawn")
                with ProcessPoolExecutor(1, mp_context=context) as pool:
                    figures[name].append(pool.submit(measure, run, folder).result())
        (one, one_memory), (other, other_memory) = (
            map(statistics.median, zip(*figures[name], strict=True)) for name in figures
        )
        ratios = [a / b for (a, _), (b, _) in zip(*figures.values(), strict=True)]
        table.add_row(
            "{} x {}".format(*size),
            f"{one:.2f}",
            f"{other:.2f}",
            f"{statistics.median(ratios):.2f}",
            f"{one_memory:.0f}",
            f"{other_memory:.0f}",
        )
    Console(width=100).print(table)


def prepare(folder: Path, size: tuple[int, int]) -> None:
    """Write a slide of one level, if it is not there."""
    if folder.exists():
        return
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    write_slide(
        unfinished,
        size=size,
        tile=(TILE, TILE),
        factors=(1,),
        label=False,
        overview=False,
        threads=THREADS,
    )
    unfinished.rename(folder)


if __name__ == "__main__":
    main()
