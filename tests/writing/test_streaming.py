"""Writing takes memory that does not grow with the mask, and leaves a whole file or none."""

import os
import resource
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask
import dask.array as da
import fsspec
import numpy as np
import pydicom
import pytest

from dicomslide import open_slide, write_segmentation
from dicomslide.errors import StoreError
from tests.distributed.conftest import chosen, start_cluster
from tests.writing.results import ALGORITHM, CATEGORY, NUCLEUS, SEGMENTS, labels_on, run_program

# A mask of 600 MB, stored in 150 MB, in a process that may have 200 MB more than for a small one
PROGRAM = """
import resource, sys
import dask, dask.array as da, numpy as np, xarray as xr
import dicomslide

slide = dicomslide.open_slide(sys.argv[1])
spacing = slide.pixel_spacings[0][0] / 400

def write(side, name):
    pixels = da.fromfunction(lambda y, x: ((y // 64 + x // 64) % 5 / 4).astype(np.float32),
        shape=(side, side), chunks=1024, dtype=np.float32)
    line = np.arange(side) * spacing
    mask = xr.DataArray(pixels, {"y": line, "x": line}, ("y", "x"))
    (result,) = dicomslide.write_segmentation(mask, f"{sys.argv[2]}/{name}.dcm", slide=slide,
        segments={"a": (("49755003", "SCT", "Morphology"), ("84640000", "SCT", "Nucleus"))},
        algorithm=("t", "1"), tile=(512, 512), sparse=False)

with dask.config.set(scheduler="threads", num_workers=2):
    write(2048, "small")
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + 200 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    write(12288, "large")
"""


def write(mask, path, slide, **options):
    return write_segmentation(
        mask, path, slide=slide, segments=SEGMENTS, algorithm=ALGORITHM, **options
    )


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_memory_does_not_grow_with_the_mask(written, tmp_path):
    run_program(PROGRAM, written.folder, tmp_path)
    stored = pydicom.dcmread(tmp_path / "large.dcm", stop_before_pixels=True)
    assert stored.NumberOfFrames == 24 * 24
    assert (stored.TotalPixelMatrixRows, stored.TotalPixelMatrixColumns) == (12288, 12288)


def test_workers_import_nothing_that_makes_data_sets():
    modules = "dicomslide.writing.forms", "dicomslide.writing.tiles"
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    assert not {"highdicom", "pydicom", "xarray", "dask.array"} & {*run_program(code).split()}


def test_a_killed_worker_does_not_change_the_result(slide, tmp_path):
    labels = labels_on(slide, 0)

    def slowly(block):
        time.sleep(0.05)
        return block

    pixels = da.from_array(labels.values, chunks=(16, 24)).map_blocks(slowly, dtype=np.uint8)
    with start_cluster() as client, chosen(client), ThreadPoolExecutor(1) as pool:
        victim, process = next(iter(client.run(os.getpid).items()))
        running = pool.submit(write, labels.copy(data=pixels), tmp_path / "out.dcm", slide)
        while not running.done() and not client.processing([victim])[victim]:
            time.sleep(0.01)
        os.kill(process, signal.SIGKILL)
        assert not running.done()
        running.result(timeout=240)
    write(labels, tmp_path / "expected.dcm", slide)
    stored = [pydicom.dcmread(tmp_path / name) for name in ("out.dcm", "expected.dcm")]
    assert stored[0].PixelData == stored[1].PixelData
    assert stored[0].PerFrameFunctionalGroupsSequence == stored[1].PerFrameFunctionalGroupsSequence


@pytest.mark.parametrize("levels", ["given", "all"])
def test_a_mask_that_fails_leaves_nothing(slide, tmp_path, levels):
    labels = labels_on(slide, 0)

    def fail(block, block_id):
        if block_id == (3, 2):
            raise RuntimeError("no more")
        return block

    pixels = da.from_array(labels.values, chunks=(16, 24)).map_blocks(fail, dtype=np.uint8)
    with pytest.raises(RuntimeError, match="no more"):
        write(labels.copy(data=pixels), tmp_path / "folder", slide, levels=levels)
    assert list((tmp_path / "folder").iterdir()) == []


@pytest.mark.parametrize("levels", ["given", "all"])
def test_a_value_at_the_end_that_cannot_be_stored_leaves_nothing(slide, tmp_path, levels):
    labels = labels_on(slide, 0)
    labels[-1, -1] = 7
    with pytest.raises(ValueError, match=r"values \[7\]"):
        write(labels, tmp_path / "folder", slide, levels=levels)
    assert list((tmp_path / "folder").iterdir()) == []


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"])
def test_a_full_disk_is_an_error_that_leaves_nothing(slide, tmp_path, syntax):
    labels = labels_on(slide, 0)
    path = tmp_path / "out.dcm"
    write(labels, path, slide, transfer_syntax=syntax, sparse=False)
    size = path.stat().st_size
    path.unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 100, hard))
    try:
        with pytest.raises(StoreError, match=r"out\.dcm: File too large; nothing is written"):
            write(labels, path, slide, transfer_syntax=syntax, sparse=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_replaced_stays_until_the_new_one_is_whole(slide, tmp_path):
    path = tmp_path / "out.dcm"
    labels = labels_on(slide, 0)
    (before,) = write(labels, path, slide)
    broken = labels.copy()
    broken[-1, -1] = 7
    with pytest.raises(ValueError, match=r"values \[7\]"):
        write(broken, path, slide, overwrite=True)
    assert pydicom.dcmread(path).SOPInstanceUID == before.sop_instance_uid
    assert [found.name for found in tmp_path.iterdir()] == ["out.dcm"]


def test_results_may_be_written_to_other_file_systems(slide, written):
    labels = labels_on(slide, 1)
    results = write(labels, "memory://results", slide, levels="all")
    assert [result.path.startswith("memory://") for result in results] == [True, True]
    broken = labels.copy()
    broken[-1, -1] = 7
    with pytest.raises(ValueError, match=r"values \[7\]"):
        write(broken, "memory://other", slide)
    file_system = fsspec.filesystem("memory")
    assert not file_system.exists("/other")
    with fsspec.open(results[0].path) as file:
        assert pydicom.dcmread(file).SOPInstanceUID == results[0].sop_instance_uid
    file_system.rm("/results", recursive=True)


def test_results_in_a_bucket_open_with_their_slide(slide, bucket, written):
    labels = labels_on(slide, 1)
    place = bucket.upload(written.folder, "written")
    (result,) = write(labels, place, slide, storage_options=bucket.options)
    assert result.path == f"{place.rstrip('/')}/{result.sop_instance_uid}.dcm"
    node = open_slide(place, storage_options=bucket.options).to_datatree()["level_1"]
    np.testing.assert_array_equal(node["label_map"].isel(focal_plane=0), labels)


def test_what_is_in_flight_is_bounded_and_each_chunk_is_computed_once(slide, tmp_path, monkeypatch):
    from dicomslide.writing import frames

    labels = labels_on(slide, 0)
    computed = []

    def count(block, block_id):
        computed.append(block_id)
        return block

    pixels = da.from_array(labels.values, chunks=(32, 48)).map_blocks(
        count, dtype=np.uint8, meta=np.empty((0, 0), np.uint8)
    )
    # A part of the array is one block of 32 x 48 pixels
    monkeypatch.setattr(frames, "_TOGETHER", 32 * 48)
    with dask.config.set(scheduler="synchronous"):
        write(labels.copy(data=pixels), tmp_path / "out.dcm", slide)
    assert computed == [(row, column) for row in range(3) for column in range(2)]


def test_one_segment_in_many_chunks_has_frames_in_the_order_of_rows(slide, tmp_path):
    labels = labels_on(slide, 0) > 0
    chunked = labels.copy(data=da.from_array(labels.values, chunks=(32, 24)))
    one = {"segments": {"a": (CATEGORY, NUCLEUS)}, "algorithm": ALGORITHM, "slide": slide}
    write_segmentation(chunked, tmp_path / "out.dcm", **one)
    frames = pydicom.dcmread(tmp_path / "out.dcm").PerFrameFunctionalGroupsSequence
    positions = [
        (
            frame.PlanePositionSlideSequence[0].RowPositionInTotalImagePixelMatrix,
            frame.PlanePositionSlideSequence[0].ColumnPositionInTotalImagePixelMatrix,
        )
        for frame in frames
    ]
    assert positions == sorted(positions)
    assert len({*positions}) == len(positions)
