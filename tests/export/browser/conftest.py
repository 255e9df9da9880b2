"""A page that draws OME-Zarr images with a reader that is not ours, in a headless browser.

The page and what it needs are installed from npm into a temporary folder. One server serves the
page and the images, and ranges of files too, which readers of shards ask for.
"""

import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
    """The folder of the page with all that it needs."""
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
def draw(
    tmp_path_factory: pytest.TempPathFactory, chromium: str, viewer: Path, server: HTTPServer
) -> Iterator[Callable[..., Drawing]]:
    """Draws an image in a browser, with the arguments of `show` in viewer.js.

    A picture of the page is saved beside the store of the image.
    """
    root = tmp_path_factory.getbasetemp()
    numbers = count()

    def address(path: Path) -> str:
        return server.url_for(f"/{path.relative_to(root).as_posix()}")

    def draw_image(store: Path, **view: Any) -> Drawing:
        screenshot = store.parent / f"drawing-{next(numbers)}.png"
        view |= {"url": address(store), "screenshot": str(screenshot)}
        print(json.dumps(view), file=browser.stdin, flush=True)
        answer = json.loads(browser.stdout.readline() or '{"error": "the browser ended"}')
        if "error" in answer:
            pytest.fail(f"{store}: {answer['error']}")
        return Drawing(_decode(answer.pop("png")), **answer)

    command = ["node", "browse.js", chromium, address(viewer / "viewer.html")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=viewer, stdin=pipe, stdout=pipe, text=True) as browser:
        yield draw_image


def _decode(address: str) -> NDArray[np.uint8]:
    """Decode a data URL of an opaque PNG."""
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))
    assert (picture[..., 3] == 255).all()
    return picture[..., :3]
