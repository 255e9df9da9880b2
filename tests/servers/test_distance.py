"""What the tests of distant places rely on: requests are counted, and so is their depth."""

from concurrent.futures import ThreadPoolExecutor
from email.message import Message

import fsspec
import pytest
import requests

from tests.servers.buckets import BucketServer
from tests.servers.distance import RoundTrips, Waves, depth
from tests.servers.messages import Request
from tests.servers.ranges import RangeServer


def request(start: float, end: float) -> Request:
    return Request("GET", "/", Message(), b"", 1, start, ended=end)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], 0),
        ([(0, 1), (0, 1), (0.5, 2)], 1),
        ([(0, 1), (2, 3), (4, 5)], 3),
        # The short ones follow each other beside the long one
        ([(0, 10), (0, 1), (2, 3)], 2),
        # One that never ends is followed by none
        ([(0, 1), (2, float("inf")), (3, float("inf"))], 2),
    ],
)
def test_depth_is_the_longest_chain(times, expected):
    assert depth(request(*pair) for pair in reversed(times)) == expected


def test_requests_that_are_made_together_are_one_wave(tmp_path):
    (tmp_path / "a").write_bytes(bytes(10))
    with RangeServer(tmp_path) as server, ThreadPoolExecutor(8) as pool:
        server.distance = Waves()
        for _ in range(2):
            list(pool.map(lambda _: requests.get(f"{server.origin}/a"), range(8)))
        assert len(server.requests) == 16
        assert depth(server.requests) == 2


def test_bytes_take_their_time(tmp_path):
    (tmp_path / "a").write_bytes(bytes(300_000))
    with RangeServer(tmp_path) as server:
        server.distance = RoundTrips(0.1, 1e6)
        assert requests.get(f"{server.origin}/a").content == bytes(300_000)
        (found,) = server.requests
        assert found.ended - found.time >= 0.4


def test_bucket_lists_its_objects_page_by_page(tmp_path):
    names = [f"folder {n % 2}/{n:04}&.dcm" for n in range(2100)]
    for name in names:
        path = tmp_path / "bucket" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    with BucketServer(tmp_path) as server:
        files = fsspec.filesystem("s3", **server.options)
        assert sorted(files.find("bucket")) == sorted(f"bucket/{name}" for name in names)
        assert len(server.requests) == 3
        assert files.ls("bucket", detail=False) == ["bucket/folder 0", "bucket/folder 1"]
        assert files.cat_file(f"bucket/{names[0]}", start=2, end=6) == names[0][2:6].encode()
        assert files.info(f"bucket/{names[1]}")["size"] == len(names[1])
        assert files.info("bucket/folder 0")["type"] == "directory"
        for missing in ("bucket/none", "bucket/folder 0"):
            with pytest.raises(FileNotFoundError):
                files.cat_file(missing)
