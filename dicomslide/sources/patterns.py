"""Expansion of paths with ``~`` for a home folder, and with wildcards."""

import glob
import os

__all__ = ["expand_path"]


def expand_path(path: str) -> list[str]:
    """Find the files and folders that a path stands for.

    Parameters
    ----------
    path : str
        Path, in which ``~`` stands for a home folder. Where nothing has that name, ``*``, ``?``,
        ``[…]`` and ``**`` are wildcards

    Returns
    -------
    list of str
        Paths that match in alphabetical order; the path itself where none does, or without wildcard
    """
    expanded = os.path.expanduser(path)
    if os.path.lexists(expanded) or not glob.has_magic(expanded):
        return [expanded]
    return sorted(glob.glob(expanded, recursive=True)) or [expanded]
