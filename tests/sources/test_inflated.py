"""The data set of the Deflated transfer syntax (PS3.5 A.5), addressed as if not compressed."""

import pickle
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomslide.errors import SourceError
from dicomslide.sources import inflated
from dicomslide.sources.inflated import InflatedFile
from dicomslide.sources.localfile import LocalFile

CONTENT = bytes(range(256)) * 8


def deflate(content: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(content) + compressor.flush()


class Bytes:
    """A file in memory."""

    path, identity = "deflated.dcm", ("deflated.dcm",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, ranges):
        return [self.data[offset : offset + length] for offset, length in ranges]


@pytest.fixture
def make(tmp_path):
    def make(change=bytes, content: bytes = CONTENT) -> InflatedFile:
        path = tmp_path / "deflated.dcm"
        path.write_bytes(b"head" + change(deflate(content)))
        return InflatedFile(LocalFile.at(path), 4)

    return make


def test_threads_share_one_copy():
    """A copy for each thread would take the memory of a whole data set each time."""
    reads = []

    class Slow(Bytes):
        def read(self, ranges):
            reads.append(ranges)
            time.sleep(0.05)
            return super().read(ranges)

    file = InflatedFile(Slow(deflate(CONTENT)), 0)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(file.read, [[(n, 5)] for n in range(8)]))
    assert found == [[CONTENT[n : n + 5]] for n in range(8)]
    assert len(reads) == 1


@given(
    content=st.binary(max_size=500),
    ranges=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 100)), max_size=5),
    padding=st.binary(max_size=3),
)
def test_ranges_are_those_of_the_content_or_an_error(content, ranges, padding):
    file = InflatedFile(Bytes(deflate(content) + padding), 0)
    assert file.size == len(content)
    if all(offset + length <= len(content) for offset, length in ranges):
        assert file.read(ranges) == [content[a : a + length] for a, length in ranges]
    else:
        with pytest.raises(SourceError, match=r"deflated\.dcm.*truncated"):
            file.read(ranges)


@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_data_set_or_an_error(data):
    file = InflatedFile(Bytes(data), 0)
    try:
        size = file.size
    except SourceError as error:
        assert "damaged" in str(error)  # noqa: PT017
    else:
        assert file.read([(0, size)]) == [zlib.decompressobj(-15).decompress(data)]


def test_pickled_data_set_has_the_same_content(make):
    file = make()
    assert file.read([(300, 5), (0, 2)]) == [CONTENT[300:305], CONTENT[:2]]
    assert pickle.loads(pickle.dumps(file)).read([(7, 1)]) == [CONTENT[7:8]]
    assert len(pickle.dumps(file)) < 500


@pytest.mark.parametrize("kept", [0, 1, 20, -20])
def test_truncated_bytes_are_an_error(make, kept):
    with pytest.raises(SourceError, match=r"deflated\.dcm.*truncated"):
        make(lambda data: data[:kept]).read([(0, len(CONTENT))])


def test_damaged_bytes_are_an_error(make):
    with pytest.raises(SourceError, match=r"deflated\.dcm.*damaged"):
        make(lambda data: b"\xff" + data[1:]).read([(0, 1)])


def test_memory_is_bounded(make, monkeypatch):
    """A few kilobytes are inflated to megabytes of zeros."""
    monkeypatch.setattr(inflated, "_MAX_INFLATED", 100_000)
    file = make(content=bytes(20_000_000))
    tracemalloc.start()
    try:
        assert file.read([(0, 1)]) == [b"\0"]
        with pytest.raises(SourceError, match="more than 100000 bytes"):
            _ = file.size
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [99_999, 100_000])
def test_largest_data_set_is_read(make, monkeypatch, size):
    monkeypatch.setattr(inflated, "_MAX_INFLATED", 100_000)
    assert make(content=bytes(size)).size == size
