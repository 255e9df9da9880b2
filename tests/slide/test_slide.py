"""The documented class Slide: what it is made of, its levels and its images."""

import io
import itertools
import math
import os
import pickle
import subprocess
import sys
import warnings
from copy import deepcopy

import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMfileClient
from PIL import Image, ImageCms
from pydicom.dataset import Dataset

import dicomslide
from dicomslide import ChannelTypes, ImageFlavors, Slide, TiledImage, open_slide
from dicomslide.stores.files import FileStore
from dicomslide.testing import (
    ORIENTATIONS,
    SegmentationOptions,
    make_wide_gamut_profile,
)
from tests.slide.small import FLUORESCENCE, SMALL, NoFrames, read_metadata

# What a slide is made of


def test_a_slide_is_made_of_a_client_and_metadata(written, tmp_path):
    client = DICOMfileClient(f"file://{written.folder}", db_dir=tmp_path)
    found = client.search_for_instances()
    metadata = [
        Dataset.from_json(
            client.retrieve_instance_metadata(
                item["0020000D"]["Value"][0],
                item["0020000E"]["Value"][0],
                item["00080018"]["Value"][0],
            )
        )
        for item in found
    ]
    slide = Slide(client, metadata)
    for level in range(3):
        expected = written.levels[level].pixels()
        assert np.array_equal(slide.get_image_region((0, 0), level, expected.shape[:2]), expected)


def test_the_order_of_the_metadata_does_not_matter(metadata):
    for order in itertools.permutations(metadata):
        slide = Slide(NoFrames(), order)
        assert slide.total_pixel_matrix_dimensions == ((90, 70), (45, 35), (23, 18))


def test_a_copy_of_an_instance_counts_once(metadata):
    slide = Slide(NoFrames(), [*metadata, deepcopy(metadata[0])])
    assert slide.num_levels == 3
    assert slide.num_channels == 1


def test_segmentations_alone_make_a_slide(annotated):
    segmentation = annotated.segmentations[0]
    slide = open_slide(segmentation.paths)
    assert [slide.get_channel_type(i) for i in range(slide.num_channels)] == [
        ChannelTypes.SEGMENT
    ] * 2
    assert np.array_equal(
        slide.get_image_region((0, 0), 1, (45, 35), channel_index=1)[..., 0],
        segmentation.mask(1, 2),
    )


def test_images_of_one_slide_share_their_frame_of_reference(metadata):
    other = deepcopy(metadata[1])
    other.FrameOfReferenceUID = "1.2.3.4"
    with pytest.raises(ValueError, match=r"FrameOfReferenceUID.*1\.2\.3\.4"):
        Slide(NoFrames(), [metadata[0], other])


def test_images_of_one_slide_share_their_container(metadata):
    other = deepcopy(metadata[1])
    other.ContainerIdentifier = "another glass"
    with pytest.raises(ValueError, match=r"ContainerIdentifier.*another glass"):
        Slide(NoFrames(), [metadata[0], other])


def test_a_slide_needs_an_image():
    with pytest.raises(ValueError, match="image_metadata"):
        Slide(NoFrames(), [])


def test_a_label_alone_is_no_slide(make_slide):
    label = make_slide(**{**SMALL, "label": True}).folder / "label.dcm"
    with pytest.raises(ValueError, match="VOLUME"):
        Slide(NoFrames(), [pydicom.dcmread(label, stop_before_pixels=True)])


def test_an_image_without_total_pixel_matrix_is_named(metadata):
    untiled = deepcopy(metadata[1])
    del untiled.TotalPixelMatrixRows
    with pytest.raises(ValueError, match=untiled.SOPInstanceUID):
        Slide(NoFrames(), [metadata[0], untiled])


def test_two_images_of_one_level_are_named_by_file(written, tmp_path):
    rival = pydicom.dcmread(written.levels[1].paths[0])
    rival.SOPInstanceUID = rival.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    rival.save_as(tmp_path / "rival.dcm")
    with pytest.raises(ValueError, match="level-1") as error:
        open_slide([*written.paths, tmp_path / "rival.dcm"])
    assert "rival.dcm" in str(error.value)
    assert "45 x 35" in str(error.value)


def shift(dataset: Dataset, distance: float) -> Dataset:
    moved = deepcopy(dataset)
    moved.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem += distance
    return moved


@pytest.mark.parametrize(("distance", "tolerance"), [(0.09, 0.1), (0.3, 0.31), (0.005, 0.006)])
def test_levels_may_be_apart_by_the_pyramid_tolerance(metadata, distance, tolerance):
    images = [metadata[0], shift(metadata[1], distance)]
    assert Slide(NoFrames(), images, pyramid_tolerance=tolerance).num_levels == 2
    with pytest.raises(ValueError, match=images[1].SOPInstanceUID):
        Slide(NoFrames(), images, pyramid_tolerance=0.9 * distance)


def test_the_pyramid_tolerance_is_a_tenth_of_a_millimetre_by_default(metadata):
    assert Slide(NoFrames(), [metadata[0], shift(metadata[1], 0.0999)]).num_levels == 2
    with pytest.raises(ValueError, match=r"tolerated 0\.1 mm"):
        Slide(NoFrames(), [metadata[0], shift(metadata[1], 0.1001)])


@pytest.mark.parametrize("distance", [0.0, 0.0004, 0.0009])
def test_levels_may_always_be_apart_by_one_pixel_of_the_coarser(metadata, distance):
    # Pixels of level 1 are a micrometre wide
    images = [metadata[0], shift(metadata[1], distance)]
    assert Slide(NoFrames(), images, pyramid_tolerance=0).num_levels == 2


def test_a_negative_pyramid_tolerance_is_a_value_error(metadata):
    with pytest.raises(ValueError, match=r"pyramid_tolerance: -1"):
        Slide(NoFrames(), metadata, pyramid_tolerance=-1)


def test_the_parts_of_a_concatenation_are_one_image(make_slide, tmp_path):
    written = make_slide(**SMALL, concatenation=4)
    assert len(written.levels[0].paths) == 4
    client = DICOMfileClient(f"file://{written.folder}", db_dir=tmp_path)
    for slide in (open_slide(written.folder), Slide(client, read_metadata(written)[::-1])):
        assert slide.num_levels == 3
        region = slide.get_image_region((0, 0), 0, (90, 70))
        assert np.array_equal(region, written.levels[0].pixels())


def test_a_missing_part_of_a_concatenation_is_a_value_error(make_slide):
    written = make_slide(**SMALL, concatenation=4)
    for lost in range(4):
        parts = [path for path in written.paths if path != written.levels[0].paths[lost]]
        with pytest.raises(ValueError, match="oncatenation"):
            open_slide(parts)


def test_colours_are_corrected_unless_told_otherwise(make_slide):
    profile = make_wide_gamut_profile()
    written = make_slide(**{**SMALL, "icc_profile": profile})
    metadata = read_metadata(written)
    stored = written.levels[1].pixels()
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), "RGB", "RGB"
    )
    corrected = np.asarray(ImageCms.applyTransform(Image.fromarray(stored), transform))
    assert not np.array_equal(stored, corrected)
    store = FileStore(written.paths)
    region = Slide(store, metadata).get_image_region((0, 0), 1, (45, 35))
    assert np.array_equal(region, corrected)
    region = Slide(store, metadata, correct_color=False).get_image_region((0, 0), 1, (45, 35))
    assert np.array_equal(region, stored)


def test_classes_are_imported_from_their_documented_places():
    assert dicomslide.slide.Slide is dicomslide.Slide
    assert dicomslide.image.TiledImage is dicomslide.TiledImage
    assert dicomslide.openslide.OpenSlide is dicomslide.OpenSlide


def test_enumerations_have_the_values_of_the_standard():
    # PS3.3 C.8.12.4.1.1
    assert {flavor.value for flavor in ImageFlavors} == {"VOLUME", "THUMBNAIL", "LABEL", "OVERVIEW"}
    assert {kind.value for kind in ChannelTypes} == {"OPTICAL_PATH", "SEGMENT", "PARAMETER"}


# Levels


def test_levels_are_sorted_from_the_largest(slide):
    assert slide.num_levels == 3
    assert slide.total_pixel_matrix_dimensions == ((90, 70), (45, 35), (23, 18))
    assert slide.size == (90, 70)


def test_segments_at_a_scale_of_no_level_make_no_level(make_slide):
    written = make_slide(**SMALL, segmentations=(SegmentationOptions("BINARY", levels=(0, 2)),))
    slide = open_slide([path for path in written.paths if path.name != "level-2.dcm"])
    assert slide.total_pixel_matrix_dimensions == ((90, 70), (45, 35))
    on_level, beside = slide.find_segments(number=2)
    region = slide.get_image_region((0, 0), 0, (90, 70), on_level)
    assert np.array_equal(region[..., 0], written.segmentations[0].mask(0, 2))
    (image,) = slide.derived_images
    assert slide.get_volume_images(beside) == (image,)
    region = image.get_image_region((0, 0), (23, 18), image.get_channel_index("2"))
    assert np.array_equal(region[..., 0], written.segmentations[0].mask(2, 2))
    with pytest.raises(ValueError, match="derived_images"):
        slide.get_image_region((0, 0), 0, (23, 18), beside)


def test_downsampling_factors_are_relative_to_the_base_level(slide):
    # Levels 1 and 2 have 45 x 35 and 23 x 18 pixels: sizes are rounded, Pixel Spacing is not
    assert slide.downsampling_factors == (1, 2, 4)


def test_pixel_spacings_are_along_the_row_then_along_the_column(make_slide):
    written = make_slide(**SMALL, pixel_spacing=(0.0005, 0.001))
    slide = open_slide(written.folder)
    assert slide.pixel_spacings == (
        pytest.approx((0.001, 0.0005)),
        pytest.approx((0.002, 0.001)),
        pytest.approx((0.004, 0.002)),
    )


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_physical_size_is_along_x_and_y(make_slide, orientation):
    written = make_slide(**SMALL, orientation=orientation, pixel_spacing=(0.0005, 0.001))
    down, across = 90 * 0.0005, 70 * 0.001
    expected = (across, down) if orientation[0] else (down, across)
    assert open_slide(written.folder).physical_size == pytest.approx(expected)


def test_physical_offset_is_where_the_matrix_begins(make_slide):
    written = make_slide(**SMALL, origin=(10.25, 20.5), level_origins="same")
    assert open_slide(written.folder).physical_offset == pytest.approx((10.25, 20.5))


def test_physical_offset_is_the_smallest_of_several_images(make_slide):
    written = make_slide(
        **{**FLUORESCENCE, "factors": (1,)},
        optical_paths=2,
        optical_paths_in="each",
        origin=(10.0, 20.0),
    )
    first, second = read_metadata(written)
    second.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem = 9.99
    second.TotalPixelMatrixOriginSequence[0].YOffsetInSlideCoordinateSystem = 20.01
    slide = Slide(NoFrames(), [first, second])
    assert slide.physical_offset == pytest.approx((9.99, 20.0))


def test_frame_of_reference_and_container_are_those_of_the_images(slide, written):
    assert slide.frame_of_reference_uid == written.frame_of_reference_uid
    assert slide.container_identifier == written.container_identifier


# Images


def test_volume_images_are_sorted_from_the_largest(slide, written):
    images = slide.get_volume_images()
    assert all(isinstance(image, TiledImage) for image in images)
    assert [image.size for image in images] == [(90, 70), (45, 35), (23, 18)]
    assert [image.metadata.SOPInstanceUID for image in images] == [
        dataset.SOPInstanceUID for dataset in read_metadata(written)
    ]


def test_volume_images_are_those_of_a_channel_and_focal_plane(make_slide):
    written = make_slide(
        **FLUORESCENCE, optical_paths=2, optical_paths_in="each", focal_planes=2,
        focal_planes_in="each",
    )  # fmt: skip
    slide = open_slide(written.folder)
    found = {
        (channel, plane): slide.get_volume_images(channel, plane)
        for channel in range(2)
        for plane in range(2)
    }
    for (channel, plane), images in found.items():
        assert [image.size for image in images] == [(90, 70), (45, 35), (23, 18)]
        for image in images:
            (item,) = image.metadata.OpticalPathSequence
            assert item.OpticalPathIdentifier == str(channel + 1)
            assert image.get_focal_plane_offset(0) == 1.5 * plane


def test_volume_images_of_a_segment_are_its_segmentations(annotated_slide, annotated):
    (channel, _) = annotated_slide.find_segments(number=1)
    uids = [
        pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID
        for path in annotated.segmentations[0].paths
    ]
    assert [i.metadata.SOPInstanceUID for i in annotated_slide.get_volume_images(channel)] == uids


def test_label_and_overview_images_belong_to_the_slide(make_slide):
    written = make_slide(**{**SMALL, "label": True, "overview": True})
    slide = open_slide(written.folder)
    (label,), (overview,) = slide.label_images, slide.overview_images
    assert np.array_equal(label.get_total_pixel_matrix()[...], written.label)
    assert np.array_equal(overview.get_total_pixel_matrix()[...], written.overview)
    assert label.metadata.ImageType[2] == "LABEL"
    assert overview.metadata.ImageType[2] == "OVERVIEW"


def test_a_slide_may_have_no_label_and_no_overview(slide):
    assert slide.label_images == ()
    assert slide.overview_images == ()


def test_a_thumbnail_is_a_level(make_slide):
    written = make_slide(**{**SMALL, "size": (600, 500), "factors": (1, 4)}, thumbnail=True)
    slide = open_slide(written.folder)
    # 600 pixels become 512
    assert slide.total_pixel_matrix_dimensions == ((600, 500), (512, 427), (150, 125))
    assert slide.get_volume_images()[1].metadata.ImageType[2] == "THUMBNAIL"
    assert np.array_equal(slide.get_image_region((0, 0), 1, (512, 427)), written.thumbnail)


def test_a_thumbnail_as_large_as_a_level_gives_way_to_it(make_slide):
    written = make_slide(**SMALL, thumbnail=True)
    assert written.thumbnail.shape[:2] == (90, 70)
    slide = open_slide(written.folder)
    assert slide.total_pixel_matrix_dimensions == ((90, 70), (45, 35), (23, 18))
    assert slide.get_volume_images()[0].metadata.ImageType[2] == "VOLUME"


def test_a_thumbnail_that_comes_first_gives_way_to_a_level_as_large(make_slide, tmp_path):
    written = make_slide(**SMALL, thumbnail=True)
    thumbnail = pydicom.dcmread(written.folder / "thumbnail.dcm")
    thumbnail.SeriesNumber, thumbnail.InstanceNumber = 0, 0
    thumbnail.save_as(tmp_path / "thumbnail.dcm")
    slide = open_slide([tmp_path / "thumbnail.dcm", *(level.paths[0] for level in written.levels)])
    flavors = [image.metadata.ImageType[2] for image in slide.get_volume_images()]
    assert flavors == ["VOLUME", "VOLUME", "VOLUME"]


# Types of arguments


WRONG_TYPES = [
    ("offset", lambda s: s.get_image_region(0, 0, (1, 1))),
    ("offset", lambda s: s.get_image_region((0.5, 0), 0, (1, 1))),
    ("offset", lambda s: s.get_image_region("00", 0, (1, 1))),
    ("level", lambda s: s.get_image_region((0, 0), 0.0, (1, 1))),
    ("level", lambda s: s.get_image_region((0, 0), None, (1, 1))),
    ("level", lambda s: s.get_image_region((0, 0), True, (1, 1))),
    ("size", lambda s: s.get_image_region((0, 0), 0, 1)),
    ("size", lambda s: s.get_image_region((0, 0), 0, (1.0, 1.0))),
    ("channel_index", lambda s: s.get_image_region((0, 0), 0, (1, 1), "0")),
    ("focal_plane_index", lambda s: s.get_image_region((0, 0), 0, (1, 1), 0, 0.0)),
    ("offset", lambda s: s.get_slide_region(12.5, 0, (1, 1))),
    ("offset", lambda s: s.get_slide_region(("12", "27"), 0, (1, 1))),
    ("size", lambda s: s.get_slide_region((12.5, 27.0), 0, "11")),
    ("size", lambda s: s.get_slide_region((12.5, 27.0), 0, None)),
    ("offset", lambda s: s.get_pixel_indices(12.5, 0)),
    ("pixel_indices", lambda s: s.get_slide_offset(0, 0)),
    ("pixel_indices", lambda s: s.map_pixel_indices_to_slide_coordinates("nowhere", 0)),
    ("slide_coordinates", lambda s: s.map_slide_coordinates_to_pixel_indices("nowhere", 0)),
    ("annotation", lambda s: s.get_slide_region_for_annotation((12.5, 27.0, 0.0), 0)),
    ("channel_index", lambda s: s.get_channel_identifier("1")),
    ("channel_index", lambda s: s.get_channel_type(None)),
    ("focal_plane_index", lambda s: s.get_focal_plane_offset("0")),
    ("focal_plane_offset", lambda s: s.get_focal_plane_index("0")),
    ("channel_index", lambda s: s.get_volume_images("1")),
    ("specimen_stain", lambda s: s.find_optical_paths(specimen_stain="eosin")),
    ("property_category", lambda s: s.find_segments(property_category="Tissue")),
    ("property_type", lambda s: s.find_segments(property_type=85756007)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "call"), WRONG_TYPES)
def test_a_wrong_type_is_a_type_error_that_names_the_argument(annotated_slide, name, call):
    with pytest.raises(TypeError, match=rf"^{name}:"):
        call(annotated_slide)


def test_wrong_types_of_the_constructor_are_type_errors(metadata):
    with pytest.raises(TypeError, match="client:"):
        Slide("folder", metadata)
    for images in (metadata[0], None, ["level-0.dcm"]):
        with pytest.raises(TypeError, match="image_metadata:"):
            Slide(NoFrames(), images)
    with pytest.raises(TypeError, match="max_frame_cache_size:"):
        Slide(NoFrames(), metadata, "6")
    with pytest.raises(TypeError, match="pyramid_tolerance:"):
        Slide(NoFrames(), metadata, pyramid_tolerance="0.1")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("offset", lambda s: s.get_image_region((0, 0, 0), 0, (1, 1))),
        ("offset", lambda s: s.get_slide_region((math.nan, 0.0), 0, (1, 1))),
        ("size", lambda s: s.get_slide_region((0.0, 0.0), 0, (math.inf, 1.0))),
        ("pixel_indices", lambda s: s.map_pixel_indices_to_slide_coordinates([(0, 0, 0)], 0)),
        ("slide_coordinates", lambda s: s.map_slide_coordinates_to_pixel_indices([(0, 0)], 0)),
    ],
)
def test_values_that_mean_nothing_are_value_errors(slide, name, call):
    with pytest.raises(ValueError, match=rf"^{name}:"):
        call(slide)


# Equality and pickles


def test_slides_of_the_same_images_are_equal(written, slide, metadata, make_slide):
    same = Slide(NoFrames(), metadata[::-1])
    assert same == slide
    assert hash(same) == hash(slide)
    assert same != Slide(NoFrames(), metadata[:2])
    assert same != open_slide(make_slide(**SMALL, seed=5).folder)
    assert same != "slide"
    assert len({slide, same}) == 1


def test_a_slide_describes_itself(slide, written):
    for word in ("Slide", written.container_identifier, "90 x 70", "3 levels", "1 channel,"):
        assert word in repr(slide)


READ_ELSEWHERE = """
import hashlib, pickle, sys
slide = pickle.load(sys.stdin.buffer)
print(hash(slide), hashlib.sha256(slide.get_image_region((5, 5), 1, (40, 30))).hexdigest())
"""


def test_hash_and_pixels_are_the_same_in_other_processes(slide):
    printed = {
        subprocess.run(
            [sys.executable, "-c", READ_ELSEWHERE],
            input=pickle.dumps(slide),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout.split()[0]
        for seed in ("1", "2")
    }
    assert printed == {str(hash(slide)).encode()}


@pytest.mark.parametrize("after_reading", [False, True])
def test_a_slide_can_be_pickled(annotated, after_reading):
    slide = open_slide(annotated.folder)
    if after_reading:
        slide.get_image_region((0, 0), 0, (90, 70))
        slide.get_image_region((0, 0), 0, (90, 70), channel_index=1)
    copy = pickle.loads(pickle.dumps(slide))
    assert copy == slide
    assert hash(copy) == hash(slide)
    assert np.array_equal(copy.get_image_region((0, 0), 1, (45, 35)), annotated.levels[1].pixels())
    assert np.array_equal(
        copy.get_image_region((0, 0), 0, (90, 70), channel_index=1)[..., 0],
        annotated.segmentations[0].mask(0, 1),
    )


@pytest.mark.parametrize("keyword", ["SOPClassUID", "FrameOfReferenceUID", "ContainerIdentifier"])
def test_attributes_with_several_values_are_named(slide, keyword):
    datasets = [deepcopy(image.metadata) for image in slide.get_volume_images()]
    datasets[0].pop(keyword, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        setattr(datasets[0], keyword, ["1.2", "1.3"])
    with pytest.raises(ValueError, match=f"{datasets[0].SOPInstanceUID}|{keyword}"):
        Slide(FileStore([]), datasets)
