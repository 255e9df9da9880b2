"""Tables in Markdown, and where the documentation has them."""

import os
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.compare import Results
from benchmarks.remote import Traffic

__all__ = [
    "costs_table",
    "formats_table",
    "growth_table",
    "insert",
    "machine",
    "plain_table",
    "rates_table",
    "ratios",
    "times",
    "traffic_table",
    "uses_table",
]

_TWO = ", 2 threads"


def times(results: Results) -> str:
    """A table of milliseconds: the medians."""
    figures = max(results.values(), key=len)
    rows = [
        [f, *(_median(column[f]) if f in column else "" for column in results.values())]
        for f in figures
    ]
    return table(["ms", *results], rows)


def ratios(results: Results) -> str:
    """A table of how many times as long dicomslide takes as the limit and as each other reader.

    Readers are compared on as many threads; those that have only one with what dicomslide does when
    nothing is chosen. Some regions take twice as long as others to decode: the times of one region
    are divided by each other, and the ratio is the median of these.
    """
    pairs = {}
    for title in results:
        threads = "" if f"{title}{_TWO}" in results else _TWO
        if not title.startswith("dicomslide") or title.startswith("dicomslide 0"):
            pairs[title] = f"dicomslide{threads}"
    rows = []
    for figure in results["dicomslide"]:
        values = [
            f"{_ratio(results[own][figure], results[title][figure]):.2f}"
            if figure in results[title]
            else ""
            for title, own in pairs.items()
        ]
        rows.append([figure, *values])
    return table(["time of dicomslide, divided by that of", *pairs], rows)


def _ratio(own: Sequence[float], other: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(own, other, strict=True))


def _median(seconds: Sequence[float]) -> str:
    return milliseconds(statistics.median(seconds))


def growth_table(results: Mapping[str, Results], frames: Mapping[str, int], title: str) -> str:
    """A table of milliseconds of one reader by the number of frames."""
    columns = {f"{frames[size]:,} frames": found[title] for size, found in results.items()}
    figures = list(next(iter(columns.values())))
    rows = [[f, *(_median(column[f]) for column in columns.values())] for f in figures]
    return table(["ms", *columns], rows)


def plain_table(heading: str, results: Mapping[str, float]) -> str:
    """A table of milliseconds, and how many times as long they are as the first one."""
    first = next(iter(results.values()))
    rows = [[n, milliseconds(value), f"{value / first:.2f}"] for n, value in results.items()]
    return table([heading, "ms", "times the first"], rows)


def rates_table(results: Mapping[str, Mapping[str, float]]) -> str:
    """A table of how much each reader does in a second, by what is done."""
    readers = max(results.values(), key=len)
    rows = [
        [title, *(f"{found[reader]:,.0f}" if reader in found else "" for reader in readers)]
        for title, found in results.items()
    ]
    return table(["patches in a second", *readers], rows)


def formats_table(results: Mapping[str, tuple[float, float]]) -> str:
    """A table of milliseconds of a frame, of the codec alone and of a read, by how it is stored."""
    rows = [
        [name, milliseconds(codec), milliseconds(read), f"{read / codec:.2f}"]
        for name, (codec, read) in results.items()
    ]
    return table(["ms for a frame", "codec alone", "dicomslide", "ratio"], rows)


def uses_table(results: Mapping[str, Mapping[str, float]]) -> str:
    """A table of milliseconds of each reader, by what is done."""
    readers = max(results.values(), key=len)
    rows = [
        [use, *(milliseconds(found[reader]) if reader in found else "" for reader in readers)]
        for use, found in results.items()
    ]
    return table(["ms", *readers], rows)


def costs_table(results: Mapping[str, tuple[float, float]]) -> str:
    """A table of seconds of the processor and memory in MiB, by what a process does."""
    rows = [[n, f"{seconds:.2f}", f"{size:.0f}"] for n, (seconds, size) in results.items()]
    return table(["a process that begins", "s", "MiB"], rows)


def traffic_table(results: Mapping[str, Traffic]) -> str:
    """A table of requests, their depth, bytes and milliseconds, by what is done."""
    rows = [
        [name, f"{t.requests}", f"{t.depth}", f"{t.size / 1e6:.2f}", milliseconds(t.seconds)]
        for name, t in results.items()
    ]
    return table(["30 ms away", "requests", "one after the other", "MB", "ms"], rows)


def milliseconds(seconds: float) -> str:
    """Write a duration with three digits."""
    value = seconds * 1e3
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table, with all columns but the first one to the right."""
    rules = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rules, *rows))


def machine() -> str:
    """Say where it was measured."""
    return (
        f"Measured on {os.cpu_count()} processors ({platform.machine()}, {platform.system()}), "
        f"with Python {platform.python_version()}."
    )


def insert(path: Path, tables: Mapping[str, str]) -> None:
    """Write tables between their markers of a page.

    Raises
    ------
    ValueError
        When the page has no such markers
    """
    text = path.read_text(encoding="utf-8")
    for name, content in tables.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"{path} has no {begin}")
        block = f"{begin}\n{content}\n{end}"
        text = pattern.sub(lambda _, block=block: block, text)
    path.write_text(text, encoding="utf-8")
