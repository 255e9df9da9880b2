"""Reasons why a host cannot be reached: its name is unknown, or its port is closed."""

import socket
from typing import Any
from urllib.parse import urlsplit

__all__ = ["why_unreachable"]


def why_unreachable(error: BaseException, url: str) -> str | None:
    """Say why there is no connection to a host.

    Parameters
    ----------
    error : BaseException
        Exception of a library. Its causes are searched for that of the operating system, and for
        the host, which need not be in the URL: buckets have none there, and there may be a proxy
    url : str
        Requested URL

    Returns
    -------
    str or None
        None if the error has another reason
    """
    place = urlsplit(url).netloc
    cause: BaseException | None = error
    while cause is not None:
        # urllib3 has the host in the connection of an error, aiohttp in the error itself
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
