"""Graphics of all types, and slides with them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import dicomslide
from dicomslide.testing import AnnotationOptions, SyntheticSlide, write_annotations

GRAPHIC_TYPES = ("POINT", "POLYLINE", "POLYGON", "ELLIPSE", "RECTANGLE")


def draw(graphic_type: str, dtype: str = "f8", seed: int = 0) -> list[NDArray]:
    """Points of some annotations, in pixels of the base level of a small slide."""
    random = np.random.default_rng(seed)

    def one() -> NDArray:
        centre = random.random(2) * [70, 50] + 10
        if graphic_type == "POINT":
            return centre[np.newaxis]
        if graphic_type == "POLYLINE":
            return centre + random.normal(size=(random.integers(2, 6), 2)) * 4
        if graphic_type == "POLYGON":
            angles = np.sort(random.random(random.integers(3, 9))) * 2 * np.pi
            if random.random() < 0.5:
                angles = angles[::-1]
            return centre + 6 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        angle, (long, short) = random.random() * np.pi, random.random(2) * 5 + 1
        first = np.array([np.cos(angle), np.sin(angle)]) * (long + short)
        second = np.array([-np.sin(angle), np.cos(angle)]) * short
        if graphic_type == "ELLIPSE":
            return np.stack([-first, first, -second, second]) + centre
        return np.stack([-first - second, first - second, first + second, second - first]) + centre

    return [one().astype(dtype) for _ in range(7)]


@dataclass(frozen=True)
class Annotated:
    """A slide, and a file of annotations of it."""

    slide: SyntheticSlide
    path: Path

    def open(self) -> dicomslide.Slide:
        return dicomslide.open_slide([self.slide.folder, self.path])

    @property
    def group(self) -> dicomslide.AnnotationGroup:
        (found,) = self.open().annotations
        return found


@pytest.fixture
def annotate(tmp_path, make_slide) -> Callable[..., Annotated]:
    """Writes groups of annotations of a small slide with the given options."""

    def write(*groups: AnnotationOptions, level: int = 0, syntax: str = "", **slide) -> Annotated:
        written = make_slide(**slide)
        path = tmp_path / "annotations.dcm"
        options = {"transfer_syntax": syntax} if syntax else {}
        write_annotations(path, written, groups, level, **options)
        return Annotated(written, path)

    return write
