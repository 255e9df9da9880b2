"""Slides that are opened, read, forked, interrupted, closed and dropped, in any order."""

import gc
import os
import pickle
import random
import signal
import threading
import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dicomslide import OpenSlide, Slide, open_slide
from dicomslide.testing import SyntheticSlide
from tests.interrupts import interrupted

__all__ = ["Soak", "Usage", "measure"]

_MOST_OPEN = 6
_CHILD_SECONDS = 120


@dataclass(frozen=True)
class Usage:
    """What a process has: descriptors, threads, and memory in bytes."""

    descriptors: int
    threads: int
    memory: int

    def __str__(self) -> str:
        return (
            f"{self.descriptors} descriptors, {self.threads} threads, {self.memory / 2**20:.1f} MiB"
        )


def measure() -> Usage:
    """Measure what this process has, after what nobody refers to is gone."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return Usage(len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), resident)


@dataclass
class Soak:
    """Uses a slide at several places, drawn from a seed.

    Parameters
    ----------
    written : SyntheticSlide
        The slide
    places : dict
        Keyword arguments of `open_slide`, by the name of the place
    seed : int
        Seed of what is done

    Attributes
    ----------
    done : Counter
        How often each thing was done, and at which place
    """

    written: SyntheticSlide
    places: dict[str, dict[str, Any]]
    seed: int = 1
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._slides: list[Slide] = []
        self._expected = [level.pixels() for level in self.written.levels]

    def go_round(self, count: int) -> Usage:
        """Do so many things, close everything, and measure what is left."""
        actions = (
            *(self._open,) * 3,
            *(self._read,) * 6,
            self._read_tree,
            self._read_by_dask,
            self._read_openslide,
            self._read_on_threads,
            self._pickle,
            self._fork,
            self._interrupt,
            self._interrupt,
            self._close,
            self._drop,
        )
        for _ in range(count):
            action = self._rng.choice(actions)
            self.done[action.__name__.strip("_")] += 1
            action()
        for slide in self._slides:
            slide.close()
        self._slides.clear()
        return measure()

    # What is done

    def _open(self) -> Slide:
        name = self._rng.choice(list(self.places))
        self.done[name] += 1
        slide = open_slide(**self.places[name], correct_color=False)
        self._slides.append(slide)
        if len(self._slides) > _MOST_OPEN:
            self._drop()
        return slide

    def _any(self) -> Slide:
        return self._rng.choice(self._slides) if self._slides else self._open()

    def _read(self) -> None:
        self._check(self._any())

    def _check(self, slide: Slide) -> None:
        level = self._rng.randrange(slide.num_levels)
        rows, columns = slide.total_pixel_matrix_dimensions[level]
        top, left = self._rng.randrange(rows), self._rng.randrange(columns)
        size = (self._rng.randint(1, rows - top), self._rng.randint(1, columns - left))
        found = slide.get_total_pixel_matrix(level).read_region((top, left), size)
        np.testing.assert_array_equal(found, self._region(level, (top, left), size))

    def _region(self, level: int, offset: tuple[int, int], size: tuple[int, int]) -> NDArray:
        (top, left), (rows, columns) = offset, size
        return self._expected[level][top : top + rows, left : left + columns]

    def _read_tree(self) -> None:
        place = self.places[self._rng.choice(list(self.places))]
        # Arguments of xarray's own have these names
        with xr.open_datatree(place["source"], engine="dicomslide", **_rest(place)) as tree:
            assert tree["level_0/image"].isel(y=slice(3, 30)).load().size

    def _read_by_dask(self) -> None:
        array = self._any().get_total_pixel_matrix(0).to_dask("auto")
        np.testing.assert_array_equal(array.compute(), self._expected[0])

    def _read_openslide(self) -> None:
        with OpenSlide(self._open()) as slide:
            assert slide.read_region((0, 0), 0, (20, 20)).size == (20, 20)
            slide.get_thumbnail((16, 16))
        self._slides.pop()

    def _read_on_threads(self) -> None:
        slide, failures = self._any(), []

        def read() -> None:
            try:
                found = slide.get_image_region((0, 0), 0, slide.size)
                np.testing.assert_array_equal(found, self._expected[0])
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def _pickle(self) -> None:
        matrix = pickle.loads(pickle.dumps(self._any().get_total_pixel_matrix(0)))
        np.testing.assert_array_equal(matrix[:9, :9], self._expected[0][:9, :9])

    def _fork(self) -> None:
        """Read a slide in a child, and beside it."""
        slide = self._any()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            code = 1
            # Nothing of the parent's may be finished or flushed twice
            with suppress(BaseException):
                signal.alarm(_CHILD_SECONDS)
                self._check(slide)
                self._check(self._open())
                code = 0
            os._exit(code)
        self._check(slide)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    def _interrupt(self) -> None:
        """Interrupt whatever is going on after some milliseconds, as Ctrl-C does."""
        with interrupted(self._rng.uniform(0.0005, 0.05)):
            while True:
                self._check(self._open() if self._rng.random() < 0.2 else self._any())

    def _close(self) -> None:
        """Close a slide, and read it again: it opens what it needs anew."""
        slide = self._any()
        slide.close()
        self._check(slide)

    def _drop(self) -> None:
        if self._slides:
            self._slides.pop(self._rng.randrange(len(self._slides)))


def _rest(place: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in place.items() if name != "source"}
