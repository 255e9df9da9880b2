"""The server of the ``dicomslide serve`` command."""

import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from dicomslide.errors import StoreError
from dicomslide.slide import Slide

__all__ = ["serve"]


def serve(slides: Sequence[Slide], address: str, **options: Any) -> None:
    """Serve slides until Ctrl-C.

    Parameters
    ----------
    slides : sequence of Slide
        The slides
    address : str
        Address that is listened to
    **options
        Options of `SlideServer`

    Raises
    ------
    StoreError
        When the address cannot be listened to, or tornado is not installed

    Warns
    -----
    UserWarning
        When other machines reach the server
    """
    try:
        from dicomslide.serving.access import is_loopback
        from dicomslide.serving.server import SlideServer
    except ModuleNotFoundError as error:
        raise StoreError(f"{error.name} is missing: pip install 'dicomslide[view]'") from error
    with SlideServer(slides, address=address, **options) as server:
        if not is_loopback(address):
            warnings.warn(
                f"{address}: other machines reach the server, and nothing is encrypted",
                stacklevel=2,
            )
        for name, url in server.urls.items():
            print(f"{name}\n  OME-Zarr   {url}ome.zarr/\n  Deep Zoom  {url}deepzoom.dzi")
        with suppress(KeyboardInterrupt):
            print("Stop with Ctrl-C", flush=True)
            threading.Event().wait()
