"""Pages that draw OME-Zarr and Deep Zoom images with readers of others, in a headless browser.

The pages and what they need are installed from npm into a temporary folder. One server serves the
pages and images in folders, and ranges of files too, which readers of shards ask for.
"""

import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response
from werkzeug.exceptions import NotFound
from werkzeug.utils import send_from_directory

VIEWER = Path(__file__).parent / "viewer"


@dataclass(frozen=True)
class Drawing:
    """What a browser shows: pixels of shape (rows, columns, 3), and what the reader understood."""

    pixels: NDArray[np.uint8]
    version: str
    axes: list[dict[str, Any]]
    scales: list[list[float]]


def _find(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    pytest.skip(f"{names[0]} is not installed")


def _run(*command: str, folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.fail(f"{' '.join(command)}: {done.stderr}", pytrace=False)


@pytest.fixture(scope="session")
def chromium() -> str:
    return _find("chromium", "chromium-browser")


@pytest.fixture(scope="session")
def viewer(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Path:
    """The folder of the pages with all that they need."""
    npm = _find("npm")
    _find("node")
    folder = tmp_path_factory.mktemp("browser") / "viewer"
    # Without what was installed there by hand
    shutil.copytree(VIEWER, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    # None of the packages needs its scripts
    _run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder)
    _run(npm, "run", "build", folder=folder)
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTPServer]:
    """Serves the temporary files of all tests."""
    root = tmp_path_factory.getbasetemp()

    def send(request: Request) -> Response:
        try:
            return send_from_directory(root, request.path.removeprefix("/"), request.environ)
        except NotFound as error:
            # Readers find out in this way which version a store has
            return error.get_response(request.environ)

    with HTTPServer(host="127.0.0.1", threaded=True) as http:
        http.expect_request(re.compile("/.*")).respond_with_handler(send)
        yield http


@pytest.fixture(scope="session")
def show(
    tmp_path_factory: pytest.TempPathFactory, chromium: str, viewer: Path, server: HTTPServer
) -> Iterator[Callable[..., dict[str, Any]]]:
    """Shows images on a page, with the arguments of its `show`; gives what that returns.

    Images are folders of the tests, or addresses. A picture of the page is saved.
    """
    root = tmp_path_factory.getbasetemp()
    numbers = count()
    pipe = subprocess.PIPE

    def address(place: Path | str) -> str:
        if isinstance(place, str):
            return place
        return server.url_for(f"/{place.relative_to(root).as_posix()}")

    with ExitStack() as stack:

        @cache
        def browse(page: str) -> subprocess.Popen[str]:
            command = ["node", "browse.js", chromium, address(viewer / page)]
            return stack.enter_context(
                subprocess.Popen(command, cwd=viewer, stdin=pipe, stdout=pipe, text=True)
            )

        def show_image(page: str, place: Path | str, **view: Any) -> dict[str, Any]:
            browser = browse(page)
            screenshot = root / f"drawing-{next(numbers)}.png"
            view |= {"url": address(place), "screenshot": str(screenshot)}
            print(json.dumps(view), file=browser.stdin, flush=True)
            answer: dict[str, Any] = json.loads(
                browser.stdout.readline() or '{"error": "the browser ended"}'
            )
            if "error" in answer:
                pytest.fail(f"{place}: {answer['error']}")
            answer["pixels"] = _decode(answer.pop("png"))
            return answer

        yield show_image


@pytest.fixture(scope="session")
def draw(show: Callable[..., dict[str, Any]]) -> Callable[..., Drawing]:
    """Draws a level of an OME-Zarr image, with the arguments of `show` in viewer.js."""
    return lambda place, **view: Drawing(**show("viewer.html", place, **view))


def _decode(address: str) -> NDArray[np.uint8]:
    """Decode a data URL of an opaque PNG."""
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))
    assert (picture[..., 3] == 255).all()
    return picture[..., :3]
