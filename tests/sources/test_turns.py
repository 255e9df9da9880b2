"""File systems that do not bear threads are used one thread at a time, and no others are."""

import random
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import fsspec
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.implementations.tar import TarFileSystem
from fsspec.implementations.zip import ZipFileSystem

from dicomslide.sources import remotefile
from dicomslide.sources.remotefile import RemoteFile, find_remote_files
from dicomslide.sources.turns import turn
from tests.servers.folders import run_ftp

SIZE = 300_000
NAMES = ("a.dcm", "b.dcm")
THREADS, READS = 8, 12


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    """Files of noise, so that no range of them is like another."""
    return {name: random.Random(name).randbytes(SIZE) for name in NAMES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, contents) -> Path:
    """The files, and archives of them."""
    folder = tmp_path_factory.mktemp("archives")
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    with zipfile.ZipFile(folder / "slide.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in NAMES:
            archive.write(folder / name, name)
    for ending, mode in (("tar", "w"), ("tar.gz", "w:gz")):
        with tarfile.open(folder / f"slide.{ending}", mode) as archive:
            for name in NAMES:
                archive.add(folder / name, name)
    return folder


@pytest.fixture(scope="module")
def ftp(folder, tmp_path_factory):
    with run_ftp(folder, tmp_path_factory.mktemp("ftp")) as url:
        yield url


URLS = {
    "zip": "zip://*::{folder}/slide.zip",
    "tar": "tar://*::{folder}/slide.tar",
    "tar.gz": "tar://*::{folder}/slide.tar.gz",
    "ftp": "{ftp}*",
    "zip at ftp": "zip://*::{ftp}slide.zip",
    "tar at ftp": "tar://*::{ftp}slide.tar",
}


@pytest.mark.parametrize("kind", URLS)
def test_ranges_that_many_threads_read_are_those_asked_for(request, folder, contents, kind):
    ftp = request.getfixturevalue("ftp") if "ftp" in kind else ""
    files = {}
    for name in NAMES:
        url = URLS[kind].format(folder=folder, ftp=ftp).replace("*", name)
        (files[name],) = find_remote_files([url], None)[0]

    def read(seed: int) -> int:
        chance = random.Random(seed)
        for _ in range(READS):
            name, start = chance.choice(NAMES), chance.randrange(SIZE - 20_000)
            length = chance.randrange(1, 20_000)
            assert files[name].read([(start, length)]) == [contents[name][start : start + length]]
        return seed

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(read, range(THREADS))) == list(range(THREADS))


def test_archives_on_one_connection_share_its_turns(ftp):
    place = fsspec.filesystem("ftp", host="127.0.0.1", port=int(ftp.split(":")[-1].strip("/")))
    archives = [
        TarFileSystem(place.open("/slide.tar")),
        ZipFileSystem(place.open("/slide.zip")),
        DirFileSystem("/", place),
        place,
    ]
    assert len({id(turn(archive)) for archive in archives}) == 1


class MeetingFileSystem(MemoryFileSystem):
    """Files that two threads have to read at the same time."""

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.meeting = Barrier(2)

    def cat_file(self, path, start=None, end=None, **options):  # noqa: ARG002
        self.meeting.wait(0.5)
        return bytes(end - start)


class LonelyFileSystem(MeetingFileSystem):
    """The same, of a kind that nobody knows to bear threads."""

    protocol = "lonely"


def read_at_once(file_system: fsspec.AbstractFileSystem) -> None:
    """Read with two threads, without asking again."""
    file = RemoteFile("memory://a", 1 << 20, "", file_system, "/a")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: file.read([(1 << 19, 5)]), range(2)))


def test_file_systems_that_bear_threads_are_used_side_by_side():
    read_at_once(MeetingFileSystem())
    read_at_once(DirFileSystem("/a", MeetingFileSystem()))


@pytest.mark.parametrize("layers", [0, 1])
def test_file_systems_that_nobody_knows_wait_for_their_turn(layers):
    place = LonelyFileSystem()
    with pytest.raises(OSError, match="BrokenBarrierError"):
        read_at_once(DirFileSystem("/a", place) if layers else place)


def test_connection_that_broke_is_made_again(ftp, contents):
    """An FTP server hangs up when nothing was asked for some minutes."""
    (file,) = find_remote_files([f"{ftp}a.dcm"], None)[0]
    remotefile._heads.remake()
    file.file_system.ftp.sock.close()
    assert file.read([(100_000, 50)]) == [contents["a.dcm"][100_000:100_050]]


def test_file_that_is_not_there_is_said_at_once(ftp, folder):
    for url in (f"{ftp}none.dcm", f"tar://none.dcm::{folder}/slide.tar"):
        with pytest.raises(OSError, match=r"none\.dcm.*: no such file or folder$"):
            find_remote_files([url], None)[0]
