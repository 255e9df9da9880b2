"""The documented class TotalPixelMatrixSampler, on a matrix whose pixels are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomslide import TotalPixelMatrix, TotalPixelMatrixSampler

# The small slide of the fixture make_slide: 70 x 90 pixels in 5 x 4 tiles of 16 x 24
SIZE, TILE = (70, 90), (16, 24)
WHITE = 255

regions = st.tuples(st.integers(5, 100), st.integers(5, 100))
margins = st.integers(0, 30)
paddings = margins | st.tuples(margins, margins) | st.tuples(margins, margins, margins, margins)
boxes = st.tuples(
    st.tuples(st.integers(-40, 90), st.integers(-40, 110)),
    st.tuples(st.integers(1, 80), st.integers(1, 80)),
)
tiles = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=6)


@pytest.fixture(scope="module")
def slide(make_slide):
    return make_slide()


@pytest.fixture(scope="module")
def matrix(slide, open_counted):
    return TotalPixelMatrix(*open_counted(slide.paths[0]), max_frame_cache_size=20)


@pytest.fixture(scope="module")
def pixels(slide):
    return slide.levels[0].pixels()


def four(padding) -> tuple[int, int, int, int]:
    """Left, top, right and bottom padding."""
    if isinstance(padding, int):
        return (padding,) * 4
    return padding if len(padding) == 4 else padding * 2


def grid_positions(sampler: TotalPixelMatrixSampler) -> list[tuple[int, int]]:
    return [sampler.get_region_grid_position(index) for index in range(len(sampler))]


def sharing(boxes, region: tuple[int, int]) -> list[tuple[int, int]]:
    """Grid positions of the regions that share pixels of the matrix with one of the boxes."""
    wanted = np.zeros(SIZE, bool)
    for (row, column), (rows, columns) in boxes:
        wanted[max(row, 0) : max(row + rows, 0), max(column, 0) : max(column + columns, 0)] = True
    height, width = region
    return [
        (row, column)
        for row in range(-(-SIZE[0] // height))
        for column in range(-(-SIZE[1] // width))
        if wanted[row * height : (row + 1) * height, column * width : (column + 1) * width].any()
    ]


class TestRegions:
    @given(regions, paddings)
    def test_every_region_is_a_slice_of_the_padded_matrix(self, matrix, pixels, region, padding):
        left, top, right, bottom = four(padding)
        far = [(top, region[0] + bottom), (left, region[1] + right), (0, 0)]
        padded = np.pad(pixels, far, constant_values=WHITE)
        height, width = top + region[0] + bottom, left + region[1] + right
        sampler = TotalPixelMatrixSampler(matrix, region, padding=padding)
        for index, found in enumerate(sampler):
            row, column = sampler.get_region_grid_position(index)
            row, column = row * region[0], column * region[1]
            np.testing.assert_array_equal(
                found, padded[row : row + height, column : column + width]
            )

    @given(regions)
    def test_union_of_all_regions_is_the_matrix(self, matrix, pixels, region):
        sampler = TotalPixelMatrixSampler(matrix, region)
        rows, columns = -(-SIZE[0] // region[0]), -(-SIZE[1] // region[1])
        assert len(sampler) == rows * columns
        found = np.vstack(
            [
                np.hstack([sampler[row * columns + column] for column in range(columns)])
                for row in range(rows)
            ]
        )
        np.testing.assert_array_equal(found[: SIZE[0], : SIZE[1]], pixels)
        assert (found[SIZE[0] :] == WHITE).all()
        assert (found[:, SIZE[1] :] == WHITE).all()

    def test_beyond_a_monochrome_matrix_is_zero(self, make_slide, open_counted):
        matrix = TotalPixelMatrix(*open_counted(make_slide(samples=1).paths[0]))
        sampler = TotalPixelMatrixSampler(matrix, (16, 24), padding=4)
        assert not sampler[0][:4].any()
        assert not sampler[0][:, :4].any()

    def test_tile_size_gives_the_tiles_without_what_lies_beyond(self, matrix, pixels):
        sampler = TotalPixelMatrixSampler(matrix, TILE)
        np.testing.assert_array_equal(sampler[5], pixels[16:32, 24:48])
        np.testing.assert_array_equal(sampler[19][:6, :18], pixels[64:, 72:])
        assert (sampler[19][6:] == WHITE).all()

    def test_regions_go_along_the_rows(self, matrix):
        sampler = TotalPixelMatrixSampler(matrix, (30, 40))
        expected = [(row, column) for row in range(3) for column in range(3)]
        assert grid_positions(sampler) == expected


class TestBoundingBox:
    """Offset and size of the region of interest: regions that share pixels with it are sampled."""

    @given(regions, boxes)
    def test_regions_that_share_pixels_with_it_are_sampled(self, matrix, region, box):
        sampler = TotalPixelMatrixSampler(matrix, region, bounding_box=box)
        assert grid_positions(sampler) == sharing([box], region)

    def test_grid_stays_that_of_the_matrix(self, matrix, pixels):
        sampler = TotalPixelMatrixSampler(matrix, (10, 10), bounding_box=((15, 25), (10, 10)))
        assert grid_positions(sampler) == [(1, 2), (1, 3), (2, 2), (2, 3)]
        np.testing.assert_array_equal(sampler[0], pixels[10:20, 20:30])

    def test_outside_the_matrix_there_is_nothing_to_sample(self, matrix):
        sampler = TotalPixelMatrixSampler(matrix, (10, 10), bounding_box=((70, 0), (10, 10)))
        assert len(sampler) == 0
        assert list(sampler) == []

    def test_bounding_box_may_be_an_array(self, matrix):
        box = np.array([(15, 25), (10, 10)])
        assert len(TotalPixelMatrixSampler(matrix, (10, 10), bounding_box=box)) == 4


class TestTileGridPositions:
    """Tiles of the region of interest: regions that share pixels with them are sampled."""

    @given(regions, tiles)
    def test_regions_that_share_pixels_with_them_are_sampled_once(self, matrix, region, tiles):
        sampler = TotalPixelMatrixSampler(matrix, region, tile_grid_positions=tiles)
        boxes = [((row * TILE[0], column * TILE[1]), TILE) for row, column in tiles]
        assert grid_positions(sampler) == sharing(boxes, region)

    def test_tile_grid_positions_may_be_an_array(self, matrix):
        tiles = matrix.tile_grid_positions[[3, 7]]
        sampler = TotalPixelMatrixSampler(matrix, TILE, tile_grid_positions=tiles)
        assert grid_positions(sampler) == [(0, 3), (1, 3)]

    def test_tile_grid_positions_are_ignored_where_there_is_a_bounding_box(self, matrix):
        sampler = TotalPixelMatrixSampler(
            matrix, TILE, bounding_box=((0, 0), (5, 5)), tile_grid_positions=[(4, 3)]
        )
        assert grid_positions(sampler) == [(0, 0)]

    @pytest.mark.parametrize("position", [(5, 0), (0, 4)])
    def test_tiles_must_exist(self, matrix, position):
        with pytest.raises(IndexError, match="tile_grid_positions"):
            TotalPixelMatrixSampler(matrix, TILE, tile_grid_positions=[position])


class TestProperties:
    def test_sampler_has_its_matrix(self, matrix):
        assert TotalPixelMatrixSampler(matrix, (10, 20)).matrix is matrix

    @pytest.mark.parametrize(
        ("padding", "expected"),
        [
            (0, (0, 0, 0, 0)),
            (3, (3, 3, 3, 3)),
            ((3, 5), (3, 5, 3, 5)),
            ([1, 2, 3, 4], (1, 2, 3, 4)),
            (np.int64(3), (3, 3, 3, 3)),
        ],
        ids=str,
    )
    def test_padding_is_left_top_right_bottom(self, matrix, padding, expected):
        assert TotalPixelMatrixSampler(matrix, (10, 20), padding=padding).padding == expected

    def test_sampler_has_the_shapes_of_its_regions(self, matrix):
        sampler = TotalPixelMatrixSampler(matrix, (10, 20), padding=(1, 2, 3, 4))
        assert sampler.region_shape == (10, 20, 3)
        assert sampler.padded_region_shape == (2 + 10 + 4, 1 + 20 + 3, 3)
        assert sampler[0].shape == sampler.padded_region_shape
        assert sampler[0].dtype == np.uint8

    def test_representation_counts_the_regions(self, matrix):
        sampler = TotalPixelMatrixSampler(matrix, (10, 20))
        assert repr(sampler) == "<TotalPixelMatrixSampler of 35 regions of 10 x 20 pixels>"


class TestIndexing:
    def test_negative_index_counts_from_the_end(self, matrix):
        sampler = TotalPixelMatrixSampler(matrix, (30, 40))
        assert len(sampler) == 9
        assert sampler.get_region_grid_position(-1) == (2, 2)
        np.testing.assert_array_equal(sampler[-9], sampler[0])

    @pytest.mark.parametrize("index", [9, -10])
    def test_region_must_exist(self, matrix, index):
        sampler = TotalPixelMatrixSampler(matrix, (30, 40))
        with pytest.raises(IndexError, match=f"region index {index}"):
            sampler[index]
        with pytest.raises(IndexError, match=f"region index {index}"):
            sampler.get_region_grid_position(index)

    @pytest.mark.parametrize("index", [0.0, "0", None, True, (0, 0), slice(2)])
    def test_index_must_be_an_integer(self, matrix, index):
        with pytest.raises(TypeError, match="region index"):
            TotalPixelMatrixSampler(matrix, (30, 40))[index]


class TestReading:
    def test_making_a_sampler_reads_no_frame(self, slide, open_counted):
        client, metadata = open_counted(slide.paths[0])
        sampler = TotalPixelMatrixSampler(TotalPixelMatrix(client, metadata), TILE, padding=2)
        assert (len(sampler), client.requests) == (20, [])

    def test_region_asks_once_for_the_frames_that_it_touches(self, slide, open_counted):
        """The second tile with a margin of two pixels touches the tiles around it."""
        client, metadata = open_counted(slide.paths[0])
        sampler = TotalPixelMatrixSampler(TotalPixelMatrix(client, metadata), TILE, padding=2)
        sampler[1]
        assert client.requests == [[0, 1, 2, 4, 5, 6]]


class TestErrors:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("matrix", np.ones((70, 90, 3))),
            ("region_dimensions", 10),
            ("region_dimensions", (10.0, 10)),
            ("bounding_box", 10),
            ("bounding_box", ((0, 0), 10)),
            ("bounding_box", ((0, 0), (10.5, 10))),
            ("tile_grid_positions", 3),
            ("tile_grid_positions", [3]),
            ("tile_grid_positions", [(0.5, 1)]),
            ("padding", 1.5),
            ("padding", "1"),
            ("padding", None),
            ("padding", (1, 1.5)),
        ],
        ids=str,
    )
    def test_wrong_type_is_named(self, matrix, name, value):
        arguments = {"matrix": matrix, "region_dimensions": TILE, name: value}
        with pytest.raises(TypeError, match=name):
            TotalPixelMatrixSampler(**arguments)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("region_dimensions", (0, 10)),
            ("region_dimensions", (10, -1)),
            ("region_dimensions", (10, 10, 3)),
            ("bounding_box", ((0, 0), (0, 10))),
            ("bounding_box", ((0, 0),)),
            ("padding", -1),
            ("padding", (1, 2, 3)),
            ("padding", (1, -2)),
        ],
        ids=str,
    )
    def test_impossible_value_is_named(self, matrix, name, value):
        arguments = {"matrix": matrix, "region_dimensions": TILE, name: value}
        with pytest.raises(ValueError, match=name):
            TotalPixelMatrixSampler(**arguments)
