"""Whose turn it is to use a file system of fsspec that bears one thread at a time.

Many of them have one connection, or one open archive, for all threads. Used side by side they hang,
fail, or deliver other bytes than those asked for without an error.
"""

from contextlib import AbstractContextManager, nullcontext

from fsspec import AbstractFileSystem

from dicomslide.processes import make_lock

__all__ = ["holds_connection", "turn"]

# File systems without asyncio that were tried from many threads. That of zip files takes turns
# itself, for each read
_SIDE_BY_SIDE = frozenset({"file", "memory", "webdav", "zip"})
_MOST_LAYERS = 10


def holds_connection(file_system: AbstractFileSystem) -> bool:
    """Whether a file system has one connection for all threads, as those of FTP and SFTP have."""
    return not file_system.async_impl and callable(getattr(file_system, "_connect", None))


def turn(file_system: AbstractFileSystem) -> AbstractContextManager[object]:
    """Wait for the turn to use a file system, and keep it; nobody waits where it bears threads."""
    layers = _layers(file_system)
    # Archives at one place share the connection to it
    alone = next((layer for layer in layers[::-1] if not _bears_threads(layer)), None)
    if alone is None:
        return nullcontext()
    lock: AbstractContextManager[object] = vars(alone).setdefault("_dicomslide_turn", make_lock())
    return lock


def _bears_threads(layer: AbstractFileSystem) -> bool:
    protocol = layer.protocol
    names = {protocol} if isinstance(protocol, str) else set(protocol)
    return bool(layer.async_impl) or not names.isdisjoint(_SIDE_BY_SIDE)


def _layers(file_system: AbstractFileSystem) -> list[AbstractFileSystem]:
    """Find what a file system is built on: that of a cache, or of the file of an archive."""
    layers = [file_system]
    while len(layers) < _MOST_LAYERS:
        holder = vars(layers[-1])
        inner = holder.get("fs") or getattr(holder.get("fo"), "fs", None)
        if not isinstance(inner, AbstractFileSystem):
            break
        layers.append(inner)
    return layers
