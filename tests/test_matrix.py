"""The documented class TotalPixelMatrix, on images whose pixels are known."""

from copy import deepcopy

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dicomslide import TotalPixelMatrix

# The small slide of the fixture make_slide
SIZE = (70, 90)
NUM_TILES = 20
WHITE = 255


@pytest.fixture(scope="module")
def color(make_slide, open_counted):
    """A client that counts the frames that are read, metadata and pixels of a colour image."""
    slide = make_slide()
    client, metadata = open_counted(slide.paths[0])
    return client, metadata, slide.levels[0].pixels()


@pytest.fixture(scope="module")
def matrix(color):
    client, metadata, _ = color
    return TotalPixelMatrix(client, metadata)


@pytest.fixture(scope="module")
def pixels(color):
    return color[2]


@pytest.fixture(scope="module")
def frames(make_slide):
    """The stored frames, as pydicom decodes them."""
    return pydicom.dcmread(make_slide().paths[0]).pixel_array


def counting(color, **options):
    """Make a matrix and an empty list of the frames that each read will ask for."""
    client, metadata, _ = color
    client.requests.clear()
    return TotalPixelMatrix(client, metadata, **options), client.requests


class TestConstruction:
    def test_making_a_matrix_reads_no_frame(self, color):
        matrix, requests = counting(color)
        assert repr(matrix)
        assert matrix.shape
        assert len(matrix.tile_positions) == len(matrix)
        assert requests == []

    @pytest.mark.parametrize("name", ["channel_index", "focal_plane_index"])
    @pytest.mark.parametrize("index", [1, -1])
    def test_there_must_be_such_a_channel_and_focal_plane(self, color, name, index):
        with pytest.raises(ValueError, match=f"{name}: there is no {index}"):
            counting(color, **{name: index})

    @pytest.mark.parametrize("name", ["channel_index", "focal_plane_index", "max_frame_cache_size"])
    @pytest.mark.parametrize("value", ["0", 0.5, None, True])
    def test_numbers_must_be_integers(self, color, name, value):
        with pytest.raises(TypeError, match=f"{name}: expected an integer"):
            counting(color, **{name: value})

    def test_cache_size_must_not_be_negative(self, color):
        with pytest.raises(ValueError, match="max_frame_cache_size"):
            counting(color, max_frame_cache_size=-1)

    @pytest.mark.parametrize("client", [None, "client", 1])
    def test_client_must_be_one(self, color, client):
        with pytest.raises(TypeError, match="client"):
            TotalPixelMatrix(client, color[1])

    @pytest.mark.parametrize("metadata", [None, "metadata", {}])
    def test_metadata_must_be_a_data_set(self, color, metadata):
        with pytest.raises(TypeError, match="image_metadata"):
            TotalPixelMatrix(color[0], metadata)

    @pytest.mark.parametrize("keyword", ["TotalPixelMatrixRows", "TotalPixelMatrixColumns", "Rows"])
    def test_image_must_be_tiled(self, color, keyword):
        metadata = deepcopy(color[1])
        delattr(metadata, keyword)
        with pytest.raises(ValueError, match=rf"{metadata.SOPInstanceUID} is not a tiled image"):
            TotalPixelMatrix(color[0], metadata)


class TestProperties:
    """A matrix of 70 x 90 pixels of three samples in tiles of 16 x 24 pixels."""

    def test_shape_is_rows_columns_samples(self, matrix):
        assert matrix.shape == (70, 90, 3)
        assert matrix.ndim == 3
        assert matrix.size == 70 * 90 * 3
        assert matrix.nbytes == 70 * 90 * 3

    def test_dtype_is_that_of_the_stored_pixels(self, matrix):
        assert matrix.dtype == np.uint8

    def test_tile_shape_is_rows_columns_samples(self, matrix):
        assert matrix.tile_shape == (16, 24, 3)
        assert matrix.tile_size == 16 * 24 * 3

    def test_grid_covers_the_matrix(self, matrix):
        assert matrix.tile_grid_shape == (5, 4)
        assert matrix.num_tiles == 20
        assert len(matrix) == 20

    def test_grid_positions_go_along_the_rows(self, matrix):
        expected = [[row, column] for row in range(5) for column in range(4)]
        assert matrix.tile_grid_positions.tolist() == expected

    def test_positions_are_top_left_pixels(self, matrix):
        expected = [[row, column] for row in range(0, 70, 16) for column in range(0, 90, 24)]
        assert matrix.tile_positions.tolist() == expected

    def test_repr_tells_shape_type_and_tiles(self, matrix):
        assert repr(matrix) == "<TotalPixelMatrix 70 x 90 x 3 uint8, 5 x 4 tiles of 16 x 24>"


class TestTilePositions:
    @pytest.mark.parametrize("index", range(-NUM_TILES, NUM_TILES))
    def test_every_tile_has_its_position(self, matrix, index):
        row, column = divmod(index % NUM_TILES, 4)
        assert matrix.get_tile_grid_position(index) == (row, column)
        assert matrix.get_tile_position(index) == (16 * row, 24 * column)
        assert matrix.get_tile_bounding_box(index) == ((16 * row, 24 * column), (16, 24))
        assert matrix.get_tile_index((row, column)) == index % NUM_TILES

    @pytest.mark.parametrize(
        "method", ["get_tile_grid_position", "get_tile_position", "get_tile_bounding_box"]
    )
    def test_tile_must_exist(self, matrix, method):
        for index in (20, -21):
            with pytest.raises(IndexError, match=f"tile index {index}"):
                getattr(matrix, method)(index)
        for value in (0.0, "0", None, True):
            with pytest.raises(TypeError, match="tile index"):
                getattr(matrix, method)(value)

    def test_index_of_row_and_column(self, matrix):
        assert matrix.get_tile_index((2, 3)) == 11
        assert matrix.get_tile_index(position=[2, 3]) == 11
        assert matrix.get_tile_index(position=np.array([2, 3])) == 11

    def test_row_and_column_may_be_two_arguments(self, matrix):
        """The documentation has an example of that."""
        assert matrix.get_tile_index(2, 3) == 11

    @pytest.mark.parametrize("position", [(5, 0), (0, 4), (-6, 0)])
    def test_grid_must_have_the_position(self, matrix, position):
        with pytest.raises(IndexError, match="position"):
            matrix.get_tile_index(position)

    @pytest.mark.parametrize("position", [1, "ab", (0.5, 1)])
    def test_position_must_be_two_integers(self, matrix, position):
        with pytest.raises(TypeError, match="position"):
            matrix.get_tile_index(position)

    def test_position_has_two_values(self, matrix):
        with pytest.raises(ValueError, match="position"):
            matrix.get_tile_index((1, 2, 3))

    def test_position_or_frame_number_is_needed(self, matrix):
        with pytest.raises(TypeError, match="position or frame_number"):
            matrix.get_tile_index()


class TestTileOfFrame:
    """Frames are numbered from 1, over all channels and focal planes."""

    def test_frame_of_a_full_tiling_has_its_tile(self, make_slide, open_counted):
        slide = make_slide(optical_paths=2, focal_planes=2)
        client, metadata = open_counted(slide.paths[0])
        matrix = TotalPixelMatrix(client, metadata, channel_index=1, focal_plane_index=0)
        first = 2 * NUM_TILES + 1
        found = [matrix.get_tile_index(frame_number=first + i) for i in range(NUM_TILES)]
        assert found == list(range(NUM_TILES))
        for number in (1, first - 1, first + NUM_TILES, 0, 4 * NUM_TILES + 1):
            with pytest.raises(ValueError, match=f"frame_number: {number} "):
                matrix.get_tile_index(frame_number=number)

    def test_frame_of_a_sparse_tiling_has_its_tile(self, make_slide, open_counted):
        slide = make_slide(organization="TILED_SPARSE", sparse="gaps", optical_paths=2)
        client, metadata = open_counted(slide.paths[0])
        matrix = TotalPixelMatrix(client, metadata, channel_index=1)
        for number, frame in enumerate(slide.levels[0].frames, start=1):
            if frame.optical_path == 1:
                expected = frame.row // 16 * 4 + frame.column // 24
                assert matrix.get_tile_index(frame_number=number) == expected
            else:
                with pytest.raises(ValueError, match=f"frame_number: {number} "):
                    matrix.get_tile_index(frame_number=number)

    def test_frame_number_must_be_an_integer(self, matrix):
        with pytest.raises(TypeError, match="frame_number"):
            matrix.get_tile_index(frame_number="1")


class TestTiles:
    """One integer, slice or list selects whole tiles, also what they hold beyond the matrix."""

    @pytest.mark.parametrize("index", [0, 3, 16, 19, -1, -20, np.int64(7)])
    def test_integer_selects_a_tile(self, matrix, frames, index):
        np.testing.assert_array_equal(matrix[index], frames[index])

    @given(
        st.builds(slice, *[st.none() | st.integers(-25, 25)] * 2, st.sampled_from([None, 2, -1]))
    )
    def test_slice_selects_tiles(self, matrix, frames, key):
        np.testing.assert_array_equal(matrix[key], frames[key])

    @given(st.lists(st.integers(-NUM_TILES, NUM_TILES - 1)))
    def test_list_selects_tiles(self, matrix, frames, indices):
        expected = frames[indices] if indices else np.empty((0, 16, 24, 3), np.uint8)
        found = matrix[indices]
        np.testing.assert_array_equal(found, expected)
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype

    @pytest.mark.parametrize("key", [np.array([4, 0]), range(2, 5), np.arange(3, dtype=np.uint8)])
    def test_list_may_be_an_array_or_a_range(self, matrix, frames, key):
        np.testing.assert_array_equal(matrix[key], frames[list(key)])

    def test_iteration_goes_over_the_tiles(self, matrix, frames):
        tiles = list(matrix)
        assert len(tiles) == len(matrix)
        np.testing.assert_array_equal(tiles, frames)

    def test_tile_without_a_frame_is_background(self, make_slide, open_counted):
        slide = make_slide(organization="TILED_SPARSE", sparse="gaps")
        matrix = TotalPixelMatrix(*open_counted(slide.paths[0]))
        stored = {(frame.row, frame.column) for frame in slide.levels[0].frames}
        missing = [i for i in range(NUM_TILES) if matrix.get_tile_position(i) not in stored]
        assert missing
        assert (matrix[missing] == WHITE).all()

    @pytest.mark.parametrize("key", [20, -21, [0, 20], [-21]])
    def test_tile_must_exist(self, matrix, key):
        with pytest.raises(IndexError, match="tile index"):
            matrix[key]

    @pytest.mark.parametrize("key", ["0", 0.0, None, [0.5], ["0"], [True], True, {0}, [[0, 1]]])
    def test_index_must_be_an_integer_a_slice_or_a_list(self, matrix, key):
        with pytest.raises(TypeError, match="tile index"):
            matrix[key]

    @pytest.mark.parametrize("key", [slice(0.5, 2), slice("a")])
    def test_slice_must_be_of_integers(self, matrix, key):
        with pytest.raises(TypeError, match="integer"):
            matrix[key]


class TestPixels:
    """An ellipsis or a tuple selects pixels, as NumPy does from the whole array."""

    @given(key=hnp.basic_indices((*SIZE, 3), max_dims=3))
    def test_index_selects_what_numpy_selects(self, matrix, pixels, key):
        key = key if isinstance(key, tuple) or key is Ellipsis else (key,)
        found, expected = matrix[key], pixels[key]
        np.testing.assert_array_equal(found, expected)
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype

    def test_whole_matrix_can_be_read(self, matrix, pixels):
        np.testing.assert_array_equal(matrix[...], pixels)
        np.testing.assert_array_equal(matrix[:, :], pixels)
        np.testing.assert_array_equal(matrix[()], pixels)

    def test_single_values_can_be_read(self, matrix, pixels):
        assert matrix[3, 5, 1] == pixels[3, 5, 1]
        assert matrix[-1, -1, -1] == pixels[-1, -1, -1]
        assert matrix[np.int64(69), np.uint8(89), 0] == pixels[69, 89, 0]

    @pytest.mark.parametrize("key", [(70, 0, 0), (0, -91, 0), (0, 0, 3), (0, 0, 0, 0), (..., ...)])
    def test_out_of_range_is_an_index_error_as_in_numpy(self, matrix, pixels, key):
        with pytest.raises(IndexError):
            pixels[key]
        with pytest.raises(IndexError, match=r"index|indices"):
            matrix[key]

    @pytest.mark.parametrize(
        "key", [(0.5, 0), ("a", 0), (None, 0), ([0, 1], 0), (True, 0), (slice(0.5, 1), 0)]
    )
    def test_other_indices_are_type_errors(self, matrix, key):
        with pytest.raises(TypeError, match="axis 0"):
            matrix[key]

    def test_result_is_a_copy(self, matrix, pixels):
        matrix[:4, :4][...] = 0
        np.testing.assert_array_equal(matrix[:4, :4], pixels[:4, :4])


class TestArrayProtocol:
    def test_numpy_makes_an_array_of_all_pixels(self, matrix, pixels):
        np.testing.assert_array_equal(np.asarray(matrix), pixels)
        assert np.asarray(matrix).dtype == np.uint8

    def test_type_may_be_chosen(self, matrix, pixels):
        found = np.asarray(matrix, dtype=np.float32)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, pixels.astype(np.float32))

    def test_decoding_cannot_be_avoided(self, matrix):
        with pytest.raises(ValueError, match="copy"):
            np.array(matrix, copy=False)

    def test_functions_of_numpy_take_a_matrix(self, matrix, pixels):
        assert np.mean(matrix) == pixels.mean()


class TestRegions:
    @given(
        offset=st.tuples(st.integers(-100, 100), st.integers(-120, 120)),
        size=st.tuples(st.integers(0, 200), st.integers(0, 200)),
    )
    def test_region_may_lie_anywhere(self, matrix, pixels, take_region, offset, size):
        np.testing.assert_array_equal(
            matrix.read_region(offset, size), take_region(pixels, offset, size, WHITE)
        )

    @pytest.mark.parametrize(
        ("offset", "size"),
        [
            ((-5, 10), (20, 20)),
            ((60, 10), (20, 20)),
            ((10, -5), (20, 20)),
            ((10, 80), (20, 20)),
            ((-10, -10), (100, 120)),
            ((70, 0), (5, 5)),
            ((0, 90), (5, 5)),
            ((-5, 0), (5, 5)),
            ((1000, -1000), (5, 5)),
        ],
        ids=["top", "bottom", "left", "right", "around", "below", "beside", "above", "far"],
    )
    @pytest.mark.parametrize("samples", [1, 3])
    def test_outside_is_background(
        self, make_slide, open_counted, take_region, offset, size, samples
    ):
        """Background is white for colour and 0 otherwise."""
        slide = make_slide(samples=samples)
        matrix = TotalPixelMatrix(*open_counted(slide.paths[0]))
        expected = take_region(
            slide.levels[0].pixels(), offset, size, background=WHITE if samples == 3 else 0
        )
        found = matrix.read_region(offset, size)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.uint8

    @pytest.mark.parametrize("bits", [12, 16])
    def test_white_is_the_largest_stored_value(self, make_slide, open_counted, bits):
        slide = make_slide(bits=bits)
        matrix = TotalPixelMatrix(*open_counted(slide.paths[0]))
        assert (matrix.read_region((-2, -2), (2, 2)) == 2**bits - 1).all()


class TestIdentity:
    def test_matrices_of_the_same_pixels_are_equal(self, color):
        first, second = counting(color)[0], counting(color, max_frame_cache_size=0)[0]
        assert first == second
        assert hash(first) == hash(second)

    def test_other_channels_are_other_matrices(self, make_slide, open_counted):
        opened = open_counted(make_slide(optical_paths=2, focal_planes=2).paths[0])
        matrices = {TotalPixelMatrix(*opened, c, z) for c in range(2) for z in range(2)}
        assert len(matrices) == 4

    def test_other_objects_are_not_equal(self, matrix):
        assert matrix != "matrix"


class TestDask:
    def test_array_has_the_pixels(self, matrix, pixels):
        array = matrix.to_dask()
        assert (array.shape, array.dtype) == (matrix.shape, matrix.dtype)
        np.testing.assert_array_equal(array.compute(), pixels)

    def test_chunk_is_a_frame_cropped_to_the_matrix(self, matrix):
        chunks = ((16, 16, 16, 16, 6), (24, 24, 24, 18), (3,))
        assert matrix.dask.chunks == chunks
        assert matrix.to_dask(chunks="frames").chunks == chunks

    def test_chunks_are_whole_multiples_of_frames(self, matrix):
        assert matrix.to_dask(chunks=(32, 48)).chunks == ((32, 32, 6), (48, 42), (3,))
        assert matrix.to_dask(chunks=-1).chunks == ((70,), (90,), (3,))

    def test_other_chunks_are_refused(self, matrix):
        with pytest.raises(ValueError, match="chunks"):
            matrix.to_dask(chunks="tiles")
