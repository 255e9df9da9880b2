"""Processes that write to one place at once: one whole store, or an error that names it."""

import json
import subprocess
import sys
import uuid
from contextlib import ExitStack

import dask
import numpy as np
import pytest
import zarr
from pydicom.uid import ExplicitVRLittleEndian
from zarr.storage import MemoryStore

from dicomslide import open_slide, to_ome_zarr
from dicomslide.errors import StoreError
from dicomslide.export import grid, tasks
from dicomslide.testing import write_slide

# Exports what lines say, each when another line arrives. Small blocks make a small slide as divided
# as a large one
SCRIPT = """
import json, sys
from dicomslide import DicomSlideError, open_slide, to_ome_zarr
from dicomslide.export import grid
grid._BLOCK_BYTES, grid._CHUNK_SIDE = 2**14, 64
for line in sys.stdin:
    folder, store, options = json.loads(line)
    slide = open_slide(folder)
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        to_ome_zarr(slide, store, **options)
    except DicomSlideError as error:
        print(json.dumps([3, str(error)]), flush=True)
    else:
        print(json.dumps([0, ""]), flush=True)
"""
SLIDE = {
    "size": (300, 400),
    "tile": (64, 64),
    "factors": (1, 4),
    "icc_profile": False,
    "transfer_syntax": ExplicitVRLittleEndian,
}


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Two slides of the same size and other pixels."""
    folder = tmp_path_factory.mktemp("slides")
    return [write_slide(folder / str(seed), seed=seed, **SLIDE) for seed in (1, 2)]


@pytest.fixture(scope="module")
def processes():
    """Two processes that export."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", SCRIPT],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(2)
        ]


def tell(process, line):
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def run_together(processes, store, *runs):
    """Export in processes at the same time; gives 0 or 3 for an error, and what it said."""
    for process, (written, options) in zip(processes, runs, strict=True):
        tell(process, json.dumps([str(written.folder), str(store), options]))
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        tell(process, "")
    return [tuple(json.loads(process.stdout.readline())) for process in processes]


def contents(folder):
    """Read all files of a folder, by their paths."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_is_whole(store, *slides, channels_first):
    """Check that a store has the pixels of one of some slides, and nothing of others."""
    group = zarr.open_group(store, mode="r")
    assert "ome" in group.attrs
    assert "unfinished" not in group
    assert any(
        all(
            np.array_equal(group[str(level.index)][...], channels_first(level))
            for level in written.levels
        )
        for written in slides
    )


@pytest.mark.parametrize(
    "options",
    [
        ({}, {}),
        ({"overwrite": True}, {"overwrite": True}),
        ({"overwrite": True, "chunks": 50}, {"overwrite": True}),
        ({"resume": True}, {"resume": True}),
        ({"resume": True}, {"overwrite": True}),
    ],
    ids=str,
)
def test_one_of_two_processes_writes_the_store(
    slides, channels_first, tmp_path, processes, options
):
    store = tmp_path / "slide.zarr"
    if any("overwrite" in one for one in options):
        to_ome_zarr(open_slide(slides[0].folder), store, levels="dyadic")
    before = contents(store)
    ended = run_together(processes, store, *zip(slides, options, strict=True))
    assert {code for code, _ in ended} <= {0, 3}
    assert all("slide.zarr: " in said for code, said in ended if code)
    if "resume" in options[0] and "overwrite" in options[1] and all(code for code, _ in ended):
        # A finished store is not resumed, and while that is found out the other one is refused
        assert "another export is writing" in ended[1][1]
        assert contents(store) == before
        return
    assert_is_whole(str(store), *slides, channels_first=channels_first)
    # Not only the store that was there before
    assert any(code == 0 for code, _ in ended)


def test_export_that_begins_while_another_one_writes_is_refused(slides, tmp_path, monkeypatch):
    store, write = tmp_path / "slide.zarr", tasks._write
    slide, other = (open_slide(written.folder) for written in slides)
    refused = []

    def begin_another(*arguments):
        if not refused:
            for options in ({}, {"overwrite": True}, {"resume": True}):
                with pytest.raises(StoreError, match=r"slide\.zarr: another export is writing"):
                    to_ome_zarr(other, store, **options)
                refused.append(options)
        write(*arguments)

    monkeypatch.setattr(tasks, "_write", begin_another)
    with dask.config.set(scheduler="synchronous"):
        to_ome_zarr(slide, store)
    assert len(refused) == 3
    assert "ome" in zarr.open_group(str(store)).attrs


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(grid, "_BLOCK_BYTES", 2**14)
    monkeypatch.setattr(grid, "_CHUNK_SIDE", 64)


PLACES = ("folder", "memory", "url")


@pytest.fixture
def place(request, tmp_path):
    """A new place of each kind: only folders can be locked."""
    if request.param == "folder":
        return tmp_path / "slide.zarr"
    if request.param == "memory":
        return MemoryStore()
    return f"memory://writers/{uuid.uuid4().hex}/slide.zarr"


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("place", PLACES, indirect=True)
class TestExportThatWasLeft:
    """An export that is computed later loses its store to one that is begun in the meantime."""

    def test_abandoned_export_writes_no_more_after_another_one_resumed_it(
        self, slides, channels_first, place
    ):
        slide = open_slide(slides[0].folder)
        left = to_ome_zarr(slide, place, compute=False)
        to_ome_zarr(slide, place, resume=True)
        with pytest.raises(StoreError, match="another export has"):
            left.compute()
        assert_is_whole(place, slides[0], channels_first=channels_first)

    def test_abandoned_export_writes_no_more_when_it_is_resumed_in_the_middle(
        self, slides, channels_first, place, monkeypatch
    ):
        slide, write, count = open_slide(slides[0].folder), tasks._write, []
        left = to_ome_zarr(slide, place, compute=False)

        def take_over(*arguments):
            count.append(arguments)
            if len(count) == 5:
                to_ome_zarr(slide, place, compute=False, resume=True)
            write(*arguments)

        with monkeypatch.context() as patch, dask.config.set(scheduler="synchronous"):
            patch.setattr(tasks, "_write", take_over)
            with pytest.raises(StoreError, match="another export has resumed this store"):
                left.compute()
        assert "ome" not in zarr.open_group(place).attrs
        to_ome_zarr(slide, place, resume=True)
        assert_is_whole(place, slides[0], channels_first=channels_first)

    def test_abandoned_export_is_overwritten_by_the_same_export(
        self, slides, channels_first, place
    ):
        slide = open_slide(slides[0].folder)
        left = to_ome_zarr(slide, place, compute=False)
        to_ome_zarr(slide, place, overwrite=True)
        with pytest.raises(StoreError, match="another export has replaced or finished it"):
            left.compute()
        assert_is_whole(place, slides[0], channels_first=channels_first)

    def test_abandoned_export_is_overwritten_by_another_one_only_where_it_can_be_stopped(
        self, slides, channels_first, place
    ):
        left = to_ome_zarr(open_slide(slides[0].folder), place, compute=False)
        other = open_slide(slides[1].folder)
        if isinstance(place, (str, MemoryStore)):
            # A block that is on its way to a bucket arrives whatever has become of its store
            with pytest.raises(StoreError, match="not finished, and may be running; delete"):
                to_ome_zarr(other, place, overwrite=True)
            assert left.compute() == []
            assert_is_whole(place, slides[0], channels_first=channels_first)
        to_ome_zarr(other, place, overwrite=True)
        assert_is_whole(place, slides[1], channels_first=channels_first)
        with pytest.raises(StoreError, match="another export has replaced or finished it"):
            left.compute()
        assert_is_whole(place, slides[1], channels_first=channels_first)

    def test_tasks_of_an_export_cannot_be_computed_twice(self, slides, channels_first, place):
        tasks = to_ome_zarr(open_slide(slides[0].folder), place, compute=False)
        assert tasks.compute() == []
        with pytest.raises(StoreError, match="another export has replaced or finished it"):
            tasks.compute()
        assert_is_whole(place, slides[0], channels_first=channels_first)
