"""Readers side by side: each in a process of its own, all on the same slides, in turns."""

import importlib.util
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dicomslide
from benchmarks.slides import FACTORS, SIZES, make_slide

__all__ = [
    "FIGURES",
    "PEERS",
    "Column",
    "Figure",
    "answer_of",
    "compare",
    "growth",
    "is_there",
    "send",
    "worker_process",
]

_WORKER = Path(__file__).with_name("worker.py")

Results = dict[str, dict[str, list[float]]]
"""Title of a column to name of a figure to seconds: an item each time it was measured."""


@dataclass(frozen=True)
class Column:
    """A reader and how it is used."""

    title: str
    reader: str
    threads: int = 1
    # Only the smallest of the three slides, for what takes minutes with the largest
    small: bool = False


@dataclass(frozen=True)
class Figure:
    """What is measured: how often in a round, on which slide, and what of it is read."""

    name: str
    times: int
    kind: str = "full"
    opening: bool = False
    level: int = 0
    # 0 for no pixels, and -1 for the whole level
    side: int = 0


PEERS = (
    Column("limit", "limit"),
    Column("limit, 2 threads", "limit", 2),
    Column("dicomslide", "dicomslide"),
    Column("dicomslide, 2 threads", "dicomslide", 2),
    Column("wsidicom", "wsidicom"),
    Column("wsidicom, 2 threads", "wsidicom", 2),
    Column("OpenSlide", "openslide"),
    Column("dicomslide 0.7.2, 1,632 frames", "published", small=True),
)
FIGURES = (
    Figure("open", 10, opening=True),
    Figure("open and read 256 x 256", 5, opening=True, side=256),
    Figure("open and read 256 x 256, sparse", 3, "sparse", opening=True, side=256),
    Figure("256 x 256 at random", 20, side=256),
    Figure("1024 x 1024 at random", 8, side=1024),
    Figure("4096 x 4096 at random", 2, side=4096),
    Figure("whole level 2", 1, level=2, side=-1),
)


def compare(
    folder: Path,
    size: str,
    columns: Sequence[Column],
    figures: Sequence[Figure],
    rounds: int,
    *,
    correct_color: bool = False,
    published: Path | None = None,
) -> Results:
    """Measure all figures of all readers, round by round.

    Parameters
    ----------
    folder : Path
        Where the slides are
    size : str
        Which of the slides
    columns, figures : sequence
        What is measured
    rounds : int
        How often
    correct_color : bool
        Whether ICC profiles are applied, by readers that can
    published : Path, optional
        The Python that has the published version; None leaves it out
    """
    columns = [column for column in columns if is_there(column.reader, published)]
    seconds: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        workers = {
            column: stack.enter_context(
                worker_process(column.reader, published if column.reader == "published" else None)
            )
            for column in columns
        }
        for number in range(rounds):
            for figure in figures:
                # Nobody always follows the same one, who leaves the processor and memory to it
                turns = list(workers.items())
                first = number % len(turns)
                for column, worker in turns[first:] + turns[:first]:
                    its_size = "small" if column.small and size != "tiny" else size
                    if not _is_possible(column, figure, its_size):
                        continue
                    request = {
                        "folder": str(make_slide(folder, its_size, figure.kind).resolve()),
                        "threads": column.threads,
                        "correct_color": correct_color,
                        "opening": figure.opening,
                        "windows": _windows(figure, SIZES[its_size], number),
                    }
                    key = column.title, figure.name
                    send(worker, request)
                    seconds.setdefault(key, []).extend(answer_of(worker))
    return {
        column.title: {
            figure.name: seconds[column.title, figure.name]
            for figure in figures
            if (column.title, figure.name) in seconds
        }
        for column in columns
    }


def growth(
    folder: Path, sizes: Sequence[str], columns: Sequence[Column], rounds: int
) -> dict[str, Results]:
    """Measure what must not grow with the number of frames, by size."""
    figures = [figure for figure in FIGURES if figure.opening or figure.side == 256]
    return {size: compare(folder, size, columns, figures, rounds) for size in sizes}


def is_there(reader: str, published: Path | None = None) -> bool:
    """Whether what a reader needs is installed."""
    if reader == "published":
        return published is not None
    return reader not in ("openslide", "wsidicom") or importlib.util.find_spec(reader) is not None


def _is_possible(column: Column, figure: Figure, size: str) -> bool:
    if column.reader == "limit" and figure.opening:
        return False
    # Whole levels of another slide cannot be compared, and positions take the published version
    # a minute with 26,112 frames
    if column.small and (figure.side < 0 or figure.kind == "sparse"):
        return False
    return figure.side <= min(SIZES[size])


def _windows(figure: Figure, size: tuple[int, int], number: int) -> list[list[int] | None]:
    """Choose what is read in a round: the same for all readers of a slide."""
    rows, columns = (extent // FACTORS[figure.level] for extent in size)
    if figure.side == 0:
        return [None] * figure.times
    if figure.side < 0:
        return [[figure.level, 0, 0, rows, columns]] * figure.times
    chance = random.Random(f"{figure.side} {number}")
    side = figure.side
    return [
        [figure.level, chance.randrange(rows - side), chance.randrange(columns - side), side, side]
        for _ in range(figure.times)
    ]


@contextmanager
def worker_process(reader: str, python: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run one reader in a process of its own."""
    environment = dict(os.environ)
    if python is None:
        environment["PYTHONPATH"] = str(Path(dicomslide.__file__).parents[1])
    with subprocess.Popen(
        [str(python or sys.executable), str(_WORKER), reader],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if python else None,
        text=True,
        env=environment,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def send(worker: subprocess.Popen[str], request: dict[str, Any]) -> None:
    """Ask a reader to read."""
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(request) + "\n")
    worker.stdin.flush()


def answer_of(worker: subprocess.Popen[str]) -> list[float]:
    """Wait until a reader has read; gives the seconds that it took."""
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        raise RuntimeError(f"{worker.args!r} ended")
    return json.loads(line)
