"""Services that do not search by every attribute, or send one frame at a time: the same slides."""

from collections.abc import Callable

import pydicom
import pytest
import xarray as xr
from dicomweb_client.api import DICOMwebClient
from pydicom.uid import CTImageStorage, generate_uid

from dicomslide import cli, find_slides, open_slide
from dicomslide.errors import SourceError
from dicomslide.sources.sidebyside import AT_ONCE
from tests.servers.archive import Archive
from tests.servers.dicomweb import DicomwebServer
from tests.servers.faults import status

pytestmark = pytest.mark.usefixtures("slept")

CT = "1.2.3.4"
SEARCHES = {
    "all": {},
    "no SOP class, 400": {"refused_keys": {"SOPClassUID": 400}},
    "no SOP class, 501": {"refused_keys": {"SOPClassUID": 501}},
    "SOP class ignored": {"ignored_keys": ["SOPClassUID"]},
    "SOP class not told": {"untold": ["SOPClassUID"]},
    "no modality, 400": {"refused_keys": {"Modality": 400}},
    "no modality, 501": {"refused_keys": {"Modality": 501}},
    "modality ignored": {"ignored_keys": ["Modality"]},
    "modality not told": {"untold": ["Modality"]},
    "nothing": {
        "refused_keys": {"Modality": 400, "SOPClassUID": 400, "SeriesInstanceUID": 400},
        "untold": ["Modality", "SOPClassUID"],
        "empty_status": 204,
    },
}


class OwnClient(DICOMwebClient):
    """A client that retrieves frames in a way of its own: it is asked as it is."""

    def retrieve_instance_frames(self, *arguments, **options):
        return super().retrieve_instance_frames(*arguments, **options)


def by_url(server: DicomwebServer, container: str) -> xr.DataTree:
    slide = open_slide(f"dicomweb+{server.url}", container_identifier=container)
    return slide.to_datatree(chunks=None)


def by_study(server: DicomwebServer, container: str) -> xr.DataTree:
    (instance, *_) = (
        i for i in server.archive.instances if i.dataset.get("ContainerIdentifier") == container
    )
    return open_slide(f"dicomweb+{server.url}/studies/{instance.study}").to_datatree(chunks=None)


def by_search(client_class: type[DICOMwebClient]) -> Callable[[DicomwebServer, str], xr.DataTree]:
    def find(server: DicomwebServer, container: str) -> xr.DataTree:
        (slide,) = find_slides(client_class(server.url), container_id=container)
        return slide.to_datatree(chunks=None)

    return find


def by_engine(server: DicomwebServer, container: str) -> xr.DataTree:
    return xr.open_datatree(
        f"dicomweb+{server.url}", engine="dicomslide", container_identifier=container
    )


WAYS = {
    "url": by_url,
    "study": by_study,
    "client": by_search(DICOMwebClient),
    "own client": by_search(OwnClient),
    "engine": by_engine,
}


@pytest.fixture(scope="session")
def derived(write_kind):
    """A slide with Segmentations and Parametric Maps."""
    return write_kind("derived")


@pytest.fixture(scope="session")
def crowded(derived, write_kind, tmp_path_factory) -> Archive:
    """An archive of two slides; in the study of one are a report of sorts and a series of CT."""
    folder = tmp_path_factory.mktemp("crowded")
    paths = list(write_kind("sparse").paths)
    for path in derived.paths:
        dataset = pydicom.dcmread(path)
        if path.name.startswith("segmentation-0"):
            dataset.Modality = "SR"
        dataset.save_as(folder / path.name)
        paths.append(folder / path.name)
    for number in range(30):
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.Modality, dataset.SeriesInstanceUID, dataset.InstanceNumber = "CT", CT, number
        dataset.save_as(folder / f"ct-{number}.dcm")
        # They come first in the study
        paths.insert(0, folder / f"ct-{number}.dcm")
    return Archive(paths)


@pytest.fixture
def start(crowded):
    """Serves the archive with options of the server, for one test."""
    servers = []

    def serve(**options) -> DicomwebServer:
        servers.append(DicomwebServer(crowded, **options).__enter__())
        return servers[-1]

    yield serve
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def expected(derived) -> xr.DataTree:
    return open_slide(derived.folder).to_datatree(chunks=None).load()


def refusals(server: DicomwebServer) -> int:
    return sum(request.status >= 400 for request in server.requests)


# A client of its own raises other errors
@pytest.mark.parametrize(
    ("search", "way"),
    [(search, way) for search in SEARCHES for way in ("url", "own client")]
    + [("nothing", way) for way in ("study", "client", "engine")],
)
def test_slide_and_what_was_derived_from_it_are_found(start, derived, expected, search, way):
    server = start(**SEARCHES[search])
    found = WAYS[way](server, derived.container_identifier)
    assert sorted(found["level_0"]) == sorted(expected["level_0"]) != ["image"]
    xr.testing.assert_identical(found.load(), expected)
    assert refusals(server) <= 1
    # Nobody wants to know all about each slice of a CT
    assert not server.matching(f"/series/{CT}/metadata")
    assert len(server.matching(f"/series/{CT}/instances")) <= 2


@pytest.mark.parametrize("search", [name for name in SEARCHES if name.startswith("no modality")])
def test_attribute_is_refused_only_once(start, derived, search):
    server = start(**SEARCHES[search])
    for way in WAYS.values():
        way(server, derived.container_identifier)
    assert refusals(server) == len(server.matching("Modality")) == 1


@pytest.mark.parametrize("search", SEARCHES)
def test_derived_images_are_left_out_on_demand(start, derived, search):
    server = start(**SEARCHES[search])
    client = DICOMwebClient(server.url)
    (slide,) = find_slides(client, container_id=derived.container_identifier, include_derived=False)
    assert slide.num_channels == 1
    assert not any(request.path.endswith(f"{CT}/metadata") for request in server.requests)


def test_command_shows_the_same(start, derived, capsys):
    shown = []
    for options in ({}, SEARCHES["nothing"], {"frame_list_status": 404}):
        url = f"dicomweb+{start(**options).url}"
        assert cli.main(["info", url, "--container", derived.container_identifier]) == 0
        shown.append(capsys.readouterr().out.replace(url, "url"))
    assert "segment" in shown[0].lower()
    assert shown[0] == shown[1] == shown[2]


@pytest.mark.parametrize("code", [401, 403, 500])
def test_other_errors_are_no_refusal_of_an_attribute(start, code):
    server = start()
    server.misbehave(status(code), "Modality=SM")
    with pytest.raises(SourceError, match=f"HTTP {code}"):
        open_slide(f"dicomweb+{server.url}")
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [400, 501])
def test_service_that_refuses_every_search_is_an_error(start, code):
    server = start()
    server.misbehave(status(code), "/series")
    for _ in range(2):
        with pytest.raises(SourceError, match=f"HTTP {code}"):
            open_slide(f"dicomweb+{server.url}")
    # With an attribute and without: it is not the attribute that is refused
    assert len(server.requests) == 4


def test_patient_and_study_are_those_asked_for_though_not_searched_by(start, derived, write_kind):
    patient, study = (derived.options.patient_id, derived.options.study_id)
    for options in (
        {},
        {"refused_keys": {"StudyID": 400}},
        {"refused_keys": {"StudyID": 400, "Modality": 400, "PatientID": 501}},
        {"ignored_keys": ["StudyID", "PatientID"], "untold": ["StudyID", "PatientID"]},
    ):
        client = DICOMwebClient(start(**options).url)
        assert len(find_slides(client, patient_id=patient, study_id=study)) == 2
        assert len(find_slides(client, patient_id=f"{patient[:-1]}?")) == 2
        assert find_slides(client, patient_id=f"{patient}x") == []
        assert find_slides(client, patient_id=patient, study_id="another") == []


# Frames


def lists_of_frames(server: DicomwebServer) -> list[int]:
    """Statuses of the answers to requests for several frames."""
    return [request.status for request in server.matching("/frames/") if "," in request.path]


@pytest.mark.parametrize("way", ["url", "own client", "engine"])
def test_frames_are_asked_for_alone_where_lists_are_refused(start, derived, expected, way):
    server = start(frame_list_status=404)
    for level in ("level_1", "level_0"):
        found = WAYS[way](server, derived.container_identifier)[level]
        xr.testing.assert_identical(found.to_dataset().load(), expected[level].to_dataset())
    assert lists_of_frames(server) == [404]
    assert refusals(server) == 1


@pytest.mark.parametrize("code", [400, 403, 404, 406, 500, 501])
@pytest.mark.parametrize("kind", ["plain", "concatenation"])
def test_lists_may_be_refused_with_any_status(serve, write_kind, kind, code):
    server = serve(kind, frame_list_status=code)
    found = open_slide(f"dicomweb+{server.url}").to_datatree(chunks=None).load()
    same = open_slide(write_kind(kind).folder).to_datatree(chunks=None).load()
    xr.testing.assert_identical(found, same)
    assert lists_of_frames(server) == [code]


@pytest.mark.parametrize("tells", [False, True])
def test_refused_lists_cost_one_request(serve, write_kind, tells):
    server = serve("sparse", frame_list_status=404, tells_transfer_syntax=tells)
    slide = open_slide(f"dicomweb+{server.url}")
    server.behave()
    matrix = slide.get_volume_images()[0].get_total_pixel_matrix()
    same = open_slide(write_kind("sparse").folder).get_volume_images()[0].get_total_pixel_matrix()
    assert (matrix[...] == same[...]).all()
    numbers = [request.path.rpartition("/")[2] for request in server.requests]
    alone = [number for number in numbers if "," not in number]
    assert len(alone) == len(set(alone)) == len(numbers) - 1


def test_frames_that_are_asked_for_alone_are_asked_for_side_by_side(serve, write_kind):
    server = serve("plain", frame_list_status=404)
    slide = open_slide(f"dicomweb+{server.url}")
    image = slide.get_volume_images()[0].get_total_pixel_matrix()
    before = server.connections
    image[...]
    assert 1 < server.connections - before <= AT_ONCE


def test_frame_that_is_missing_does_not_make_a_service_one_of_single_frames(serve):
    """It costs few requests also where it is the last one, as in an image that was cut off."""
    server = serve("plain")
    slide = open_slide(f"dicomweb+{server.url}")
    image = slide.get_volume_images()[0].get_total_pixel_matrix()
    server.behave()
    server.misbehave(status(404), lambda request: "7" in request.path.rpartition("/")[2].split(","))
    with pytest.raises(SourceError, match="/frames/7: HTTP 404"):
        image[:64, :96]
    assert len(server.requests) == 2
    server.behave()
    assert image[:64, :96].any()
    assert len(server.requests) == 1
