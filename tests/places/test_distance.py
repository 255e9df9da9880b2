"""Slides that are far away: how many requests they take, and how deep these lie in one another.

What counts is how many round trips a program waits for, one after the other.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicomslide import open_slide, open_slides
from dicomslide.testing import SyntheticSlide, write_slide
from tests.servers.buckets import BucketServer
from tests.servers.distance import Waves, depth
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


@pytest.mark.parametrize("count", [1, 2, 10])
def test_urls_are_looked_up_side_by_side(server, slides, urls, count):
    listed = [url for slide in slides[:count] for url in urls(slide)]
    found = open_slides(listed, storage_options=server.options)
    assert [slide.container_identifier for slide in found] == [
        f"S26-{number}" for number in range(count)
    ]
    # Each file is looked up, and its header is read
    assert len(server.requests) == 2 * len(listed)
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


def test_a_missing_url_among_others_is_an_error(server, slides, urls):
    listed = urls(slides[0])
    listed.insert(2, "s3://bucket/many/slide-0/none.dcm")
    with pytest.raises(OSError, match=r"none\.dcm: no such file"):
        open_slide(listed, storage_options=server.options)
