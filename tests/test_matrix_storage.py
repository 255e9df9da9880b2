"""Total pixel matrices of images that are stored in different ways."""

import io

import highdicom as hd
import numpy as np
import pydicom
import pytest
from PIL import Image, ImageCms

from dicomslide import TotalPixelMatrix
from dicomslide.testing import SegmentationOptions, make_wide_gamut_profile

WHITE = 255


class TestDataTypes:
    """Bits Allocated and Pixel Representation tell the type (PS3.3 C.7.6.3)."""

    @pytest.mark.parametrize(
        ("options", "dtype"),
        [
            ({"bits": 8}, np.uint8),
            ({"bits": 8, "samples": 1}, np.uint8),
            ({"bits": 8, "samples": 1, "signed": True}, np.int8),
            ({"bits": 16}, np.uint16),
            ({"bits": 12, "samples": 1}, np.uint16),
            ({"bits": 16, "samples": 1}, np.uint16),
            ({"bits": 16, "samples": 1, "signed": True}, np.int16),
            ({"bits": 32, "samples": 1}, np.uint32),
            ({"bits": 32, "samples": 1, "signed": True}, np.int32),
        ],
        ids=str,
    )
    def test_integers_of_any_type_are_as_painted(self, make_slide, open_counted, options, dtype):
        slide = make_slide(**options)
        matrix = TotalPixelMatrix(*open_counted(slide.paths[0]))
        assert matrix.dtype == dtype
        assert matrix[...].dtype == dtype
        assert matrix[0].dtype == dtype
        np.testing.assert_array_equal(matrix[...], slide.levels[0].pixels())

    @pytest.mark.parametrize(
        ("kind", "dtype"), [("float", np.float32), ("double", np.float64), ("integer", np.uint16)]
    )
    def test_parametric_maps_of_any_type_have_their_values(
        self, make_slide, open_counted, kind, dtype
    ):
        slide = make_slide(parametric_maps=(kind,))
        parametric_map = slide.parametric_maps[0]
        for channel in range(2):
            matrix = TotalPixelMatrix(*open_counted(parametric_map.paths[0]), channel)
            assert matrix.dtype == dtype
            assert matrix.shape == (70, 90, 1)
            np.testing.assert_array_equal(matrix[..., 0], parametric_map.stored(0, channel))

    @pytest.mark.parametrize(
        ("kind", "dtype"), [("BINARY", bool), ("FRACTIONAL", np.uint8), ("LABELMAP", bool)]
    )
    def test_segmentations_of_any_type_have_their_masks(
        self, make_slide, open_counted, kind, dtype
    ):
        slide = make_slide(segmentations=(kind,))
        segmentation = slide.segmentations[0]
        for channel in range(3):
            matrix = TotalPixelMatrix(*open_counted(segmentation.paths[0]), channel)
            assert matrix.dtype == dtype
            assert matrix.shape == (70, 90, 1)
            mask = segmentation.mask(0, channel + 1)
            assert mask.any()
            np.testing.assert_array_equal(matrix[..., 0], mask)
            assert not matrix.read_region((-2, -2), (2, 2)).any()


class TestAgreementWithHighdicom:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"samples": 1, "bits": 16, "signed": True},
            {"bits": 16, "planar_configuration": 1},
            {"organization": "TILED_SPARSE"},
            {"organization": "TILED_SPARSE", "sparse": "shuffled"},
        ],
        ids=str,
    )
    def test_slide_microscopy_images_agree_with_highdicom(self, make_slide, open_counted, options):
        path = make_slide(**options).paths[0]
        matrix = TotalPixelMatrix(*open_counted(path))
        expected = hd.imread(path).get_total_pixel_matrix(
            dtype=matrix.dtype, apply_modality_transform=False, apply_icc_profile=False
        )
        np.testing.assert_array_equal(matrix[...], expected.reshape(matrix.shape))

    @pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
    @pytest.mark.parametrize("organization", ["TILED_FULL", "TILED_SPARSE"])
    def test_segmentations_agree_with_highdicom(self, make_slide, open_counted, kind, organization):
        segmentation = SegmentationOptions(kind, organization=organization)
        path = make_slide(segmentations=(segmentation,)).segmentations[0].paths[0]
        opened = open_counted(path)
        expected = hd.seg.segread(path).get_total_pixel_matrix(rescale_fractional=False)
        for channel in range(3):
            matrix = TotalPixelMatrix(*opened, channel)
            np.testing.assert_array_equal(matrix[..., 0], expected[..., channel])


@pytest.fixture(scope="module")
def pixels(make_slide):
    return make_slide().levels[0].pixels()


@pytest.fixture(scope="module")
def frames(make_slide):
    """The stored frames, as pydicom decodes them."""
    return pydicom.dcmread(make_slide().paths[0]).pixel_array


class TestSparse:
    """Frames may be missing, in any order, off the grid, or over one another."""

    @pytest.mark.parametrize("organization", ["TILED_SPARSE", None])
    @pytest.mark.parametrize("sparse", ["complete", "gaps", "shuffled", "off-grid", "overlapping"])
    @pytest.mark.parametrize("samples", [1, 3])
    def test_pixels_are_those_of_the_frames(
        self, make_slide, open_counted, take_region, organization, sparse, samples
    ):
        slide = make_slide(
            organization=organization,
            sparse=sparse,
            samples=samples,
            optical_paths=2,
            focal_planes=2,
        )
        level = slide.levels[0]
        client, metadata = open_counted(slide.paths[0])
        background = WHITE if samples == 3 else 0
        for channel in range(2):
            for plane in range(2):
                expected = level.pixels(channel, plane)
                matrix = TotalPixelMatrix(client, metadata, channel, plane)
                np.testing.assert_array_equal(matrix[...], expected)
                assert (matrix[...][level.missing(channel, plane)] == background).all()
                region = matrix.read_region((5, -7), (60, 50))
                np.testing.assert_array_equal(
                    region, take_region(expected, (5, -7), (60, 50), background)
                )

    @pytest.fixture(scope="class")
    @classmethod
    def moved(cls, make_slide, open_counted):
        """Makes a sparse image whose first frames have been moved."""

        def move(*positions: tuple[int, int]):
            path = make_slide(organization="TILED_SPARSE").paths[0]
            client, metadata = open_counted(path)
            groups = metadata.PerFrameFunctionalGroupsSequence
            for group, (row, column) in zip(groups, positions, strict=False):
                place = group.PlanePositionSlideSequence[0]
                place.RowPositionInTotalImagePixelMatrix = row + 1
                place.ColumnPositionInTotalImagePixelMatrix = column + 1
            return TotalPixelMatrix(client, metadata)

        return move

    def test_frame_may_begin_before_the_matrix(self, moved, pixels, frames):
        matrix = moved((-3, -5))
        expected = pixels.copy()
        expected[:16, :24] = WHITE
        expected[:13, :19] = frames[0][3:, 5:]
        np.testing.assert_array_equal(matrix[...], expected)

    def test_later_frame_is_on_top(self, moved, pixels, frames):
        """The first frame is moved over the second and the fifth, which are later."""
        matrix = moved((8, 12))
        expected = pixels.copy()
        expected[:16, :24] = WHITE
        expected[8:16, 12:24] = frames[0][:8, :12]
        np.testing.assert_array_equal(matrix[...], expected)

    def test_two_frames_may_have_one_place(self, moved, pixels, frames):
        """The second frame is moved onto the first one."""
        matrix = moved((0, 0), (0, 0))
        expected = pixels.copy()
        expected[:16, :24] = frames[1]
        expected[:16, 24:48] = WHITE
        np.testing.assert_array_equal(matrix[...], expected)

    @pytest.mark.parametrize("position", [(70, 0), (0, 90), (-16, 0), (0, -24)])
    def test_frame_outside_the_matrix_is_an_error_that_names_it(self, moved, position):
        with pytest.raises(ValueError, match="frame 1 at"):
            moved(position)


class TestColor:
    @pytest.fixture(scope="class")
    @classmethod
    def profiled(cls, make_slide):
        return make_slide(icc_profile=make_wide_gamut_profile())

    def test_colors_are_corrected_to_srgb(self, profiled, open_counted):
        """The expected colours are those of ImageCms of Pillow."""
        pixels = profiled.levels[0].pixels()
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(make_wide_gamut_profile())),
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
        )
        expected = np.asarray(ImageCms.applyTransform(Image.fromarray(pixels), transform))
        assert (expected != pixels).any()
        matrix = TotalPixelMatrix(*open_counted(profiled.paths[0]))
        np.testing.assert_array_equal(matrix[...], expected)
        np.testing.assert_array_equal(matrix[0], expected[:16, :24])

    def test_correction_can_be_left_out(self, profiled, open_counted):
        matrix = TotalPixelMatrix(*open_counted(profiled.paths[0]), correct_color=False)
        np.testing.assert_array_equal(matrix[...], profiled.levels[0].pixels())

    def test_background_stays_white(self, profiled, open_counted):
        matrix = TotalPixelMatrix(*open_counted(profiled.paths[0]))
        assert (matrix.read_region((-5, -5), (5, 5)) == WHITE).all()
