"""The documented class TiledImage, on images whose pixels and positions are known."""

import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import highdicom as hd
import numpy as np
import pytest
from dicomweb_client.api import DICOMfileClient
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    ExplicitVRLittleEndian,
    SegmentationStorage,
    VLWholeSlideMicroscopyImageStorage,
)

import dicomslide.image
from dicomslide import ChannelTypes, TiledImage, TotalPixelMatrix
from dicomslide.errors import InvalidImageError
from dicomslide.sources.files import open_image_file
from dicomslide.stores.files import FileStore
from dicomslide.testing import (
    ORIENTATIONS,
    OpticalPath,
    make_wide_gamut_profile,
    orientation_from_angle,
)

WHITE = 255
# Rows of 0.002 mm distance, columns of 0.001 mm; the first pixel lies at (12, 30) mm
SPACING, ORIGIN = (0.002, 0.001), (12.0, 30.0)
PATHS = (
    OpticalPath("A", "nuclei", 385.0, "DAPI"),
    OpticalPath("7", "fibres", 475.0, "FITC"),
)
# What turns the matrix of each orientation upright: columns to +X, rows to -Y
UPRIGHT = {
    (1, 0, 0, 0, -1, 0): lambda pixels: pixels,
    (0, 1, 0, 1, 0, 0): lambda pixels: np.rot90(pixels, 1),
    (-1, 0, 0, 0, 1, 0): lambda pixels: np.rot90(pixels, 2),
    (0, -1, 0, -1, 0, 0): lambda pixels: np.rot90(pixels, 3),
    (1, 0, 0, 0, 1, 0): np.flipud,
    (0, 1, 0, -1, 0, 0): lambda pixels: np.rot90(pixels.swapaxes(0, 1), 2),
    (-1, 0, 0, 0, -1, 0): np.fliplr,
    (0, -1, 0, 1, 0, 0): lambda pixels: pixels.swapaxes(0, 1),
}
ROTATIONS = {
    (1, 0, 0, 0, -1, 0): 0,
    (0, 1, 0, 1, 0, 0): 90,
    (-1, 0, 0, 0, 1, 0): 180,
    (0, -1, 0, -1, 0, 0): -90,
}


@pytest.fixture(scope="session")
def open_image(make_slide, open_counted):
    """Writes a small slide and opens its first level."""

    def open_first(orientation=ORIENTATIONS[0], **options) -> TiledImage:
        slide = make_slide(orientation=orientation, origin=ORIGIN, pixel_spacing=SPACING, **options)
        return TiledImage(*open_counted(slide.paths[0]))

    return open_first


@pytest.fixture(scope="module")
def image(open_image):
    return open_image()


@pytest.fixture(scope="module")
def thick(make_slide, open_counted):
    """Two optical paths on three focal planes, 1.5 micrometres apart, and the level they show."""
    slide = make_slide(optical_paths=PATHS, focal_planes=3, focal_plane_spacing=1.5, samples=1)
    return TiledImage(*open_counted(slide.paths[0])), slide.levels[0]


@pytest.fixture(scope="module")
def derived(make_slide):
    """A slide with a segmentation and a parametric map."""
    return make_slide(segmentations=("BINARY",), parametric_maps=("float",))


def test_image_is_imported_from_its_documented_place():
    assert dicomslide.image.TiledImage is TiledImage


class TestConstruction:
    def test_making_an_image_reads_no_frame(self, make_slide, open_counted):
        client, metadata = open_counted(make_slide(optical_paths=2, focal_planes=2).paths[0])
        image = TiledImage(client, metadata)
        assert repr(image)
        assert image.channels
        assert image.get_total_pixel_matrix(1, 1).shape
        assert client.requests == []

    @pytest.mark.parametrize("keyword", ["TotalPixelMatrixRows", "TotalPixelMatrixColumns"])
    def test_image_must_be_tiled(self, make_slide, open_counted, keyword):
        client, metadata = open_counted(make_slide().paths[0])
        delattr(metadata, keyword)
        with pytest.raises(ValueError, match=rf"{metadata.SOPInstanceUID} is not a tiled image"):
            TiledImage(client, metadata)

    @pytest.mark.parametrize("keyword", ["SOPInstanceUID", "TotalPixelMatrixFocalPlanes"])
    def test_damaged_value_is_named(self, make_slide, open_counted, keyword):
        """pydicom converts a value when it is asked for: three bytes are no number."""
        client, metadata = open_counted(make_slide().paths[0])
        tag = Tag(keyword)
        metadata[tag] = RawDataElement(tag, "UL", 3, b"abc", 0, False, True)
        with pytest.raises(InvalidImageError, match="damaged"):
            TiledImage(client, metadata).get_total_pixel_matrix(0, 0)

    def test_damaged_frame_of_reference_is_named(self, make_slide, open_counted):
        client, metadata = open_counted(make_slide().paths[0])
        tag = Tag("FrameOfReferenceUID")
        metadata[tag] = RawDataElement(tag, "UL", 3, b"abc", 0, False, True)
        image = TiledImage(client, metadata)
        with pytest.raises(InvalidImageError, match="damaged"):
            _ = image.frame_of_reference_uid

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("client", None),
            ("client", "client"),
            ("image_metadata", None),
            ("image_metadata", {}),
            ("max_frame_cache_size", None),
            ("max_frame_cache_size", 1.5),
        ],
    )
    def test_wrong_type_is_named(self, make_slide, open_counted, name, value):
        client, metadata = open_counted(make_slide().paths[0])
        with pytest.raises(TypeError, match=name):
            TiledImage(**{"client": client, "image_metadata": metadata, name: value})

    def test_cache_size_must_not_be_negative(self, make_slide, open_counted):
        with pytest.raises(ValueError, match="max_frame_cache_size"):
            TiledImage(*open_counted(make_slide().paths[0]), max_frame_cache_size=-1)


class TestProperties:
    def test_metadata_are_those_given(self, make_slide, open_counted):
        client, metadata = open_counted(make_slide().paths[0])
        assert TiledImage(client, metadata).metadata is metadata

    def test_frame_of_reference_is_that_of_the_metadata(self, image):
        assert image.frame_of_reference_uid == image.metadata.FrameOfReferenceUID

    def test_transfer_syntax_is_that_of_the_file(self, image):
        assert image.transfer_syntax_uid == ExplicitVRLittleEndian

    def test_label_names_the_file(self, image):
        assert image.label == "image level-0.dcm"

    def test_size_is_rows_and_columns(self, image):
        assert image.size == (70, 90)

    def test_physical_offset_is_the_centre_of_the_first_pixel(self, image):
        assert image.physical_offset == ORIGIN

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_physical_size_is_along_x_and_y(self, open_image, orientation):
        """70 rows of 0.002 mm and 90 columns of 0.001 mm."""
        expected = (0.09, 0.14) if orientation[0] else (0.14, 0.09)
        assert open_image(orientation).physical_size == pytest.approx(expected)

    def test_physical_size_of_an_oblique_image_is_that_of_the_rectangle_around_it(self, open_image):
        sine = cosine = math.sqrt(0.5)
        expected = 0.09 * cosine + 0.14 * sine
        image = open_image(orientation_from_angle(45))
        assert image.physical_size == pytest.approx((expected, expected))

    def test_representation_names_size_channels_and_uid(self, image):
        assert repr(image) == (
            "<TiledImage 70 x 90, 1 OPTICAL_PATH x 1 focal plane, "
            f"ORIGINAL/PRIMARY/VOLUME/NONE, {image.metadata.SOPInstanceUID}>"
        )

    def test_images_of_one_instance_are_equal(self, make_slide, open_counted):
        first, second = (TiledImage(*open_counted(make_slide().paths[0])) for _ in range(2))
        other = TiledImage(*open_counted(make_slide(samples=1).paths[0]))
        assert first == second
        assert hash(first) == hash(second)
        assert first != other
        assert first != "image"


class TestChannels:
    def test_optical_paths_are_channels(self, thick):
        image, _ = thick
        assert image.channel_type is ChannelTypes.OPTICAL_PATH
        assert image.num_channels == 2
        assert [channel.label for channel in image.channels] == ["nuclei", "fibres"]
        assert [image.get_channel_identifier(i) for i in range(2)] == ["A", "7"]
        assert [image.get_channel_index(identifier) for identifier in ("A", "7")] == [0, 1]

    def test_segments_are_channels(self, derived, open_counted):
        image = TiledImage(*open_counted(derived.segmentations[0].paths[0]))
        assert image.channel_type is ChannelTypes.SEGMENT
        assert image.num_channels == 3
        assert [image.get_channel_identifier(i) for i in range(3)] == ["1", "2", "3"]
        assert [image.get_channel_index(str(i)) for i in (1, 2, 3)] == [0, 1, 2]

    def test_parameters_are_channels(self, derived, open_counted):
        image = TiledImage(*open_counted(derived.parametric_maps[0].paths[0]))
        assert image.channel_type is ChannelTypes.PARAMETER
        assert image.num_channels == 2
        identifiers = [image.get_channel_identifier(i) for i in range(2)]
        assert identifiers == ["HAEMATOXYLIN", "EOSIN"]
        assert [image.get_channel_index(identifier) for identifier in identifiers] == [0, 1]

    @pytest.mark.parametrize("index", [2, -1])
    def test_channel_of_an_index_must_exist(self, thick, index):
        with pytest.raises(ValueError, match=f"channel_index: there is no {index}"):
            thick[0].get_channel_identifier(index)

    @pytest.mark.parametrize("index", ["0", 0.0, None])
    def test_index_of_a_channel_must_be_an_integer(self, thick, index):
        with pytest.raises(TypeError, match="channel_index"):
            thick[0].get_channel_identifier(index)

    @pytest.mark.parametrize("identifier", ["B", "", "a"])
    def test_channel_of_an_identifier_must_exist(self, thick, identifier):
        with pytest.raises(ValueError, match=f"channel_identifier: there is no '{identifier}'"):
            thick[0].get_channel_index(identifier)


class TestFocalPlanes:
    """Offsets are in micrometres, from the slide towards the coverslip."""

    def test_focal_planes_have_offsets_in_micrometres(self, thick):
        image, _ = thick
        assert image.num_focal_planes == 3
        assert [image.get_focal_plane_offset(i) for i in range(3)] == pytest.approx([0, 1.5, 3])
        assert [image.get_focal_plane_index(offset) for offset in (0, 1.5, 3.0)] == [0, 1, 2]

    @pytest.mark.parametrize("offset", [-1.5, 0.75, 1.4, 4.5, 0.0015])
    def test_plane_of_an_offset_must_exist(self, thick, offset):
        with pytest.raises(ValueError, match="focal_plane_offset: there is no focal plane"):
            thick[0].get_focal_plane_index(offset)

    @pytest.mark.parametrize("index", [3, -1])
    def test_plane_of_an_index_must_exist(self, thick, index):
        with pytest.raises(ValueError, match=f"focal_plane_index: there is no {index}"):
            thick[0].get_focal_plane_offset(index)

    def test_offset_must_be_a_number(self, thick):
        with pytest.raises(TypeError, match="focal_plane_offset"):
            thick[0].get_focal_plane_index("0")

    def test_index_must_be_an_integer(self, thick):
        with pytest.raises(TypeError, match="focal_plane_index"):
            thick[0].get_focal_plane_offset(0.0)


class TestReferences:
    def test_segmentation_references_its_source_image(self, derived, open_counted):
        image = TiledImage(*open_counted(derived.segmentations[0].paths[0]))
        _, source = open_counted(derived.levels[0].paths[0])
        expected = (source.StudyInstanceUID, source.SeriesInstanceUID, source.SOPInstanceUID)
        assert image.get_references() == [expected]
        assert image.get_references(VLWholeSlideMicroscopyImageStorage) == [expected]
        assert image.get_references(sop_class_uid=SegmentationStorage) == []

    def test_image_may_have_no_references(self, image):
        assert image.get_references() == []

    def test_references_to_other_studies_are_found(self, make_slide, open_counted):
        client, metadata = open_counted(make_slide().paths[0])
        study = Dataset()
        study.StudyInstanceUID = "1.2.3"
        study.ReferencedSeriesSequence = [
            make_reference("1.2.3.4", "1.2.3.4.5", "1.2.3.4.6"),
            make_reference("1.2.3.7", "1.2.3.7.8"),
        ]
        metadata.StudiesContainingOtherReferencedInstancesSequence = [study]
        metadata.ReferencedSeriesSequence = [make_reference("1.2.9", "1.2.9.1")]
        assert TiledImage(client, metadata).get_references() == [
            (metadata.StudyInstanceUID, "1.2.9", "1.2.9.1"),
            ("1.2.3", "1.2.3.4", "1.2.3.4.5"),
            ("1.2.3", "1.2.3.4", "1.2.3.4.6"),
            ("1.2.3", "1.2.3.7", "1.2.3.7.8"),
        ]


def make_reference(series: str, *instances: str) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = series
    item.ReferencedInstanceSequence = []
    for uid in instances:
        reference = Dataset()
        reference.ReferencedSOPClassUID = SegmentationStorage
        reference.ReferencedSOPInstanceUID = uid
        item.ReferencedInstanceSequence.append(reference)
    return item


class TestRotation:
    @pytest.mark.parametrize(("orientation", "degrees"), ROTATIONS.items())
    def test_rotation_of_aligned_images_is_a_right_angle(self, open_image, orientation, degrees):
        assert open_image(orientation).get_rotation() == degrees

    @pytest.mark.parametrize("degrees", [-135, -30, 17, 120.5])
    def test_rotation_of_oblique_images_is_their_angle(self, open_image, degrees):
        image = open_image(orientation_from_angle(degrees))
        assert image.get_rotation() == pytest.approx(degrees)

    @pytest.mark.parametrize(("orientation", "degrees"), ROTATIONS.items())
    def test_rotation_turns_the_image_upright(self, open_image, orientation, degrees):
        """The angle is counterclockwise, as that of numpy.rot90."""
        image = open_image(orientation)
        turned = np.rot90(image.get_total_pixel_matrix()[...], degrees // 90)
        np.testing.assert_array_equal(turned, whole_slide_region(image))


def whole_slide_region(image: TiledImage, channel: int = 0, focal_plane: int = 0) -> np.ndarray:
    """The region of the slide that the pixels of the image cover."""
    low, _ = image.geometry.bounds(image.size)
    return image.get_slide_region(low, image.physical_size, channel, focal_plane)


any_orientation = st.sampled_from(ORIENTATIONS) | st.builds(
    orientation_from_angle, st.integers(-179, 180), st.booleans()
)
anywhere = st.lists(
    st.tuples(st.integers(-500, 500), st.integers(-500, 500)), min_size=1, max_size=4
)


class TestMapping:
    @given(orientation=any_orientation, indices=anywhere)
    def test_pixels_map_to_the_slide_as_highdicom_maps_them(
        self, open_turned, orientation, indices
    ):
        turned = open_turned(orientation)
        expected = hd.spatial.PixelToReferenceTransformer((*ORIGIN, 0.0), orientation, SPACING)(
            np.flip(indices, axis=1)
        )
        found = turned.map_pixel_indices_to_slide_coordinates(np.array(indices))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
        assert turned.get_slide_offset(indices[0]) == pytest.approx(tuple(expected[0][:2]))

    @given(orientation=any_orientation, indices=anywhere)
    def test_slide_maps_back_to_the_pixels(self, open_turned, orientation, indices):
        turned = open_turned(orientation)
        points = hd.spatial.PixelToReferenceTransformer((*ORIGIN, 0.0), orientation, SPACING)(
            np.flip(indices, axis=1)
        )
        found = turned.map_slide_coordinates_to_pixel_indices(points)
        np.testing.assert_array_equal(found, indices)
        assert np.issubdtype(found.dtype, np.integer)
        assert turned.get_pixel_indices(tuple(points[0][:2])) == indices[0]

    @given(
        orientation=any_orientation,
        fractions=st.tuples(*[st.floats(-0.49, 0.49)] * 2),
        index=st.tuples(*[st.integers(-500, 500)] * 2),
    )
    def test_nearest_pixel_is_found(self, open_turned, orientation, fractions, index):
        row, column = (i + f for i, f in zip(index, fractions, strict=True))
        x, y = (
            ORIGIN[axis]
            + column * SPACING[1] * orientation[axis]
            + row * SPACING[0] * orientation[3 + axis]
            for axis in range(2)
        )
        assert open_turned(orientation).get_pixel_indices((x, y)) == index

    def test_ties_go_to_the_even_index(self, image):
        """Columns are 0.001 mm apart along +X, rows 0.002 mm along -Y."""
        x, y = ORIGIN
        ties = [image.get_pixel_indices((x + 0.001 * (i + 0.5), y)) for i in range(4)]
        assert ties == [(0, 0), (0, 2), (0, 2), (0, 4)]
        assert image.get_pixel_indices((x, y - 0.002 * 1.5)) == (2, 0)
        assert image.get_pixel_indices((x - 0.001 * 1.5, y)) == (0, -2)

    def test_pixels_may_lie_outside_the_matrix(self, image):
        assert image.get_pixel_indices((ORIGIN[0] - 1, ORIGIN[1] - 1)) == (500, -1000)

    def test_z_of_a_point_does_not_matter(self, image):
        points = [(*ORIGIN, z) for z in (-1.0, 0.0, 0.002)]
        assert image.map_slide_coordinates_to_pixel_indices(points).tolist() == [[0, 0]] * 3

    def test_mapped_arrays_have_the_shape_of_their_points(self, image):
        assert image.map_pixel_indices_to_slide_coordinates(np.zeros((5, 2))).shape == (5, 3)
        assert image.map_slide_coordinates_to_pixel_indices(np.zeros((5, 3))).shape == (5, 2)
        assert image.map_pixel_indices_to_slide_coordinates(np.zeros((0, 2))).shape == (0, 3)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("pixel_indices", np.zeros(2)),
            ("pixel_indices", np.zeros((5, 3))),
            ("slide_coordinates", np.zeros(3)),
            ("slide_coordinates", np.zeros((5, 2))),
            ("slide_coordinates", np.zeros((1, 5, 3))),
        ],
        ids=lambda value: str(getattr(value, "shape", value)),
    )
    def test_other_shapes_are_refused(self, image, name, value):
        method = {
            "pixel_indices": image.map_pixel_indices_to_slide_coordinates,
            "slide_coordinates": image.map_slide_coordinates_to_pixel_indices,
        }[name]
        with pytest.raises(ValueError, match=f"{name}: expected shape"):
            method(value)

    @pytest.mark.parametrize(
        ("method", "name"),
        [
            ("map_pixel_indices_to_slide_coordinates", "pixel_indices"),
            ("map_slide_coordinates_to_pixel_indices", "slide_coordinates"),
            ("get_slide_offset", "pixel_indices"),
            ("get_pixel_indices", "offset"),
        ],
    )
    @pytest.mark.parametrize("value", ["ab", object()], ids=["text", "object"])
    def test_mapping_needs_numbers(self, image, method, name, value):
        with pytest.raises(TypeError, match=name):
            getattr(image, method)(value)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_coordinates_must_be_finite(self, image, value):
        with pytest.raises(ValueError, match="offset"):
            image.get_pixel_indices((value, 0.0))
        with pytest.raises(ValueError, match="pixel_indices"):
            image.get_slide_offset((value, 0.0))
        with pytest.raises(ValueError, match="slide_coordinates"):
            image.map_slide_coordinates_to_pixel_indices([(value, 0.0, 0.0)])
        with pytest.raises(ValueError, match="pixel_indices"):
            image.map_pixel_indices_to_slide_coordinates([(value, 0.0)])


@pytest.fixture(scope="session")
def open_turned(make_slide, open_counted):
    """Opens one image as if it lay on the slide in another direction."""
    slide = make_slide(orientation=ORIENTATIONS[0], origin=ORIGIN, pixel_spacing=SPACING)
    client, metadata = open_counted(slide.paths[0])

    def open_as(orientation) -> TiledImage:
        turned = deepcopy(metadata)
        turned.ImageOrientationSlide = list(orientation)
        return TiledImage(client, turned)

    return open_as


class TestImageWithoutPlace:
    """A LABEL image, for instance, need not say where on the slide it lies."""

    @pytest.fixture(scope="class")
    @classmethod
    def placeless(cls, make_slide, open_counted):
        client, metadata = open_counted(make_slide().paths[0])
        del metadata.TotalPixelMatrixOriginSequence
        return TiledImage(client, metadata)

    @pytest.mark.parametrize(
        "ask",
        [
            lambda image: image.geometry,
            lambda image: image.physical_offset,
            lambda image: image.physical_size,
            lambda image: image.get_rotation(),
            lambda image: image.get_slide_offset((0, 0)),
            lambda image: image.get_pixel_indices((0.0, 0.0)),
            lambda image: image.map_pixel_indices_to_slide_coordinates([(0, 0)]),
            lambda image: image.map_slide_coordinates_to_pixel_indices([(0, 0, 0)]),
            lambda image: image.get_slide_region((0.0, 0.0), (1.0, 1.0)),
        ],
    )
    def test_image_without_place_is_named_where_one_is_needed(self, placeless, ask):
        with pytest.raises(
            ValueError, match=rf"{placeless.metadata.SOPInstanceUID} has no position"
        ):
            ask(placeless)

    def test_pixels_of_an_image_without_place_can_be_read(self, placeless, image):
        assert placeless.size == (70, 90)
        np.testing.assert_array_equal(
            placeless.get_image_region((3, 5), (20, 20)), image.get_image_region((3, 5), (20, 20))
        )


class TestTotalPixelMatrix:
    def test_each_channel_and_focal_plane_has_its_matrix(self, thick):
        image, level = thick
        for channel in range(2):
            for plane in range(3):
                matrix = image.get_total_pixel_matrix(channel, plane)
                assert isinstance(matrix, TotalPixelMatrix)
                np.testing.assert_array_equal(matrix[...], level.pixels(channel, plane))

    def test_first_channel_and_focal_plane_are_the_default(self, thick):
        image, _ = thick
        assert image.get_total_pixel_matrix() == image.get_total_pixel_matrix(
            channel_index=0, focal_plane_index=0
        )

    @pytest.mark.parametrize(
        ("name", "index"),
        [
            ("channel_index", 2),
            ("channel_index", -1),
            ("focal_plane_index", 3),
            ("focal_plane_index", -1),
        ],
    )
    def test_channel_and_focal_plane_must_exist(self, thick, name, index):
        image, _ = thick
        for read in (
            lambda **options: image.get_total_pixel_matrix(**options),
            lambda **options: image.get_image_region((0, 0), (1, 1), **options),
            lambda **options: image.get_slide_region((0.0, 0.0), (1.0, 1.0), **options),
        ):
            with pytest.raises(ValueError, match=f"{name}: there is no {index}"):
                read(**{name: index})

    def test_colors_are_corrected_unless_told_otherwise(self, make_slide, open_counted):
        slide = make_slide(icc_profile=make_wide_gamut_profile())
        opened = open_counted(slide.paths[0])
        corrected = TotalPixelMatrix(*opened, correct_color=True)[...]
        stored = slide.levels[0].pixels()
        assert (corrected != stored).any()
        image = TiledImage(*opened)
        np.testing.assert_array_equal(image.get_image_region((0, 0), (70, 90)), corrected)
        image = TiledImage(*opened, correct_color=False)
        np.testing.assert_array_equal(image.get_image_region((0, 0), (70, 90)), stored)


class TestImageRegion:
    @given(
        offset=st.tuples(st.integers(-100, 100), st.integers(-120, 120)),
        size=st.tuples(st.integers(0, 150), st.integers(0, 150)),
        channel=st.integers(0, 1),
        plane=st.integers(0, 2),
    )
    def test_region_may_lie_anywhere(self, thick, take_region, offset, size, channel, plane):
        image, level = thick
        np.testing.assert_array_equal(
            image.get_image_region(offset, size, channel, plane),
            take_region(level.pixels(channel, plane), offset, size, background=0),
        )

    def test_outside_a_color_image_is_white(self, image):
        region = image.get_image_region((-4, -4), (6, 6))
        assert (region[:4] == WHITE).all()
        assert (region[:, :4] == WHITE).all()

    def test_region_has_samples(self, image, thick):
        assert image.get_image_region((0, 0), (2, 3)).shape == (2, 3, 3)
        assert thick[0].get_image_region((0, 0), (2, 3)).shape == (2, 3, 1)

    @pytest.mark.parametrize("size", [(-1, 5), (5, -1)])
    def test_size_must_not_be_negative(self, image, size):
        with pytest.raises(ValueError, match="size"):
            image.get_image_region((0, 0), size)

    @pytest.mark.parametrize("name", ["offset", "size"])
    @pytest.mark.parametrize("value", [1, None, "ab", (0.5, 1), (True, 1)])
    def test_offset_and_size_must_be_two_integers(self, image, name, value):
        with pytest.raises(TypeError, match=name):
            image.get_image_region(**{"offset": (0, 0), "size": (1, 1), name: value})

    @pytest.mark.parametrize("name", ["offset", "size"])
    def test_offset_and_size_have_two_values(self, image, name):
        with pytest.raises(ValueError, match=name):
            image.get_image_region(**{"offset": (0, 0), "size": (1, 1), name: (1, 2, 3)})


class TestSlideRegion:
    @given(
        orientation=st.sampled_from(ORIENTATIONS),
        first=st.tuples(st.integers(-20, 80), st.integers(-20, 100)),
        size=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    )
    def test_region_of_an_aligned_image_is_turned_exactly(
        self, image, open_turned, take_region, orientation, first, size
    ):
        """The region goes from the outer edges of one pixel to those of another one."""
        pixels = image.get_total_pixel_matrix()[...]
        last = (first[0] + size[0], first[1] + size[1])
        # Image coordinates count from the corner of the top left pixel
        corners = hd.spatial.ImageToReferenceTransformer((*ORIGIN, 0.0), orientation, SPACING)(
            np.flip([first, last], axis=1).astype(float)
        )[:, :2]
        low, high = corners.min(axis=0), corners.max(axis=0)
        found = open_turned(orientation).get_slide_region(tuple(low), tuple(high - low))
        expected = UPRIGHT[orientation](take_region(pixels, first, size, WHITE))
        np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_outside_the_image_is_background(self, open_turned, orientation):
        region = open_turned(orientation).get_slide_region((5.0, 5.0), (0.02, 0.04))
        assert region.shape == ((20, 20, 3) if orientation[0] else (40, 10, 3))
        assert (region == WHITE).all()

    @pytest.mark.parametrize("degrees", [-150, -45, 3, 30, 101])
    @pytest.mark.parametrize("mirrored", [False, True])
    def test_region_of_an_oblique_image_is_interpolated(
        self, make_slide, open_counted, degrees, mirrored
    ):
        orientation = orientation_from_angle(degrees, mirrored)
        slide = make_slide(orientation=orientation, origin=ORIGIN, pixel_spacing=0.001)
        image = TiledImage(*open_counted(slide.paths[0]))
        center = np.array(image.get_slide_offset((35, 45)))
        found = image.get_slide_region(tuple(center - (0.03, 0.04)), (0.06, 0.08))
        assert found.shape == (80, 60, 3)
        x = center[0] - 0.03 + 0.001 * np.arange(60)
        y = center[1] + 0.039 - 0.001 * np.arange(80)
        points = np.stack([*np.meshgrid(x, y), np.zeros((80, 60))], axis=-1).reshape(-1, 3)
        transformer = hd.spatial.ReferenceToPixelTransformer(
            (*ORIGIN, 0.0), orientation, (0.001, 0.001), round_output=False
        )
        places = np.flip(transformer(points)[:, :2], axis=1)
        expected = interpolate(slide.levels[0].pixels(), places).reshape(80, 60, 3)
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.51)

    def test_each_channel_and_focal_plane_has_its_slide_region(self, thick):
        """The image is drawn downwards: its rows run along -Y."""
        image, level = thick
        for channel in range(2):
            for plane in range(3):
                found = whole_slide_region(image, channel, plane)
                expected = np.rot90(level.pixels(channel, plane), 3)
                np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize("size", [(-0.1, 0.1), (0.1, -0.1)])
    def test_size_must_not_be_negative(self, image, size):
        with pytest.raises(ValueError, match="size"):
            image.get_slide_region((0.0, 0.0), size)

    @pytest.mark.parametrize("name", ["offset", "size"])
    @pytest.mark.parametrize("value", [1.0, None, "ab", ("a", "b"), (None, 1.0)])
    def test_offset_and_size_must_be_two_numbers(self, image, name, value):
        with pytest.raises(TypeError, match=name):
            image.get_slide_region(**{"offset": (0.0, 0.0), "size": (0.1, 0.1), name: value})

    @pytest.mark.parametrize("name", ["offset", "size"])
    @pytest.mark.parametrize("value", [(math.nan, 0.0), (0.0, math.inf), (1.0, 2.0, 3.0)])
    def test_offset_and_size_must_be_two_finite_numbers(self, image, name, value):
        with pytest.raises(ValueError, match=name):
            image.get_slide_region(**{"offset": (0.0, 0.0), "size": (0.1, 0.1), name: value})


def interpolate(pixels: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Bilinear interpolation at fractional (row, column); white outside of the pixels."""
    margin = 100
    padded = np.pad(pixels.astype(float), [(margin,) * 2] * 2 + [(0, 0)], constant_values=WHITE)
    total = np.zeros((len(places), pixels.shape[2]))
    low = np.floor(places).astype(int)
    for down in (0, 1):
        for right in (0, 1):
            corner = low + np.array([down, right])
            weight = (1 - np.abs(places - corner)).prod(axis=1)
            total += weight[:, None] * padded[corner[:, 0] + margin, corner[:, 1] + margin]
    return total


class TestReading:
    def test_region_asks_once_for_the_frames_that_it_touches(self, make_slide, open_counted):
        """The image has 5 x 4 tiles of 16 x 24 pixels."""
        client, metadata = open_counted(make_slide().paths[0])
        TiledImage(client, metadata).get_image_region((15, 30), (2, 20))
        assert client.requests == [[1, 2, 5, 6]]

    def test_region_of_a_channel_and_focal_plane_reads_their_frames(self, make_slide, open_counted):
        """A plane has 20 frames, a channel has 2 planes."""
        client, metadata = open_counted(make_slide(optical_paths=2, focal_planes=2).paths[0])
        TiledImage(client, metadata).get_image_region(
            (0, 0), (16, 24), channel_index=1, focal_plane_index=1
        )
        assert client.requests == [[60]]

    def test_frames_are_kept_for_all_channels_together(self, make_slide, open_counted):
        client, metadata = open_counted(make_slide(optical_paths=2).paths[0])
        image = TiledImage(client, metadata, max_frame_cache_size=2)
        for channel in (0, 1, 0, 1):
            image.get_image_region((0, 0), (16, 24), channel)
        assert client.requests == [[0], [20]]
        image.get_image_region((0, 24), (16, 24))
        image.get_image_region((0, 0), (16, 24))
        assert client.requests == [[0], [20], [1], [0]]

    def test_six_frames_are_kept_by_default(self, make_slide, open_counted):
        client, metadata = open_counted(make_slide().paths[0])
        matrix = TiledImage(client, metadata).get_total_pixel_matrix()
        for index in (*range(6), 0, 6, 0, 1):
            matrix[index]
        assert client.requests == [[index] for index in (*range(7), 1)]

    def test_segments_of_a_label_map_share_their_frames(self, make_slide, open_counted):
        slide = make_slide(segmentations=("LABELMAP",))
        client, metadata = open_counted(slide.segmentations[0].paths[0])
        image = TiledImage(client, metadata)
        for segment in range(3):
            region = image.get_image_region((0, 0), (16, 24), segment)
            np.testing.assert_array_equal(
                region[..., 0], slide.segmentations[0].mask(0, segment + 1)[:16, :24]
            )
        assert client.requests == [[0]]

    def test_many_threads_may_read(self, thick):
        image, level = thick
        jobs = [(c, z, row) for row in range(0, 60, 10) for c in range(2) for z in range(3)] * 3

        def read(job):
            channel, plane, row = job
            return image.get_image_region((row, 10), (20, 60), channel, plane)

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(read, jobs))
        expected = {(c, z): level.pixels(c, z) for c in range(2) for z in range(3)}
        for (channel, plane, row), region in zip(jobs, found, strict=True):
            pixels = expected[channel, plane]
            np.testing.assert_array_equal(region, pixels[row : row + 20, 10:70])

    def test_file_client_is_used_in_other_threads(self, make_slide, tmp_path):
        slide = make_slide(optical_paths=2)
        client = DICOMfileClient(f"file://{slide.folder}", db_dir=tmp_path)
        metadata, _ = open_image_file(slide.paths[0])
        image = TiledImage(client, metadata)
        with ThreadPoolExecutor(4) as pool:
            regions = pool.map(lambda c: image.get_image_region((0, 0), (70, 90), c), [0, 1] * 4)
            for channel, region in zip([0, 1] * 4, regions, strict=True):
                np.testing.assert_array_equal(region, slide.levels[0].pixels(channel))

    def test_pickled_image_reads_the_same_pixels(self, make_slide):
        slide = make_slide(optical_paths=2)
        metadata, _ = open_image_file(slide.paths[0])
        image = TiledImage(FileStore(slide.paths[0]), metadata)
        image.get_image_region((0, 0), (70, 90))
        copy = pickle.loads(pickle.dumps(image))
        assert copy == image
        region = copy.get_image_region((0, 0), (70, 90), 1)
        np.testing.assert_array_equal(region, slide.levels[0].pixels(1))
