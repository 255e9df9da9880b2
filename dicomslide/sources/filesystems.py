"""File systems of fsspec: made for each process, called with a time limit, answers checked."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from dask.tokenize import normalize_token
from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem
from fsspec.core import url_to_fs

from dicomslide.errors import SourceError
from dicomslide.sources.asked import Asked, asked, check_answer
from dicomslide.sources.urls import secrets_of
from dicomslide.sources.waiting import LONGEST, stopped_in_time

__all__ = [
    "ask",
    "name_of_access",
    "of_this_process",
    "open_file_system",
    "reads_side_by_side",
]

# Most seconds to connect to a web server, and between two pieces of its answer
_TIMEOUT = 10, 60
_MAX_FILE_SYSTEMS = 64
# fsspec requests 128 ranges at once, for which the 10 connections of the S3 package are too few
_S3_CONNECTIONS = 128
# Rounds of the key derivation: names of dask arrays contain the digest and are displayed, and
# passwords must not be guessed quickly from them
_ROUNDS = 20_000
# Names of the options that file systems of web servers and of S3 pass to their libraries
_CLIENT, _CONFIG = "client_kwargs", "config_kwargs"


def open_file_system(url: str, storage_options: dict[str, Any]) -> tuple[AbstractFileSystem, str]:
    """Make the file system of a URL, and return it with the path of the file in it."""
    if url.startswith(("http://", "https://")):
        storage_options = {**storage_options, _CLIENT: _web_options(storage_options)}
    elif url.startswith(("s3://", "s3a://")):
        given = dict(storage_options.get(_CONFIG) or {})
        config = {"max_pool_connections": _S3_CONNECTIONS, **given}
        storage_options = {**storage_options, _CONFIG: config}
    return url_to_fs(url, **storage_options)


def name_of_access(
    url: str, file_system: AbstractFileSystem, storage_options: dict[str, Any]
) -> str:
    """Compute a key of the user and the endpoint of a file system, equal in all processes.

    Parameters
    ----------
    url : str
        URL that the file system was made from
    file_system : fsspec.AbstractFileSystem
        File system
    storage_options : dict
        Options that the caller passed for it

    Returns
    -------
    str
        Digest of the options and of the secrets in the URL, from which neither can be recovered;
        empty where there are none
    """
    # Defaults that `open_file_system` adds must not count: they say nothing about the user
    added_to = (_CLIENT, _CONFIG)
    options = file_system.storage_options | {name: storage_options.get(name) for name in added_to}
    stated = {name: value for name, value in options.items() if value}
    secrets = secrets_of(url)
    return _digest(repr(normalize_token([secrets, stated]))) if secrets or stated else ""


@lru_cache(maxsize=_MAX_FILE_SYSTEMS)
def _digest(text: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", text.encode(), b"dicomslide", _ROUNDS)[:16].hex()


def _web_options(storage_options: dict[str, Any]) -> dict[str, Any]:
    from aiohttp import ClientTimeout

    from dicomslide.sources.webanswers import CheckedAnswer

    given = dict(storage_options.get(_CLIENT) or {})
    return {
        # The default of aiohttp is five minutes for each request, too little for large ones
        "timeout": ClientTimeout(total=LONGEST, sock_connect=_TIMEOUT[0], sock_read=_TIMEOUT[1]),
        "response_class": CheckedAnswer,
        **given,
        # Compressed answers would hold ranges of the compressed bytes instead of the file's
        "headers": {"Accept-Encoding": "identity", **dict(given.get("headers") or {})},
    }


def of_this_process(file_system: AbstractFileSystem, process: int) -> AbstractFileSystem:
    """Return a file system, or a copy of it in the child of a fork of the process that made it.

    The connections of a file system, and their thread, work only in the process that made it.
    """
    return file_system if process == os.getpid() else _remade(file_system, os.getpid())


@lru_cache(maxsize=_MAX_FILE_SYSTEMS)
def _remade(file_system: AbstractFileSystem, process: int) -> AbstractFileSystem:
    make, arguments = file_system.__reduce__()
    return make(*arguments)


def ask(
    file_system: AbstractFileSystem,
    name: str,
    method: str,
    *args: Any,
    about: Asked | None = None,
    **kwargs: Any,
) -> Any:
    """Call a method of a file system that makes requests, with a time limit.

    Parameters
    ----------
    file_system : fsspec.AbstractFileSystem
        File system of this process
    name : str
        Name of the file in messages
    method : str
        Name of the method
    *args, **kwargs
        Arguments of the method
    about : Asked, optional
        Request that the answers are compared with

    Raises
    ------
    SourceError
        When the call takes too long, an answer is not what was requested, or the program ends
    """
    if not reads_side_by_side(file_system):
        return getattr(file_system, method)(*args, **kwargs)
    call: Callable[..., Awaitable[Any]] = getattr(file_system, f"_{method}")

    async def run() -> Any:
        asked.set(about)
        if hasattr(file_system, "set_session"):
            # Requests that begin before there is a session would each make one
            async with _turn_to_connect(file_system, os.getpid()):
                await file_system.set_session()
        if about is not None and hasattr(file_system, "get_s3"):
            await _check_answers_of_s3(file_system, args[0][0])
        return await call(*args, **kwargs)

    future = asyncio.run_coroutine_threadsafe(run(), file_system.loop)
    try:
        with stopped_in_time(name, future.cancel, LONGEST):
            return future.result()
    except BaseException:
        # Ctrl-C interrupts this thread only, and the task would go on in the thread of fsspec
        future.cancel()
        raise


def reads_side_by_side(file_system: AbstractFileSystem) -> bool:
    """Whether a file system makes the requests of one call at the same time."""
    # `isinstance` would take a cache for the file system behind it, and DirFileSystem is a subclass
    # of AsyncFileSystem whatever is behind it
    if not issubclass(type(file_system), AsyncFileSystem):
        return False
    inner = getattr(file_system, "fs", None)
    while isinstance(inner, AbstractFileSystem):
        file_system, inner = inner, getattr(inner, "fs", None)
    return bool(file_system.async_impl)


@lru_cache(maxsize=_MAX_FILE_SYSTEMS)
def _turn_to_connect(file_system: AbstractFileSystem, process: int) -> asyncio.Lock:
    return asyncio.Lock()


async def _check_answers_of_s3(file_system: Any, path: str) -> None:
    client = await file_system.get_s3(file_system.split_path(path)[0])
    client.meta.events.register(
        "after-call.s3.GetObject", _check_answer_of_s3, unique_id="dicomslide"
    )


def _check_answer_of_s3(parsed: dict[str, Any], **_: Any) -> None:
    answer = parsed.get("ResponseMetadata", {})
    try:
        check_answer(answer.get("HTTPStatusCode", 0), answer.get("HTTPHeaders", {}))
    except SourceError:
        # Nobody else knows of the connection that the body still holds
        if "Body" in parsed:
            parsed["Body"].close()
        raise
