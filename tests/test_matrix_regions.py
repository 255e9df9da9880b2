"""Many regions read together: the pixels of each, and what is fetched, decoded and held for all."""

import tracemalloc
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian

from dicomslide import TotalPixelMatrix, open_slide
from dicomslide.metadata.pixel_format import PixelFormat
from dicomslide.pixels.array import FrameArray
from dicomslide.pixels.cache import FrameCache
from dicomslide.pixels.frames import ImageFrames
from dicomslide.tile import FullTiling
from tests.servers.ranges import RangeServer

# The small slide of the fixture make_slide, whose last row and column of frames are cropped
SIZE, TILE, GRID = (70, 90), (16, 24), (5, 4)
WHITE = 255

offsets = st.lists(st.tuples(st.integers(-30, 80), st.integers(-30, 100)), max_size=12)
sizes = st.tuples(st.integers(0, 40), st.integers(0, 40))


@pytest.fixture(scope="module")
def counted(make_slide, open_counted):
    """A matrix without a cache, a list of the frames of each read, and the pixels."""
    slide = make_slide()
    client, metadata = open_counted(slide.paths[0])
    matrix = TotalPixelMatrix(client, metadata, max_frame_cache_size=0)
    return matrix, client.requests, slide.levels[0].pixels()


@pytest.fixture(params=["regular", "overlapping", "several levels", "corrected"], scope="module")
def slide(request, make_slide):
    options = {
        "regular": {},
        "overlapping": {"organization": "TILED_SPARSE", "sparse": "overlapping"},
        "several levels": {"size": (90, 70), "tile": (32, 24), "factors": (1, 2, 4)},
        "corrected": {"icc_profile": True},
    }
    return open_slide(make_slide(**options[request.param]).folder)


def touched(corners, size) -> list[int]:
    """Frames that share pixels with at least one of the regions, ascending."""
    frames = set()
    for corner in corners:
        rows, columns = (
            {
                pixel // TILE[axis]
                for pixel in range(corner[axis], corner[axis] + size[axis])
                if 0 <= pixel < SIZE[axis]
            }
            for axis in range(2)
        )
        frames |= {row * GRID[1] + column for row in rows for column in columns}
    return sorted(frames)


@given(corners=offsets, size=sizes)
def test_regions_are_the_pixels_and_each_frame_is_read_once(counted, take_region, corners, size):
    matrix, requests, pixels = counted
    requests.clear()
    regions = matrix.read_regions(corners, size)
    assert regions.shape == (len(corners), *size, 3)
    for region, corner in zip(regions, corners, strict=True):
        np.testing.assert_array_equal(region, take_region(pixels, corner, size, WHITE))
    expected = touched(corners, size)
    # One call for all regions, and none for those that lie outside
    assert requests == ([expected] if expected else [])


@given(corners=offsets, size=sizes, level=st.integers(0, 2))
def test_regions_of_a_slide_are_those_that_are_read_alone(slide, corners, size, level):
    level = min(level, slide.num_levels - 1)
    regions = slide.get_image_regions(corners, level, size)
    assert regions.shape == (len(corners), *size, 3)
    matrix = slide.get_total_pixel_matrix(level)
    for region, corner in zip(regions, corners, strict=True):
        np.testing.assert_array_equal(region, slide.get_image_region(corner, level, size))
        if level == 0:
            np.testing.assert_array_equal(region, matrix.read_region(corner, size))


def test_regions_are_those_of_their_channel_and_focal_plane(make_slide):
    written = make_slide(samples=1, bits=16, optical_paths=2, focal_planes=2)
    slide, corners = open_slide(written.folder), [(0, 0), (-5, 60), (33, 17)]
    seen = set()
    for channel in range(2):
        for plane in range(2):
            regions = slide.get_image_regions(corners, 0, (20, 30), channel, plane)
            for region, corner in zip(regions, corners, strict=True):
                alone = slide.get_image_region(corner, 0, (20, 30), channel, plane)
                np.testing.assert_array_equal(region, alone)
            seen.add(regions.tobytes())
    assert len(seen) == 4


class TestOut:
    """`out` takes up the regions, whatever its layout, and nothing of what it held is left."""

    corners, size = ((-4, 3), (20, 60), (60, 80), (200, 200)), (18, 25)

    @pytest.mark.parametrize("shape", ["samples last", "samples first", "every second"])
    def test_output_may_have_any_layout(self, counted, shape):
        matrix = counted[0]
        out = {
            "samples last": lambda: np.full((4, 18, 25, 3), 7, np.uint8),
            "samples first": lambda: np.full((4, 3, 18, 25), 7, np.uint8).transpose(0, 2, 3, 1),
            "every second": lambda: np.full((4, 36, 25, 3), 7, np.uint8)[:, ::2],
        }[shape]()
        assert matrix.read_regions(self.corners, self.size, out=out) is out
        np.testing.assert_array_equal(out, matrix.read_regions(self.corners, self.size))

    @pytest.mark.parametrize("shape", ["samples last", "samples first"])
    def test_output_has_corrected_colours(self, make_slide, shape):
        slide = open_slide(make_slide(icc_profile=True).folder)
        out = np.zeros((4, 18, 25, 3), np.uint8)
        if shape == "samples first":
            out = np.zeros((4, 3, 18, 25), np.uint8).transpose(0, 2, 3, 1)
        slide.get_image_regions(self.corners, 0, self.size, out=out)
        expected = slide.get_image_regions(self.corners, 0, self.size)
        np.testing.assert_array_equal(out, expected)

    @pytest.mark.parametrize(
        ("out", "error", "message"),
        [
            (np.empty((4, 18, 25, 3), np.int8), ValueError, "uint8"),
            (np.empty((4, 25, 18, 3), np.uint8), ValueError, r"\(4, 18, 25, 3\)"),
            ([1, 2], TypeError, "ndarray"),
            (np.broadcast_to(np.uint8(0), (4, 18, 25, 3)), ValueError, "read-only"),
        ],
    )
    def test_output_that_does_not_fit_is_an_error(self, counted, out, error, message):
        matrix, requests, _ = counted
        requests.clear()
        with pytest.raises(error, match=f"out: .*{message}"):
            matrix.read_regions(self.corners, self.size, out=out)
        assert requests == []


class TestArguments:
    @pytest.mark.parametrize("corners", [[(1, 2)], np.array([[1, 2]], np.uint16), ((1, 2),)])
    def test_offsets_are_anything_like_an_array(self, counted, corners):
        matrix, _, pixels = counted
        np.testing.assert_array_equal(matrix.read_regions(corners, (3, 4))[0], pixels[1:4, 2:6])

    @pytest.mark.parametrize(
        ("corners", "size", "error"),
        [
            ([(1.0, 2.0)], (3, 4), TypeError),
            ([(True, False)], (3, 4), TypeError),
            ([1, 2], (3, 4), ValueError),
            ([(1, 2, 3)], (3, 4), ValueError),
            ([(1, 2), (3,)], (3, 4), ValueError),
            ([(1, 2)], (-1, 4), ValueError),
            ([(1, 2)], (1.5, 4), TypeError),
        ],
    )
    def test_other_offsets_and_sizes_are_errors(self, counted, corners, size, error):
        with pytest.raises(error, match=r"offsets|size"):
            counted[0].read_regions(corners, size)

    def test_no_region_is_an_empty_array(self, counted):
        assert counted[0].read_regions([], (3, 4)).shape == (0, 3, 4, 3)


@dataclass(frozen=True)
class BlankFrames:
    """A source of frames of 64 KiB, of which it makes one when it is asked for."""

    name = token = "blank"
    batch_size = 64
    remote: bool = False

    def read(self, frames):
        return [bytes(2**16) for _ in frames]


@pytest.mark.parametrize("remote", [False, True])
def test_frames_are_dropped_when_they_are_in_all_regions(remote):
    """4,096 regions of a pixel in frames that are 256 MiB together."""
    tile, grid = (256, 256), (64, 64)
    monochrome = PixelFormat(
        rows=tile[0],
        columns=tile[1],
        samples=1,
        bits_allocated=8,
        bits_stored=8,
        high_bit=7,
        signed=False,
        floating=False,
        photometric="MONOCHROME2",
        planar=False,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    array = FrameArray(
        ImageFrames(BlankFrames(remote), monochrome, FrameCache("", 0)),
        (tile[0] * grid[0], tile[1] * grid[1]),
        FullTiling(grid, tile),
        (0, 0),
    )
    corners = np.indices(grid).reshape(2, -1).T * tile + 100
    matrix = TotalPixelMatrix._of(replace(array, threads=2))
    tracemalloc.start()
    try:
        regions = matrix.read_regions(corners, (1, 1))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert regions.shape == (4096, 1, 1, 1)
    # Two batches of 4 MiB, and a kilobyte about where each region lies
    assert peak < 2**26


def test_a_hundred_regions_are_asked_for_at_once(make_slide):
    """What lies close together in a file is read in blocks side by side, and each byte once."""
    written = make_slide(size=(640, 960), tile=(32, 48))
    with RangeServer(written.folder) as server:
        slide = open_slide([server.url(path) for path in written.paths])
        corners = [(row, column) for row in range(0, 640, 64) for column in range(0, 960, 96)]
        server.requests.clear()
        regions = slide.get_image_regions(corners, 0, (64, 96))
        # Blocks have at least a MiB, and these are less than two
        assert len(server.requests) <= 2
        assert server.bytes_sent <= 640 * 960 * 3
    pixels = written.levels[0].pixels()
    for region, (row, column) in zip(regions, corners, strict=True):
        np.testing.assert_array_equal(region, pixels[row : row + 64, column : column + 96])


def test_far_frames_are_asked_for_side_by_side(make_slide, open_counted):
    """Frames that are megabytes apart, in as few calls as their source has batches."""
    slide = make_slide(size=(640, 960), tile=(32, 32))
    client, metadata = open_counted(slide.paths[0])
    matrix = TotalPixelMatrix(client, metadata, max_frame_cache_size=0)
    matrix.read_regions([(0, 0), (320, 480), (639, 959), (0, 0)], (1, 1))
    assert client.requests == [[0, 315, 599]]
