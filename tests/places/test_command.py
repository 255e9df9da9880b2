"""The command reads slides that are in buckets, and slides whose images are in several places."""

import pytest
from PIL import Image

from dicomslide import make_thumbnail, open_slide
from dicomslide.testing import write_slide
from tests.servers.buckets import BucketServer
from tests.servers.ranges import RangeServer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bucket with the images of a slide under one prefix, and Segmentations under another."""
    root = tmp_path_factory.mktemp("buckets")
    slide = write_slide(
        root / "bucket" / "images",
        size=(120, 200),
        tile=(32, 32),
        factors=(1, 2),
        segmentations=("BINARY",),
        container_identifier="S26-7",
        accession_number="command",
    )
    (root / "bucket" / "segments").mkdir()
    for path in slide.paths:
        if "seg" in path.name:
            path.rename(root / "bucket" / "segments" / path.name)
    return root


@pytest.fixture
def arguments(folder):
    """Sources in the bucket, and the options with which it is reached."""
    with BucketServer(folder) as server:
        url = f"--storage-option=endpoint_url={server.origin}"
        yield ["s3://bucket/images/", "s3://bucket/segments/"], [url, "--anon"]


def test_several_sources_are_one_slide(run, arguments, folder, tmp_path):
    sources, options = arguments
    out = tmp_path / "out.png"
    code, _, errors = run("thumbnail", *sources, out, "--size", "100", "--overlay", "all", *options)
    assert (code, errors) == (0, [])
    slide = open_slide([folder / "bucket" / "images", folder / "bucket" / "segments"])
    expected = make_thumbnail(slide, 100, overlay=True)
    assert Image.open(out).tobytes() == expected.tobytes()


def test_each_source_of_info_is_for_itself(run, arguments):
    sources, options = arguments
    code, lines, errors = run("info", sources[0], *options)
    assert (code, errors) == (0, [])
    assert "Slide S26-7" in lines
    assert not any(line.startswith("Segments") for line in lines)


def test_headers_of_several_sources_are_one_archive(run, arguments, folder, tmp_path):
    sources, options = arguments
    count = len(list(folder.rglob("*.dcm")))
    code, lines, _ = run("headers", *sources, tmp_path / "headers.zip", *options)
    assert code == 0
    assert f"headers of {count} images" in lines[0]


def test_values_of_options_are_json_or_text(run, folder, tmp_path):
    user = '{"headers": {"Authorization": "Bearer anna"}}'
    with RangeServer(folder / "bucket" / "images", authorization="Bearer anna") as server:
        url = f"{server.origin}/"
        code, *_ = run("thumbnail", url, tmp_path / "a.png")
        assert code == 2
        code, *_ = run(
            "thumbnail", url, tmp_path / "a.png", "--storage-option", f"client_kwargs={user}"
        )
        assert code == 0


def test_options_of_files_are_not_for_services(run, tmp_path):
    service = "dicomweb+https://pacs.example.org/dicom-web"
    code, _, errors = run("thumbnail", service, tmp_path / "a.png", "--anon")
    assert code == 2
    assert "storage_options" in errors[0]
