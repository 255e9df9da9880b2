"""The code in the README and on the pages of the documentation runs and prints what they show."""

import contextlib
import io
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import dask
import pydicom
import pytest
import xarray as xr

import dicomslide
import dicomslide.errors
import dicomslide.testing
from dicomslide.cli import main
from dicomslide.testing import write_slide
from tests.servers.archive import Archive
from tests.servers.buckets import BucketServer
from tests.servers.dicomweb import DicomwebServer
from tests.servers.orthanc import find_orthanc, run_orthanc
from tests.servers.s3 import run_s3

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- *(?P<note>[^>]*?) *-->\n+)?"
    r"^```(?P<language>python|text|console)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
CODE_PAGES = [page for page in PAGES if BLOCK.search(page.read_text(encoding="utf-8"))]


@dataclass
class Block:
    """A fenced block of a page, and the comment above it."""

    language: str
    text: str
    note: str
    line: int


def blocks(page: Path) -> list[Block]:
    source = page.read_text(encoding="utf-8")
    return [
        Block(
            match["language"],
            match["text"],
            match["note"] or "",
            source.count("\n", 0, match.start("text")),
        )
        for match in BLOCK.finditer(source)
    ]


def run_python(block: Block, page: Path, namespace: dict[str, object]) -> str:
    """Run a block; blank lines before it make tracebacks show the line of the page."""
    code = compile("\n" * block.line + block.text, str(page), "exec", dont_inherit=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, namespace)
    return printed.getvalue()


def run_command(command: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(printed):
        main(shlex.split(command)[1:])
    return printed.getvalue()


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Split a console session into the ``dicomslide`` commands and the output shown for each."""
    for session in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, shown = session.partition("\n")
        if command.startswith("dicomslide "):
            yield command, shown


def is_checked(note: str) -> bool:
    """Whether a text block shows the output of the code above it, as this xarray prints it."""
    kind, _, version = note.partition(" of xarray ")
    return kind == "output" and xr.__version__.startswith(version)


def matches(output: str, shown: str) -> bool:
    """Compare up to white space; an ellipsis on the page stands for anything."""
    pattern = re.escape(" ".join(shown.split())).replace("…", ".*")
    return re.fullmatch(pattern, " ".join(output.split())) is not None


@pytest.fixture(scope="session")
def slide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The slide of the first page, which the other pages use too."""
    folder = tmp_path_factory.mktemp("docs") / "slide"
    write_slide(folder, segmentations=["BINARY"])
    return folder


@pytest.fixture(scope="session")
def archive_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three slides, of which the last one is damaged."""
    folder = tmp_path_factory.mktemp("docs") / "archive"
    for number in (1, 2, 3):
        write_slide(
            folder / f"S26-{number}",
            size=(300 * number, 400),
            factors=(1, 2),
            container_identifier=f"S26-{number}",
            segmentations=["BINARY"] * (number == 2),
            seed=number,
        )
    damaged = folder / "S26-3" / "level-0.dcm"
    data = damaged.read_bytes()
    damaged.write_bytes(data[: len(data) // 2])
    return folder


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The slide that ``dicomslide demo`` writes, which the README uses."""
    folder = tmp_path_factory.mktemp("docs") / "demo"
    write_slide(folder, size=(4500, 6000), factors=(1, 2, 4, 8, 16))
    return folder


@pytest.fixture
def dicomweb_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Runs the service of the page about DICOMweb, at a URL of its own."""
    slide = write_slide(
        tmp_path_factory.mktemp("docs") / "served", size=(300, 400), factors=(1, 2), seed=1
    )
    with DicomwebServer(Archive(slide.paths)) as server:
        yield server.url


@pytest.fixture
def archive_service(slide_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Runs the archive of the page about results, which takes them, at a URL of its own."""
    if find_orthanc() is None:
        pytest.skip("the Debian packages orthanc and orthanc-dicomweb are not installed")
    with run_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        server.upload(slide_folder.glob("*.dcm"))
        yield server.url


@pytest.fixture
def s3_service(
    slide_folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Runs the service of the page about buckets, at a URL of its own."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with run_s3(tmp_path_factory.mktemp("s3")) as bucket:
        bucket.upload(slide_folder, "S26-1")
        yield bucket.server.origin


# Folders of series in the bucket that the page about the Imaging Data Commons reads
IDC_SERIES = (
    "0f9c4a52-0b39-4d57-8d7e-6c1a3f0e9b11",
    "2b7e1516-28ae-4d2a-a6ab-f7158809cf4f",
    "3ad77bb4-0d7a-4660-a89e-caf32466ef97",
    "f5d3d585-03b9-4699-9de7-85895a96fdba",
)


@pytest.fixture
def idc_bucket(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BucketServer]:
    """Runs a bucket with the layout of the Imaging Data Commons, and writes its tables here."""
    root = tmp_path_factory.mktemp("idc")
    by_series: dict[str, list[Path]] = {}
    for number in (1, 2, 3):
        slide = write_slide(
            root / "written" / f"{number}",
            size=(600, 800),
            factors=(1, 2),
            container_identifier=f"S26-{number}",
            accession_number=f"idc {number}",
            segmentations=["BINARY"] * (number == 1),
        )
        for path in sorted(slide.paths, key=lambda path: "seg" in path.name):
            series = pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID
            by_series.setdefault(series, []).append(path)
    rows = ["collection_id,PatientID,Modality,SeriesInstanceUID,series_aws_url"]
    manifest = ["# Commands for s5cmd"]
    for folder, (series, paths) in zip(IDC_SERIES, by_series.items(), strict=True):
        target = root / "buckets" / "idc-open-data" / folder
        target.mkdir(parents=True)
        for number, path in enumerate(paths):
            path.rename(target / f"{uuid5(NAMESPACE_OID, f'{folder} {number}')}.dcm")
        modality = "SEG" if "seg" in paths[0].name else "SM"
        url = f"s3://idc-open-data/{folder}/*"
        rows.append(f"example,P-1,{modality},{series},{url}")
        if modality == "SM":
            manifest.append(f"cp {url} .")
    Path("index.csv").write_text("\n".join(rows) + "\n")
    Path("manifest.s5cmd").write_text("\n".join(manifest) + "\n")
    # Keys that are there must not be used
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    with BucketServer(root / "buckets") as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.origin)
        yield server
        assert server.requests
        assert all("Authorization" not in request.headers for request in server.requests)


# Services that pages speak of, and the fixtures that run them
SERVICES = {
    "https://archive.example.org/dicom-web": "archive_service",
    "https://pacs.example.org/dicom-web": "dicomweb_service",
    "https://s3.example.org": "s3_service",
}


@pytest.fixture
def own_configuration() -> Iterator[None]:
    """Takes back what a page sets in the configuration of dask."""
    yield
    # What libraries added by being imported stays
    dask.config.refresh()


@pytest.mark.usefixtures("own_configuration")
@pytest.mark.parametrize("page", CODE_PAGES, ids=lambda page: page.name)
def test_page_runs_and_prints_what_it_shows(
    page: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if page == README:
        shutil.copytree(request.getfixturevalue("demo_folder"), "dicomslide-demo/slide")
    else:
        shutil.copytree(request.getfixturevalue("slide_folder"), "slide")
    if page.name == "command-line.md":
        shutil.copytree(request.getfixturevalue("archive_folder"), "archive")
    if page.name == "idc.md":
        request.getfixturevalue("idc_bucket")
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    code = page.read_text(encoding="utf-8")
    services = {
        url: request.getfixturevalue(fixture) for url, fixture in SERVICES.items() if url in code
    }
    for block in blocks(page):
        for url, own_url in services.items():
            block.text = block.text.replace(url, own_url)
        where = f"{page.name}, line {block.line + 1}"
        if block.language == "python" and not block.note.startswith("no-run"):
            printed = run_python(block, page, namespace)
        elif block.language == "console":
            for command, shown in commands(block):
                output = run_command(command)
                assert not shown.strip() or matches(output, shown), f"{where}: {output}"
        elif block.language == "text" and is_checked(block.note):
            assert matches(printed, block.text), f"{where}: {printed}"


def test_few_blocks_are_not_run() -> None:
    skipped = [b for page in PAGES for b in blocks(page) if b.note.startswith("no-run")]
    assert len(skipped) <= 2
    assert all(block.note.removeprefix("no-run:").strip() for block in skipped)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\((?!\w+:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_public_name_has_its_place_in_the_reference() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs/api").glob("*.md"))
    documented = set(
        re.findall(r"^\.\. auto(?:class|data|function):: ([\w.]+)$", text, re.MULTILINE)
    )
    # This module is documented as a whole
    assert ".. automodule:: dicomslide.errors" in text
    public = {*dicomslide.__all__, *dicomslide.testing.__all__} - {*dicomslide.errors.__all__}
    assert public - documented == set()


def test_the_table_of_errors_is_complete() -> None:
    text = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    errors = {name for name in dicomslide.errors.__all__ if name.endswith("Error")}
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == errors
