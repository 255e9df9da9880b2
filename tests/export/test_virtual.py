"""A slide as a Zarr store that holds no pixels is the store that an export writes."""

import asyncio
import inspect
import json
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import wraps
from itertools import chain
from multiprocessing import get_context

import dask
import dask.array as da
import ngff_zarr
import numpy as np
import ome_zarr_models.v05
import pytest
import zarr
from ngff_zarr.validate import validate
from pydicom.uid import JPEGBaseline8Bit
from toolz import compose
from zarr.core.buffer import Buffer, cpu, default_buffer_prototype
from zarr.testing.store import StoreTests

from dicomslide import Slide, VirtualStore, as_zarr, open_slide, to_ome_zarr
from dicomslide.bounds import Recent
from dicomslide.errors import FrameError
from dicomslide.export import derived, virtual_arrays

METADATA = {"zarr.json", ".zarray", ".zattrs", ".zgroup"}
SLIDES = {
    "colour": {
        "size": (150, 200),
        "factors": (1, 2, 4),
        "segmentations": ("BINARY", "LABELMAP"),
        "label": True,
        "overview": True,
    },
    "two stains": {"optical_paths": 2, "factors": (1, 4)},
    "everything": None,
}
OPTIONS = (
    {},
    {"version": "0.4"},
    {"version": "0.6"},
    {"levels": "dyadic"},
    {"chunks": (40, 30)},
    {"chunks": (3, 1, 64, 64), "associated": False, "labels": False},
)


@pytest.fixture(autouse=True)
def _no_chunks(monkeypatch):
    """Drops the chunks that other tests left to all slides of the process."""
    monkeypatch.setattr(virtual_arrays, "_blocks", Recent("virtual-chunks"))


@pytest.fixture(params=SLIDES)
def written(request, make_slide, everything):
    return make_slide(**(SLIDES[request.param] or everything))


class TestSameAsExport:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_every_value_has_the_bytes_that_an_export_writes(self, written, tmp_path, options):
        slide = open_slide(written.folder)
        options = {"associated": True, "labels": True} | options
        to_ome_zarr(slide, tmp_path / "slide.zarr", compressor="none", **options)
        store = as_zarr(slide, **options)
        files = {
            path.relative_to(tmp_path / "slide.zarr").as_posix(): path.read_bytes()
            for path in (tmp_path / "slide.zarr").rglob("*")
            if path.is_file()
        }
        keys = list(store.list_keys())
        assert len(set(keys)) == len(keys)
        assert set(files) <= set(keys)
        for key in keys:
            name = key.rpartition("/")[2]
            value = bytes(store.read(key))
            assert store.size(key) == len(value)
            if key not in files:
                # An export leaves chunks of zeros out, and the metadata say that these are zeros
                assert name not in METADATA
                assert not any(value)
            elif key == name in ("zarr.json", ".zattrs"):
                expected = json.loads(files[key])
                facts = expected if name == ".zattrs" else expected["attributes"]
                # Which export it is, for those who resume one
                del facts["dicomslide"]["fingerprint"]
                assert json.loads(value) == expected
            else:
                assert value == files[key]

    def test_pixels_are_those_of_the_tree(self, make_slide, channels_first):
        written = make_slide(
            size=(150, 200), samples=1, bits=12, optical_paths=3, focal_planes=2, factors=(1, 2)
        )
        tree = open_slide(written.folder).to_datatree(chunks=None)
        group = zarr.open_group(as_zarr(tree), mode="r")
        for level in written.levels:
            image = tree[f"level_{level.index}"].image
            expected = image.isel(sample=0) if "sample" in image.dims else image
            np.testing.assert_array_equal(group[str(level.index)][...], expected)
            np.testing.assert_array_equal(group[str(level.index)][...], channels_first(level, 3, 2))

    def test_pixels_that_were_computed_are_there(self, make_slide):
        tree = open_slide(make_slide(factors=(1, 2)).folder).to_datatree()
        darker = tree.map_over_datasets(
            lambda level: level.assign(image=level.image // 2) if "image" in level else level
        )
        group = zarr.open_group(as_zarr(darker), mode="r")
        expected = tree["level_1"].image.values[0, 0] // 2
        np.testing.assert_array_equal(group["1"][:, 0], np.moveaxis(expected, -1, 0))

    def test_a_slide_may_be_copied_by_copying_its_values(self, make_slide, tmp_path):
        slide = open_slide(make_slide(factors=(1, 2), segmentations=("LABELMAP",)).folder)
        store = as_zarr(slide)
        for key in store.list_keys():
            path = tmp_path / "copy.zarr" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(store.read(key))
        copy = zarr.open_group(str(tmp_path / "copy.zarr"), mode="r")
        view = zarr.open_group(store, mode="r")
        for path in ("0", "1", "labels/label_map/0"):
            np.testing.assert_array_equal(copy[path][...], view[path][...])


class TestReaders:
    def test_schemas_and_models_accept_it(self, make_slide, everything):
        group = zarr.open_group(as_zarr(open_slide(make_slide(**everything).folder)), mode="r")
        ome_zarr_models.v05.Image.from_zarr(group)
        labels = ome_zarr_models.v05.Labels.from_zarr(group["labels"])
        assert len(labels.ome_attributes.labels) == 7
        validate(group.attrs.asdict(), version="0.5", model="image", strict=True)

    def test_ngff_zarr_reads_it(self, make_slide, channels_first):
        written = make_slide(factors=(1, 2))
        multiscales = ngff_zarr.from_ome_zarr(as_zarr(open_slide(written.folder)).mapping)
        for level, image in zip(written.levels, multiscales.images, strict=True):
            np.testing.assert_array_equal(np.asarray(image.data), channels_first(level))

    def test_dask_reads_it(self, make_slide, channels_first):
        written = make_slide(size=(150, 200), factors=(1, 2))
        array = da.from_zarr(as_zarr(open_slide(written.folder)), component="0")
        np.testing.assert_array_equal(array.compute(), channels_first(written.levels[0]))


class TestReading:
    def test_metadata_of_colour_take_no_frame(self, make_slide, open_all_counted):
        client, datasets = open_all_counted(make_slide(factors=(1, 2)).paths)
        store = as_zarr(Slide(client, datasets))
        zarr.open_group(store, mode="r").attrs.asdict()
        assert all(store.size(key) for key in store.list_keys())
        assert client.requests == []

    def test_windows_that_nobody_stated_take_the_smallest_level_once(
        self, make_slide, open_all_counted
    ):
        written = make_slide(samples=1, bits=16, optical_paths=2, factors=(1, 2), tile=(64, 64))
        client, datasets = open_all_counted(written.paths)
        store = as_zarr(Slide(client, datasets))
        assert client.requests == []
        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(lambda _: bytes(store.read("zarr.json")), range(16)))
        assert len(found) == 1
        # 35 x 45 pixels: one frame of each path
        assert sum(map(len, client.requests)) == 2

    def test_channels_of_a_colour_take_each_frame_once(self, make_slide, open_all_counted):
        written = make_slide(size=(60, 60), tile=(20, 20))
        client, datasets = open_all_counted(written.paths)
        with dask.config.set({"dicomslide.keep.decoded-frames": 0}):
            store = as_zarr(Slide(client, datasets), chunks=20)
            keys = [f"0/c/{c}/0/{y}/{x}" for y in range(3) for x in range(3) for c in range(3)]
            with ThreadPoolExecutor(9) as pool:
                list(pool.map(store.read, keys))
        assert sorted(chain(*client.requests)) == list(range(9))

    def test_a_large_frame_that_is_cut_into_chunks_is_read_once(self, make_slide, open_all_counted):
        written = make_slide(size=(60, 60), tile=(60, 60))
        client, datasets = open_all_counted(written.paths)
        with dask.config.set({"dicomslide.keep.decoded-frames": 0}):
            store = as_zarr(Slide(client, datasets), chunks=20)
            zarr.open_group(store, mode="r")["0"][...]
        assert client.requests == [[0]]

    def test_chunks_that_were_used_last_are_kept(self, make_slide):
        store = as_zarr(open_slide(make_slide(size=(60, 60), tile=(20, 20)).folder), chunks=20)
        with dask.config.set({"dicomslide.keep.virtual-chunks": 4 * 20 * 20 * 3}):
            zarr.open_group(store, mode="r")["0"][...]
            assert len(virtual_arrays._blocks) == 4
        store.close()
        assert len(virtual_arrays._blocks) == 0

    def test_what_was_read_cannot_be_changed(self, make_slide):
        store = as_zarr(open_slide(make_slide(size=(20, 20), tile=(20, 20)).folder), chunks=20)
        assert store.read("0/c/0/0/0/0").readonly
        zarr.open_group(store, mode="r")["0"][...][:] = 0
        assert any(store.read("0/c/0/0/0/0"))

    @pytest.mark.parametrize("part", [slice(None), slice(3, 40), slice(5, None), slice(-7, None)])
    @pytest.mark.parametrize("key", ["zarr.json", "0/zarr.json", "0/c/2/0/1/0"])
    def test_parts_of_values_are_read(self, make_slide, key, part):
        store = as_zarr(open_slide(make_slide().folder), chunks=40)
        assert bytes(store.read(key, part)) == bytes(store.read(key))[part]

    @pytest.mark.parametrize(
        "key",
        [
            *("", "0", "0/c", "c/0/0/0/0", "1/c/0/0/0/0", "labels/zarr.json"),
            *("0/c/0/0/0", "0/c/0/0/0/0/0", "0/c/3/0/0/0", "0/c/0/1/0/0", "0/c/0/0/2/0"),
            *("0/c/0/0/0/00", "0/c/0/0/0/-1", "0/c/0/0/0/+1", "0/c/0/0/0/ 1", "0/c/0/0/0/1_0"),
            *(
                "0/c/0/0/0/\N{ARABIC-INDIC DIGIT ZERO}",
                "0/c/0/0/0/0.0",
                "0/c/0/0/0/",
                "/0/c/0/0/0/0",
                "0/c//0/0/0/0",
            ),
            *("0/../zarr.json", "./zarr.json", "zarr.json/", "0/c/0/0/0/" + "9" * 5000),
        ],
    )
    def test_there_is_nothing_else(self, make_slide, key):
        store = as_zarr(open_slide(make_slide().folder), chunks=40)
        assert store.read(key) is None
        assert store.size(key) is None
        assert not asyncio.run(store.exists(key))
        assert asyncio.run(store.get(key, default_buffer_prototype())) is None

    def test_a_frame_that_cannot_be_decoded_is_named(self, make_slide, tmp_path):
        folder = tmp_path / "slide"
        shutil.copytree(
            make_slide(size=(40, 40), tile=(20, 20), transfer_syntax=JPEGBaseline8Bit).folder,
            folder,
        )
        (path,) = folder.rglob("*.dcm")
        data = path.read_bytes()
        # The start of the codestream of the last of four frames
        path.write_bytes(b"\0\0".join(data.rsplit(b"\xff\xd8", 1)))
        group = zarr.open_group(as_zarr(open_slide(folder), chunks=20), mode="r")
        assert group["0"][:, :, :20].shape == (3, 1, 20, 40)
        with pytest.raises(FrameError, match=rf"{path.name}: frame 4"):
            group["0"][:, :, 20:, 20:]


class TestComputedLevels:
    @pytest.mark.parametrize("together", [1, 1000, 2**24])
    def test_parts_that_are_computed_one_after_the_other_fit(
        self, make_slide, tmp_path, monkeypatch, together
    ):
        slide = open_slide(make_slide(size=(150, 200), segmentations=("BINARY",)).folder)
        to_ome_zarr(slide, tmp_path / "slide.zarr", levels="dyadic")
        monkeypatch.setattr(derived, "_TOGETHER", together)
        expected = zarr.open_group(str(tmp_path / "slide.zarr"), mode="r")
        found = zarr.open_group(as_zarr(slide, levels="dyadic", chunks=50), mode="r")
        for path in ("0", "labels/nucleus/0"):
            np.testing.assert_array_equal(found[path][...], expected[path][...])


class TestTravelling:
    def test_a_copy_in_another_process_reads_the_same(self, make_slide):
        store = as_zarr(open_slide(make_slide(**SLIDES["colour"]).folder))
        keys = list(store.list_keys())
        read = compose(bytes, store.read)
        # Executors tell when a worker ends, where pools wait for ever
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found = list(pool.map(read, keys))
        assert found == [*map(read, keys)]

    def test_two_stores_of_one_slide_are_equal_and_others_are_not(self, make_slide):
        folder = make_slide(**SLIDES["colour"]).folder
        store = as_zarr(open_slide(folder))
        assert store == as_zarr(open_slide(folder))
        assert hash(store) == hash(as_zarr(open_slide(folder)))
        assert store != as_zarr(open_slide(folder), chunks=20)
        assert store != as_zarr(open_slide(make_slide().folder))

    def test_pixels_that_are_shown_in_another_way_are_another_store(self, make_slide):
        tree = open_slide(make_slide(samples=1, optical_paths=2).folder).to_datatree(chunks=None)
        red = tree.map_over_datasets(
            lambda node: (
                node.assign_coords(color=("channel", ["FF0000", "00FF00"]))
                if "image" in node
                else node
            )
        )
        assert as_zarr(tree) != as_zarr(red)

    def test_dask_knows_it_again(self, make_slide):
        folder = make_slide().folder
        first, second = (da.from_zarr(as_zarr(open_slide(folder)), component="0") for _ in "12")
        assert first.name == second.name

    def test_it_is_small_however_many_frames_there_are(self, make_slide):
        written = make_slide(size=(640, 640), tile=(16, 16))
        # As many bytes as a single chunk has
        assert len(pickle.dumps(as_zarr(open_slide(written.folder)))) < 2**15


class TestArguments:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"version": "0.3"}, "version: expected 0.4, 0.5, 0.6, got '0.3'"),
            ({"levels": "some"}, "levels: expected stored, dyadic, got 'some'"),
            ({"chunks": 0}, "chunks: sizes must be positive"),
        ],
    )
    def test_what_cannot_be_is_an_error(self, make_slide, options, message):
        with pytest.raises(ValueError, match=message):
            as_zarr(open_slide(make_slide().folder), **options)

    def test_something_else_is_no_slide(self):
        with pytest.raises(TypeError, match="slide_or_tree: expected Slide or DataTree, got str"):
            as_zarr("slide")


def on_a_loop(test):
    """Run a test that is a coroutine."""

    @wraps(test)
    def run(*arguments, **named):
        asyncio.run(test(*arguments, **named))

    return run


class TestStore(StoreTests[VirtualStore, cpu.Buffer]):
    """What zarr-python expects of stores, as far as they are read."""

    store_cls = VirtualStore
    buffer_cls = cpu.Buffer
    # Tests of what a store may have beside its asynchronous methods, and this one has not
    test_get_sync = test_get_sync_missing = test_set_sync = None
    test_delete_sync = test_delete_sync_missing = None

    async def set(self, store: VirtualStore, key: str, value: Buffer) -> None:
        store._documents[key] = value
        store._unfinished.pop("", None)

    async def get(self, store: VirtualStore, key: str) -> Buffer:
        return store._documents[key]

    @pytest.fixture
    def store_kwargs(self, make_slide):
        return {"plan": as_zarr(open_slide(make_slide().folder)).plan}

    @pytest.fixture
    def store(self, open_kwargs):
        return asyncio.run(VirtualStore.open(**open_kwargs))

    @pytest.fixture
    def store_not_open(self, store_kwargs):
        return VirtualStore(**store_kwargs)

    def test_store_repr(self, store):
        assert repr(store).startswith("VirtualStore('S26-")
        assert str(store).startswith("dicomslide://")

    def test_store_supports_writes(self, store):
        assert not store.supports_writes
        assert not store.supports_deletes

    def test_store_supports_listing(self, store):
        assert store.supports_listing

    def test_store_read_only(self, store):
        assert store.read_only
        with pytest.raises(AttributeError):
            store.read_only = False

    async def test_serializable_store(self, store):
        await self.set(store, "foo", cpu.Buffer.from_bytes(b"\1\2\3\4"))
        copy = pickle.loads(pickle.dumps(store))
        assert copy == store
        assert copy.read_only
        assert (await copy.get("foo", default_buffer_prototype())).to_bytes() == b"\1\2\3\4"

    async def test_read_only_store_raises(self, store):
        for attempt in (store.set("foo", cpu.Buffer.from_bytes(b"bar")), store.delete("foo")):
            with pytest.raises(ValueError, match="does not support writing"):
                await attempt

    async def test_with_read_only_store(self, store):
        with pytest.raises(NotImplementedError):
            store.with_read_only(read_only=False)

    async def test_exists(self, store):
        assert await store.exists("0/zarr.json")
        assert await store.exists("0/c/0/0/0/0")
        assert not await store.exists("foo")

    async def test_getsize_prefix(self, store):
        # Two rows and two columns of chunks of three channels, each of one byte a pixel
        _, _, *chunk = zarr.open_array(store, path="0", mode="r").chunks
        size = await store.getsize_prefix("0/c")
        counts = [-(-n // c) for n, c in zip((70, 90), chunk, strict=True)]
        assert size == 3 * np.prod(counts) * np.prod(chunk)

    async def test_is_empty(self, store):
        assert not await store.is_empty("")
        assert not await store.is_empty("0")
        assert await store.is_empty("1")
        assert await store.is_empty("00")

    async def test_list(self, store):
        keys = [key async for key in store.list()]
        assert sorted(keys) == sorted({*keys})
        assert {"zarr.json", "0/zarr.json", "0/c/0/0/0/0"} <= {*keys}

    async def test_list_prefix(self, store):
        keys = [key async for key in store.list()]
        for prefix in ("", "0", "0/", "0/c", "0/c/1/", "0/c/1/0/0/0", "z", "1", "0/c/9"):
            found = [key async for key in store.list_prefix(prefix)]
            assert sorted(found) == sorted(key for key in keys if key.startswith(prefix))

    async def test_list_dir(self, store):
        for folder in ("", "0", "0/c", "0/c/1", "0/c/1/0"):
            start = f"{folder}/" if folder else ""
            expected = {
                key[len(start) :].partition("/")[0] async for key in store.list_prefix(start)
            }
            for given in (folder, start):
                found = [name async for name in store.list_dir(given)]
                assert sorted(found) == sorted(expected)

    # These write by the methods of the store
    test_store_open_read_only = None
    test_set = test_set_not_open = test_set_many = test_set_if_not_exists = None
    test_delete = test_delete_dir = test_delete_nonexistent_key_does_not_raise = None
    test_clear = test_list_empty_path = None


for _name, _test in inspect.getmembers(TestStore, inspect.iscoroutinefunction):
    if _name.startswith("test_"):
        setattr(TestStore, _name, on_a_loop(_test))
