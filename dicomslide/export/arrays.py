"""Arrays of shape (c, z, y, x) of variables of the tree, which are read a block at a time."""

from dataclasses import dataclass, field
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dicomslide.errors import ArgumentValueError, FrameError
from dicomslide.export.grid import Block, Shape
from dicomslide.tree.schema import is_plane

__all__ = ["Fraction", "Mask", "TreeArray"]


@dataclass(frozen=True)
class Mask:
    """Conversion of a segment's truth values to its number.

    Parameters
    ----------
    number : int
        Segment Number
    """

    number: int

    @property
    def dtype(self) -> np.dtype:
        """Smallest type that holds the number."""
        return np.min_scalar_type(self.number)

    def __call__(self, pixels: NDArray) -> NDArray:
        """Convert truth values to the number, or 0."""
        return np.where(pixels, self.dtype.type(self.number), self.dtype.type(0))


@dataclass(frozen=True)
class Fraction:
    """Conversion of fractions from 0 to 1 to the stored integers.

    Parameters
    ----------
    maximum : int
        Maximum Fractional Value (PS3.3 C.8.20.2)
    """

    maximum: int

    @property
    def dtype(self) -> np.dtype:
        """Smallest type that holds the integers."""
        return np.min_scalar_type(self.maximum)

    def __call__(self, pixels: NDArray) -> NDArray:
        """Convert fractions to integers."""
        return np.rint(pixels * self.maximum).astype(self.dtype)


@dataclass(frozen=True, eq=False)
class TreeArray:
    """Array of shape (c, z, y, x) of a variable of the tree, whose samples become channels.

    Parameters
    ----------
    variable : xarray.Variable
        Variable with the dimensions ``y`` and ``x``, and optionally one of channels and one of
        focal planes before, and one of samples after them
    convert : Mask or Fraction, optional
        Conversion of the pixels
    background : float
        Value of frames that cannot be decoded, if these are filled
    """

    variable: xr.Variable
    convert: Mask | Fraction | None = None
    background: float = 0
    _dims: tuple[str | None, ...] = field(init=False)

    def __post_init__(self) -> None:
        dims = [str(name) for name in self.variable.dims]
        y = dims.index("y") if "y" in dims else -1
        planes = [name for name in dims if is_plane(name)]
        leading = [name for name in dims[: max(y, 0)] if name not in planes]
        trailing = dims[y + 2 :]
        if dims[y : y + 2] != ["y", "x"] or max(map(len, (leading, trailing, planes))) > 1:
            raise ArgumentValueError(
                "slide_or_tree: expected dimensions such as (channel, focal_plane, y, x, sample), "
                f"got {tuple(dims)}"
            )
        found = (
            leading[0] if leading else None,
            trailing[0] if trailing else None,
            planes[0] if planes else None,
        )
        object.__setattr__(self, "_dims", found)

    @property
    def shape(self) -> Shape:
        """Number of channels times samples, focal planes, rows and columns."""
        sizes = self.variable.sizes
        channel, _, plane = self._dims
        count = (sizes[channel] if channel else 1) * self.samples
        return count, (sizes[plane] if plane else 1), sizes["y"], sizes["x"]

    @property
    def samples(self) -> int:
        """Number of samples of a pixel."""
        sample = self._dims[1]
        return self.variable.sizes[sample] if sample else 1

    @property
    def dtype(self) -> np.dtype:
        """Data type of the converted pixels."""
        return self.variable.dtype if self.convert is None else self.convert.dtype

    @property
    def unit(self) -> Shape:
        """Shape of the part that is decoded together: a frame."""
        tile = self.variable.encoding.get("preferred_chunks", {})
        rows, columns = (min(tile.get(n, 1), self.variable.sizes[n]) for n in ("y", "x"))
        return self.samples, 1, rows, columns

    @property
    def is_chunked(self) -> bool:
        """Whether the variable is a dask array."""
        return self.variable.chunks is not None

    def read(self, block: Block, fill: bool = False) -> tuple[NDArray, list[str]]:
        """Read a block.

        Parameters
        ----------
        block : Block
            Block with all samples of its channels
        fill : bool
            Whether frames that cannot be decoded become background

        Returns
        -------
        numpy.ndarray
            Array of the shape of the block
        list of str
            Messages on the frames that were filled

        Raises
        ------
        FrameError
            When a frame cannot be decoded, unless `fill` is true
        """
        try:
            return self._pixels(block), []
        except FrameError:
            if not fill:
                raise
        out = np.full(block.shape, self.background, self.dtype)
        problems: dict[str, None] = {}
        for part in self._tiles(block):
            try:
                out[part.within(block)] = self._pixels(part)
            except FrameError as error:
                problems[str(error)] = None
        return out, list(problems)

    def to_dask(self, shape: Shape) -> da.Array:
        """Return a chunked variable as a dask array with chunks of another shape."""
        data = self.variable.data
        if self.convert is not None:
            data = data.map_blocks(self.convert, dtype=self.dtype)
        channel, sample, plane = self._dims
        index = tuple(slice(None) if d else np.newaxis for d in (channel, plane))
        index += (slice(None), slice(None), slice(None) if sample else np.newaxis)
        moved = data[index].transpose(0, 4, 1, 2, 3)
        return moved.reshape(self.shape, merge_chunks=False).rechunk(shape)

    def _pixels(self, block: Block) -> NDArray:
        channel, sample, plane = self._dims
        c, z, y, x = block.region
        key: dict[Any, slice] = {"y": y, "x": x}
        if channel:
            key[channel] = slice(c.start // self.samples, c.stop // self.samples)
        if plane:
            key[plane] = z
        pixels = np.asarray(self.variable.isel(key).values)
        if self.convert is not None:
            pixels = self.convert(pixels)
        missing = [axis for axis, name in ((0, channel), (1, plane), (4, sample)) if not name]
        for axis in missing:
            pixels = np.expand_dims(pixels, axis)
        return pixels.transpose(0, 4, 1, 2, 3).reshape(block.shape)

    def _tiles(self, block: Block) -> list[Block]:
        """Split a block along the grid of the frames."""
        unit = self.unit
        ranges = [range(a, b) for a, b in zip(block.start, block.stop, strict=True)]
        cuts = [
            [r.start, *(i for i in r if i % step == 0 and i != r.start), r.stop]
            for r, step in zip(ranges, unit, strict=True)
        ]
        return [
            Block((c, z, y, x), (c2, z2, y2, x2))
            for c, c2 in zip(cuts[0], cuts[0][1:], strict=False)
            for z, z2 in zip(cuts[1], cuts[1][1:], strict=False)
            for y, y2 in zip(cuts[2], cuts[2][1:], strict=False)
            for x, x2 in zip(cuts[3], cuts[3][1:], strict=False)
        ]
