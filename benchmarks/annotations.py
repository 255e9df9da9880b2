"""Measure how fast a million annotations open: ``python -m benchmarks.annotations [FOLDER]``.

Each figure is the least processor time of several rounds, beside highdicom and wsidicom where they
do the same. The file is made once, in 170 MB.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from wsidicom import WsiDicom

import dicomslide
from dicomslide.testing import write_slide

CELLS, POINTS = 1_000_000, 20
ROUNDS = 3


def make(folder: Path) -> Path:
    """Write a slide, and a million polygons of twenty points."""
    path = folder / "cells.dcm"
    if not path.exists():
        write_slide(folder, size=(2500, 2500), factors=(1,), label=False, overview=False)
        random = np.random.default_rng(0)
        angles = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
        circle = 4 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        points = random.random((CELLS, 1, 2)) * 2400 + 50 + circle
        dicomslide.write_annotations(
            (points.reshape(-1, 2), np.full(CELLS, POINTS)),
            path,
            slide=dicomslide.open_slide(folder),
            measurements={"area": random.random(CELLS)},
        )
    return path


def seconds(function: Callable[[], Any], rounds: int = ROUNDS) -> float:
    times = []
    for _ in range(rounds):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = make(folder)

    def opened() -> dicomslide.AnnotationGroup:
        (group,) = dicomslide.open_slide(folder).annotations
        return group

    def in_box() -> None:
        group = opened()
        group.clip(x=(12.4, 12.5), y=(27.0, 27.1))

    def with_highdicom() -> None:
        (group,) = hd.ann.annread(path).get_annotation_groups()
        group.get_graphic_data("2D")

    def with_wsidicom() -> None:
        with WsiDicom.open(folder) as slide:
            list(slide.annotations[0].groups[0].annotations)

    for name, figure in {
        "NumPy reads the bytes of the file": seconds(lambda: np.fromfile(path, np.uint8)),
        "dicomslide opens slide and file": seconds(opened),
        "dicomslide opens them, all coordinates": seconds(lambda: opened().vectors),
        "dicomslide opens them, those in a box": seconds(in_box),
        "highdicom, all coordinates": seconds(with_highdicom, 1),
        "wsidicom, all geometries": seconds(with_wsidicom, 1),
    }.items():
        print(f"{name:42} {figure:8.3f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "annotated"))
