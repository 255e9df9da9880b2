"""What the tests of exports share: stores of small slides, and the pixels that they should have."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import zarr

from dicomslide import open_slide, to_ome_zarr
from dicomslide.testing import SyntheticSlide

Export = Callable[..., zarr.Group]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Writes a slide as a new store, and opens it."""
    numbers = count()

    def write(written: SyntheticSlide, **options: Any) -> zarr.Group:
        path = tmp_path / f"slide-{next(numbers)}.ome.zarr"
        to_ome_zarr(open_slide(written.folder), path, **options)
        return zarr.open_group(str(path), mode="r")

    return write


@pytest.fixture(scope="session")
def everything() -> dict[str, Any]:
    """Options of a small slide with all that there may be in a store."""
    return {
        "factors": (1, 2, 4),
        "samples": 1,
        "bits": 16,
        "optical_paths": 2,
        "focal_planes": 2,
        "label": True,
        "overview": True,
        "segmentations": ("BINARY", "FRACTIONAL", "LABELMAP"),
        "parametric_maps": ("float", "integer"),
    }


@pytest.fixture(scope="session")
def image_of() -> Callable[..., dict[str, Any]]:
    """The OME metadata of the group at a path, whatever its version."""

    def find(group: zarr.Group, path: str = "") -> dict[str, Any]:
        attributes = (group[path] if path else group).attrs.asdict()
        return attributes.get("ome", attributes)

    return find
