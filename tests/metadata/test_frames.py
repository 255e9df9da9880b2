"""Which frame shows which tile, channel and focal plane (PS3.3 C.7.6.17.3)."""

import io
import math

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    ParametricMapStorage,
    SegmentationStorage,
    VLWholeSlideMicroscopyImageStorage,
)

from dicomslide.errors import InvalidImageError
from dicomslide.metadata.frames import (
    focal_plane_offsets,
    is_tiled_full,
    matrix_size,
    number_of_frames,
    read_frame_positions,
    read_slide_positions,
    tile_grid_shape,
)


def make_item(**attributes) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def make_image(**attributes) -> Dataset:
    """Metadata of an image of 5 x 7 pixels in tiles of 2 x 3 pixels."""
    image = make_item(
        SOPClassUID=VLWholeSlideMicroscopyImageStorage,
        SOPInstanceUID="1.2.3",
        Rows=2,
        Columns=3,
        TotalPixelMatrixRows=5,
        TotalPixelMatrixColumns=7,
        TotalPixelMatrixOriginSequence=[make_item(ZOffsetInSlideCoordinateSystem=2.0)],
    )
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    return image


def make_full_image(identifiers: str = "1", planes: int = 1, spacing: float = 0.0) -> Dataset:
    """Optical paths with the given letters; the distance of focal planes is in millimetres."""
    measures = make_item(PixelSpacing=[0.001, 0.001], SpacingBetweenSlices=spacing)
    return make_image(
        DimensionOrganizationType="TILED_FULL",
        NumberOfFrames=3 * 3 * planes * len(identifiers),
        TotalPixelMatrixFocalPlanes=planes,
        OpticalPathSequence=[make_item(OpticalPathIdentifier=letter) for letter in identifiers],
        SharedFunctionalGroupsSequence=[make_item(PixelMeasuresSequence=[measures])],
    )


def place(row: int, column: int, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Dataset:
    """Functional groups of a frame; row and column count from 1, Z is in micrometres."""
    position = make_item(
        RowPositionInTotalImagePixelMatrix=row,
        ColumnPositionInTotalImagePixelMatrix=column,
        XOffsetInSlideCoordinateSystem=x,
        YOffsetInSlideCoordinateSystem=y,
        ZOffsetInSlideCoordinateSystem=z,
    )
    return make_item(PlanePositionSlideSequence=[position])


def make_sparse_image(*frames: Dataset, **attributes) -> Dataset:
    return make_image(
        DimensionOrganizationType="TILED_SPARSE",
        NumberOfFrames=len(frames),
        PerFrameFunctionalGroupsSequence=list(frames),
        **attributes,
    )


class TestMatrixSize:
    def test_is_rows_and_columns(self):
        assert matrix_size(make_image()) == (5, 7)

    def test_image_without_a_total_pixel_matrix_has_the_size_of_a_frame(self):
        image = make_image()
        del image.TotalPixelMatrixRows, image.TotalPixelMatrixColumns
        assert matrix_size(image) == (2, 3)

    def test_size_must_be_positive(self):
        with pytest.raises(InvalidImageError, match=r"1\.2\.3.*TotalPixelMatrixColumns is 0"):
            matrix_size(make_image(TotalPixelMatrixColumns=0))

    def test_grid_has_a_place_for_every_pixel(self):
        assert tile_grid_shape(make_image()) == (3, 3)
        assert tile_grid_shape(make_image(Rows=5, Columns=7)) == (1, 1)


class TestNumberOfFrames:
    @pytest.mark.parametrize(("value", "expected"), [(12, 12), ("12", 12), (None, 1)])
    def test_counts_frames(self, value, expected):
        assert number_of_frames(make_image(NumberOfFrames=value)) == expected

    def test_is_one_where_the_attribute_is_absent(self):
        assert number_of_frames(make_image()) == 1

    def test_must_be_positive(self):
        with pytest.raises(InvalidImageError, match=r"1\.2\.3.*Number of Frames"):
            number_of_frames(make_image(NumberOfFrames=0))


class TestIsTiledFull:
    def test_organization_type_tells(self):
        assert is_tiled_full(make_full_image())
        assert not is_tiled_full(make_sparse_image(place(1, 1)))

    def test_positions_of_frames_tell_where_the_type_is_absent(self):
        image = make_sparse_image(place(1, 1))
        del image.DimensionOrganizationType
        assert not is_tiled_full(image)

    def test_image_without_positions_is_full(self):
        assert is_tiled_full(make_image())


class TestFullPositions:
    def test_order_is_columns_then_rows_then_focal_planes_then_optical_paths(self):
        found = read_frame_positions(make_full_image("AB", planes=2, spacing=0.0015))
        tiles = [(row, column) for row in (0, 2, 4) for column in (0, 3, 6)]
        assert found.pixels.tolist() == [list(tile) for tile in tiles * 4]
        assert found.focal_planes.tolist() == ([0] * 9 + [1] * 9) * 2
        assert found.channels.tolist() == [0] * 18 + [1] * 18

    @pytest.mark.parametrize("frames", [8, 10, 18])
    def test_number_of_frames_must_fill_the_grid(self, frames):
        image = make_full_image()
        image.NumberOfFrames = frames
        with pytest.raises(InvalidImageError, match=rf"1\.2\.3.*Number of Frames is {frames}.* 9"):
            read_frame_positions(image)

    def test_image_without_optical_path_sequence_has_as_many_channels_as_it_says(self):
        image = make_full_image("AB")
        del image.OpticalPathSequence
        image.NumberOfOpticalPaths = 2
        assert read_frame_positions(image).channels.tolist() == [0] * 9 + [1] * 9


class TestFocalPlaneOffsets:
    def test_first_one_is_the_origin_and_the_others_are_evenly_spaced(self):
        offsets = focal_plane_offsets(make_full_image(planes=3, spacing=0.0015))
        assert offsets == pytest.approx((2.0, 3.5, 5.0))

    def test_single_one_is_the_origin(self):
        assert focal_plane_offsets(make_full_image()) == (2.0,)

    def test_offsets_of_sparse_frames_are_their_own_from_the_slide_upwards(self):
        image = make_sparse_image(place(1, 1, z=4.5), place(1, 4, z=-1.0), place(3, 1, z=4.5))
        assert focal_plane_offsets(image) == (-1.0, 4.5)

    @pytest.mark.parametrize("count", [0, 10])
    def test_number_must_be_possible(self, count):
        image = make_full_image()
        image.TotalPixelMatrixFocalPlanes = count
        with pytest.raises(InvalidImageError, match=r"1\.2\.3.*Total Pixel Matrix Focal Planes"):
            focal_plane_offsets(image)


class TestSparsePositions:
    def test_attributes_count_from_one(self):
        found = read_frame_positions(make_sparse_image(place(3, 7), place(1, 1), place(2, 5)))
        assert found.pixels.tolist() == [[2, 6], [0, 0], [1, 4]]

    def test_slide_position_is_in_millimetres(self):
        found = read_slide_positions(make_sparse_image(place(1, 1, x=10.5, y=20.25, z=1500.0)))
        np.testing.assert_allclose(found, [[10.5, 20.25, 1.5]])

    def test_slide_position_need_not_be_stated(self):
        assert read_slide_positions(make_full_image()) is None

    def test_focal_planes_are_numbered_from_the_slide_upwards(self):
        found = read_frame_positions(
            make_sparse_image(place(1, 1, z=3.0), place(1, 1, z=0.0), place(1, 1, z=1.5))
        )
        assert found.offsets == (0.0, 1.5, 3.0)
        assert found.focal_planes.tolist() == [2, 0, 1]

    def test_single_focal_plane_may_follow_the_tissue(self):
        """Scanners that focus each tile state its own height."""
        image = make_sparse_image(place(1, 1, z=3.0), place(1, 4, z=3.5))
        image.TotalPixelMatrixFocalPlanes = 1
        assert read_frame_positions(image).focal_planes.tolist() == [0, 0]
        assert read_slide_positions(image)[:, 2].tolist() == [0.003, 0.0035]
        assert len(focal_plane_offsets(image)) == 1

    def test_optical_path_of_a_frame_is_found_by_its_identifier(self):
        frames = [place(1, 1), place(1, 4), place(3, 1)]
        for frame, letter in zip(frames, "BAB", strict=True):
            path = make_item(OpticalPathIdentifier=letter)
            frame.OpticalPathIdentificationSequence = [path]
        paths = [make_item(OpticalPathIdentifier=letter) for letter in "AB"]
        image = make_sparse_image(*frames, OpticalPathSequence=paths)
        assert read_frame_positions(image).channels.tolist() == [1, 0, 1]

    def test_optical_path_may_be_shared_by_all_frames(self):
        path = make_item(OpticalPathIdentifier="B")
        paths = [make_item(OpticalPathIdentifier=letter) for letter in "AB"]
        shared = make_item(OpticalPathIdentificationSequence=[path])
        image = make_sparse_image(
            place(1, 1),
            place(1, 4),
            OpticalPathSequence=paths,
            SharedFunctionalGroupsSequence=[shared],
        )
        assert read_frame_positions(image).channels.tolist() == [1, 1]

    def test_segment_of_a_frame_is_found_by_its_number(self):
        frames = [place(1, 1), place(1, 4)]
        for frame, number in zip(frames, (7, 5), strict=True):
            segment = make_item(ReferencedSegmentNumber=number)
            frame.SegmentIdentificationSequence = [segment]
        segments = [make_item(SegmentNumber=number) for number in (5, 7)]
        image = make_sparse_image(
            *frames, SOPClassUID=SegmentationStorage, SegmentSequence=segments
        )
        assert read_frame_positions(image).channels.tolist() == [1, 0]

    def test_parameter_of_a_frame_is_found_by_its_label(self):
        frames = [place(1, 1), place(1, 4), place(3, 1)]
        for frame, label in zip(frames, "QPQ", strict=True):
            frame.RealWorldValueMappingSequence = [make_item(LUTLabel=label)]
        image = make_sparse_image(*frames, SOPClassUID=ParametricMapStorage)
        assert read_frame_positions(image).channels.tolist() == [0, 1, 0]


class TestEncodedPositions:
    """An image that was read from a file has the same positions as the data set that was written.

    The frames of a large image are read together where their functional groups are alike.
    """

    @pytest.fixture(params=["implicit", "explicit", "delimited", "delimited inside"])
    def read_back(self, request):
        def write_and_read(image: Dataset) -> Dataset:
            if request.param.startswith("delimited"):
                delimit(image)
            if request.param == "delimited inside":
                image["PerFrameFunctionalGroupsSequence"].is_undefined_length = False
            buffer = io.BytesIO()
            implicit = request.param == "implicit"
            pydicom.dcmwrite(buffer, image, implicit_vr=implicit, little_endian=True)
            buffer.seek(0)
            return pydicom.dcmread(buffer, force=True)

        return write_and_read

    @pytest.fixture
    def frames(self):
        """Two optical paths on two focal planes; numbers of different lengths."""
        frames = []
        for index, (row, column) in enumerate([(1, 1), (1, 4), (3, 1), (3, 7), (-1, -2)]):
            frame = place(row, column, x=10 + index / 8, y=-20.5, z=0.5 + index % 2)
            path = make_item(OpticalPathIdentifier="AB"[index // 2 % 2])
            frame.OpticalPathIdentificationSequence = [path]
            frames.append(frame)
        return frames

    paths = staticmethod(lambda: [make_item(OpticalPathIdentifier=letter) for letter in "AB"])

    def check(self, image: Dataset) -> None:
        found = read_frame_positions(image)
        assert found.pixels.tolist() == [[0, 0], [0, 3], [2, 0], [2, 6], [-2, -3]]
        assert found.focal_planes.tolist() == [0, 1, 0, 1, 0]
        assert found.offsets == (0.5, 1.5)
        assert found.channels.tolist() == [0, 0, 1, 1, 0]
        x, y, z = read_slide_positions(image).T
        assert x.tolist() == [10, 10.125, 10.25, 10.375, 10.5]
        assert y.tolist() == [-20.5] * 5
        np.testing.assert_allclose(z, [0.0005, 0.0015, 0.0005, 0.0015, 0.0005])

    def test_positions_of_frames_that_are_alike_are_those_that_are_parsed(self, read_back, frames):
        self.check(read_back(make_sparse_image(*frames, OpticalPathSequence=self.paths())))

    def test_frame_with_an_element_of_its_own_has_its_position(self, read_back, frames):
        frames[2].PlanePositionSlideSequence[0].ImageComments = "out of focus"
        self.check(read_back(make_sparse_image(*frames, OpticalPathSequence=self.paths())))

    def test_frame_with_two_items_in_a_sequence_has_its_position(self, read_back, frames):
        item = make_item(OpticalPathIdentifier="A")
        frames[0].OpticalPathIdentificationSequence.append(item)
        self.check(read_back(make_sparse_image(*frames, OpticalPathSequence=self.paths())))

    def test_text_that_looks_like_the_start_of_an_item_is_none(self, read_back, frames):
        for frame in frames:
            frame.add_new(0x00111010, "OB", b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\x00\xe0" * 2)
        self.check(read_back(make_sparse_image(*frames, OpticalPathSequence=self.paths())))


def delimit(dataset: Dataset) -> None:
    """Have all sequences and items end with a delimiter instead of stating their length."""
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                delimit(item)


class TestSparseErrors:
    def test_frame_without_position_is_named(self):
        image = make_sparse_image(place(1, 1), Dataset())
        with pytest.raises(InvalidImageError, match=r"1\.2\.3.*frame 2.*Plane Position"):
            read_frame_positions(image)

    def test_position_without_row_is_named(self):
        frame = place(1, 1)
        del frame.PlanePositionSlideSequence[0].RowPositionInTotalImagePixelMatrix
        with pytest.raises(InvalidImageError, match=r"1\.2\.3.*frame 1"):
            read_frame_positions(make_sparse_image(frame))

    def test_slide_position_must_be_finite(self):
        with pytest.raises(InvalidImageError, match=r"1\.2\.3.*position on the slide"):
            read_slide_positions(make_sparse_image(place(1, 1, x=math.nan)))

    def test_height_must_be_finite(self):
        with pytest.raises(InvalidImageError, match=r"1\.2\.3.*Z offset"):
            read_frame_positions(make_sparse_image(place(1, 1, z=math.nan)))

    def test_every_frame_needs_its_functional_groups(self):
        image = make_sparse_image(place(1, 1))
        image.NumberOfFrames = 2
        with pytest.raises(InvalidImageError, match=r"1\.2\.3.* 1 items .* 2 frames"):
            read_frame_positions(image)

    def test_channel_that_is_not_described_is_named(self):
        frame = place(1, 1)
        frame.OpticalPathIdentificationSequence = [make_item(OpticalPathIdentifier="C")]
        paths = [make_item(OpticalPathIdentifier=letter) for letter in "AB"]
        with pytest.raises(InvalidImageError, match=r"1\.2\.3.*frame 1.*'C'.*'A', 'B'"):
            read_frame_positions(make_sparse_image(frame, OpticalPathSequence=paths))
