"""The small DICOMweb server answers as a real one does, and the tests can rely on its notes."""

import time

import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from dicomslide.testing import SegmentationOptions, write_slide
from tests.servers.archive import Archive
from tests.servers.dicomweb import DicomwebServer
from tests.servers.faults import cut, hang_up, never_end, silence, status

OPTIONS = {
    "jpeg": {"transfer_syntax": JPEGBaseline8Bit, "offset_table": "extended"},
    "fragments": {"transfer_syntax": RLELossless, "fragments_per_frame": 2},
    "native": {"transfer_syntax": ExplicitVRLittleEndian, "samples": 1, "bits": 16},
    "bits": {"segmentations": (SegmentationOptions("BINARY"),)},
}


@pytest.fixture(scope="module", params=OPTIONS)
def slide(request, tmp_path_factory):
    return write_slide(
        tmp_path_factory.mktemp("slide"),
        size=(70, 90),
        tile=(16, 24),
        factors=(1,),
        accession_number=f"server {request.param}",
        **OPTIONS[request.param],
    )


@pytest.fixture
def server(slide):
    with DicomwebServer(Archive(slide.paths)) as found:
        yield found


@pytest.fixture
def clients(server, orthanc, slide):
    orthanc.upload(slide.paths)
    return DICOMwebClient(server.url), DICOMwebClient(orthanc.url)


def uids(items, keyword: str) -> set[str]:
    return {str(Dataset.from_json(item).get(keyword)) for item in items}


def test_server_answers_searches(clients, slide):
    study, series = slide.study_instance_uid, slide.series_instance_uid
    own, real = (
        (
            uids(client.search_for_series(study, search_filters=filters), "SeriesInstanceUID"),
            uids(client.search_for_instances(study, search_filters=filters), "SOPInstanceUID"),
            uids(client.search_for_instances(study, series), "SOPInstanceUID"),
        )
        for client in clients
        for filters in [{"Modality": "SM", "PatientID": slide.options.patient_id}]
    )
    assert own == real
    assert own[0] == {series}


def test_server_sends_metadata(clients, slide):
    """Orthanc leaves compressed pixel data out and has no binary values."""
    for path in slide.paths:
        expected = pydicom.dcmread(path, stop_before_pixels=True)
        place = expected.StudyInstanceUID, expected.SeriesInstanceUID, expected.SOPInstanceUID
        own, real = (client.retrieve_instance_metadata(*place) for client in clients)
        for item in (own, real):
            for keyword in ("Rows", "TotalPixelMatrixColumns", "NumberOfFrames", "ImageType"):
                element = expected[keyword]
                value = list(element.value) if element.VM > 1 else [element.value]
                assert item[f"{element.tag:08X}"]["Value"] == value
        left_out = {"00083002", "7FE00010", "7FE00001", "7FE00002"}
        assert own.keys() - left_out == real.keys() - left_out


def test_server_sends_frames(clients, slide):
    """Frames of two transfer syntaxes are asked for as they are stored, in any order."""
    for path in slide.paths:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        syntax = dataset.file_meta.TransferSyntaxUID
        media_type = {JPEGBaseline8Bit: "image/jpeg", RLELossless: "image/dicom-rle"}.get(
            syntax, "application/octet-stream"
        )
        numbers = [2, 1] if dataset.get("NumberOfFrames", 1) > 1 else [1]
        own, real = (
            client.retrieve_instance_frames(
                dataset.StudyInstanceUID,
                dataset.SeriesInstanceUID,
                dataset.SOPInstanceUID,
                numbers,
                media_types=((media_type, syntax),),
            )
            for client in clients
        )
        assert own == real


@pytest.mark.parametrize("slide", ["jpeg"], indirect=True)
def test_server_sends_bulk_data(server, orthanc, slide):
    """Each kind of server announces the profile at another place."""
    orthanc.upload(slide.paths)
    dataset = pydicom.dcmread(slide.paths[0], stop_before_pixels=True)
    expected = dataset.OpticalPathSequence[0].ICCProfile
    place = f"studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
    for url in (server.url, orthanc.url):
        items = requests.get(f"{url}/{place}/metadata").json()
        uri = items[0]["00480105"]["Value"][0]["00282000"]["BulkDataURI"]
        path = uri.partition("/dicom-web")[2]
        answer = requests.get(f"{url}{path}", headers={"Accept": "*/*"})
        assert expected in answer.content


def test_only_what_is_accepted_is_sent(server, slide):
    (instance, *_) = server.archive.instances
    url = f"{server.url}{instance.place}/frames/1"
    for accept, code in {
        "text/html": 406,
        'multipart/related; type="image/jp2"': 406,
        'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.3': 406,
        'multipart/related; type="application/octet-stream"; transfer-syntax=*': 200,
        'multipart/related; type="image/gif", multipart/related; type="*/*"': 200,
        "*/*": 200,
    }.items():
        assert requests.get(url, headers={"Accept": accept}).status_code == code


@pytest.mark.parametrize("slide", ["bits"], indirect=True)
def test_server_need_not_search_by_every_attribute(slide):
    archive = Archive(slide.paths)
    path = f"studies/{slide.study_instance_uid}/series"
    options = {
        "refused_keys": {"Modality": 501},
        "ignored_keys": ["SeriesNumber"],
        "untold": ["Modality"],
    }
    with DicomwebServer(archive, **options) as server:
        assert requests.get(f"{server.url}/{path}", {"Modality": "SM"}).status_code == 501
        answer = requests.get(f"{server.url}/{path}", {"SeriesNumber": "99"})
        assert len(answer.json()) == 2
        assert answer.headers["Warning"].startswith("299 ")
        assert all("00080060" not in item for item in answer.json())
        everything = requests.get(f"{server.url}/{path}")
        assert "Warning" not in everything.headers


@pytest.mark.parametrize("slide", ["jpeg"], indirect=True)
def test_server_need_not_send_lists_of_frames(slide):
    with DicomwebServer(Archive(slide.paths), frame_list_status=406) as server:
        url = f"{server.url}{server.archive.instances[0].place}/frames"
        assert requests.get(f"{url}/1,2").status_code == 406
        assert requests.get(f"{url}/2").status_code == 200


def test_server_notes_requests(server, slide):
    url = f"{server.url}/studies/{slide.study_instance_uid}/series"
    with requests.Session() as session:
        for _ in range(3):
            body = session.get(url, headers={"Accept-Encoding": "identity"}).content
    assert [request.sent for request in server.requests] == 3 * [len(body)]
    assert server.bytes_sent == 3 * len(body)
    assert {request.connection for request in server.requests} == {1}
    assert server.connections == 1


def test_faults_happen_in_turn(server):
    url = f"{server.url}/series"
    server.misbehave(status(503, retry_after="7"), times=1)
    server.misbehave(hang_up(), times=1)
    server.misbehave(cut(0.5), "series", times=1)
    assert requests.get(url).headers["Retry-After"] == "7"
    with pytest.raises(requests.ConnectionError):
        requests.get(url)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(url)
    assert requests.get(url).status_code == 200


def test_server_stops_whatever_it_does(slide):
    with DicomwebServer(Archive(slide.paths)) as server:
        server.misbehave(silence(), times=1)
        server.misbehave(never_end(), times=1)
        with pytest.raises(requests.Timeout):
            requests.get(f"{server.url}/series", timeout=0.1)
        endless = requests.get(f"{server.url}/series", stream=True)
        begin = time.monotonic()
    assert time.monotonic() - begin < 5
    endless.close()
