"""Locks of file systems of fsspec that only one thread may use at a time.

Many file systems have one connection, or one open archive, for all threads. Used from several
threads at once they hang, fail, or deliver wrong bytes without an error.
"""

from contextlib import AbstractContextManager, nullcontext

from fsspec import AbstractFileSystem

from dicomslide.processes import make_lock

__all__ = ["holds_connection", "turn"]

# Protocols of file systems without asyncio that proved safe with many threads; the one of zip files
# locks each read itself
_SIDE_BY_SIDE = frozenset({"file", "memory", "webdav", "zip"})
_MOST_LAYERS = 10


def holds_connection(file_system: AbstractFileSystem) -> bool:
    """Whether a file system has one connection for all threads, as FTP and SFTP do."""
    return not file_system.async_impl and callable(getattr(file_system, "_connect", None))


def turn(file_system: AbstractFileSystem) -> AbstractContextManager[object]:
    """Get the lock of a file system, as a context manager; one that is thread-safe has none."""
    layers = _layers(file_system)
    # The lock is that of the innermost layer: archives on one server share the connection to it
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
    """List a file system and those below it: behind a cache, or of the file of an archive."""
    layers = [file_system]
    while len(layers) < _MOST_LAYERS:
        holder = vars(layers[-1])
        inner = holder.get("fs") or getattr(holder.get("fo"), "fs", None)
        if not isinstance(inner, AbstractFileSystem):
            break
        layers.append(inner)
    return layers
