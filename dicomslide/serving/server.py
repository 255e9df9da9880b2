"""A server of slides as OME-Zarr and as Deep Zoom images, on a thread of its own."""

import asyncio
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Self

from tornado.httpserver import HTTPServer
from tornado.web import Application

from dicomslide.arguments import require_type
from dicomslide.errors import ArgumentValueError
from dicomslide.export.virtual import as_zarr
from dicomslide.serving.access import LIMITS, LOOPBACK, Access, NothingHandler, listen
from dicomslide.serving.handlers import ROUTES
from dicomslide.serving.pool import Pool
from dicomslide.serving.slides import ServedSlide, name_slides
from dicomslide.slide import Slide

__all__ = ["SlideServer"]


class SlideServer:
    """Server of slides for readers and viewers, which runs while its context is entered.

    The address of a slide is ``http://127.0.0.1:PORT/TOKEN/NAME/``. Below it are ``ome.zarr/``, the
    slide as the Zarr store of `as_zarr`, and ``deepzoom.dzi``, its picture in the colours of
    `make_thumbnail`. Nothing else can be read, and nothing without the token, which is random.

    Parameters
    ----------
    slides : sequence of Slide
        The slides, which are named by their Container Identifiers
    address : str, optional
        Address of the network interface. By default only programs of this machine reach the server;
        connections are not encrypted
    port : int, optional
        Port; by default a free one
    allow_origins : iterable of str, optional
        Origins, such as ``https://example.org``, whose pages may read the slides
    **options
        Options of `as_zarr`

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When an argument has an invalid value, or a slide has no optical paths
    """

    def __init__(
        self,
        slides: Sequence[Slide],
        *,
        address: str = LOOPBACK,
        port: int = 0,
        allow_origins: Iterable[str] = (),
        **options: Any,
    ) -> None:
        for slide in slides:
            require_type("slides", slide, Slide)
        for origin in (origins := frozenset(allow_origins)):
            if origin.count("/") != 2 or "://" not in origin:
                raise ArgumentValueError(
                    f"allow_origins: expected an origin such as 'https://example.org', "
                    f"got {origin!r}"
                )
        self._address, self._port = address, port
        self._access = Access(origins)
        names = name_slides(s.container_identifier or s.frame_of_reference_uid for s in slides)
        self._slides = {
            name: ServedSlide(slide, as_zarr(slide, **options))
            for name, slide in zip(names, slides, strict=True)
        }

    @property
    def urls(self) -> dict[str, str]:
        """Addresses of the slides by their names; they end with a slash."""
        host = f"[{self._address}]" if ":" in self._address else self._address
        start = f"http://{host}:{self._port}/{self._access.token}"
        return {name: f"{start}/{name}/" for name in self._slides}

    def __enter__(self) -> Self:
        """Start to serve on a thread.

        Raises
        ------
        OSError
            When the server cannot listen at the address and port
        """
        opened = listen(self._address, self._port)
        self._port = opened.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="dicomslide-serving", daemon=True
        )
        self._thread.start()

        async def start() -> None:
            self._pool = Pool()
            settings = {"access": self._access, "pool": self._pool, "slides": self._slides}
            guard = {"access": self._access, "pool": self._pool}
            rest = ("/([^/]*).*", NothingHandler, guard)
            application = Application([*((*route, settings) for route in ROUTES), rest])
            self._server = HTTPServer(application, **LIMITS)
            self._server.add_socket(opened)

        asyncio.run_coroutine_threadsafe(start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        async def stop() -> None:
            self._server.stop()
            self._pool.close()
            await self._server.close_all_connections()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
