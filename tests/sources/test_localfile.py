"""Byte ranges of local files: from any thread and process, and never of a file that has changed."""

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomslide.errors import SourceError
from dicomslide.sources.localfile import LocalFile
from tests.descriptors import listed, open_files

CONTENT = bytes(range(256)) * 8


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(CONTENT)
    return path


def touch(path, seconds: float) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + int(seconds * 1e9)))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "file.bin"
    path.write_bytes(CONTENT)
    return LocalFile.at(path)


class TestRead:
    @given(
        ranges=st.lists(
            st.tuples(st.integers(0, 2000), st.integers(0, 48)),
            max_size=10,
        )
    )
    def test_ranges_come_in_the_order_asked_for(self, file, ranges):
        assert file.read(ranges) == [CONTENT[a : a + length] for a, length in ranges]

    @pytest.mark.parametrize(("offset", "length"), [(2040, 9), (2048, 1), (5000, 3)])
    def test_range_behind_the_end_is_an_error(self, file, offset, length):
        with pytest.raises(SourceError, match=r"file\.bin.*2048.*truncated"):
            file.read([(0, 4), (offset, length)])

    def test_many_threads_read_the_same_bytes(self, file):
        def read(seed):
            for offset in np.random.default_rng(seed).integers(0, 2000, 200).tolist():
                assert file.read([(offset, 40)]) == [CONTENT[offset : offset + 40]]

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(read, range(8)))

    def test_another_process_reads_the_same_bytes(self, file):
        code = (
            "import pickle, sys\n"
            "file = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
            "print(file.read([(10, 3)])[0].hex())\n"
        )
        file.read([(0, 1)])
        data = pickle.dumps(file)
        assert len(data) < 500
        result = subprocess.run(
            [sys.executable, "-c", code, data.hex()], capture_output=True, text=True, check=True
        )
        assert result.stdout.strip() == CONTENT[10:13].hex()


class TestLooking:
    def test_file_has_its_size_and_absolute_path(self, path, monkeypatch):
        monkeypatch.chdir(path.parent)
        file = LocalFile.at("file.bin")
        assert (file.path, file.size) == (str(path.resolve()), len(CONTENT))

    def test_same_file_is_equal_until_it_changes(self, path):
        before = LocalFile.at(path)
        assert LocalFile.at(str(path)) == before
        touch(path, 1)
        assert LocalFile.at(path) != before

    @pytest.mark.parametrize("read", [False, True])
    def test_missing_file_is_named(self, path, read):
        file = LocalFile.at(path)
        path.unlink()
        with pytest.raises(SourceError, match=r"file\.bin"):
            file.read([(0, 1)]) if read else LocalFile.at(path)


class TestChangedFile:
    @pytest.mark.parametrize("change", ["time", "size"])
    def test_changed_file_is_not_read(self, path, change):
        file = LocalFile.at(path)
        if change == "time":
            touch(path, 1)
        else:
            path.write_bytes(CONTENT + b"more")
            os.utime(path, ns=(file.modified, file.modified))
        with pytest.raises(SourceError, match="changed") as caught:
            file.read([(0, 1)])
        assert str(caught.value).count("file.bin") == 1

    def test_file_that_changes_between_reads_is_not_read(self, path):
        file = LocalFile.at(path)
        file.read([(0, 1)])
        path.write_bytes(bytes(len(CONTENT)))
        touch(path, 1)
        with pytest.raises(SourceError, match="changed"):
            file.read([(0, 1)])

    def test_changed_file_is_read_when_it_is_opened_again(self, path):
        LocalFile.at(path).read([(0, 1)])
        path.write_bytes(b"other")
        touch(path, 1)
        assert LocalFile.at(path).read([(0, 5)]) == [b"other"]


@listed
def test_few_files_stay_open(tmp_path):
    files = []
    for number in range(150):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(b"1234")
        files.append(LocalFile.at(path))
        assert files[-1].read([(1, 2)]) == [b"23"]
    assert 0 < open_files(tmp_path) <= 70
