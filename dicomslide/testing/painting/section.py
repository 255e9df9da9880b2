"""A synthetic piece of tissue: its outline, and where on it there is what."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from dicomslide.testing.painting import atlas
from dicomslide.testing.painting.tessellation import PERIOD

__all__ = ["NODES", "Section", "get_section"]

NODES = 257

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Section:
    """The piece of tissue on a slide.

    Parameters
    ----------
    outline : numpy.ndarray
        Distance to the edge of the tissue in base pixels, positive inside, of shape
        (NODES, NODES): at nodes spread evenly over the base level
    size : tuple of int
        Number of rows and columns of the base level
    shift : tuple of int
        Row and column of the drawings that the first pixel of the base level shows
    seed : int
        Seed of the arrangement
    """

    outline: Floats
    size: tuple[int, int]
    shift: tuple[int, int]
    seed: int

    def choose_drawings(
        self,
        period_rows: npt.NDArray[np.intp],
        period_columns: npt.NDArray[np.intp],
        cell: npt.NDArray[np.intp],
        centres: Floats,
    ) -> npt.NDArray[np.intp]:
        """Choose what cells show, from where they are on the slide and by chance.

        The layers are those of the wall of the colon: mucosa with glands, submucosa, muscle, fat.

        Parameters
        ----------
        period_rows, period_columns : numpy.ndarray
            Number of the square that the centre of each cell is in
        cell : numpy.ndarray
            Number of each cell in its square
        centres : numpy.ndarray
            Row and column of the centre of each cell of a square

        Returns
        -------
        numpy.ndarray
            Indices of drawings, of the shape that the first three parameters have together
        """
        v = (period_rows * PERIOD + centres[cell, 0] - self.shift[0]) / self.size[0]
        u = (period_columns * PERIOD + centres[cell, 1] - self.shift[1]) / self.size[1]
        chance, other = (
            _hash_uniform(period_rows, period_columns, cell, self.seed * 2 + i) for i in range(2)
        )
        turn = 2.4 * self.seed + 0.7
        layer = 0.5 + (u - 0.5) * np.cos(turn) + (v - 0.5) * np.sin(turn)
        layer = (
            layer + 0.07 * np.sin(5.1 * v - 3.7 * u + self.seed) + 0.04 * np.sin(9.3 * u + 4.1 * v)
        )
        layer = layer + 0.02 * np.sin(31 * u - 17 * v) + 0.02 * other
        # Folds, a few millimetres wide on a slide of any size
        layer = layer + 0.03 * np.sin(v * self.size[0] / 800 + 2 * np.sin(u * self.size[1] / 1900))
        kinds = np.full(chance.shape, atlas.STROMA)
        kinds[chance < 0.45] = atlas.LOOSE_STROMA
        kinds[chance < 0.25] = atlas.INFLAMED_STROMA
        muscle = (layer > 0.64) & (layer < 0.76)
        kinds[muscle & (chance < 0.93)] = atlas.MUSCLE
        kinds[~muscle & (other < 0.07)] = atlas.VESSEL
        kinds[(layer > 0.76) & (other < 0.93)] = atlas.FAT
        mucosa = layer < 0.5
        crowding = np.sin(21 * u + 8 * v) * np.sin(17 * v - 9 * u) * 0.25 + 0.72
        lesion = np.sin(4.3 * u + 1.9 * self.seed) + np.sin(5.9 * v + 2.3 * self.seed) > 0.6
        kinds[mucosa & (chance < crowding)] = atlas.CRYPT
        kinds[mucosa & lesion & (chance < crowding + 0.15)] = atlas.CROWDED_GLAND
        follicle = np.sin(23 * u + self.seed) + np.sin(19 * v) + 0.5 * other > 1.3
        kinds[(np.abs(layer - 0.52) < 0.05) & follicle] = atlas.LYMPHOID
        kinds[mucosa & (chance > 0.975)] = atlas.LYMPHOID
        return kinds


def _hash_uniform(*keys: Any) -> Doubles:
    """Turn integers into evenly distributed numbers from 0 to 1."""
    state: npt.NDArray[np.uint64] = np.array(0x9E3779B97F4A7C15, np.uint64)
    with np.errstate(over="ignore"):
        for key in keys:
            state = (state ^ np.asarray(key).astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(32))
    return (state >> np.uint64(11)).astype(np.float64) / 2.0**53


@lru_cache(maxsize=64)
def get_section(size: tuple[int, int], seed: int) -> Section:
    """Cut a piece of tissue: an irregular shape with cracks, and small ones beside it."""
    generator = np.random.default_rng([19, seed])
    node = np.linspace(0, 1, NODES)
    v, u = np.meshgrid(node, node, indexing="ij")
    inside = _blob(v, u, (0.5, 0.47), (0.39, 0.37), generator)
    for _ in range(generator.integers(1, 3)):
        angle = generator.uniform(0, 2 * np.pi)
        centre = (0.5 + 0.44 * np.sin(angle), 0.5 + 0.44 * np.cos(angle))
        radius = generator.uniform(0.03, 0.06)
        inside = np.maximum(inside, _blob(v, u, centre, (radius, radius), generator))
    inside += 0.8 * _wobble(v, u, generator)
    for _ in range(3):
        inside = np.minimum(inside, _tear(v, u, generator))
    shift = tuple(int(n) * 64 for n in generator.integers(0, PERIOD // 64, 2))
    return Section((inside * min(size)).astype(np.float32), size, (shift[0], shift[1]), seed)


def _wobble(v: Doubles, u: Doubles, generator: np.random.Generator) -> Doubles:
    """Make an irregular field from waves of many lengths: the shorter, the lower."""
    field = np.zeros_like(v)
    for waves in (4, 7, 12, 20, 33, 50):
        for _ in range(3):
            angle, phase = generator.uniform(0, 2 * np.pi, 2)
            field += (
                0.1 / waves * np.sin(waves * 2 * (v * np.sin(angle) + u * np.cos(angle)) + phase)
            )
    return field


def _tear(v: Doubles, u: Doubles, generator: np.random.Generator) -> Doubles:
    """Measure the distance from a long thin crack, negative inside of it."""
    angle = generator.uniform(0, np.pi)
    centre, bend, phase = (
        generator.uniform(0.3, 0.7, 2),
        generator.uniform(0.01, 0.03),
        generator.uniform(0, 6),
    )
    across = (v - centre[0]) * np.cos(angle) - (u - centre[1]) * np.sin(angle)
    along = (v - centre[0]) * np.sin(angle) + (u - centre[1]) * np.cos(angle)
    reach = generator.uniform(0.05, 0.14)
    taper = np.clip(1 - (along / reach) ** 2, 0, 1)
    width = generator.uniform(0.002, 0.005) * taper * (1 + 0.5 * np.sin(40 * along + phase))
    across = across + bend * np.sin(11 * along + phase) + 0.004 * np.sin(47 * along)
    return np.maximum(np.abs(across) - width, np.abs(along) - reach)


def _blob(
    v: Doubles,
    u: Doubles,
    centre: tuple[float, float],
    radius: tuple[float, float],
    generator: np.random.Generator,
) -> Doubles:
    """Measure how far points are inside of an irregular ellipse, as a fraction of the slide."""
    y, x = (v - centre[0]) / radius[0], (u - centre[1]) / radius[1]
    theta = np.arctan2(y, x)
    reach = np.ones_like(theta)
    for order in range(2, 9):
        reach += generator.normal(0, 0.16 / order) * np.cos(
            order * theta + generator.uniform(0, 2 * np.pi)
        )
    return (reach - np.hypot(y, x)) * min(radius)
