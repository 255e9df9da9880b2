"""Parametric Maps that are written open in the same place with the same values, in any reader."""

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from dicomslide import open_slide, write_parametric_map
from dicomslide.testing.geometry import ORIENTATIONS
from tests.writing.results import LEVELS, assert_same_place, open_with, plane_of

UNIT = ("1", "UCUM", "no units")
DENSITY = {"Density": UNIT}


def ramp(slide, level, dtype):
    plane = plane_of(slide, level)
    values = np.arange(plane.size).reshape(plane.shape) % 251
    return plane.copy(data=(values * (0.1 if np.dtype(dtype).kind == "f" else 1)).astype(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "uint16"])
@pytest.mark.parametrize("level", [0, 2])
def test_values_come_back_on_their_level(written, slide, tmp_path, dtype, level):
    values = ramp(slide, level, dtype)
    path = tmp_path / "out.dcm"
    (result,) = write_parametric_map(values, path, slide=slide, parameters=DENSITY)
    node = open_with(written, path).to_datatree()[f"level_{level}"]
    found = node["parametric_map"].isel(parameter=0, focal_plane=0)
    assert result.level == level
    assert_same_place(node, values)
    np.testing.assert_array_equal(found, values)
    assert node["parameter"].values.tolist() == ["Density"]
    assert node["units"].values.tolist() == ["1"]


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint16"])
def test_highdicom_reads_the_same_values(slide, tmp_path, dtype):
    values = ramp(slide, 2, dtype)
    write_parametric_map(values, tmp_path / "out.dcm", slide=slide, parameters=DENSITY)
    found = hd.imread(tmp_path / "out.dcm")
    np.testing.assert_array_equal(found.get_total_pixel_matrix(dtype=dtype), values)
    assert found.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0].WindowWidth == 1


@pytest.mark.parametrize("number", range(8))
def test_several_parameters_lie_on_their_level_in_every_orientation(make_slide, tmp_path, number):
    written = make_slide(**LEVELS, orientation=ORIENTATIONS[number])
    slide = open_slide(written.folder)
    one = ramp(slide, 1, "float32")
    both = one.expand_dims(parameter=["First", "Second"]).copy()
    both[1] *= -2
    parameters = {"First": UNIT, "Second": codes.UCUM.Millimeter}
    path = tmp_path / "out.dcm"
    write_parametric_map(both.slide.upright(), path, slide=slide, parameters=parameters)
    node = open_with(written, path).to_datatree()["level_1"]
    assert_same_place(node, one)
    np.testing.assert_array_equal(node["parametric_map"].isel(focal_plane=0), both)
    assert node["units"].values.tolist() == ["1", "mm"]


def test_frames_of_nothing_but_nan_are_left_out(written, slide, tmp_path):
    values = ramp(slide, 0, "float32")
    values[:32] = np.nan
    path = tmp_path / "out.dcm"
    write_parametric_map(values, path, slide=slide, parameters=DENSITY, sparse=True)
    # 3 of 5 rows of 4 tiles
    assert pydicom.dcmread(path).NumberOfFrames == 12
    found = open_with(written, path).to_datatree()["level_0/parametric_map"]
    np.testing.assert_array_equal(found.isel(parameter=0, focal_plane=0), values)


def test_stored_integers_may_be_scaled(written, slide, tmp_path):
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="Density",
        lut_explanation="Density of cells",
        unit=codes.UCUM.Millimeter,
        value_range=(0, 65535),
        slope=0.25,
        intercept=-3,
    )
    values = ramp(slide, 0, "uint16")
    path = tmp_path / "out.dcm"
    values.slide.write_parametric_map(path, slide=slide, parameters=[mapping])
    found = open_with(written, path).to_datatree()["level_0/parametric_map"]
    expected = values.values * 0.25 - 3
    np.testing.assert_array_equal(found.isel(parameter=0, focal_plane=0), expected)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"parameters": {}}, "0 are described, there are 1"),
        ({"parameters": {"a label of many characters": UNIT}}, "expected up to 16"),
        ({"parameters": {"Density": "mm"}}, "expected a code"),
        ({"parameters": [1]}, "RealWorldValueMapping"),
        ({"window": (1, 1)}, "not below"),
        ({"transfer_syntax": "1.2.840.10008.1.2.5"}, "no float32 pixels"),
    ],
)
def test_arguments_that_cannot_be_used_are_errors(slide, tmp_path, change, match):
    options = {"parameters": DENSITY} | change
    with pytest.raises((TypeError, ValueError), match=match):
        write_parametric_map(
            ramp(slide, 0, "float32"), tmp_path / "out.dcm", slide=slide, **options
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("dtype", "options", "match"),
    [("int64", {}, "int64 is none of"), ("uint8", {"sparse": True}, "no value for pixels")],
)
def test_values_that_cannot_be_stored_are_errors(slide, tmp_path, dtype, options, match):
    values = ramp(slide, 0, dtype)
    with pytest.raises(ValueError, match=match):
        write_parametric_map(
            values, tmp_path / "out.dcm", slide=slide, parameters=DENSITY, **options
        )
