"""Ranges of files at other places: the right bytes, few requests, and one error for what fails."""

import pickle
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from dicomslide.errors import DicomSlideError, SourceError
from dicomslide.sources import filesystems, remotefile, retries
from dicomslide.sources.remotefile import RemoteFile, find_remote_files, is_url, local_path
from tests.servers.dripping import dripping
from tests.servers.faults import cut, hang_up, never_end, redirect, silence, status, with_headers
from tests.servers.messages import Answer, Request
from tests.servers.ranges import RangeServer, shorten_range

# Longer than what is kept of the start of a file
SIZE = 300_000
CONTENT = bytes(range(251)) * (SIZE // 251 + 1)
CONTENT = CONTENT[:SIZE]
HEAD, GAP = 1 << 16, 1 << 16


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(retries, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(retries, "_JITTER", 0.0)
    remotefile._heads.remake()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.dcm").write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def server(folder):
    with RangeServer(folder) as server:
        yield server


@pytest.fixture
def file(server, folder) -> RemoteFile:
    (found,) = find_remote_files([server.url(folder / "a.dcm")], None)[0]
    server.behave()
    return found


@pytest.fixture
def memory():
    """A folder in memory: its URL, and a function that puts a file into it."""
    name = uuid4().hex
    file_system = fsspec.filesystem("memory")

    def put(path: str, content: bytes = b"1234") -> None:
        file_system.pipe_file(f"/{name}/{path}", content)

    yield f"memory://{name}", put
    if file_system.exists(f"/{name}"):
        file_system.rm(f"/{name}", recursive=True)


def expect(file: RemoteFile, ranges) -> None:
    assert file.read(ranges) == [CONTENT[a : a + length] for a, length in ranges]


def range_of(request: Request) -> tuple[int, int]:
    first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["Range"]).groups()
    return int(first), int(last) + 1


class CountingFileSystem(MemoryFileSystem):
    """Files in memory, and the ranges of them that were read."""

    protocol = "counting"
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, int]] = []

    def cat_file(self, path, start=None, end=None, **options):  # noqa: ARG002
        self.asked.append((start, end))
        return CONTENT[start:end]


ranges_of_any_kind = st.lists(
    st.tuples(st.integers(0, SIZE), st.integers(0, SIZE // 3)).filter(lambda r: sum(r) <= SIZE),
    max_size=12,
)


class TestRead:
    @given(ranges_of_any_kind, st.integers(0, 5000), st.integers(1, SIZE))
    def test_any_ranges_are_read_in_any_order(self, ranges, gap, block):
        place = CountingFileSystem()
        file = RemoteFile("counting://a", SIZE, "", place, "/a")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(remotefile, "_GAP", gap)
            patch.setattr(remotefile, "_BLOCK", block)
            patch.setattr(remotefile, "_MOST_HEAD", 128)
            expect(file, ranges)
        longest = max((length for _, length in ranges), default=0)
        for start, end in place.asked:
            assert 0 <= start < end <= SIZE
            assert end - start <= max(block, longest, 128)

    @given(ranges_of_any_kind)
    def test_only_ranges_and_small_gaps_are_fetched(self, ranges):
        place = CountingFileSystem()
        file = RemoteFile("counting://a", SIZE, "", place, "/a")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(remotefile, "_MOST_HEAD", 0)
            patch.setattr(remotefile, "_GAP", 1000)
            expect(file, ranges)
        wanted = {byte // 100 for a, length in ranges for byte in range(a, a + length, 100)}
        read = {byte // 100 for a, end in place.asked for byte in range(a, end, 100)}
        assert len(read) <= len(wanted) + 12 * len(ranges)

    def test_neighbouring_ranges_are_one_request(self, server, file):
        frames = [(100_000 + 5000 * n, 5000) for n in range(30)]
        expect(file, frames[::-1])
        (request,) = server.requests
        assert range_of(request) == (100_000, 250_000)

    @pytest.mark.parametrize(("gap", "requests"), [(GAP, 1), (GAP + 1, 2)])
    def test_ranges_up_to_the_largest_gap_are_one_request(self, server, file, gap, requests):
        expect(file, [(100_000, 10), (100_010 + gap, 10)])
        assert len(server.requests) == requests
        assert server.bytes_sent == 20 + (gap if requests == 1 else 0)

    def test_start_of_the_file_is_read_once(self, server, file):
        for _ in range(3):
            expect(file, [(0, 132), (HEAD - 8, 8)])
            expect(file, [(500, 16)])
        assert [range_of(request) for request in server.requests] == [(0, HEAD)]

    def test_small_file_is_read_as_a_whole(self, memory):
        url, put = memory
        put("small.dcm", b"0123456789")
        (file,) = find_remote_files([f"{url}/small.dcm"], None)[0]
        assert file.read([(2, 3), (9, 1), (10, 0)]) == [b"234", b"9", b""]

    def test_empty_file_can_be_read(self, server, folder):
        (folder / "empty.dcm").write_bytes(b"")
        (file,) = find_remote_files([server.url(folder / "empty.dcm")], None)[0]
        assert file.read([(0, 0)]) == [b""]
        with pytest.raises(SourceError, match="truncated"):
            file.read([(0, 1)])

    @pytest.mark.parametrize(("offset", "length"), [(SIZE, 1), (SIZE - 5, 6), (10**12, 3)])
    def test_range_behind_the_end_is_not_asked_for(self, server, file, offset, length):
        with pytest.raises(SourceError, match=rf"a\.dcm: ends at byte {SIZE}.*truncated"):
            file.read([(0, 4), (offset, length)])
        assert server.requests == []

    def test_pickled_file_is_read_in_another_process(self, file):
        arrived = pickle.loads(pickle.dumps(file))
        assert (arrived, arrived.modified) == (file, file.modified)
        assert len(pickle.dumps(file)) < 1000
        expect(arrived, [(200_000, 5)])


class TestFaults:
    @pytest.mark.parametrize(
        "fault", [status(503), status(429), hang_up(), cut(0.5), shorten_range(5)]
    )
    def test_passing_faults_are_asked_again(self, server, file, fault):
        server.misbehave(fault, times=3)
        expect(file, [(150_000, 5000)])
        assert len(server.requests) == 4

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (status(503), "503"),
            (hang_up(), "isconnected"),
            (cut(0.5), "asked 4 times"),
            (shorten_range(5), "4995 bytes were delivered for 5000"),
        ],
    )
    def test_lasting_faults_are_an_error(self, server, file, fault, reason):
        server.misbehave(fault)
        with pytest.raises(SourceError, match=rf"^{server.origin}/a\.dcm: .*{reason}") as caught:
            file.read([(150_000, 5000)])
        # The library below asks once more itself when a connection breaks
        assert len(server.requests) in (4, 8)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [(status(404), "no such file"), (status(401), "denied"), (status(403), "denied")],
    )
    def test_final_faults_are_an_error_at_once(self, server, file, fault, reason):
        server.misbehave(fault)
        with pytest.raises(SourceError, match=rf"a\.dcm: .*{reason}"):
            file.read([(150_000, 5000)])
        assert len(server.requests) == 1

    def test_server_without_ranges_is_an_error(self, folder):
        with RangeServer(folder, ranges=False) as server:
            (file,) = find_remote_files([server.url(folder / "a.dcm")], None)[0]
            server.behave()
            with pytest.raises(SourceError, match="simplecache::"):
                file.read([(150_000, 5000)])
            assert len(server.requests) == 1

    def test_file_that_became_shorter_is_an_error(self, folder, file):
        (folder / "a.dcm").write_bytes(CONTENT[:160_000])
        for offset in (155_000, 200_000):
            with pytest.raises(SourceError, match=r"a\.dcm"):
                file.read([(offset, 10_000)])

    def test_file_that_is_gone_from_memory_is_an_error(self, memory):
        url, put = memory
        put("a.dcm", CONTENT)
        (file,) = find_remote_files([f"{url}/a.dcm"], None)[0]
        fsspec.filesystem("memory").rm(file.key)
        with pytest.raises(SourceError, match=f"^{url}/a.dcm: "):
            file.read([(150_000, 5)])

    def test_message_has_no_signature(self, server, folder):
        url = f"{server.url(folder / 'a.dcm')}?signature=s3cret&user=Doe"
        (file,) = find_remote_files([url], None)[0]
        assert file.path == server.url(folder / "a.dcm")
        assert server.requests[-1].query == [("signature", "s3cret"), ("user", "Doe")]
        for fault in (status(400), status(403), status(500), hang_up(), cut(0.5)):
            server.behave()
            server.misbehave(fault)
            with pytest.raises(SourceError) as caught:
                file.read([(150_000, 5)])
            assert re.search("s3cret|Doe|signature", str(caught.value)) is None


class TestAnswers:
    """What was not asked for is given up before its body is read."""

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"status": 200}, "simplecache::"),
            ({"Content-Range": None}, "without a Content-Range"),
            ({"Content-Range": "bytes 0-4999/300000"}, "unasked"),
            ({"Content-Range": "bytes 150000-155000/300000"}, "unasked"),
            ({"Content-Range": "bytes 150000-154999/300001"}, "has changed"),
            ({"Content-Encoding": "gzip"}, "compressed"),
            ({"announced": 800_000_000}, "800000000 bytes were sent for 5000"),
            ({"ETag": '"other"'}, "has changed"),
        ],
    )
    def test_answers_that_are_no_ranges_are_an_error(self, server, file, change, reason):
        sent = []

        def endless() -> Iterator[bytes]:
            for _ in range(4000):
                sent.append(1)
                yield bytes(1 << 16)

        def apply(_: Request, answer: Answer) -> Answer:
            fields = {name: value for name, value in change.items() if name[0].isupper()}
            headers = {n: v for n, v in {**answer.headers, **fields}.items() if v is not None}
            others = {name: value for name, value in change.items() if name not in fields}
            return replace(answer, headers=headers, body=endless(), **others)

        server.misbehave(apply)
        with pytest.raises(SourceError, match=rf"a\.dcm: .*{reason}"):
            file.read([(150_000, 5000)])
        assert len(server.requests) == 1
        # What fits between the two
        assert len(sent) < 400

    def test_body_without_an_end_is_given_up(self, server, file):
        server.misbehave(never_end())
        with pytest.raises(SourceError, match="more than the 5000 bytes"):
            file.read([(150_000, 5000)])

    def test_body_of_an_error_is_not_read(self, server, file):
        server.misbehave(lambda *_: Answer(403, {}, bytes(1 << 20), announced=10**12))
        with pytest.raises(SourceError, match="denied"):
            file.read([(150_000, 5000)])

    def test_ranges_are_asked_for_as_they_are_stored(self, server, file):
        """Some servers compress what they send, ranges included."""
        expect(file, [(150_000, 5000)])
        assert [request.headers["Accept-Encoding"] for request in server.requests] == ["identity"]

    @pytest.mark.parametrize("code", [400, 405, 410, 418])
    def test_final_answers_are_not_asked_for_again(self, server, file, code):
        server.misbehave(status(code))
        with pytest.raises(SourceError):
            file.read([(150_000, 5000)])
        assert len(server.requests) == 1

    def test_redirects_in_circles_are_an_error(self, server, file):
        server.misbehave(redirect(server.origin))
        with pytest.raises(SourceError):
            file.read([(150_000, 5000)])
        # As many as the library follows, once
        assert len(server.requests) <= 11


class TestReplacedFile:
    """By one of the same size."""

    def test_file_replaced_on_a_web_server_is_an_error(self, server, folder, file):
        expect(file, [(150_000, 5000)])
        (folder / "a.dcm").write_bytes(CONTENT[::-1])
        server.behave()
        with pytest.raises(SourceError, match=r"a\.dcm: the file has changed"):
            file.read([(150_000, 5000)])
        assert [request.method for request in server.requests] == ["GET"]

    def test_file_replaced_on_a_web_server_with_times_of_changes_is_an_error(self, folder):
        dated = with_headers(Last_Modified="Mon, 23 Nov 2026 10:00:00 GMT")
        with RangeServer(folder, tags=False) as server:
            server.misbehave(dated)
            (file,) = find_remote_files([server.url(folder / "a.dcm")], None)[0]
            expect(file, [(150_000, 5000)])
            server.behave()
            server.misbehave(with_headers(Last_Modified="Tue, 24 Nov 2026 10:00:00 GMT"))
            with pytest.raises(SourceError, match=r"a\.dcm: the file has changed"):
                file.read([(150_000, 5000)])

    @pytest.mark.parametrize("tag", ['"5f3a-1"', 'W/"5f3a-1"', "5f3a-1"])
    def test_weak_or_bare_entity_tags_are_understood(self, folder, tag):
        with RangeServer(folder, tags=False) as server:
            server.misbehave(with_headers(ETag=tag, Last_Modified="Mon, 23 Nov 2026 10:00:00 GMT"))
            (file,) = find_remote_files([server.url(folder / "a.dcm")], None)[0]
            expect(file, [(150_000, 5000)])
            server.behave()
            server.misbehave(with_headers(ETag=tag.replace("5f3a", "77aa")))
            with pytest.raises(SourceError, match=r"a\.dcm: the file has changed"):
                file.read([(150_000, 5000)])

    def test_file_replaced_in_a_bucket_is_an_error(self, bucket, folder):
        url = bucket.upload(folder, "replaced")
        (file,) = find_remote_files([f"{url}a.dcm"], bucket.options)[0]
        expect(file, [(150_000, 5000), (280_000, 100)])
        (folder / "a.dcm").write_bytes(CONTENT[::-1])
        bucket.upload(folder, "replaced")
        bucket.server.behave()
        with pytest.raises(SourceError, match=r"a\.dcm: the file has changed"):
            file.read([(150_000, 5000)])
        assert [request.method for request in bucket.server.requests] == ["GET"]

    def test_bucket_that_ignores_ranges_is_an_error(self, bucket, folder):
        url = bucket.upload(folder, "whole")
        (file,) = find_remote_files([f"{url}a.dcm"], bucket.options)[0]
        bucket.server.misbehave(
            lambda _, answer: replace(answer, status=200, body=CONTENT), "/a.dcm", times=1
        )
        with pytest.raises(SourceError, match="whole file for a part"):
            file.read([(150_000, 5000)])
        expect(file, [(150_000, 5000)])


def test_ranges_of_a_bucket_are_asked_for_all_at_once(bucket, tmp_path):
    """The package for S3 would have 10 connections, and ask for the rest one after another."""
    folder, step = tmp_path / "far", 2 * GAP
    folder.mkdir()
    content = CONTENT * 10
    (folder / "a.dcm").write_bytes(content)
    (file,) = find_remote_files([f"{bucket.upload(folder, 'far')}a.dcm"], bucket.options)[0]
    bucket.server.behave()
    # Each request waits for so long that another one needs a connection of its own
    bucket.server.misbehave(silence(1), "/a.dcm")
    known = bucket.server.connections
    ranges = [(HEAD + step * place, 10) for place in range(20)]
    assert file.read(ranges) == [content[start : start + 10] for start, _ in ranges]
    assert bucket.server.connections - known > 10
    bucket.server.behave()


@pytest.mark.parametrize(
    ("start", "drop"), [(b"HTTP/1.1 206 P", b"a"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")]
)
def test_header_that_drips_is_given_up(monkeypatch, start, drop):
    monkeypatch.setattr(filesystems, "LONGEST", 1.0)
    file_system, _ = filesystems.open_file_system("http://127.0.0.1/a", {})
    with dripping(drop, start) as origin:
        file = RemoteFile(f"{origin}/a", SIZE, "", file_system, f"{origin}/a")
        begin = time.monotonic()
        with pytest.raises(SourceError, match="takes longer than 1 s"):
            file.read([(150_000, 5000)])
        assert time.monotonic() - begin < 10


class TestFind:
    def found(self, url: str) -> dict[str, int]:
        return {
            file.path.removeprefix(url): file.size for file in find_remote_files([url], None)[0]
        }

    @pytest.mark.parametrize("slash", ["", "/"])
    def test_files_of_a_folder_are_found_without_hidden_ones(self, memory, slash):
        url, put = memory
        for path in ("b.dcm", "a.dcm", "c/d.dcm", ".hidden", "c/.git/x", ".cache/y.dcm"):
            put(path, b"x" * len(path))
        assert self.found(url + slash) == {
            f"{'' if slash else '/'}{path}": len(path) for path in ("a.dcm", "b.dcm", "c/d.dcm")
        }

    def test_hidden_folder_that_was_named_is_searched(self, memory):
        url, put = memory
        put(".cache/a.dcm")
        put(".cache/.b.dcm")
        assert self.found(f"{url}/.cache") == {"/a.dcm": 4}
        assert self.found(f"{url}/.cache/.b.dcm") == {"": 4}

    def test_single_file_is_found(self, memory):
        url, put = memory
        put("a.dcm", b"12345")
        put("a.dcm.txt")
        (file,) = find_remote_files([f"{url}/a.dcm"], None)[0]
        assert (file.path, file.size) == (f"{url}/a.dcm", 5)

    def test_folder_with_one_file_has_it(self, memory):
        url, put = memory
        put("a/b.dcm")
        assert self.found(f"{url}/a") == {"/b.dcm": 4}

    def test_empty_folder_has_no_files(self, memory):
        url, _ = memory
        fsspec.filesystem("memory").makedirs(url.removeprefix("memory:/"))
        assert find_remote_files([url], None)[0] == []

    @pytest.mark.parametrize("slash", ["", "/"])
    def test_missing_file_or_folder_is_an_error(self, memory, server, slash):
        for url in (f"{memory[0]}/no", f"{server.origin}/no"):
            with pytest.raises(SourceError, match=f"^{url}{slash}: no such file or folder"):
                find_remote_files([url + slash], None)[0]

    @pytest.mark.parametrize("url", ["no-such-protocol://a/b", "simplecache::no-such://a"])
    def test_unknown_protocol_is_an_error(self, url):
        with pytest.raises(ValueError, match="source: ") as caught:
            find_remote_files([url], None)[0]
        assert isinstance(caught.value, DicomSlideError)

    def test_file_system_that_cannot_connect_is_an_error(self):
        """The file system for FTP connects when it is made."""
        url = "ftp://u:s3cret@127.0.0.1:1/a"
        with pytest.raises(SourceError, match=r"^ftp://127\.0\.0\.1:1/a: nothing listens at"):
            find_remote_files([url], None)[0]

    def test_file_has_the_time_or_tag_of_its_last_change(self, memory, server, folder):
        url, put = memory
        path = folder / "a.dcm"
        for place, change in (
            (f"{url}/a.dcm", lambda: put("a.dcm")),
            (server.url(path), lambda: path.write_bytes(b"1234")),
        ):
            change()
            (before,) = find_remote_files([place], None)[0]
            assert find_remote_files([place], None)[0] == [before]
            path.unlink()
            change()
            assert find_remote_files([place], None)[0] != [before]


class TestListingsOfWebServers:
    def find(self, server: RangeServer, path: str = "/") -> list[str]:
        found = find_remote_files([server.origin + path], None)[0]
        return [file.path.removeprefix(server.origin) for file in found]

    def test_files_and_folders_of_a_listing_are_found(self, server, folder):
        (folder / "sub dir").mkdir()
        (folder / "sub dir" / "ü.dcm").write_bytes(b"1234")
        (folder / ".hidden").write_bytes(b"1234")
        assert self.find(server) == ["/a.dcm", "/sub%20dir/%C3%BC.dcm"]

    @pytest.mark.parametrize(
        "links",
        [
            # Apache, with links that sort, and nginx
            ["?C=N;O=D", "?C=M;O=A", "/", "a.dcm", "b.dcm"],
            ["../", "a.dcm", "b.dcm"],
        ],
    )
    def test_links_that_are_no_files_are_passed_over(self, folder, links):
        below = folder / "slides"
        below.mkdir()
        for name in ("a.dcm", "b.dcm"):
            (below / name).write_bytes(CONTENT)
        listing = "".join(f'<a href="{link}">{link}</a>' for link in links)

        def answer(request: Request, answer: Answer) -> Answer:
            # Listings are sent in chunks, without a length
            return Answer(200, {"Content-Type": "text/html"}, listing.encode(), chunked=True)

        with RangeServer(folder) as server:
            server.misbehave(answer, lambda request: request.path == "/slides/")
            assert self.find(server, "/slides/") == ["/slides/a.dcm", "/slides/b.dcm"]

    def test_folder_that_is_not_listed_is_an_error(self, folder):
        with RangeServer(folder, lists=False) as server, pytest.raises(SourceError):
            self.find(server)


class TestUrls:
    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("s3://bucket/a", True),
            ("simplecache::s3://bucket/a", True),
            ("memory://a", True),
            ("folder/a.dcm", False),
            ("C:\\folder", False),
            (Path("/folder"), False),
            (5, False),
        ],
    )
    def test_urls_are_told_from_paths(self, source, expected):
        assert is_url(source) is expected

    def test_url_of_a_local_file_has_a_path(self, tmp_path):
        assert local_path(tmp_path.as_uri()) == str(tmp_path)

    @pytest.mark.parametrize(
        "url",
        ["memory://a", "ftp://127.0.0.1:1/a", "simplecache::file:///a", "no-such://a", "a::b"],
    )
    def test_url_of_a_remote_file_has_no_local_path(self, url):
        """No connection is made to find that out."""
        assert local_path(url) is None
