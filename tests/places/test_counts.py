"""How many requests are made for a slide, and how many bytes are read."""

from collections.abc import Callable

import dask
import numpy as np
import pytest

from dicomslide import Slide, open_slide
from dicomslide.sources import remotefile
from tests.places.large import TILE, LargeSlide, write_large_slide
from tests.servers.archive import Archive
from tests.servers.dicomweb import DicomwebServer
from tests.servers.ranges import RangeServer
from tests.servers.serving import HttpServer

# 3 x 5 frames, from rows 7 to 9 and columns 11 to 15 of the grid of 40 x 40
OFFSET, SIZE = (7 * TILE + 9, 11 * TILE + 200), (2 * TILE + 100, 4 * TILE + 50)
ROWS, COLUMNS = range(7, 10), range(11, 16)


@pytest.fixture(scope="session")
def write_large(tmp_path_factory) -> Callable[[str], LargeSlide]:
    slides: dict[str, LargeSlide] = {}

    def write(table: str) -> LargeSlide:
        if table not in slides:
            slides[table] = write_large_slide(tmp_path_factory.mktemp(f"large-{table}"), table)
        return slides[table]

    return write


@pytest.fixture(params=["http", "s3"])
def opened(request, write_large, table) -> Callable[[], tuple[Slide, HttpServer]]:
    """Opens a large slide behind a server that counts; the server has forgotten what was before."""
    large = write_large(table)
    if request.param == "http":
        server = request.getfixturevalue("servers").enter_context(RangeServer(large.folder))
        source, options = [server.url(large.path)], {}
    else:
        bucket = request.getfixturevalue("bucket")
        server, options = bucket.server, bucket.options
        source = bucket.upload(large.folder, f"large-{table}")

    def open_it() -> tuple[Slide, HttpServer]:
        server.behave()
        return open_slide(source, storage_options=options), server

    return open_it


@pytest.mark.parametrize("table", ["basic", "extended", "empty"])
def test_opening_reads_hardly_anything(opened, write_large, table):
    size = write_large(table).size
    assert 25e6 < size < 40e6
    _, server = opened()
    assert 0 < server.bytes_sent < 0.02 * size
    assert len(server.requests) < 10


@pytest.mark.parametrize("table", ["basic", "extended"])
def test_region_reads_its_frames(opened, write_large, table):
    """Each row of frames is one range; those of several rows may become one where they are near."""
    large = write_large(table)
    expected = open_slide(large.folder).get_image_region(OFFSET, 0, SIZE)
    slide, server = opened()
    # What is read once for all regions
    slide.get_image_region((0, 0), 0, (1, 1))
    server.behave()
    np.testing.assert_array_equal(slide.get_image_region(OFFSET, 0, SIZE), expected)
    wanted = large.frame_bytes(ROWS, COLUMNS)
    assert wanted <= server.bytes_sent <= wanted + (len(ROWS) - 1) * remotefile._GAP
    assert len(server.requests) <= len(ROWS)


@pytest.mark.parametrize("table", ["basic", "extended"])
def test_first_region_reads_the_offsets_of_its_frames(opened, write_large, table):
    large = write_large(table)
    slide, server = opened()
    slide.get_image_region(OFFSET, 0, SIZE)
    offsets = 1600 * (4 if table == "basic" else 16)
    most = large.frame_bytes(ROWS, COLUMNS) + 0.02 * large.size + offsets
    assert server.bytes_sent < most + len(ROWS) * remotefile._GAP


@pytest.mark.parametrize("table", ["empty"])
def test_items_are_looked_for_once_where_there_are_no_offsets(opened, write_large, table):
    large = write_large(table)
    slide, server = opened()
    expected = open_slide(large.folder).get_image_region(OFFSET, 0, SIZE)
    np.testing.assert_array_equal(slide.get_image_region(OFFSET, 0, SIZE), expected)
    assert server.bytes_sent < 1.1 * large.size
    assert len(server.requests) < 100
    server.behave()
    slide.get_image_region((0, 0), 0, SIZE)
    assert server.bytes_sent < 0.05 * large.size


@pytest.mark.parametrize("table", ["basic"])
def test_small_chunks_do_not_cost_a_request_each(opened, table):
    slide, server = opened()
    array = slide.get_volume_images()[0].get_total_pixel_matrix().dask[: 16 * TILE, : 16 * TILE]
    server.behave()
    array.compute()
    assert len(server.requests) < 128


def test_cached_files_are_downloaded_once(bucket, write_kind, tmp_path):
    written = write_kind("sparse")
    url = bucket.upload(written.folder, "cached")
    options = {"s3": bucket.options, "simplecache": {"cache_storage": str(tmp_path)}}
    bucket.server.behave()
    for _ in range(2):
        slide = open_slide(f"simplecache::{url}", storage_options=options)
        for index, level in enumerate(written.levels):
            slide.get_image_region((0, 0), index, level.size)
    total = sum(path.stat().st_size for path in written.paths)
    listings = sum(request.sent for request in bucket.server.matching("list-type"))
    assert bucket.server.bytes_sent - listings <= 1.1 * total


# DICOMweb


@pytest.fixture(scope="session")
def large_archive(write_large) -> Archive:
    return Archive(write_large("basic").paths)


@pytest.fixture
def service(large_archive):
    with DicomwebServer(large_archive) as server:
        yield server


@pytest.fixture
def expected(write_large) -> Slide:
    return open_slide(write_large("basic").folder)


def test_opening_is_a_search_and_the_metadata_of_each_series(serve, write_kind):
    server = serve("derived")
    open_slide(f"dicomweb+{server.url}")
    written = write_kind("derived")
    series = 1 + len(written.segmentations) + len(written.parametric_maps)
    assert len(server.matching("/metadata")) == series
    # For slides, and for each class of what is derived from them; twice, as there may be more pages
    assert len(server.requests) - series <= 2 * 4
    assert server.matching("/frames/") == []


def test_region_is_one_request(service, expected):
    slide = open_slide(f"dicomweb+{service.url}")
    service.behave()
    region = slide.get_image_region(OFFSET, 0, SIZE)
    np.testing.assert_array_equal(region, expected.get_image_region(OFFSET, 0, SIZE))
    (request,) = service.requests
    numbers = [int(number) for number in request.path.rpartition("/")[2].split(",")]
    assert numbers == [row * 40 + column + 1 for row in ROWS for column in COLUMNS]


def test_many_frames_are_several_requests(service, expected):
    """A request has a bounded number of frames, so that neither side has to hold all of them."""
    slide = open_slide(f"dicomweb+{service.url}")
    service.behave()
    region = slide.get_image_region((0, 0), 0, (14 * TILE, 40 * TILE))
    np.testing.assert_array_equal(region, expected.get_image_region((0, 0), 0, region.shape[:2]))
    assert 2 <= len(service.requests) <= 20
    assert max(request.sent for request in service.requests) < 64 << 20


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
@pytest.mark.parametrize("optimize", [True, False])
def test_chunks_of_one_frame_do_not_cost_a_request_each(service, expected, scheduler, optimize):
    slide, rows, columns = open_slide(f"dicomweb+{service.url}"), slice(0, 4096), slice(512, 4608)
    array = slide.get_volume_images()[0].get_total_pixel_matrix().dask[rows, columns]
    assert array.numblocks == (16, 16, 1)
    service.behave()
    pixels = array.compute(scheduler=scheduler, optimize_graph=optimize)
    same = expected.get_volume_images()[0].get_total_pixel_matrix()[rows, columns]
    np.testing.assert_array_equal(pixels, same)
    assert len(service.requests) <= 64
    # What was read ahead was of use, mostly
    asked = [n for r in service.requests for n in r.path.rpartition("/")[2].split(",")]
    assert len(asked) < 2 * 256


def test_scattered_chunks_read_little_that_is_of_no_use(service):
    slide = open_slide(f"dicomweb+{service.url}")
    array = slide.get_volume_images()[0].get_total_pixel_matrix().dask
    service.behave()
    places = np.random.default_rng(0).permutation(1600)[:60]
    for place in places:
        row, column = divmod(int(place), 40)
        array.blocks[row, column].compute(scheduler="synchronous")
    asked = [n for r in service.requests for n in r.path.rpartition("/")[2].split(",")]
    assert len(asked) <= 4 * len(places)


def test_each_frame_of_a_tree_is_read_once(serve):
    server = serve("fluorescence")
    tree = open_slide(f"dicomweb+{server.url}").to_datatree(chunks={})
    server.behave()
    dask.compute(tree["level_0"]["image"].data)
    asked = [
        (r.path.rpartition("/frames/")[0], n)
        for r in server.matching("/frames/")
        for n in r.path.rpartition("/")[2].split(",")
    ]
    assert len(set(asked)) == 5 * 5 * 3 * 2
    assert len(asked) <= 1.5 * len(set(asked))


def test_connections_are_kept(service):
    slide = open_slide(f"dicomweb+{service.url}")
    for row in range(20):
        slide.get_image_region((row * TILE, 0), 0, (TILE, 20 * TILE))
    assert len(service.requests) >= 20
    assert service.connections < 12
