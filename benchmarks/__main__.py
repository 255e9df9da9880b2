"""Measure how fast slides are read, and write the tables of docs/performance.md.

The program makes its slides once (1.7 GB), with frames of 240 x 240 pixels in JPEG. Each reader
runs in a process of its own, and they take turns on the same regions, so that what else the machine
does meets all of them. A figure is the median of all rounds.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.compare import FIGURES, PEERS, compare, growth
from benchmarks.formats import formats
from benchmarks.published import published_python
from benchmarks.remote import remote
from benchmarks.report import (
    costs_table,
    formats_table,
    growth_table,
    insert,
    machine,
    plain_table,
    rates_table,
    ratios,
    times,
    traffic_table,
    uses_table,
)
from benchmarks.slides import PROFILES, SIZES, frames, make_slide
from benchmarks.startup import startup
from benchmarks.tiles import tiles
from benchmarks.training import patches_per_second, regions
from benchmarks.viewing import viewing
from benchmarks.views import peak_memory, reductions, small_reads

OWN = "dicomslide, 2 threads"
PARTS = (
    "peers",
    "color",
    "training",
    "regions",
    "formats",
    "viewing",
    "view",
    "views",
    "reductions",
    "memory",
    "growth",
    "startup",
    "remote",
)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    folder, size, rounds = options.folder, options.size, options.rounds
    folder.mkdir(parents=True, exist_ok=True)
    python = published_python(folder) if options.published else None
    slide = make_slide(folder, size, "full")
    tables = {"machine": machine()}

    def tell(name: str, content: str) -> None:
        tables[name] = content
        print(f"\n{name}\n\n{content}", flush=True)

    if "peers" in options.parts:
        results = compare(folder, size, PEERS, FIGURES, rounds, published=python)
        tell("peers", times(results))
        tell("ratios", ratios(results))
    if "color" in options.parts:
        readers = ("limit", "dicomslide", "published")
        columns = [column for column in PEERS if column.reader in readers]
        figures = [
            replace(figure, name=f"{figure.name}, {profile}", kind=kind)
            for kind, profile in PROFILES.items()
            for figure in FIGURES
            if figure.side and not figure.opening
        ]
        results = compare(
            folder, size, columns, figures, rounds, correct_color=True, published=python
        )
        tell("color", times(results))
        tell("color-ratios", ratios(results))
    if "training" in options.parts:
        found_by_color = {"as stored": patches_per_second(slide, size, rounds, correct_color=False)}
        for kind, profile in PROFILES.items():
            found_by_color[f"corrected, {profile}"] = patches_per_second(
                make_slide(folder, size, kind), size, rounds, correct_color=True
            )
        tell("training", rates_table(found_by_color))
    if "regions" in options.parts:
        found_by_place = regions(slide, size, rounds)
        heading = "100 regions of 256 x 256"
        tables_by_place = (
            plain_table(f"{heading}, {place}", found) for place, found in found_by_place.items()
        )
        tell("regions", "\n\n".join(tables_by_place))
    if "formats" in options.parts:
        tell("formats", formats_table(formats(folder, rounds)))
    if "viewing" in options.parts:
        tell("viewing", uses_table(viewing(slide, size, rounds)))
    if "view" in options.parts:
        tell("view", uses_table(tiles(slide, rounds)))
    if "views" in options.parts:
        tell("views", plain_table("256 x 256 at random", small_reads(slide, rounds)))
    if "reductions" in options.parts:
        found = reductions(slide, max(rounds // 5, 1))
        tell("reductions", plain_table("chunks of the mean of the base level", found))
    if "memory" in options.parts:
        tell("memory", f"Peak memory: {peak_memory(slide) / 1e6:.0f} MB.")
    if "growth" in options.parts:
        sizes = list(SIZES)[: list(SIZES).index(size) + 1][-3:]
        columns = [column for column in PEERS if column.title == OWN]
        found_by_size = growth(folder, sizes, columns, rounds)
        tell("growth", growth_table(found_by_size, {s: frames(s) for s in sizes}, OWN))
    if "startup" in options.parts:
        tell("startup", costs_table(startup(slide, folder / "compiled", rounds)))
    if "remote" in options.parts:
        tell("remote", traffic_table(remote(folder.resolve(), size, max(rounds // 5, 1))))
    if options.write is not None:
        insert(options.write, tables)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("benchmark-slides"),
        help="where the slides and the published version are kept (default: %(default)s)",
    )
    parser.add_argument(
        "--size", choices=SIZES, default="large", help="size of the slides (default: %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=15, help="how often all is measured (default: %(default)s)"
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=PARTS,
        help="what is measured (default: everything)",
    )
    parser.add_argument(
        "--no-published",
        dest="published",
        action="store_false",
        help="leave out the published version, which needs a package index once",
    )
    parser.add_argument(
        "--write",
        type=Path,
        metavar="PAGE",
        help="write the tables between the markers of a page, such as docs/performance.md",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a tiny slide, one round and no published version: only shows that all of it works",
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.size, options.rounds, options.published = "tiny", 1, False
    return options


if __name__ == "__main__":
    sys.exit(main())
