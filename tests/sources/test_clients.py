"""Frames behind any client of the ``dicomweb_client`` interface."""

import pickle
import re
import shutil
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import numpy as np
import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMfileClient, DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dicomslide import Slide, TotalPixelMatrix, find_slides
from dicomslide.errors import DicomSlideError, FrameError, SourceError
from dicomslide.sources.clients import ClientFrames
from dicomslide.sources.files import FileFrames
from dicomslide.stores.files import FileStore
from dicomslide.stores.places import frame_source

FRAMES = 5 * 4


def metadata_of(path) -> Dataset:
    return pydicom.dcmread(path, stop_before_pixels=True)


def frames_of(path) -> list[bytes]:
    """Frames of a file as pydicom finds them."""
    dataset = pydicom.dcmread(path)
    count = int(dataset.NumberOfFrames)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return list(generate_frames(dataset.PixelData, number_of_frames=count))
    length = len(dataset.PixelData) // count
    return [dataset.PixelData[n * length : (n + 1) * length] for n in range(count)]


class TestFileClient:
    """Frames that a ``DICOMfileClient`` knows are read from its files.

    It takes the path in its URL as it stands, percent signs included.
    """

    @pytest.fixture(params=["plain", "with spaces and ä", "with %41"])
    def folder(self, request, make_slide, tmp_path):
        folder = tmp_path / "data" / request.param
        shutil.copytree(make_slide(factors=(1, 2)).folder, folder)
        return folder

    def assert_reads(self, client, folder, make_slide) -> None:
        for level in make_slide(factors=(1, 2)).levels:
            path = folder / level.paths[0].name
            dataset = metadata_of(path)
            frames = frame_source(client, dataset)
            assert isinstance(frames, FileFrames)
            assert frames.name == str(path.resolve())
            matrix = TotalPixelMatrix(client, dataset)
            np.testing.assert_array_equal(matrix[...], level.pixels())

    @pytest.mark.parametrize(
        "options", [{}, {"in_memory": True}, {"readonly": True}, {"recreate_db": True}]
    )
    def test_database_may_be_in_the_folder_or_in_memory(self, folder, make_slide, options):
        client = DICOMfileClient(f"file://{folder}", **options)
        self.assert_reads(client, folder, make_slide)

    def test_database_may_be_in_another_folder(self, folder, make_slide, tmp_path):
        database = tmp_path / "database"
        database.mkdir()
        client = DICOMfileClient(f"file://{folder}", db_dir=database)
        self.assert_reads(client, folder, make_slide)

    @pytest.mark.parametrize("in_memory", [False, True])
    def test_other_threads_may_ask(self, folder, make_slide, in_memory):
        client = DICOMfileClient(f"file://{folder}", in_memory=in_memory)
        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(self.assert_reads, client, folder, make_slide) for _ in range(4)]
            for future in futures:
                future.result()

    def test_file_that_moved_since_it_was_listed_is_named(self, folder):
        client = DICOMfileClient(f"file://{folder}")
        path = folder / "level-0.dcm"
        dataset = metadata_of(path)
        path.unlink()
        with pytest.raises(OSError, match=r"level-0\.dcm") as caught:
            frame_source(client, dataset)
        assert isinstance(caught.value, DicomSlideError)

    @pytest.mark.parametrize("in_memory", [False, True])
    def test_unknown_instance_is_an_error_that_names_it(self, folder, in_memory):
        client = DICOMfileClient(f"file://{folder}", in_memory=in_memory)
        dataset = metadata_of(folder / "level-0.dcm")
        dataset.SOPInstanceUID = "1.2.3.4"
        with pytest.raises(SourceError, match=r"1\.2\.3\.4"):
            frame_source(client, dataset)

    def test_metadata_may_come_from_the_client(self, folder, make_slide):
        client = DICOMfileClient(f"file://{folder}", in_memory=True)
        (slide,) = find_slides(client)
        for image, level in zip(
            slide.get_volume_images(), make_slide(factors=(1, 2)).levels, strict=True
        ):
            matrix = image.get_total_pixel_matrix()
            np.testing.assert_array_equal(matrix[...], level.pixels())


class FakeClient:
    """Frames of files by instance, and what was asked for."""

    base_url = "https://example.org/dicomweb"

    def __init__(self, paths, answer=None, most=1000, base_url=base_url) -> None:
        self.base_url = base_url
        self.most = most
        self.frames = {str(metadata_of(path).SOPInstanceUID): frames_of(path) for path in paths}
        self.requests = []
        self.answer = answer

    def retrieve_instance_frames(self, **request):
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        if len(request["frame_numbers"]) > self.most:
            response = requests.Response()
            response.status_code = 404
            raise requests.HTTPError("404 Client Error: Not Found", response=response)
        frames = self.frames[request["sop_instance_uid"]]
        found = [frames[number - 1] for number in request["frame_numbers"]]
        return self.answer(found) if self.answer else found


class TestAnyClient:
    @pytest.fixture
    def path(self, make_slide):
        return make_slide().paths[0]

    def test_one_read_is_one_call_with_all_frames_counted_from_1(self, path):
        client, dataset = FakeClient([path]), metadata_of(path)
        frames = frame_source(client, dataset)
        assert frames.read([7, 0, 7]) == [frames_of(path)[n] for n in (7, 0, 7)]
        (request,) = client.requests
        assert request.pop("media_types")
        assert request == {
            "study_instance_uid": dataset.StudyInstanceUID,
            "series_instance_uid": dataset.SeriesInstanceUID,
            "sop_instance_uid": dataset.SOPInstanceUID,
            "frame_numbers": [8, 1, 8],
        }

    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless])
    def test_pixels_are_those_of_the_file(self, make_slide, syntax, open_counted):
        path = make_slide(transfer_syntax=syntax).paths[0]
        expected = TotalPixelMatrix(*open_counted(path))[...]
        client = FakeClient([path])
        np.testing.assert_array_equal(TotalPixelMatrix(client, metadata_of(path))[...], expected)
        assert len(client.requests) == 1

    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGBaseline8Bit])
    def test_metadata_without_a_transfer_syntax_will_do(self, make_slide, syntax, open_counted):
        path = make_slide(transfer_syntax=syntax).paths[0]
        dataset = Dataset.from_json(metadata_of(path).to_json())
        client = FakeClient([path])
        expected = TotalPixelMatrix(*open_counted(path))[...]
        np.testing.assert_array_equal(TotalPixelMatrix(client, dataset)[...], expected)
        assert client.requests[0]["media_types"] is None

    @pytest.mark.parametrize(
        ("syntax", "media_type"),
        [
            # PS3.18 8.7.3, tables of media types
            (JPEGBaseline8Bit, "image/jpeg"),
            (JPEGLosslessSV1, "image/jpeg"),
            (JPEGLSLossless, "image/jls"),
            (JPEG2000Lossless, "image/jp2"),
            (JPEG2000, "image/jp2"),
            (HTJ2K, "image/jphc"),
            (UID("1.2.840.10008.1.2.4.112"), "image/jxl"),
            (RLELossless, "image/dicom-rle"),
            (UID("1.2.840.10008.1.2.8.1"), "application/octet-stream"),
            (ExplicitVRLittleEndian, "application/octet-stream"),
            (UID("1.2.840.10008.1.2"), "application/octet-stream"),
        ],
    )
    def test_frames_are_asked_for_as_they_are_stored(self, path, syntax, media_type):
        client, dataset = FakeClient([path]), metadata_of(path)
        dataset.file_meta.TransferSyntaxUID = syntax
        frame_source(client, dataset).read([0])
        stored = syntax not in ("1.2.840.10008.1.2", ExplicitVRLittleEndian)
        asked = syntax if stored else ExplicitVRLittleEndian
        assert client.requests[0]["media_types"] == ((media_type, asked),)

    def test_server_may_say_which_transfer_syntax_is_available(self, path):
        client = FakeClient([path])
        dataset = Dataset.from_json(metadata_of(path).to_json())
        dataset.AvailableTransferSyntaxUID = ExplicitVRLittleEndian
        assert frame_source(client, dataset).transfer_syntax_uid == ExplicitVRLittleEndian

    @pytest.mark.parametrize(
        "answer", [lambda found: found[:-1], lambda found: [*found, b""], lambda _: []]
    )
    def test_wrong_number_of_frames_is_an_error(self, path, answer):
        frames = frame_source(FakeClient([path], answer), metadata_of(path))
        with pytest.raises(FrameError, match=rf"{frames.uids.instance}.*3 asked for"):
            frames.read([0, 1, 2])

    @pytest.mark.parametrize("base_url", ["https://single.example.org", ""])
    def test_frames_are_asked_for_alone_where_lists_are_refused(self, path, base_url):
        client = FakeClient([path], most=1, base_url=base_url)
        frames = frame_source(client, metadata_of(path))
        most = frames.batch_size
        for numbers in ([4, 0, 7], [3, 2]):
            assert frames.read(numbers) == [frames_of(path)[n] for n in numbers]
        asked = [request["frame_numbers"] for request in client.requests]
        # What has no URL is not remembered
        again = [] if base_url else [[4, 3]]
        alone = [[4], [3]] if base_url else [[3], [4]]
        assert asked == [[5, 1, 8], [8], [5], [1], *again, *alone]
        assert (frames.batch_size < most) is bool(base_url)

    def test_one_frame_decides_whether_lists_are_refused(self, path):
        client = FakeClient([path], most=0, base_url="https://empty.example.org")
        frames = frame_source(client, metadata_of(path))
        for _ in range(2):
            with pytest.raises(SourceError, match=r"frames \[8\] were not delivered: 404"):
                frames.read([4, 0, 7])
        assert [request["frame_numbers"] for request in client.requests] == 2 * [[5, 1, 8], [8]]

    @pytest.mark.parametrize(
        "error",
        [
            requests.HTTPError("404 Client Error: Not Found"),
            requests.ConnectionError("connection refused"),
            requests.Timeout("timed out"),
            OSError("broken pipe"),
            ValueError("unexpected media type"),
            RuntimeError("no connection"),
            KeyError("frames"),
        ],
    )
    def test_error_of_the_client_is_one_of_the_source(self, path, error):
        frames = frame_source(FakeClient([path], error), metadata_of(path))
        with pytest.raises(SourceError, match=rf"{frames.uids.instance}.*{error}") as caught:
            frames.read([4])
        assert caught.value.__cause__ is error

    def test_error_of_the_client_has_no_secrets(self, path):
        error = requests.HTTPError("404 for url: https://u:s3cret@example.org/x?sig=s3cret")
        frames = frame_source(FakeClient([path], error), metadata_of(path))
        with pytest.raises(SourceError, match="404") as caught:
            frames.read([4])
        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize("frame", [-1, FRAMES])
    def test_frame_that_is_not_there_is_not_asked_for(self, path, frame):
        client = FakeClient([path])
        with pytest.raises(FrameError, match=str(frame + 1)):
            frame_source(client, metadata_of(path)).read([0, frame])
        assert client.requests == []

    def test_frame_of_a_wrong_size_is_no_pixels(self, path):
        client = FakeClient([path], lambda found: [data[:-5] for data in found])
        with pytest.raises(FrameError, match="frame 1"):
            TotalPixelMatrix(client, metadata_of(path))[0, 0]

    def test_every_level_of_a_slide_is_read(self, make_slide):
        written = make_slide(factors=(1, 2))
        client = FakeClient(written.paths)
        slide = Slide(client, [metadata_of(path) for path in written.paths])
        for index, level in enumerate(written.levels):
            region = slide.get_image_region((0, 0), index, level.size)
            np.testing.assert_array_equal(region, level.pixels())

    @pytest.mark.parametrize("client", [None, object(), "https://example.org"])
    def test_other_things_are_no_client(self, path, client):
        with pytest.raises(TypeError, match="client") as caught:
            frame_source(client, metadata_of(path))
        assert isinstance(caught.value, DicomSlideError)

    def test_store_of_files_is_asked_itself(self, path):
        frames = frame_source(FileStore(path), metadata_of(path))
        assert isinstance(frames, FileFrames)
        assert frames.name == str(path.resolve())

    def test_token_is_that_of_instance_and_service(self, path):
        dataset = metadata_of(path)
        first, second = (frame_source(FakeClient([path]), dataset) for _ in range(2))
        assert first.token == second.token
        other = FakeClient([path])
        other.base_url = "https://example.org/another"
        assert frame_source(other, dataset).token != first.token
        dataset.SOPInstanceUID = "1.2.3"
        assert frame_source(FakeClient([path]), dataset).token != first.token

    def test_source_can_be_pickled_where_its_client_can(self, path):
        frames = frame_source(FakeClient([path]), metadata_of(path))
        arrived = pickle.loads(pickle.dumps(frames))
        assert isinstance(arrived, ClientFrames)
        assert arrived.read([3]) == [frames_of(path)[3]]
        assert arrived.token == frames.token


@contextmanager
def serve(paths, status: int = 200):
    """Serve the frames of files over DICOMweb (PS3.18 10.4.1); counts the requests."""
    files = {str(metadata_of(path).SOPInstanceUID): path for path in paths}
    counts = Counter()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            counts["requests"] += 1
            if status != 200:
                self.send_error(status)
                return
            instance, numbers = re.search(
                r"/instances/([\d.]+)/frames/([\d,]+)$", unquote(self.path)
            ).groups()
            frames = frames_of(files[instance])
            syntax = metadata_of(files[instance]).file_meta.TransferSyntaxUID
            kind = "image/jpeg" if syntax == JPEGBaseline8Bit else "application/octet-stream"
            parts = [
                b"--frames\r\nContent-Type: %s; transfer-syntax=%s\r\n\r\n%s\r\n"
                % (kind.encode(), syntax.encode(), frames[int(number) - 1])
                for number in numbers.split(",")
            ]
            body = b"".join(parts) + b"--frames--"
            self.send_response(200)
            self.send_header("Content-Type", f'multipart/related; type="{kind}"; boundary=frames')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", counts
        finally:
            server.shutdown()
            thread.join()


class TestWebClient:
    """The ``DICOMwebClient`` of dicomweb-client against a small service."""

    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGBaseline8Bit])
    def test_region_is_one_request(self, make_slide, syntax, open_counted):
        path = make_slide(transfer_syntax=syntax).paths[0]
        expected = TotalPixelMatrix(*open_counted(path))[:40, :40]
        with serve([path]) as (url, counts):
            matrix = TotalPixelMatrix(DICOMwebClient(url), metadata_of(path))
            np.testing.assert_array_equal(matrix[:40, :40], expected)
            assert counts["requests"] == 1

    def test_frames_around_are_read_ahead(self, make_slide):
        path = make_slide().paths[0]
        expected = frames_of(path)
        with serve([path]) as (url, counts):
            frames = frame_source(DICOMwebClient(url), metadata_of(path))
            assert [frames.read([number])[0] for number in range(FRAMES)] == expected
            assert counts["requests"] < FRAMES / 2

    def test_client_with_a_way_of_its_own_is_asked(self, make_slide):
        path = make_slide().paths[0]

        class Own(DICOMwebClient):
            def retrieve_instance_frames(self, *_, frame_numbers, **__):
                return [b"frame %d" % number for number in frame_numbers]

        frames = frame_source(Own("https://example.org"), metadata_of(path))
        assert isinstance(frames, ClientFrames)
        assert frames.read([4, 0]) == [b"frame 5", b"frame 1"]

    def test_of_several_transfer_syntaxes_none_is_known(self, make_slide):
        dataset = Dataset.from_json(metadata_of(make_slide().paths[0]).to_json())
        dataset.AvailableTransferSyntaxUID = [ExplicitVRLittleEndian, JPEGBaseline8Bit]
        client = FakeClient(make_slide().paths)
        assert frame_source(client, dataset).transfer_syntax_uid == ""

    def test_error_of_the_service_is_one_of_the_source(self, make_slide):
        path = make_slide().paths[0]
        with serve([path], status=404) as (url, _):
            matrix = TotalPixelMatrix(DICOMwebClient(url), metadata_of(path))
            with pytest.raises(SourceError, match="404"):
                matrix[0, 0]
