"""What is asked of DICOMweb services, and what is made of their answers."""

import json

import pytest
from dicomweb_client.api import DICOMwebClient
from hypothesis import given
from hypothesis import strategies as st

from dicomslide.errors import DicomSlideError, SourceError
from dicomslide.sources import retries
from dicomslide.sources.dicomweb import (
    WebService,
    service_of_client,
    service_of_url,
)
from dicomslide.sources.http import HttpService, RefusedRequestError
from dicomslide.sources.service import InstanceUids
from dicomslide.sources.urls import is_service_url
from tests.servers.archive import Archive
from tests.servers.dicomweb import DicomwebServer
from tests.servers.faults import change_parts, status
from tests.servers.messages import Answer, Part, Request
from tests.servers.serving import HttpServer

NATIVE, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"
JSON = {"Content-Type": "application/dicom+json"}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(retries, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(retries, "_JITTER", 0.0)


@pytest.fixture(scope="module")
def archive(make_slide):
    return Archive(make_slide(transfer_syntax=JPEG, factors=(1, 2), icc_profile=True).paths)


@pytest.fixture
def serve(archive):
    """Starts a server with options, for one test."""
    servers = []

    def start(**options) -> DicomwebServer:
        servers.append(DicomwebServer(archive, **options).__enter__())
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture
def server(serve):
    return serve()


def service_at(server: HttpServer, prefix: str = "/dicom-web") -> WebService:
    return WebService(HttpService.at(server.origin + prefix))


def retrieve(server: DicomwebServer, frames=(1, 2, 6), syntax: str = JPEG):
    instance = server.archive.instances[0]
    url = service_at(server).instance_url(InstanceUids.of(instance.dataset))
    return service_at(server).retrieve_frames(url, list(frames), 1 << 20, syntax)


class TestUrl:
    @pytest.mark.parametrize(
        ("url", "base", "study", "series"),
        [
            ("https://h/a", "https://h/a", None, None),
            ("http://h:8042/a/b/", "http://h:8042/a/b", None, None),
            ("https://h/a/studies/1.2", "https://h/a", "1.2", None),
            ("https://h/a/studies/1.2/", "https://h/a", "1.2", None),
            ("https://h/studies/1.2/series/3.4", "https://h", "1.2", "3.4"),
            ("https://h/studies/1.2/series/3.4/", "https://h", "1.2", "3.4"),
            ("https://u:s3cret@h/a/studies/1.2", "https://h/a", "1.2", None),
        ],
    )
    def test_url_may_end_with_study_and_series(self, url, base, study, series):
        assert is_service_url(f"dicomweb+{url}")
        service, *uids = service_of_url(f"dicomweb+{url}")
        assert (service.base_url, *uids) == (base, study, series)
        assert "s3cret" not in repr(service)

    @pytest.mark.parametrize(
        "url",
        [
            "https://h/studies/1/2",
            "https://h/studies/1/series",
            "https://h/studies/1/series/2/x/3",
            "ftp://h",
            "s3://bucket/a",
            "https://",
            "",
        ],
    )
    def test_wrong_url_is_an_error(self, url):
        with pytest.raises(ValueError, match="source: expected") as caught:
            service_of_url(f"dicomweb+{url}")
        assert isinstance(caught.value, DicomSlideError)

    @pytest.mark.parametrize("source", ["https://h/a", "s3://bucket", None, 5])
    def test_url_of_something_else_is_an_error(self, source):
        assert not is_service_url(source)

    @given(st.lists(st.text(max_size=10), min_size=3, max_size=3))
    def test_identifiers_stay_in_their_place(self, uids):
        """No identifier that a service tells leads to another path of it."""
        url = WebService(HttpService.at("https://h/a"), "", "/wado").instance_url(
            InstanceUids(*uids)
        )
        parts = url.removeprefix("https://h/a/wado/").split("/")
        assert parts[::2] == ["studies", "series", "instances"]
        assert len(parts) == 6
        assert not set(url) & set("?#\\ \n")

    def test_an_identifier_has_an_end(self):
        service = WebService(HttpService.at("https://h/a"), "", "")
        with pytest.raises(SourceError, match=r"image 3: '1\.51\.5.*…' is no UID: it has 3000"):
            service.instance_url(InstanceUids("1.5" * 1000, "2", "3"))

    def test_half_a_character_is_no_identifier(self):
        service = WebService(HttpService.at("https://h/a"), "", "")
        with pytest.raises(SourceError, match=r"'1\.\\ud800' is no UID"):
            service.instance_url(InstanceUids("1", "2", "1.\ud800"))


class TestClient:
    def test_prefixes_and_session_of_a_client_are_used(self):
        client = DICOMwebClient(
            "https://h/a", qido_url_prefix="q", wado_url_prefix="/w/", headers={"X-Key": "1"}
        )
        service = service_of_client(client)
        assert (service.search_prefix, service.retrieve_prefix) == ("/q", "/w")
        assert (
            service.instance_url(InstanceUids("1", "2", "3"))
            == "https://h/a/w/studies/1/series/2/instances/3"
        )
        assert service.http.sessions.get(service.base_url) is client._session

    def test_plain_client_is_the_service_of_its_url(self):
        client = DICOMwebClient("https://h/a")
        service, _, _ = service_of_url("dicomweb+https://h/a")
        held = [s.http.sessions.get("https://h/a") for s in (service_of_client(client), service)]
        assert held[0] is held[1]

    def test_credentials_in_the_url_of_a_client_are_used(self, serve):
        server = serve(authorization="Basic dTpw")
        client = DICOMwebClient(server.url.replace("//", "//u:p@"))
        assert len(service_of_client(client).search_for_series()) == 1

    def test_client_with_methods_of_its_own_is_no_plain_service(self):
        class Own(DICOMwebClient):
            def retrieve_instance_frames(self, *arguments, **options):
                raise NotImplementedError

        assert service_of_client(Own("https://h/a")) is None
        assert service_of_client(object()) is None


def result(number: int) -> dict:
    return {"00080018": {"vr": "UI", "Value": [f"1.2.{number}"]}}


def paged(count: int, page: int, end: Answer, *, knows_offset: bool = True) -> HttpServer:
    """A search with a number of results on pages, and the answer behind the last page."""

    def answer(request: Request) -> Answer:
        offset = int(dict(request.query).get("offset", 0)) if knows_offset else 0
        found = [result(number) for number in range(count)][offset : offset + page]
        return Answer(200, JSON, json.dumps(found).encode()) if found else end

    return HttpServer(answer)


class TestSearch:
    @pytest.mark.parametrize(
        "end", [Answer(200, JSON, b"[]"), Answer(200, JSON), Answer(204), *map(Answer, (400, 404))]
    )
    @pytest.mark.parametrize(("count", "page"), [(7, 3), (6, 3), (1, 1), (5, 100)])
    def test_all_pages_of_results_are_found(self, count, page, end):
        with paged(count, page, end) as server:
            found = service_at(server).search_for_series(None, {"Modality": "SM"})
            assert found == [result(number) for number in range(count)]
            assert len(server.requests) <= -(-count // page) + 1
            assert {dict(request.query)["Modality"] for request in server.requests} == {"SM"}

    @pytest.mark.parametrize("count", [1, 5])
    def test_server_that_does_not_know_the_offset_is_searched_twice_only(self, count):
        with paged(count, 100, Answer(204), knows_offset=False) as server:
            assert len(service_at(server).search_for_series("1.2")) == count
            assert len(server.requests) == 2
            assert server.requests[0].path == "/dicom-web/studies/1.2/series"

    @pytest.mark.parametrize("code", [401, 403, 500])
    def test_half_of_the_results_are_no_results(self, code):
        with paged(5, 3, Answer(code)) as server, pytest.raises(SourceError, match=str(code)):
            service_at(server).search_for_series()

    @pytest.mark.parametrize("code", [400, 401, 404, 500])
    def test_refused_search_is_an_error(self, code):
        with (
            HttpServer(lambda _: Answer(code)) as server,
            pytest.raises(RefusedRequestError, match=f"/dicom-web/series: HTTP {code}"),
        ):
            service_at(server).search_for_series()

    def test_search_may_find_nothing(self):
        with HttpServer(lambda _: Answer(204)) as server:
            assert service_at(server).search_for_series() == []

    @pytest.mark.parametrize(
        "body", [b"<html>", b"[1]", b'["a"]', b"{", b"5", b"null", b"[" * 100_000, b"\xff"]
    )
    def test_results_that_are_no_data_sets_are_an_error(self, body):
        with (
            HttpServer(lambda _: Answer(200, JSON, body)) as server,
            pytest.raises(SourceError, match="JSON"),
        ):
            service_at(server).search_for_series()


class TestMetadata:
    def test_metadata_of_a_series_are_one_request(self, server):
        first = server.archive.instances[0]
        found = service_at(server).retrieve_series_metadata(first.study, first.series)
        assert [item["00080018"]["Value"][0] for item in found] == [
            instance.uid for instance in server.archive.find(series=first.series)
        ]
        assert len(server.requests) == 1

    @pytest.mark.parametrize("code", [400, 404, 500, 501])
    def test_metadata_are_retrieved_by_instance_where_series_are_refused(self, server, code):
        first = server.archive.instances[0]
        expected = service_at(server).retrieve_series_metadata(first.study, first.series)
        server.misbehave(status(code), f"/series/{first.series}/metadata")
        found = service_at(server).retrieve_series_metadata(first.study, first.series)
        assert found == expected

    def test_one_instance_of_a_series_is_enough(self, server):
        first = server.archive.instances[0]
        found = service_at(server).search_for_instance(first.study, first.series)
        assert found["00080018"]["Value"] == [first.uid]
        (request,) = server.requests
        assert request.query == [("limit", "1")]

    @pytest.mark.parametrize("code", [401, 403])
    def test_metadata_are_not_retrieved_by_instance_where_access_is_denied(self, server, code):
        server.misbehave(status(code), "/metadata")
        with pytest.raises(RefusedRequestError, match=str(code)):
            service_at(server).retrieve_series_metadata("1.2", "3.4")
        assert len(server.requests) == 1

    def test_unknown_series_is_an_error(self, server):
        with pytest.raises(RefusedRequestError, match="404"):
            service_at(server).retrieve_series_metadata("1.2", "3.4")


class TestFrames:
    def test_frames_are_those_asked_for(self, server):
        frames = server.archive.instances[0].frames
        assert retrieve(server) == ([frames[1], frames[2], frames[6]], JPEG)
        (request,) = server.requests
        assert request.target.endswith("/frames/2,3,7")

    @pytest.mark.parametrize("code", [400, 406, 415, 500, 501])
    def test_second_form_of_accept_is_used_where_the_first_is_refused(self, server, code):
        expected = server.archive.instances[0].frames[3]
        server.misbehave(
            status(code), lambda request: request.headers["Accept"].count("multipart") == 1
        )
        for _ in range(3):
            assert retrieve(server, [3]) == ([expected], JPEG)
        accepted = [request.headers["Accept"] for request in server.requests]
        # Afterwards the second form is asked for at once
        assert len(accepted) == 4
        assert accepted[1] == accepted[2] == accepted[3] != accepted[0]
        assert 'type="image/jpeg"' in accepted[1]
        assert 'type="image/dicom-rle"' in accepted[1]

    @pytest.mark.parametrize("code", [400, 406, 500])
    def test_form_that_is_refused_is_no_refusal_of_lists(self, server, code):
        server.misbehave(
            status(code), lambda request: request.headers["Accept"].count("multipart") == 1
        )
        frames = server.archive.instances[0].frames
        for _ in range(2):
            assert retrieve(server) == ([frames[1], frames[2], frames[6]], JPEG)
        asked = [request.path.rpartition("/")[2] for request in server.requests]
        assert asked == ["2,3,7", "7", "2,3,7", "2,3,7"]

    def test_form_of_accept_and_lists_may_both_be_refused(self, serve):
        server = serve(frame_list_status=400)
        server.misbehave(
            status(400), lambda request: request.headers["Accept"].count("multipart") == 1
        )
        frames = server.archive.instances[0].frames
        for _ in range(2):
            assert retrieve(server) == ([frames[1], frames[2], frames[6]], JPEG)
        assert sorted(request.status for request in server.requests) == 6 * [200] + 3 * [400]

    @pytest.mark.parametrize(("syntax", "forms"), [(JPEG, 2), ("", 3), (NATIVE, 2)])
    def test_each_form_of_accept_is_tried_once(self, server, syntax, forms):
        server.misbehave(status(406))
        with pytest.raises(RefusedRequestError, match="406"):
            retrieve(server, [3], syntax)
        accepted = [request.headers["Accept"] for request in server.requests]
        assert len(set(accepted)) == len(accepted) == forms
        assert any(NATIVE in form for form in accepted) is (syntax != JPEG)

    @pytest.mark.parametrize("code", [413, 414, 431])
    @pytest.mark.parametrize("most", [1, 3])
    def test_url_that_is_too_long_is_halved(self, server, code, most):
        server.misbehave(status(code), lambda request: request.path.count(",") >= most)
        frames = server.archive.instances[0].frames
        assert retrieve(server, range(11)) == (frames[:11], JPEG)
        assert len(server.requests) < 22

    def test_url_that_is_too_long_for_one_frame_is_an_error(self, server):
        server.misbehave(status(414))
        with pytest.raises(RefusedRequestError, match="414"):
            retrieve(server, range(4))
        assert len(server.requests) == 3

    def test_halves_in_different_transfer_syntaxes_are_an_error(self, server):
        server.misbehave(status(414), lambda request: "," in request.path)
        other = change_parts(
            lambda _: [Part({"Content-Type": f"a/b; transfer-syntax={NATIVE}"}, b"x")]
        )
        server.misbehave(other, "/frames/2")
        with pytest.raises(SourceError, match="different transfer syntaxes"):
            retrieve(server, [0, 1])

    @given(order=st.permutations(range(4)))
    def test_order_is_that_of_the_locations(self, order):
        frames = [bytes([n]) * 5 for n in range(4)]

        def answer(request: Request) -> Answer:
            return Answer(
                200,
                {"Content-Type": "multipart/related; boundary=next-part"},
                parts=tuple(
                    Part({"Content-Location": f"/x/frames/{10 * n + 10}"}, frames[n]) for n in order
                ),
            )

        with HttpServer(answer) as server:
            found = service_at(server).retrieve_frames(f"{server.origin}/x", [9, 19, 29, 39], 99)
        assert found == (frames, "")

    @pytest.mark.parametrize(
        "location",
        ["", "/frames/", "/frames/x", "/frames/²", "/frames/" + "9" * 5000, "http://[", "frame 3"],
    )
    def test_location_that_tells_no_number_is_passed_over(self, server, location):
        server.misbehave(
            change_parts(
                lambda parts: [
                    Part({**part.headers, "Content-Location": location}, part.content)
                    for part in parts
                ]
            )
        )
        frames = server.archive.instances[0].frames
        assert retrieve(server) == ([frames[1], frames[2], frames[6]], JPEG)

    @pytest.mark.parametrize(
        ("content_type", "syntax"),
        [
            (f"image/jpeg; transfer-syntax={JPEG}", JPEG),
            (f'image/jpeg; Transfer-Syntax="{JPEG}"', JPEG),
            ("image/jpeg; transfer-syntax=*", ""),
            ("image/jpeg", ""),
            ("", ""),
        ],
    )
    def test_transfer_syntax_is_that_of_the_part(self, server, content_type, syntax):
        server.misbehave(
            change_parts(
                lambda parts: [Part({"Content-Type": content_type}, part.content) for part in parts]
            )
        )
        assert retrieve(server)[1] == syntax

    def test_answer_has_a_largest_size(self, server):
        instance = server.archive.instances[0]
        url = service_at(server).instance_url(InstanceUids.of(instance.dataset))
        server.misbehave(
            change_parts(lambda parts: [Part(part.headers, bytes(1 << 20)) for part in parts])
        )
        with pytest.raises(SourceError, match="bytes"):
            service_at(server).retrieve_frames(url, [0, 1], 1000)


class TestBulkData:
    @pytest.fixture
    def profile(self, server):
        """URL of a value, and the value."""
        first = server.archive.instances[0]
        service_at(server).retrieve_series_metadata(first.study, first.series)
        server.behave()
        return max(server._bulk.items(), key=lambda item: len(item[1]))

    @pytest.mark.parametrize(
        "move",
        [
            lambda url, _: url,
            # Without the port, as some servers write it behind a proxy
            lambda url, server: url.replace(server.origin, "http://127.0.0.1"),
            lambda url, server: url.replace(server.origin, "https://proxy.example.org"),
            lambda url, server: url.replace(server.url, "https://u:p@example.org/other/root"),
            lambda url, server: url.removeprefix(server.origin),
            lambda url, server: url.removeprefix(f"{server.url}/"),
            lambda url, _: url.removeprefix("http:"),
        ],
    )
    def test_bulk_data_are_retrieved_from_the_service(self, server, profile, move):
        url, value = profile
        assert service_at(server).retrieve_bulkdata(move(url, server)) == value
        (request,) = server.requests
        assert server.origin + request.target == url

    def test_other_host_is_never_asked(self, server):
        with HttpServer(lambda _: Answer(200, {}, b"x")) as other:
            for path in ("/bulk/1", "/studies/1/bulk", "//evil.example.org/x", "/?x=1"):
                with pytest.raises(SourceError):
                    service_at(server).retrieve_bulkdata(other.origin + path)
            assert other.requests == []

    @pytest.mark.parametrize(
        "url",
        [
            "file:///etc/passwd",
            "ftp://example.org/x",
            "http://[bad",
            "https://example.org//[bad",
            "data:,x",
            "//evil.example.org\\@127.0.0.1/x",
        ],
    )
    def test_bulk_data_at_no_service_are_an_error(self, server, url):
        with pytest.raises(SourceError):
            service_at(server).retrieve_bulkdata(url)

    @pytest.mark.parametrize("code", [400, 406, 500])
    def test_second_form_of_accept_is_used_for_bulk_data(self, server, profile, code):
        url, value = profile
        server.misbehave(status(code), lambda request: "multipart" in request.headers["Accept"])
        assert service_at(server).retrieve_bulkdata(url) == value
        assert server.requests[-1].headers["Accept"] == "*/*"

    def test_bulk_data_need_not_be_a_part(self, server, profile):
        url, value = profile
        server.misbehave(
            lambda *_: Answer(200, {"Content-Type": "application/octet-stream"}, value)
        )
        assert service_at(server).retrieve_bulkdata(url) == value

    @pytest.mark.parametrize("count", [0, 2, 5])
    def test_bulk_data_of_no_part_or_several_are_an_error(self, server, profile, count):
        server.misbehave(change_parts(lambda parts: parts * count))
        with pytest.raises(SourceError, match="parts"):
            service_at(server).retrieve_bulkdata(profile[0])

    def test_bulk_data_beyond_the_bound_are_an_error(self, server, profile):
        server.misbehave(
            change_parts(lambda parts: [Part(parts[0].headers, bytes(200_000))]), times=1
        )
        with pytest.raises(SourceError, match="bytes"):
            service_at(server).retrieve_bulkdata(profile[0], 100_000)
