"""When a Slide reads frames: as late and as few as possible, and from any thread."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from dicomweb_client.api import DICOMfileClient
from highdicom.sr import Scoord3DContentItem
from pydicom.sr.coding import Code

from dicomslide import Slide, open_slide
from dicomslide.testing import orientation_from_angle
from tests.slide.small import FLUORESCENCE, SMALL, read_metadata

# When frames are read


def test_nothing_is_read_before_pixels_are_asked_for(open_all_counted, annotated):
    client, metadata = open_all_counted(annotated.paths)
    slide = Slide(client, metadata)
    for chunks in ("frames", "auto", None):
        slide.to_datatree(chunks)
    slide.get_volume_images()
    slide.find_segments(number=1)
    hash(slide)
    repr(slide)
    assert client.requests == []


def test_a_region_reads_the_frames_that_it_touches_in_one_call(open_all_counted, written):
    # Level 0 has 3 x 3 frames of 32 x 24 pixels
    for offset, size, frames in [
        ((0, 0), (32, 24), [0]),
        ((31, 23), (2, 2), [0, 1, 3, 4]),
        ((64, 48), (26, 22), [8]),
        ((32, 0), (1, 70), [3, 4, 5]),
        ((-20, -20), (21, 21), [0]),
        ((89, 69), (100, 100), [8]),
    ]:
        client, metadata = open_all_counted(written.paths)
        Slide(client, metadata).get_image_region(offset, 0, size)
        assert client.requests == [frames]


def test_a_region_outside_the_matrix_or_without_pixels_reads_nothing(open_all_counted, written):
    client, metadata = open_all_counted(written.paths)
    slide = Slide(client, metadata)
    slide.get_image_region((200, 0), 0, (50, 50))
    slide.get_image_region((-60, -60), 0, (50, 50))
    slide.get_image_region((10, 10), 0, (0, 50))
    slide.get_slide_region((1.0, 1.0), 0, (0.01, 0.01))
    assert client.requests == []


def test_a_region_reads_only_its_channel_and_focal_plane(open_all_counted, make_slide):
    written = make_slide(**FLUORESCENCE, optical_paths=2, focal_planes=3)
    client, metadata = open_all_counted(written.paths)
    slide = Slide(client, metadata)
    slide.get_image_region((40, 30), 0, (5, 5), channel_index=1, focal_plane_index=2)
    # PS3.3 C.7.6.17.3: nine frames of a plane, three planes of a path
    assert client.requests == [[(1 * 3 + 2) * 9 + 4]]


@pytest.mark.parametrize("chunks", ["frames", None])
def test_a_part_of_the_tree_reads_the_frames_that_it_touches(open_all_counted, written, chunks):
    client, metadata = open_all_counted(written.paths)
    image = Slide(client, metadata).to_datatree(chunks)["level_0/image"]
    part = image.isel(y=slice(33, 40), x=slice(20, 30))
    assert client.requests == []
    pixels = part.compute().values[0, 0]
    assert sorted(itertools.chain(*client.requests)) == [3, 4]
    assert np.array_equal(pixels, written.levels[0].pixels()[33:40, 20:30])


def corners_on_slide(known, first, last):
    """Opposite corners of a region, (x, y) in mm: columns run along -Y, rows along -X."""
    step = known.spacing[0]
    x, y = known.origin
    return (x - last[0] * step, y - last[1] * step), (x - first[0] * step, y - first[1] * step)


def test_slide_regions_read_only_the_frames_that_they_touch(open_all_counted, written):
    client, metadata = open_all_counted(written.paths)
    slide = Slide(client, metadata, max_frame_cache_size=0)
    (left, bottom), (right, top) = corners_on_slide(written.levels[0], (33, 30), (40, 60))
    slide.get_slide_region((left, bottom), 0, (right - left, top - bottom))
    line = Scoord3DContentItem(
        name=Code("111030", "DCM", "Image Region"),
        graphic_type="POLYLINE",
        graphic_data=np.array([(left, bottom, 0.0), (right, top, 0.0)]),
        frame_of_reference_uid=slide.frame_of_reference_uid,
    )
    slide.get_slide_region_for_annotation(line, 0)
    assert client.requests == [[4, 5], [4, 5]]


def test_an_oblique_region_reads_only_frames_near_to_it(open_all_counted, make_slide):
    written = make_slide(**{**SMALL, "size": (320, 240)}, orientation=orientation_from_angle(45))
    client, metadata = open_all_counted(written.paths)
    slide = Slide(client, metadata)
    # The square of 10 x 10 pixels lies within frame (5, 5), which begins at (160, 120)
    ((x, y, _),) = slide.map_pixel_indices_to_slide_coordinates([(176, 132)], 0)
    slide.get_slide_region((x - 0.0025, y - 0.0025), 0, (0.005, 0.005))
    assert client.requests == [[55]]


def test_frames_are_kept_for_the_next_region(open_all_counted, written):
    client, metadata = open_all_counted(written.paths)
    slide = Slide(client, metadata, max_frame_cache_size=4)
    first = slide.get_image_region((20, 20), 0, (30, 20))
    assert client.requests == [[0, 1, 3, 4]]
    assert np.array_equal(slide.get_image_region((20, 20), 0, (30, 20)), first)
    slide.get_image_region((33, 25), 0, (1, 1))
    assert client.requests == [[0, 1, 3, 4]]


def test_the_least_recently_used_frame_is_dropped(open_all_counted, written):
    client, metadata = open_all_counted(written.paths)
    slide = Slide(client, metadata, max_frame_cache_size=2)
    for column in (0, 24, 0, 48, 0, 24):
        slide.get_image_region((0, column), 0, (1, 1))
    assert client.requests == [[0], [1], [2], [1]]


def test_no_frames_are_kept_with_a_cache_of_none(open_all_counted, written):
    client, metadata = open_all_counted(written.paths)
    slide = Slide(client, metadata, max_frame_cache_size=0)
    for _ in range(3):
        slide.get_image_region((0, 0), 0, (1, 1))
    assert client.requests == [[0]] * 3


def test_the_images_of_a_slide_keep_frames_of_their_own(open_all_counted, written):
    client, metadata = open_all_counted(written.paths)
    slide = Slide(client, metadata, max_frame_cache_size=1)
    for level in (0, 1, 2, 0, 1, 2):
        slide.get_image_region((0, 0), level, (1, 1))
    assert client.requests == [[0], [0], [0]]


def test_what_a_caller_does_to_a_region_stays_with_it(written):
    slide = open_slide(written.folder)
    before = slide.get_image_region((0, 0), 0, (32, 24))
    expected = before.copy()
    before[...] = 7
    assert np.array_equal(slide.get_image_region((0, 0), 0, (32, 24)), expected)


# Many threads


def test_many_threads_read_at_once(annotated):
    slide = open_slide(annotated.folder, max_frame_cache_size=2)
    matrices = [level.pixels() for level in annotated.levels]
    mask = annotated.segmentations[0].mask(0, 1)
    generator = np.random.default_rng(3)
    boxes = [
        (level, tuple(generator.integers(0, 60, 2).tolist()), generator.integers(1, 60, 2).tolist())
        for level in [0, 1, 2] * 60
    ]

    def read(box):
        level, offset, size = box
        row, column = (index // 2**level for index in offset)
        expected = matrices[level][row : row + size[0], column : column + size[1]]
        region = slide.get_image_region(offset, level, expected.shape[:2])
        segment = slide.get_image_region((0, 0), 0, (90, 70), channel_index=1)[..., 0]
        return np.array_equal(region, expected) and np.array_equal(segment, mask)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, boxes))


def test_a_slide_of_a_client_can_be_read_from_other_threads(written, tmp_path):
    client = DICOMfileClient(f"file://{written.folder}", db_dir=tmp_path)
    slide = Slide(client, read_metadata(written))
    expected = written.levels[0].pixels()
    with ThreadPoolExecutor(4) as pool:
        regions = list(pool.map(lambda _: slide.get_image_region((0, 0), 0, (90, 70)), range(8)))
    assert all(np.array_equal(region, expected) for region in regions)
