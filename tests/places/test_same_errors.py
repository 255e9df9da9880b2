"""The same errors for what is wrong with a slide, from each place."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGBaseline8Bit

from dicomslide import DicomSlideError, open_slide
from dicomslide.errors import FrameError, NoSlideError, SourceError
from dicomslide.testing import SyntheticSlide, write_slide
from tests.places.kinds import BASE
from tests.places.places import FILES, SERVICES

pytestmark = pytest.mark.usefixtures("slept")

# A grid of 5 x 5 tiles
FRAMES = 25


@pytest.fixture
def make_slide(tmp_path: Path) -> Callable[..., SyntheticSlide]:
    """Writes a slide of JPEG frames, which may be changed, into a study of its own."""

    def make(**options: Any) -> SyntheticSlide:
        study = uuid4().hex[:16]
        options = {"transfer_syntax": JPEGBaseline8Bit, "factors": (1,), **options}
        return write_slide(tmp_path / "slide", BASE, accession_number=study, **options)

    return make


def names(error: BaseException, path: Path) -> bool:
    """Whether a message names an instance: its file or its UID."""
    uid = pydicom.dcmread(path, stop_before_pixels=True, force=True).get("SOPInstanceUID")
    return path.name in str(error) or str(uid) in str(error)


def test_damaged_frame_is_named_and_others_are_read(put, make_slide):
    """The error names the frame, and the other frames can be read."""
    written = make_slide()
    (path,) = written.paths
    data = path.read_bytes()
    frames = list(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=FRAMES))
    path.write_bytes(data.replace(frames[6], bytes(len(frames[6]))))
    expected = open_slide(path).get_image_region((0, 0), 0, (32, 210))
    slide = open_slide(**put(written))
    np.testing.assert_array_equal(slide.get_image_region((0, 0), 0, (32, 210)), expected)
    with pytest.raises(FrameError, match="frame 7") as caught:
        slide.get_image_region((0, 0), 0, (150, 210))
    assert names(caught.value, path)


# The file client does not take such a file in the first place
@pytest.mark.parametrize("place", [*FILES, *SERVICES], indirect=True)
def test_missing_frame_is_an_error(put, make_slide):
    written = make_slide()
    (path,) = written.paths
    dataset = pydicom.dcmread(path)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=FRAMES))
    dataset.PixelData = encapsulate(frames[:-1], has_bot=False)
    dataset.save_as(path)
    with pytest.raises(DicomSlideError) as caught:
        open_slide(**put(written)).get_image_region((120, 160), 0, (30, 50))
    assert names(caught.value, path)


@pytest.mark.parametrize("kept", [0.3, 0.7])
@pytest.mark.parametrize("place", FILES, indirect=True)
def test_file_that_is_cut_off_is_an_error(put, make_slide, kept):
    written = make_slide()
    (path,) = written.paths
    os.truncate(path, int(path.stat().st_size * kept))
    with pytest.raises(DicomSlideError, match=r"level-0\.dcm.*truncated") as here:
        open_slide(path).get_image_region((0, 0), 0, (150, 210))
    with pytest.raises(DicomSlideError, match=r"level-0\.dcm.*truncated") as there:
        open_slide(**put(written)).get_image_region((0, 0), 0, (150, 210))
    assert type(there.value) is type(here.value)


def test_other_images_are_no_slide(put, tmp_path):
    """The folder has a CT image of pydicom only."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    dataset.StudyInstanceUID = pydicom.uid.generate_uid()
    path = tmp_path / "ct.dcm"
    dataset.save_as(path)
    stored = SimpleNamespace(
        folder=tmp_path, paths=(path,), study_instance_uid=dataset.StudyInstanceUID
    )
    with pytest.raises(NoSlideError):
        open_slide(**put(stored))


@pytest.mark.parametrize("place", SERVICES, indirect=True)
@pytest.mark.parametrize("uid", ["1.2.3", "not/a uid"])
def test_service_without_the_study_is_an_error(put, make_slide, uid):
    arguments = put(make_slide())
    with pytest.raises((NoSlideError, SourceError), match=r"127\.0\.0\.1"):
        open_slide(**{**arguments, "study_instance_uid": uid})


@pytest.mark.parametrize("place", FILES, indirect=True)
def test_place_without_files_is_an_error(put, place, make_slide):
    arguments = put(make_slide())
    source = arguments.pop("source")
    if isinstance(source, list):
        elsewhere = [source[0].replace("level-0", "level-9")]
        missing = elsewhere[0]
    elif place in ("zip", "tar"):
        missing = elsewhere = f"{place}://no/such/place::{source.partition('::')[2]}"
    else:
        missing = elsewhere = f"{str(source).rstrip('/')}/no/such/place"
    with pytest.raises(SourceError, match="no such file or folder") as caught:
        open_slide(elsewhere, **arguments)
    assert missing.rpartition("/")[2] in str(caught.value)


@pytest.mark.parametrize("place", SERVICES, indirect=True)
def test_path_without_a_service_is_an_error(put, make_slide):
    arguments = put(make_slide())
    source = getattr(arguments["source"], "base_url", arguments["source"])
    with pytest.raises(SourceError, match=r"127\.0\.0\.1.*40\d"):
        open_slide(f"dicomweb+{source.removeprefix('dicomweb+')}/no/service")
