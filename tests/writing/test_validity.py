"""Written instances are valid by dicom3tools' dciodvfy, another implementation of the standard."""

import shutil
import subprocess

import numpy as np
import pytest

from dicomslide import open_slide, write_image, write_parametric_map, write_segmentation
from tests.writing.results import ALGORITHM, CATEGORY, LEVELS, NUCLEUS, SEGMENTS, labels_on

pytestmark = pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs dicom3tools")

# The version of Debian 12 knows TILED_FULL of scanned images only
FULL = {
    "Missing attribute Type 1 Required Element=<PerFrameFunctionalGroupsSequence>",
    "Missing attribute Type 1 Required Element=<SegmentIdentificationSequence>",
    "Missing attribute Type 1 Required Element=<PlanePositionSequence>",
    "Missing attribute Type 1 Required Element=<PlaneOrientationSequence>",
    "Missing attribute Type 1 Required Element=<PlanePositionSlideSequence>",
}
# … and neither label maps (PS3.3 A.101), nor their segment 0
LABELMAP = {"Information Object Not found", "SegmentNumber not monotonically increasing"}
# … and not CID 9000, from which the fourth value of Image Type is taken (PS3.3 C.8.32.3.1.1)
QUANTITY = "Unrecognized defined term <QUANTITY>"


@pytest.fixture(scope="module")
def slide(make_slide):
    return open_slide(make_slide(**LEVELS).folder)


def verify(path):
    """The errors and the warnings about a file."""
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, timeout=60)
    lines = (done.stdout + done.stderr).splitlines()
    return tuple(
        [line.split(" - ", 1)[1] for line in lines if line.strip().startswith(kind)]
        for kind in ("Error", "Warning")
    )


def unknown(found, known):
    return [line for line in found if not line.startswith(tuple(known))]


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
@pytest.mark.parametrize("count", [1, 2])
def test_sparse_segmentations_have_no_errors_and_no_warnings(slide, tmp_path, kind, count, syntax):
    mask = (labels_on(slide, 1, count) > 0).expand_dims(segment=range(1, count + 1))
    segments = dict(list(SEGMENTS.items())[:count])
    (result,) = write_segmentation(
        mask,
        tmp_path,
        slide=slide,
        segments=segments,
        algorithm=ALGORITHM,
        segmentation_type=kind,
        transfer_syntax=syntax,
    )
    assert verify(result.path) == ([], [])


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80"])
def test_compressed_fractions_have_no_errors(slide, tmp_path, syntax):
    (result,) = write_segmentation(
        labels_on(slide, 1) > 0,
        tmp_path,
        slide=slide,
        segments={"a": (CATEGORY, NUCLEUS)},
        algorithm=ALGORITHM,
        segmentation_type="FRACTIONAL",
        transfer_syntax=syntax,
    )
    assert verify(result.path) == ([], [])


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_full_segmentations_have_the_errors_of_an_old_version_only(slide, tmp_path, kind):
    (result,) = write_segmentation(
        labels_on(slide, 1) > 0,
        tmp_path,
        slide=slide,
        segments={"a": (CATEGORY, NUCLEUS)},
        algorithm=ALGORITHM,
        segmentation_type=kind,
        sparse=False,
    )
    errors, warnings = verify(result.path)
    assert unknown(errors, FULL) == []
    assert warnings == []


@pytest.mark.parametrize("levels", ["given", "all"])
def test_label_maps_have_the_errors_of_an_old_version_only(slide, tmp_path, levels):
    results = write_segmentation(
        labels_on(slide, 0),
        tmp_path,
        slide=slide,
        segments=SEGMENTS,
        algorithm=ALGORITHM,
        levels=levels,
    )
    for result in results:
        errors, warnings = verify(result.path)
        assert unknown(errors, LABELMAP) == []
        assert warnings == []


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint16"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("sparse", [True, False])
def test_parametric_maps_have_no_errors(slide, tmp_path, dtype, count, sparse):
    if sparse and dtype == "uint16":
        sparse = False
    values = labels_on(slide, 1).astype(dtype).expand_dims(parameter=list("ab")[:count])
    unit = ("1", "UCUM", "no units")
    (result,) = write_parametric_map(
        values,
        tmp_path,
        slide=slide,
        parameters=dict.fromkeys(list("ab")[:count], unit),
        sparse=sparse,
    )
    errors, warnings = verify(result.path)
    assert unknown(errors, FULL if count == 1 and not sparse else ()) == []
    assert unknown(warnings, [QUANTITY]) == []


def test_a_level_of_a_pyramid_has_no_errors(slide, tmp_path):
    mask = labels_on(slide, 0) > 0
    results = write_segmentation(
        mask.copy(data=np.asarray(mask)),
        tmp_path,
        slide=slide,
        segments={"a": (CATEGORY, NUCLEUS)},
        algorithm=ALGORITHM,
        levels="all",
    )
    assert [verify(result.path) for result in results] == [([], [])] * 3


# Transfer syntaxes that the version of Debian 12 does not know: it takes frames for native ones
ENCAPSULATED = {
    "Undefined value length of other byte/word element is illegal in non-encapsulated",
    "Dicom dataset read failed",
    "Missing attribute Type 1C Conditional Element=<PixelData>",
}
# … with the method of HTJ2K (PS3.3 C.7.6.1.1.5.1)
HTJ2K = "Unrecognized defined term <ISO_15444_15>"


def write_levels(slide, folder, kind, syntax):
    if kind == "colour":
        image = slide.to_datatree()["level_0/image"].isel(channel=0, focal_plane=0)
    else:
        image = labels_on(slide, 0).astype(kind)
    return write_image(
        image,
        folder,
        slide=slide,
        transfer_syntax=syntax,
        levels="all",
        series_description="changed",
        derivation_description="changed a little",
    )


@pytest.mark.parametrize(
    ("syntax", "kinds"),
    [
        ("1.2.840.10008.1.2", ("colour", "uint8", "uint16")),
        ("1.2.840.10008.1.2.1", ("colour", "uint8", "uint16")),
        ("1.2.840.10008.1.2.4.50", ("colour", "uint8")),
        ("1.2.840.10008.1.2.4.70", ("colour", "uint8", "uint16")),
        ("1.2.840.10008.1.2.4.80", ("colour", "uint8", "uint16")),
        ("1.2.840.10008.1.2.4.81", ("colour", "uint8", "uint16")),
        ("1.2.840.10008.1.2.4.90", ("colour", "uint8", "uint16")),
        ("1.2.840.10008.1.2.4.91", ("colour", "uint8", "uint16")),
        ("1.2.840.10008.1.2.5", ("colour", "uint8", "uint16")),
    ],
)
def test_images_have_no_errors_and_no_warnings(slide, tmp_path, syntax, kinds):
    for kind in kinds:
        results = write_levels(slide, tmp_path, kind, syntax)
        assert [verify(result.path) for result in results] == [([], [])] * 3


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.203", "1.2.840.10008.1.2.8.1"]
)
def test_images_in_new_transfer_syntaxes_have_their_errors_only(slide, tmp_path, syntax):
    for result in write_levels(slide, tmp_path, "colour", syntax):
        errors, warnings = verify(result.path)
        assert unknown(errors, ENCAPSULATED) == []
        assert unknown(warnings, [HTJ2K]) == []
