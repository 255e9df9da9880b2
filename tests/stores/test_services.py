"""Metadata of slides from a service: the right instances, with few requests."""

import re
from functools import partial
from types import SimpleNamespace

import pydicom
import pytest
from dicomweb_client.api import DICOMfileClient
from pydicom.uid import ExplicitVRLittleEndian

from dicomslide import open_slide
from dicomslide.errors import SourceError
from dicomslide.sources import retries
from dicomslide.sources.clients import ClientService
from dicomslide.sources.dicomweb import service_of_url
from dicomslide.sources.webframes import web_frames
from dicomslide.stores.places import store_of_client
from dicomslide.stores.protocol import ImageQuery
from dicomslide.stores.services import ServiceStore
from dicomslide.testing import make_srgb_profile
from tests.servers.archive import Archive
from tests.servers.dicomweb import DicomwebServer
from tests.servers.faults import change_metadata, status
from tests.servers.messages import Answer

OPTIONS = {
    "factors": (1, 2),
    "icc_profile": True,
    "segmentations": ("BINARY",),
    "parametric_maps": ("integer",),
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(retries, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(retries, "_JITTER", 0.0)


@pytest.fixture(scope="module")
def slide(make_slide):
    return make_slide(**OPTIONS)


@pytest.fixture(scope="module")
def archive(slide):
    return Archive(slide.paths)


@pytest.fixture
def server(archive):
    with DicomwebServer(archive) as server:
        yield server


def store_at(server) -> ServiceStore:
    service = service_of_url(f"dicomweb+{server.url}")[0]
    return ServiceStore(service, partial(web_frames, service))


def find(store, *uids, **query):
    return store.images(ImageQuery(*uids, **query))


def uids(datasets) -> set[str]:
    return {str(dataset.SOPInstanceUID) for dataset in datasets}


def of_modality(archive, *modalities: str) -> set[str]:
    return {i.uid for i in archive.instances if i.dataset.Modality in modalities}


class TestInstances:
    def test_slides_and_their_derived_images_are_found(self, server, archive):
        found = find(store_at(server))
        assert uids(found) == {instance.uid for instance in archive.instances}
        # Searches for slides and for the series of their study, each with a second page that is
        # empty; for how many series the study has; for an instance of each series of another
        # Modality; metadata of each series; bulk data
        series = {instance.series: instance.dataset.Modality for instance in archive.instances}
        others = [modality for modality in series.values() if modality not in ("SM", "SEG")]
        assert len(server.matching("/metadata")) == len(series)
        assert len(server.matching("/instances?limit=1")) == len(others)
        bulk = len(server.matching("/bulkdata/"))
        assert len(server.requests) == 2 * 2 + 1 + len(others) + len(series) + bulk

    def test_slides_are_found_without_derived_images(self, server, archive):
        found = find(store_at(server), include_derived=False)
        assert uids(found) == of_modality(archive, "SM")
        assert server.matching("/instances?") == []

    def test_named_series_is_not_searched_for(self, server, archive):
        first = archive.instances[0]
        found = find(store_at(server), first.study, first.series)
        assert uids(found) == of_modality(archive, "SM")
        assert server.matching("Modality") == []

    def test_study_of_a_named_series_is_found(self, server, archive):
        first = archive.instances[0]
        found = find(store_at(server), None, first.series)
        assert uids(found) == of_modality(archive, "SM")
        assert find(store_at(server), None, "1.2.3") == []

    def test_instances_of_a_study_are_found(self, server, archive):
        study = archive.instances[0].study
        assert len(find(store_at(server), study)) == len(archive.instances)
        assert find(store_at(server), "1.2.3") == []

    def test_search_in_a_study_asks_for_no_modality(self, server, archive):
        find(store_at(server), archive.instances[0].study, include_derived=False)
        searches = [r for r in server.requests if r.path.endswith(("/series", "/instances"))]
        assert len(searches) == 2
        assert all("Modality" not in request.target for request in searches)

    def test_instances_are_found_by_attributes(self, server, archive):
        name = archive.instances[0].dataset.PatientID
        assert find(store_at(server), filters={"PatientID": name})
        assert find(store_at(server), filters={"PatientID": f"{name}x"}) == []

    def test_attributes_are_those_of_the_files(self, server, archive):
        for dataset in find(store_at(server)):
            (instance,) = archive.find(uid=dataset.SOPInstanceUID)
            for keyword in ("Rows", "NumberOfFrames", "ImageType", "SeriesInstanceUID"):
                assert dataset[keyword] == instance.dataset[keyword]

    def test_other_classes_are_left_out(self, server, archive):
        def change(items):
            for item in items[1:]:
                item["00080016"]["Value"] = [pydicom.uid.CTImageStorage]
            return items

        first = archive.instances[0]
        server.misbehave(change_metadata(change), f"{first.series}/metadata")
        found = find(store_at(server), first.study, first.series)
        assert uids(found) == {first.uid}

    def test_other_clients_find_the_same_instances(self, slide, archive):
        client = DICOMfileClient(f"file://{slide.folder}", in_memory=True)
        found = find(store_of_client(client), archive.instances[0].study)
        assert uids(found) == {instance.uid for instance in archive.instances}


class TestTransferSyntax:
    @pytest.mark.parametrize("tells", [False, True])
    def test_missing_transfer_syntax_is_supplied(self, archive, tells):
        with DicomwebServer(archive, tells_transfer_syntax=tells) as server:
            store = store_at(server)
            found = find(store)
            assert server.matching("/frames/") == []
            sources = store.frame_sources(found)
            assert {s.transfer_syntax_uid for s in sources} == {ExplicitVRLittleEndian}
            # One frame of each image
            assert len(server.matching("/frames/")) == (0 if tells else len(found))


@pytest.mark.parametrize("tells", [False, True])
def test_metadata_of_an_image_are_those_of_its_file(archive, tells):
    """Whatever the service told about its storage, or was asked for, is kept elsewhere."""
    with DicomwebServer(archive, tells_transfer_syntax=tells) as server:
        slide = open_slide(f"dicomweb+{server.url}")
        images = {*slide.get_volume_images(), *(slide.get_image(0, n) for n in range(1, 3))}
        for image in images:
            image.get_image_region((0, 0), (5, 5))
            (instance,) = archive.find(uid=image.uid)
            of_file = pydicom.dcmread(instance.path, stop_before_pixels=True)
            assert image.metadata == of_file
            assert image.transfer_syntax_uid == ExplicitVRLittleEndian


class TestBulkData:
    def test_profile_is_retrieved(self, server):
        for dataset in find(store_at(server), include_derived=False):
            assert dataset.OpticalPathSequence[0].ICCProfile == make_srgb_profile()

    def test_profile_is_not_retrieved_without_need(self, server):
        found = find(store_at(server), include_derived=False, correct_color=False)
        assert server.matching("/bulkdata/") == []
        assert all("ICCProfile" not in dataset.OpticalPathSequence[0] for dataset in found)

    @pytest.mark.parametrize("fault", [status(404), status(503), lambda *_: Answer(0)])
    def test_profiles_that_are_not_delivered_are_one_warning(self, server, fault):
        server.misbehave(fault, "/bulkdata/")
        with pytest.warns(UserWarning, match="ICC profiles were not delivered") as caught:
            found = find(store_at(server), include_derived=False)
        assert len(caught) == 1
        assert re.search("\n|@", str(caught[0].message)) is None
        assert all("ICCProfile" not in dataset.OpticalPathSequence[0] for dataset in found)

    def test_other_bulk_data_are_retrieved_in_any_case(self, archive):
        with DicomwebServer(archive, bulk_sequences=["PerFrameFunctionalGroupsSequence"]) as server:
            found = find(store_at(server))
            assert len(server.matching("52009230")) > 0
            assert uids(found) == {instance.uid for instance in archive.instances}
            server.misbehave(status(404), "/bulkdata/52009230")
            with pytest.raises(SourceError, match="HTTP 404"):
                find(store_at(server))

    def test_client_need_not_retrieve_bulk_data(self, archive):
        first = archive.instances[0]
        item = first.to_json("https://example.org", {}, 256, ())
        client = SimpleNamespace(
            retrieve_series_metadata=lambda **_: [item],
            retrieve_bulkdata=lambda **_: (_ for _ in ()).throw(
                NotImplementedError("no bulk data")
            ),
        )
        with pytest.warns(UserWarning, match="no bulk data"):
            (dataset,) = find(ServiceStore(ClientService(client), None), first.study, first.series)
        assert dataset.SOPInstanceUID == first.uid


@pytest.mark.parametrize("path", ["/series", "/metadata", "/instances"])
@pytest.mark.parametrize("code", [401, 500])
def test_error_of_the_service_is_one_of_the_source(server, path, code):
    server.misbehave(status(code), path)
    with pytest.raises(SourceError, match=f"HTTP {code}"):
        find(store_at(server))
