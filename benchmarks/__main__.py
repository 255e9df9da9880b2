"""Run all readers on the same slides, each in a process of its own, and print a table."""

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import measure
from benchmarks.readers import READERS
from benchmarks.slides import SIZES, make_slides


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("benchmark-slides"))
    parser.add_argument("--size", choices=SIZES, default="small", help="size of the slides")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    slides = make_slides(options.folder, options.size)
    context = multiprocessing.get_context("spawn")
    columns = {}
    for reader in READERS:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            columns[reader] = pool.submit(measure, reader, slides, SIZES[options.size]).result()
    print_table(columns)


def print_table(columns: dict[str, dict[str, float]]) -> None:
    table = Table(title="milliseconds (and how many times as long as dicomslide)")
    table.add_column("")
    for reader in columns:
        table.add_column(reader, justify="right")
    own = columns["dicomslide"]
    for figure in own:
        cells = [
            f"{column[figure] * 1e3:.2f} ({column[figure] / own[figure]:.2f})"
            for column in columns.values()
        ]
        table.add_row(figure, *cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
