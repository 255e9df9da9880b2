"""Draws the folders and modules of the package: ``python docs/_drawings/architecture.py [FOLDER]``.

Each is above all that it imports.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).parents[2] / "dicomslide"
STATIC = Path(__file__).parents[1] / "_static"
INK, FOLDER, MODULE = "#24292f", "#dbe9f6", "#f3f4f6"
LEFT_OUT = {"__init__", "__main__", "testing"}


def main(target: Path = STATIC) -> None:
    """Draw the picture."""
    plt.rcParams |= {
        "font.family": "monospace",
        "font.size": 9,
        "text.color": INK,
        "svg.fonttype": "none",
        "svg.hashsalt": "dicomslide",
    }
    rooms = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    rooms -= LEFT_OUT | {"__pycache__", "py"}
    graph = {room: _below(room) & rooms - {room} for room in rooms}

    @cache
    def height(room: str) -> int:
        return 1 + max(map(height, graph[room]), default=-1)

    stairs = [
        sorted(r for r in rooms if height(r) == h) for h in range(max(map(height, rooms)) + 1)
    ]
    figure, axes = plt.subplots(figsize=(6.5, 0.45 * len(stairs)), layout="constrained")
    for step, found in enumerate(stairs):
        left = 0.0
        for room in found:
            is_folder = (ROOT / room).is_dir()
            width = 0.16 * len(room) + 0.3
            box = FancyBboxPatch(
                (left, step + 0.15),
                width,
                0.7,
                boxstyle="round,pad=0,rounding_size=0.12",
                fc=FOLDER if is_folder else MODULE,
                ec=INK,
                lw=0.8,
            )
            axes.add_patch(box)
            weight = "bold" if is_folder else "normal"
            axes.text(left + width / 2, step + 0.5, room, ha="center", va="center", weight=weight)
            left += width + 0.25
    axes.set(xlim=(-0.2, 8), ylim=(0, len(stairs)))
    axes.axis("off")
    figure.savefig(target / "architecture.svg", metadata={"Date": None})
    plt.close(figure)


def _below(room: str) -> set[str]:
    """Find what a folder or module imports when it is imported."""
    path = ROOT / room
    files = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
    return {
        name
        for file in files
        for name in _imported(ast.parse(file.read_text(encoding="utf-8")).body)
    }


def _imported(nodes: Iterable[ast.stmt]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dicomslide."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
            yield from _imported([*node.body, *node.orelse])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
