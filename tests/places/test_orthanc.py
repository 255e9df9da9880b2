"""What is particular about a real server."""

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient

from dicomslide import find_slides, open_slide
from dicomslide.errors import SourceError
from tests.servers.faults import cut, status
from tests.servers.forwarding import ForwardingServer
from tests.servers.orthanc import Orthanc, run_orthanc

WHOLE = (0, 0), 0, (150, 210)


@pytest.fixture
def proxy(orthanc: Orthanc):
    """A server in front of it, which counts and misbehaves."""
    with ForwardingServer(orthanc.origin) as server:
        yield server


@pytest.fixture
def source(orthanc, proxy, write_kind):
    """What a slide behind the proxy is opened with."""
    slide = write_kind("brightfield")
    orthanc.upload(slide.paths)
    return {
        "source": f"dicomweb+{proxy.origin}/dicom-web",
        "study_instance_uid": slide.study_instance_uid,
    }


def test_region_is_one_request(source, proxy, write_kind):
    slide = open_slide(**source)
    proxy.behave()
    region = slide.get_image_region(*WHOLE)
    expected = open_slide(write_kind("brightfield").folder).get_image_region(*WHOLE)
    np.testing.assert_array_equal(region, expected)
    assert len(proxy.requests) == 1


def test_profiles_come_from_the_service_whatever_their_uri(source, proxy):
    """Orthanc, as Debian installs it, announces them without the port."""
    open_slide(**source)
    assert {request.status for request in proxy.matching("/bulk")} == {200}


@pytest.mark.parametrize("fault", [status(503), cut(0.5)], ids=["503", "cut"])
def test_faults_on_the_way_are_got_over(source, proxy, write_kind, fault):
    slide = open_slide(**source)
    proxy.misbehave(fault, "/frames/", times=1)
    expected = open_slide(write_kind("brightfield").folder).get_image_region(*WHOLE)
    np.testing.assert_array_equal(slide.get_image_region(*WHOLE), expected)


def test_several_slides_in_one_study_are_told_apart(orthanc, write_kind):
    """Each slide can be chosen by its container."""
    kinds = ("brightfield", "sparse", "derived")
    for kind in kinds:
        orthanc.upload(write_kind(kind).paths)
    for kind in kinds:
        written = write_kind(kind)
        slide = open_slide(
            f"dicomweb+{orthanc.url}",
            study_instance_uid=written.study_instance_uid,
            container_identifier=written.container_identifier,
        )
        assert slide.container_identifier == written.container_identifier


def test_user_and_password_are_needed_where_orthanc_wants_them(tmp_path, write_kind):
    written = write_kind("plain")
    expected = open_slide(written.folder).get_image_region(*WHOLE)
    with run_orthanc(tmp_path, user=("ann", "pa:ss")) as server:
        server.upload(written.paths)
        slide = open_slide(f"dicomweb+{server.url}", credentials=("ann", "pa:ss"))
        np.testing.assert_array_equal(slide.get_image_region(*WHOLE), expected)
        for wrong in (None, ("ann", "wrong")):
            with pytest.raises(SourceError, match="401"):
                open_slide(f"dicomweb+{server.url}", credentials=wrong)
    with pytest.raises(SourceError, match="nothing listens"):
        open_slide(f"dicomweb+{server.url}", credentials=("ann", "pa:ss"))


def test_slides_are_found_by_patient_and_study(orthanc, write_kind):
    written = write_kind("plain")
    orthanc.upload(written.paths)
    found = find_slides(
        DICOMwebClient(orthanc.url),
        patient_id=written.options.patient_id,
        container_id=written.container_identifier,
    )
    assert [slide.container_identifier for slide in found] == [written.container_identifier]
