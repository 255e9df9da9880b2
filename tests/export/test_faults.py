"""Disks that are full, and frames that cannot be decoded."""

import errno
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import zarr
from pydicom.uid import JPEGBaseline8Bit
from zarr.storage import LocalStore

from dicomslide import open_slide, to_ome_zarr
from dicomslide.errors import StoreError
from dicomslide.export import grid


class FullStore(LocalStore):
    """A folder on a disk with so many bytes left, for all instances."""

    left = 0

    async def set(self, key, value):
        FullStore.left -= len(value)
        if FullStore.left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        await super().set(key, value)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB, where the system allows to make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mount = shutil.which("mount")
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        yield None
        return
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(grid, "_BLOCK_BYTES", 2**16)


def assert_not_complete(group: zarr.Group) -> None:
    assert not {"ome", "multiscales"} & set(group.attrs)
    assert "unfinished" in group


@pytest.mark.usefixtures("small_blocks")
class TestFullDisk:
    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_full_disk_is_an_error_after_which_the_export_can_be_resumed(
        self, make_slide, tmp_path, version
    ):
        written = make_slide(size=(600, 800), tile=(64, 64), factors=(1, 4))
        slide = open_slide(written.folder)
        store = FullStore(tmp_path / "slide.zarr")
        FullStore.left = 500_000
        with pytest.raises(StoreError, match=r"slide\.zarr.*No space left.*not complete"):
            to_ome_zarr(slide, store, version=version)
        assert_not_complete(zarr.open_group(store, mode="r"))
        FullStore.left = 10**9
        to_ome_zarr(slide, store, version=version, resume=True)
        expected = written.levels[0].pixels()
        stored = zarr.open_group(store, mode="r")["0"][:, 0]
        np.testing.assert_array_equal(np.moveaxis(stored, 0, -1), expected)

    def test_disk_may_be_full_while_metadata_are_written(self, make_slide, tmp_path):
        store = FullStore(tmp_path / "slide.zarr")
        FullStore.left = 500
        with pytest.raises(StoreError, match=r"slide\.zarr.*No space left"):
            to_ome_zarr(open_slide(make_slide().folder), store)

    def test_full_disk_of_the_operating_system_is_an_error_too(
        self, make_slide, small_disk, tmp_path
    ):
        written = make_slide(size=(1000, 1200), tile=(64, 64), factors=(1, 4))
        if small_disk is None:
            # Without the right to mount the test above has to do
            return
        store = small_disk / "slide.zarr"
        slide = open_slide(written.folder)
        with pytest.raises(StoreError, match=r"slide\.zarr.*No space left.*not complete"):
            to_ome_zarr(slide, store, compressor="none")
        assert_not_complete(zarr.open_group(str(store), mode="r"))
        copy = tmp_path / "larger disk" / "slide.zarr"
        shutil.copytree(store, copy)
        to_ome_zarr(slide, copy, compressor="none", resume=True)
        stored = zarr.open_group(str(copy), mode="r")["0"][:, 0]
        expected = slide.get_image_region((0, 0), 0, written.levels[0].size)
        np.testing.assert_array_equal(np.moveaxis(stored, 0, -1), expected)


@pytest.fixture(scope="module")
def broken(make_slide, tmp_path_factory) -> Path:
    """Folder of a slide of JPEG frames, of which those with numbers 11 and 14 are damaged."""
    written = make_slide(transfer_syntax=JPEGBaseline8Bit, factors=(1, 2))
    folder = tmp_path_factory.mktemp("broken")
    for path in written.paths:
        shutil.copy(path, folder)
    file = folder / written.levels[0].paths[0].name
    data = bytearray(file.read_bytes())
    starts = [i for i in range(len(data)) if data[i : i + 4] == b"\xff\xd8\xff\xe0"]
    for number in (11, 14):
        data[starts[number - 1] : starts[number - 1] + 40] = bytes(40)
    file.write_bytes(data)
    return folder


class TestDamagedFrames:
    def test_damaged_frames_are_named_in_an_error(self, broken, tmp_path):
        store = tmp_path / "slide.ome.zarr"
        with pytest.raises(ValueError, match=r"level-0\.dcm: frame 1[14]"):
            to_ome_zarr(open_slide(broken), store)
        assert_not_complete(zarr.open_group(str(store), mode="r"))
        assert "multiscales" not in json.dumps(json.loads((store / "zarr.json").read_text()))

    @pytest.mark.parametrize("levels", ["stored", "dyadic"])
    @pytest.mark.parametrize("block_bytes", [1, 2**24])
    @pytest.mark.parametrize("source", ["slide", "tree"])
    def test_damaged_frames_are_filled_and_reported_when_asked_for(
        self, make_slide, broken, tmp_path, monkeypatch, levels, block_bytes, source
    ):
        monkeypatch.setattr(grid, "_BLOCK_BYTES", block_bytes)
        monkeypatch.setattr(grid, "_CHUNK_SIDE", 40)
        store = tmp_path / "slide.ome.zarr"
        slide = open_slide(broken)
        given = slide if source == "slide" else slide.to_datatree(None)
        with pytest.warns(UserWarning, match=r"slide\.ome\.zarr: 2 frames.*11.*14") as caught:
            to_ome_zarr(given, store, errors="fill", levels=levels)
        assert len(caught) == 1
        group = zarr.open_group(str(store), mode="r")
        written = make_slide(transfer_syntax=JPEGBaseline8Bit, factors=(1, 2))
        good = open_slide(written.folder).get_image_region((0, 0), 0, (70, 90))
        expected = np.moveaxis(good, -1, 0).copy()
        # Four frames in a row: number 11 is the third one of the third row
        expected[:, 32:48, 48:72] = 255
        expected[:, 48:64, 24:48] = 255
        np.testing.assert_array_equal(group["0"][:, 0], expected)
        first, second = group.attrs["dicomslide"]["filled_frames"]
        assert "frame 11" in first
        assert "frame 14" in second

    def test_damaged_frames_are_reported_by_tasks_that_are_computed_later(self, broken, tmp_path):
        tasks = to_ome_zarr(
            open_slide(broken), tmp_path / "slide.zarr", errors="fill", compute=False
        )
        assert [name.split(": ")[1] for name in tasks.compute()] == ["frame 11", "frame 14"]

    def test_damaged_frames_are_reported_by_a_resumed_export_again(
        self, broken, tmp_path, monkeypatch
    ):
        from dicomslide.export import tasks

        store = tmp_path / "slide.zarr"
        with monkeypatch.context() as patch:
            patch.setattr(tasks, "_complete", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                to_ome_zarr(open_slide(broken), store, errors="fill")
        with pytest.warns(UserWarning, match="2 frames"):
            to_ome_zarr(open_slide(broken), store, errors="fill", resume=True)

    def test_damaged_frames_of_chunked_trees_cannot_be_filled(self, broken, tmp_path):
        tree = open_slide(broken).to_datatree()
        with pytest.raises(ValueError, match="chunked"):
            to_ome_zarr(tree, tmp_path / "slide.zarr", errors="fill")
        with pytest.raises(ValueError, match=r"frame 1[14]"):
            to_ome_zarr(tree, tmp_path / "slide.zarr")


def test_damage_of_the_source_is_not_blamed_on_the_store(make_slide, tmp_path):
    written = make_slide(factors=(1, 2))
    folder = tmp_path / "slide"
    shutil.copytree(written.folder, folder)
    slide = open_slide(folder)
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(OSError, match=r"level-\d\.dcm") as caught:
        to_ome_zarr(slide, tmp_path / "slide.zarr")
    assert not isinstance(caught.value, StoreError)
