"""Frames of DICOMweb services: those of the file, with few requests, or one error."""

import pickle
from functools import partial

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from dicomslide.errors import FrameError, InvalidImageError, SourceError
from dicomslide.metadata.storage import InstanceStorage
from dicomslide.sources import readahead, retries, webframes
from dicomslide.sources.base import check_frames
from dicomslide.sources.dicomweb import service_of_url
from dicomslide.sources.http import RefusedRequestError
from dicomslide.sources.service import InstanceUids
from dicomslide.sources.webframes import (
    WebFrames,
    batch_size_of,
    frame_bits,
    web_frames,
)
from dicomslide.stores.protocol import ImageQuery
from dicomslide.stores.services import ServiceStore
from tests.servers.archive import Archive
from tests.servers.dicomweb import DicomwebServer
from tests.servers.faults import change_parts, status
from tests.servers.messages import Part

KINDS = {
    "native": {"transfer_syntax": ExplicitVRLittleEndian},
    "big endian": {"transfer_syntax": ExplicitVRBigEndian, "samples": 1, "bits": 16},
    "jpeg": {"transfer_syntax": JPEGBaseline8Bit},
    "rle": {"transfer_syntax": RLELossless},
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(retries, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(retries, "_JITTER", 0.0)
    readahead._buffer.clear()


@pytest.fixture(params=KINDS)
def options(request):
    return KINDS[request.param]


@pytest.fixture
def serve(make_slide):
    """Starts a server of a slide for one test."""
    servers = []

    def start(slide=None, **options) -> DicomwebServer:
        archive = Archive(make_slide(**(slide or KINDS["jpeg"])).paths)
        servers.append(DicomwebServer(archive, **options).__enter__())
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def find_frames(server: DicomwebServer, number: int = 0, **options) -> WebFrames:
    service = service_of_url(f"dicomweb+{server.url}", **options)[0]
    store = ServiceStore(service, partial(web_frames, service))
    instance = server.archive.instances[number]
    found = store.images(ImageQuery(instance.study, instance.series, correct_color=False))
    (frames,) = store.frame_sources([d for d in found if d.SOPInstanceUID == instance.uid])
    return frames


def open_frames(server: DicomwebServer, number: int = 0, **options) -> WebFrames:
    frames = find_frames(server, number, **options)
    assert isinstance(frames, WebFrames)
    server.behave()
    return frames


def test_frames_are_those_of_the_file(serve, options):
    server = serve(options)
    expected = server.archive.instances[0].frames
    frames = open_frames(server)
    assert frames.count == len(expected) == 20
    assert frames.read([7, 0, 7, 19]) == [expected[n] for n in (7, 0, 7, 19)]
    assert frames.read(range(20)) == expected
    assert frames.read([]) == []
    assert len(server.requests) == 2


@pytest.mark.parametrize("tells", [False, True])
def test_transfer_syntax_is_that_of_the_frames(serve, options, tells):
    server = serve(options, tells_transfer_syntax=tells)
    frames = open_frames(server)
    assert frames.transfer_syntax_uid == server.archive.instances[0].transfer_syntax
    assert frames.remote
    assert frames.read([3]) == [server.archive.instances[0].frames[3]]


def test_frames_are_asked_for_in_batches(serve, monkeypatch):
    monkeypatch.setattr(WebFrames, "batch_size", 6)
    server = serve()
    frames = open_frames(server)
    assert frames.read(range(20)) == server.archive.instances[0].frames
    assert [request.path.count(",") + 1 for request in server.requests] == [6, 6, 6, 2]


def test_frames_that_come_alone_are_not_read_far_ahead(serve):
    """Reading ahead spares no request then, only a pause before it."""
    server = serve(frame_list_status=404)
    frames = open_frames(server)
    expected, most = server.archive.instances[0].frames, frames.batch_size
    frames.read(range(20))
    assert frames.batch_size < most
    server.behave()
    for number in (0, 1):
        assert frames.read([number]) == [expected[number]]
    # One frame, and then its square of 4 x 4 tiles, as with any service
    assert len(server.requests) == 1 + 16
    assert not any("," in request.path for request in server.requests)


def test_batches_become_single_frames_where_lists_are_refused(serve, monkeypatch):
    monkeypatch.setattr(webframes, "frames_per_request", lambda *_: 8)
    monkeypatch.setattr(webframes, "_ROUNDS", 0.25)
    server = serve(frame_list_status=404)
    frames = open_frames(server)
    assert frames.read(range(20)) == server.archive.instances[0].frames
    assert frames.batch_size == 2
    assert len(server.requests) == 1 + 20


@pytest.mark.parametrize("frame", [-1, 20, 10**9])
def test_frame_that_is_not_there_is_not_asked_for(serve, frame):
    server = serve()
    frames = open_frames(server)
    with pytest.raises(FrameError, match=rf"{frames.url}: frames \[{frame + 1}\].* 20"):
        frames.read([0, frame])
    assert server.requests == []
    with pytest.raises(FrameError):
        check_frames([frame], 20, "x")


def test_frame_in_another_transfer_syntax_is_an_error(serve):
    server = serve()
    frames = open_frames(server)
    server.misbehave(
        change_parts(
            lambda parts: [
                Part({"Content-Type": f"x/y; transfer-syntax={RLELossless}"}, part.content)
                for part in parts
            ]
        )
    )
    with pytest.raises(FrameError, match=str(RLELossless)):
        frames.read([1])


@pytest.mark.parametrize("code", [400, 404, 406])
def test_service_without_frames_is_an_error_when_frames_are_read(serve, code):
    """The metadata are of use without frames, too."""
    server = serve(tells_transfer_syntax=False)
    server.misbehave(status(code), "/frames/")
    frames = find_frames(server)
    with pytest.raises(RefusedRequestError, match=str(code)):
        frames.read([0])


FLOATS = {"parametric_maps": ("float", "double")}


class TestFloats:
    @pytest.mark.parametrize("float_frames", [False, True])
    @pytest.mark.parametrize("number", [-2, -1])
    def test_floats_are_read_with_and_without_frames(self, serve, float_frames, number):
        server = serve(FLOATS, float_frames=float_frames)
        expected = server.archive.instances[number].frames
        assert server.archive.instances[number].dataset.dir("FloatPixelData")
        frames = open_frames(server, number)
        assert bool(frames.bulk_url) is not float_frames
        assert frames.transfer_syntax_uid == ExplicitVRLittleEndian
        assert frames.read([3, 1]) == [expected[3], expected[1]]
        assert frames.read(range(len(expected))) == expected
        assert len(server.requests) <= (2 if float_frames else 1)

    def test_floats_that_are_too_short_are_an_error(self, serve):
        server = serve(FLOATS, float_frames=False)
        frames = open_frames(server, -1)
        server.misbehave(
            change_parts(lambda parts: [Part(parts[0].headers, parts[0].content[:-1])])
        )
        with pytest.raises(SourceError, match="expected"):
            frames.read([0])


class TestTravel:
    def test_pickled_source_reads_in_another_process(self, serve):
        server = serve()
        frames = open_frames(server)
        frames.read(range(10))
        data = pickle.dumps(frames)
        assert len(data) < 1500
        arrived = pickle.loads(data)
        assert arrived.token == frames.token
        assert arrived.read([4]) == [server.archive.instances[0].frames[4]]

    def test_frames_of_one_user_are_not_given_to_another(self, serve):
        server = serve(authorization="Bearer first")
        frames = open_frames(server, credentials="first")
        for number in range(8):
            frames.read([number])
        server.behave()
        stranger = web_frames(
            service_of_url(f"dicomweb+{server.url}", credentials="second")[0],
            InstanceUids.of(server.archive.instances[0].dataset),
            server.archive.instances[0].dataset,
            InstanceStorage(frames.transfer_syntax_uid),
        )
        for number in range(8):
            with pytest.raises(SourceError, match="401"):
                stranger.read([number])
        assert b"first" not in pickle.dumps(frames)


@pytest.mark.parametrize(
    ("attributes", "bits"),
    [
        # Rows, Columns, Samples per Pixel, Bits Allocated
        ((256, 256, 3, 8), 256 * 256 * 24),
        ((10, 10, 1, 16), 1600),
        ((7, 3, 1, 1), 21),
        ((None, 10, 1, 8), 80),
    ],
)
def test_size_of_a_frame_is_that_of_its_pixels(attributes, bits):
    dataset = Dataset()
    keywords = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
    for keyword, value in zip(keywords, attributes, strict=True):
        if value is not None:
            setattr(dataset, keyword, value)
    assert frame_bits(dataset) == bits


@pytest.mark.parametrize(
    ("syntax", "count"),
    # 32 MiB by 192 KiB; compressed to an eighth
    [(ExplicitVRLittleEndian, 170), (JPEGBaseline8Bit, 512), ("", 512)],
)
def test_frames_of_a_request_are_bounded(syntax, count):
    assert batch_size_of(256 * 256 * 3, syntax) == count


def test_damaged_size_of_frames_is_named():
    """pydicom converts a value when it is asked for: one byte is no US."""
    dataset = Dataset()
    dataset.SOPInstanceUID = "1.2.3"
    dataset[Tag("Columns")] = RawDataElement(Tag("Columns"), "US", 1, b"1", 0, False, True)
    with pytest.raises(InvalidImageError, match=r"image 1\.2\.3: damaged"):
        frame_bits(dataset)


def test_several_sizes_of_values_are_damage():
    dataset = Dataset()
    dataset.SOPInstanceUID = "1.2.3"
    dataset.BitsAllocated = [8, 8]
    service = service_of_url("dicomweb+https://example.org")[0]
    with pytest.raises(InvalidImageError, match=r"image 1\.2\.3: damaged"):
        web_frames(service, InstanceUids("1", "2", "1.2.3"), dataset, InstanceStorage())
