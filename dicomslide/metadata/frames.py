"""Positions of frames: their tile, channel and focal plane (PS3.3 C.7.6.17.3)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from dicomslide.enum import ChannelTypes
from dicomslide.errors import InvalidImageError
from dicomslide.errors.damage import reads_image
from dicomslide.metadata.channels import channel_items, channel_type
from dicomslide.metadata.flavors import is_label_map
from dicomslide.metadata.functional_groups import (
    PER_FRAME_GROUPS,
    FrameValues,
    frame_groups,
    read_frame_values,
)
from dicomslide.metadata.geometry import origin_of, spacing_between_planes
from dicomslide.metadata.kinds import kind_of
from dicomslide.metadata.words import counted

__all__ = [
    "FramePositions",
    "check_full",
    "count_stored_channels",
    "focal_plane_offsets",
    "is_tiled_full",
    "matrix_size",
    "number_of_frames",
    "read_frame_positions",
    "read_slide_positions",
    "tile_grid_shape",
    "tiles_across",
]

_MAX_SIDE = 2**32 - 1
_PLANE_POSITION = 0x0048021A
_ROW_COLUMN = (0x0048021F, 0x0048021E)
_SLIDE_OFFSETS = (0x0040072A, 0x0040073A, 0x0040074A)


@dataclass(frozen=True, eq=False)
class FramePositions:
    """Position of each frame of an image.

    Parameters
    ----------
    pixels : numpy.ndarray
        Zero-based (row, column) of the frame's top left pixel, shape (n, 2)
    channels, focal_planes : numpy.ndarray
        Zero-based indices, shape (n,)
    offsets : tuple of float
        Z Offset in Slide Coordinate System of each focal plane in micrometres, ascending
    """

    pixels: NDArray[np.int64]
    channels: NDArray[np.int64]
    focal_planes: NDArray[np.int64]
    offsets: tuple[float, ...]


@reads_image
def matrix_size(dataset: Dataset) -> tuple[int, int]:
    """Read Total Pixel Matrix Rows and Columns, or else Rows and Columns of the frame.

    Raises
    ------
    InvalidImageError
        When one of them is not a positive integer
    """
    size = []
    for keyword, fallback in (
        ("TotalPixelMatrixRows", "Rows"),
        ("TotalPixelMatrixColumns", "Columns"),
    ):
        value = dataset.get(keyword)
        if value is None and keyword not in dataset:
            value = dataset.get(fallback)
        if not isinstance(value, int) or not 0 < value <= _MAX_SIDE:
            raise InvalidImageError(
                f"{_name(dataset)}: {keyword} is {value!r}, expected a positive integer"
            )
        size.append(int(value))
    return size[0], size[1]


@reads_image
def number_of_frames(dataset: Dataset) -> int:
    """Read Number of Frames, or else compute the number of frames that the tiling needs.

    Raises
    ------
    InvalidImageError
        When it is not positive
    """
    value = dataset.get("NumberOfFrames")
    count = _needed_frames(dataset) if value in (None, "") else int(value)
    if count < 1:
        raise InvalidImageError(
            f"{_name(dataset)}: Number of Frames is {value!r}, expected a positive number"
        )
    return count


def _needed_frames(dataset: Dataset) -> int:
    if dataset.get("DimensionOrganizationType") != "TILED_FULL":
        return len(frame_groups(dataset)) or 1
    rows, columns = tile_grid_shape(dataset)
    planes = int(dataset.get("TotalPixelMatrixFocalPlanes") or 1)
    return rows * columns * planes * count_stored_channels(dataset)


@reads_image
def is_tiled_full(dataset: Dataset) -> bool:
    """Whether the positions of the frames follow from their order, as in TILED_FULL images.

    Images with a single frame that state no position count as well: LABEL, OVERVIEW and THUMBNAIL
    images need not state how they are tiled, and their frame covers the top left of the matrix.
    """
    if dataset.get("DimensionOrganizationType") == "TILED_FULL":
        return True
    if PER_FRAME_GROUPS in dataset:
        return False
    if dataset.get("DimensionOrganizationType") == "TILED_SPARSE" and number_of_frames(dataset) > 1:
        return False
    shared = dataset.get("SharedFunctionalGroupsSequence")
    return not (shared and "PlanePositionSlideSequence" in shared[0])


@reads_image
def count_stored_channels(dataset: Dataset) -> int:
    """Count the channels that have their own frames; all segments of a label map count as one."""
    if is_label_map(dataset):
        return 1
    items = channel_items(dataset)
    if not items and channel_type(dataset) is ChannelTypes.OPTICAL_PATH:
        return max(int(dataset.get("NumberOfOpticalPaths") or 1), 1)
    return max(len(items), 1)


@reads_image
def focal_plane_offsets(dataset: Dataset) -> tuple[float, ...]:
    """Read the Z offsets of the focal planes in micrometres, from the slide towards the coverslip.

    The attributes of frames are read only where those of the image do not suffice.

    Raises
    ------
    InvalidImageError
        When the offsets cannot be determined
    """
    count = dataset.get("TotalPixelMatrixFocalPlanes")
    if is_tiled_full(dataset):
        first, planes = origin_of(dataset)[2], _plane_count(dataset)
        if planes == 1:
            return (first,)
        step = spacing_between_planes(dataset) * 1000
        if not 0 < step < math.inf:
            raise InvalidImageError(
                f"{_name(dataset)}: Spacing Between Slices is {step / 1000} mm, expected a "
                f"positive number for {planes} focal planes"
            )
        return tuple(first + step * k for k in range(planes))
    if count == 1 and "TotalPixelMatrixOriginSequence" in dataset:
        return (origin_of(dataset)[2],)
    return read_frame_positions(dataset).offsets


@reads_image
def read_frame_positions(dataset: Dataset) -> FramePositions:
    """Read the positions of all frames of an image.

    Raises
    ------
    InvalidImageError
        When positions are missing or invalid, or contradict the number of frames
    """
    if is_tiled_full(dataset):
        return _full_positions(dataset)
    return _sparse_positions(dataset)


def _plane_count(dataset: Dataset) -> int:
    count = dataset.get("TotalPixelMatrixFocalPlanes", 1)
    if count == 1:
        return 1
    if not isinstance(count, int) or not 1 <= count <= number_of_frames(dataset):
        raise InvalidImageError(
            f"{_name(dataset)}: Total Pixel Matrix Focal Planes is {count!r}, expected 1 to "
            f"{number_of_frames(dataset)}, the number of frames"
        )
    return int(count)


@reads_image
def tile_grid_shape(dataset: Dataset) -> tuple[int, int]:
    """Count the rows and columns of the regular grid of tiles."""
    rows, columns = matrix_size(dataset)
    return -(-rows // int(dataset.Rows)), -(-columns // int(dataset.Columns))


@reads_image
def tiles_across(dataset: Dataset) -> int:
    """Count the tiles in a row of the total pixel matrix; 1 where sizes are not stated."""
    columns, width = dataset.get("TotalPixelMatrixColumns"), dataset.get("Columns")
    if not isinstance(columns, int) or not isinstance(width, int) or min(columns, width) < 1:
        return 1
    return -(-columns // width)


@reads_image
def check_full(dataset: Dataset) -> None:
    """Check that a TILED_FULL image has as many frames as its grid has tiles.

    Raises
    ------
    InvalidImageError
        When it has more or fewer
    """
    rows, columns = tile_grid_shape(dataset)
    planes, channels = _plane_count(dataset), count_stored_channels(dataset)
    found, expected = number_of_frames(dataset), rows * columns * planes * channels
    if found != expected:
        raise InvalidImageError(
            f"{_name(dataset)}: Number of Frames is {found}, but {rows} x {columns} tiles, "
            f"{counted(planes, 'focal plane')} and {counted(channels, 'channel')} need {expected}"
        )


def _full_positions(dataset: Dataset) -> FramePositions:
    check_full(dataset)
    grid_rows, grid_columns = tile_grid_shape(dataset)
    offsets = focal_plane_offsets(dataset)
    channels, planes, rows, columns = np.indices(
        (count_stored_channels(dataset), len(offsets), grid_rows, grid_columns), dtype=np.int64
    ).reshape(4, -1)
    pixels = np.stack([rows * int(dataset.Rows), columns * int(dataset.Columns)], axis=-1)
    return FramePositions(pixels, channels, planes, offsets)


@reads_image
def read_slide_positions(dataset: Dataset) -> NDArray[np.float64] | None:
    """Read the stated positions of all frames on the slide; None where they are not stated.

    Returns
    -------
    numpy.ndarray or None
        (x, y, z) of the top left pixel of each frame in millimetres, shape (number of frames, 3)
    """
    if is_tiled_full(dataset):
        return None
    values = _frame_values(dataset)
    texts = values and [values.texts(_PLANE_POSITION, tag) for tag in _SLIDE_OFFSETS]
    if texts and all(texts):
        slide = np.array([_numbers(text, dataset) for text in texts if text]).T
    else:
        items = _plane_positions(dataset)
        keywords = [f"{axis}OffsetInSlideCoordinateSystem" for axis in "XYZ"]
        if any(item.get(keyword) is None for item in items for keyword in keywords[:2]):
            return None
        slide = np.array(
            [[float(item.get(keyword) or 0.0) for keyword in keywords] for item in items]
        )
    if not np.isfinite(slide).all():
        raise InvalidImageError(f"{_name(dataset)}: a frame has no finite position on the slide")
    slide[:, 2] /= 1000
    return slide


def _sparse_positions(dataset: Dataset) -> FramePositions:
    values = _frame_values(dataset)
    found = values and _fast_positions(dataset, values)
    pixels, z, keys = found or _slow_positions(dataset)
    if not np.isfinite(z).all():
        raise InvalidImageError(f"{_name(dataset)}: a frame has no finite Z offset")
    # Scanners that focus each tile may state different heights of tiles in one plane
    if (z == z[0]).all() or dataset.get("TotalPixelMatrixFocalPlanes") == 1:
        offsets, planes = z[:1], np.zeros(len(z), dtype=np.int64)
    else:
        offsets, planes = np.unique(z.round(6), return_inverse=True)
    return FramePositions(
        # Row and Column Position in Total Image Pixel Matrix start at 1
        pixels=pixels - 1,
        channels=_channel_indices(dataset, keys),
        focal_planes=planes.reshape(-1).astype(np.int64),
        offsets=tuple(offsets.tolist()),
    )


Positions = tuple[NDArray[np.int64], NDArray[np.float64], list[str | None]]
"""Row and column (from 1 on), Z in micrometres, and channel key of each frame."""


def _name(dataset: Dataset) -> str:
    return f"image {dataset.get('SOPInstanceUID')}"


def _numbers(texts: Sequence[bytes], dataset: Dataset) -> NDArray[np.float64]:
    """Convert decimal strings to numbers, each different one once, as frames share most of them."""
    try:
        number_of = {text: float(text) if text else 0.0 for text in set(texts)}
    except ValueError as error:
        raise InvalidImageError(f"{_name(dataset)}: offset of a frame: {error}") from None
    return np.array([number_of[text] for text in texts])


def _frame_values(dataset: Dataset) -> FrameValues | None:
    """Find the values in the unparsed items of all frames; None where that is not possible."""
    if PER_FRAME_GROUPS not in dataset:
        return None
    element = dataset.get_item(PER_FRAME_GROUPS)
    if not isinstance(element, RawDataElement):
        return None
    return read_frame_values(element, number_of_frames(dataset))


def _fast_positions(dataset: Dataset, values: FrameValues) -> Positions | None:
    row, column = (values.integers(_PLANE_POSITION, t, dtype="<i4") for t in _ROW_COLUMN)
    z = values.texts(_PLANE_POSITION, _SLIDE_OFFSETS[2])
    keys = _fast_channel_keys(dataset, values)
    if row is None or column is None or z is None or keys is None:
        return None
    return np.stack([row, column], axis=-1), _numbers(z, dataset), keys


def _fast_channel_keys(dataset: Dataset, values: FrameValues) -> list[str | None] | None:
    if _one_stored_channel(dataset):
        return [None] * number_of_frames(dataset)
    sequence, attribute = map(tag_for_keyword, kind_of(dataset).reference)
    if dictionary_VR(attribute) == "US":
        numbers = values.integers(sequence, attribute, dtype="<u2")
        return None if numbers is None else [str(number) for number in numbers.tolist()]
    texts = values.texts(sequence, attribute)
    return None if texts is None else [text.decode("ascii", "replace") for text in texts]


def _slow_positions(dataset: Dataset) -> Positions:
    items = _plane_positions(dataset)
    pixels = [_row_column(item, dataset, number) for number, item in enumerate(items, 1)]
    z = [float(item.get("ZOffsetInSlideCoordinateSystem") or 0.0) for item in items]
    shared, groups = _functional_groups(dataset)
    keys = [_frame_channel_key(dataset, g) or _frame_channel_key(dataset, shared) for g in groups]
    return np.array(pixels, dtype=np.int64), np.array(z), keys


def _functional_groups(dataset: Dataset) -> tuple[Dataset, Sequence[Dataset]]:
    """Return the Shared Functional Groups, and the Per-Frame Functional Groups of each frame."""
    count = number_of_frames(dataset)
    shared = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    groups = frame_groups(dataset) or [Dataset()] * count
    if len(groups) != count:
        raise InvalidImageError(
            f"{_name(dataset)}: {len(groups)} items of Per-Frame Functional Groups for "
            f"{counted(count, 'frame')}"
        )
    return shared[0], groups


def _plane_positions(dataset: Dataset) -> list[Dataset]:
    shared, groups = _functional_groups(dataset)
    found = []
    for number, group in enumerate(groups, 1):
        items = group.get("PlanePositionSlideSequence") or shared.get("PlanePositionSlideSequence")
        if not items:
            raise InvalidImageError(
                f"{_name(dataset)}: frame {number} has no Plane Position (Slide)"
            )
        found.append(items[0])
    return found


def _row_column(item: Dataset, dataset: Dataset, number: int) -> tuple[int, int]:
    values = (
        item.get("RowPositionInTotalImagePixelMatrix"),
        item.get("ColumnPositionInTotalImagePixelMatrix"),
    )
    if not all(isinstance(value, int) for value in values):
        raise InvalidImageError(
            f"{_name(dataset)}: frame {number} has position {values} in the total pixel matrix, "
            "expected two integers"
        )
    return int(values[0]), int(values[1])


def _one_stored_channel(dataset: Dataset) -> bool:
    return is_label_map(dataset) or len(channel_items(dataset)) <= 1


def _channel_indices(dataset: Dataset, keys: Sequence[str | None]) -> NDArray[np.int64]:
    if _one_stored_channel(dataset):
        return np.zeros(len(keys), dtype=np.int64)
    items = channel_items(dataset)
    attribute = kind_of(dataset).attribute
    index_of: dict[str | None, int] = {
        str(item.get(attribute, "")): n for n, item in enumerate(items)
    }
    unknown = set(keys) - set(index_of)
    if unknown:
        number = next(n for n, key in enumerate(keys, 1) if key in unknown)
        raise InvalidImageError(
            f"{_name(dataset)}: frame {number} belongs to channel {keys[number - 1]!r}, but the "
            f"channels of the image are {list(index_of)}"
        )
    return np.array([index_of[key] for key in keys], dtype=np.int64)


def _frame_channel_key(dataset: Dataset, group: Dataset) -> str | None:
    sequence, attribute = kind_of(dataset).reference
    items = group.get(sequence)
    return str(items[0].get(attribute, "")) if items else None
