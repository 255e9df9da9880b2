"""Smooth periodic noise, and the division of a periodic square in cells."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["CELLS", "PERIOD", "Floats", "Tessellation", "forget_noise", "make_noise", "tessellate"]

PERIOD = 1024
CELLS_PER_SIDE = 5
CELLS = CELLS_PER_SIDE**2

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tessellation:
    """A periodic square divided in cells.

    Parameters
    ----------
    number : numpy.ndarray
        Number of the cell of each pixel, of shape (PERIOD, PERIOD)
    copy : numpy.ndarray
        9 * number + 3 * row + column, where row and column are 1 plus the number of periods from
        the square of the pixel to that of the centre of its cell
    edge : numpy.ndarray
        Distance of each pixel to the edge of its cell, in pixels
    centres : numpy.ndarray
        Row and column of the centre of each cell, of shape (CELLS, 2)
    """

    number: npt.NDArray[np.intp]
    copy: npt.NDArray[np.uint8]
    edge: Floats
    centres: Floats


def make_noise(generator: np.random.Generator, rows: float, columns: float | None = None) -> Floats:
    """Make periodic noise of mean 0, deviation 1 and the given correlation lengths in pixels."""
    field = _make_field(rows, rows if columns is None else columns)
    return np.roll(field, generator.integers(0, PERIOD, 2), axis=(0, 1))


@lru_cache(maxsize=32)
def _make_field(rows: float, columns: float) -> Floats:
    """Filter white noise; fields of the same lengths are the same, but for where they start."""
    generator = np.random.default_rng([round(rows * 10), round(columns * 10)])
    spectrum = np.fft.rfft2(generator.standard_normal((PERIOD, PERIOD), np.float32))
    for axis, (frequency, length) in enumerate(
        ((np.fft.fftfreq(PERIOD), rows), (np.fft.rfftfreq(PERIOD), columns))
    ):
        gain = np.exp(-((np.pi * frequency * length) ** 2)).astype(np.float32)
        spectrum *= gain[:, np.newaxis] if axis == 0 else gain
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (PERIOD, PERIOD))
    return (field / field.std()).astype(np.float32)


def forget_noise() -> None:
    """Free the memory of noise that was made."""
    _make_field.cache_clear()


def tessellate(generator: np.random.Generator) -> Tessellation:
    """Divide the square in cells around jittered points; their edges wobble."""
    pitch = PERIOD / CELLS_PER_SIDE
    grid = np.arange(CELLS_PER_SIDE)
    jitter = generator.uniform(-0.24, 0.24, (CELLS_PER_SIDE, CELLS_PER_SIDE, 2))
    rows = (grid[:, np.newaxis] + 0.5 + jitter[..., 0]) * pitch
    columns = (
        grid[np.newaxis, :] + 0.5 + jitter[..., 1] + 0.25 * (-1) ** grid[:, np.newaxis]
    ) * pitch
    centres = np.stack([rows.ravel(), columns.ravel()], axis=1).astype(np.float32) % PERIOD
    axis = np.arange(PERIOD, dtype=np.float32)
    warped = [
        axis[:, np.newaxis] + make_noise(generator, 40) * np.float32(11),
        axis[np.newaxis, :] + make_noise(generator, 40) * np.float32(11),
    ]
    nearest = np.full((PERIOD, PERIOD), np.inf, np.float32)
    second = nearest.copy()
    number = np.zeros((PERIOD, PERIOD), np.intp)
    for index, centre in enumerate(centres):
        distance = np.hypot(
            *(_wrap(position - at) for position, at in zip(warped, centre, strict=True))
        )
        closer = distance < nearest
        second = np.where(closer, nearest, np.minimum(second, distance))
        nearest = np.where(closer, distance, nearest)
        number[closer] = index
    period_row = np.rint((axis[:, np.newaxis] - centres[number, 0]) / PERIOD)
    period_column = np.rint((axis[np.newaxis, :] - centres[number, 1]) / PERIOD)
    copy = (9 * number + 3 * (period_row + 1) + period_column + 1).astype(np.uint8)
    edge = ((second - nearest) / 2).astype(np.float32)
    return Tessellation(number, copy, edge, centres)


def _wrap(difference: Floats) -> Floats:
    periods: Floats = np.rint(difference * np.float32(1 / PERIOD))
    return difference - np.float32(PERIOD) * periods
