"""Which frame shows which tile, channel and focal plane (PS3.3 C.7.6.17.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicomslide.enum import ChannelTypes
from dicomslide.errors import InvalidImageError
from dicomslide.metadata.channels import channel_items, channel_type, parameter_identifier
from dicomslide.metadata.flavors import is_label_map
from dicomslide.metadata.geometry import origin_of, spacing_between_planes

__all__ = [
    "FramePositions",
    "check_full",
    "count_stored_channels",
    "focal_plane_offsets",
    "is_tiled_full",
    "matrix_size",
    "number_of_frames",
    "read_frame_positions",
    "tile_grid_shape",
]

_MAX_SIDE = 2**32 - 1


@dataclass(frozen=True, eq=False)
class FramePositions:
    """Where each frame of an image lies.

    Parameters
    ----------
    pixels : numpy.ndarray
        Zero-based (row, column) of the frame's top left pixel, shape (n, 2)
    channels, focal_planes : numpy.ndarray
        Zero-based indices, shape (n,)
    offsets : numpy.ndarray
        Z Offset in Slide Coordinate System of each focal plane in micrometres, ascending
    slide : numpy.ndarray, optional
        (x, y, z) in millimetres as the frames state it, shape (n, 3); None where they do not
    """

    pixels: NDArray[np.int64]
    channels: NDArray[np.int64]
    focal_planes: NDArray[np.int64]
    offsets: tuple[float, ...]
    slide: NDArray[np.float64] | None = None


def matrix_size(dataset: Dataset) -> tuple[int, int]:
    """Read Total Pixel Matrix Rows and Columns; those of the frame for an image without them."""
    size = []
    for keyword, fallback in (
        ("TotalPixelMatrixRows", "Rows"),
        ("TotalPixelMatrixColumns", "Columns"),
    ):
        value = dataset.get(keyword, dataset.get(fallback))
        if not isinstance(value, int) or not 0 < value <= _MAX_SIDE:
            raise InvalidImageError(
                f"image {dataset.get('SOPInstanceUID')}: {keyword} is {value!r}, expected a "
                "positive integer"
            )
        size.append(int(value))
    return size[0], size[1]


def number_of_frames(dataset: Dataset) -> int:
    """Read Number of Frames; 1 where there is none."""
    value = dataset.get("NumberOfFrames")
    count = 1 if value in (None, "") else int(value)
    if count < 1:
        raise InvalidImageError(
            f"image {dataset.get('SOPInstanceUID')}: Number of Frames is {value!r}"
        )
    return count


def is_tiled_full(dataset: Dataset) -> bool:
    """Whether the positions of the frames follow from their order.

    A single frame without a position covers the top left of the matrix as well: LABEL, OVERVIEW
    and THUMBNAIL images need not say how they are tiled.
    """
    if dataset.get("DimensionOrganizationType") == "TILED_FULL":
        return True
    if "PerFrameFunctionalGroupsSequence" in dataset:
        return False
    shared = dataset.get("SharedFunctionalGroupsSequence")
    return not (shared and "PlanePositionSlideSequence" in shared[0])


def count_stored_channels(dataset: Dataset) -> int:
    """Count the channels with frames of their own; the segments of a label map share theirs."""
    if is_label_map(dataset):
        return 1
    items = channel_items(dataset)
    if channel_type(dataset) is ChannelTypes.OPTICAL_PATH and not items:
        return max(int(dataset.get("NumberOfOpticalPaths") or 1), 1)
    return max(len(items), 1)


def focal_plane_offsets(dataset: Dataset) -> tuple[float, ...]:
    """Get the Z offsets of the focal planes in micrometres, from the slide towards the coverslip.

    The frames are not looked at where the attributes of the image alone tell.
    """
    count = dataset.get("TotalPixelMatrixFocalPlanes")
    if is_tiled_full(dataset):
        first = origin_of(dataset)[2]
        step = spacing_between_planes(dataset) * 1000
        return tuple(first + step * k for k in range(_plane_count(dataset)))
    if count == 1 and "TotalPixelMatrixOriginSequence" in dataset:
        return (origin_of(dataset)[2],)
    return read_frame_positions(dataset).offsets


def read_frame_positions(dataset: Dataset) -> FramePositions:
    """Read the positions of all frames of an image.

    Raises
    ------
    InvalidImageError
        When the positions cannot be told, or contradict the number of frames
    """
    if is_tiled_full(dataset):
        return _full_positions(dataset)
    return _sparse_positions(dataset)


def _plane_count(dataset: Dataset) -> int:
    count = dataset.get("TotalPixelMatrixFocalPlanes", 1)
    if not isinstance(count, int) or not 1 <= count <= number_of_frames(dataset):
        raise InvalidImageError(
            f"image {dataset.get('SOPInstanceUID')}: Total Pixel Matrix Focal Planes is {count!r} "
            f"with {number_of_frames(dataset)} frames"
        )
    return int(count)


def tile_grid_shape(dataset: Dataset) -> tuple[int, int]:
    """Count the rows and columns of the regular grid of tiles."""
    rows, columns = matrix_size(dataset)
    return -(-rows // int(dataset.Rows)), -(-columns // int(dataset.Columns))


def check_full(dataset: Dataset) -> None:
    """Check that a TILED_FULL image has as many frames as its grid has places."""
    rows, columns = tile_grid_shape(dataset)
    planes, channels = _plane_count(dataset), count_stored_channels(dataset)
    expected = rows * columns * planes * channels
    if number_of_frames(dataset) != expected:
        raise InvalidImageError(
            f"image {dataset.get('SOPInstanceUID')}: Number of Frames is "
            f"{number_of_frames(dataset)}, but {rows} x {columns} tiles, {planes} focal planes "
            f"and {channels} channels need {expected}"
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


def _sparse_positions(dataset: Dataset) -> FramePositions:
    name = f"image {dataset.get('SOPInstanceUID')}"
    count = number_of_frames(dataset)
    shared_groups = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or [Dataset()] * count
    if len(groups) != count:
        raise InvalidImageError(
            f"{name}: {len(groups)} items of Per-Frame Functional Groups for {count} frames"
        )
    shared = shared_groups[0]
    positions = [_plane_position(group, shared, name, n) for n, group in enumerate(groups, 1)]
    rows_columns = [_row_column(item, name, n) for n, item in enumerate(positions, 1)]
    slide = np.array(
        [
            [float(item.get(f"{a}OffsetInSlideCoordinateSystem") or 0.0) for a in "XYZ"]
            for item in positions
        ]
    )
    if not np.isfinite(slide).all():
        raise InvalidImageError(f"{name}: a frame has no finite position on the slide")
    offsets, planes = np.unique(slide[:, 2].round(6), return_inverse=True)
    slide[:, 2] /= 1000
    return FramePositions(
        pixels=np.array(rows_columns, dtype=np.int64),
        channels=np.array(_channel_indices(dataset, shared, groups, name), dtype=np.int64),
        focal_planes=planes.reshape(-1).astype(np.int64),
        offsets=tuple(offsets.tolist()),
        slide=slide,
    )


def _plane_position(group: Dataset, shared: Dataset, name: str, number: int) -> Dataset:
    items = group.get("PlanePositionSlideSequence") or shared.get("PlanePositionSlideSequence")
    if not items:
        raise InvalidImageError(f"{name}: frame {number} has no Plane Position (Slide)")
    item: Dataset = items[0]
    return item


def _row_column(item: Dataset, name: str, number: int) -> tuple[int, int]:
    values = (
        item.get("RowPositionInTotalImagePixelMatrix"),
        item.get("ColumnPositionInTotalImagePixelMatrix"),
    )
    if not all(isinstance(value, int) for value in values):
        raise InvalidImageError(
            f"{name}: frame {number} has position {values} in the total pixel matrix"
        )
    # The attributes count from 1
    return int(values[0]) - 1, int(values[1]) - 1


def _channel_indices(
    dataset: Dataset, shared: Dataset, groups: Sequence[Dataset], name: str
) -> list[int]:
    if is_label_map(dataset):
        return [0] * len(groups)
    index_of = {
        _channel_key(dataset, item): index for index, item in enumerate(channel_items(dataset))
    }
    if len(index_of) <= 1:
        return [0] * len(groups)
    indices = []
    for number, group in enumerate(groups, 1):
        key = _frame_channel_key(dataset, group) or _frame_channel_key(dataset, shared)
        if key not in index_of:
            raise InvalidImageError(
                f"{name}: frame {number} belongs to channel {key!r}, which is none of "
                f"{sorted(index_of)}"
            )
        indices.append(index_of[key])
    return indices


def _channel_key(dataset: Dataset, item: Dataset) -> str:
    kind = channel_type(dataset)
    if kind is ChannelTypes.OPTICAL_PATH:
        return str(item.get("OpticalPathIdentifier", ""))
    if kind is ChannelTypes.SEGMENT:
        return str(item.get("SegmentNumber", ""))
    return parameter_identifier(item)


def _frame_channel_key(dataset: Dataset, group: Dataset) -> str | None:
    kind = channel_type(dataset)
    if kind is ChannelTypes.OPTICAL_PATH:
        items = group.get("OpticalPathIdentificationSequence")
        return str(items[0].get("OpticalPathIdentifier", "")) if items else None
    if kind is ChannelTypes.SEGMENT:
        items = group.get("SegmentIdentificationSequence")
        return str(items[0].get("ReferencedSegmentNumber", "")) if items else None
    items = group.get("RealWorldValueMappingSequence")
    return parameter_identifier(items[0]) if items else None
