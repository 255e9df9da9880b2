"""Areas that are found by what lies near them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomslide.grouping.areas import Areas

LENGTHS = st.floats(-60, 60).map(lambda power: 2.0**power) | st.sampled_from([0.0, 1.0, 4.0])
COORDINATES = st.floats(-100, 100)


@st.composite
def bounds(draw):
    x, y = draw(COORDINATES), draw(COORDINATES)
    return (x, y), (x + draw(LENGTHS), y + draw(LENGTHS))


def touch(first, second) -> bool:
    return all(
        first[0][axis] <= second[1][axis] and second[0][axis] <= first[1][axis] for axis in (0, 1)
    )


@given(st.lists(bounds(), max_size=12), bounds())
def test_areas_that_touch_are_near(areas, wanted):
    places = Areas()
    for number, area in enumerate(areas):
        places.add(number, area)
    assert places.near(wanted) >= {n for n, area in enumerate(areas) if touch(area, wanted)}


def test_areas_far_apart_are_not_near():
    places = Areas()
    for number in range(100):
        places.add(number, ((10.0 * number, 0.0), (10.0 * number + 4, 4.0)))
    assert places.near(((300.0, 1.0), (301.0, 2.0))) == {30}


def test_an_image_that_says_nothing_of_its_place_is_near_all():
    everywhere = (-float("inf"),) * 2, (float("inf"),) * 2
    places = Areas()
    places.add(0, everywhere)
    places.add(1, ((0.0, 0.0), (1.0, 1.0)))
    assert places.near(((50.0, 50.0), (51.0, 51.0))) == {0}
    assert places.near(everywhere) == {0, 1}


@pytest.mark.parametrize("side", [0.0, 1e-320, 1e-15, 1e10, 1e300, math.inf])
def test_areas_of_absurd_sizes_are_found(side):
    areas = Areas()
    areas.add(0, ((0.0, 0.0), (side, side)))
    areas.add(1, ((-1e308, 0.0), (1e308, 1.0)))
    assert {0, 1} <= areas.near(((0.0, 0.0), (1.0, 1.0)))
    assert {0, 1} <= areas.near(((-1e308, -1e308), (1e308, 1e308)))
