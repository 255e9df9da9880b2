"""One slide among many that cannot be opened: what it costs, and what is said of it."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from dicomweb_client.api import DICOMfileClient, DICOMwebClient

from dicomslide import cli, find_slides, open_slide, open_slides
from dicomslide.errors import DicomSlideError, NoSlideError, SourceError
from tests.servers.archive import Archive
from tests.servers.dicomweb import DicomwebServer
from tests.servers.faults import change_metadata, status
from tests.servers.messages import Answer, Fault

pytestmark = [
    pytest.mark.usefixtures("slept"),
    # What pydicom says of values before it fails
    pytest.mark.filterwarnings("ignore:Invalid value for VR", "ignore:Found unknown escape"),
]

NAMES = ("GLASS-1", "GLASS-2", "GLASS-3")


@pytest.fixture(scope="module")
def slides(make_slide):
    return [make_slide(container_identifier=name, accession_number=name) for name in NAMES]


@pytest.fixture
def folder(slides, tmp_path) -> Path:
    """A folder of three slides."""
    for slide in slides:
        shutil.copytree(slide.folder, tmp_path / "slides" / slide.container_identifier)
    return tmp_path / "slides"


@pytest.fixture
def server(slides):
    with DicomwebServer(Archive([path for slide in slides for path in slide.paths])) as server:
        yield server


def containers(found) -> list[str]:
    return sorted(slide.container_identifier for slide in found)


def messages(caplog) -> list[str]:
    """What the logger of the package said."""
    return [r.getMessage() for r in caplog.records if r.name == "dicomslide"]


# Files


def cut_pixels(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def cut_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:700])


def spoil(keyword: str, value: bytes) -> Callable[[Path], None]:
    """Replace the value of an attribute by bytes that are none."""

    def change(path: Path) -> None:
        dataset = pydicom.dcmread(path)
        element = dataset[keyword]
        data = path.read_bytes()
        head = element.tag.group.to_bytes(2, "little") + element.tag.element.to_bytes(2, "little")
        start = data.index(head + element.VR.encode())
        length = int.from_bytes(data[start + 6 : start + 8], "little")
        path.write_bytes(
            data[: start + 8] + value.ljust(length)[:length] + data[start + 8 + length :]
        )

    return change


DAMAGES = {
    "pixels cut off": cut_pixels,
    "header cut off": cut_header,
    "no size": spoil("TotalPixelMatrixRows", b"\0\0\0\0"),
    "no number": spoil("NumberOfFrames", b"x"),
}


@pytest.fixture(params=DAMAGES)
def damaged(request, folder) -> Path:
    """A file of GLASS-2 that is damaged."""
    path = folder / "GLASS-2" / "level-0.dcm"
    DAMAGES[request.param](path)
    return path


def test_slides_beside_a_damaged_file_are_opened(folder, damaged, caplog):
    assert containers(open_slides(folder, errors="skip")) == ["GLASS-1", "GLASS-3"]
    (message,) = messages(caplog)
    assert "is left out: " in message
    assert re.search(r"level-0\.dcm|GLASS-2", message)


def test_damaged_file_among_many_is_an_error_that_names_it(folder, damaged):
    for opens in (open_slides, lambda place: open_slides(place, errors="raise")):
        with pytest.raises(DicomSlideError, match=r"level-0\.dcm|GLASS-2|image [\d.]+"):
            opens(folder)


def test_slide_beside_a_damaged_file_is_chosen_by_a_keyword(slides, folder, damaged):
    hides_its_slide = damaged.stat().st_size < 1000
    for keywords in (
        {"container_identifier": "GLASS-1"},
        {"series_instance_uid": slides[0].series_instance_uid},
    ):
        if hides_its_slide:
            with pytest.warns(UserWarning, match=r"level-0\.dcm may belong to the chosen slide"):
                slide = open_slide(folder, **keywords)
        else:
            slide = open_slide(folder, **keywords)
        assert slide.container_identifier == "GLASS-1"


def test_damaged_slide_that_is_chosen_is_an_error(folder, damaged):
    with pytest.raises(DicomSlideError, match=r"level-0\.dcm|GLASS-2|image [\d.]+"):
        open_slide(folder, container_identifier="GLASS-2")


def test_no_choice_beside_a_damaged_file_names_the_slides(folder):
    cut_header(folder / "GLASS-2" / "level-0.dcm")
    with pytest.raises(NoSlideError, match=r"2 slides: 'GLASS-1', 'GLASS-3'.*level-0\.dcm"):
        open_slide(folder)


def test_damaged_level_costs_its_whole_slide(make_slide, folder, caplog):
    """A slide that lacks a level looks like one that never had it."""
    written = make_slide(container_identifier="GLASS-4", accession_number="4", factors=(1, 2, 4))
    shutil.copytree(written.folder, folder / "GLASS-4")
    cut_pixels(folder / "GLASS-4" / "level-1.dcm")
    assert containers(open_slides(folder, errors="skip")) == [*NAMES]
    assert len(messages(caplog)) == 1
    assert messages(caplog)[0].startswith("slide 'GLASS-4' is left out")


def test_folder_without_a_whole_slide_has_none(slides, tmp_path, caplog):
    path = Path(shutil.copy(slides[0].paths[0], tmp_path))
    cut_pixels(path)
    assert open_slides(tmp_path, errors="skip") == []
    assert len(messages(caplog)) == 1


def test_other_values_of_errors_are_named(folder):
    with pytest.raises(ValueError, match="errors: expected 'raise' or 'skip', got 'ignore'"):
        open_slides(folder, errors="ignore")


# Services


def each(change: Callable[[dict], dict]) -> Fault:
    return change_metadata(lambda items: [change(item) for item in items])


FAULTS = {
    "500": status(500),
    "404": status(404),
    "503": status(503),
    "not JSON": lambda *_: Answer(200, {}, b"<html>"),
    "attribute that cannot be parsed": each(
        lambda item: {**item, "00280010": {"vr": "US", "Value": ["many"]}}
    ),
    "no size": each(lambda item: {**item, "00480007": {"vr": "UL", "Value": [0]}}),
    "recursion": lambda _, answer: Answer(
        200,
        {},
        answer.body[:-2]
        + b',"00400560":'
        + b'{"vr":"SQ","Value":[{"00400560":' * 400
        + b"{}"
        + b"}]}" * 400
        + b"}]",
    ),
}


class OwnClient(DICOMwebClient):
    """A client that retrieves frames in a way of its own: it is asked as it is.

    It repeats requests that a service refuses, and waits for milliseconds in between.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.set_http_retry_params(max_attempts=3, wait_exponential_multiplier=1)

    def retrieve_instance_frames(self, *arguments, **options):
        return super().retrieve_instance_frames(*arguments, **options)


@pytest.fixture(params=FAULTS)
def faulty(request, server, slides) -> DicomwebServer:
    """A service that does not deliver the metadata of GLASS-2."""
    series = slides[1].series_instance_uid
    server.misbehave(
        FAULTS[request.param], lambda r: series in r.target and r.path.endswith("/metadata")
    )
    return server


@pytest.mark.parametrize("client", [DICOMwebClient, OwnClient])
def test_slides_beside_one_that_is_not_delivered_are_found(faulty, client, caplog):
    found = find_slides(client(faulty.url), fail_on_error=False)
    assert containers(found) == ["GLASS-1", "GLASS-3"]
    assert len(messages(caplog)) == 1
    with pytest.raises(DicomSlideError):
        find_slides(client(faulty.url))


def test_slide_beside_one_that_is_not_delivered_is_opened(faulty, slides):
    url = f"dicomweb+{faulty.url}"
    assert containers(open_slides(url, errors="skip")) == ["GLASS-1", "GLASS-3"]
    with pytest.raises(DicomSlideError):
        open_slides(url)
    slide = open_slide(url, series_instance_uid=slides[2].series_instance_uid)
    assert slide.container_identifier == "GLASS-3"


def test_series_that_hides_its_slide_is_warned_of(server, slides):
    server.misbehave(status(404), slides[1].series_instance_uid)
    with pytest.warns(UserWarning, match="may belong to the chosen slide"):
        slide = open_slide(f"dicomweb+{server.url}", container_identifier="GLASS-3")
    assert slide.container_identifier == "GLASS-3"


def test_search_that_fails_is_an_error_in_any_case(server):
    server.misbehave(status(500), "Modality=SM")
    for find in (
        lambda: find_slides(DICOMwebClient(server.url), fail_on_error=False),
        lambda: find_slides(OwnClient(server.url), fail_on_error=False),
        lambda: open_slides(f"dicomweb+{server.url}", errors="skip"),
    ):
        with pytest.raises(SourceError, match="500"):
            find()


def test_transfer_syntaxes_are_asked_for_only_of_the_slide_that_is_chosen(slides):
    archive = Archive([path for slide in slides for path in slide.paths])
    with DicomwebServer(archive, tells_transfer_syntax=False) as server:
        open_slide(f"dicomweb+{server.url}", container_identifier="GLASS-2")
        asked = server.matching("/frames/")
        assert len(asked) == len(slides[1].paths)
        assert all(slides[1].series_instance_uid in request.target for request in asked)


def test_file_that_a_client_cannot_read_costs_its_slide_only(folder, caplog):
    client = DICOMfileClient(f"file://{folder}", in_memory=True)
    (folder / "GLASS-2" / "level-0.dcm").unlink()
    assert containers(find_slides(client, fail_on_error=False)) == ["GLASS-1", "GLASS-3"]
    assert len(messages(caplog)) == 1
    with pytest.raises(DicomSlideError):
        find_slides(client)


# The command


def test_attribute_that_cannot_be_read_is_no_reason_not_to_show_the_rest(folder, capsys):
    path = folder / "GLASS-1" / "level-0.dcm"
    dataset = pydicom.dcmread(path)
    dataset.AcquisitionDateTime = "20260101120000"
    dataset.save_as(path)
    spoil("AcquisitionDateTime", b"\xff\xfe")(path)
    assert cli.main(["info", str(path.parent)]) == 0
    assert "GLASS-1" in capsys.readouterr().out


def test_control_characters_of_attributes_do_not_reach_the_terminal(folder, capsys):
    for path in (folder / "GLASS-1").glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.ContainerIdentifier = "A\x1b[2J\x9b[red]B"
        dataset.Manufacturer = "\x1b]0;title\x07[/nothing]"
        dataset.OpticalPathSequence[0].OpticalPathDescription = "[/nothing]\x1b[31m"
        dataset.save_as(path)
    assert cli.main(["info", str(folder / "GLASS-1")]) == 0
    assert cli.main(["info", str(folder), "--container", "\x1b[2J"]) == 2
    shown = "".join(capsys.readouterr())
    assert "[red]" in shown
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown) is None


def test_damaged_image_is_one_line_of_the_command(folder, capsys):
    cut_pixels(folder / "GLASS-1" / "level-0.dcm")
    assert cli.main(["info", str(folder / "GLASS-1")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
