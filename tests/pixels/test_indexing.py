"""Basic indices against those of NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dicomslide.errors import DicomSlideError
from dicomslide.pixels.indexing import as_slice, normalize_index, split_indices

shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6)
# Also bounds and steps far beyond a side
bounds = st.none() | st.integers(-15, 15)
slices = st.builds(slice, bounds, bounds, st.none() | st.integers(-4, 4).filter(bool))
indices = slices | st.integers(-8, 8) | st.just(Ellipsis)
keys = indices | st.lists(indices, max_size=5).map(tuple)


def pick(array, axes):
    """What normalised axes select, one axis after the other."""
    for axis, (selected, _) in enumerate(axes):
        array = array.take(list(selected), axis=axis)
    return array[tuple(0 if dropped else slice(None) for _, dropped in axes)]


class TestNormalizeIndex:
    @given(shapes, keys)
    def test_selects_what_numpy_selects_or_fails_where_numpy_fails(self, shape, key):
        array = np.arange(np.prod(shape)).reshape(shape)
        try:
            expected = array[key]
        except IndexError:
            with pytest.raises(IndexError):
                normalize_index(key, shape)
        else:
            np.testing.assert_array_equal(pick(array, normalize_index(key, shape)), expected)

    def test_axes_that_are_not_indexed_are_whole(self):
        assert normalize_index(1, (2, 3, 4)) == [
            (range(1, 2), True),
            (range(3), False),
            (range(4), False),
        ]

    def test_ellipsis_stands_for_the_axes_between(self):
        assert normalize_index((0, ..., 3), (2, 3, 4)) == [
            (range(1), True),
            (range(3), False),
            (range(3, 4), True),
        ]

    @pytest.mark.parametrize("index", [np.uint8(1), np.int64(-1), 1])
    def test_integers_of_numpy_are_integers(self, index):
        assert normalize_index(index, (2,)) == [(range(1, 2), True)]

    @pytest.mark.parametrize(("index", "axis"), [((0, 3), 1), ((-3,), 0)])
    def test_out_of_range_names_index_and_axis(self, index, axis):
        with pytest.raises(IndexError, match=rf"{index[-1]} .* axis {axis}") as caught:
            normalize_index(index, (2, 3))
        assert isinstance(caught.value, DicomSlideError)

    @pytest.mark.parametrize(
        "index", [1.0, "1", None, True, np.bool_(True), [0, 1], np.array([0, 1]), slice("a")]
    )
    def test_other_indices_are_type_errors(self, index):
        with pytest.raises(TypeError) as caught:
            normalize_index(index, (2, 3))
        assert isinstance(caught.value, DicomSlideError)

    def test_step_of_zero_is_an_error_as_in_numpy(self):
        with pytest.raises(ValueError, match="zero"):
            normalize_index(slice(None, None, 0), (3,))


@given(slices, st.integers(0, 10))
def test_slice_of_a_range_selects_the_range(key, size):
    selected = range(size)[key]
    assert np.arange(size)[as_slice(selected)].tolist() == list(selected)


@given(
    st.builds(range, st.integers(-20, 20), st.integers(-20, 20), st.integers(1, 7)),
    st.integers(-25, 25),
    st.integers(-25, 25),
)
def test_part_of_a_range_is_what_lies_between_the_bounds(selected, start, stop):
    part = split_indices(selected, start, stop)
    assert list(selected[part]) == [value for value in selected if start <= value < stop]
    assert 0 <= part.start <= part.stop
