"""What a source stands for: files, URLs, services and clients, and how each is reached."""

import re
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import fsspec
import pytest
from dicomweb_client.api import DICOMfileClient, DICOMwebClient

from dicomslide import open_slide
from dicomslide.errors import DicomSlideError, InvalidImageError, NoSlideError, SourceError
from dicomslide.stores.files import FileStore, name_of_paths
from dicomslide.stores.places import Access, find_images, holds_slide, open_store
from dicomslide.stores.protocol import ImageQuery
from dicomslide.stores.services import ServiceStore
from tests.servers.archive import Archive
from tests.servers.dicomweb import DicomwebServer
from tests.servers.ranges import RangeServer


@pytest.fixture(scope="module")
def slide(make_slide):
    return make_slide(factors=(1, 2))


@pytest.fixture(scope="module")
def server(slide):
    with DicomwebServer(Archive(slide.paths)) as server:
        yield server


@pytest.fixture
def memory(slide):
    """A function that puts files into a folder in memory, and gives its URL."""
    name, file_system = uuid4().hex, fsspec.filesystem("memory")

    def put(contents: dict[str, bytes]) -> str:
        for path, content in contents.items():
            file_system.pipe_file(f"/{name}/{path}", content)
        return f"memory://{name}"

    yield put
    if file_system.exists(f"/{name}"):
        file_system.rm(f"/{name}", recursive=True)


def find(source, *uids, **access):
    store = open_store(source, Access(**access))
    return store, find_images(store, ImageQuery(*uids, correct_color=False))


def uids(datasets) -> set[str]:
    return {str(dataset.SOPInstanceUID) for dataset in datasets}


@pytest.fixture(scope="module")
def expected(slide) -> set[str]:
    return uids(find(slide.folder)[1])


class TestKinds:
    def test_paths_and_lists_of_them_are_stores_of_files(self, slide, expected):
        for source in (slide.folder, str(slide.folder), slide.folder.as_uri(), list(slide.paths)):
            store, datasets = find(source)
            assert isinstance(store, FileStore)
            assert uids(datasets) == expected

    def test_list_may_have_files_at_several_places(self, slide, memory, expected):
        first, second = slide.paths
        url = memory({"a.dcm": first.read_bytes()})
        for source in ([f"{url}/a.dcm", second], [second, f"{url}/a.dcm"], (str(second), url)):
            assert uids(find(source)[1]) == expected

    def test_url_or_client_of_a_service_is_a_store(self, slide, server, expected):
        for source in (
            f"dicomweb+{server.url}",
            f"dicomweb+{server.url}/studies/{slide.study_instance_uid}",
            DICOMwebClient(server.url),
        ):
            client, datasets = find(source)
            assert isinstance(client, ServiceStore)
            assert uids(datasets) == expected

    def test_study_and_series_may_be_given_beside_the_url(self, slide, server, expected):
        url, study = f"dicomweb+{server.url}", slide.study_instance_uid
        series = server.archive.instances[0].series
        assert uids(find(url, study)[1]) == expected
        found = find(url, study, series)[1]
        assert uids(found) == expected
        # They count more than those in the URL
        assert find(f"{url}/studies/{study}", "1.2.3")[1] == []

    def test_file_client_is_a_place(self, slide, expected):
        client = DICOMfileClient(f"file://{slide.folder}", in_memory=True)
        found, datasets = find(client)
        assert isinstance(found, ServiceStore)
        assert uids(datasets) == expected

    @pytest.mark.parametrize(
        "source", [None, 5, b"folder", [1, 2], {"a": 1}, SimpleNamespace(), object, [None]]
    )
    def test_other_things_are_no_place(self, source):
        with pytest.raises(TypeError, match="source: expected a path, a URL") as caught:
            find(source)
        assert isinstance(caught.value, DicomSlideError)

    def test_files_may_be_those_of_one_study(self, slide):
        uid = slide.study_instance_uid
        assert len(find(slide.folder, uid)[1]) == len(slide.paths)
        assert find(slide.folder, "1.2.3")[1] == []
        with pytest.raises(ValueError, match=r"no image of a slide of study '1\.2\.3'"):
            open_slide(slide.folder, study_instance_uid="1.2.3")

    @pytest.mark.parametrize("name", ["session", "credentials"])
    def test_files_take_no_session_and_no_credentials(self, slide, name):
        with pytest.raises(ValueError, match=f"{name}: for DICOMweb services"):
            find(slide.folder, **{name: "x"})

    @pytest.mark.parametrize("name", ["session", "credentials"])
    def test_client_takes_no_other_session(self, server, name):
        with pytest.raises(ValueError, match=name):
            find(DICOMwebClient(server.url), **{name: "x"})


class TestFolders:
    def test_error_counts_the_other_files_of_a_folder(self, memory, tmp_path):
        contents = {"a.txt": b"text", "b.dcm": b"more" * 99}
        (tmp_path / "a.txt").write_bytes(b"text")
        for source, count in ((memory(contents), 2), (tmp_path, 1)):
            with pytest.raises(NoSlideError, match=f"holds {count} x file that is not DICOM"):
                find(source)

    def test_folder_without_files_is_an_error(self, tmp_path):
        for source in (tmp_path, []):
            with pytest.raises(NoSlideError, match="no files"):
                find(source)

    def test_other_files_beside_a_slide_are_passed_over(self, slide, memory, expected):
        contents = {path.name: path.read_bytes() for path in slide.paths}
        url = memory({**contents, "notes.txt": b"x", ".hidden.dcm": contents["level-0.dcm"]})
        assert uids(find(url)[1]) == expected

    def test_file_that_was_named_has_to_be_one(self, memory):
        url = memory({"a.txt": b"text"})
        with pytest.raises(NoSlideError, match=re.escape(f"{url}/a.txt")):
            find(f"{url}/a.txt")

    def test_damaged_file_is_named(self, slide, memory):
        url = memory({"a.dcm": slide.paths[0].read_bytes()[:3000]})
        with pytest.raises((InvalidImageError, SourceError), match=re.escape(f"{url}/a.dcm")):
            find(url)

    def test_options_of_the_file_system(self, slide, expected):
        with RangeServer(slide.folder, authorization="Bearer key") as server:
            url = f"{server.origin}/"
            options = {"client_kwargs": {"headers": {"Authorization": "Bearer key"}}}
            assert uids(find(url, storage_options=options)[1]) == expected
            with pytest.raises(SourceError):
                find(url)


class TestHoldsSlide:
    def test_local_slides_are_recognised(self, slide, tmp_path):
        assert holds_slide(slide.folder)
        assert holds_slide(slide.paths[0])
        assert holds_slide(list(slide.paths))
        assert holds_slide(slide.folder.as_uri())
        assert not holds_slide(tmp_path)
        assert not holds_slide(tmp_path / "none")

    def test_service_is_not_asked(self):
        assert holds_slide("dicomweb+https://127.0.0.1:1/dicom-web")

    @pytest.mark.parametrize(
        "source",
        [
            "https://127.0.0.1:1/slide/",
            "s3://bucket/slide",
            "ftp://127.0.0.1:1/slide",
            "memory://slide",
            "no-such-protocol://slide",
            "a::b",
            None,
            5,
            [None],
        ],
    )
    def test_other_sources_hold_no_slide(self, source):
        assert holds_slide(source) is False


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("folder/a.dcm", "folder/a.dcm"),
        (Path("folder"), "folder"),
        ("https://u:s3cret@h/a?key=s3cret", "https://h/a"),
        ("simplecache::https://u:s3cret@h/a", "simplecache::https://h/a"),
        (["a", "b"], "2 files"),
        (["https://u:s3cret@h/a"], "https://h/a"),
        ([], "0 files"),
    ],
)
def test_name_of_files_is_their_path(source, name):
    assert name_of_paths(source) == name


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (DICOMwebClient("https://h/a"), "https://h/a"),
        (DICOMwebClient("https://u:s3cret@h/a"), "https://h/a"),
        ("dicomweb+https://u:s3cret@h/a", "https://h/a"),
        (SimpleNamespace(retrieve_instance_frames=print), "the client"),
    ],
)
def test_name_of_a_service_is_its_url(source, name):
    store = open_store(source, Access())
    assert store.name == name
    assert repr(store) == f"<ServiceStore {name}>"


def test_representations_have_no_secrets():
    access = Access(credentials=("user", "s3cret"), storage_options={"key": "s3cret"})
    assert "s3cret" not in repr(access)
    options = Access(storage_options={"key": "s3cret"})
    assert repr(open_store("s3://u:s3cret@bucket/a", options)) == "<FileStore s3://bucket/a>"
    store = open_store("dicomweb+https://h/a", Access(credentials="s3cret"))
    assert "s3cret" not in repr(store) + repr(store._service)
