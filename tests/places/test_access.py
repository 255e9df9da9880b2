"""What the credentials of one user have fetched is not handed to another."""

import pickle
import subprocess
import sys
from typing import Any
from uuid import uuid4

import fsspec
import numpy as np
import pytest
from dask.base import tokenize

from dicomslide import open_slide
from dicomslide.errors import SourceError
from dicomslide.sources.filesystems import name_of_access, open_file_system
from tests.servers.faults import status
from tests.servers.ranges import RangeServer

ANNA, BERT = "Bearer a1a1a1", "Bearer b2b2b2"


def as_user(authorization: str) -> dict[str, Any]:
    return {"client_kwargs": {"headers": {"Authorization": authorization}}}


def array_of(url: str, **options: Any) -> Any:
    return open_slide(url, storage_options=options or None).get_total_pixel_matrix(0).array


@pytest.fixture
def written(make_slide):
    return make_slide(size=(300, 400), tile=(32, 32), factors=(1,), label=False, overview=False)


def test_frames_on_a_web_server_are_kept_apart_by_user(written):
    with RangeServer(written.folder) as server:
        url = server.url(written.levels[0].paths[0])
        anna, bert = (array_of(url, **as_user(user)) for user in (ANNA, BERT))
        # As on a worker, where what arrives shares caches
        anna, again, bert = (pickle.loads(pickle.dumps(array)) for array in (anna, anna, bert))
        assert tokenize(anna) == tokenize(again) != tokenize(bert)
        expected = written.levels[0].pixels()[:64, :64]
        for _ in range(3):
            assert np.array_equal(anna[:64, :64], expected)
        server.misbehave(status(403), lambda request: request.headers["Authorization"] == BERT)
        assert np.array_equal(again[:64, :64], expected)
        with pytest.raises(SourceError, match="access is denied"):
            bert[:64, :64]


def test_files_in_memory_are_told_apart_by_their_options(written):
    memory, folder = fsspec.filesystem("memory"), f"/{uuid4().hex}"
    for path in written.paths:
        memory.pipe_file(f"{folder}/{path.name}", path.read_bytes())
    url = f"memory:/{folder}"
    tokens = {
        tokenize(array_of(url, **options))
        for options in ({}, {"user": "anna"}, {"user": "bert"}, {"user": "anna"})
    }
    memory.rm(folder, recursive=True)
    assert len(tokens) == 3


def name_of(url: str, **options: Any) -> str:
    return name_of_access(url, open_file_system(url, options)[0], options)


KEYS = {"key": "anna", "secret": "0815", "endpoint_url": "https://one.test"}


def test_users_and_endpoints_of_buckets_are_told_apart():
    pytest.importorskip("s3fs")
    others = [KEYS | {name: "other"} for name in KEYS]
    names = [name_of("s3://slides/a", **options) for options in (KEYS, *others)]
    assert len(set(names)) == 4
    assert name_of("s3://slides/b/c.dcm", **KEYS) == names[0]
    assert not any(secret in name for name in names for secret in KEYS.values())


def test_secrets_in_urls_are_told_apart():
    host = "https://example.test/a.dcm"
    signed = [f"{host}?signature={number}" for number in (1, 2)]
    users = [host.replace("//", f"//{user}:x@") for user in ("anna", "bert")]
    assert len({name_of(url) for url in (host, *signed, *users)}) == 5
    assert name_of(host) == name_of("memory://a") == ""


def test_another_process_has_the_same_name():
    code = (
        "from dicomslide.sources.filesystems import name_of_access, open_file_system; "
        f"options = {as_user(ANNA)!r}; url = 'https://example.test/a'; "
        "print(name_of_access(url, open_file_system(url, options)[0], options))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == name_of("https://example.test/a", **as_user(ANNA)) != ""


def test_options_of_the_library_behind_a_bucket_are_told_apart():
    pytest.importorskip("s3fs")
    proxies = [{"proxies": {"https": f"http://127.0.0.1:{port}"}} for port in (1, 2)]
    names = [name_of("s3://slides/a", config_kwargs=config) for config in proxies]
    # What is put into them for everybody says nothing of a user
    assert len({name_of("s3://slides/a"), *names}) == 3
    assert name_of("s3://slides/a") == ""
