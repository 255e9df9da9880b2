"""Services that differ in what they have: the same slides."""

from pathlib import Path

import pytest
import xarray as xr
from dicomweb_client.api import DICOMwebClient

from dicomslide import find_slides, open_slide, open_slides
from dicomslide.errors import ArgumentValueError, SourceError
from tests.servers.dicomweb import DicomwebServer
from tests.servers.faults import change_metadata, status
from tests.servers.messages import Answer, Request
from tests.servers.orthanc import find_orthanc, run_orthanc
from tests.servers.ranges import RangeServer

pytestmark = pytest.mark.usefixtures("slept")


def tree(source, **options) -> xr.DataTree:
    found = open_slide(source, **options).to_datatree(chunks=None).load()
    for group in found.subtree:
        # Uncompressed pixels may be stored in either of two ways
        group.attrs.pop("transfer_syntax_uid", None)
    return found


@pytest.mark.skipif(find_orthanc() is None, reason="Orthanc is not installed")
@pytest.mark.parametrize("kept", ["MainDicomTags", "Extrapolate"])
def test_orthanc_may_keep_few_attributes_of_series(write_kind, tmp_path, kept):
    kinds = [write_kind(kind) for kind in ("instances", "derived", "concatenation")]
    settings = {"SeriesMetadata": kept, "StudiesMetadata": kept}
    with run_orthanc(tmp_path, web_settings=settings) as server:
        for written in kinds:
            server.upload(written.paths)
            found = tree(f"dicomweb+{server.url}", study_instance_uid=written.study_instance_uid)
            xr.testing.assert_identical(found, tree(written.folder))


@pytest.mark.skipif(find_orthanc() is None, reason="Orthanc is not installed")
def test_search_that_a_limit_cuts_is_warned_of(write_kind, tmp_path):
    written = write_kind("derived")
    with run_orthanc(tmp_path, settings={"LimitFindResults": 2}) as server:
        server.upload(written.paths)
        with pytest.warns(UserWarning, match=r"only \d+ of the \d+ series .* LimitFindResults"):
            open_slides(
                f"dicomweb+{server.url}",
                study_instance_uid=written.study_instance_uid,
                errors="skip",
            )


@pytest.mark.skipif(find_orthanc() is None, reason="Orthanc is not installed")
def test_root_of_orthanc_is_no_dicomweb_service(write_kind, tmp_path):
    with run_orthanc(tmp_path) as server:
        server.upload(write_kind("plain").paths)
        with pytest.raises(SourceError, match="That of Orthanc ends with /dicom-web"):
            open_slide(f"dicomweb+{server.origin}")


def is_search_outside_of_studies(request: Request) -> bool:
    return request.path.endswith(("dicom-web/series", "dicom-web/instances"))


def unlisted(items: list[dict]) -> list[dict]:
    """Leave out the lists around values that are alone."""
    if isinstance(items, list):
        return [unlisted(item) for item in items]
    if not isinstance(items, dict):
        return items
    changed = {key: unlisted(value) for key, value in items.items()}
    values = changed.get("Value")
    if isinstance(values, list) and len(values) == 1 and "vr" in changed:
        changed["Value"] = values[0]
    return changed


@pytest.mark.parametrize("kind", ["brightfield", "derived", "sparse"])
def test_service_may_search_for_series_in_studies_only(serve, write_kind, kind):
    """Static files of DICOMweb are searched so, and have no lists around single values either."""
    server = serve(kind, frame_list_status=404)
    server.misbehave(status(404), is_search_outside_of_studies)
    server.misbehave(
        change_metadata(unlisted),
        lambda request: (
            "/frames/" not in request.path
            and "/bulkdata/" not in request.path
            and not is_search_outside_of_studies(request)
        ),
    )
    xr.testing.assert_identical(tree(f"dicomweb+{server.url}"), tree(write_kind(kind).folder))
    (slide,) = find_slides(DICOMwebClient(server.url))
    assert slide == open_slides(f"dicomweb+{server.url}")[0]
    # What is not there is asked for once
    assert sum(map(is_search_outside_of_studies, server.requests)) == 1


@pytest.mark.parametrize("code", [403, 404])
def test_bulk_data_may_be_at_another_path_of_the_origin(archive, write_kind, code):
    def other_path(uri: str) -> str:
        return uri.replace("/dicom-web/", "/internal/pacs/")

    with DicomwebServer(archive("brightfield"), bulk_uri=other_path) as server:
        server.misbehave(status(code), "/internal/")
        found = tree(f"dicomweb+{server.url}")
        xr.testing.assert_identical(found, tree(write_kind("brightfield").folder))
        # Each value that is not there is asked for at the service, once
        retrieved = [r for r in server.matching("/bulkdata/") if r.path.startswith("/dicom-web/")]
        assert len(retrieved) == len(server.matching("/internal/")) > 0


def test_services_have_no_storage_options(serve):
    server = serve("plain")
    with pytest.raises(ArgumentValueError, match="storage_options: for files, not for services"):
        open_slide(f"dicomweb+{server.url}", storage_options={"anon": True})
    assert server.requests == []


def test_messages_say_what_to_do(serve, write_kind, tmp_path):
    server, folder = serve("plain"), write_kind("plain").folder
    archive = Path(tmp_path, "slide.zip")
    archive.write_bytes(b"PK\x05\x06" + bytes(18))
    with RangeServer(folder.parent) as files:
        page = Answer(200, {"Content-Type": "text/html"}, b"<html>")
        files.misbehave(lambda *_: page, lambda request: request.path == f"/{folder.name}")
        for source, message in (
            (f"{files.origin}/{folder.name}", "the URL of a folder has to end with a slash"),
            (f"{server.url}/studies/1.2.3", r"put dicomweb\+ in front of the URL"),
            (archive, r"opens as zip://::.*slide\.zip"),
        ):
            with pytest.raises((ValueError, OSError), match=message):
                open_slide(source)
    server.authorization = "Bearer right"
    with pytest.raises(SourceError, match=r"401.*credentials, or others than those"):
        open_slide(f"dicomweb+{server.url}", credentials="wrong")
