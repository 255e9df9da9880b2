"""Where frames lie and how tiles join."""

import highdicom as hd
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.dataset import Dataset

from dicomslide import (
    assemble_total_pixel_matrix,
    compute_frame_positions,
    disassemble_total_pixel_matrix,
)
from dicomslide.testing import ORIENTATIONS, SegmentationOptions
from dicomslide.tile import FullTiling, SparseTiling

dtypes = st.sampled_from([bool, np.uint8, np.uint16, np.uint32, np.int16, np.float32, np.float64])
sides = st.integers(1, 9)


def grid(size: tuple[int, int], tile: tuple[int, int]) -> list[tuple[int, int]]:
    """Top left pixels of the tiles of the regular grid, row by row."""
    return [(r, c) for r in range(0, size[0], tile[0]) for c in range(0, size[1], tile[1])]


@st.composite
def matrices(draw):
    """A matrix of any type, with or without samples."""
    shape = (draw(st.integers(1, 30)), draw(st.integers(1, 30)), *draw(st.sampled_from([(), (3,)])))
    return draw(hnp.arrays(draw(dtypes), shape, fill=st.nothing()))


class TestAssemble:
    def test_tiles_go_to_their_positions(self):
        tiles = [np.full((2, 2), value) for value in (1, 2, 3)]
        matrix = assemble_total_pixel_matrix(tiles, [(0, 0), (2, 2), (0, 2)], 4, 4)
        expected = [[1, 1, 3, 3], [1, 1, 3, 3], [0, 0, 2, 2], [0, 0, 2, 2]]
        assert matrix.tolist() == expected

    def test_parts_of_tiles_beyond_the_matrix_are_cropped(self):
        tile = np.arange(1, 5).reshape(2, 2)
        matrix = assemble_total_pixel_matrix([tile] * 5, [*grid((3, 3), (2, 2)), (-1, -1)], 3, 3)
        assert matrix.tolist() == [[4, 2, 1], [3, 4, 3], [1, 2, 1]]

    def test_tile_outside_the_matrix_leaves_no_trace(self):
        tile = np.ones((2, 2), np.uint8)
        matrix = assemble_total_pixel_matrix([tile] * 3, [(4, 0), (0, 4), (-2, 0)], 4, 4)
        assert not matrix.any()

    def test_later_tile_is_on_top(self):
        tiles = [np.full((2, 2), 1), np.full((2, 2), 2)]
        assert (
            assemble_total_pixel_matrix(tiles, [(0, 0), (0, 1)], 2, 3).tolist() == [[1, 2, 2]] * 2
        )
        assert (
            assemble_total_pixel_matrix(tiles, [(0, 1), (0, 0)], 2, 3).tolist() == [[2, 2, 1]] * 2
        )

    def test_positions_may_be_an_array(self):
        tiles = np.arange(8).reshape(2, 2, 2)
        positions = np.array([(0, 0), (0, 2)], dtype=np.uint32)
        matrix = assemble_total_pixel_matrix(tiles, positions, 2, 4)
        np.testing.assert_array_equal(matrix, np.hstack([tiles[0], tiles[1]]))

    @given(dtypes, st.sampled_from([(), (1,), (3,)]))
    def test_type_and_samples_are_those_of_the_tiles(self, dtype, samples):
        matrix = assemble_total_pixel_matrix([np.ones((2, 3, *samples), dtype)], [(0, 0)], 5, 7)
        assert matrix.dtype == dtype
        assert matrix.shape == (5, 7, *samples)

    def test_assembling_needs_a_tile(self):
        with pytest.raises(ValueError, match="tiles"):
            assemble_total_pixel_matrix([], [], 4, 4)

    def test_assembling_needs_as_many_positions_as_tiles(self):
        with pytest.raises(ValueError, match=r"1 tiles .* positions.* 2"):
            assemble_total_pixel_matrix([np.ones((2, 2))], [(0, 0), (0, 2)], 4, 4)

    @pytest.mark.parametrize(
        "other", [np.ones((2, 3)), np.ones((2, 2), np.uint8)], ids=["shape", "type"]
    )
    def test_tiles_must_be_alike(self, other):
        with pytest.raises(ValueError, match="tiles"):
            assemble_total_pixel_matrix([np.ones((2, 2)), other], [(0, 0), (0, 2)], 4, 4)

    @pytest.mark.parametrize("positions", [[0], [(0, 0, 0)]])
    def test_position_must_be_row_and_column(self, positions):
        with pytest.raises(ValueError, match="tile_positions"):
            assemble_total_pixel_matrix([np.ones((2, 2))], positions, 4, 4)


class TestDisassemble:
    def test_tiles_are_stacked_in_the_order_of_their_positions(self):
        matrix = np.arange(16).reshape(4, 4)
        tiles = disassemble_total_pixel_matrix(matrix, [(2, 2), (0, 1)], 2, 2)
        assert tiles.tolist() == [[[10, 11], [14, 15]], [[1, 2], [5, 6]]]

    def test_parts_of_tiles_beyond_the_matrix_are_zero(self):
        matrix = np.arange(1, 10).reshape(3, 3)
        tiles = disassemble_total_pixel_matrix(matrix, [(2, 2), (-1, -1), (3, 0)], 2, 2)
        assert tiles.tolist() == [[[9, 0], [0, 0]], [[0, 0], [0, 1]], [[0, 0], [0, 0]]]

    def test_no_positions_give_no_tiles(self):
        tiles = disassemble_total_pixel_matrix(np.ones((3, 3, 1), np.uint16), [], 2, 2)
        assert tiles.shape == (0, 2, 2, 1)
        assert tiles.dtype == np.uint16

    @pytest.mark.parametrize(("rows", "columns"), [(0, 2), (2, -1)])
    def test_tile_needs_pixels(self, rows, columns):
        with pytest.raises(ValueError, match=f"{rows} x {columns}"):
            disassemble_total_pixel_matrix(np.ones((4, 4)), [(0, 0)], rows, columns)

    @given(matrices(), sides, sides)
    def test_assembling_undoes_disassembling(self, matrix, rows, columns):
        positions = grid(matrix.shape, (rows, columns))
        tiles = disassemble_total_pixel_matrix(matrix, positions, rows, columns)
        assert tiles.shape == (len(positions), rows, columns, *matrix.shape[2:])
        found = assemble_total_pixel_matrix(tiles, positions, *matrix.shape[:2])
        np.testing.assert_array_equal(found, matrix)
        assert found.dtype == matrix.dtype


def read_header(path) -> Dataset:
    return pydicom.dcmread(path, stop_before_pixels=True)


@pytest.fixture(
    scope="module",
    params=["optical paths", "focal planes", "both", "BINARY", "FRACTIONAL", "LABELMAP"],
)
def full_image(make_slide, request):
    """A TILED_FULL image of each kind."""
    options = {
        "optical paths": {"optical_paths": 3},
        "focal planes": {"focal_planes": 3},
        "both": {"optical_paths": 2, "focal_planes": 2},
    }
    if request.param in options:
        return read_header(make_slide(**options[request.param]).paths[0])
    segmentation = SegmentationOptions(request.param, organization="TILED_FULL")
    return read_header(make_slide(segmentations=(segmentation,)).segmentations[0].paths[0])


class TestComputeFramePositions:
    def test_tiled_full_agrees_with_highdicom(self, full_image):
        pixels, slide, channels, planes = compute_frame_positions(full_image)
        expected = list(hd.spatial.iter_tiled_full_frame_data(full_image))
        assert len(expected) == full_image.NumberOfFrames
        assert channels.tolist() == [(frame[0] or 1) - 1 for frame in expected]
        assert planes.tolist() == [frame[1] - 1 for frame in expected]
        assert pixels.tolist() == [[frame[3] - 1, frame[2] - 1] for frame in expected]
        np.testing.assert_allclose(slide[:, :2], [frame[4:6] for frame in expected], atol=1e-9)

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_stated_and_computed_slide_positions_agree(self, make_slide, orientation):
        """TILED_SPARSE states the positions that follow from the order of TILED_FULL."""
        options = {"orientation": orientation, "pixel_spacing": (0.001, 0.002), "focal_planes": 2}
        full = compute_frame_positions(read_header(make_slide(**options).paths[0]))
        sparse = compute_frame_positions(
            read_header(make_slide(organization="TILED_SPARSE", **options).paths[0])
        )
        for computed, stated in zip(full, sparse, strict=True):
            np.testing.assert_allclose(computed, stated, rtol=0, atol=1e-9)

    def test_frame_positions_have_their_shapes_and_types(self, full_image):
        count = full_image.NumberOfFrames
        pixels, slide, channels, planes = compute_frame_positions(full_image)
        assert [a.shape for a in (pixels, slide, channels, planes)] == [
            (count, 2),
            (count, 3),
            (count,),
            (count,),
        ]
        assert all(np.issubdtype(a.dtype, np.integer) for a in (pixels, channels, planes))
        assert np.issubdtype(slide.dtype, np.floating)

    def test_first_frame_lies_at_the_origin(self, make_slide):
        slide = make_slide(origin=(3.5, 40.25))
        pixels, positions, _, _ = compute_frame_positions(read_header(slide.paths[0]))
        assert pixels[0].tolist() == [0, 0]
        assert positions[0].tolist() == [3.5, 40.25, 0.0]

    def test_z_is_in_millimetres(self, make_slide):
        """Three focal planes 1.5 micrometres apart, each of 5 x 4 frames."""
        slide = make_slide(focal_planes=3, focal_plane_spacing=1.5)
        _, positions, _, _ = compute_frame_positions(read_header(slide.paths[0]))
        np.testing.assert_allclose(positions[:, 2], np.repeat([0, 0.0015, 0.003], 20))

    @pytest.mark.parametrize("organization", ["TILED_FULL", "TILED_SPARSE"])
    def test_z_of_an_image_above_the_slide_is_its_height(self, make_slide, organization):
        """The third focal plane has an instance of its own, whose origin is at its height."""
        slide = make_slide(
            focal_planes=3,
            focal_planes_in="each",
            focal_plane_spacing=1.5,
            organization=organization,
        )
        _, positions, _, planes = compute_frame_positions(read_header(slide.paths[2]))
        np.testing.assert_allclose(positions[:, 2], [0.003] * 20)
        assert planes.tolist() == [0] * 20

    @pytest.mark.parametrize("sparse", ["gaps", "shuffled", "off-grid", "overlapping"])
    @pytest.mark.parametrize("organization", ["TILED_SPARSE", None])
    def test_sparse_frames_have_their_own_positions(self, make_slide, sparse, organization):
        slide = make_slide(
            organization=organization, sparse=sparse, optical_paths=2, focal_planes=2
        )
        pixels, _, channels, planes = compute_frame_positions(read_header(slide.paths[0]))
        frames = slide.levels[0].frames
        assert pixels.tolist() == [[frame.row, frame.column] for frame in frames]
        assert channels.tolist() == [frame.optical_path for frame in frames]
        assert planes.tolist() == [frame.focal_plane for frame in frames]

    def test_frames_of_a_parametric_map_have_their_positions(self, make_slide):
        slide = make_slide(parametric_maps=("float",))
        image = read_header(slide.parametric_maps[0].paths[0])
        pixels, _, channels, _ = compute_frame_positions(image)
        frames = image.PerFrameFunctionalGroupsSequence
        labels = [frame.RealWorldValueMappingSequence[0].LUTLabel for frame in frames]
        assert [slide.parametric_maps[0].parameters[i] for i in channels] == labels
        places = [frame.PlanePositionSlideSequence[0] for frame in frames]
        assert (pixels + 1).tolist() == [
            [p.RowPositionInTotalImagePixelMatrix, p.ColumnPositionInTotalImagePixelMatrix]
            for p in places
        ]

    def test_image_that_has_no_place_on_the_slide_is_named(self, make_slide):
        image = read_header(make_slide().paths[0])
        del image.TotalPixelMatrixOriginSequence
        with pytest.raises(ValueError, match=image.SOPInstanceUID):
            compute_frame_positions(image)


class TestTilings:
    """Finding the frames of a window gives those that share pixels with it, in their order."""

    SIZE, TILE = (31, 40), (8, 12)
    windows = st.tuples(
        st.tuples(st.integers(0, 30), st.integers(0, 39)), st.tuples(sides, sides)
    ).map(lambda w: (*w[0], min(w[0][0] + w[1][0], 31), min(w[0][1] + w[1][1], 40)))
    corners = st.tuples(st.integers(-7, 30), st.integers(-11, 39))

    def touching(self, positions, window):
        top, left, bottom, right = window
        height, width = self.TILE
        return [
            index
            for index, (row, column) in enumerate(positions)
            if row < bottom and row + height > top and column < right and column + width > left
        ]

    @given(windows, st.sampled_from([0, 16]))
    def test_full_tiling_finds_the_frames_of_a_region(self, window, first):
        """A grid of 4 x 4 frames, the first one of which may not be that of the image."""
        positions = grid(self.SIZE, self.TILE)
        frames, found = FullTiling((4, 4), self.TILE, first).find(*window)
        expected = self.touching(positions, window)
        assert frames == [first + index for index in expected]
        assert found == [positions[index] for index in expected]

    @given(windows, st.lists(corners, max_size=12))
    def test_sparse_tiling_finds_the_frames_of_a_region(self, window, positions):
        """Every third frame of the image belongs to this channel."""
        frames = 3 * np.arange(len(positions)) + 1
        array = np.array(positions, np.int64).reshape(-1, 2)
        tiling = SparseTiling(self.TILE, frames, array, complete=False, disjoint=False)
        numbers, found = tiling.find(*window)
        expected = self.touching(positions, window)
        assert numbers == [3 * index + 1 for index in expected]
        assert found == [positions[index] for index in expected]

    def test_frame_of_a_full_plane_has_its_position(self):
        tiling = FullTiling((4, 4), self.TILE, first=16)
        assert tiling.position_of(16 + 6) == (8, 24)
        assert tiling.position_of(15) is None
        assert tiling.position_of(32) is None

    def test_frame_of_a_sparse_plane_has_its_position(self):
        frames, positions = np.array([1, 4]), np.array([(3, 5), (0, 0)])
        tiling = SparseTiling(self.TILE, frames, positions, complete=False, disjoint=True)
        assert tiling.position_of(1) == (3, 5)
        assert tiling.position_of(4) == (0, 0)
        assert [tiling.position_of(frame) for frame in (0, 2, 5)] == [None] * 3
