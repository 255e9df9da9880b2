"""What is open and in memory for a slide, and how long."""

import gc
import os
import pickle
import subprocess
import sys
import weakref

import dask
import numpy as np
import pytest
import xarray as xr
from pydicom.uid import RLELossless

from dicomslide import open_slide
from dicomslide.sources import inflated, localfile
from dicomslide.sources.files import open_image_file
from dicomslide.sources.holding import Holder
from tests.descriptors import listed, open_files
from tests.slide.small import SMALL

DEFLATED = "1.2.840.10008.1.2.1.99"


class Owner:
    """Something that can be referred to weakly."""


@pytest.fixture(autouse=True)
def _no_other_files():
    gc.collect()
    # What tests collect is only what they have made, however much there is from others
    gc.freeze()
    localfile._open_files.remake()
    inflated._inflated.remake()


@listed
def test_a_closed_slide_has_no_file_open(make_slide):
    written = make_slide(**SMALL)
    with open_slide(written.folder) as slide:
        for level in range(3):
            slide.get_image_region((0, 0), level, (5, 5))
        assert open_files(written.folder) == 3
    assert open_files(written.folder) == 0


@listed
def test_a_slide_that_is_collected_has_no_file_open(make_slide):
    written = make_slide(**SMALL)
    gc.collect()
    for _ in range(5):
        slide = open_slide(written.folder)
        array = slide.get_total_pixel_matrix(0).dask
        array[:5, :5].compute()
        del slide
        gc.collect()
        # The array still needs its file
        assert open_files(written.folder) == 1
        del array
        gc.collect()
        assert open_files(written.folder) == 0


@listed
def test_many_slides_keep_a_bounded_number_of_files_open(make_slide):
    written = make_slide(**SMALL)
    slides = [open_slide(written.folder) for _ in range(40)]
    for slide in slides:
        for level in range(3):
            slide.get_image_region((0, 0), level, (5, 5))
    assert 0 < open_files(written.folder) <= 64
    for slide in slides:
        assert slide.get_image_region((0, 0), 0, (5, 5)).shape == (5, 5, 3)


def test_a_closed_slide_can_be_read_again(make_slide):
    written = make_slide(**SMALL)
    slide = open_slide(written.folder)
    slide.close()
    region = slide.get_image_region((0, 0), 0, (90, 70))
    assert np.array_equal(region, written.levels[0].pixels())


def test_a_closed_slide_keeps_no_decoded_frames(make_slide):
    slide = open_slide(make_slide(**SMALL | {"transfer_syntax": RLELossless}).folder)
    slide.get_image_region((0, 0), 0, (5, 5))
    cache = slide.get_image(0)._instance.cache
    assert len(cache) == 1
    slide.close()
    assert len(cache) == 0


def test_an_inflated_data_set_goes_with_its_slide(make_slide):
    written = make_slide(**{**SMALL, "transfer_syntax": DEFLATED})
    gc.collect()
    before = len(inflated._inflated)
    slide = open_slide(written.folder)
    slide.get_image_region((0, 0), 0, (5, 5))
    assert len(inflated._inflated) > before
    slide.close()
    assert len(inflated._inflated) == before
    slide.get_image_region((0, 0), 0, (5, 5))
    del slide
    gc.collect()
    assert len(inflated._inflated) == before


@listed
def test_closing_a_tree_of_the_engine_closes_its_slide(make_slide):
    written = make_slide(**SMALL)
    with xr.open_datatree(written.folder, engine="dicomslide") as tree:
        tree["level_0/image"][0, 0, :5, :5].load()
        assert open_files(written.folder) == 3
    assert open_files(written.folder) == 0
    with xr.open_dataset(written.folder, engine="dicomslide") as level:
        level["image"][0, 0, :5, :5].load()
    assert open_files(written.folder) == 0


@listed
def test_arrays_that_arrive_in_a_process_share_their_file(make_slide):
    written = make_slide(**SMALL)
    code = """
import os, pickle, sys
import dicomslide
data = sys.stdin.buffer.read()
before = len(os.listdir("/proc/self/fd"))
for _ in range(20):
    assert pickle.loads(data)[:5, :5].shape == (5, 5, 3)
assert len(os.listdir("/proc/self/fd")) <= before + 1
"""
    array = open_slide(written.folder).get_total_pixel_matrix(0).array
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(array), check=True)


# What holds things


def test_a_thing_is_made_once_for_an_owner_and_dropped_with_it():
    holder, owner = Holder("open-files"), Owner()
    made = []

    def make():
        made.append(Owner())
        return made[-1]

    assert holder.get(owner, make) is holder.get(owner, make)
    gone = weakref.ref(made.pop())
    del owner
    gc.collect()
    assert len(holder) == 0
    assert gone() is None


@pytest.fixture
def ten_bytes():
    with dask.config.set({"dicomslide.keep.file-starts": "10 B"}):
        yield Holder("file-starts", len)


def test_the_least_recently_used_things_are_dropped_beyond_the_bound(ten_bytes):
    owners = [Owner() for _ in range(4)]
    for owner in owners[:2]:
        ten_bytes.get(owner, lambda: b"1234")
    ten_bytes.get(owners[0], lambda: b"other")
    ten_bytes.get(owners[2], lambda: b"1234")
    assert ten_bytes.get(owners[0], lambda: b"again") == b"1234"
    assert ten_bytes.get(owners[1], lambda: b"again") == b"again"


def test_inflated_data_sets_are_bounded_as_they_grow(make_slide):
    options = {**SMALL, "size": (300, 400), "factors": (1,), "transfer_syntax": DEFLATED}
    paths = [make_slide(**{**options, "seed": seed}).paths[0] for seed in (1, 2)]
    first, second = files = [open_image_file(path)[1].file for path in paths]
    assert len(inflated._inflated) == 2
    with dask.config.set({"dicomslide.keep.inflated": "1 kB"}):
        # What was inflated for the header does not reach so far
        second.read([(first.size - 1, 1)])
        assert len(inflated._inflated) == 1
    assert [file.read([(0, 2)]) for file in files] == [[b"\x08\x00"]] * 2


def test_a_thing_that_is_heavier_than_the_bound_is_held_alone(ten_bytes):
    owners = [Owner(), Owner()]
    ten_bytes.get(owners[0], lambda: b"1")
    ten_bytes.get(owners[1], lambda: bytes(100))
    assert len(ten_bytes) == 1
    assert ten_bytes.get(owners[1], lambda: b"again") == bytes(100)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_begins_with_nothing(make_slide):
    slide = open_slide(make_slide(**SMALL).folder)
    slide.get_image_region((0, 0), 0, (5, 5))
    with localfile._open_files._lock:
        child = os.fork()
        if not child:
            # The lock that is held in the parent is not in the child
            shape = slide.get_image_region((0, 0), 0, (5, 5)).shape
            os._exit(0 if shape == (5, 5, 3) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
