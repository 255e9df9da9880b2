"""Places that cannot be reached: a host that is not known, or where nothing listens."""

import socket
from typing import Any
from urllib.parse import urlsplit

__all__ = ["why_unreachable"]


def why_unreachable(error: BaseException, url: str) -> str | None:
    """Say why there is no connection to a place.

    Parameters
    ----------
    error : BaseException
        What a library raised: some exception behind it is that of the operating system, and one
        on the way there names the host, which need not be that of the URL: that of a bucket has
        none, and there may be a proxy
    url : str
        URL of what was asked for

    Returns
    -------
    str or None
        None where something else went wrong
    """
    place = urlsplit(url).netloc
    cause: BaseException | None = error
    while cause is not None:
        # The connection of urllib3, or the error of aiohttp itself
        end: Any = getattr(cause, "conn", cause)
        if host := getattr(end, "host", None):
            place = f"[{host}]:{end.port}" if ":" in host else f"{host}:{end.port}"
        if isinstance(cause, ConnectionRefusedError):
            return f"nothing listens at {place}"
        if isinstance(cause, socket.gaierror):
            return f"the host {place.rpartition(':')[0] or place} is not known"
        hidden = cause.__suppress_context__
        cause = cause.__cause__ or (None if hidden else cause.__context__)
    return None
