"""Slides that are far away: how many requests they take, and how deep these lie in one another.

What counts is how many round trips a program waits for, one after the other.
"""

import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGBaseline8Bit

from dicomslide import iter_slides, open_slide, open_slides
from dicomslide.sources.remotefile import find_remote_files
from dicomslide.sources.sidebyside import FILES_AT_ONCE
from dicomslide.stores.places import holds_slide
from dicomslide.testing import SyntheticSlide, write_slide
from tests.servers.buckets import BucketServer
from tests.servers.distance import RoundTrips, Waves, depth
from tests.servers.ranges import RangeServer

TILE = (16, 16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("far")


@pytest.fixture(scope="module")
def slides(folder: Path) -> list[SyntheticSlide]:
    """Ten slides of five files each, in folders of their own."""
    return [
        write_slide(
            folder / "bucket" / "many" / f"slide-{number}",
            size=(64, 96),
            tile=TILE,
            factors=(1, 2, 4),
            label=True,
            overview=True,
            container_identifier=f"S26-{number}",
            accession_number=f"far {number}",
            seed=number,
        )
        for number in range(10)
    ]


@pytest.fixture
def server(folder: Path) -> Iterator[BucketServer]:
    """A bucket that is far away."""
    with BucketServer(folder) as server:
        server.distance = Waves()
        yield server


@pytest.fixture
def urls(slides: list[SyntheticSlide]) -> Callable[[SyntheticSlide], list[str]]:
    return lambda slide: [
        f"s3://bucket/many/{slide.folder.name}/{path.name}" for path in slide.paths
    ]


def made(server: RangeServer) -> list[str]:
    """Method and target of each request, sorted."""
    return sorted(f"{request.method} {request.target}" for request in server.requests)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_urls_are_looked_up_side_by_side(server, slides, urls, count):
    listed = [url for slide in slides[:count] for url in urls(slide)]
    found = open_slides(listed, storage_options=server.options)
    assert [slide.container_identifier for slide in found] == [
        f"S26-{number}" for number in range(count)
    ]
    # Each file is looked up, and its header is read
    assert made(server) == [
        f"{method} /{url.removeprefix('s3://')}"
        for method in ("GET", "HEAD")
        for url in sorted(listed)
    ]
    assert depth(server.requests) == 2


def test_files_on_web_servers_are_looked_up_side_by_side(slides):
    slide = slides[0]
    with RangeServer(slide.folder) as server:
        server.distance = Waves()
        open_slide([server.url(path) for path in slide.paths])
        assert len(server.requests) == 2 * len(slide.paths)
        assert depth(server.requests) == 2


def test_prefixes_are_listed_side_by_side(server, slides):
    prefixes = [f"s3://bucket/many/{slide.folder.name}/" for slide in slides[:5]]
    found = open_slides(prefixes, storage_options=server.options)
    assert len(found) == 5
    assert len(server.requests) == 5 + sum(len(slide.paths) for slide in slides[:5])
    assert depth(server.requests) == 2


def test_clients_make_one_session_for_requests_that_begin_together(slides):
    """A file system that is not connected yet is used by many threads."""
    slide = slides[0]
    with RangeServer(slide.folder) as server:
        open_slide([server.url(path) for path in slide.paths])
        # Each session has its own connections, and the second requests of all use them again
        assert server.connections <= len(slide.paths)


def test_engines_are_asked_without_a_request(server, slides, urls):
    listed = urls(slides[0])
    assert not holds_slide(listed)
    assert not holds_slide(listed[0])
    assert server.requests == []


def test_a_missing_url_among_others_is_an_error(server, slides, urls):
    listed = urls(slides[0])
    listed.insert(2, "s3://bucket/many/slide-0/none.dcm")
    with pytest.raises(OSError, match=r"none\.dcm: no such file"):
        open_slide(listed, storage_options=server.options)


# One level of many frames

SIDE = 64
COUNT = SIDE**2


@pytest.fixture(scope="module")
def large(folder: Path) -> Callable[[str], Path]:
    """Writes a slide of 4,096 frames whose header is longer than what is read of it at first."""

    @cache
    def written(organization: str) -> Path:
        return write_slide(
            folder / "written" / organization,
            size=(SIDE * TILE[0], SIDE * TILE[1]),
            tile=TILE,
            factors=(1,),
            transfer_syntax=JPEGBaseline8Bit,
            organization=organization,
            offset_table="extended",
            icc_profile=False,
            label=False,
            overview=False,
        ).paths[0]

    @cache
    def make(kind: str) -> Path:
        path = folder / "bucket" / kind.replace(" ", "-") / "level-0.dcm"
        path.parent.mkdir(parents=True)
        dataset = pydicom.dcmread(
            written("TILED_SPARSE" if kind.startswith("sparse") else "TILED_FULL")
        )
        if kind == "sparse, undefined length":
            groups = dataset["PerFrameFunctionalGroupsSequence"]
            groups.is_undefined_length = True
            for item in groups.value:
                item.is_undefined_length_sequence_item = True
        elif kind in ("basic", "empty"):
            frames = list(generate_frames(dataset.PixelData, number_of_frames=COUNT))
            dataset.PixelData = encapsulate(frames, has_bot=kind == "basic")
            del dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths
        dataset.save_as(path)
        return path

    return make


KINDS = ("extended", "sparse", "sparse, undefined length", "basic", "empty")
# A region of 3 x 3 frames
REGION = (20 * TILE[0] + 1, 30 * TILE[1] + 1), (2 * TILE[0], 2 * TILE[1])


@pytest.mark.parametrize(
    ("kind", "opening", "region"),
    [
        # A listing, the first bytes, the rest of the header; then frames
        ("extended", 3, 1),
        ("sparse", 3, 1),
        ("sparse, undefined length", 3, 1),
        # The table is in the first bytes
        ("basic", 2, 1),
        # The items are looked for, in one read as the file is small
        ("empty", 2, 2),
    ],
)
def test_slides_of_many_frames_open_in_few_steps(server, large, kind, opening, region):
    path = large(kind)
    expected = open_slide(path).get_image_region(REGION[0], 0, REGION[1])
    slide = open_slide(
        f"s3://bucket/{path.parent.name}/", storage_options=server.options, max_frame_cache_size=0
    )
    assert depth(server.requests) <= opening
    server.behave()
    np.testing.assert_array_equal(slide.get_image_region(REGION[0], 0, REGION[1]), expected)
    assert depth(server.requests) <= region


def test_last_frame_has_an_end_of_its_own_to_find(server, large):
    """Basic offset tables do not state where the last frame ends."""
    path = large("basic")
    last = (SIDE - 1) * TILE[0], (SIDE - 1) * TILE[1]
    expected = open_slide(path).get_image_region(last, 0, TILE)
    slide = open_slide(f"s3://bucket/{path.parent.name}/", storage_options=server.options)
    server.behave()
    np.testing.assert_array_equal(slide.get_image_region(last, 0, TILE), expected)
    assert depth(server.requests) <= 2


READ = """
import pickle, sys
array = pickle.load(sys.stdin.buffer)
pickle.dump(array[320:352, 480:512], sys.stdout.buffer)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_other_processes_read_nothing_but_frames(server, large, kind):
    path = large(kind)
    slide = open_slide(f"s3://bucket/{path.parent.name}/", storage_options=server.options)
    array = slide.get_total_pixel_matrix(0).array
    if kind == "empty":
        # Without an offset table it has to be read once where the frames are
        array[:1, :1]
    server.behave()
    server.distance = RoundTrips(0)
    done = subprocess.run(
        [sys.executable, "-c", READ],
        input=pickle.dumps(array),
        capture_output=True,
        check=True,
        timeout=120,
    )
    expected = open_slide(path).get_total_pixel_matrix(0)[320:352, 480:512]
    np.testing.assert_array_equal(pickle.loads(done.stdout), expected)
    offsets = [
        int(request.headers["Range"].removeprefix("bytes=").partition("-")[0])
        for request in server.requests
    ]
    # One request for each of two rows of frames, which may be one where they are near
    assert 1 <= len(offsets) <= 2
    assert all(offset > array.source.start for offset in offsets)


# Many bytes


def test_long_ranges_are_read_in_blocks_side_by_side(server, folder):
    content = np.random.default_rng(1).bytes(24 << 20)
    (folder / "bucket" / "long.bin").write_bytes(content)
    ((file,),) = find_remote_files(["s3://bucket/long.bin"], server.options)
    server.behave()
    (found,) = file.read([(1 << 20, 22 << 20)])
    assert found == content[1 << 20 : 23 << 20]
    assert depth(server.requests) == 1
    # Blocks of 1 MiB at least, of which about 16 are read at a time
    assert 8 <= len(server.requests) <= 22


def test_level_is_read_in_one_wave(server, large):
    """Batches of frames are on their way while others are decoded."""
    path = large("extended")
    matrix = open_slide(path).get_total_pixel_matrix(0)
    # 4,096 frames are eight batches of 512, fewer than what is read ahead in bytes
    slide = open_slide(f"s3://bucket/{path.parent.name}/", storage_options=server.options)
    server.behave()
    np.testing.assert_array_equal(slide.get_total_pixel_matrix(0)[:], matrix[:])
    assert depth(server.requests) == 1
    assert server.bytes_sent <= path.stat().st_size


def test_other_files_beside_a_slide_cost_few_bytes(server, slides, folder):
    beside = folder / "bucket" / "beside"
    shutil.copytree(slides[0].folder, beside / "slide")
    for number in range(120):
        (beside / f"{number:03}.json").write_bytes(b'{"some": "text"}' * 10_000)
        (beside / f"{number:03}.txt").write_bytes(b"too short")
    expected = open_slide(slides[0].folder).container_identifier
    server.behave()
    slide = open_slide("s3://bucket/beside/", storage_options=server.options)
    assert slide.container_identifier == expected
    # Each file once, but for those that are too short; the listing, whose pages have a thousand
    # objects
    reads = [f"GET /bucket/beside/{number:03}.json" for number in range(120)]
    reads += [f"GET /bucket/beside/slide/{path.name}" for path in slides[0].paths]
    assert [text for text in made(server) if "list-type" not in text] == sorted(reads)
    assert len(server.matching("list-type")) == 1
    listing = sum(request.sent for request in server.matching("list-type"))
    heads = sum(path.stat().st_size for path in slides[0].paths)
    assert server.bytes_sent - listing <= 120 * 1024 + heads
    # Side by side, 64 at a time
    assert depth(server.requests) <= 1 + -(-(120 + len(slides[0].paths)) // FILES_AT_ONCE)


def test_dicom_files_may_have_any_name(server, slides, folder):
    odd = folder / "bucket" / "odd"
    odd.mkdir()
    for number, path in enumerate(slides[1].paths):
        name = [f"{number}.jpg", f"1.2.3.{number}", f"{number}", f"{number}.DCM"][number % 4]
        shutil.copy(path, odd / name)
    slide = open_slide("s3://bucket/odd/", storage_options=server.options)
    assert slide.container_identifier == "S26-1"
    assert len(slide.get_volume_images()) == 3


def test_slides_of_many_prefixes_are_opened_side_by_side(server, slides):
    prefixes = [f"s3://bucket/many/{slide.folder.name}/" for slide in slides]
    found = [
        slide.container_identifier
        for slide in iter_slides(prefixes, storage_options=server.options)
    ]
    assert found == [f"S26-{number}" for number in range(10)]
    assert len(server.requests) == 10 + sum(len(slide.paths) for slide in slides)
    # All listings, then all headers
    assert depth(server.requests) == 2


# Services


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        # A search, which also counts; then metadata
        ("plain", 2),
        # Modality does not tell what the Parametric Map is
        ("derived", 3),
        # ICC profiles are bulk data
        ("brightfield", 3),
    ],
)
def test_studies_open_in_few_steps(serve, write_kind, kind, most):
    server = serve(kind, counts_series=True)
    server.distance = Waves()
    study = write_kind(kind).study_instance_uid
    slide = open_slide(f"dicomweb+{server.url}", study_instance_uid=study)
    assert slide.num_levels == len(write_kind(kind).levels)
    assert depth(server.requests) <= most


@pytest.mark.parametrize("counts_series", [False, True])
def test_further_pages_are_asked_for_where_there_are_more_series(serve, write_kind, counts_series):
    study = write_kind("derived").study_instance_uid
    server = serve("derived", page_size=1, counts_series=counts_series)
    slide = open_slide(f"dicomweb+{server.url}", study_instance_uid=study)
    assert len(slide.to_datatree()["level_0"].segment) > 0
    assert server.matching("offset=1")
