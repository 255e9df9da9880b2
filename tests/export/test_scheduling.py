"""Exports on clusters, in bounded memory, and with any scheduler of dask."""

import subprocess
import sys

import dask
import numpy as np
import pytest
import zarr

from dicomslide import open_slide, to_ome_zarr
from dicomslide.export import grid


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(grid, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(grid, "_CHUNK_SIDE", 32)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("chunks", ["slide", "frames", None])
def test_cluster_of_processes_writes_the_same_store(
    make_slide, channels_first, tmp_path, cluster, chunks
):
    written = make_slide(factors=(1, 2), segmentations=("BINARY",))
    slide = open_slide(written.folder)
    given = slide if chunks == "slide" else slide.to_datatree(chunks)
    tasks = to_ome_zarr(given, tmp_path / "slide.zarr", levels="dyadic", compute=False)
    assert "ome" not in zarr.open_group(str(tmp_path / "slide.zarr")).attrs
    assert cluster.compute(tasks).result(timeout=60) == []
    group = zarr.open_group(str(tmp_path / "slide.zarr"), mode="r")
    assert "ome" in group.attrs
    for level in written.levels:
        np.testing.assert_array_equal(group[str(level.index)][...], channels_first(level))


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as processes, distributed.Client(processes) as client:
        yield client


@pytest.mark.usefixtures("cluster")
def test_cluster_that_is_there_is_used(make_slide, channels_first, tmp_path):
    written = make_slide()
    to_ome_zarr(open_slide(written.folder), tmp_path / "slide.zarr")
    stored = zarr.open_group(str(tmp_path / "slide.zarr"))["0"][...]
    np.testing.assert_array_equal(stored, channels_first(written.levels[0]))


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_other_schedulers_write_the_same_store(make_slide, channels_first, tmp_path, scheduler):
    written = make_slide(factors=(1, 2))
    tasks = to_ome_zarr(open_slide(written.folder), tmp_path / "slide.zarr", compute=False)
    with dask.config.set(scheduler=scheduler):
        tasks.compute()
    stored = zarr.open_group(str(tmp_path / "slide.zarr"))["0"][...]
    np.testing.assert_array_equal(stored, channels_first(written.levels[0]))


def test_each_block_is_one_task(make_slide, tmp_path, monkeypatch):
    monkeypatch.setattr(grid, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(grid, "_CHUNK_SIDE", 20)
    slide = open_slide(make_slide().folder)
    tasks = to_ome_zarr(slide, tmp_path / "slide.zarr", compute=False)
    writing = [key for key in tasks.dask if isinstance(key, tuple)]
    # Five by four frames
    assert len(writing) == 20


MEMORY = """
import sys
from dicomslide import open_slide, to_ome_zarr
from dicomslide.export import grid

grid._BLOCK_BYTES = 2**21

def peak():
    with open("/proc/self/status") as status:
        return int(status.read().partition("VmHWM:")[2].split()[0]) / 1024

folder = sys.argv[1]
to_ome_zarr(open_slide(folder + "/small"), folder + "/small.zarr", levels="dyadic")
before = peak()
to_ome_zarr(open_slide(folder + "/large"), folder + "/large.zarr", levels="dyadic")
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_slide(tmp_path):
    # 11 MiB and 90 MiB of pixels
    for name, side in (("small", 5), ("large", 14)):
        make_repeated(tmp_path / name, side)
    command = [sys.executable, "-c", MEMORY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    # Blocks are of 2 MiB here
    assert float(done.stdout) < 60


def make_repeated(folder, side):
    """Write a slide of JPEG frames quickly: its frames are few and stand for many."""
    import pydicom
    from pydicom.encaps import encapsulate, generate_frames

    from dicomslide.testing import write_slide

    written = write_slide(
        folder, size=(1600, 1600), tile=(400, 400), factors=(1,), label=False, overview=False
    )
    dataset = pydicom.dcmread(written.paths[0])
    frames = list(generate_frames(dataset.PixelData, number_of_frames=16))
    dataset.TotalPixelMatrixRows = dataset.TotalPixelMatrixColumns = 400 * side
    dataset.NumberOfFrames = side**2
    dataset.PixelData = encapsulate([frames[n % 16] for n in range(side**2)])
    dataset.ImagedVolumeWidth = dataset.ImagedVolumeHeight = 400 * side * 0.0005
    dataset.save_as(written.paths[0])
