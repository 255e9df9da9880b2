"""Results are stored at a DICOMweb service, and the slide is opened from there with them."""

import io
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
from PIL import Image

from dicomslide import open_slide, store, write_annotations, write_image, write_segmentation
from dicomslide.errors import SourceError, StoreError
from dicomslide.viewing.scene import Scene
from tests.servers.faults import redirect, status
from tests.servers.forwarding import ForwardingServer
from tests.servers.messages import Answer
from tests.servers.orthanc import run_orthanc
from tests.servers.serving import HttpServer
from tests.writing.results import ALGORITHM, LEVELS, SEGMENTS, assert_same_place, labels_on

DICOM_JSON = {"Content-Type": "application/dicom+json"}


@pytest.fixture(scope="module")
def written(make_slide):
    return make_slide(**LEVELS, accession_number="S26-stored")


@pytest.fixture(scope="module")
def results(written, tmp_path_factory):
    """A segmentation of two levels."""
    slide = open_slide(written.folder)
    return write_segmentation(
        labels_on(slide, 1),
        tmp_path_factory.mktemp("results"),
        slide=slide,
        segments=SEGMENTS,
        algorithm=ALGORITHM,
        levels="all",
    )


def answering(refused=None):
    """A service that takes everything, or refuses it for a reason; it keeps the instances."""

    def answer(request):
        body = bytes(request.body)
        start = body.index(b"\r\n\r\n") + 4
        uid = pydicom.dcmread(
            io.BytesIO(body[start : body.rindex(b"\r\n--")]), stop_before_pixels=True
        ).SOPInstanceUID
        item = {"00081155": {"vr": "UI", "Value": [uid]}}
        if refused is None:
            return Answer(200, DICOM_JSON, json.dumps({"00081199": _sequence(item)}).encode())
        item["00081197"] = {"vr": "US", "Value": [refused]}
        return Answer(409, DICOM_JSON, json.dumps({"00081198": _sequence(item)}).encode())

    return HttpServer(answer)


def _sequence(item):
    return {"vr": "SQ", "Value": [item]}


def test_a_stored_segmentation_opens_with_its_slide(orthanc, written, results, tmp_path):
    url = f"dicomweb+{orthanc.url}"
    orthanc.upload(written.paths)
    seen = []
    stored = store(results, url, progress=lambda done, total: seen.append((done, total)))
    assert [one.sop_instance_uid for one in stored] == [one.sop_instance_uid for one in results]
    total = sum(Path(result.path).stat().st_size for result in results)
    assert seen == sorted(seen)
    assert seen[-1] == (total, total)
    opened = open_slide(url, study_instance_uid=written.study_instance_uid)
    found = opened.to_datatree()["level_1/label_map"].isel(focal_plane=0)
    np.testing.assert_array_equal(found, labels_on(open_slide(written.folder), 1))
    # Metadata of a service are enough to write from
    (again,) = write_segmentation(
        found, tmp_path / "again.dcm", slide=opened, segments=SEGMENTS, algorithm=ALGORITHM
    )
    stored = [pydicom.dcmread(result.path) for result in (results[0], again)]
    assert stored[0].PixelData == stored[1].PixelData
    origins = [dataset.TotalPixelMatrixOriginSequence[0] for dataset in stored]
    assert origins[0] == origins[1]


def test_results_that_are_stored_are_seen_in_their_place(orthanc, make_slide, tmp_path):
    """A mask and annotations of a slide of a service, opened from there and drawn by the viewer."""
    written = make_slide(**LEVELS, accession_number="S26-seen")
    orthanc.upload(written.paths)
    where = {"study_instance_uid": written.study_instance_uid}
    url = f"dicomweb+{orthanc.url}"
    slide = open_slide(url, **where)
    mask = labels_on(slide, 1) == 1
    (segmentation,) = write_segmentation(
        mask, tmp_path, slide=slide, segments={"a": SEGMENTS["nucleus"]}, algorithm=ALGORITHM
    )
    # Around 6 rows and 10 columns of pixels of level 1
    points = np.array([(5, 4), (15, 4), (15, 10), (5, 10)])
    annotations = write_annotations(
        (points, [4]), tmp_path, slide=slide, level=1, label="region", algorithm=ALGORITHM
    )
    store([segmentation, annotations], url)

    again = open_slide(url, **where)
    node = again.to_datatree()["level_1"]
    assert_same_place(node, mask)
    np.testing.assert_array_equal(node["segmentation"].isel(segment=0, focal_plane=0), mask)
    (group,) = again.annotations
    inside = np.zeros(mask.shape, bool)
    inside[4:10, 5:15] = True
    np.testing.assert_array_equal(group.rasterize(level=1) > 0, inside)

    scene = Scene("slide", again)
    layers = scene.describe()["layers"]
    assert [layer["name"] for layer in layers] == ["slide", "a", "region"]
    # The viewer draws pixels of the base level
    shown = np.asarray(Image.open(io.BytesIO(scene.draw_tile(1, 0, 0, 0, 0, {}).content)))
    np.testing.assert_array_equal(shown[..., 3] == 255, np.kron(mask, np.ones((2, 2), bool)))
    for row, column in np.ndindex(70, 90):
        told = scene.tell_values(0, row, column, 0, {2: {}})
        assert bool(told) == inside[row // 2, column // 2]


def test_data_sets_are_stored_too(orthanc, results):
    dataset = pydicom.dcmread(results[0].path)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.4711"
    (stored,) = store(dataset, f"dicomweb+{orthanc.url}/studies/{dataset.StudyInstanceUID}")
    assert stored.sop_instance_uid == "2.25.4711"
    assert stored.url.endswith("/instances/2.25.4711")


def test_orthanc_says_which_instance_it_refuses(orthanc, results, tmp_path):
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(bytes(128) + b"DICM" + b"nothing of this is a data set")
    with pytest.raises(OSError, match=r"broken\.dcm|HTTP 4"):
        store([broken, results[0].path], f"dicomweb+{orthanc.url}")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0x0122, "its SOP Class is not supported .failure reason 0122"),
        (0xA7FF, "out of resources"),
        (0xC123, "cannot be understood"),
        (0x0001, "failed .failure reason 0001"),
    ],
)
def test_reasons_of_refusals_are_told(results, code, words):
    with answering(code) as server, pytest.raises(StoreError, match=words) as caught:
        store(results, f"dicomweb+{server.origin}")
    assert "refused 2 of 2 instances" in str(caught.value)
    assert results[0].sop_instance_uid in str(caught.value)


def test_bodies_are_those_of_the_files(results):
    with answering() as server:
        store(results, f"dicomweb+{server.origin}")
    for request, result in zip(server.requests, results, strict=True):
        assert Path(result.path).read_bytes() in bytes(request.body)
        assert request.headers["Content-Type"].startswith(
            'multipart/related; type="application/dicom"; boundary='
        )


def test_faults_on_the_way_are_got_over(orthanc, results):
    with ForwardingServer(orthanc.origin) as proxy:
        proxy.misbehave(status(503), "/studies", times=1)
        stored = store(results[0], f"dicomweb+{proxy.origin}/dicom-web")
    assert stored[0].sop_instance_uid == results[0].sop_instance_uid


def test_credentials_reach_the_service_and_no_other_origin(results, tmp_path):
    with run_orthanc(tmp_path, user=("ann", "secret")) as server:
        with pytest.raises(SourceError, match="wants credentials"):
            store(results[0], f"dicomweb+{server.url}")
        store(results[0], f"dicomweb+{server.url}", credentials=("ann", "secret"))
        session = requests.Session()
        session.auth = ("ann", "secret")
        store(results[1], f"dicomweb+{server.url}", session=session)
    with answering() as elsewhere, answering() as here:
        here.misbehave(redirect(f"{elsewhere.origin}/studies", 307), "/studies")
        with pytest.raises(SourceError, match="not a part of"):
            store(results[0], f"dicomweb+{here.origin}", credentials=("ann", "secret"))
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("instances", "url", "match"),
    [
        ([3], "dicomweb+http://localhost", "got int"),
        ("results", "http://localhost", "expected a service"),
        ("results", "dicomweb+http://localhost/studies/1/series/2", "at the end"),
        ("text", "dicomweb+http://localhost", "is not a DICOM file"),
    ],
)
def test_arguments_that_cannot_be_used_are_errors(results, tmp_path, instances, url, match):
    text = tmp_path / "text.dcm"
    text.write_text("no image")
    chosen = {"results": results, "text": text}.get(str(instances), instances)
    with pytest.raises((TypeError, ValueError), match=match):
        store(chosen, url)


def test_an_image_made_from_a_service_goes_back_to_it(orthanc, make_slide, tmp_path):
    written = make_slide(**LEVELS, accession_number="S26-image", icc_profile=True)
    orthanc.upload(written.paths)
    url, where = f"dicomweb+{orthanc.url}", {"study_instance_uid": written.study_instance_uid}
    slide = open_slide(url, **where)
    image = 255 - slide.to_datatree()["level_0/image"].isel(channel=0, focal_plane=0)
    results = write_image(
        image, tmp_path, slide=slide, levels="all", transfer_syntax="1.2.840.10008.1.2.4.80"
    )
    store(results, url)
    again = open_slide(url, **where, series_instance_uid=results[0].series_instance_uid)
    node = again.to_datatree()["level_0"]
    assert again.num_levels == 3
    assert_same_place(node, image)
    np.testing.assert_array_equal(node["image"].isel(channel=0, focal_plane=0), image)
