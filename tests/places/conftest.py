"""Slides of every kind, and the places that they are put into."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from dicomslide.sources import retries
from dicomslide.testing import SyntheticSlide, write_slide
from tests.places.kinds import BASE, KINDS
from tests.places.places import PLACES, Arguments
from tests.servers.archive import Archive
from tests.servers.dicomweb import DicomwebServer
from tests.servers.folders import run_ftp, run_webdav


@pytest.fixture(scope="session")
def write_kind(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], SyntheticSlide]:
    """Writes a slide of a kind into a study of its own, only once."""

    @cache
    def write(kind: str) -> SyntheticSlide:
        folder = tmp_path_factory.mktemp(kind.replace(" ", "-"))
        return write_slide(folder, BASE, **KINDS[kind], accession_number=kind)

    return write


@pytest.fixture(scope="session")
def servers() -> Iterator[ExitStack]:
    """Keeps servers running until the end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def archive(write_kind: Callable[[str], SyntheticSlide]) -> Callable[[str], Archive]:
    """The instances of a slide of a kind."""
    return cache(lambda kind: Archive(write_kind(kind).paths))


@pytest.fixture(scope="session")
def serve_dicomweb(servers: ExitStack) -> Callable[[Path], DicomwebServer]:
    """Serves the files of a folder over DICOMweb until the end."""

    @cache
    def serve(folder: Path) -> DicomwebServer:
        return servers.enter_context(DicomwebServer(Archive(sorted(folder.glob("*.dcm")))))

    return serve


@pytest.fixture(scope="session")
def ftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real FTP server of the folders of all slides."""
    with run_ftp(tmp_path_factory.getbasetemp(), tmp_path_factory.mktemp("ftp")) as url:
        yield url


@pytest.fixture(scope="session")
def webdav(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real WebDAV server of the folders of all slides."""
    with run_webdav(tmp_path_factory.getbasetemp(), tmp_path_factory.mktemp("webdav")) as url:
        yield url


@pytest.fixture
def serve(archive: Callable[[str], Archive]) -> Iterator[Callable[..., DicomwebServer]]:
    """Serves a slide of a kind over DICOMweb, with options of the server, for one test."""
    with ExitStack() as stack:
        yield lambda kind, **options: stack.enter_context(DicomwebServer(archive(kind), **options))


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Takes note of the pauses after which a place is asked again, which are not made."""
    pauses: list[float] = []
    monkeypatch.setattr(retries, "waiting", SimpleNamespace(pause=pauses.append))
    return pauses


@pytest.fixture(params=list(PLACES))
def place(request: pytest.FixtureRequest) -> str:
    """The name of a place."""
    return request.param


@pytest.fixture
def put(request: pytest.FixtureRequest, place: str) -> Callable[[SyntheticSlide], Arguments]:
    """Puts a slide into the place; gives the arguments that it is opened with from there."""
    return lambda slide: PLACES[place](request, slide)
