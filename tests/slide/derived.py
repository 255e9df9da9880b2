"""Segmentations and Parametric Maps that cover any part of a slide, and where highdicom puts it.

Places are told by highdicom's transformers from attributes of files, never by the package.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from highdicom.spatial import ImageToReferenceTransformer
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicomslide.testing import SyntheticSlide

SLIDE = {
    "size": (90, 70),
    "tile": (32, 32),
    "factors": (1, 2, 4),
    "transfer_syntax": "1.2.840.10008.1.2.1",
    "icc_profile": False,
    "label": False,
    "overview": False,
}
_PRODUCER: dict[str, Any] = {
    "series_number": 7,
    "instance_number": 1,
    "manufacturer": "dicomslide",
    "manufacturer_model_name": "tests",
    "software_versions": "1",
    "device_serial_number": "1",
}
_TYPES = {"float": np.float32, "double": np.float64, "integer": np.uint16}
SLOPE, INTERCEPT = 0.25, -3.0


def read_level(written: SyntheticSlide, level: int, instance: int = 0) -> Dataset:
    """The metadata of a level, as its file states them."""
    return pydicom.dcmread(written.levels[level].paths[instance], stop_before_pixels=True)


def to_slide(dataset: Dataset, row: float, column: float) -> tuple[float, float, float]:
    """Slide coordinates of a pixel, or of a point between pixels, as the file states them."""
    return tuple(_transformer(dataset)(_points([row], [column]))[0].tolist())


def positions(dataset: Dataset) -> NDArray:
    """(x, y) of the centres of all pixels of an image, as its file states them."""
    size = dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns
    rows, columns = np.indices(size).reshape(2, -1)
    return _transformer(dataset)(_points(rows, columns))[:, :2].reshape(*size, 2)


def level_positions(written: SyntheticSlide, level: int) -> NDArray:
    """(x, y) of the centres of all pixels of a level, whose corner is that of the base level."""
    factor, size = written.levels[level].factor, written.levels[level].size
    # Corners are equal: so many base pixels from it, counted from the corner, is the centre
    rows, columns = (np.indices(size).reshape(2, -1) + 0.5) * factor - 0.5
    base = _transformer(read_level(written, 0))
    return base(_points(rows, columns))[:, :2].reshape(*size, 2)


def upright(pixels: NDArray, places: NDArray) -> NDArray:
    """The pixels in the order in which they lie on the slide: along +X, then along -Y."""
    x, y = places[..., 0].ravel().round(7), places[..., 1].ravel().round(7)
    order = np.lexsort((x, -y))
    shape = len(np.unique(y)), len(np.unique(x))
    return pixels.reshape(-1, *pixels.shape[2:])[order].reshape(*shape, *pixels.shape[2:])


def paste(
    pixels: NDArray, offset: tuple[int, int], size: tuple[int, int], around: float
) -> NDArray:
    """Pixels at their place in a matrix, cropped to it."""
    border = max(*pixels.shape[:2], *size, *map(abs, offset))
    whole = np.full((size[0] + 2 * border, size[1] + 2 * border), around, pixels.dtype)
    row, column = offset[0] + border, offset[1] + border
    whole[row : row + pixels.shape[0], column : column + pixels.shape[1]] = pixels
    return whole[border : border + size[0], border : border + size[1]]


def make_mask(size: tuple[int, int], seed: int = 0) -> NDArray[np.bool_]:
    """A mask without symmetry, whose corners are marked."""
    mask = np.random.default_rng(seed).random(size) > 0.6
    mask[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    return mask


def write_segment(
    path: Path,
    source: Dataset,
    pixels: NDArray,
    at: tuple[float, float] = (0, 0),
    *,
    kind: str = "BINARY",
    label: str = "region",
    series: str | None = None,
    pyramid: str | None = None,
    **places: Any,
) -> Path:
    """Write a Segmentation of a part of a level.

    Parameters
    ----------
    path : pathlib.Path
        File
    source : pydicom.dataset.Dataset
        Metadata of the level
    pixels : numpy.ndarray
        Where the segment is; fractions for FRACTIONAL, segment numbers for LABELMAP
    at : tuple of float
        Row and column of the level where the top left pixel lies
    kind : str
        Segmentation Type
    label : str
        Label of the segments, with their numbers
    series, pyramid : str, optional
        Series Instance UID; Pyramid UID
    **places
        See `_places`
    """
    segments = int(pixels.max()) if kind == "LABELMAP" else 1
    dataset = hd.seg.Segmentation(
        [source],
        pixels if places.get("plane_positions") else pixels[np.newaxis],
        kind,
        [_describe(number, f"{label} {number}") for number in range(1, segments + 1)],
        series_instance_uid=series or hd.UID(),
        sop_instance_uid=hd.UID(),
        pyramid_uid=pyramid,
        **_places(source, at, **places),
        **_PRODUCER,
    )
    dataset.save_as(path)
    return path


def write_map(
    path: Path,
    source: Dataset,
    pixels: NDArray,
    at: tuple[float, float] = (0, 0),
    *,
    kind: str = "float",
    label: str = "DENSITY",
    **places: Any,
) -> Path:
    """Write a Parametric Map of a part of a level: see `write_segment`.

    Integers have a real-world value mapping of `SLOPE` and `INTERCEPT`.
    """
    is_integer = kind == "integer"
    mapping = hd.pm.RealWorldValueMapping(
        lut_label=label,
        lut_explanation="density",
        unit=Code("1", "UCUM", "no units"),
        value_range=(0, 65535) if is_integer else (0.0, 1e6),
        slope=SLOPE if is_integer else 1.0,
        intercept=INTERCEPT if is_integer else 0.0,
    )
    stored = pixels.astype(_TYPES[kind])
    dataset = hd.pm.ParametricMap(
        [source],
        stored if places.get("plane_positions") else stored[np.newaxis],
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=0.5, window_width=1.0)],
        series_instance_uid=hd.UID(),
        sop_instance_uid=hd.UID(),
        **_places(source, at, **places),
        **_PRODUCER,
    )
    dataset.save_as(path)
    return path


def _places(
    source: Dataset,
    at: tuple[float, float],
    orientation: Sequence[float] | None = None,
    spacing: Sequence[float] | None = None,
    height: float | None = None,
    tile: tuple[int, int] = (16, 24),
    plane_positions: Sequence[hd.PlanePositionSequence] | None = None,
) -> dict[str, Any]:
    """Arguments of highdicom for what lies at a pixel of a level, turned or scaled there.

    With `plane_positions` the pixels are frames, and `at` does not count.
    """
    x, y, z = to_slide(source, *at)
    cosines = orientation or [float(value) for value in source.ImageOrientationSlide]
    own = spacing or _measures(source).PixelSpacing
    found: dict[str, Any] = {
        "plane_orientation": hd.PlaneOrientationSequence("SLIDE", list(cosines)),
        "pixel_measures": hd.PixelMeasuresSequence([float(v) for v in own], 0.001),
        "plane_positions": plane_positions
        or [hd.PlanePositionSequence("SLIDE", (x, y, z if height is None else height), (1, 1))],
    }
    if not plane_positions:
        found |= {"tile_pixel_array": True, "tile_size": tile}
    return found


def tile_positions(source: Dataset, places: Sequence[tuple[int, int]]) -> list[Any]:
    """Plane positions of tiles of a level, which are given by row and column of the grid."""
    height, width = source.Rows, source.Columns
    return [
        hd.PlanePositionSequence(
            "SLIDE",
            to_slide(source, row * height, column * width),
            (column * width + 1, row * height + 1),
        )
        for row, column in places
    ]


def _describe(number: int, label: str) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        number,
        label,
        Code("91723000", "SCT", "Anatomical Structure"),
        Code("84640000", "SCT", "Nucleus"),
        "MANUAL",
    )


def _measures(dataset: Dataset) -> Dataset:
    return dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]


def _transformer(dataset: Dataset) -> ImageToReferenceTransformer:
    origin = dataset.TotalPixelMatrixOriginSequence[0]
    x, y, z = (float(origin.get(f"{axis}OffsetInSlideCoordinateSystem") or 0) for axis in "XYZ")
    return ImageToReferenceTransformer(
        image_position=(x, y, z),
        image_orientation=[float(value) for value in dataset.ImageOrientationSlide],
        pixel_spacing=[float(value) for value in _measures(dataset).PixelSpacing],
    )


def _points(rows: Any, columns: Any) -> NDArray:
    """Image coordinates are counted from the corner of the first pixel: centres are at a half."""
    return np.stack([np.asarray(columns) + 0.5, np.asarray(rows) + 0.5], axis=-1).astype(float)
