"""Damage many slides, and tell what comes of it.

    python -m tests.fuzzing --cases 30000

A line of each case that fails tells how to run it again: ``python -m tests.fuzzing --case 123``.
"""

import argparse
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzzing.cases import Case
from tests.fuzzing.doors import DOORS
from tests.fuzzing.kinds import write_kinds
from tests.fuzzing.workers import run_cases


class Tally:
    """Counts what came of cases, and prints those that fail."""

    def __init__(self, seed: str, started: float) -> None:
        self.seed, self.started = seed, started
        self.cases = self.failing = 0
        self.results: Counter[tuple[str, str]] = Counter()
        self.faults: Counter[str] = Counter()
        self.slowest = self.largest = Case(-1)

    def add(self, case: Case) -> None:
        self.cases += 1
        self.slowest = max(self.slowest, case, key=lambda case: case.seconds)
        self.largest = max(self.largest, case, key=lambda case: case.memory)
        faults = {door: text for door, text in case.results.items() if text.startswith("FAULT")}
        for door, text in case.results.items():
            self.results[door, "FAULT" if door in faults else text] += 1
        if faults:
            self.failing += 1
            told = "; ".join(f"{door}: {summary(text)}" for door, text in faults.items())
            print(f"--seed {self.seed} --case {case.number}: {case.what}: {told}", flush=True)
            self.faults.update({summary(text) for text in faults.values()})
        if self.cases % 500 == 0:
            print(self, flush=True)

    def __str__(self) -> str:
        return (
            f"{self.cases} cases in {time.monotonic() - self.started:.0f} s, {self.failing} fail; "
            f"most time {self.slowest.seconds:.1f} s (case {self.slowest.number}), "
            f"most memory {self.largest.memory >> 20} MiB (case {self.largest.number})"
        )

    def table(self) -> str:
        rows = sorted(self.results.items())
        lines = [f"{door:12} {result:24} {count}" for (door, result), count in rows]
        return "\n".join(
            lines + [f"{count} x {fault}" for fault, count in self.faults.most_common()]
        )


def summary(text: str) -> str:
    """The place in the package and the error, of a traceback."""
    lines = text.strip().splitlines()
    own = [line.strip() for line in lines if "/dicomslide/" in line and "line" in line]
    place = own[-1].rpartition("/dicomslide/")[2] if own else ""
    return f"{place}: {lines[-1]}"[:300]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000, help="number of cases (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--seed", default="1", help="seed of the cases (%(default)s)")
    parser.add_argument("--case", type=int, help="run this one, and print all of it")
    parser.add_argument("--workers", type=int, default=2, help="processes (%(default)s)")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--doors", type=int, default=len(DOORS), help="doors for each case (all)")
    parser.add_argument("--slides", type=Path, help="folder that keeps the slides for other runs")
    options = parser.parse_args(arguments)
    if options.case is not None:
        options.first, options.cases, options.workers = options.case, 1, 1
    started = time.monotonic()
    until = started + 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder:
        slides = options.slides or Path(folder)
        if not any(slides.glob("*")):
            write_kinds(slides)
        tally = Tally(options.seed, started)

        def run(worker: int) -> None:
            stop = options.first + options.cases
            numbers = range(options.first + worker, stop, options.workers)
            for case in run_cases(slides, options.seed, numbers, options.doors, until):
                if options.case is not None:
                    print(case.what, *(f"{d}: {r}" for d, r in case.results.items()), sep="\n")
                tally.add(case)

        with ThreadPoolExecutor(options.workers) as executor:
            list(executor.map(run, range(options.workers)))
    print(tally, tally.table(), sep="\n")
    return min(tally.failing, 1)


if __name__ == "__main__":
    raise SystemExit(main())
