"""Names of pixels: equal for the same pixels, different for all others."""

import dataclasses
import subprocess
import sys

import dask.array as da
import numpy as np
import pydicom
import pytest
from dask.base import tokenize

from dicomslide import TiledImage, open_slide
from dicomslide.sources.files import open_image_file
from dicomslide.sources.sessions import Sessions

RAW = "1.2.840.10008.1.2.1"


class OneFile:
    """A store of the frames of one file."""

    def __init__(self, path):
        self.dataset, self.frames = open_image_file(path)

    def frame_sources(self, datasets):
        return [self.frames for _ in datasets]


@pytest.fixture(scope="module")
def written(make_slide):
    return make_slide(
        size=(90, 70), tile=(32, 32), factors=(1,), samples=1, bits=8, transfer_syntax=RAW,
        label=False, overview=False,
    )  # fmt: skip


def array_of(path, **changes):
    store = OneFile(path)
    for keyword, value in changes.items():
        setattr(store.dataset, keyword, value)
    return TiledImage(store, store.dataset).get_total_pixel_matrix()


def test_two_data_sets_of_one_file_that_are_decoded_differently_have_different_names(make_slide):
    written = make_slide(
        size=(60, 50), tile=(32, 32), factors=(1,), transfer_syntax=RAW, photometric="YBR_FULL",
        label=False, overview=False, icc_profile=False,
    )  # fmt: skip
    path = written.levels[0].paths[0]
    first, second = array_of(path), array_of(path, PhotometricInterpretation="RGB")
    stacked = da.stack([first.dask, second.dask]).compute()
    assert np.array_equal(stacked[0], first[...])
    assert np.array_equal(stacked[1], second[...])
    assert np.abs(stacked[0].astype(int) - stacked[1]).max() > 50


@pytest.mark.parametrize(
    "changes",
    [
        {"PixelRepresentation": 1},
        {"TotalPixelMatrixRows": 89},
        {"PhotometricInterpretation": "MONOCHROME1"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_changes_pixels_changes_their_name(written, changes):
    path = written.levels[0].paths[0]
    assert tokenize(array_of(path).array) != tokenize(array_of(path, **changes).array)


def test_a_part_of_another_grid_has_a_name_of_its_own(written):
    array = array_of(written.levels[0].paths[0]).array
    placed = [array.placed((0, 0), (40, 30)), array.placed((3, 4), (90, 70)), array]
    assert len({tokenize(a) for a in placed}) == 3


def test_equal_pixels_have_equal_names_in_every_process(written):
    path = written.levels[0].paths[0]
    code = (
        "import sys; from dask.base import tokenize; from dicomslide import open_slide; "
        "print(tokenize(open_slide(sys.argv[1]).get_total_pixel_matrix(0).array))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    again = open_slide(path).get_total_pixel_matrix(0).array
    assert done.stdout.strip() == tokenize(again)


def test_frames_are_kept_apart_by_how_they_are_decoded(written):
    first = array_of(written.levels[0].paths[0])
    second = array_of(written.levels[0].paths[0], PixelRepresentation=1)
    assert first.array.frames.cache._key != second.array.frames.cache._key


def test_frames_of_sparse_images_are_named_by_where_they_lie(make_slide):
    options = {
        "size": (90, 70), "tile": (32, 32), "factors": (1,), "transfer_syntax": RAW,
        "organization": "TILED_SPARSE", "label": False, "overview": False,
    }  # fmt: skip
    array = open_slide(make_slide(**options).folder).get_total_pixel_matrix(0).array
    tiling = array.tiling
    moved = dataclasses.replace(tiling, positions=tiling.positions + 1)
    assert tiling.token == dataclasses.replace(tiling).token
    assert tokenize(array) != tokenize(dataclasses.replace(array, tiling=moved))


def test_users_of_a_service_are_told_apart_and_the_same_user_is_not():
    anna, bert = (Sessions.of(None, (name, "secret")) for name in ("anna", "bert"))
    assert anna.key != bert.key
    assert anna.key == Sessions.of(None, ("anna", "secret")).key
    assert anna.key != Sessions.of(None, ("anna", "other")).key
    assert Sessions.of(None, None).key == ""


def test_the_name_of_a_user_cannot_be_made_from_the_password():
    code = (
        "from dicomslide.sources.sessions import Sessions; "
        "print(Sessions.of(None, ('anna', 'secret')).key)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() != Sessions.of(None, ("anna", "secret")).key


def test_a_function_that_makes_sessions_names_what_it_fetches(monkeypatch):
    def connect():
        raise AssertionError("no session is needed")

    assert Sessions.of(connect, None).key == Sessions.of(connect, None).key
    assert Sessions.of(connect, None).key != Sessions.of(lambda: connect(), None).key


def test_files_that_changed_have_another_name(written, tmp_path):
    path = tmp_path / "level.dcm"
    dataset = pydicom.dcmread(written.levels[0].paths[0])
    dataset.save_as(path)
    before = tokenize(array_of(path).array)
    dataset.ImageComments = "changed"
    dataset.save_as(path)
    assert tokenize(array_of(path).array) != before
