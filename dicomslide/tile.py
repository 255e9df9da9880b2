"""Tilings: positions of frames in a total pixel matrix, and joining of tiles (PS3.3 C.7.6.17.3)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicomslide.errors import ArgumentValueError, InvalidImageError
from dicomslide.metadata.frames import (
    check_full,
    focal_plane_offsets,
    is_tiled_full,
    matrix_size,
    read_frame_positions,
    read_slide_positions,
    tile_grid_shape,
)
from dicomslide.metadata.geometry import read_geometry

__all__ = [
    "FullTiling",
    "SparseTiling",
    "Tiling",
    "assemble_total_pixel_matrix",
    "compute_frame_positions",
    "disassemble_total_pixel_matrix",
    "read_tilings",
]


class Tiling(Protocol):
    """Positions of the frames of one channel and focal plane in the total pixel matrix."""

    @property
    def complete(self) -> bool:
        """Whether the frames cover the whole matrix."""

    @property
    def disjoint(self) -> bool:
        """Whether no two frames overlap."""

    @property
    def token(self) -> str:
        """Key that is equal for the same frames at the same positions, in any process."""

    def find(
        self, top: int, left: int, bottom: int, right: int
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Find the frames that touch the pixels [top, bottom) x [left, right).

        Returns
        -------
        frames : list of int
            Zero-based frame indices, in the order in which frames are drawn
        positions : list of tuple of int
            (row, column) of the top left pixel of each frame
        """

    def position_of(self, frame: int) -> tuple[int, int] | None:
        """Find the (row, column) of a frame's top left pixel; None for frames of other planes."""


@dataclass(frozen=True)
class FullTiling:
    """Tiling by frames in raster order on the regular grid (TILED_FULL).

    Parameters
    ----------
    grid : tuple of int
        Rows and columns of the grid
    tile : tuple of int
        Rows and columns of a tile
    first : int
        Index of the frame at the top left
    """

    grid: tuple[int, int]
    tile: tuple[int, int]
    first: int = 0

    @property
    def complete(self) -> bool:
        """Whether the frames cover the whole matrix."""
        return True

    @property
    def disjoint(self) -> bool:
        """Whether no two frames overlap."""
        return True

    @property
    def token(self) -> str:
        """Key of frames and positions; see `Tiling.token`."""
        return repr(self)

    def find(
        self, top: int, left: int, bottom: int, right: int
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Find the frames that touch a window; see `Tiling.find`."""
        height, width = self.tile
        rows = range(max(top // height, 0), min(-(-bottom // height), self.grid[0]))
        columns = range(max(left // width, 0), min(-(-right // width), self.grid[1]))
        frames = [self.first + r * self.grid[1] + c for r in rows for c in columns]
        return frames, [(r * height, c * width) for r in rows for c in columns]

    def position_of(self, frame: int) -> tuple[int, int] | None:
        """Find the position of a frame; see `Tiling.position_of`."""
        row, column = divmod(frame - self.first, self.grid[1])
        if not 0 <= row < self.grid[0]:
            return None
        return row * self.tile[0], column * self.tile[1]


@dataclass(frozen=True, eq=False)
class SparseTiling:
    """Tiling by frames anywhere: off the grid, overlapping or missing (TILED_SPARSE).

    Parameters
    ----------
    tile : tuple of int
        Rows and columns of a tile
    frames : numpy.ndarray
        Zero-based frame indices in ascending order, shape (n,)
    positions : numpy.ndarray
        (row, column) of each frame's top left pixel, shape (n, 2)
    complete : bool
        Whether the frames cover the whole matrix
    disjoint : bool
        Whether no two frames overlap
    """

    tile: tuple[int, int]
    frames: NDArray[np.int64]
    positions: NDArray[np.int64]
    complete: bool
    disjoint: bool
    _order: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        order = np.argsort(self.positions[:, 0], kind="stable")
        object.__setattr__(self, "_order", order)

    @cached_property
    def token(self) -> str:
        """Key of frames and positions; see `Tiling.token`."""
        found = hashlib.sha256(repr(self.tile).encode())
        for array in (self.frames, self.positions):
            found.update(np.ascontiguousarray(array, "<i8").tobytes())
        return found.hexdigest()[:32]

    def find(
        self, top: int, left: int, bottom: int, right: int
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Find the frames that touch a window; see `Tiling.find`."""
        height, width = self.tile
        rows = self.positions[:, 0]
        low = np.searchsorted(rows, top - height, side="right", sorter=self._order)
        high = np.searchsorted(rows, bottom, side="left", sorter=self._order)
        band = self._order[low:high]
        columns = self.positions[band, 1]
        # In ascending order, as later frames are drawn over earlier ones
        found = np.sort(band[(columns > left - width) & (columns < right)])
        positions = [(int(r), int(c)) for r, c in self.positions[found]]
        return self.frames[found].tolist(), positions

    def position_of(self, frame: int) -> tuple[int, int] | None:
        """Find the position of a frame; see `Tiling.position_of`."""
        place = int(np.searchsorted(self.frames, frame))
        if place == len(self.frames) or self.frames[place] != frame:
            return None
        row, column = self.positions[place].tolist()
        return row, column


def read_tilings(dataset: Dataset) -> "Tilings":
    """Make the tilings of an image, and check its number of frames if it is TILED_FULL.

    Raises
    ------
    InvalidImageError
        When a TILED_FULL image has more or fewer frames than its grid has tiles
    """
    if is_tiled_full(dataset):
        check_full(dataset)
    return Tilings(dataset)


class Tilings:
    """Tilings of all channels and focal planes of an image, which are made on access."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def get(self, channel: int, focal_plane: int) -> Tiling:
        """Return the tiling of a stored channel and focal plane, both zero-based."""
        tile = int(self._dataset.Rows), int(self._dataset.Columns)
        if is_tiled_full(self._dataset):
            grid = tile_grid_shape(self._dataset)
            planes = len(focal_plane_offsets(self._dataset))
            return FullTiling(grid, tile, (channel * planes + focal_plane) * grid[0] * grid[1])
        nothing = SparseTiling(tile, np.empty(0, np.int64), np.empty((0, 2), np.int64), False, True)
        return self._sparse.get((channel, focal_plane), nothing)

    def has_frames(self, channel: int, focal_plane: int) -> bool:
        """Whether there is a frame of a stored channel and focal plane."""
        return is_tiled_full(self._dataset) or (channel, focal_plane) in self._sparse

    @cached_property
    def _sparse(self) -> dict[tuple[int, int], SparseTiling]:
        return _sparse_tilings(self._dataset)


def _sparse_tilings(dataset: Dataset) -> dict[tuple[int, int], SparseTiling]:
    tile, grid = (int(dataset.Rows), int(dataset.Columns)), tile_grid_shape(dataset)
    found = read_frame_positions(dataset)
    rows, columns = matrix_size(dataset)
    last = found.pixels + tile
    if (last <= 0).any() or (found.pixels >= (rows, columns)).any():
        bad = int(np.argmax(((last <= 0) | (found.pixels >= (rows, columns))).any(axis=1)))
        raise InvalidImageError(
            f"image {dataset.get('SOPInstanceUID')}: frame {bad + 1} at (row, column) "
            f"{tuple(found.pixels[bad].tolist())} lies outside the {rows} x {columns} matrix"
        )
    planes = len(found.offsets)
    keys = found.channels * planes + found.focal_planes
    order = np.argsort(keys, kind="stable")
    tilings = {}
    for frames in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        positions = found.pixels[frames]
        regular = positions[(positions % tile == 0).all(axis=1)] // tile
        # The tiles that frames cover are counted by sorting, which is faster than np.unique; an
        # array of all tiles could be far larger than the number of frames
        taken = np.sort(regular[:, 0] * grid[1] + regular[:, 1])
        places = min(len(taken), 1) + np.count_nonzero(np.diff(taken))
        tilings[divmod(int(keys[frames[0]]), planes)] = SparseTiling(
            tile,
            frames,
            positions,
            complete=places == grid[0] * grid[1],
            disjoint=places == len(frames),
        )
    return tilings


def compute_frame_positions(
    image: Dataset,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Compute the positions of frames.

    Parameters
    ----------
    image : pydicom.dataset.Dataset
        Metadata of a tiled image

    Returns
    -------
    total_pixel_matrix_positions : numpy.ndarray
        Zero-based (row, column) offset of the top left pixel of each frame in the total pixel
        matrix, shape (number of frames, 2)
    slide_positions : numpy.ndarray
        (x, y, z) of the centre of the top left pixel of each frame in the slide coordinate system
        in millimetres, shape (number of frames, 3)
    channel_indices : numpy.ndarray
        Zero-based index of each frame into the channels, along the items of the Optical Path
        Sequence, the Segment Sequence or the Real World Value Mappings; shape (number of frames,)
    focal_plane_indices : numpy.ndarray
        Zero-based index of each frame into the focal planes, from the slide towards the
        coverslip; shape (number of frames,)

    Raises
    ------
    ValueError
        When attributes with the positions are missing or invalid
    """
    found = read_frame_positions(image)
    slide = read_slide_positions(image)
    if slide is None:
        geometry = read_geometry(image)
        if geometry is None:
            raise InvalidImageError(
                f"image {image.get('SOPInstanceUID')}: Pixel Spacing, Image Orientation (Slide) "
                "and Total Pixel Matrix Origin are needed to place its frames on the slide"
            )
        slide = geometry.to_slide(found.pixels)
        slide[:, 2] += (np.array(found.offsets)[found.focal_planes] - found.offsets[0]) / 1000
    return found.pixels, slide, found.channels, found.focal_planes


def assemble_total_pixel_matrix(
    tiles: Sequence[NDArray],
    tile_positions: Sequence[tuple[int, int]] | NDArray,
    total_pixel_matrix_rows: int,
    total_pixel_matrix_columns: int,
) -> NDArray:
    """Assemble a total pixel matrix from individual tiles.

    Parameters
    ----------
    tiles : sequence of numpy.ndarray
        Tiles of one shape (rows, columns) or (rows, columns, samples) and one data type
    tile_positions : sequence of tuple of int, or numpy.ndarray
        Zero-based (row, column) position of each tile in the total pixel matrix
    total_pixel_matrix_rows, total_pixel_matrix_columns : int
        Number of total rows and columns

    Returns
    -------
    numpy.ndarray
        Total pixel matrix of shape (rows, columns) or (rows, columns, samples). Where tiles
        overlap, the later one is on top. Tiles are cropped to the matrix, and pixels that no tile
        covers are zero

    Raises
    ------
    ValueError
        When there are no tiles, when their shapes or types differ, or when there are not as many
        positions as tiles
    """
    if len(tiles) == 0:
        raise ArgumentValueError("tiles: at least one tile is needed")
    positions = _positions(tile_positions)
    if len(tiles) != len(positions):
        raise ArgumentValueError(f"{len(tiles)} tiles need as many positions, not {len(positions)}")
    shape, dtype = tiles[0].shape, tiles[0].dtype
    if any(tile.shape != shape or tile.dtype != dtype for tile in tiles):
        raise ArgumentValueError("tiles: all tiles must have the same shape and data type")
    size = (total_pixel_matrix_rows, total_pixel_matrix_columns)
    matrix = np.zeros((*size, *shape[2:]), dtype=dtype)
    for tile, (row, column) in zip(tiles, positions, strict=True):
        paste(matrix, tile, row, column)
    return matrix


def disassemble_total_pixel_matrix(
    total_pixel_matrix: NDArray,
    tile_positions: Sequence[tuple[int, int]] | NDArray,
    rows: int,
    columns: int,
) -> NDArray:
    """Disassemble a total pixel matrix into individual tiles.

    Parameters
    ----------
    total_pixel_matrix : numpy.ndarray
        Total pixel matrix of shape (rows, columns) or (rows, columns, samples)
    tile_positions : sequence of tuple of int, or numpy.ndarray
        Zero-based (row, column) position of each tile in the total pixel matrix
    rows, columns : int
        Number of rows and columns per tile

    Returns
    -------
    numpy.ndarray
        Stacked tiles of shape (tiles, rows, columns) or (tiles, rows, columns, samples). Pixels
        beyond the matrix are zero

    Raises
    ------
    ValueError
        When `rows` or `columns` is not positive
    """
    if rows < 1 or columns < 1:
        raise ArgumentValueError(f"rows, columns: {rows} x {columns} pixels must be positive")
    positions = _positions(tile_positions)
    shape = (len(positions), rows, columns, *total_pixel_matrix.shape[2:])
    tiles = np.zeros(shape, dtype=total_pixel_matrix.dtype)
    for tile, (row, column) in zip(tiles, positions, strict=True):
        paste(tile, total_pixel_matrix, -row, -column)
    return tiles


def paste(target: NDArray, tile: NDArray, row: int, column: int) -> None:
    """Copy a tile into an array with its top left pixel at (row, column), cropped to the array."""
    top, left = max(row, 0), max(column, 0)
    bottom = min(row + tile.shape[0], target.shape[0])
    right = min(column + tile.shape[1], target.shape[1])
    if top < bottom and left < right:
        target[top:bottom, left:right] = tile[
            top - row : bottom - row, left - column : right - column
        ]


def _positions(tile_positions: Sequence[tuple[int, int]] | NDArray) -> list[tuple[int, int]]:
    positions = np.asarray(tile_positions)
    if positions.size == 0:
        return []
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise ArgumentValueError(
            f"tile_positions: expected (row, column) pairs, got shape {positions.shape}"
        )
    return [(int(row), int(column)) for row, column in positions]
