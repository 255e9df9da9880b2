"""Indexes of collections: slides open from them without a request, as they do from their place."""

import gc
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
import xarray as xr

import dicomslide
from dicomslide import SlideIndex, SourceError, index_slides, open_index, open_slide
from dicomslide.errors import ArgumentTypeError, ArgumentValueError, NoSlideError, StoreError
from dicomslide.testing import AnnotationOptions, write_annotations, write_slide
from tests.places.kinds import BASE, KINDS
from tests.places.places import FILES, Arguments
from tests.servers.buckets import BucketServer
from tests.servers.dicomweb import DicomwebServer
from tests.servers.distance import RoundTrips
from tests.servers.ranges import RangeServer


def assert_same(found: dicomslide.Slide, expected: dicomslide.Slide) -> None:
    """Compare all pixels, coordinates and annotations of two slides."""
    assert hash(found) == hash(expected)
    xr.testing.assert_equal(found.to_datatree().compute(), expected.to_datatree().compute())
    assert [group.label for group in found.annotations] == [
        group.label for group in expected.annotations
    ]


@pytest.fixture
def bucket_server(tmp_path: Path) -> Iterator[BucketServer]:
    """A bucket at `tmp_path / "bucket"`, whose requests are counted."""
    with BucketServer(tmp_path) as server:
        yield server


@pytest.mark.parametrize("kind", KINDS)
def test_slides_in_a_folder_open_without_reading_it(write_kind, tmp_path, kind):
    slide = write_kind(kind)
    moved = Path(shutil.copytree(slide.folder, tmp_path / "slides"))
    index_slides(moved, tmp_path / "index")
    away = moved.rename(tmp_path / "away")
    # Deflated data sets hold header and pixels in one stream, which is not kept
    if kind != "deflated":
        (found,) = open_index(tmp_path / "index")
        assert found.num_channels == open_slide(slide.folder).num_channels
    away.rename(moved)
    (found,) = open_index(tmp_path / "index")
    assert_same(found, open_slide(slide.folder))


@pytest.mark.parametrize("kind", KINDS)
def test_slides_in_a_bucket_open_without_a_request(write_kind, bucket_server, tmp_path, kind):
    slide = write_kind(kind)
    shutil.copytree(slide.folder, tmp_path / "bucket" / "slides" / "one")
    options = bucket_server.options
    index_slides("s3://bucket/slides/", tmp_path / "index", storage_options=options)
    bucket_server.behave()
    index = open_index(tmp_path / "index", storage_options=options)
    found = index[0]
    if kind != "deflated":
        assert bucket_server.requests == []
    assert_same(found, open_slide(slide.folder))


def test_first_request_is_for_frames_also_without_an_offset_table(bucket_server, tmp_path):
    slide = write_slide(
        tmp_path / "bucket" / "slide",
        BASE,
        size=(900, 1260),
        transfer_syntax=pydicom.uid.JPEGBaseline8Bit,
        offset_table="empty",
    )
    options = bucket_server.options
    index_slides("s3://bucket/slide/", tmp_path / "index", storage_options=options)
    bucket_server.behave()
    (found,) = open_index(tmp_path / "index", storage_options=options)
    pixels = found.get_total_pixel_matrix(0)[800:801, 1200:1201]
    expected = open_slide(slide.folder).get_total_pixel_matrix(0)
    np.testing.assert_array_equal(pixels, expected[800:801, 1200:1201])
    (request,) = bucket_server.requests
    start = int(request.headers["Range"].removeprefix("bytes=").partition("-")[0])
    assert start > expected.array.source.start


@pytest.mark.parametrize("kind", ["brightfield", "derived", "sparse", "concatenation"])
def test_slides_at_a_service_open_without_a_request(serve, write_kind, tmp_path, kind):
    server = serve(kind)
    source = f"dicomweb+{server.url}"
    index_slides(source, tmp_path / "index")
    server.behave()
    (found,) = open_index(tmp_path / "index")
    assert server.requests == []
    assert_same(found, open_slide(source))
    frames = [request for request in server.requests if "/frames/" in request.target]
    assert frames


def test_slides_in_a_real_archive(orthanc, write_kind, tmp_path):
    slide = write_kind("brightfield")
    orthanc.upload(slide.paths)
    source = f"dicomweb+{orthanc.url}/studies/{slide.study_instance_uid}"
    index_slides(source, tmp_path / "index")
    (found,) = open_index(tmp_path / "index")
    assert_same(found, open_slide(source))


def test_the_index_of_a_service_needs_its_credentials(archive, tmp_path):
    with DicomwebServer(archive("plain"), authorization="Bearer secret") as server:
        source = f"dicomweb+{server.url}"
        index_slides(source, tmp_path / "index", credentials="secret")
        for part in (tmp_path / "index").iterdir():
            assert b"secret" not in part.read_bytes()
        (found,) = open_index(tmp_path / "index", credentials="secret")
        assert found.get_total_pixel_matrix(0)[:1].shape[0] == 1
        (found,) = open_index(tmp_path / "index")
        with pytest.raises(SourceError, match="401"):
            found.get_total_pixel_matrix(0)[:1]


@pytest.mark.parametrize("place", FILES, indirect=True)
def test_slides_everywhere(write_kind, put, tmp_path, place):
    slide = write_kind("brightfield")
    arguments: Arguments = put(slide)
    options = {"storage_options": arguments.get("storage_options")}
    index_slides([arguments["source"]], tmp_path / "index", **options)
    (found,) = open_index(tmp_path / "index", **options)
    assert_same(found, open_slide(slide.folder))
    assert len(index_slides(None, tmp_path / "index", **options)) == 1
    assert len(list((tmp_path / "index").iterdir())) == 1


def test_annotations_are_not_read_before_they_are_needed(make_slide, tmp_path):
    slide = write_slide(tmp_path / "slide", BASE)
    points = np.random.default_rng(1).uniform(0, 100, (100_000, 2)).astype("f4")
    group = AnnotationOptions("POLYGON", np.split(points, 5_000))
    path = write_annotations(slide.folder / "annotations.dcm", slide, [group])
    index_slides(slide.folder, tmp_path / "index")
    size = sum(path.stat().st_size for path in (tmp_path / "index").iterdir())
    assert size < path.stat().st_size / 2
    (found,) = open_index(tmp_path / "index")
    expected = open_slide(slide.folder)
    for group, other in zip(found.annotations, expected.annotations, strict=True):
        np.testing.assert_array_equal(group.vectors.points, other.vectors.points)


# What changed since


def touch(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def test_a_file_that_changed_is_an_error_at_the_first_read(write_kind, tmp_path):
    folder = Path(shutil.copytree(write_kind("plain").folder, tmp_path / "slide"))
    index_slides(folder, tmp_path / "index")
    for path in folder.iterdir():
        touch(path)
    (found,) = open_index(tmp_path / "index")
    with pytest.raises(SourceError, match="has changed"):
        found.get_total_pixel_matrix(0)[:1]


@pytest.mark.parametrize("kind", ["bucket", "web server"])
def test_an_object_that_changed_is_an_error_at_the_first_read(write_kind, tmp_path, kind):
    folder = Path(shutil.copytree(write_kind("plain").folder, tmp_path / "bucket" / "slide"))
    with (BucketServer if kind == "bucket" else RangeServer)(tmp_path) as server:
        options = {"storage_options": server.options} if kind == "bucket" else {}
        source = "s3://bucket/slide/" if kind == "bucket" else f"{server.origin}/bucket/slide/"
        index_slides(source, tmp_path / "index", **options)
        for path in folder.iterdir():
            touch(path)
        (found,) = open_index(tmp_path / "index", **options)
        # The header of an answer arrives long before its body
        server.distance = RoundTrips(0, 20_000)
        with pytest.raises(SourceError, match="changed") as raised:
            found.get_total_pixel_matrix(0)[:1]
        # Nothing is left open while somebody keeps the error
        connections = [o for o in gc.get_objects() if type(o) is aiohttp.connector.Connection]
        assert all(connection.closed for connection in connections), raised


def test_only_what_changed_is_read_again(bucket_server, tmp_path):
    folder = tmp_path / "bucket" / "slides"
    for number in range(3):
        write_slide(folder / str(number), BASE, container_identifier=str(number), seed=number)
    options = {"storage_options": bucket_server.options}
    index = index_slides("s3://bucket/slides/", tmp_path / "index", **options)
    assert list(index.to_dataframe().container_identifier) == ["0", "1", "2"]
    parts = sorted((tmp_path / "index").iterdir())
    assert len(parts) == 1

    bucket_server.behave()
    index_slides(None, tmp_path / "index", **options)
    # The listing
    assert len(bucket_server.requests) == 1
    assert sorted((tmp_path / "index").iterdir()) == parts

    shutil.rmtree(folder / "0")
    write_slide(folder / "3", BASE, container_identifier="3", seed=3)
    for path in (folder / "1").iterdir():
        touch(path)
    bucket_server.behave()
    index = index_slides(None, tmp_path / "index", **options)
    names = {"/".join(request.target.split("/")[3:]) for request in bucket_server.requests[1:]}
    assert {name.split("/")[0] for name in names} == {"1", "3"}
    assert sorted(index.to_dataframe().container_identifier) == ["1", "2", "3"]
    # The pixels are those of the files as they are now
    for slide in index:
        assert_same(slide, open_slide(folder / slide.container_identifier))
    # Another program that opened the index before still reads what it had
    rows = [pq.read_table(path).num_rows for path in sorted((tmp_path / "index").iterdir())]
    assert rows == [3, 3]


def test_sources_are_added_one_after_the_other(write_kind, tmp_path):
    for kind in ("plain", "derived"):
        index_slides(write_kind(kind).folder, tmp_path / "index")
    index = index_slides([write_kind("plain").folder], tmp_path / "index")
    assert list(index.to_dataframe().source) == [
        str(write_kind(kind).folder) for kind in ("plain", "derived")
    ]
    assert len(list((tmp_path / "index").iterdir())) == 2


def test_relative_paths_mean_the_same_elsewhere(write_kind, tmp_path, monkeypatch):
    shutil.copytree(write_kind("plain").folder, tmp_path / "slide")
    monkeypatch.chdir(tmp_path)
    index_slides("slide", "index")
    monkeypatch.chdir("/")
    assert len(open_index(tmp_path / "index")[0].get_total_pixel_matrix(0)[:1]) == 1


# Choice


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of four slides."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(4):
        write_slide(
            folder / "slides" / str(number),
            BASE,
            size=(100 * (number + 1), 210),
            container_identifier=f"S26-{number}",
            patient_id=f"P{number // 2}",
            seed=number,
            optical_paths=2 if number == 3 else 1,
            samples=1 if number == 3 else 3,
        )
    index_slides(folder / "slides", folder / "index")
    return folder / "index"


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"container_identifier": "s26-?"}, [0, 1, 2, 3]),
        # No other character stands for others
        ({"container_identifier": "S26-[12]"}, []),
        ({"container_identifier": "S26-?", "rows": (200, None)}, [1, 2, 3]),
        ({"rows": 300}, [2]),
        ({"rows": (None, 250)}, [0, 1]),
        ({"rows": (200, 300)}, [1, 2]),
        ({"rows": [np.int64(200), np.float32(300)]}, [1, 2]),
        ({"stains": "*hematoxylin*"}, [0, 1, 2]),
        ({"patient_id": "P1", "columns": 210}, [2, 3]),
        ({"container_identifier": "none"}, []),
        ({"where": lambda table: table.rows > 300}, [3]),
        ({"where": lambda table: table.query("rows in (100, 400)")}, [0, 3]),
        ({"where": [True, False, False, True], "rows": (200, None)}, [3]),
        # Labels count, and for tables the slides, not the order or the numbers of rows
        ({"where": lambda table: table.sort_values("rows", ascending=False).rows > 300}, [3]),
        (
            {"where": lambda table: table.query("rows > 200").iloc[::-1].reset_index(drop=True)},
            [2, 3],
        ),
    ],
)
def test_slides_are_selected_like_rows_of_a_table(many, criteria, expected):
    index = open_index(many)
    found = index.select(**criteria)
    assert [slide.container_identifier for slide in found] == [f"S26-{n}" for n in expected]
    assert list(found.to_dataframe().container_identifier) == [f"S26-{n}" for n in expected]
    assert len(index) == 4


def test_table_describes_the_slides(many):
    index = open_index(many)
    table = index.to_dataframe()
    for number, slide in enumerate(index):
        row = table.loc[number]
        assert (row["rows"], row["columns"]) == slide.size
        assert row["levels"] == slide.num_levels
        assert row["pixel_spacing_um"] == pytest.approx(slide.pixel_spacings[0][1] * 1000)
        assert row["frame_of_reference_uid"] == slide.frame_of_reference_uid
        assert row["bytes"] == sum(
            path.stat().st_size for path in Path(row["source"]).glob(f"{number}/*.dcm")
        )


def test_an_index_is_a_sequence(many):
    index = open_index(many)
    assert [slide.container_identifier for slide in index[1:3]] == ["S26-1", "S26-2"]
    assert index[-1].container_identifier == "S26-3"
    assert next(slide.container_identifier for slide in reversed(index)) == "S26-3"
    assert repr(index).endswith("index: 4 slides>")
    assert "S26-3" in index._repr_html_()
    assert "&lt;SlideIndex" in index._repr_html_()
    for number in (4, -5):
        with pytest.raises(IndexError, match="no slide"):
            index[number]
        with pytest.raises(IndexError, match="no slide"):
            index.store(number)


@pytest.mark.parametrize(
    ("criteria", "error", "message"),
    [
        ({"colour": "red"}, ArgumentValueError, "colour: there is no such column"),
        ({"rows": "many"}, ArgumentTypeError, "rows: expected a number"),
        ({"stains": 1}, ArgumentTypeError, "stains: expected a text"),
        ({"where": [True]}, ArgumentTypeError, "expected a bool for each of 4"),
        ({"where": [0, 1, 2, 3]}, ArgumentTypeError, "expected a bool for each of 4"),
        ({"where": lambda table: table[["rows"]]}, ArgumentValueError, "lacks the columns source"),
        ({"where": lambda table: table.rows[:2] > 0}, ArgumentValueError, "other labels"),
    ],
)
def test_criteria_that_cannot_be_met(many, criteria, error, message):
    with pytest.raises(error, match=message):
        open_index(many).select(**criteria)


def test_slides_are_sources_of_the_engine_and_of_other_processes(many):
    index = open_index(many)
    expected = open_slide(Path(index.to_dataframe().source[0]) / "2")
    with xr.open_datatree(index.store(2), engine="dicomslide") as tree:
        xr.testing.assert_equal(tree.compute(), expected.to_datatree().compute())
    copy: SlideIndex = pickle.loads(pickle.dumps(index.select(rows=300)))
    assert_same(copy[0], expected)
    # What is known of headers stays in this process
    array = index[2].get_total_pixel_matrix(0).array
    plain = expected.get_total_pixel_matrix(0).array
    assert len(pickle.dumps(array)) <= len(pickle.dumps(plain)) + 100
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array))[:], plain[:])


def test_options_of_slides(many):
    index = open_index(many, correct_color=False, include_derived=False)
    assert index[0].num_levels == 2
    for name in ("colour", "container_identifier"):
        with pytest.raises(TypeError, match=name):
            open_index(many, **{name: "S26-1"})


# Size


def test_an_index_is_small(tmp_path):
    """A sparse slide has 60 bytes or more in its header for the position of each frame."""
    slide = write_slide(
        tmp_path / "slide",
        BASE,
        size=(1024, 1024),
        tile=(16, 16),
        factors=(1,),
        transfer_syntax=pydicom.uid.JPEGBaseline8Bit,
        organization="TILED_SPARSE",
    )
    index_slides(slide.folder, tmp_path / "index")
    (part,) = (tmp_path / "index").iterdir()
    # 26,112 frames at 30 bytes are less than 1 MB
    assert part.stat().st_size < 30 * 64 * 64


# Faults


def test_a_folder_that_is_no_index(tmp_path):
    with pytest.raises(NoSlideError, match="there is no index"):
        open_index(tmp_path / "none")
    with pytest.raises(NoSlideError, match="sources for one come before it"):
        index_slides(None, tmp_path / "none")
    (tmp_path / "part-000001-a.parquet").write_bytes(b"nothing")
    with pytest.raises(SourceError, match=r"part-000001-a\.parquet is damaged"):
        open_index(tmp_path)


def test_other_parquet_files_are_no_index(tmp_path):
    import pandas as pd

    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "part-000001-a.parquet")
    with pytest.raises(SourceError, match="not a part of an index"):
        open_index(tmp_path)


def test_sources_have_to_be_paths(tmp_path):
    with pytest.raises(ArgumentTypeError, match="expected paths or URLs, got object"):
        index_slides([object()], tmp_path / "index")
    with pytest.raises(ArgumentValueError, match="errors"):
        index_slides(tmp_path, tmp_path / "index", errors="ignore")
    with pytest.raises(ArgumentTypeError, match="sources"):
        index_slides(3, tmp_path / "index")
    with pytest.raises(ArgumentTypeError, match="index"):
        index_slides(tmp_path, 3)
    for nothing in ([], [[]]):
        with pytest.raises(ArgumentValueError, match="sources"):
            index_slides(nothing, tmp_path / "index")
    with pytest.raises(ArgumentValueError, match="line break"):
        index_slides("a\nb", tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_odd_names_of_folders(write_kind, tmp_path):
    odd = Path(shutil.copytree(write_kind("plain").folder, tmp_path / "slides" / "a::b ü"))
    (found,) = index_slides(tmp_path / "slides", tmp_path / "index")
    assert_same(found, open_slide(odd))
    # A path and its URL are one source
    assert len(index_slides((tmp_path / "slides").as_uri(), tmp_path / "index")) == 1
    name = os.fsdecode(os.fsencode(tmp_path / "other") + b"/\xff")
    shutil.copytree(write_kind("plain").folder, name)
    with pytest.raises(SourceError, match="not UTF-8"):
        index_slides(tmp_path / "other", tmp_path / "index")


def test_slides_of_a_folder_that_is_empty_now_are_removed(write_kind, tmp_path):
    folder = Path(shutil.copytree(write_kind("plain").folder, tmp_path / "slide"))
    index_slides([folder, write_kind("derived").folder], tmp_path / "index")
    for path in folder.iterdir():
        path.unlink()
    assert len(index_slides(None, tmp_path / "index")) == 1
    # The folder itself may be missing only for a while
    index_slides(shutil.copytree(write_kind("plain").folder, tmp_path / "two"), tmp_path / "index")
    shutil.rmtree(tmp_path / "two")
    with pytest.raises(SourceError, match="no such file"):
        index_slides(None, tmp_path / "index")
    assert len(open_index(tmp_path / "index")) == 2


def test_slides_that_cannot_be_opened_are_left_out_where_that_is_asked_for(
    write_kind, tmp_path, caplog
):
    good, bad = (
        Path(shutil.copytree(write_kind(kind).folder, tmp_path / kind))
        for kind in ("plain", "sparse")
    )
    for path in bad.iterdir():
        path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises((OSError, ValueError), match="sparse"):
        index_slides([good, bad], tmp_path / "index")
    # What was complete before stays
    assert len(open_index(tmp_path / "index")) == 1
    index = index_slides([good, bad], tmp_path / "index", errors="skip")
    assert len(index) == 1
    assert "sparse" in caplog.text


@pytest.mark.parametrize(
    "change", ["fewer", "outside", "not numbers", "no path", "no part", "no files"]
)
def test_a_damaged_row_is_an_error(write_kind, tmp_path, change):
    slide = write_kind("plain")
    index_slides(slide.folder, tmp_path / "index")
    (part,) = (tmp_path / "index").iterdir()
    table = pq.read_table(part)
    rows = table.to_pylist()
    file = rows[0]["files"][0]
    if change == "fewer":
        file["starts"] = file["starts"][:-1]
        message = "offsets for"
    elif change == "outside":
        file["ends"][3] = 10**12
        message = "frame 4 lies at bytes"
    elif change == "no path":
        file["path"] = None
        message = "part-.* is damaged: a file lacks its path"
    elif change == "no part":
        file["parts"][0]["data"] = None
        message = "part-.* is damaged: a file lacks"
    elif change == "no files":
        rows[0]["files"] = None
        message = "part-.* is damaged"
    else:
        file["modified"] = "yesterday"
        message = "no time of change"
    pq.write_table(table.from_pylist(rows, schema=table.schema), part)
    with pytest.raises((OSError, ValueError), match=message):
        open_index(tmp_path / "index")[0]


LIMITED = """
import resource, signal, sys
import dicomslide
source, index = sys.argv[1:]
import pyarrow.parquet
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    dicomslide.index_slides(source, index)
except OSError as error:
    print(type(error).__name__, error)
"""


def test_an_index_that_cannot_be_written_is_as_it_was(write_kind, tmp_path):
    index_slides(write_kind("plain").folder, tmp_path / "index")
    before = {path: path.read_bytes() for path in (tmp_path / "index").iterdir()}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, write_kind("derived").folder, tmp_path / "index"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.startswith(StoreError.__name__)
    assert {path: path.read_bytes() for path in (tmp_path / "index").iterdir()} == before


# The command


def test_the_command_makes_an_index_and_reads_it_again(write_kind, tmp_path, run):
    folder = Path(shutil.copytree(write_kind("plain").folder, tmp_path / "slides" / "one"))
    code, out, err = run("index", folder.parent, tmp_path / "index")
    assert (code, err) == (0, [])
    assert out == [f"{tmp_path / 'index'}: 1 slide"]
    write_slide(tmp_path / "slides" / "two", BASE, container_identifier="two")
    assert run("index", tmp_path / "index")[1] == [f"{tmp_path / 'index'}: 2 slides"]
    assert len(open_index(tmp_path / "index")) == 2


def test_the_command_of_a_bucket(write_kind, bucket_server, tmp_path, run):
    shutil.copytree(write_kind("plain").folder, tmp_path / "bucket" / "slide")
    endpoint = f"endpoint_url={bucket_server.origin}"
    arguments = ["--anon", "--storage-option", endpoint]
    code, out, _ = run("index", *arguments, "s3://bucket/slide/", tmp_path / "index")
    assert (code, out) == (0, [f"{tmp_path / 'index'}: 1 slide"])


def test_the_command_reports_what_is_wrong(tmp_path, run):
    code, _, err = run("index", tmp_path / "none")
    assert code == 2
    assert "there is no index of slides; sources for one come before it" in err[0]


def test_index_in_a_bucket(write_kind, bucket_server, bucket, tmp_path):
    """The index itself lies at a URL, and its options may be those of another place."""
    place = f"s3://{bucket.name}/an-index"
    slide = write_kind("plain")
    index_slides(slide.folder, place, index_options=bucket.options)
    (found,) = open_index(place, index_options=bucket.options)
    assert_same(found, open_slide(slide.folder))
    shutil.copytree(slide.folder, tmp_path / "bucket" / "slide")
    index = index_slides(
        "s3://bucket/slide/",
        place,
        storage_options=bucket_server.options,
        index_options=bucket.options,
    )
    assert len(index) == 2
