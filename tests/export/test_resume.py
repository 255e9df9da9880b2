"""An export that was interrupted is finished, and has the same arrays as one that was not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr
from pydicom.uid import JPEGBaseline8Bit

from dicomslide import open_slide, to_ome_zarr
from dicomslide.export import grid, tasks

# Small blocks make a small slide as divided as a large one
SCRIPT = """
import sys
from dicomslide import open_slide, to_ome_zarr
from dicomslide.export import grid
grid._BLOCK_BYTES = 2**16
print("ready", flush=True)
to_ome_zarr(open_slide(sys.argv[1]), sys.argv[2], resume=True, **eval(sys.argv[3]))
"""


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(Path(root, name).relative_to(folder)): Path(root, name).read_bytes()
        for root, _, names in os.walk(folder)
        for name in names
    }


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(grid, "_BLOCK_BYTES", 2**16)


@pytest.mark.parametrize(
    "options", [{"chunks": 128, "shards": 256, "levels": "dyadic"}, {"version": "0.4"}]
)
def test_killed_processes_leave_what_can_be_finished(make_slide, tmp_path, options):
    written = make_slide(
        size=(300, 400),
        tile=(64, 64),
        factors=(1, 4),
        transfer_syntax=JPEGBaseline8Bit,
        segmentations=("BINARY", "FRACTIONAL"),
        parametric_maps=("integer",),
        label=True,
    )
    whole, killed = tmp_path / "whole.zarr", tmp_path / "killed.zarr"
    to_ome_zarr(open_slide(written.folder), whole, **options)
    blocks, kills = 0, 0
    for number in range(2):
        command = [sys.executable, "-c", SCRIPT, written.folder, killed, repr(options)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            wait_for_more(killed, blocks + 5 * number, process)
            process.send_signal(signal.SIGKILL)
        if process.returncode != -signal.SIGKILL:
            break
        kills += 1
        group = zarr.open_group(str(killed), mode="r")
        assert not {"ome", "multiscales"} & set(group.attrs)
        blocks = int(group["unfinished"][:, 0].astype(bool).sum())
    assert kills == 2
    assert blocks > 5
    to_ome_zarr(open_slide(written.folder), killed, resume=True, **options)
    assert files_of(killed) == files_of(whole)


def wait_for_more(store: Path, wanted: int, process: subprocess.Popen) -> None:
    """Wait until more blocks are written, or the process has ended."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        journal = store / "unfinished"
        if journal.exists() and sum(len(names) for _, _, names in os.walk(journal)) > wanted + 4:
            return
        time.sleep(0.002)


def interrupted(slide, store, monkeypatch, after: int, **options):
    """Export until a number of blocks are written."""
    write, count = tasks._write, [0]

    def stop(*arguments):
        if count[0] >= after:
            raise KeyboardInterrupt
        count[0] += 1
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "_write", stop)
        with pytest.raises(KeyboardInterrupt):
            to_ome_zarr(slide, store, **options)


@pytest.mark.parametrize("after", [0, 1, 7])
@pytest.mark.parametrize("chunks", ["frames", None])
def test_interrupted_export_is_finished(make_slide, tmp_path, monkeypatch, after, chunks):
    monkeypatch.setattr(grid, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(grid, "_CHUNK_SIDE", 32)
    written = make_slide(factors=(1, 2), segmentations=("LABELMAP",))
    tree = open_slide(written.folder).to_datatree(chunks)
    to_ome_zarr(tree, tmp_path / "whole.zarr", levels="dyadic")
    store = tmp_path / "slide.zarr"
    interrupted(tree, store, monkeypatch, after, levels="dyadic")
    assert "ome" not in zarr.open_group(str(store)).attrs
    with pytest.raises(OSError, match="already"):
        to_ome_zarr(tree, store, levels="dyadic")
    to_ome_zarr(tree, store, levels="dyadic", resume=True)
    assert files_of(store) == files_of(tmp_path / "whole.zarr")


def test_blocks_that_are_written_are_not_read_again(
    make_slide, open_all_counted, tmp_path, monkeypatch
):
    from dicomslide import Slide

    monkeypatch.setattr(grid, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(grid, "_CHUNK_SIDE", 20)
    client, datasets = open_all_counted(make_slide().paths)
    interrupted(Slide(client, datasets, 0), tmp_path / "slide.zarr", monkeypatch, 13)
    client.requests.clear()
    to_ome_zarr(Slide(client, datasets, 0), tmp_path / "slide.zarr", resume=True)
    # 20 frames, each a block
    assert sum(map(len, client.requests)) == 20 - 13


def test_nothing_to_resume_is_a_new_store(make_slide, channels_first, tmp_path):
    written = make_slide()
    to_ome_zarr(open_slide(written.folder), tmp_path / "slide.zarr", resume=True)
    stored = zarr.open_group(str(tmp_path / "slide.zarr"))["0"][...]
    np.testing.assert_array_equal(stored, channels_first(written.levels[0]))


def test_store_that_is_complete_stays_as_it_is(make_slide, tmp_path, monkeypatch):
    slide = open_slide(make_slide().folder)
    store = tmp_path / "slide.zarr"
    to_ome_zarr(slide, store)
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    to_ome_zarr(slide, store, resume=True)
    assert to_ome_zarr(slide, store, resume=True, compute=False).compute() == []
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


@pytest.mark.parametrize("state", ["complete", "unfinished"])
@pytest.mark.parametrize(
    "options",
    [
        {"chunks": 48},
        {"compressor": "gzip"},
        {"version": "0.6"},
        {"levels": "dyadic"},
        {"labels": False},
        {"errors": "fill"},
        {"seed": 2},
    ],
    ids=lambda options: next(iter(options)),
)
def test_store_of_another_slide_or_of_other_options_is_not_resumed(
    make_slide, tmp_path, monkeypatch, state, options
):
    written = make_slide(factors=(1, 4), segmentations=("LABELMAP",))
    store = tmp_path / "slide.zarr"
    if state == "complete":
        to_ome_zarr(open_slide(written.folder), store)
    else:
        interrupted(open_slide(written.folder), store, monkeypatch, 1)
    before = files_of(store)
    if "seed" in options:
        other, options = make_slide(factors=(1, 4), segmentations=("LABELMAP",), seed=2), {}
    else:
        other = written
    with pytest.raises(OSError, match=r"slide\.zarr.*resumed"):
        to_ome_zarr(open_slide(other.folder), store, resume=True, **options)
    assert files_of(store) == before


@pytest.mark.parametrize("chunks", ["frames", None])
@pytest.mark.parametrize(
    "other", [{"channel": [1]}, {"focal_plane": [1]}, {"channel": [0], "focal_plane": [1]}]
)
def test_store_of_another_part_of_a_tree_is_not_resumed(
    make_slide, tmp_path, monkeypatch, chunks, other
):
    folder = make_slide(optical_paths=2, focal_planes=2).folder
    one, other = {"channel": [0], "focal_plane": [0]}, {"channel": [0], "focal_plane": [0]} | other

    def part(where):
        tree = open_slide(folder).to_datatree(chunks).isel(where)
        # Otherwise the height of the focal plane tells
        return tree.map_over_datasets(lambda node: node.drop_vars("focal_plane", errors="ignore"))

    interrupted(part(one), tmp_path / "part.zarr", monkeypatch, 0)
    with pytest.raises(OSError, match=r"part\.zarr.*resumed"):
        to_ome_zarr(part(other), tmp_path / "part.zarr", resume=True)
    to_ome_zarr(part(one), tmp_path / "part.zarr", resume=True)


def test_store_of_another_program_is_not_resumed(make_slide, tmp_path):
    group = zarr.create_group(str(tmp_path / "slide.zarr"))
    group.create_array("0", shape=(1,), dtype="u1")
    with pytest.raises(OSError, match=r"slide\.zarr.*resumed"):
        to_ome_zarr(open_slide(make_slide().folder), tmp_path / "slide.zarr", resume=True)
    assert "0" in group


def test_store_that_was_only_begun_is_resumed(make_slide, tmp_path):
    zarr.create_group(str(tmp_path / "slide.zarr"))
    to_ome_zarr(open_slide(make_slide().folder), tmp_path / "slide.zarr", resume=True)
    assert "ome" in zarr.open_group(str(tmp_path / "slide.zarr")).attrs
