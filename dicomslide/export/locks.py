"""Locks on folders: processes of one machine that write to the same one know of each other."""

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
    """Lock a folder; the system takes the lock away when the process ends, however it does.

    Parameters
    ----------
    folder : pathlib.Path
        A folder that is there
    alone : bool
        Whether nobody else may hold a lock, which is not waited for. Otherwise others may hold such
        a lock too, and one who is alone is waited for

    Yields
    ------
    bool
        Whether there is a lock: some systems and file systems have none for folders

    Raises
    ------
    BlockingIOError
        When someone else holds a lock and this one should be alone
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
