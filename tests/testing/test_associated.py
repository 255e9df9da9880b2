from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from dicomslide.testing import (
    SlideOptions,
    make_wide_gamut_profile,
    write_slide,
)
from dicomslide.testing.associated import draw_overview

NATIVE = "1.2.840.10008.1.2.1"
SMALL: dict[str, Any] = {
    "size": (150, 190),
    "tile": (64, 48),
    "factors": (1, 2),
    "transfer_syntax": NATIVE,
    "label": False,
    "overview": False,
}


def _read(path: Path) -> pydicom.Dataset:
    return pydicom.dcmread(path, stop_before_pixels=True)


def test_colour_has_a_profile_and_fluorescence_has_none(tmp_path: Path) -> None:
    custom = make_wide_gamut_profile()
    for index, (profile, expected) in enumerate(((custom, custom), (False, None))):
        slide = write_slide(tmp_path / str(index), **SMALL, icc_profile=profile)
        item = _read(slide.paths[0]).OpticalPathSequence[0]
        assert item.get("ICCProfile") == expected
        assert "ColorSpace" not in item
    slide = write_slide(tmp_path / "srgb", **SMALL)
    assert _read(slide.paths[0]).OpticalPathSequence[0].ColorSpace == "SRGB"
    slide = write_slide(tmp_path / "mono", **SMALL, samples=1)
    assert "ICCProfile" not in _read(slide.paths[0]).OpticalPathSequence[0]


@pytest.mark.parametrize("samples", [1, 3])
def test_associated_images_are_single_frames(tmp_path: Path, samples: int) -> None:
    slide = write_slide(
        tmp_path,
        **SMALL | {"label": True, "overview": True, "thumbnail": True},
        samples=samples,
    )
    for name in ("label", "overview", "thumbnail"):
        dataset = pydicom.dcmread(tmp_path / f"{name}.dcm")
        expected = getattr(slide, name)
        assert dataset.ImageType[2] == name.upper()
        assert dataset.NumberOfFrames == 1
        assert "DimensionOrganizationType" not in dataset
        assert (dataset.TotalPixelMatrixRows, dataset.Rows) == (expected.shape[0],) * 2
        assert (dataset.TotalPixelMatrixColumns, dataset.Columns) == (expected.shape[1],) * 2
        assert dataset.SpecimenLabelInImage == ("NO" if name == "thumbnail" else "YES")
        np.testing.assert_array_equal(dataset.pixel_array.reshape(expected.shape), expected)
    assert slide.label is not None
    assert slide.label.shape[2] == 3


def test_the_overview_shows_the_tissue_where_the_levels_are(tmp_path: Path) -> None:
    size = (12_000, 16_000)
    written = write_slide(tmp_path, **SMALL | {"overview": True})
    overview = draw_overview(SlideOptions(size=size, origin=(20.0, 40.0), seed=3)).astype(int)
    empty = draw_overview(SlideOptions(size=(1, 1), origin=(20.0, 40.0), seed=3)).astype(int)
    dataset = _read(written.paths[-1])
    origin = dataset.TotalPixelMatrixOriginSequence[0]
    spacing = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    stained = np.argwhere(np.abs(overview - empty).sum(axis=-1) > 60)
    # Both images have columns along -Y and rows along -X.
    x = float(origin.XOffsetInSlideCoordinateSystem) - stained[:, 0] * spacing[0]
    y = float(origin.YOffsetInSlideCoordinateSystem) - stained[:, 1] * spacing[1]
    assert 20 - 6 - 0.2 < x.min() < x.max() < 20 + 0.2
    assert 40 - 8 - 0.2 < y.min() < y.max() < 40 + 0.2
    assert len(stained) * 0.01 > 0.2 * 6 * 8
