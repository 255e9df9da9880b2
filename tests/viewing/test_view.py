"""A viewer that runs: who may look, and what of this machine can be reached."""

import socket
import threading
import time
from urllib.parse import urlsplit

import numpy as np
import pytest

import dicomslide
from dicomslide.cli import main
from dicomslide.errors import ArgumentValueError, StoreError
from dicomslide.viewing import view
from tests.viewing.conftest import fetch

SIZE = (300, 400)


@pytest.fixture
def slide(make_slide):
    return make_slide(size=SIZE, label=True)


@pytest.fixture
def viewer(open_view, slide):
    return open_view(dicomslide.open_slide(slide.folder))


class TestAccess:
    def test_only_programs_of_this_machine_reach_it(self, viewer):
        assert urlsplit(viewer.url).hostname == "127.0.0.1"

    @pytest.mark.parametrize(
        "path",
        ["", "viewer.js", "slides", "slides/0", "slides/0/tiles/0/0/0/0", "slides/0/values/0/0/0"],
    )
    def test_a_wrong_token_is_forbidden(self, viewer, path):
        right, wrong = viewer.url, viewer.url[:-2] + ("a" if viewer.url[-2] != "a" else "b") + "/"
        assert fetch(wrong + path).status == 403
        assert fetch(right + path + ("?layers=0" if "values" in path else "")).status == 200

    def test_each_viewer_has_another_token(self, open_view, slide):
        opened = dicomslide.open_slide(slide.folder)
        tokens = {urlsplit(open_view(opened).url).path for _ in range(3)}
        assert len(tokens) == 3

    def test_is_not_shown_with_the_viewer(self, viewer):
        assert urlsplit(viewer.url).path.strip("/") not in repr(viewer)

    @pytest.mark.parametrize(
        "path",
        [
            "__init__.py",
            "../__init__.py",
            "%2e%2e/__init__.py",
            "..%2f__init__.py",
            "static/viewer.js",
            "/etc/passwd",
            "%2fetc%2fpasswd",
            "slides/1",
            "slides/0/associated/label",
            "slides/0/associated/..%2flabel",
            "slides/-1",
            "slides/0/tiles/0/0/9/9",
            "slides/0/tiles/9/0/0/0",
            "slides/0/tiles/0/99/0/0",
        ],
    )
    def test_nothing_else_is_there(self, viewer, path):
        assert fetch(viewer.url + path).status == 404

    @pytest.mark.parametrize(
        "query", ["plane=-1", "plane=x", "plane=٣", "channels=9", "channels=0:red:0:1"]
    )
    def test_wishes_that_mean_nothing_are_bad(self, viewer, query):
        from urllib.parse import quote

        url = f"{viewer.url}slides/0/tiles/0/0/0/0?{quote(query, safe='=&:')}"
        assert fetch(url).status == 400

    def test_bodies_are_refused_before_they_are_read(self, viewer):
        address = urlsplit(viewer.url)
        with socket.create_connection((address.hostname, address.port), timeout=20) as sent:
            sent.sendall(b"POST /x/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
            assert sent.recv(1000).startswith(b"HTTP/1.1 400")

    def test_answers_about_nothing_tell_nothing(self, viewer, capfd):
        answer = fetch(viewer.url + "a/b/c")
        assert (answer.status, answer.body) == (404, b"404 Not Found\n")
        assert "Server" not in answer.headers
        # The address would be in the log of who reads standard error
        assert capfd.readouterr().err == ""

    def test_long_queries_are_refused(self, viewer):
        assert fetch(f"{viewer.url}slides/0/tiles/0/0/0/0?channels={'0,' * 9000}").status == 414

    def test_pages_may_run_scripts_of_the_viewer_only(self, viewer):
        answer = fetch(viewer.url)
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        # No other machine is asked for anything
        for name in ("", "viewer.js", "viewer.css"):
            assert b"http://" not in fetch(viewer.url + name).body
            assert b"https://" not in fetch(viewer.url + name).body


class TestAnswers:
    def test_tiles_are_pictures(self, viewer, slide):
        answer = fetch(f"{viewer.url}slides/0/tiles/0/0/0/1")
        assert answer.headers["Content-Type"] == "image/png"
        np.testing.assert_array_equal(answer.pixels, slide.levels[0].pixels()[:256, 256:])
        assert fetch(f"{viewer.url}slides/0/tiles/0/1/0/0").headers["Content-Type"] == "image/jpeg"

    def test_values_are_words(self, viewer, slide):
        red, green, blue = slide.levels[0].pixels()[12, 34].tolist()
        answer = fetch(f"{viewer.url}slides/0/values/0/12/34?layers=0")
        assert answer.json == {"values": [f"Brightfield {red} {green} {blue}"]}

    def test_slides_are_described_with_the_document_of_bokeh(self, viewer):
        description = fetch(f"{viewer.url}slides/0").json
        assert description["size"] == list(SIZE)
        assert description["document"]["doc"]["roots"]

    def test_bokeh_comes_from_this_machine(self, viewer):
        assert b"Bokeh" in fetch(f"{viewer.url}bokeh.js").body


class TestSlides:
    def test_several_are_listed_by_their_names(self, open_view, make_slide):
        one, two = (dicomslide.open_slide(make_slide(size=SIZE, seed=n).folder) for n in (1, 2))
        assert fetch(open_view({"first": one, "second": two}).url + "slides").json == {
            "slides": ["first", "second"]
        }
        same = one.container_identifier
        assert same != two.container_identifier
        assert fetch(open_view([one, two, one]).url + "slides").json == {
            "slides": [f"{same} (1)", two.container_identifier, f"{same} (2)"]
        }

    def test_have_overlays_of_their_own(self, open_view, make_slide):
        one, two = (dicomslide.open_slide(make_slide(size=SIZE, seed=n).folder) for n in (1, 2))
        viewer = open_view({"a": one, "b": two}, overlays={"b": np.zeros(SIZE, bool)})
        counts = [len(fetch(f"{viewer.url}slides/{n}").json["layers"]) for n in (0, 1)]
        assert counts == [1, 2]
        with pytest.raises(ArgumentValueError, match="names of the slides"):
            view({"a": one, "b": two}, overlays=np.zeros(SIZE, bool), show=False)

    def test_there_has_to_be_one(self):
        with pytest.raises(ArgumentValueError, match="there are none"):
            view([], show=False)


class TestLifetime:
    def test_closed_viewers_answer_no_more(self, slide):
        with view(dicomslide.open_slide(slide.folder), show=False) as viewer:
            assert fetch(viewer.url).status == 200
        with pytest.raises(OSError, match="refused"):
            fetch(viewer.url)
        # Twice is no harm
        viewer.close()

    def test_waits_until_it_is_closed(self, slide):
        viewer = view(dicomslide.open_slide(slide.folder), show=False)
        waiting = threading.Thread(target=viewer.wait)
        waiting.start()
        time.sleep(0.01)
        assert waiting.is_alive()
        viewer.close()
        waiting.join(timeout=60)
        assert not waiting.is_alive()

    def test_opens_a_browser(self, slide, monkeypatch):
        opened = []
        monkeypatch.setattr("webbrowser.open", opened.append)
        with view(dicomslide.open_slide(slide.folder)) as viewer:
            assert opened == [viewer.url]

    def test_notebooks_show_a_frame(self, viewer):
        assert f'<iframe src="{viewer.url}"' in viewer._repr_html_()

    def test_without_bokeh_it_says_what_to_install(self, slide, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "bokeh", None)
        with pytest.raises(StoreError, match=r"bokeh is missing: pip install 'dicomslide\[view\]'"):
            view(dicomslide.open_slide(slide.folder), show=False)


class TestCommand:
    def test_prints_the_address_and_runs_until_it_is_interrupted(self, slide, monkeypatch, capsys):
        asked = []

        def interrupt(viewer):
            asked.append(fetch(viewer.url).status)
            raise KeyboardInterrupt

        monkeypatch.setattr("dicomslide.viewing.View.wait", interrupt)
        assert main(["view", str(slide.folder), "--no-browser"]) == 0
        assert asked == [200]
        assert capsys.readouterr().out.startswith("http://127.0.0.1:")

    def test_overlays_are_files(self, slide, tmp_path, capsys):
        arguments = [
            "view",
            str(slide.folder),
            "--no-browser",
            "--overlay",
            str(tmp_path / "no.png"),
        ]
        assert main(arguments) == 2
        assert "no.png" in capsys.readouterr().err
