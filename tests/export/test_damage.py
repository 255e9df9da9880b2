"""Stores that are damaged, or vanish, while they are written or before they are resumed."""

import shutil

import dask
import numpy as np
import pytest
import zarr

from dicomslide import open_slide, to_ome_zarr
from dicomslide.errors import StoreError
from dicomslide.export import content, grid, tasks
from dicomslide.export.journal import Entry
from dicomslide.testing import write_slide


def is_chunk(path):
    return path.is_file() and path.name.isdecimal()


def garbage(path):
    path.write_bytes(bytes(range(256)) * 4)


def truncate(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def empty(path):
    path.write_bytes(b"")


def change_a_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def replace_by_the_next(path):
    others = sorted(other for other in path.parents[3].rglob("*") if is_chunk(other))
    path.write_bytes(others[(others.index(path) + 1) % len(others)].read_bytes())


def remove(path):
    path.unlink()


DAMAGES = (garbage, truncate, empty, change_a_byte, replace_by_the_next, remove)
# What a parser makes of it, not only what it is
NONSENSE = ("", "{", "[]", "{}", "null", '{"zarr_format": 3, "node_type": "array"}', "\0\1\2")
FORMS = (
    {},
    {"compressor": "none"},
    {"shards": 64, "chunks": 32},
    {"version": "0.4", "compressor": "gzip"},
)
# Each damage in one form of a store, and in one of the others
DAMAGED_FORMS = [(FORMS[0], damage) for damage in DAMAGES] + [
    (FORMS[1 + number % 3], damage) for number, damage in enumerate(DAMAGES)
]


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    # What is damaged is written by then
    with pytest.MonkeyPatch.context() as patch, dask.config.set(scheduler="synchronous"):
        patch.setattr(grid, "_BLOCK_BYTES", 2**14)
        patch.setattr(grid, "_CHUNK_SIDE", 64)
        patch.setattr(content, "_SMALLEST_LEVEL", 64)
        yield


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    options = {"size": (100, 130), "tile": (32, 32), "factors": (1,), "icc_profile": False}
    return write_slide(tmp_path_factory.mktemp("slide"), **options)


@pytest.fixture
def slide(written):
    return open_slide(written.folder)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "slide.zarr"


@pytest.fixture(scope="module")
def expected(written, tmp_path_factory):
    """The pixels of all levels, of an export that nothing happened to."""
    path = tmp_path_factory.mktemp("store") / "whole.zarr"
    to_ome_zarr(open_slide(written.folder), path, levels="dyadic")
    group = zarr.open_group(str(path), mode="r")
    return {name: array[...] for name, array in group.arrays()}


def assert_is_whole(store, expected):
    group = zarr.open_group(str(store), mode="r")
    assert "ome" in group.attrs or "multiscales" in group.attrs
    assert set(group.array_keys()) == set(expected)
    for name, pixels in expected.items():
        np.testing.assert_array_equal(group[name][...], pixels)


def assert_is_not_whole(store):
    try:
        attributes = zarr.open_group(str(store), mode="r").attrs
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return
    assert not {"ome", "multiscales"} & set(attributes)


def before(monkeypatch, name, action, after=0):
    """Do something once before a task of a kind, after so many of them."""
    original, calls = getattr(tasks, name), []

    def run(*arguments):
        calls.append(name)
        if len(calls) == after + 1:
            action()
        return original(*arguments)

    monkeypatch.setattr(tasks, name, run)


def interrupt():
    raise KeyboardInterrupt


def chunk_of(store, level):
    """The first chunk of a level, of the second sample."""
    return store / level / "c/1/0/0/0"


class TestChunks:
    @pytest.mark.parametrize(
        ("options", "damage"),
        DAMAGED_FORMS,
        ids=lambda value: getattr(value, "__name__", str(value)),
    )
    def test_damaged_chunks_of_the_level_before_are_named_in_an_error(
        self, slide, store, expected, monkeypatch, damage, options
    ):
        def damage_all():
            for path in sorted((store / "0").rglob("*")):
                if is_chunk(path):
                    damage(path)

        with monkeypatch.context() as patch:
            before(patch, "_derive", damage_all)
            with pytest.raises(StoreError, match=r"slide\.zarr/0: .*0/.* is (damaged|missing)"):
                to_ome_zarr(slide, store, levels="dyadic", **options)
        assert_is_not_whole(store)
        to_ome_zarr(slide, store, levels="dyadic", resume=True, **options)
        assert_is_whole(store, expected)

    @pytest.mark.parametrize("damage", DAMAGES)
    @pytest.mark.parametrize("level", ["0", "1"])
    def test_damaged_chunks_are_written_again_by_a_resumed_export(
        self, slide, store, expected, monkeypatch, damage, level
    ):
        with monkeypatch.context() as patch:
            before(patch, "_complete", interrupt)
            with pytest.raises(KeyboardInterrupt):
                to_ome_zarr(slide, store, levels="dyadic")
        damage(chunk_of(store, level))
        to_ome_zarr(slide, store, levels="dyadic", resume=True)
        assert_is_whole(store, expected)

    def test_damaged_chunks_that_windows_are_chosen_from_are_named_in_an_error(
        self, tmp_path, store, monkeypatch
    ):
        # Windows of colours are known, those of fluorescence come from the smallest level
        options = {"size": (100, 130), "tile": (32, 32), "factors": (1,), "samples": 1}
        options["optical_paths"] = 2
        slide = open_slide(write_slide(tmp_path / "slide", **options).folder)
        before(monkeypatch, "_complete", lambda: truncate(chunk_of(store, "2")))
        with pytest.raises(StoreError, match=r"slide\.zarr/2: .*c/\d/0/0/0 is damaged"):
            to_ome_zarr(slide, store, levels="dyadic")
        assert_is_not_whole(store)


class TestMetadata:
    @pytest.mark.parametrize("text", NONSENSE)
    @pytest.mark.parametrize("name", ["0", "unfinished"])
    def test_metadata_damaged_during_an_export_are_an_error_that_names_the_array(
        self, slide, store, monkeypatch, name, text
    ):
        before(monkeypatch, "_write", lambda: (store / name / "zarr.json").write_text(text), 4)
        with pytest.raises(StoreError, match=r"slide\.zarr"):
            to_ome_zarr(slide, store)
        assert_is_not_whole(store)

    @pytest.mark.parametrize("text", NONSENSE)
    @pytest.mark.parametrize("name", ["0", "unfinished"])
    def test_damaged_metadata_are_an_error_of_a_resumed_export(
        self, slide, store, monkeypatch, name, text
    ):
        with monkeypatch.context() as patch:
            before(patch, "_write", interrupt, 4)
            with pytest.raises(KeyboardInterrupt):
                to_ome_zarr(slide, store)
        (store / name / "zarr.json").write_text(text)
        with pytest.raises(StoreError, match=r"slide\.zarr"):
            to_ome_zarr(slide, store, resume=True)
        assert_is_not_whole(store)

    @pytest.mark.parametrize("text", NONSENSE)
    def test_damaged_metadata_of_the_root_are_an_error_or_written_again(
        self, slide, store, monkeypatch, text
    ):
        with monkeypatch.context() as patch:
            before(patch, "_write", interrupt, 4)
            with pytest.raises(KeyboardInterrupt):
                to_ome_zarr(slide, store)
        (store / "zarr.json").write_text(text)
        refusal = None
        try:
            to_ome_zarr(slide, store, resume=True)
        except StoreError as error:
            refusal = str(error)
        if refusal is not None:
            assert "slide.zarr" in refusal
            assert_is_not_whole(store)
            return
        pixels = slide.get_image_region((0, 0), 0, (100, 130))
        written = zarr.open_group(store, mode="r")["0"][...]
        assert np.array_equal(written[:, 0].transpose(1, 2, 0), pixels)

    def test_metadata_of_another_array_are_an_error(self, slide, store, monkeypatch):
        def replace():
            options = {"shape": (3, 1, 100, 130), "chunks": (1, 1, 50, 50), "dtype": "u1"}
            zarr.create_array(str(store), name="0", overwrite=True, **options)

        before(monkeypatch, "_write", replace, 4)
        with pytest.raises(StoreError, match=r"slide\.zarr/0: its metadata"):
            to_ome_zarr(slide, store)


class TestJournal:
    @pytest.mark.parametrize("damage", [garbage, truncate, empty])
    def test_damaged_journal_is_named_in_an_error(
        self, slide, store, expected, monkeypatch, damage
    ):
        with monkeypatch.context() as patch:
            before(patch, "_write", interrupt, 4)
            with pytest.raises(KeyboardInterrupt):
                to_ome_zarr(slide, store, levels="dyadic")
        damage(next((store / "unfinished/c").glob("*/0")))
        with pytest.raises(StoreError, match=r"slide\.zarr/unfinished: "):
            to_ome_zarr(slide, store, levels="dyadic", resume=True)
        assert_is_not_whole(store)
        to_ome_zarr(slide, store, levels="dyadic", overwrite=True)
        assert_is_whole(store, expected)

    @pytest.mark.parametrize("place", [0, 5, 9, 12, 20])
    def test_journal_of_other_bytes_is_named_in_an_error(self, slide, store, monkeypatch, place):
        def change():
            journal = zarr.open_array(str(store / "unfinished"))
            journal[3, place] = journal[3, place] ^ 1

        before(monkeypatch, "_complete", change)
        with pytest.raises(StoreError, match=r"slide\.zarr/unfinished: .*damaged"):
            to_ome_zarr(slide, store)
        assert_is_not_whole(store)

    def test_journal_that_lost_a_block_is_not_complete(self, slide, store, monkeypatch):
        before(monkeypatch, "_complete", lambda: (store / "unfinished/c/3/0").unlink())
        with pytest.raises(StoreError, match=r"slide\.zarr/unfinished: block 3 is lost"):
            to_ome_zarr(slide, store)
        assert_is_not_whole(store)
        to_ome_zarr(slide, store, resume=True)
        assert "ome" in zarr.open_group(str(store), mode="r").attrs

    def test_journal_keeps_what_is_wrong_with_some_frames(self):
        many = tuple(f"a file of some name: frame {n}" for n in range(1000))
        for problems in ((), many[:3], many, ("x" * 10000,)):
            row = Entry((1, 2**32 - 1, 0), problems).encode(12 + 4 * 3 + 4096)
            found = Entry.decode(row.tobytes())
            assert found.sums == (1, 2**32 - 1, 0)
            if problems in ((), many[:3]):
                assert found.problems == problems
            else:
                # It says that it does not say all
                assert found.problems[-1] == "…"
                assert set(found.problems[:-1]) <= set(problems)


class TestStoreThatVanishes:
    @pytest.mark.parametrize("task", ["_write", "_derive", "_complete"])
    @pytest.mark.parametrize("part", ["", "unfinished", "0"])
    def test_store_that_vanishes_is_named_in_an_error(self, slide, store, monkeypatch, task, part):
        after = 4 if task == "_write" else 0
        before(monkeypatch, task, lambda: shutil.rmtree(store / part), after)
        with pytest.raises(StoreError, match=r"slide\.zarr"):
            to_ome_zarr(slide, store, levels="dyadic")
        assert_is_not_whole(store)

    def test_store_that_vanished_is_not_made_again_by_later_tasks(self, slide, store):
        left = to_ome_zarr(slide, store, compute=False)
        shutil.rmtree(store)
        with pytest.raises(StoreError, match=r"slide\.zarr"):
            left.compute()
        assert not store.exists()


def test_complete_store_without_its_arrays_is_not_taken_for_complete(slide, store):
    to_ome_zarr(slide, store)
    shutil.rmtree(store / "0")
    with pytest.raises(StoreError, match=r"slide\.zarr/0"):
        to_ome_zarr(slide, store, resume=True)


def test_store_that_is_half_deleted_looks_like_none(slide, store, monkeypatch):
    to_ome_zarr(slide, store, associated=True)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_: interrupt())
        with pytest.raises(KeyboardInterrupt):
            to_ome_zarr(slide, store, overwrite=True)
    assert_is_not_whole(store)
    to_ome_zarr(slide, store, overwrite=True)
    assert "ome" in zarr.open_group(str(store), mode="r").attrs
