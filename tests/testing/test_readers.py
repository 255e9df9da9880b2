from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicomslide.testing import write_slide

NATIVE = "1.2.840.10008.1.2.1"


@pytest.mark.parametrize("changes", [{}, {"photometric": "RGB"}, {"transfer_syntax": NATIVE}])
def test_openslide_reads_the_same_pixels(tmp_path: Path, changes: dict[str, Any]) -> None:
    openslide = pytest.importorskip("openslide")
    slide = write_slide(tmp_path, size=(300, 400), factors=(1, 2), tile=(128, 128), **changes)
    with openslide.OpenSlide(slide.paths[0]) as opened:
        assert opened.level_dimensions == ((400, 300), (200, 150))
        assert float(opened.properties["openslide.mpp-x"]) == pytest.approx(0.5)
        assert set(opened.associated_images) >= {"label", "macro"}
        for index, level in enumerate(slide.levels):
            pixels = np.asarray(opened.read_region((0, 0), index, level.size[::-1]))
            difference = np.abs(pixels[..., :3].astype(int) - level.pixels()).mean()
            assert difference == 0 if changes.get("transfer_syntax") else difference < 4


@pytest.mark.parametrize("changes", [{}, {"photometric": "RGB"}, {"concatenation": 2}])
@pytest.mark.parametrize("organization", ["TILED_FULL", "TILED_SPARSE"])
def test_wsidicom_reads_the_same_pixels(
    tmp_path: Path, changes: dict[str, Any], organization: str
) -> None:
    wsidicom = pytest.importorskip("wsidicom")
    slide = write_slide(
        tmp_path,
        size=(300, 400),
        factors=(1, 2),
        tile=(128, 128),
        organization=organization,
        **changes,
    )
    with wsidicom.WsiDicom.open(tmp_path) as opened:
        for index, level in enumerate(slide.levels):
            image = opened.read_region((0, 0), index, level.size[::-1]).convert("RGB")
            assert np.abs(np.asarray(image).astype(int) - level.pixels()).mean() < 4
