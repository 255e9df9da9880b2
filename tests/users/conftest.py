"""Slides of three kinds, as a user of xarray opens them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import xarray as xr

from dicomslide.testing import SyntheticSlide

KINDS: dict[str, dict[str, Any]] = {
    "bright-field": {"segmentations": ("LABELMAP", "FRACTIONAL"), "label": True},
    "fluorescence": {"samples": 1, "bits": 16, "optical_paths": 3, "label": True},
    "z-stack": {"focal_planes": 3, "label": True},
}


@dataclass(frozen=True)
class Opened:
    """A slide that was written, and its tree."""

    written: SyntheticSlide
    tree: xr.DataTree

    @property
    def level(self) -> xr.Dataset:
        return self.tree["level_0"].to_dataset()

    @property
    def image(self) -> xr.DataArray:
        return self.level["image"]

    def pixels(self, level: int = 0) -> np.ndarray:
        """Pixels of shape (channels, focal planes, rows, columns, samples)."""
        stored = self.written.levels[level]
        channels, planes = self.image.sizes["channel"], self.image.sizes["focal_plane"]
        shape = (*self.tree[f"level_{level}/image"].shape[:4], -1)
        found = [[stored.pixels(c, z) for z in range(planes)] for c in range(channels)]
        return np.array(found).reshape(shape)


@pytest.fixture(params=list(KINDS))
def written(request, make_slide) -> SyntheticSlide:
    return make_slide(factors=(1, 2), **KINDS[request.param])


@pytest.fixture(params=[None, {}], ids=["lazy", "dask"])
def slide(request, written) -> Opened:
    tree = xr.open_datatree(written.folder, engine="dicomslide", chunks=request.param)
    return Opened(written, tree)


@pytest.fixture(params=[None, {}], ids=["lazy", "dask"])
def bright_field(request, make_slide) -> Opened:
    written = make_slide(factors=(1, 2), **KINDS["bright-field"])
    return Opened(
        written, xr.open_datatree(written.folder, engine="dicomslide", chunks=request.param)
    )


@pytest.fixture
def second_scan(slide, make_slide) -> xr.DataArray:
    """The image of another slide of the same kind and grid, at another place of the glass."""
    kind = next(
        kind for kind in KINDS.values() if make_slide(factors=(1, 2), **kind) is slide.written
    )
    other = make_slide(factors=(1, 2), seed=7, origin=(20.0, 30.0), **kind)
    return xr.open_dataset(other.folder, engine="dicomslide")["image"]
