"""One class for each library: open a folder, read a region, all with the same pixels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["READERS"]


class Dicomslide:
    """This library, without colour correction as the others."""

    def __init__(self, folder: Path) -> None:
        import dicomslide

        # No frame is kept: each read decodes
        self._slide = dicomslide.open_slide(folder, correct_color=False, max_frame_cache_size=0)

    def read(self, row: int, column: int, side: int) -> NDArray:
        return self._slide.get_image_region((row, column), 0, (side, side))


class Wsidicom:
    def __init__(self, folder: Path) -> None:
        import wsidicom
        from wsidicom.config import Settings, set_default_settings

        set_default_settings(Settings(decoded_frame_cache_size=0, encoded_frame_cache_size=0))
        self._slide = wsidicom.WsiDicom.open(folder)

    def read(self, row: int, column: int, side: int) -> NDArray:
        return np.asarray(self._slide.read_region((column, row), 0, (side, side)))


class Openslide:
    def __init__(self, folder: Path) -> None:
        import openslide

        self._slide = openslide.OpenSlide(folder / "level-0.dcm")
        self._slide.set_cache(openslide.OpenSlideCache(0))

    def read(self, row: int, column: int, side: int) -> NDArray:
        return np.asarray(self._slide.read_region((column, row), 0, (side, side)))[..., :3]


class Limit:
    """What no reader can beat: the same frames decoded by the same codec, and nothing else."""

    def __init__(self, folder: Path) -> None:
        from dicomslide.sources.files import open_image_file

        dataset, self._frames = open_image_file(folder / "level-0.dcm")
        self._columns = -(-dataset.TotalPixelMatrixColumns // dataset.Columns)
        self._tile = int(dataset.Rows)

    def read(self, row: int, column: int, side: int) -> None:
        import imagecodecs

        rows = range(row // self._tile, -(-(row + side) // self._tile))
        columns = range(column // self._tile, -(-(column + side) // self._tile))
        for data in self._frames.read([r * self._columns + c for r in rows for c in columns]):
            imagecodecs.jpeg8_decode(data, colorspace="YCBCR", outcolorspace="RGB")


READERS: dict[str, Callable[[Path], Dicomslide | Wsidicom | Openslide | Limit]] = {
    "dicomslide": Dicomslide,
    "wsidicom": Wsidicom,
    "openslide": Openslide,
    "limit (one thread)": Limit,
}
