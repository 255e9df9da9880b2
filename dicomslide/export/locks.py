"""Locks on folders, which keep processes of one machine from writing to the same one."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl

__all__ = ["locked"]


@contextmanager
def locked(folder: Path, *, alone: bool) -> Iterator[bool]:
    """Lock a folder for the block; the system releases the lock if the process is killed.

    Parameters
    ----------
    folder : pathlib.Path
        Folder, which has to exist
    alone : bool
        Whether the lock is exclusive, which fails at once while others hold a lock. A shared lock
        waits for the end of an exclusive one

    Yields
    ------
    bool
        Whether there is a lock, as some systems and file systems cannot lock folders

    Raises
    ------
    BlockingIOError
        When others hold a lock and this one is exclusive
    """
    if sys.platform == "win32":
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        held = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
        except BlockingIOError:
            raise
        except OSError:
            held = False
        yield held
    finally:
        os.close(descriptor)
