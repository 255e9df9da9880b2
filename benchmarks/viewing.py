"""What programs do with a slide, each reader in its way: scanning, thumbnails, and DeepZoom tiles.

Readers keep frames as they do unless told otherwise, correct no colours, and have one thread. Each
is opened anew in each round, before its time begins.
"""

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import dicomslide
from benchmarks.compare import is_there
from benchmarks.slides import SIZES
from benchmarks.worker import Limit

__all__ = ["viewing"]

# Patches lie over half of the one before, along both axes
_PATCH, _STEP, _PATCH_ROWS, _PATCH_COLUMNS = 256, 128, 4, 24
_THUMBNAIL = 1024
# Tiles of each of so many levels, beginning with the finest
_TILES, _LEVELS = 8, 3


def viewing(folder: Path, size: str, rounds: int) -> dict[str, dict[str, float]]:
    """Measure what is done with a slide: name to title of a reader to seconds of the processor."""
    places = _patches(*SIZES[size])
    uses: dict[str, dict[str, Callable[[Any], Any]]] = {
        f"{len(places)} patches that overlap": {
            "limit": lambda limit: _decode(limit, places),
            "dicomslide": lambda slide: [
                slide.get_image_region(place, 0, (_PATCH, _PATCH)) for place in places
            ],
            "dicomslide, together": lambda slide: slide.get_image_regions(
                places, 0, (_PATCH, _PATCH)
            ),
            "wsidicom": lambda slide: [
                slide.read_region((x, y), 0, (_PATCH, _PATCH), threads=1, as_array=True)
                for y, x in places
            ],
            "OpenSlide": lambda slide: [
                slide.read_region((x, y), 0, (_PATCH, _PATCH)) for y, x in places
            ],
        },
        f"thumbnail of {_THUMBNAIL}": {
            "dicomslide": lambda slide: dicomslide.OpenSlide(slide).get_thumbnail(
                (_THUMBNAIL, _THUMBNAIL)
            ),
            "wsidicom": lambda slide: slide.read_thumbnail(
                _THUMBNAIL, force_generate=True, threads=1
            ),
            "OpenSlide": lambda slide: slide.get_thumbnail((_THUMBNAIL, _THUMBNAIL)),
        },
        f"{_LEVELS * _TILES} tiles of DeepZoom": {
            "dicomslide": lambda slide: _tiles(dicomslide.OpenSlide(slide)),
            "OpenSlide": _tiles,
        },
    }
    seconds: dict[str, dict[str, list[float]]] = {use: {} for use in uses}
    dicomslide.set_threads(1)
    # The first round is not counted
    for number in range(-1, rounds):
        for use, works in uses.items():
            titles = [title for title in works if is_there(title.lower())]
            first = number % len(titles)
            for title in titles[first:] + titles[:first]:
                with _OPEN[title.split(",")[0]](folder) as reader:
                    start = time.process_time()
                    works[title](reader)
                    if number >= 0:
                        taken = time.process_time() - start
                        seconds[use].setdefault(title, []).append(taken)
    dicomslide.set_threads(None)
    return {
        use: {title: statistics.median(found[title]) for title in uses[use] if title in found}
        for use, found in seconds.items()
    }


def _patches(rows: int, columns: int) -> list[tuple[int, int]]:
    """List the corners of patches row by row, from the middle of the slide on."""
    tops = range(rows // 2, rows - _PATCH, _STEP)[:_PATCH_ROWS]
    lefts = range(columns // 2, columns - _PATCH, _STEP)[:_PATCH_COLUMNS]
    return [(top, left) for top in tops for left in lefts]


def _decode(limit: Limit, places: list[tuple[int, int]]) -> None:
    """Decode each frame that patches touch once."""
    (top, left), (bottom, right) = places[0], places[-1]
    limit.decode(limit.prepare(0, top, left, bottom + _PATCH - top, right + _PATCH - left))


def _tiles(slide: Any) -> None:
    """Read tiles from the middle of the finest levels."""
    from openslide.deepzoom import DeepZoomGenerator

    generator = DeepZoomGenerator(slide, tile_size=254, overlap=1)
    for level in range(generator.level_count)[-_LEVELS:]:
        across, down = generator.level_tiles[level]
        for column in range(across // 2, across)[:_TILES]:
            generator.get_tile(level, (column, down // 2))


def _open_slide(folder: Path) -> AbstractContextManager[Any]:
    return dicomslide.open_slide(folder, correct_color=False)


def _open_wsidicom(folder: Path) -> AbstractContextManager[Any]:
    import wsidicom

    return wsidicom.WsiDicom.open(folder)


def _open_openslide(folder: Path) -> AbstractContextManager[Any]:
    import openslide

    return openslide.OpenSlide(folder / "level-0.dcm")


_OPEN: dict[str, Callable[[Path], AbstractContextManager[Any]]] = {
    "limit": lambda folder: nullcontext(Limit(folder, 1)),
    "dicomslide": _open_slide,
    "wsidicom": _open_wsidicom,
    "OpenSlide": _open_openslide,
}
