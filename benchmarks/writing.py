"""How a mask of a whole slide is written: ``python -m benchmarks.writing``.

The mask is computed in chunks by dask, and written as a BINARY Segmentation of all its frames. By
hand, the same chunks are computed and packed on two threads, and written one after the other, with
no data set around them. highdicom has no way to write a mask that is not in memory: it is given the
whole one. Each run is in a process of its own.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

SIZES = ((8160, 11520), (32640, 46080))
TILE = 512
CHUNK = 1024
THREADS = 2
CATEGORY = ("91723000", "SCT", "Anatomical structure")
NUCLEUS = ("84640000", "SCT", "Nucleus")


def blobs(row: int, column: int, rows: int, columns: int) -> NDArray[np.bool_]:
    """Compute a part of the mask: a pattern of the size of nuclei."""
    down = np.arange(row, row + rows, dtype=np.int32)[:, np.newaxis] % 61 - 30
    across = np.arange(column, column + columns, dtype=np.int32) % 47 - 23
    return down * down + across * across < 200


def lazy_mask(size: tuple[int, int]) -> Any:
    import dask.array as da

    def part(block: NDArray, block_info: Any) -> NDArray:
        (top, bottom), (left, right) = block_info[None]["array-location"]
        return blobs(top, left, bottom - top, right - left)

    return da.zeros(size, chunks=CHUNK, dtype=bool).map_blocks(part, dtype=bool)


def streamed(source: Path, size: tuple[int, int], out: Path) -> None:
    """Write as users do."""
    import dask

    import dicomslide

    slide = dicomslide.open_slide(source)
    with dask.config.set(scheduler="threads", num_workers=THREADS):
        dicomslide.write_segmentation(
            lazy_mask(size),
            out,
            slide=slide,
            level=0,
            segments={"Nuclei": (CATEGORY, NUCLEUS)},
            algorithm=("pattern", "1"),
            tile=(TILE, TILE),
            sparse=False,
        )


def by_hand(source: Path, size: tuple[int, int], out: Path) -> None:
    """Compute, pack and write, and nothing else."""

    def encode(place: tuple[int, int]) -> list[bytes]:
        row, column = place
        part = np.zeros((CHUNK, CHUNK), bool)
        rows, columns = min(CHUNK, size[0] - row), min(CHUNK, size[1] - column)
        part[:rows, :columns] = blobs(row, column, rows, columns)
        return [
            np.packbits(part[y : y + TILE, x : x + TILE], axis=None, bitorder="little").tobytes()
            for y in range(0, rows, TILE)
            for x in range(0, columns, TILE)
        ]

    places = [(y, x) for y in range(0, size[0], CHUNK) for x in range(0, size[1], CHUNK)]
    with ThreadPoolExecutor(THREADS) as pool, out.open("wb") as file:
        for frames in pool.map(encode, places):
            file.writelines(frames)


def in_memory(source: Path, size: tuple[int, int], out: Path) -> None:
    """Write by highdicom alone."""
    import highdicom as hd
    import pydicom
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    algorithm = hd.AlgorithmIdentificationSequence(
        name="pattern", version="1", family=codes.DCM.ArtificialIntelligence
    )
    described = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Nuclei",
        segmented_property_category=Code(*CATEGORY),
        segmented_property_type=Code(*NUCLEUS),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
    )
    (path,) = source.glob("*.dcm")
    hd.seg.Segmentation(
        source_images=[pydicom.dcmread(path, stop_before_pixels=True)],
        pixel_array=np.asarray(lazy_mask(size))[np.newaxis],
        segmentation_type="BINARY",
        segment_descriptions=[described],
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="benchmark",
        manufacturer_model_name="benchmark",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=False,
        tile_pixel_array=True,
        tile_size=(TILE, TILE),
        dimension_organization_type="TILED_FULL",
    ).save_as(out)


WAYS: dict[str, Callable[[Path, tuple[int, int], Path], None]] = {
    "dicomslide": streamed,
    "by hand": by_hand,
    "highdicom": in_memory,
}


def measure(name: str, folder: Path, size: tuple[int, int]) -> tuple[float, float, float]:
    """Seconds and seconds of processors of one run after a small one, and its peak in MiB."""
    small = (CHUNK, CHUNK)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        WAYS[name](prepare(folder, small), small, Path(scratch) / "small.dcm")
        source = prepare(folder, size)
        start, used = time.perf_counter(), cpu_seconds()
        WAYS[name](source, size, Path(scratch) / "out.dcm")
        seconds, processors = time.perf_counter() - start, cpu_seconds() - used
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return seconds, processors, int(status.partition("VmHWM:")[2].split()[0]) / 1024


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def prepare(folder: Path, size: tuple[int, int]) -> Path:
    """Write the source: an image of which only one frame is there, if it was not written."""
    import pydicom
    from pydicom.dataset import Dataset

    from dicomslide.testing import write_slide

    source = folder / "written" / "{}x{}".format(*size)
    if source.exists():
        return source
    slide = write_slide(
        source, size=(TILE, TILE), tile=(TILE, TILE), factors=(1,), label=False, overview=False
    )
    dataset = pydicom.dcmread(slide.paths[0])
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = size
    dataset.DimensionOrganizationType = "TILED_SPARSE"
    position = Dataset()
    position.ColumnPositionInTotalImagePixelMatrix = 1
    position.RowPositionInTotalImagePixelMatrix = 1
    group = Dataset()
    group.PlanePositionSlideSequence = [position]
    dataset.PerFrameFunctionalGroupsSequence = [group]
    dataset.save_as(slide.paths[0])
    return source


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.writing", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("benchmark-slides"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--largest", type=int, default=SIZES[-1][0], help="most rows")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    table = Table(title="a mask is written: medians")
    for heading in ("pixels", "", "seconds", "of processors", "to by hand", "peak (MiB)"):
        table.add_column(heading, justify="right")
    for size in (size for size in SIZES if size[0] <= options.largest):
        figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in WAYS}
        for _ in range(options.repeats):
            for name, found in figures.items():
                context = multiprocessing.get_context("spawn")
                with ProcessPoolExecutor(1, mp_context=context) as pool:
                    found.append(pool.submit(measure, name, options.folder, size).result())
        limit = statistics.median(used for _, used, _ in figures["by hand"])
        for name, found in figures.items():
            seconds, used, peak = map(statistics.median, zip(*found, strict=True))
            row = f"{seconds:.2f}", f"{used:.2f}", f"{used / limit:.2f}", f"{peak:.0f}"
            table.add_row("{} x {}".format(*size), name, *row)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
