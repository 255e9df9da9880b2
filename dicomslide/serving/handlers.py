"""Handlers of HTTP requests, and their routes."""

from collections.abc import Mapping
from http import HTTPStatus

from tornado.web import HTTPError

from dicomslide.serving.access import Access, GuardedHandler
from dicomslide.serving.deepzoom import FORMAT
from dicomslide.serving.pool import Pool
from dicomslide.serving.ranges import UnsatisfiableError, find_range
from dicomslide.serving.slides import ServedSlide

__all__ = ["ROUTES", "ZARR"]

# Readers recognize formats by the last part of an address
ZARR, DEEP_ZOOM = "ome.zarr", "deepzoom"


class _Handler(GuardedHandler):
    """Base of handlers for one of the slides.

    Parameters
    ----------
    slides : mapping
        The slides by their names
    """

    def initialize(
        self, access: Access, pool: Pool, slides: Mapping[str, ServedSlide] | None = None
    ) -> None:
        """Take the settings of the route."""
        super().initialize(access, pool)
        self.slides = slides or {}

    def find(self, name: str) -> ServedSlide:
        """Find a slide.

        Raises
        ------
        tornado.web.HTTPError
            404 when no slide has this name
        """
        if name not in self.slides:
            raise HTTPError(HTTPStatus.NOT_FOUND)
        return self.slides[name]

    def compute_etag(self) -> str | None:
        """Compute no ETag, as hashing an answer takes longer than sending it again."""
        return None


class _List(_Handler):
    """Names of the slides with their addresses, which are relative to the requested URL."""

    def get(self, _: str) -> None:
        """Answer with JSON."""
        self.finish(
            {
                name: {"ome_zarr": f"{name}/{ZARR}/", "deep_zoom": f"{name}/{DEEP_ZOOM}.dzi"}
                for name in self.slides
            }
        )

    head = get


class _Value(_Handler):
    """Values of a Zarr store, or parts of them."""

    async def head(self, _: str, name: str, key: str) -> None:
        """Answer with the size of a value."""
        store = self.find(name).store
        size = await self.perform(lambda: store.size(key))
        if size is None:
            raise HTTPError(HTTPStatus.NOT_FOUND)
        self._describe(key)
        self.set_header("Content-Length", size)
        self.finish()

    async def get(self, _: str, name: str, key: str) -> None:
        """Answer with a value, or a part of it."""
        store, header = self.find(name).store, self.request.headers.get("Range")

        def read() -> tuple[memoryview | None, slice | None]:
            size = store.size(key)
            part = None if size is None else find_range(header, size)
            return store.read(key, part or slice(None)), part

        try:
            value, part = await self.perform(read)
        except UnsatisfiableError as error:
            self.set_status(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.set_header("Content-Range", f"bytes */{error.size}")
            self.finish()
            return
        if value is None:
            raise HTTPError(HTTPStatus.NOT_FOUND)
        self._describe(key)
        if part is not None:
            self.set_status(HTTPStatus.PARTIAL_CONTENT)
            size = store.size(key)
            self.set_header("Content-Range", f"bytes {part.start}-{part.stop - 1}/{size}")
        self.finish(bytes(value))

    def _describe(self, key: str) -> None:
        is_chunk = key.rpartition("/")[2].isdecimal()
        kind = "application/octet-stream" if is_chunk else "application/json"
        self.set_header("Content-Type", kind)
        self.set_header("Accept-Ranges", "bytes")


class _Descriptor(_Handler):
    """Descriptors of Deep Zoom images."""

    async def get(self, _: str, name: str) -> None:
        """Answer with XML."""
        slide = self.find(name)
        text = await self.perform(lambda: slide.deep_zoom.descriptor)
        self.set_header("Content-Type", "application/xml; charset=utf-8")
        self.finish(text)

    head = get


class _Tile(_Handler):
    """Tiles of Deep Zoom images."""

    async def get(self, _: str, name: str, *place: str) -> None:
        """Answer with a picture."""
        slide = self.find(name)
        level, column, row = map(int, place)

        def draw() -> bytes | None:
            image = slide.deep_zoom
            return image.tile(level, column, row) if image.has(level, column, row) else None

        picture = await self.perform(draw)
        if picture is None:
            raise HTTPError(HTTPStatus.NOT_FOUND)
        self.set_header("Content-Type", f"image/{FORMAT}")
        self.finish(picture)

    head = get


ROUTES = (
    ("/([^/]*)/", _List),
    (f"/([^/]*)/([^/]*)/{ZARR}/(.*)", _Value),
    (rf"/([^/]*)/([^/]*)/{DEEP_ZOOM}\.dzi", _Descriptor),
    (
        rf"/([^/]*)/([^/]*)/{DEEP_ZOOM}_files/([0-9]{{1,3}})/([0-9]{{1,9}})_([0-9]{{1,9}})\.{FORMAT}",
        _Tile,
    ),
)
