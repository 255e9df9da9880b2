"""Images that are written open in the same place with the same pixels, in any reader."""

import io
from pathlib import Path

import dask.array as da
import highdicom as hd
import numpy as np
import pydicom
import pytest
import xarray as xr
from PIL import Image, ImageCms
from pydicom.encaps import generate_frames
from pydicom.sr.codedict import codes
from wsidicom import WsiDicom

import dicomslide
from dicomslide import open_slide, open_slides, write_image
from dicomslide.errors import ArgumentTypeError, ArgumentValueError
from dicomslide.testing.geometry import ORIENTATIONS
from tests.writing.results import LEVELS, assert_same_place, open_with, plane_of, run_program

JPEG = "1.2.840.10008.1.2.4.50"
NATIVE = "1.2.840.10008.1.2.1"
# Native, deflated, JPEG lossless, JPEG-LS, JPEG 2000, HTJ2K, JPEG XL, RLE and deflated frames, with
# the Photometric Interpretation of colours (PS3.5 8.2)
LOSSLESS = {
    "1.2.840.10008.1.2": "RGB",
    NATIVE: "RGB",
    "1.2.840.10008.1.2.1.99": "RGB",
    "1.2.840.10008.1.2.4.70": "RGB",
    "1.2.840.10008.1.2.4.80": "RGB",
    "1.2.840.10008.1.2.4.90": "YBR_RCT",
    "1.2.840.10008.1.2.4.201": "YBR_RCT",
    "1.2.840.10008.1.2.4.202": "YBR_RCT",
    "1.2.840.10008.1.2.4.110": "RGB",
    "1.2.840.10008.1.2.5": "RGB",
    "1.2.840.10008.1.2.8.1": "RGB",
}
# With Photometric Interpretation and Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1)
LOSSY = {
    JPEG: ("YBR_FULL_422", "ISO_10918_1"),
    "1.2.840.10008.1.2.4.81": ("RGB", "ISO_14495_1"),
    "1.2.840.10008.1.2.4.91": ("YBR_ICT", "ISO_15444_1"),
    "1.2.840.10008.1.2.4.203": ("YBR_ICT", "ISO_15444_15"),
    "1.2.840.10008.1.2.4.112": ("XYB", "ISO_18181_1"),
}


def colors_of(slide, level):
    """What an analysis may make of the colours of a level."""
    image = slide.to_datatree()[f"level_{level}/image"].isel(channel=0, focal_plane=0)
    return 255 - image


def grey_of(slide, level, dtype):
    plane = plane_of(slide, level)
    values = np.arange(plane.size).reshape(plane.shape) * 37 % np.iinfo(dtype).max
    return plane.copy(data=values.astype(dtype))


def pixels_of(source):
    """The base level of a slide that is opened alone."""
    return open_slide(source).to_datatree()["level_0/image"].isel(channel=0, focal_plane=0)


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("kind", ["colour", "uint8", "uint16"])
def test_pixels_come_back_where_they_were(slide, tmp_path, kind, syntax):
    image = colors_of(slide, 1) if kind == "colour" else grey_of(slide, 1, kind)
    (result,) = write_image(image, tmp_path / "out.dcm", slide=slide, transfer_syntax=syntax)
    assert result.level == 1
    found = pixels_of(result.path)
    np.testing.assert_array_equal(found.squeeze(), image)
    for name in ("slide_y", "slide_x"):
        np.testing.assert_allclose(found[name], image[name], rtol=0, atol=1e-9)
    stored = pydicom.dcmread(result.path)
    expected = LOSSLESS[syntax] if kind == "colour" else "MONOCHROME2"
    assert stored.PhotometricInterpretation == expected
    assert stored.file_meta.TransferSyntaxUID == syntax
    assert stored.LossyImageCompression == "00"
    assert "LossyImageCompressionMethod" not in stored


@pytest.mark.parametrize("syntax", LOSSY)
def test_what_is_lost_is_stated(slide, tmp_path, syntax):
    image = colors_of(slide, 0)
    results = [
        write_image(
            image,
            tmp_path / f"{quality}.dcm",
            slide=slide,
            transfer_syntax=syntax,
            quality=quality,
        )[0]
        for quality in (50, 95)
    ]
    photometric, method = LOSSY[syntax]
    for result in results:
        stored = pydicom.dcmread(result.path)
        assert stored.PhotometricInterpretation == photometric
        assert stored.LossyImageCompression == "01"
        assert stored.LossyImageCompressionMethod == method
        frames = list(generate_frames(stored.PixelData, number_of_frames=stored.NumberOfFrames))
        # Frames are padded to an even length
        size = sum(map(len, frames))
        ratio = stored.NumberOfFrames * 16 * 24 * 3 / size
        assert stored.LossyImageCompressionRatio == pytest.approx(ratio, rel=0.01)
        difference = np.abs(pixels_of(result.path).astype(int) - image.astype(int))
        assert difference.mean() < 12
    sizes = [Path(result.path).stat().st_size for result in results]
    # JPEG-LS has one error that it allows
    assert sizes[0] < sizes[1] or method == "ISO_14495_1"


def test_jpeg_is_what_pillow_and_pydicom_decode(slide, tmp_path):
    (result,) = write_image(colors_of(slide, 0), tmp_path / "out.dcm", slide=slide)
    stored = pydicom.dcmread(result.path)
    assert stored.file_meta.TransferSyntaxUID == JPEG
    assert stored.DimensionOrganizationType == "TILED_FULL"
    found = pixels_of(result.path).values
    rows, columns = -(-70 // 16), -(-90 // 24)
    frames = list(generate_frames(stored.PixelData, number_of_frames=rows * columns))
    decoded = np.stack([np.asarray(Image.open(io.BytesIO(frame))) for frame in frames])
    mosaic = decoded.reshape(rows, columns, 16, 24, 3).swapaxes(1, 2)
    np.testing.assert_array_equal(mosaic.reshape(rows * 16, columns * 24, 3)[:70, :90], found)
    # Sampling factors of luminance are 2 by 1
    with Image.open(io.BytesIO(frames[0])) as frame:
        assert [layer[1:3] for layer in frame.layer] == [(2, 1), (1, 1), (1, 1)]
    np.testing.assert_array_equal(stored.pixel_array, decoded)


@pytest.mark.parametrize("kind", ["colour", "uint16"])
def test_highdicom_and_wsidicom_read_the_same_pixels(slide, tmp_path, kind):
    image = colors_of(slide, 0) if kind == "colour" else grey_of(slide, 0, kind)
    (result,) = write_image(image, tmp_path / "out.dcm", slide=slide, transfer_syntax=NATIVE)
    with hd.imread(result.path) as read:
        found = read.get_total_pixel_matrix(apply_icc_profile=False, dtype=image.dtype)
    np.testing.assert_array_equal(found, image)
    with WsiDicom.open(tmp_path) as read:
        seen = read.read_region((0, 0), 0, (90, 70))
    if kind == "colour":
        np.testing.assert_array_equal(np.asarray(seen), image)


@pytest.mark.parametrize("origins", ["centres", "same"])
@pytest.mark.parametrize("number", range(8))
def test_parts_and_coarser_and_upright_pixels_stay_where_they_were(
    make_slide, tmp_path, number, origins
):
    options = LEVELS | {"level_origins": origins, "orientation": ORIENTATIONS[number]}
    slide = open_slide(make_slide(**options).folder)
    image = colors_of(slide, 1)
    coarser = image[3:30, 4:40].coarsen(y=3, x=3).mean().round().astype(np.uint8)
    for name, given, stored in (
        ("part", image[5:21, 7:40], image[5:21, 7:40]),
        ("upright", image.slide.upright(), image),
        ("coarser", coarser, coarser),
    ):
        (result,) = write_image(
            given, tmp_path / f"{name}.dcm", slide=slide, transfer_syntax=NATIVE
        )
        found = pixels_of(result.path)
        np.testing.assert_array_equal(found, stored)
        for axis in ("slide_y", "slide_x"):
            np.testing.assert_allclose(found[axis], stored[axis], rtol=0, atol=1e-9)


@pytest.mark.parametrize("origins", ["centres", "same"])
def test_all_levels_are_one_pyramid_of_means(make_slide, tmp_path, origins):
    written = make_slide(**LEVELS, level_origins=origins)
    slide = open_slide(written.folder)
    image = colors_of(slide, 0)
    results = image.slide.write_image(
        tmp_path / "out", slide=slide, levels="all", transfer_syntax=NATIVE
    )
    stored = [pydicom.dcmread(result.path) for result in results]
    assert [list(dataset.ImageType) for dataset in stored] == [
        ["DERIVED", "PRIMARY", "VOLUME", kind] for kind in ("NONE", "RESAMPLED", "RESAMPLED")
    ]
    assert len({dataset.PyramidUID for dataset in stored}) == 1
    found = open_slide(tmp_path / "out")
    assert found.total_pixel_matrix_dimensions == slide.total_pixel_matrix_dimensions
    trees = found.to_datatree(), slide.to_datatree()
    expected = image.values
    for level in range(3):
        here, there = (tree[f"level_{level}"] for tree in trees)
        assert_same_place(here, there)
        if level:
            size = there["image"].shape[2:4]
            padded = np.pad(
                expected,
                [
                    *((0, max(2 * n - m, 0)) for n, m in zip(size, expected.shape, strict=False)),
                    (0, 0),
                ],
                "edge",
            )[: 2 * size[0], : 2 * size[1]]
            areas = padded.reshape(size[0], 2, size[1], 2, 3)
            expected = np.rint(areas.mean(axis=(1, 3))).astype(np.uint8)
        np.testing.assert_array_equal(here["image"].isel(channel=0, focal_plane=0), expected)


def test_parts_have_no_smaller_levels(slide, tmp_path):
    """Smaller levels of a part would not cover the same area, and readers refuse such slides."""
    part = colors_of(slide, 0)[8:24, 12:40]
    with pytest.raises(ArgumentValueError, match=r"levels: 'all' is for .* a whole level"):
        write_image(part, tmp_path / "out", slide=slide, levels="all")
    assert not (tmp_path / "out").exists()


def test_texts_of_any_language_are_kept(slide, tmp_path):
    (result,) = write_image(
        colors_of(slide, 0),
        tmp_path / "out.dcm",
        slide=slide,
        optical_path="ü漢字",
        derivation_description="漢字",
        series_description="ü",
    )
    stored = pydicom.dcmread(result.path)
    assert stored.OpticalPathSequence[0].OpticalPathIdentifier == "ü漢字"
    assert (stored.DerivationDescription, stored.SeriesDescription) == ("漢字", "ü")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"icc_profile": b""}, "icc_profile: is not an ICC profile"),
        ({"icc_profile": b"x" * 200}, "icc_profile: is not an ICC profile"),
        ({"icc_profile": "sRGB"}, "icc_profile: expected bytes"),
        ({"optical_path": "a\\b"}, "optical_path: .* backslash"),
        ({"series_description": "x" * 65}, "series_description: .* over 64"),
        ({"series_description": 5}, "series_description: expected str"),
        ({"pyramid_label": "a\\b"}, "pyramid_label: .* backslash"),
        ({"series_number": "a"}, "series_number: expected an integer"),
        ({"series_number": -1}, "series_number: -1"),
        ({"series_instance_uid": "x"}, "series_instance_uid: 'x' is not a UID"),
        ({"tile": (65535, 65535)}, "tile: 65535 x 65535 pixels"),
    ],
)
def test_what_cannot_be_stored_is_named(slide, tmp_path, arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        write_image(colors_of(slide, 0), tmp_path / "out.dcm", slide=slide, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_path_is_an_error(slide):
    for path in ("", " "):
        with pytest.raises(ArgumentValueError, match="path: is empty"):
            write_image(colors_of(slide, 0), path, slide=slide)


def test_bytes_of_pixels_may_have_any_order(slide, tmp_path):
    grey = colors_of(slide, 0).isel(sample=0)
    paths = [
        write_image(grey.astype(dtype), tmp_path / f"{dtype[0] == '>'}.dcm", slide=slide)[0].path
        for dtype in (">u2", "<u2")
    ]
    first, second = (pydicom.dcmread(path).pixel_array for path in paths)
    np.testing.assert_array_equal(first, second)


def test_the_image_belongs_to_the_slide(written, slide, tmp_path):
    source = pydicom.dcmread(written.levels[1].paths[0])
    (result,) = write_image(
        colors_of(slide, 1),
        tmp_path / "out.dcm",
        slide=slide,
        derivation=codes.cid7203.DeformedForRegistration,
        derivation_description="registered to a section beside it",
        series_description="registered",
    )
    stored = pydicom.dcmread(result.path)
    for keyword in (
        "AccessionNumber",
        "ContainerIdentifier",
        "ContainerTypeCodeSequence",
        "FrameOfReferenceUID",
        "PatientID",
        "PatientName",
        "SpecimenDescriptionSequence",
        "StudyInstanceUID",
    ):
        assert stored[keyword] == source[keyword]
    assert stored.SeriesInstanceUID != source.SeriesInstanceUID
    assert stored.PyramidUID != source.PyramidUID
    assert stored.SeriesDescription == "registered"
    assert stored.ContributingEquipmentSequence[0].Manufacturer == source.Manufacturer
    (reference,) = stored.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
    shared = stored.SharedFunctionalGroupsSequence[0]
    assert shared.DerivationImageSequence[0].SourceImageSequence[0] == reference
    assert stored.DerivationCodeSequence[0].CodeValue == "125027"
    assert stored.DerivationDescription == "registered to a section beside it"
    (series,) = stored.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    (own,) = stored.OpticalPathSequence
    profile = ImageCms.ImageCmsProfile(io.BytesIO(own.ICCProfile))
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    (theirs,) = source.OpticalPathSequence
    assert own.OpticalPathDescription == theirs.OpticalPathDescription
    assert own.IlluminationTypeCodeSequence == theirs.IlluminationTypeCodeSequence


def test_another_profile_may_be_given(slide, tmp_path):
    profile = dicomslide.testing.make_wide_gamut_profile()
    (result,) = write_image(
        colors_of(slide, 2), tmp_path / "out.dcm", slide=slide, icc_profile=profile
    )
    (path,) = pydicom.dcmread(result.path).OpticalPathSequence
    assert path.ICCProfile == profile
    assert "ColorSpace" not in path


def test_compression_of_the_source_stays_stated(make_slide, tmp_path):
    written = make_slide(**LEVELS | {"transfer_syntax": JPEG})
    slide = open_slide(written.folder)
    source = pydicom.dcmread(written.levels[0].paths[0])
    methods = []
    for syntax in (NATIVE, JPEG):
        (result,) = write_image(
            colors_of(slide, 0), tmp_path / f"{syntax}.dcm", slide=slide, transfer_syntax=syntax
        )
        stored = pydicom.dcmread(result.path)
        assert stored.LossyImageCompression == "01"
        ratios = np.atleast_1d(stored.LossyImageCompressionRatio)
        methods.append(np.atleast_1d(stored.LossyImageCompressionMethod).tolist())
        assert len(ratios) == len(methods[-1])
        assert ratios[0] == source.LossyImageCompressionRatio
    assert methods == [["ISO_10918_1"], ["ISO_10918_1"] * 2]


class TestBesideItsSlide:
    """What opens where an image lies in one folder with the slide that it was made from."""

    def test_colours_are_a_slide_of_their_own(self, written, slide, tmp_path):
        results = write_image(colors_of(slide, 0), tmp_path, slide=slide, levels="all")
        found = open_slides([*written.paths, *(Path(result.path) for result in results)])
        assert [one.num_levels for one in found] == [3, 3]
        assert len({one.frame_of_reference_uid for one in found}) == 1

    def test_a_part_is_a_slide_of_its_own(self, make_slide, tmp_path):
        # Areas are told apart by their centres, here 1 mm from each other
        written = make_slide(**LEVELS, pixel_spacing=0.04)
        slide = open_slide(written.folder)
        part = colors_of(slide, 0)[8:24, 12:40]
        (result,) = write_image(part, tmp_path / "out.dcm", slide=slide, optical_path="part")
        found = open_slides([*written.paths, Path(result.path)])
        assert sorted(one.size for one in found) == [(16, 28), (70, 90)]

    def test_a_path_of_its_own_is_a_channel_of_the_slide(self, written, slide, tmp_path):
        image = colors_of(slide, 1)
        (result,) = write_image(
            image,
            tmp_path / "out.dcm",
            slide=slide,
            transfer_syntax=NATIVE,
            optical_path="normalised",
        )
        node = open_with(written, result.path).to_datatree()["level_1"]
        assert node["channel"].values.tolist() == ["1", "normalised"]
        found = node["image"].sel(channel="normalised").isel(focal_plane=0)
        np.testing.assert_array_equal(found, image)

    @pytest.mark.parametrize("name", [None, "DAB"])
    def test_grey_pixels_of_a_level_are_an_image_of_it(self, written, slide, tmp_path, name):
        image = grey_of(slide, 1, "uint16")
        (result,) = write_image(image, tmp_path / "out.dcm", slide=slide, optical_path=name)
        node = open_with(written, result.path).to_datatree()["level_1"]
        assert node["channel_2"].values.tolist() == [name or "1"]
        found = node["image_2"].isel(channel_2=0, focal_plane=0, sample_2=0)
        np.testing.assert_array_equal(found, image)
        assert_same_place(found, image)


def test_the_path_and_the_sources_are_those_of_the_channel(make_slide, tmp_path):
    written = make_slide(**LEVELS, samples=1, optical_paths=3, optical_paths_in="each")
    slide = open_slide(written.folder)
    image = slide.to_datatree()["level_1/image"].isel(focal_plane=0, sample=0).sel(channel="2")
    (result,) = write_image(image // 2, tmp_path / "out.dcm", slide=slide)
    stored = pydicom.dcmread(result.path)
    source = next(
        dataset
        for dataset in map(pydicom.dcmread, written.levels[1].paths)
        if dataset.OpticalPathSequence[0].OpticalPathIdentifier == "2"
    )
    assert stored.OpticalPathSequence == source.OpticalPathSequence
    references = [item.ReferencedSOPInstanceUID for item in stored.SourceImageSequence]
    assert references == [source.SOPInstanceUID]


def test_arrays_without_names_are_pixels_of_a_level(slide, tmp_path):
    values = colors_of(slide, 1).values
    for number, array in enumerate((values, da.from_array(values, chunks=(20, 20, 3)))):
        (result,) = write_image(
            array, tmp_path / f"{number}.dcm", slide=slide, level=1, transfer_syntax=NATIVE
        )
        np.testing.assert_array_equal(pixels_of(result.path), values)


def test_what_cannot_be_stored_is_an_error(slide, tmp_path):
    image = colors_of(slide, 0)
    many = slide.to_datatree()["level_0/image"].isel(sample=0, focal_plane=0)
    many = xr.concat([many.isel(channel=0)] * 3, "channel")
    cases = [
        (image.astype(float), {}, r"of float64, expected uint8; .* by image.round"),
        (image.astype(np.uint16), {}, "of uint16"),
        (image[..., :2], {}, "2 samples"),
        (image.isel(sample=[2, 1, 0]), {}, r"samples are \['B', 'G', 'R'\]"),
        (many, {}, "'sample' at most"),
        (image[::2].isel(y=[0, 1, 3]), {}, "not at even distances"),
        (image.values, {}, "which level"),
        (image, {"quality": 0}, "quality: 0"),
        (image, {"quality": 90.5}, "quality: expected an integer"),
        (image, {"transfer_syntax": "1.2.3"}, r"1\.2\.3 is not one of those"),
        (image.astype(np.uint16)[..., 0], {"transfer_syntax": JPEG}, "bits is 16"),
        (image, {"optical_path": "a name that is too long"}, "23 characters"),
        (image, {"icc_profile": "sRGB"}, "icc_profile: expected bytes"),
        (image, {"derivation": "registered"}, "derivation: expected a code"),
        (image, {"content_label": "IMAGE"}, "content_label: images have none"),
        (image, {"levels": "every"}, "expected 'given' or 'all'"),
    ]
    for given, options, message in cases:
        with pytest.raises((ArgumentValueError, ArgumentTypeError), match=message):
            write_image(given, tmp_path / "out.dcm", slide=slide, **options)
    assert list(tmp_path.iterdir()) == []


def test_native_pixels_that_are_too_many_are_an_error_before_they_are_computed(slide, tmp_path):
    def fail(block):
        raise AssertionError("this is computed")

    step = slide.pixel_spacings[0][0] / 800
    line = np.arange(40_000) * step
    pixels = da.zeros((40_000, 40_000, 3), np.uint8, chunks=(8192, 8192, 3)).map_blocks(
        fail, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8)
    )
    image = xr.DataArray(pixels, {"y": line, "x": line}, ("y", "x", "sample"))
    with pytest.raises(ArgumentValueError, match="at most 4294967294 can be stored"):
        write_image(
            image, tmp_path / "out.dcm", slide=slide, transfer_syntax=NATIVE, tile=(512, 512)
        )
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_fails_leaves_nothing(slide, tmp_path):
    def fail(block, block_id):
        if block_id == (3, 2, 0):
            raise RuntimeError("no more")
        return block

    image = colors_of(slide, 0)
    pixels = da.from_array(image.values, chunks=(16, 24, 3)).map_blocks(fail, dtype=np.uint8)
    with pytest.raises(RuntimeError, match="no more"):
        write_image(image.copy(data=pixels), tmp_path / "out", slide=slide, levels="all")
    assert list((tmp_path / "out").iterdir()) == []


# An image of 450 MB, in a process that may have 200 MB more than for a small one
PROGRAM = """
import resource, sys
import dask, dask.array as da, numpy as np, xarray as xr
import dicomslide

slide = dicomslide.open_slide(sys.argv[1])
spacing = slide.pixel_spacings[0][0] / 400

def write(side, name):
    grey = da.fromfunction(lambda y, x: ((y // 64 + x // 64) % 256).astype(np.uint8),
        shape=(side, side), chunks=1024, dtype=np.int64)
    pixels = da.stack([grey, grey // 2, 255 - grey], axis=-1)
    line = np.arange(side) * spacing
    image = xr.DataArray(pixels, {"y": line, "x": line}, ("y", "x", "sample"))
    dicomslide.write_image(image, f"{sys.argv[2]}/{name}.dcm", slide=slide, tile=(512, 512))

with dask.config.set(scheduler="threads", num_workers=2):
    write(2048, "small")
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + 200 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    write(12288, "large")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_memory_does_not_grow_with_the_image(written, tmp_path):
    run_program(PROGRAM, written.folder, tmp_path)
    stored = pydicom.dcmread(tmp_path / "large.dcm", stop_before_pixels=True)
    assert stored.NumberOfFrames == 24 * 24
