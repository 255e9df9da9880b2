"""Several channels and focal planes as one array."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dicomslide import TotalPixelMatrix
from dicomslide.pixels.stack import FrameStack

CHANNELS, PLANES, SIZE, TILE = 3, 2, (20, 26), (8, 12)
FRAMES = 3 * 3
WHITE = 255


@pytest.fixture(scope="session")
def planes(make_slide, open_counted):
    """Makes the arrays of the channels and focal planes of an image, their pixels and requests."""

    def make(**options):
        level = make_slide(
            size=SIZE, tile=TILE, optical_paths=CHANNELS, focal_planes=PLANES, **options
        ).levels[0]
        client, metadata = open_counted(level.paths[0])
        indices = [[(c, z) for z in range(PLANES)] for c in range(CHANNELS)]
        arrays = tuple(
            tuple(TotalPixelMatrix(client, metadata, *index, 0).array for index in row)
            for row in indices
        )
        pixels = np.array([[level.pixels(*index) for index in row] for row in indices])
        client.requests.clear()
        return arrays, pixels, client.requests

    return make


@pytest.fixture(scope="session")
def colour(planes):
    """A stack of colour without the first plane of the second channel."""
    arrays, pixels, requests = planes()
    first, (_, last), third = arrays
    pixels[1, 0] = WHITE
    return FrameStack((first, (None, last), third)), pixels, requests


@pytest.fixture(scope="session")
def grey(planes):
    """A stack without the axis of samples and without the second plane of the first channel."""
    arrays, pixels, requests = planes(samples=1, bits=16)
    (first, _), *others = arrays
    pixels[0, 1] = 0
    return FrameStack(((first, None), *others), samples=False), pixels[..., 0], requests


class TestIndexing:
    @given(key=hnp.basic_indices((CHANNELS, PLANES, *SIZE, 3), max_dims=5))
    def test_colour_reads_like_numpy(self, colour, key):
        stack, pixels, _ = colour
        np.testing.assert_array_equal(stack[key], pixels[key])
        assert stack[key].dtype == np.uint8

    @given(key=hnp.basic_indices((CHANNELS, PLANES, *SIZE), max_dims=4))
    def test_grey_reads_like_numpy(self, grey, key):
        stack, pixels, _ = grey
        np.testing.assert_array_equal(stack[key], pixels[key])
        assert stack[key].dtype == np.uint16

    @given(
        key=st.tuples(
            *[
                st.builds(slice, *[st.none() | st.integers(-40, 40)] * 2, st.sampled_from([1, -3]))
                for _ in range(5)
            ]
        )
    )
    def test_slices_may_be_empty_or_run_backwards(self, colour, key):
        stack, pixels, _ = colour
        np.testing.assert_array_equal(stack[key], pixels[key])

    def test_stack_has_the_shape_and_type_of_its_planes(self, colour, grey):
        assert (colour[0].shape, colour[0].ndim) == ((CHANNELS, PLANES, *SIZE, 3), 5)
        assert (grey[0].shape, grey[0].ndim) == ((CHANNELS, PLANES, *SIZE), 4)
        assert (colour[0].dtype, grey[0].dtype) == (np.uint8, np.uint16)

    @pytest.mark.parametrize("key", [(3,), (0, 2), (0, 0, 20), (0, 0, 0, -27), (0,) * 6])
    def test_out_of_range_is_an_index_error(self, colour, key):
        with pytest.raises(IndexError):
            colour[0][key]

    def test_reads_the_touched_frames_of_the_wanted_planes_and_no_others(self, colour):
        stack, _, requests = colour
        requests.clear()
        stack[2, :, 7:9, :5]
        # TILED_FULL has the planes of a channel one after the other (PS3.3 C.7.6.17.3)
        first = 2 * PLANES * FRAMES
        assert requests == [[first, first + 3], [first + FRAMES, first + FRAMES + 3]]

    def test_plane_that_is_not_there_reads_nothing(self, colour):
        stack, _, requests = colour
        requests.clear()
        assert (stack[1, 0] == WHITE).all()
        assert requests == []


class TestDask:
    def test_one_chunk_is_one_frame_of_one_channel_and_plane(self, colour):
        stack, pixels, requests = colour
        requests.clear()
        lazy = stack.to_dask(TILE)
        assert lazy.chunks == ((1,) * CHANNELS, (1,) * PLANES, (8, 8, 4), (12, 12, 2), (3,))
        assert requests == []
        lazy[0, 1, :8, :12].compute()
        assert requests == [[FRAMES]]
        np.testing.assert_array_equal(lazy.compute(), pixels)

    def test_dask_array_of_grey_has_no_axis_of_samples(self, grey):
        stack, pixels, _ = grey
        lazy = stack.to_dask((16, 26))
        assert lazy.chunks == ((1,) * CHANNELS, (1,) * PLANES, (16, 4), (26,))
        assert lazy.dtype == np.uint16
        np.testing.assert_array_equal(lazy.compute(), pixels)

    def test_graph_is_not_materialised(self, colour):
        layers = colour[0].to_dask(TILE).dask.layers.values()
        assert sum(len(layer) for layer in layers if layer.is_materialized()) <= 1


class TestToken:
    def test_same_planes_same_token(self, colour):
        stack = colour[0]
        assert FrameStack(stack.planes).token == stack.token
        assert stack.to_dask(TILE).name == stack.to_dask(TILE).name

    def test_other_planes_or_order_or_axes_have_another(self, colour, grey):
        planes, grey_planes = colour[0].planes, grey[0].planes
        stacks = [
            FrameStack(planes),
            FrameStack(planes[::-1]),
            FrameStack(planes[:2]),
            FrameStack(grey_planes),
            FrameStack(grey_planes, samples=False),
        ]
        assert len({stack.token for stack in stacks}) == len(stacks)
        assert len({stack.to_dask(TILE).name for stack in stacks}) == len(stacks)
        assert stacks[0].to_dask(TILE).name != stacks[0].to_dask((16, 12)).name


def test_pickled_stack_reads_the_same(colour):
    stack, pixels, _ = colour
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stack))[...], pixels)
