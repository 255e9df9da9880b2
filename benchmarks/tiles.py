"""Tiles of the viewer: of a disk, and of a server that is far away."""

import statistics
import time
from pathlib import Path

import numpy as np

import dicomslide
from benchmarks.training import DELAY
from dicomslide.viewing.scene import TILE, Scene
from tests.servers.faults import silence
from tests.servers.ranges import RangeServer

__all__ = ["tiles"]

_TILES = 8
# The base level and one that is small: what is in between is not stored
_FILES = ("level-0.dcm", "level-3.dcm")
_GRIDS = {"as stored": 0, "averages": 1}


def tiles(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Measure tiles of 256 x 256 pixels at random: what they are to place to median seconds."""
    with RangeServer(folder) as server:
        server.misbehave(silence(DELAY))
        sources = {
            "local": [str(folder / name) for name in _FILES],
            f"{DELAY * 1000:.0f} ms away": [server.url(folder / name) for name in _FILES],
        }
        found: dict[str, dict[str, float]] = {name: {} for name in _GRIDS}
        for place, files in sources.items():
            slide = dicomslide.open_slide(files, max_frame_cache_size=0)
            scene = Scene("slide", slide)
            for name, power in _GRIDS.items():
                found[name][place] = _median(scene, power, rounds)
    return found


def _median(scene: Scene, power: int, rounds: int) -> float:
    """Median time of a tile; the first one, which learns where the frames are, does not count."""
    random = np.random.default_rng(power)
    rows, columns = (max(extent // TILE, 1) for extent in scene.grid.reduced(power).size)
    seconds = []
    for _ in range(rounds * _TILES + 1):
        place = int(random.integers(rows)), int(random.integers(columns))
        start = time.perf_counter()
        scene.draw_tile(0, power, *place, 0, {})
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])
