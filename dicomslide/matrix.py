"""Total pixel matrices: lazy arrays of one channel and focal plane of a tiled image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import Dataset

from dicomslide.arguments import integer, integer_pair, integer_pairs, region_size, require_type
from dicomslide.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    PixelIndexError,
)
from dicomslide.instance import ImageInstance
from dicomslide.metadata.words import counted
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.chunks import Chunks
from dicomslide.stores.protocol import ImageStore

if TYPE_CHECKING:
    import dask.array as da
    from dicomweb_client.api import DICOMClient

__all__ = ["TotalPixelMatrix", "TotalPixelMatrixSampler"]


class TotalPixelMatrix:
    """Total pixel matrix of one channel and focal plane of a tiled image, a lazy array.

    The matrix is indexed like a NumPy array, with one addition: a single integer, slice or list
    selects whole tiles. Frames are retrieved and decoded when they are needed.

    ========================  ==================================================
    ``matrix[r, c, s]``       pixels, as NumPy gives them for the whole array
    ``matrix[...]``           the whole array
    ``matrix[i]``             tile `i`, shape (tile rows, tile columns, samples)
    ``matrix[i:j]``           tiles, shape (n, tile rows, tile columns, samples)
    ``matrix[[i, j, k]]``     the same for a list of tiles
    ========================  ==================================================

    Tiles are numbered row by row over the regular grid (PS3.3 C.7.6.17.3). A tile at the right or
    bottom edge has its full size, with the pixels that are stored beyond the matrix. Pixels that no
    frame covers are background: white for colour images, 0 otherwise.

    Parameters
    ----------
    client : dicomweb_client.api.DICOMClient or ImageStore
        Client that can retrieve the frames, or store that has them
    image_metadata : pydicom.dataset.Dataset
        Metadata of a tiled image
    channel_index : int, optional
        Zero-based index into channels along the items of the appropriate DICOM attribute
    focal_plane_index : int, optional
        Zero-based index into focal planes, from the slide towards the coverslip
    max_frame_cache_size : int, optional
        Number of decoded frames that are kept
    correct_color : bool, optional
        Whether the ICC profile of the image is applied

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When there is no such channel or focal plane, or the image cannot be read

    Examples
    --------
    >>> matrix = TotalPixelMatrix(client, metadata)  # doctest: +SKIP
    >>> region = matrix[:256, 256:512, :]  # doctest: +SKIP
    >>> tile = matrix[matrix.get_tile_index((2, 4))]  # doctest: +SKIP
    """

    def __init__(
        self,
        client: DICOMClient | ImageStore,
        image_metadata: Dataset,
        channel_index: int = 0,
        focal_plane_index: int = 0,
        max_frame_cache_size: int = 9,
        correct_color: bool = True,
    ) -> None:
        channel = integer("channel_index", channel_index)
        plane = integer("focal_plane_index", focal_plane_index)
        instance = ImageInstance.of_client(client, image_metadata, max_frame_cache_size)
        self._array = instance.array(channel, plane, bool(correct_color))

    @classmethod
    def _of(cls, array: FrameArray) -> TotalPixelMatrix:
        matrix = cls.__new__(cls)
        matrix._array = array
        return matrix

    @property
    def array(self) -> FrameArray:
        """Lazy array that all reads go through."""
        return self._array

    @property
    def dtype(self) -> np.dtype:
        """Data type: bool for one-bit images, else by Bits Allocated and Pixel Representation."""
        return self._array.dtype

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of rows, columns and samples."""
        return self._array.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions: 3."""
        return 3

    @property
    def size(self) -> int:
        """Number of values: rows x columns x samples."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of all pixels in memory in bytes."""
        return self.size * self.dtype.itemsize

    @property
    def tile_shape(self) -> tuple[int, int, int]:
        """Number of rows, columns and samples of a tile."""
        return self._array.tile_shape

    @property
    def tile_size(self) -> int:
        """Number of values of a tile: rows x columns x samples."""
        return math.prod(self.tile_shape)

    @property
    def tile_grid_shape(self) -> tuple[int, int]:
        """Number of tiles from top to bottom and from left to right."""
        (rows, columns), (height, width) = self.shape[:2], self.tile_shape[:2]
        return -(-rows // height), -(-columns // width)

    @property
    def num_tiles(self) -> int:
        """Number of tiles of the grid, whether or not a frame is stored for each."""
        return math.prod(self.tile_grid_shape)

    @cached_property
    def tile_grid_positions(self) -> NDArray[np.int64]:
        """(row, column) of each tile in the grid, shape (tiles, 2)."""
        return np.indices(self.tile_grid_shape, dtype=np.int64).reshape(2, -1).T

    @cached_property
    def tile_positions(self) -> NDArray[np.int64]:
        """(row, column) of the top left pixel of each tile, shape (tiles, 2)."""
        return self.tile_grid_positions * np.array(self.tile_shape[:2])

    def get_tile_grid_position(self, index: int) -> tuple[int, int]:
        """Get position of a tile in the tile grid.

        Parameters
        ----------
        index : int
            Zero-based index of the tile in the flattened total pixel matrix; negative indices
            count from the end

        Returns
        -------
        tuple of int
            Zero-based (row, column) index of the tile in the grid

        Raises
        ------
        IndexError
            When there is no such tile
        """
        return divmod(self._tile_index(index), self.tile_grid_shape[1])

    def get_tile_position(self, index: int) -> tuple[int, int]:
        """Get position of a tile.

        Parameters
        ----------
        index : int
            Zero-based index of the tile in the flattened total pixel matrix

        Returns
        -------
        tuple of int
            Zero-based (row, column) offset of the tile in the total pixel matrix

        Raises
        ------
        IndexError
            When there is no such tile
        """
        row, column = self.get_tile_grid_position(index)
        return row * self.tile_shape[0], column * self.tile_shape[1]

    def get_tile_bounding_box(self, index: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Get the bounding box of a tile.

        Parameters
        ----------
        index : int
            Tile index

        Returns
        -------
        offset : tuple of int
            Zero-based (row, column) pixel indices in the total pixel matrix
        size : tuple of int
            Height (rows) and width (columns) of the tile

        Raises
        ------
        IndexError
            When there is no such tile
        """
        return self.get_tile_position(index), self.tile_shape[:2]

    def get_tile_index(
        self, position: tuple[int, int] | int | None = None, frame_number: int | None = None
    ) -> int:
        """Get index of a tile.

        Parameters
        ----------
        position : tuple of int, optional
            Zero-based (row, column) index of a tile in the tile grid. The two numbers may also be
            given as two arguments
        frame_number : int, optional
            One-based number of the corresponding frame item in the Pixel Data element

        Returns
        -------
        int
            Zero-based index of the tile in the flattened total pixel matrix

        Raises
        ------
        TypeError
            When neither a position nor a frame number is given
        IndexError
            When the grid has no such position
        ValueError
            When there is no such frame, or when it belongs to another channel or focal plane
        """
        if position is not None and frame_number is not None and not isinstance(position, Sequence):
            position, frame_number = (integer("position", position), frame_number), None
        if position is not None:
            return self._index_at("position", position)
        if frame_number is None:
            raise ArgumentTypeError("either position or frame_number must be given")
        number = integer("frame_number", frame_number)
        found = self._array.tiling.position_of(number - 1)
        if found is None:
            raise ArgumentValueError(
                f"frame_number: {number} is not a frame of this channel and focal plane"
            )
        window = self._array.window
        corner = np.add(found, window.offset if window else 0).clip(0).tolist()
        row, column = (corner[i] // self.tile_shape[i] for i in range(2))
        return self._index_at("frame_number", (row, column))

    def __len__(self) -> int:
        """Number of tiles."""
        return self.num_tiles

    def __iter__(self) -> Iterator[NDArray]:
        """Iterate over the tiles, row by row."""
        return (self._read_tiles([index])[0] for index in range(self.num_tiles))

    def __getitem__(self, key: Any) -> NDArray:
        """Read pixels or tiles by an index: see the class.

        Raises
        ------
        IndexError
            When an index is out of range
        TypeError
            When an index is neither an integer, a slice, an ellipsis nor a list of integers
        """
        if isinstance(key, tuple) or key is Ellipsis:
            return self._array[key]
        if isinstance(key, slice):
            return self._read_tiles(range(self.num_tiles)[key])
        if isinstance(key, (list, range, np.ndarray)) and np.ndim(key) == 1:
            return self._read_tiles([self._tile_index(index) for index in key])
        return self._read_tiles([self._tile_index(key)])[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return self._array.__array__(dtype, copy)

    def __getstate__(self) -> dict[str, Any]:
        # Cached positions of tiles are not pickled, as they are cheap to compute again
        return {"_array": self._array}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TotalPixelMatrix):
            return NotImplemented
        return self._array.token == other._array.token

    def __hash__(self) -> int:
        return hash(self._array.token)

    def __repr__(self) -> str:
        rows, columns = self.tile_grid_shape
        return (
            f"<TotalPixelMatrix {' x '.join(map(str, self.shape))} {self.dtype}, "
            f"{rows} x {columns} tiles of {' x '.join(map(str, self.tile_shape[:2]))}>"
        )

    @property
    def dask(self) -> da.Array:
        """Dask array of the pixels with one chunk for each frame."""
        return self.to_dask()

    def to_dask(self, chunks: Chunks = "frames") -> da.Array:
        """Make a dask array of the pixels.

        Parameters
        ----------
        chunks : {"frames", "auto"}, int or tuple of int, optional
            One chunk for each frame (the last ones cropped to the matrix), chunks that suit the
            machine and the source, or chunks of about the given (rows, columns). Chunks are whole
            multiples of frames, and each is read with one call to the source. -1 stands for the
            whole axis

        Returns
        -------
        dask.array.Array
            Array of shape (rows, columns, samples); nothing is read yet

        Raises
        ------
        TypeError
            When a size is not an integer
        ValueError
            When `chunks` is none of these, or there would be more chunks than dask can hold
        """
        return self._array.to_dask(chunks)

    def read_region(self, offset: tuple[int, int], size: tuple[int, int]) -> NDArray:
        """Read a rectangle, which may extend beyond the matrix on any side.

        Parameters
        ----------
        offset : tuple of int
            Zero-based (row, column) of the top left pixel of the rectangle
        size : tuple of int
            Number of rows and columns

        Returns
        -------
        numpy.ndarray
            Pixels of shape (rows, columns, samples). Pixels outside the matrix are background

        Raises
        ------
        TypeError
            When `offset` or `size` are not integers
        ValueError
            When `size` is negative
        """
        row, column = integer_pair("offset", offset)
        rows, columns = region_size(size)
        return self._array.read(range(row, row + rows), range(column, column + columns))

    def read_regions(
        self, offsets: ArrayLike, size: tuple[int, int], *, out: NDArray | None = None
    ) -> NDArray:
        """Read rectangles of one size together, which may extend beyond the matrix on any side.

        The frames of all rectangles are fetched together. Each is decoded once, however many
        rectangles share it, and dropped when it is copied to all of them: beside the result, memory
        is needed for a few frames only.

        Parameters
        ----------
        offsets : array_like
            Zero-based (row, column) of the top left pixel of each rectangle, shape (n, 2)
        size : tuple of int
            Number of rows and columns of each rectangle
        out : numpy.ndarray, optional
            Array of the shape and data type of the result, which is written to it. Its memory may
            have any layout, such as a view of a tensor that has the samples before the rows

        Returns
        -------
        numpy.ndarray
            Pixels of shape (n, rows, columns, samples), or `out`. Pixels outside the matrix are
            background

        Raises
        ------
        TypeError
            When `offsets` or `size` are not integers, or `out` is not an array
        ValueError
            When a shape, the size or the data type of `out` is not as described
        """
        corners = integer_pairs("offsets", offsets).tolist()
        rows, columns = region_size(size)
        shape = (len(corners), rows, columns, self.shape[2])
        if out is None:
            out = np.empty(shape, self.dtype)
        _check_out(out, shape, self.dtype)
        windows = [(range(r, r + rows), range(c, c + columns)) for r, c in corners]
        self._array.read_windows(windows, out=out)
        return out

    def _tile_index(self, index: Any) -> int:
        number, count = integer("tile index", index), self.num_tiles
        if not -count <= number < count:
            raise PixelIndexError(f"tile index {number} is out of range, there are {count} tiles")
        return number % count

    def _index_at(self, name: str, position: Any) -> int:
        row, column = integer_pair(name, position)
        rows, columns = self.tile_grid_shape
        if not (0 <= row < rows and 0 <= column < columns):
            raise PixelIndexError(
                f"{name}: ({row}, {column}) is outside the {rows} x {columns} grid"
            )
        return row * columns + column

    def _read_tiles(self, indices: Sequence[int]) -> NDArray:
        height, width = self.tile_shape[:2]
        corners = [self.get_tile_position(index) for index in indices]
        windows = [(range(r, r + height), range(c, c + width)) for r, c in corners]
        tiles = self._array.read_windows(windows, crop=False)
        return np.stack(tiles) if tiles else np.empty((0, *self.tile_shape), self.dtype)


class TotalPixelMatrixSampler:
    """Sampler of regions of equal size on a regular grid over a total pixel matrix.

    The grid starts at the top left of the matrix and covers it; pixels of edge regions and of
    paddings that lie outside the matrix are background.

    Parameters
    ----------
    matrix : dicomslide.TotalPixelMatrix
        Total pixel matrix that is sampled
    region_dimensions : tuple of int
        Height (rows) and width (columns) of sampled regions
    bounding_box : tuple of tuple of int, optional
        ((row, column), (rows, columns)): offset and size of the region of interest. Only regions
        that share pixels with it are sampled
    tile_grid_positions : sequence of tuple of int or numpy.ndarray, optional
        (row, column) positions of tiles in the tile grid of the matrix. Only regions that share
        pixels with one of them are sampled. Ignored if a bounding box is given
    padding : int or tuple of int, optional
        Pixels that are added at each border: one number for all borders, two for left/right and
        top/bottom, or four for left, top, right and bottom

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When a size is not positive or a padding is negative
    """

    def __init__(
        self,
        matrix: TotalPixelMatrix,
        region_dimensions: tuple[int, int],
        bounding_box: tuple[tuple[int, int], tuple[int, int]] | None = None,
        tile_grid_positions: Sequence[tuple[int, int]] | NDArray | None = None,
        padding: int | tuple[int, int] | tuple[int, int, int, int] = 0,
    ) -> None:
        require_type("matrix", matrix, TotalPixelMatrix)
        self._matrix = matrix
        self._region = integer_pair("region_dimensions", region_dimensions)
        if min(self._region) < 1:
            raise ArgumentValueError(f"region_dimensions: {self._region} must be positive")
        self._padding = _four_paddings(padding)
        if bounding_box is not None:
            self._positions = self._positions_in(_bounding_box(bounding_box))
        elif tile_grid_positions is not None:
            self._positions = self._positions_of_tiles(tile_grid_positions)
        else:
            self._positions = self._positions_in(((0, 0), matrix.shape[:2]))

    @property
    def matrix(self) -> TotalPixelMatrix:
        """Total pixel matrix that is sampled."""
        return self._matrix

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Padding at the left, top, right and bottom of each region."""
        return self._padding

    @property
    def region_shape(self) -> tuple[int, int, int]:
        """Rows, columns and samples of a region."""
        return (*self._region, self._matrix.shape[2])

    @property
    def padded_region_shape(self) -> tuple[int, int, int]:
        """Rows, columns and samples of a region with its padding."""
        left, top, right, bottom = self._padding
        rows, columns, samples = self.region_shape
        return top + rows + bottom, left + columns + right, samples

    def get_region_grid_position(self, index: int) -> tuple[int, int]:
        """Get position of a sampled region in the grid of regions.

        Parameters
        ----------
        index : int
            Zero-based index of the sampled region; negative indices count from the end

        Returns
        -------
        tuple of int
            Zero-based (row, column) grid position

        Raises
        ------
        IndexError
            When there is no such region
        """
        number, count = integer("region index", index), len(self)
        if not -count <= number < count:
            raise PixelIndexError(f"region index {number} is out of range, there are {count}")
        return self._positions[number]

    def __len__(self) -> int:
        """Number of sampled regions."""
        return len(self._positions)

    def __iter__(self) -> Iterator[NDArray]:
        """Iterate over the regions, row by row."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> NDArray:
        """Read a region with its padding, shape `padded_region_shape`."""
        row, column = self.get_region_grid_position(index)
        left, top = self._padding[:2]
        offset = row * self._region[0] - top, column * self._region[1] - left
        return self._matrix.read_region(offset, self.padded_region_shape[:2])

    def __repr__(self) -> str:
        rows, columns = self._region
        regions = counted(len(self), "region")
        return f"<TotalPixelMatrixSampler of {regions} of {rows} x {columns} pixels>"

    def _positions_in(self, box: tuple[tuple[int, int], tuple[int, int]]) -> list[tuple[int, int]]:
        """Compute the grid positions of the regions that share pixels with a box."""
        spans = []
        for offset, size, step, total in zip(
            *box, self._region, self._matrix.shape[:2], strict=True
        ):
            start, stop = max(offset, 0), min(offset + size, total)
            spans.append(range(start // step, -(-stop // step) if stop > start else start // step))
        return [(row, column) for row in spans[0] for column in spans[1]]

    def _positions_of_tiles(
        self, tile_grid_positions: Sequence[tuple[int, int]] | NDArray
    ) -> list[tuple[int, int]]:
        if not isinstance(tile_grid_positions, (Sequence, np.ndarray)):
            raise ArgumentTypeError(
                "tile_grid_positions: expected (row, column) pairs, got "
                f"{type(tile_grid_positions).__name__}"
            )
        found: set[tuple[int, int]] = set()
        for position in tile_grid_positions:
            index = self._matrix._index_at("tile_grid_positions", position)
            found.update(self._positions_in(self._matrix.get_tile_bounding_box(index)))
        return sorted(found)


def _check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Check that pixels of a shape and type can be written to an array."""
    require_type("out", out, np.ndarray)
    if out.shape != shape or out.dtype != dtype:
        raise ArgumentValueError(
            f"out: expected an array of shape {shape} and type {dtype}, got {out.shape} and "
            f"{out.dtype}"
        )
    if not out.flags.writeable:
        raise ArgumentValueError("out: the array is read-only")


def _bounding_box(value: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, np.ndarray)):
        raise ArgumentTypeError(
            f"bounding_box: expected ((row, column), (rows, columns)), got {type(value).__name__}"
        )
    if len(value) != 2:
        raise ArgumentValueError("bounding_box: expected ((row, column), (rows, columns))")
    offset = integer_pair("bounding_box", value[0])
    size = integer_pair("bounding_box", value[1])
    if min(size) < 1:
        raise ArgumentValueError(f"bounding_box: the size {size} must be positive")
    return offset, size


def _four_paddings(padding: Any) -> tuple[int, int, int, int]:
    values = [padding] if np.ndim(padding) == 0 else list(padding)
    if len(values) not in (1, 2, 4):
        raise ArgumentValueError(f"padding: expected 1, 2 or 4 numbers, got {len(values)}")
    left, top, right, bottom = (integer("padding", v) for v in (values * 4)[:4])
    if min(left, top, right, bottom) < 0:
        raise ArgumentValueError(f"padding: {padding} must not be negative")
    return left, top, right, bottom
