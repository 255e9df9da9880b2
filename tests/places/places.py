"""Places that a slide can be opened from.

Each is a function that puts a slide there, and gives the keyword arguments of `open_slide` that it
is opened with. What runs at a place is among the fixtures.
"""

import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import fsspec
import pytest
from dicomweb_client.api import DICOMfileClient, DICOMwebClient

from dicomslide.testing import SyntheticSlide
from tests.servers.ranges import RangeServer

__all__ = ["FILES", "PLACES", "SERVICES", "Arguments"]

Arguments = dict[str, Any]


def in_folder(request: pytest.FixtureRequest, slide: SyntheticSlide) -> Arguments:
    return {"source": slide.folder}


def in_file_client(request: pytest.FixtureRequest, slide: SyntheticSlide) -> Arguments:
    return {"source": DICOMfileClient(f"file://{slide.folder}", in_memory=True)}


def in_file_url(request: pytest.FixtureRequest, slide: SyntheticSlide) -> Arguments:
    return {"source": slide.folder.as_uri()}


def in_orthanc(request: pytest.FixtureRequest, slide: SyntheticSlide) -> Arguments:
    server = request.getfixturevalue("orthanc")
    server.upload(slide.paths)
    url = f"dicomweb+{server.url}"
    return {"source": url, "study_instance_uid": slide.study_instance_uid}


def in_dicomweb(request: pytest.FixtureRequest, slide: SyntheticSlide) -> Arguments:
    return {"source": f"dicomweb+{request.getfixturevalue('serve_dicomweb')(slide.folder).url}"}


def in_web_client(request: pytest.FixtureRequest, slide: SyntheticSlide) -> Arguments:
    return {"source": DICOMwebClient(request.getfixturevalue("serve_dicomweb")(slide.folder).url)}


def in_s3(request: pytest.FixtureRequest, slide: SyntheticSlide) -> Arguments:
    bucket = request.getfixturevalue("bucket")
    url = bucket.upload(slide.folder, slide.folder.name)
    return {"source": url, "storage_options": bucket.options}


def in_s3_cached(request: pytest.FixtureRequest, slide: SyntheticSlide) -> Arguments:
    bucket = request.getfixturevalue("bucket")
    url = bucket.upload(slide.folder, slide.folder.name)
    folder = request.getfixturevalue("tmp_path") / "cache"
    options = {"s3": bucket.options, "simplecache": {"cache_storage": str(folder)}}
    return {"source": f"simplecache::{url}", "storage_options": options}


def in_http_folder(request: pytest.FixtureRequest, slide: SyntheticSlide) -> Arguments:
    server = request.getfixturevalue("servers").enter_context(RangeServer(slide.folder))
    return {"source": f"{server.origin}/"}


def in_http_files(request: pytest.FixtureRequest, slide: SyntheticSlide) -> Arguments:
    server = request.getfixturevalue("servers").enter_context(
        RangeServer(slide.folder, lists=False)
    )
    return {"source": [server.url(path) for path in slide.paths]}


def in_memory(request: pytest.FixtureRequest, slide: SyntheticSlide) -> Arguments:
    memory = fsspec.filesystem("memory")
    for path in slide.paths:
        memory.pipe_file(f"/slides/{slide.folder.name}/{path.name}", path.read_bytes())
    request.addfinalizer(lambda: memory.rm(f"/slides/{slide.folder.name}", recursive=True))
    return {"source": f"memory://slides/{slide.folder.name}"}


def in_zip(request: pytest.FixtureRequest, slide: SyntheticSlide) -> Arguments:
    path = request.getfixturevalue("tmp_path") / "slide.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in slide.paths:
            archive.write(file, f"slide/{file.name}")
    return {"source": f"zip://::{path}"}


def in_tar(request: pytest.FixtureRequest, slide: SyntheticSlide) -> Arguments:
    path = request.getfixturevalue("tmp_path") / "slide.tar"
    with tarfile.open(path, "w") as archive:
        for file in slide.paths:
            archive.add(file, f"slide/{file.name}")
    return {"source": f"tar://slide::{path}"}


def in_ftp(request: pytest.FixtureRequest, slide: SyntheticSlide) -> Arguments:
    return {"source": f"{request.getfixturevalue('ftp')}{_below_all(request, slide)}/"}


def in_webdav(request: pytest.FixtureRequest, slide: SyntheticSlide) -> Arguments:
    options = {"base_url": request.getfixturevalue("webdav")}
    return {"source": f"webdav://{_below_all(request, slide)}", "storage_options": options}


def _below_all(request: pytest.FixtureRequest, slide: SyntheticSlide) -> str:
    """Path of a slide below the folder of all tests, which these servers serve."""
    folder = request.getfixturevalue("tmp_path_factory").getbasetemp()
    return slide.folder.relative_to(folder).as_posix()


PLACES: dict[str, Callable[[pytest.FixtureRequest, SyntheticSlide], Arguments]] = {
    "folder": in_folder,
    "file client": in_file_client,
    "file url": in_file_url,
    "orthanc": in_orthanc,
    "dicomweb": in_dicomweb,
    "web client": in_web_client,
    "s3": in_s3,
    "s3 cached": in_s3_cached,
    "http folder": in_http_folder,
    "http files": in_http_files,
    "memory": in_memory,
    "zip": in_zip,
    "tar": in_tar,
    "ftp": in_ftp,
    "webdav": in_webdav,
}
SERVICES = ("orthanc", "dicomweb", "web client")
FILES = tuple(name for name in PLACES if name not in (*SERVICES, "file client"))
