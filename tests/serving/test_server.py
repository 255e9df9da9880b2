"""Slides over HTTP: what readers get, and what nobody gets."""

import http.client
import io
import re
import shutil
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit

from dicomslide import SlideServer, as_zarr, make_thumbnail, open_slide
from dicomslide.serving.ranges import UnsatisfiableError, find_range
from dicomslide.serving.slides import name_slides

ORIGIN = "https://viewer.example"


def ask(url, path="", method="GET", headers=None):
    """Send a request, its path as it is; gives status, headers and body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request(method, parts.path + path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def written(make_slide):
    return make_slide(size=(300, 400), factors=(1, 2, 4), segmentations=("LABELMAP",), label=True)


@pytest.fixture(scope="module")
def slide(written):
    return open_slide(written.folder)


@pytest.fixture(scope="module")
def url(slide):
    """Address of a slide that is served."""
    with SlideServer([slide], allow_origins=[ORIGIN], chunks=64) as server:
        (found,) = server.urls.values()
        yield found


class TestZarr:
    def test_values_are_those_of_the_virtual_store(self, url, slide):
        store = as_zarr(slide, chunks=64)
        for key in store.list_keys():
            status, headers, body = ask(url, f"ome.zarr/{key}")
            assert (status, body) == (200, bytes(store.read(key)))
            assert int(headers["Content-Length"]) == len(body)
            kind = "application/json" if key.endswith("zarr.json") else "application/octet-stream"
            assert headers["Content-Type"] == kind

    def test_zarr_python_reads_it(self, url, written, channels_first):
        group = zarr.open_group(f"{url}ome.zarr", mode="r")
        for level in written.levels:
            np.testing.assert_array_equal(group[str(level.index)][...], channels_first(level))

    def test_ome_zarr_reads_it(self, url, written, channels_first):
        image, *others = Reader(parse_url(f"{url}ome.zarr"))()
        for level, data in zip(written.levels, image.data, strict=True):
            np.testing.assert_array_equal(data.compute(), channels_first(level))
        (labels,) = [node for node in others if "color" in node.metadata]
        assert labels.data[0].shape == (1, 300, 400)

    @pytest.mark.parametrize("key", ["zarr.json", "0/zarr.json", "0/c/0/0/0/0"])
    def test_sizes_are_told_in_advance(self, url, slide, key):
        status, headers, body = ask(url, f"ome.zarr/{key}", "HEAD")
        assert (status, body) == (200, b"")
        assert int(headers["Content-Length"]) == len(as_zarr(slide, chunks=64).read(key))
        assert headers["Accept-Ranges"] == "bytes"

    def test_parts_of_values_are_sent(self, url, slide):
        whole = bytes(as_zarr(slide, chunks=64).read("0/c/0/0/0/0"))
        for header, part in (("0-9", slice(0, 10)), ("100-", slice(100, None))):
            status, headers, body = ask(
                url, "ome.zarr/0/c/0/0/0/0", headers={"Range": f"bytes={header}"}
            )
            assert (status, body) == (206, whole[part])
            start, stop, _ = part.indices(4096)
            assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/4096"

    def test_parts_that_there_are_not_are_refused(self, url):
        status, headers, body = ask(url, "ome.zarr/0/c/0/0/0/0", headers={"Range": "bytes=4096-"})
        assert (status, headers["Content-Range"], body) == (416, "bytes */4096", b"")

    def test_associated_images_are_served_only_where_asked_for(self, url, slide):
        assert ask(url, "ome.zarr/associated/label/0/zarr.json")[0] == 404
        with SlideServer([slide], associated=True, labels=False) as server:
            (other,) = server.urls.values()
            assert ask(other, "ome.zarr/associated/label/0/zarr.json")[0] == 200
            assert ask(other, "ome.zarr/labels/zarr.json")[0] == 404


class TestRanges:
    @given(size=st.integers(0, 50), first=st.integers(0, 60), last=st.integers(0, 60))
    def test_range_of_bytes_has_a_first_and_a_last_one(self, size, first, last):
        header = f"bytes={first}-{last}"
        wanted = [i for i in range(size) if first <= i <= last]
        if last < first:
            assert find_range(header, size) is None
        elif wanted:
            assert list(range(size))[find_range(header, size)] == wanted
        else:
            with pytest.raises(UnsatisfiableError):
                find_range(header, size)

    @given(size=st.integers(0, 50), number=st.integers(0, 60))
    def test_range_of_bytes_may_be_open_at_either_end(self, size, number):
        for header, wanted in (
            (f"bytes={number}-", range(number, size)),
            (f"bytes=-{number}", range(max(size - number, 0), size)),
        ):
            if len(wanted):
                assert range(size)[find_range(header, size)] == wanted
            else:
                with pytest.raises(UnsatisfiableError):
                    find_range(header, size)

    @pytest.mark.parametrize(
        "header",
        [
            *(None, "", "bytes", "bytes=", "bytes=-", "bytes=a-b", "items=0-1", "bytes=0-1,3-4"),
            *("bytes=-1-2", "bytes=0-" + "9" * 30, "bytes= 0-1", "bytes=+1-2"),
        ],
    )
    def test_range_that_is_not_understood_asks_for_all(self, header):
        assert find_range(header, 10) is None


class TestDeepZoom:
    def descriptor(self, url):
        status, headers, body = ask(url, "deepzoom.dzi")
        assert status == 200
        assert headers["Content-Type"] == "application/xml; charset=utf-8"
        return body.decode()

    def tile(self, url, level, column, row):
        status, headers, body = ask(url, f"deepzoom_files/{level}/{column}_{row}.jpeg")
        assert (status, headers["Content-Type"]) == (200, "image/jpeg")
        return np.asarray(Image.open(io.BytesIO(body))).astype(int)

    def test_size_and_tiles_are_described(self, url):
        text = self.descriptor(url)
        assert 'Width="400" Height="300"' in text
        assert 'TileSize="254" Overlap="1"' in text or 'Overlap="1" TileSize="254"' in text
        assert 'Format="jpeg"' in text

    def test_tiles_are_parts_of_the_levels(self, url, written):
        # 400 pixels need nine halvings to become a single one
        for level in written.levels:
            number = 9 - level.index
            rows, columns = level.size
            for row, column in np.ndindex(-(-rows // 254), -(-columns // 254)):
                top, left = max(row * 254 - 1, 0), max(column * 254 - 1, 0)
                bottom, right = row * 254 + 255, column * 254 + 255
                expected = level.pixels()[top:bottom, left:right].astype(int)
                found = self.tile(url, number, column, row)
                assert found.shape == expected.shape
                # JPEG changes noise, and neither colours nor places
                assert np.abs(found - expected).mean() < 3
                assert np.abs((found - expected).mean(axis=(0, 1))).max() < 1

    def test_the_first_level_is_a_single_pixel(self, url, written):
        (((pixel,),),) = [[self.tile(url, 0, 0, 0)[0]]]
        mean = written.levels[2].pixels().mean(axis=(0, 1))
        assert np.abs(pixel - mean).max() < 12

    @pytest.mark.parametrize("place", ["9/2_0", "9/0_2", "10/0_0", "9/-1_0", "9/a_0", "99/0_0"])
    def test_there_are_no_other_tiles(self, url, place):
        assert ask(url, f"deepzoom_files/{place}.jpeg")[0] == 404

    def test_fluorescence_has_the_colours_of_the_thumbnail(self, make_slide):
        slide = open_slide(
            make_slide(size=(200, 240), samples=1, bits=16, optical_paths=3, factors=(1, 2)).folder
        )
        with SlideServer([slide]) as server:
            (url,) = server.urls.values()
            # 8 halvings of 240 pixels, and one less
            found = self.tile(url, 7, 0, 0)
        expected = np.asarray(make_thumbnail(slide, 120)).astype(int)
        assert found.shape == expected.shape == (100, 120, 3)
        assert expected.max() > 100
        # The thumbnail stretches values from another percentile on
        assert np.abs(found - expected).mean() < 12
        for channel in range(3):
            correlation = np.corrcoef(found[..., channel].ravel(), expected[..., channel].ravel())
            assert correlation[0, 1] > 0.95


class TestAccess:
    def test_slides_are_listed_to_those_who_know_the_token(self, url):
        root, name = url.rstrip("/").rpartition("/")[::2]
        status, _, body = ask(f"{root}/")
        assert status == 200
        expected = f'{{"{name}": {{"ome_zarr": "{name}/ome.zarr/", "deep_zoom": '
        assert body.decode().startswith(expected)

    @pytest.mark.parametrize(
        "path",
        ["", "x", "NAME/", "NAME/ome.zarr/zarr.json", "NAME/deepzoom.dzi", "../x", "OTHER/", "//"],
    )
    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
    def test_without_the_token_everything_is_forbidden(self, url, path, method):
        *_, token, name, _ = url.split("/")
        host = url.partition(token)[0]
        for other in ("x" * len(token), token[:-1], token.swapcase(), token + "x"):
            status, _, body = ask(f"{host}{other}/", path.replace("NAME", name), method)
            assert status == 403
            assert body == (b"" if method == "HEAD" else b"403 Forbidden\n")
        assert ask(host.rstrip("/"), "/", method)[0] == 403

    @pytest.mark.parametrize(
        "path",
        [
            *("", "ome.zarr", "ome.zarr/", "ome.zarr/nothing", "nothing", "deepzoom_files/"),
            *("ome.zarr/../deepzoom.dzi", "ome.zarr/%2e%2e/%2e%2e/etc/passwd"),
            *("ome.zarr//etc/passwd", "../../../../etc/passwd", "ome.zarr/0/c/0/0/0/-1"),
            *("ome.zarr/%00", "ome.zarr/zarr.json%00", "ome.zarr/..%5c..%5czarr.json", "%2e%2e/"),
        ],
    )
    def test_nothing_else_is_found(self, url, path):
        for method in ("GET", "HEAD"):
            status, _, body = ask(url, path, method)
            assert status == 404
            assert body in (b"", b"404 Not Found\n")

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_nothing_can_be_changed(self, url, method):
        assert ask(url, "ome.zarr/zarr.json", method)[0] == 405

    def test_pages_of_named_origins_may_read(self, url):
        for origin, allowed in ((ORIGIN, ORIGIN), ("https://other.example", None)):
            for path in ("ome.zarr/zarr.json", "deepzoom.dzi", "ome.zarr/nothing"):
                _, headers, _ = ask(url, path, headers={"Origin": origin})
                assert headers["Access-Control-Allow-Origin"] == allowed

    @pytest.mark.parametrize("origin", ["*", "example.org", "https://example.org/", "https:/x/y"])
    def test_what_is_no_origin_is_an_error(self, slide, origin):
        with pytest.raises(ValueError, match="allow_origins: expected an origin"):
            SlideServer([slide], allow_origins=[origin])

    def test_after_its_end_nothing_is_served(self, slide):
        with SlideServer([slide]) as server:
            (url,) = server.urls.values()
            assert ask(url, "deepzoom.dzi")[0] == 200
        with pytest.raises(OSError, match="refused"):
            ask(url, "deepzoom.dzi")

    def test_a_damaged_frame_is_named_in_the_log_alone(self, make_slide, tmp_path, caplog):
        folder = tmp_path / "slide"
        written = make_slide(size=(40, 40), tile=(20, 20), transfer_syntax=JPEGBaseline8Bit)
        shutil.copytree(written.folder, folder)
        (path,) = folder.rglob("*.dcm")
        # The start of the codestream of the last of four frames
        path.write_bytes(b"\0\0".join(path.read_bytes().rsplit(b"\xff\xd8", 1)))
        with SlideServer([open_slide(folder)], chunks=20) as server:
            (url,) = server.urls.values()
            assert ask(url, "ome.zarr/0/c/0/0/0/0")[0] == 200
            for place in ("ome.zarr/0/c/0/0/1/1", "deepzoom_files/6/0_0.jpeg"):
                caplog.clear()
                status, headers, body = ask(url, place)
                assert status == 500
                assert body == (
                    b"500 Internal Server Error: pixels cannot be read, the log of the server "
                    b"says why\n"
                )
                assert headers["Cache-Control"] == "no-store"
                assert f"{path.name}: frame 4" in caplog.text


class TestNames:
    @given(st.lists(st.text()))
    def test_names_have_no_special_characters_of_urls_and_are_different(self, identifiers):
        names = name_slides(identifiers)
        assert len(names) == len(identifiers) == len(set(names))
        for name in names:
            assert re.fullmatch(r"[A-Za-z0-9-][A-Za-z0-9._-]*", name)

    def test_names_are_those_of_the_containers(self):
        names = name_slides(["S26-1/A 1", "S26-1", "S26-1", "", "..", "S26-1_2"])
        assert names == ["S26-1_A_1", "S26-1", "S26-1_2", "slide", "slide_2", "S26-1_2_2"]


def test_the_command_serves_until_it_is_interrupted(written):
    # A process that was started in the background ignores the signal, and so would its children
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from dicomslide.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "serve", str(written.folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        lines = [process.stdout.readline().split() for _ in range(4)]
        (name,), (_, zarr_url), (_, _, dzi_url), end = lines
        assert end == ["Stop", "with", "Ctrl-C"]
        assert ask(zarr_url, "zarr.json")[0] == ask(dzi_url)[0] == 200
        assert name in zarr_url
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
