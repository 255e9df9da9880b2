"""Frames of an instance, and their places in the total pixel matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

__all__ = ["SPARSE_KINDS", "Frame", "Size", "Sparse", "lay_out_frames"]

Sparse = Literal["complete", "gaps", "shuffled", "off-grid", "overlapping"]
SPARSE_KINDS: tuple[str, ...] = get_args(Sparse)

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a tiled image.

    Parameters
    ----------
    row : int
        Zero-based row of the total pixel matrix that its first row covers
    column : int
        Zero-based column of the total pixel matrix that its first column covers
    optical_path : int
        Zero-based index of the optical path
    focal_plane : int
        Zero-based index of the focal plane
    shade : int
        How much darker the frame is, in steps (0 to 3), so that overlapping frames can be told
        apart
    """

    row: int
    column: int
    optical_path: int = 0
    focal_plane: int = 0
    shade: int = 0


def lay_out_frames(
    size: Size,
    tile: Size,
    optical_paths: Sequence[int],
    focal_planes: Sequence[int],
    sparse: str = "complete",
    seed: Sequence[int] = (),
) -> tuple[Frame, ...]:
    """List the frames of an instance in the order in which they are stored.

    A complete layout has the order that PS3.3 C.7.6.17.3 defines for TILED_FULL: along the rows of
    tiles, then the columns, then the focal planes, then the optical paths.

    Parameters
    ----------
    size : tuple of int
        Rows and columns of the total pixel matrix
    tile : tuple of int
        Rows and columns of a frame
    optical_paths : sequence of int
        Indices of the optical paths of the instance
    focal_planes : sequence of int
        Indices of the focal planes of the instance
    sparse : str, optional
        "complete"; "gaps" (about a quarter of the frames is missing, others in each optical path
        and focal plane); "shuffled" (all, in no order); "off-grid" (rows of tiles are displaced,
        with uneven gaps between frames); "overlapping" (frames are three quarters of a tile apart
        and differ in shade)
    seed : sequence of int, optional
        Numbers that what is random depends on

    Returns
    -------
    tuple of Frame
        The frames. Where several cover a pixel, the last one counts

    Raises
    ------
    ValueError
        When `sparse` is not one of these
    """
    if sparse not in SPARSE_KINDS:
        raise ValueError(f"sparse is {sparse!r}, must be one of {', '.join(SPARSE_KINDS)}")
    generator = np.random.default_rng([23, *seed])
    frames = [
        Frame(row, column, path, plane)
        for path in optical_paths
        for plane in focal_planes
        for row, column in _place_tiles(size, tile, sparse, generator)
    ]
    if sparse == "gaps":
        kept = generator.random(len(frames)) >= 0.25
        kept[generator.integers(len(frames))] = True
        frames = [frame for frame, keep in zip(frames, kept, strict=True) if keep]
    if sparse == "shuffled":
        frames = [frames[i] for i in generator.permutation(len(frames))]
    if sparse == "overlapping":
        frames = [
            Frame(
                f.row,
                f.column,
                f.optical_path,
                f.focal_plane,
                (i + f.row // max(1, tile[0] * 3 // 4)) % 4,
            )
            for i, f in enumerate(frames)
        ]
    return tuple(frames)


def _place_tiles(
    size: Size, tile: Size, sparse: str, generator: np.random.Generator
) -> list[tuple[int, int]]:
    if sparse == "overlapping":
        step = (max(1, tile[0] * 3 // 4), max(1, tile[1] * 3 // 4))
        return [(r, c) for r in range(0, size[0], step[0]) for c in range(0, size[1], step[1])]
    if sparse != "off-grid":
        return [(r, c) for r in range(0, size[0], tile[0]) for c in range(0, size[1], tile[1])]
    places, row, index = [], int(generator.integers(0, tile[0] // 4 + 1)), 0
    while row < size[0]:
        column = index % 3 * (tile[1] // 3)
        while column < size[1]:
            places.append((row, column))
            column += tile[1] + int(generator.integers(0, tile[1] // 4 + 1))
        row += tile[0] + int(generator.integers(0, tile[0] // 4 + 1))
        index += 1
    return places or [(0, 0)]
