"""Slides that are used again and again leave nothing behind.

This is a small part of ``python -m tests.soak``.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.__main__ import growth
from tests.soak.use import Usage

pytestmark = pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"), reason="the system does not list what a process has"
)
ROOT = Path(__file__).parents[2]


def test_descriptors_threads_and_memory_stay_the_same():
    """There is no wrong pixel either, and no read that never ends."""
    command = [sys.executable, "-m", "tests.soak", "--no-s3", "--rounds", "9", "--actions", "15"]
    found = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_growth_is_that_of_the_last_third():
    """What is opened or imported at the first use does not count."""
    usages = [Usage(n, 5, m) for n, m in ((9, 1), (2, 70), (3, 80), (3, 90), (4, 91), (7, 85))]
    assert growth(usages) == Usage(4, 0, 1)
