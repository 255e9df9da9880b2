from __future__ import annotations

import itertools

import numpy as np
import pytest

from dicomslide.testing import ORIENTATIONS, orientation_from_angle
from dicomslide.testing.geometry import centre_on_slide, locate_pixel


def test_the_eight_orientations_are_all_that_are_parallel_to_the_axes() -> None:
    axes = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0))
    expected = {(*a, *b) for a, b in itertools.product(axes, axes) if np.dot(a, b) == 0}
    assert set(ORIENTATIONS) == expected
    assert len(ORIENTATIONS) == 8


def test_the_first_four_orientations_are_not_mirrored() -> None:
    # On the slide as the microscope shows it, rows run to the right and columns downwards: the
    # cross product of the two directions points into the slide.
    crosses = [np.cross(o[:3], o[3:])[2] for o in ORIENTATIONS]
    assert crosses == [-1] * 4 + [1] * 4


@pytest.mark.parametrize(
    ("degrees", "mirrored", "expected"),
    [
        (0, False, (1, 0, 0, 0, -1, 0)),
        (90, False, (0, 1, 0, 1, 0, 0)),
        (180, False, (-1, 0, 0, 0, 1, 0)),
        (-90, False, (0, -1, 0, -1, 0, 0)),
        (270, True, (0, -1, 0, 1, 0, 0)),
        (30, False, (0.866025403784, 0.5, 0, 0.5, -0.866025403784, 0)),
        (30, True, (0.866025403784, 0.5, 0, -0.5, 0.866025403784, 0)),
    ],
)
def test_an_angle_turns_the_rows_counterclockwise(
    degrees: float, mirrored: bool, expected: tuple[float, ...]
) -> None:
    assert orientation_from_angle(degrees, mirrored) == expected


def test_a_pixel_is_found_along_the_direction_cosines() -> None:
    # Columns advance along -Y, rows along -X; see PS3.3 C.8.12.2.1.1.
    orientation = (0.0, -1.0, 0.0, -1.0, 0.0, 0.0)
    assert locate_pixel(10, 4, (12.5, 30.0), orientation, (0.5, 0.25)) == (7.5, 29.0)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_images_are_centred_on_the_slide(orientation: tuple[float, ...]) -> None:
    origin = centre_on_slide((101, 201), orientation, (0.01, 0.02))  # type: ignore[arg-type]
    assert locate_pixel(50, 100, origin, orientation, (0.01, 0.02)) == (12.5, 27.0)  # type: ignore[arg-type]
