"""Slides whose files may be changed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicomslide.testing import SyntheticSlide


@pytest.fixture
def copy_slide(make_slide, tmp_path) -> Callable[..., tuple[SyntheticSlide, list[Path]]]:
    """Writes a small slide into the temporary folder, where its files may be changed."""

    def copy(**options: Any) -> tuple[SyntheticSlide, list[Path]]:
        written = make_slide(**options)
        return written, [Path(shutil.copy(path, tmp_path)) for path in written.paths]

    return copy
