"""Paths as people write them: with ``~`` for a home folder, and with wildcards."""

import glob
import os

__all__ = ["expand_path"]


def expand_path(path: str) -> list[str]:
    """Find the files and folders that a path stands for.

    Parameters
    ----------
    path : str
        Path, in which ``~`` stands for a home folder. Where there is nothing of that name it is a
        pattern of ``*``, ``?``, ``[…]`` and ``**``

    Returns
    -------
    list of str
        The path, or what the pattern matches, in alphabetical order; the path where that is nothing
    """
    expanded = os.path.expanduser(path)
    if os.path.lexists(expanded) or not glob.has_magic(expanded):
        return [expanded]
    return sorted(glob.glob(expanded, recursive=True)) or [expanded]
