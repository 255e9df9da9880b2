"""The server of the viewer: its page, its slides, and nothing else of this machine."""

import asyncio
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import TypeVar

from tornado.httpserver import HTTPServer
from tornado.web import Application, HTTPError

from dicomslide.errors import ArgumentValueError, SelectionError, UnsupportedError
from dicomslide.serving.access import LIMITS, Access, GuardedHandler, NothingHandler, listen
from dicomslide.serving.pool import Pool
from dicomslide.viewing.document import make_document
from dicomslide.viewing.scene import Encoded, Scene

__all__ = ["Server"]

T = TypeVar("T")

# Reads of a distant store wait more than they work
_THREADS = 8
# Hundreds of channels with colours and windows
_LONGEST_QUERY = 2**14
_PAGE = {
    "": ("index.html", "text/html; charset=utf-8"),
    "viewer.css": ("viewer.css", "text/css; charset=utf-8"),
    "viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
}
_BOKEH = "bokeh.js"
# Bokeh styles elements by attributes, and the page runs nothing but its own scripts
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' blob: data:; connect-src 'self'"
)


class _Handler(GuardedHandler):
    """Answers for one of the slides."""

    def initialize(self, access: Access, pool: Pool, scenes: Sequence["Shown"] = ()) -> None:
        """Take the settings of the route."""
        super().initialize(access, pool)
        self._scenes = scenes

    def find(self, number: str) -> "Shown":
        """Find a slide by its number."""
        if int(number) >= len(self._scenes):
            raise HTTPError(HTTPStatus.NOT_FOUND)
        return self._scenes[int(number)]

    async def attempt(self, work: Callable[[], T]) -> T:
        """Have something done, and tell what was wrong with the request."""
        try:
            return await self.perform(work)
        except SelectionError:
            raise HTTPError(HTTPStatus.NOT_FOUND) from None
        except ArgumentValueError:
            raise HTTPError(HTTPStatus.BAD_REQUEST) from None
        except UnsupportedError:
            raise HTTPError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE) from None

    def wishes(self) -> dict[str, str]:
        """Read the query."""
        if len(self.request.query) > _LONGEST_QUERY:
            raise HTTPError(HTTPStatus.REQUEST_URI_TOO_LONG)
        return {name: self.get_query_argument(name) for name in self.request.query_arguments}

    def integer(self, wishes: Mapping[str, str], name: str) -> int:
        """Read a number that is not negative from the query; 0 by default."""
        text = wishes.get(name, "0")
        if not text.isascii() or not text.isdecimal() or len(text) > 9:
            raise HTTPError(HTTPStatus.BAD_REQUEST)
        return int(text)

    def send(self, encoded: Encoded) -> None:
        """Send a picture."""
        self.set_header("Content-Type", encoded.media_type)
        self.finish(encoded.content)


class _PageHandler(GuardedHandler):
    """Sends the files of the page, by names that are known."""

    def get(self, _: str, name: str) -> None:
        """Send a file."""
        if name == _BOKEH:
            content, media_type = _bokeh(), "text/javascript; charset=utf-8"
        elif name in _PAGE:
            file, media_type = _PAGE[name]
            content = _read(file)
        else:
            raise HTTPError(HTTPStatus.NOT_FOUND)
        self.set_header("Content-Type", media_type)
        self.set_header("Content-Security-Policy", _POLICY)
        self.finish(content)


class _ListHandler(_Handler):
    """Names the slides."""

    def get(self, _: str) -> None:
        """Send the names."""
        self.finish({"slides": [shown.scene.name for shown in self._scenes]})


class _SceneHandler(_Handler):
    """Describes a slide."""

    async def get(self, _: str, number: str) -> None:
        """Send the description, with the document of Bokeh."""
        shown = self.find(number)
        self.set_header("Content-Type", "application/json")
        self.finish(await self.attempt(shown.describe))


class _TileHandler(_Handler):
    """Draws tiles."""

    async def get(self, _: str, number: str, *place: str) -> None:
        """Send a tile."""
        scene, wishes = self.find(number).scene, self.wishes()
        layer, power, row, column = map(int, place)
        plane = self.integer(wishes, "plane")
        self.send(
            await self.attempt(lambda: scene.draw_tile(layer, power, row, column, plane, wishes))
        )


class _ValueHandler(_Handler):
    """Tells the values of a pixel."""

    async def get(self, _: str, number: str, *place: str) -> None:
        """Send the values of the layers that are asked for, in words."""
        scene, wishes = self.find(number).scene, self.wishes()
        power, row, column = map(int, place)
        plane = self.integer(wishes, "plane")
        layers = wishes.get("layers", "").split(",")
        if not all(layer.isascii() and layer.isdecimal() for layer in layers):
            raise HTTPError(HTTPStatus.BAD_REQUEST)
        seen = {int(layer): wishes for layer in layers}
        self.finish(
            {
                "values": await self.attempt(
                    lambda: scene.tell_values(power, row, column, plane, seen)
                )
            }
        )


class _AssociatedHandler(_Handler):
    """Sends associated images."""

    async def get(self, _: str, number: str, name: str) -> None:
        """Send an image."""
        scene = self.find(number).scene
        self.send(await self.attempt(lambda: scene.draw_associated(name)))


class Shown:
    """A scene whose description is made once.

    Parameters
    ----------
    scene : Scene
        What is shown
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._lock = threading.Lock()
        self._text: str | None = None

    def describe(self) -> str:
        """Describe the scene, with the document of Bokeh, as JSON."""
        with self._lock:
            if self._text is None:
                description = self.scene.describe()
                document = make_document(description)
                self._text = json.dumps(description | {"document": document})
            return self._text


class Server:
    """A server on a thread of its own, which ends with the process.

    Parameters
    ----------
    scenes : sequence of Scene
        Slides
    address : str
        Address or name of an interface of this machine
    port : int
        Port; 0 for one that is free

    Raises
    ------
    StoreError
        When it cannot listen there
    """

    def __init__(self, scenes: Sequence[Scene], address: str, port: int) -> None:
        self._access = Access()
        self._socket = listen(address, port)
        host = f"[{address}]" if ":" in address else address
        self.url = f"http://{host}:{self._socket.getsockname()[1]}/{self._access.token}/"
        """Address of the page, with the token."""
        self._ended = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(
            target=self._run,
            args=([Shown(scene) for scene in scenes],),
            name="dicomslide-viewer",
            daemon=True,
        )
        self._thread.start()

    def wait(self) -> None:
        """Wait until the server has ended."""
        # An interrupt gets through only between short waits on some systems
        while not self._ended.wait(0.5):
            pass

    def close(self) -> None:
        """End the server."""
        if not self._ended.is_set():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._ended.wait()

    def _run(self, scenes: Sequence[Shown]) -> None:
        try:
            self._loop.run_until_complete(self._serve(scenes))
        finally:
            self._loop.close()
            self._ended.set()

    async def _serve(self, scenes: Sequence[Shown]) -> None:
        pool = Pool(_THREADS)
        guard = {"access": self._access, "pool": pool}
        shown = {**guard, "scenes": scenes}
        number = r"/slides/(\d{1,6})"
        tile, value = r"/(\d{1,4})/(\d{1,2})/(\d{1,9})/(\d{1,9})", r"/(\d{1,2})/(\d{1,9})/(\d{1,9})"
        token = r"/([^/]*)"
        server = HTTPServer(
            Application(
                [
                    (rf"{token}/slides", _ListHandler, shown),
                    (rf"{token}{number}", _SceneHandler, shown),
                    (rf"{token}{number}/tiles{tile}", _TileHandler, shown),
                    (rf"{token}{number}/values{value}", _ValueHandler, shown),
                    (rf"{token}{number}/associated/([a-z_0-9]+)", _AssociatedHandler, shown),
                    (rf"{token}/([^/]*)", _PageHandler, guard),
                    (rf"{token}.*", NothingHandler, guard),
                ]
            ),
            **LIMITS,
        )
        server.add_socket(self._socket)
        await self._stop.wait()
        server.stop()
        pool.close()
        await server.close_all_connections()


@cache
def _read(name: str) -> bytes:
    return files("dicomslide.viewing").joinpath("static", name).read_bytes()


@cache
def _bokeh() -> bytes:
    """Read the part of BokehJS that draws plots, of the version that makes the documents."""
    from pathlib import Path

    from bokeh.resources import Resources

    (file,) = Resources(mode="absolute", components=["bokeh"]).js_files
    return Path(file).read_bytes()
