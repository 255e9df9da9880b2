"""One reader in a process of its own: requests come in as lines of JSON, and go out as seconds.

This file is run as a script, also by a Python that has another version of dicomslide.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

TILE = 240


class Dicomslide:
    """This library, without its cache of frames: each read decodes."""

    def __init__(self, folder: Path, threads: int, correct_color: bool) -> None:
        import dicomslide
        from dicomslide.pixels.threads import set_threads

        set_threads(threads)
        self._slide = dicomslide.open_slide(
            folder, correct_color=correct_color, max_frame_cache_size=0
        )

    def read(self, level: int, row: int, column: int, rows: int, columns: int) -> Any:
        matrix = self._slide.get_image(level).get_total_pixel_matrix()
        return matrix[row : row + rows, column : column + columns]

    def read_all(self, windows: list[list[int]]) -> Any:
        """Read windows of one level and size together."""
        level, _, _, rows, columns = windows[0]
        matrix = self._slide.get_image(level).get_total_pixel_matrix()
        return matrix.read_regions([window[1:3] for window in windows], (rows, columns))


class Published:
    """The published dicomslide 0.7.2, which decodes on one thread."""

    def __init__(self, folder: Path, correct_color: bool, **_: Any) -> None:
        from dicomweb_client import DICOMfileClient

        import dicomslide

        client = DICOMfileClient(folder.resolve().as_uri(), in_memory=True, update_db=True)
        slide = dicomslide.find_slides(client, max_frame_cache_size=1)[0]
        self._matrices = [
            dicomslide.TotalPixelMatrix(
                client, image.metadata, max_frame_cache_size=1, correct_color=correct_color
            )
            for image in slide.get_volume_images()
        ]

    def read(self, level: int, row: int, column: int, rows: int, columns: int) -> Any:
        return self._matrices[level][row : row + rows, column : column + columns, :]


class Wsidicom:
    """Without its caches of frames. It does not correct colours: Pillow does."""

    def __init__(self, folder: Path, threads: int, correct_color: bool) -> None:
        import wsidicom
        from wsidicom.config import Settings, set_default_settings

        set_default_settings(Settings(decoded_frame_cache_size=0, encoded_frame_cache_size=0))
        self._slide = wsidicom.WsiDicom.open(folder)
        self._threads = threads
        self._correct = correction(folder) if correct_color else np.asarray

    def read(self, level: int, row: int, column: int, rows: int, columns: int) -> Any:
        return self._correct(
            self._slide.read_region(
                (column, row), level, (columns, rows), threads=self._threads, as_array=True
            )
        )


class Openslide:
    """Without its cache of tiles. It decodes on one thread, and Pillow corrects its colours."""

    def __init__(self, folder: Path, correct_color: bool, **_: Any) -> None:
        import openslide

        self._slide = openslide.OpenSlide(folder / "level-0.dcm")
        self._slide.set_cache(openslide.OpenSlideCache(0))
        self._correct = correction(folder) if correct_color else np.asarray

    def read(self, level: int, row: int, column: int, rows: int, columns: int) -> Any:
        factor = round(self._slide.level_downsamples[level])
        region = self._slide.read_region((column * factor, row * factor), level, (columns, rows))
        return self._correct(np.asarray(region)[..., :3])


def correction(folder: Path) -> Callable[[Any], Any]:
    """Make the transform to sRGB that the callers of other readers make, of the ICC profile."""
    import io

    import pydicom
    from PIL import Image, ImageCms

    dataset = pydicom.dcmread(folder / "level-0.dcm", stop_before_pixels=True)
    profile = io.BytesIO(dataset.OpticalPathSequence[0].ICCProfile)
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(profile), ImageCms.createProfile("sRGB"), "RGB", "RGB"
    )

    def correct(pixels: Any) -> Any:
        image = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(ImageCms.applyTransform(image, transform))

    return correct


class Limit:
    """What no reader of whole frames can beat: the same codec decodes them, and nothing else."""

    def __init__(self, folder: Path, threads: int, **_: Any) -> None:
        from dicomslide.sources.files import open_image_file

        self._levels = [
            (-(-dataset.TotalPixelMatrixColumns // TILE), source)
            for dataset, source in map(open_image_file, sorted(folder.glob("level-*.dcm")))
        ]
        self._pool = ThreadPoolExecutor(threads)
        self._threads = threads

    def frames(self, level: int, row: int, column: int, rows: int, columns: int) -> list[int]:
        across = self._levels[level][0]
        grid_rows = range(row // TILE, -(-(row + rows) // TILE))
        grid_columns = range(column // TILE, -(-(column + columns) // TILE))
        return [r * across + c for r in grid_rows for c in grid_columns]

    def prepare(self, level: int, row: int, column: int, rows: int, columns: int) -> list[bytes]:
        return self._levels[level][1].read(self.frames(level, row, column, rows, columns))

    def decode(self, frames: list[bytes]) -> None:
        import imagecodecs

        def work(part: list[bytes]) -> None:
            for frame in part:
                imagecodecs.jpeg8_decode(frame, colorspace="YCBCR", outcolorspace="RGB")

        if self._threads == 1:
            work(frames)
        else:
            parts = [frames[i :: self._threads] for i in range(self._threads)]
            list(self._pool.map(work, parts))


READERS: dict[str, Callable[..., Any]] = {
    "limit": Limit,
    "dicomslide": Dicomslide,
    "wsidicom": Wsidicom,
    "openslide": Openslide,
    "published": Published,
}


def answer(reader: str, opened: dict[str, Any], request: dict[str, Any]) -> list[float]:
    """Do what is asked for, and measure each time it is done."""
    folder = request["folder"]
    options = {name: request[name] for name in ("threads", "correct_color")}
    make = READERS[reader]
    if folder not in opened:
        # The first time is another one: modules are imported, and the system reads the file
        opened[folder] = make(Path(folder), **options)
        if request["windows"][0] is not None:
            read(opened[folder], request["windows"][0])
    if request["opening"]:
        seconds = []
        for window in request["windows"]:
            start = time.perf_counter()
            slide = make(Path(folder), **options)
            if window is not None:
                slide.read(*window)
            seconds.append(time.perf_counter() - start)
        return seconds
    if request.get("together"):
        start = time.perf_counter()
        opened[folder].read_all(request["windows"])
        return [time.perf_counter() - start]
    return [read(opened[folder], window) for window in request["windows"]]


def read(slide: Any, window: list[int]) -> float:
    """Read level, row, column, rows and columns."""
    # A virtual machine gives memory back to its host, and whoever needs it first waits for it
    np.ones((*window[3:], 4), np.uint8)
    if isinstance(slide, Limit):
        frames = slide.prepare(*window)
        start = time.perf_counter()
        slide.decode(frames)
    else:
        start = time.perf_counter()
        slide.read(*window)
    return time.perf_counter() - start


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    # What libraries print must not come between the answers
    os.dup2(2, 1)
    opened: dict[str, Any] = {}
    for line in sys.stdin:
        answers.write(json.dumps(answer(sys.argv[1], opened, json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
