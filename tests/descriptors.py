"""What a process has open."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

listed = pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"), reason="the system does not list what a process has open"
)


def open_files(folder: Path) -> int:
    """Count this process's descriptors of files in a folder, whatever else it has open."""
    count = 0
    for number in os.listdir("/proc/self/fd"):
        # That of the listing itself is closed by now, as those of other threads may be
        with suppress(OSError):
            target = Path(os.readlink(f"/proc/self/fd/{number}"))
            count += target.is_relative_to(folder.resolve())
    return count
