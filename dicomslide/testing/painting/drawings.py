"""Draws kinds of tissue, each on a periodic square.

All drawings show the same fibres at the edges of the cells, so that cells with different drawings
may be neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dicomslide.testing.painting.tessellation import PERIOD, Floats, Tessellation, make_noise

__all__ = ["OVERLAYS", "Canvas", "draw_glass", "draw_stroma"]

Points = npt.NDArray[np.float64]
Range = tuple[float, float]


@dataclass(frozen=True)
class Canvas:
    """A drawing in the making: densities of two stains (0 to 255), of shape (PERIOD, PERIOD)."""

    haematoxylin: Floats
    eosin: Floats
    cells: Tessellation
    generator: np.random.Generator

    @cached_property
    def chromatin(self) -> Floats:
        """Fine mottling."""
        return make_noise(self.generator, 1.5)

    def fill(
        self, where: npt.NDArray[np.bool_], haematoxylin: Floats | float, eosin: Floats | float
    ) -> None:
        """Replace both densities in an area."""
        np.copyto(self.haematoxylin, haematoxylin, where=where, casting="same_kind")
        np.copyto(self.eosin, eosin, where=where, casting="same_kind")

    def blend(self, share: Floats, haematoxylin: Floats | float, eosin: Floats | float) -> None:
        """Mix in other densities, with a share from 0 to 1 for each pixel."""
        self.haematoxylin[:] += share * (haematoxylin - self.haematoxylin)
        self.eosin[:] += share * (eosin - self.eosin)

    def scatter(self, count: int, depth: float) -> Points:
        """Choose points at random that are at least `depth` from the edge of their cell."""
        points = self.generator.uniform(0, PERIOD, (count, 2))
        return points[self.cells.edge[tuple(points.astype(int).T)] > depth]

    def follow_edge(self, depth: float, spacing: float) -> tuple[Points, npt.NDArray[np.float64]]:
        """Choose points at a depth below the edge of each cell, and their angle from its centre."""
        points, angles = [], []
        theta = np.linspace(0, 2 * np.pi, 240, endpoint=False)
        radii = np.arange(20.0, 190.0, 1.5)
        for cell, centre in enumerate(self.cells.centres):
            r = np.rint(centre[0] + np.outer(np.sin(theta), radii)).astype(np.intp) % PERIOD
            c = np.rint(centre[1] + np.outer(np.cos(theta), radii)).astype(np.intp) % PERIOD
            outside = (self.cells.edge[r, c] < depth) | (self.cells.number[r, c] != cell)
            reach = radii[np.argmax(outside, axis=1)]
            length = np.cumsum(np.hypot(reach * (2 * np.pi / 240), np.gradient(reach)))
            chosen = np.searchsorted(length, np.arange(0, length[-1] - spacing / 2, spacing))
            distance = reach[chosen] + self.generator.normal(0, 1.5, len(chosen))
            direction = np.stack([np.sin(theta[chosen]), np.cos(theta[chosen])], axis=1)
            points.append(centre + direction * distance[:, np.newaxis])
            angles.append(theta[chosen])
        return np.concatenate(points), np.concatenate(angles)

    def stamp_nuclei(
        self,
        centres: Points,
        length: Range,
        width: Range,
        density: float,
        angle: npt.NDArray[np.floating] | float | None = None,
    ) -> None:
        """Draw nuclei: ellipses with a dark membrane and mottled chromatin.

        `length` and `width` are ranges of the semi-axes in pixels, `angle` is that from the column
        direction to the row direction in radians (random where None).
        """
        shape = (len(centres), 1, 1)
        a, b = self.generator.uniform(*length, shape), self.generator.uniform(*width, shape)
        turn = self.generator.uniform(0, np.pi, shape)
        if angle is not None:
            turn = np.reshape(angle, (-1, 1, 1)) + 0.12 * (turn - np.pi / 2)
        darkness = self.generator.uniform(0.8, 1.12, shape) * density
        index, r, c = _get_patches(centres, int(np.ceil(length[1])) + 2)
        cosine, sine = np.cos(turn).astype(np.float32), np.sin(turn).astype(np.float32)
        along, across = (
            (c * cosine + r * sine) / np.float32(a),
            (r * cosine - c * sine) / np.float32(b),
        )
        radius = np.sqrt(along**2 + across**2)
        visible = radius < 1.08
        tone = np.broadcast_to(darkness.astype(np.float32), radius.shape)[visible]
        radius, index = radius[visible], index[visible]
        inside = np.minimum((np.float32(1.08) - radius) * 5, 1)
        membrane = np.maximum(1 - np.abs(radius - np.float32(0.86)) * 6, 0)
        chromatin = np.clip(self.chromatin.ravel()[index], -2, 2)
        value = (
            inside
            * tone
            * (np.float32(0.8) + np.float32(0.15) * chromatin + np.float32(0.22) * membrane)
        )
        np.maximum.at(self.haematoxylin.reshape(-1), index, value)
        self.eosin.reshape(-1)[index[inside > 0.5]] = 40

    def stamp_discs(
        self, centres: Points, radius: Range, haematoxylin: float, eosin: float, centre: float
    ) -> None:
        """Draw discs whose eosin density is `centre` in the middle."""
        sizes = self.generator.uniform(*radius, (len(centres), 1, 1))
        index, r, c = _get_patches(centres, int(np.ceil(radius[1])) + 1)
        distance = np.hypot(r, c) / sizes
        disc = distance < 1
        self.haematoxylin.reshape(-1)[index[disc]] = haematoxylin
        self.eosin.reshape(-1)[index[disc]] = np.where(distance < 0.45, centre, eosin)[disc]

    def empty(self, where: npt.NDArray[np.bool_], strands: float = 0.0) -> None:
        """Empty a space, but for thin strands of mucus."""
        thread = np.clip(1 - np.abs(make_noise(self.generator, 7)) * 9, 0, 1) * np.float32(strands)
        self.fill(where, 1 + 9 * thread, 1 + 7 * thread)


def _get_patches(centres: Points, reach: int) -> tuple[npt.NDArray[np.intp], Floats, Floats]:
    """Get the flat indices of patches around points, and offsets of their rows and columns."""
    box = np.arange(-reach, reach + 1)
    nearest = np.rint(centres).astype(np.intp)
    r = (box + nearest[:, :1] - centres[:, :1]).astype(np.float32)[:, :, np.newaxis]
    c = (box + nearest[:, 1:] - centres[:, 1:]).astype(np.float32)[:, np.newaxis, :]
    rows, columns = (nearest[:, :1] + box) % PERIOD, (nearest[:, 1:] + box) % PERIOD
    return rows[:, :, np.newaxis] * PERIOD + columns[:, np.newaxis, :], r, c


def draw_glass(cells: Tessellation, generator: np.random.Generator) -> Canvas:
    """Draw glass: nearly nothing."""
    return Canvas(
        np.clip(0.3 + 0.5 * make_noise(generator, 1.5), 0, None),
        np.clip(0.5 + 0.5 * make_noise(generator, 7), 0, None),
        cells,
        generator,
    )


def draw_stroma(cells: Tessellation, generator: np.random.Generator) -> Canvas:
    """Draw wavy collagen fibres with clefts, spindle-shaped nuclei and a few round ones."""
    shift = make_noise(generator, 60, 90) * 30
    haematoxylin, eosin = _draw_fibres(generator, shift, cleft=1.45)
    canvas = Canvas(haematoxylin, eosin, cells, generator)
    along = -np.arctan(np.gradient(shift, axis=1))
    spindles = canvas.scatter(430, -1)
    canvas.stamp_nuclei(spindles, (10, 16), (2.2, 3.4), 125, along[tuple(spindles.astype(int).T)])
    canvas.stamp_nuclei(canvas.scatter(110, -1), (5.2, 6.6), (5, 6), 150)
    return canvas


def _draw_fibres(
    generator: np.random.Generator, shift: Floats, cleft: float
) -> tuple[Floats, Floats]:
    """Draw fibres, displaced by `shift` rows; a smaller `cleft` opens more space between them."""
    axis = np.arange(PERIOD)
    rows = np.rint(axis[:, np.newaxis] + shift).astype(np.intp) % PERIOD
    columns = np.rint(axis[np.newaxis, :] + make_noise(generator, 60) * 12).astype(np.intp) % PERIOD
    fine, coarse, gap = (
        make_noise(generator, *size)[rows, columns] for size in ((1.2, 22), (5, 60), (3.5, 45))
    )
    closed = 1 - np.clip((gap - np.float32(cleft)) * 2, 0, 1) * np.float32(0.95)
    eosin = (72 + 10 * fine + 14 * coarse + 4 * make_noise(generator, 1)) * closed
    haematoxylin = np.clip(7 + 2 * fine - 2 * coarse, 0, 16) * closed
    return haematoxylin, eosin


def draw_loose_stroma(canvas: Canvas) -> None:
    """Draw pale, swollen tissue with few fibres."""
    haematoxylin, eosin = _draw_fibres(
        canvas.generator, make_noise(canvas.generator, 60, 90) * 30, cleft=0.4
    )
    canvas.blend(_inner(canvas, 16), haematoxylin * 0.8, eosin * 0.8)
    canvas.stamp_nuclei(canvas.scatter(130, 18), (9, 13), (2.4, 3.4), 125)


def draw_muscle(canvas: Canvas) -> None:
    """Draw bundles of smooth muscle across the fibres."""
    shift = make_noise(canvas.generator, 60) * 14
    haematoxylin, eosin = (band.T for band in _draw_fibres(canvas.generator, shift, cleft=2.1))
    canvas.blend(_inner(canvas, 9), haematoxylin + 3, eosin + 16)
    canvas.stamp_nuclei(canvas.scatter(420, 7), (9, 14), (2.2, 3), 120, np.pi / 2)


def draw_inflamed_stroma(canvas: Canvas) -> None:
    """Draw fibres with scattered lymphocytes."""
    canvas.stamp_nuclei(canvas.scatter(950, 9), (4.8, 6.4), (4.6, 5.6), 148)


def _inner(canvas: Canvas, width: float) -> Floats:
    """Get the share of a drawing that fades in from the edges of the cells."""
    return np.clip((canvas.cells.edge - 1) / np.float32(width), 0, 1)


def draw_crypt(canvas: Canvas) -> None:
    """Draw a gland of one layer of tall cells with goblet cells around a lumen."""
    depth = canvas.cells.edge - 13
    texture = make_noise(canvas.generator, 1.5)
    canvas.fill(depth > 0, 27 + 2.5 * texture, 50 + 5 * texture)
    canvas.fill(np.abs(depth) < 1.3, 10, 96)
    droplets, _ = canvas.follow_edge(13 + 29, 16)
    canvas.stamp_discs(droplets, (7, 11), 19, 9, 6)
    lumen = depth > 44 + 4 * make_noise(canvas.generator, 7)
    canvas.fill(lumen & (depth < 49), 20, 74)
    canvas.empty(lumen & (depth > 46), strands=0.6)
    points, angles = canvas.follow_edge(13 + 10, 11.5)
    canvas.stamp_nuclei(points, (6.5, 9.5), (4.2, 5.2), 132, angles)


def draw_crowded_gland(canvas: Canvas) -> None:
    """Draw a gland of crowded, dark, elongated nuclei in several layers, with little mucus."""
    depth = canvas.cells.edge - 9
    texture = make_noise(canvas.generator, 1.5)
    canvas.fill(depth > 0, 34 + 3 * texture, 62 + 5 * texture)
    canvas.fill(np.abs(depth) < 1.3, 10, 96)
    canvas.empty(depth > 56 + 7 * make_noise(canvas.generator, 7), strands=1.0)
    for below in (11, 21, 32):
        points, angles = canvas.follow_edge(9 + below, 10.5)
        points += canvas.generator.normal(0, 2.5, points.shape)
        canvas.stamp_nuclei(points, (8.5, 12.5), (3.8, 5), 150, angles)


def draw_lymphoid(canvas: Canvas) -> None:
    """Draw densely packed small round nuclei."""
    canvas.blend(np.clip((canvas.cells.edge - 1) / 5, 0, 1), 15, 36)
    grid = np.arange(0, PERIOD - 6, 12.3)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    points = (points + canvas.generator.uniform(-4.2, 4.2, points.shape)) % PERIOD
    kept = canvas.cells.edge[tuple(points.astype(int).T)] > canvas.generator.uniform(
        3, 7, len(points)
    )
    canvas.stamp_nuclei(points[kept], (4.8, 6.6), (4.6, 5.8), 145)


def draw_fat(canvas: Canvas) -> None:
    """Draw one fat cell: an empty vacuole, a thin wall, a flat nucleus at the side."""
    canvas.fill(canvas.cells.edge < 6, 8, 62 + 5 * make_noise(canvas.generator, 1.5))
    canvas.empty(canvas.cells.edge >= 3.2)
    points, angles = canvas.follow_edge(5, 290)
    canvas.stamp_nuclei(points, (9, 12), (2.2, 3), 130, angles + np.pi / 2)


def draw_vessel(canvas: Canvas) -> None:
    """Draw a muscular wall around a lumen with red blood cells."""
    depth = canvas.cells.edge - 22
    layers = np.sin(depth * np.float32(0.7) + 2 * make_noise(canvas.generator, 9))
    canvas.fill(depth > 0, 10 + 2 * layers, 90 + 9 * layers + 4 * make_noise(canvas.generator, 1))
    points, angles = canvas.follow_edge(22 + 9, 30)
    canvas.stamp_nuclei(points, (10, 14), (2.2, 3.2), 125, angles + np.pi / 2)
    canvas.empty(depth > 20, strands=0.4)
    points, angles = canvas.follow_edge(22 + 20, 17)
    canvas.stamp_nuclei(points, (7, 9), (2, 2.8), 130, angles + np.pi / 2)
    canvas.stamp_discs(canvas.scatter(3600, 22 + 29), (5.5, 6.5), 2, 128, 104)


OVERLAYS: tuple[Callable[[Canvas], None], ...] = (
    draw_loose_stroma,
    draw_muscle,
    draw_inflamed_stroma,
    draw_crypt,
    draw_crowded_gland,
    draw_lymphoid,
    draw_fat,
    draw_vessel,
)
