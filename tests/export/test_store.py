"""Where stores are written, how they are divided and compressed, and what is never deleted."""

from dataclasses import replace
from urllib.parse import unquote

import fsspec
import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import ZstdCodec
from zarr.storage import FsspecStore, LocalStore, MemoryStore, StorePath

from dicomslide import open_slide, to_ome_zarr
from dicomslide.errors import DicomSlideError, StoreError
from dicomslide.testing import SegmentationOptions
from tests.servers.forwarding import ForwardingServer


class TestPlaces:
    @pytest.mark.parametrize("there", ["nothing", "an empty folder"])
    def test_folder_is_made(self, make_slide, tmp_path, there):
        path = tmp_path / "parent" / "slide.ome.zarr"
        if there == "an empty folder":
            path.mkdir(parents=True)
        to_ome_zarr(open_slide(make_slide().folder), path)
        assert "0" in zarr.open_group(str(path))

    @pytest.mark.parametrize("kind", ["memory", "local", "fsspec", "path in a store"])
    def test_zarr_stores_are_written(self, make_slide, channels_first, tmp_path, kind):
        store = {
            "memory": MemoryStore(),
            "local": LocalStore(tmp_path / "slide.zarr"),
            "fsspec": FsspecStore.from_url("memory://export-store/slide.zarr"),
            "path in a store": StorePath(MemoryStore(), "slides/one"),
        }[kind]
        written = make_slide(factors=(1, 2))
        to_ome_zarr(open_slide(written.folder), store)
        group = zarr.open_group(store, mode="r")
        np.testing.assert_array_equal(group["1"][...], channels_first(written.levels[1]))
        with pytest.raises(OSError, match="already"):
            to_ome_zarr(open_slide(written.folder), store)
        to_ome_zarr(open_slide(written.folder), store, overwrite=True)

    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_urls_are_written(self, make_slide, channels_first, version):
        url = f"memory://export-url-{version}/slide.zarr"
        written = make_slide(factors=(1, 2))
        to_ome_zarr(open_slide(written.folder), url, version=version)
        group = zarr.open_group(url, mode="r")
        np.testing.assert_array_equal(group["1"][...], channels_first(written.levels[1]))

    def test_place_that_cannot_be_made_is_named_in_an_error(self, make_slide, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match=r"slide\.zarr") as caught:
            to_ome_zarr(open_slide(make_slide().folder), tmp_path / "file" / "slide.zarr")
        assert isinstance(caught.value, DicomSlideError)

    def test_url_of_an_unknown_kind_is_named_in_an_error(self, make_slide):
        with pytest.raises(OSError, match="nothing://slide"):
            to_ome_zarr(open_slide(make_slide().folder), "nothing://slide")


class TestBuckets:
    @pytest.fixture
    def target(self, bucket):
        """The bucket as another account reaches it, at another address."""
        with ForwardingServer(bucket.server.origin) as server:
            yield replace(bucket, server=server)

    @pytest.fixture
    def options(self, target):
        return {**target.options, "key": "writer"}

    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_bucket_is_written_with_storage_options(
        self, make_slide, channels_first, bucket, target, options, version
    ):
        url = f"s3://{target.name}/{version}/one.zarr"
        written = make_slide(factors=(1, 2))
        source = bucket.upload(written.folder, f"source-{version}")
        bucket.server.requests.clear()
        slide = open_slide(source, storage_options=bucket.options)
        to_ome_zarr(slide, url, storage_options=options, version=version)
        group = zarr.open_group(url, mode="r", storage_options=options)
        np.testing.assert_array_equal(group["1"][...], channels_first(written.levels[1]))
        # Neither knows of the other; what goes to the store passes by the other address afterwards
        passed = {"writer": 0, "nobody": 0}
        for request in bucket.server.requests:
            key = "nobody" if f"source-{version}" in unquote(request.target) else "writer"
            assert f"Credential={key}/" in request.headers["Authorization"]
            passed[key] += 1
        assert passed["writer"] == len(target.server.requests)
        assert passed["nobody"] > 0

    def test_views_of_a_store_in_a_bucket_take_few_requests(self, make_slide, target, options):
        written = make_slide(size=(1500, 1600), tile=(256, 256))
        slide = open_slide(written.folder)
        requests = {}
        for name, chunks in (("default", None), ("small", 512)):
            url = f"s3://{target.name}/views-{name}.zarr"
            to_ome_zarr(slide, url, storage_options=options, chunks=chunks)
            array = zarr.open_group(url, mode="r", storage_options=options)["0"]
            target.server.requests.clear()
            view = array[:, :, :1024, :1024]
            # Zarr also asks for the size of each chunk
            requests[name] = sum(r.method == "GET" for r in target.server.requests)
            expected = slide.get_image_region((0, 0), 0, (1024, 1024))
            np.testing.assert_array_equal(np.moveaxis(view[:, 0], 0, -1), expected)
        # Three samples of four chunks each
        assert requests == {"default": 1, "small": 12}

    def test_store_in_a_bucket_is_kept_overwritten_or_resumed(
        self, make_slide, channels_first, target, options
    ):
        url = f"s3://{target.name}/again.zarr"
        written, other = (make_slide(factors=(1, 2), seed=seed) for seed in (1, 2))
        slide = open_slide(written.folder)
        left = to_ome_zarr(slide, url, storage_options=options, compute=False)
        to_ome_zarr(slide, url, storage_options=options, resume=True)
        with pytest.raises(StoreError, match=r"again\.zarr: another export"):
            left.compute()
        with pytest.raises(StoreError, match=r"again\.zarr.*already"):
            to_ome_zarr(slide, url, storage_options=options)
        to_ome_zarr(slide, url, storage_options=options, resume=True)
        to_ome_zarr(open_slide(other.folder), url, storage_options=options, overwrite=True)
        group = zarr.open_group(url, mode="r", storage_options=options)
        np.testing.assert_array_equal(group["1"][...], channels_first(other.levels[1]))
        assert "unfinished" not in group

    def test_bucket_that_is_emptied_during_an_export_is_an_error(self, make_slide, target, options):
        url = f"s3://{target.name}/emptied.zarr"
        slide = open_slide(make_slide(factors=(1, 2)).folder)
        left = to_ome_zarr(slide, url, storage_options=options, compute=False)
        fsspec.filesystem("s3", **target.options).rm(url, recursive=True)
        with pytest.raises(StoreError, match=r"emptied\.zarr: .*deleted"):
            left.compute()

    def test_bucket_that_cannot_be_reached_is_named_in_an_error(self, make_slide, target, options):
        slide = open_slide(make_slide().folder)
        for url, changes in (
            ("s3://no-such-bucket/one.zarr", {}),
            (f"s3://{target.name}/two.zarr", {"endpoint_url": "http://127.0.0.1:9"}),
            (f"s3://{target.name}/three.zarr", {"endpoint_url": "nonsense"}),
        ):
            with pytest.raises(StoreError, match=url):
                to_ome_zarr(slide, url, storage_options=options | changes)

    def test_storage_options_are_for_buckets_and_not_for_folders(self, make_slide, tmp_path):
        slide = open_slide(make_slide().folder)
        for store in (tmp_path / "slide.zarr", str(tmp_path / "slide.zarr"), MemoryStore()):
            with pytest.raises(ValueError, match="storage_options"):
                to_ome_zarr(slide, store, storage_options={"anon": True})
        with pytest.raises(TypeError, match="storage_options"):
            to_ome_zarr(slide, "memory://options/slide.zarr", storage_options="anon")

    def test_secrets_in_urls_are_not_in_messages(self, make_slide):
        with pytest.raises(StoreError) as caught:
            to_ome_zarr(open_slide(make_slide().folder), "nothing://me:secret@host/a?token=secret")
        assert "nothing://host/a" in str(caught.value)
        assert "secret" not in str(caught.value)


class TestOverwriting:
    def test_store_that_is_there_is_not_replaced(self, make_slide, export):
        path = export(make_slide()).store.root
        before = zarr.open_group(str(path))["0"][...]
        with pytest.raises(OSError, match=r"ome\.zarr.*already") as caught:
            to_ome_zarr(open_slide(make_slide(seed=2).folder), path)
        assert isinstance(caught.value, DicomSlideError)
        np.testing.assert_array_equal(zarr.open_group(str(path))["0"][...], before)

    @pytest.mark.parametrize("zarr_format", [2, 3])
    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_store_is_replaced_as_a_whole_when_asked_for(
        self, make_slide, channels_first, tmp_path, zarr_format, version
    ):
        path = tmp_path / "slide.ome.zarr"
        old = zarr.create_group(str(path), zarr_format=zarr_format)
        old.create_array("old", shape=(1,), dtype="u1")
        written = make_slide(seed=2)
        to_ome_zarr(open_slide(written.folder), path, overwrite=True, version=version)
        group = zarr.open_group(str(path), mode="r")
        assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
        assert list(group.array_keys()) == ["0"]
        np.testing.assert_array_equal(group["0"][...], channels_first(written.levels[0]))
        assert not (path / "old").exists()

    @pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
    def test_other_files_are_never_deleted(self, make_slide, tmp_path, options):
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "thesis.txt").write_text("precious")
        file = tmp_path / "file.zarr"
        file.write_text("precious")
        slide = open_slide(make_slide().folder)
        for target in (folder, file, make_slide().folder):
            with pytest.raises(OSError, match=f"{target.name}.*not a Zarr store"):
                to_ome_zarr(slide, target, **options)
        assert (folder / "thesis.txt").read_text() == file.read_text() == "precious"
        assert all(path.exists() for path in make_slide().paths)


class TestDivision:
    def test_chunks_are_whole_frames_of_one_plane(self, make_slide, export):
        written = make_slide(size=(1000, 1500), tile=(256, 128), optical_paths=2)
        stored = export(written)["0"]
        assert stored.chunks == (1, 1, 512, 512)
        assert stored.shards is None

    def test_label_images_have_chunks_of_their_own_frames(self, make_slide, export):
        options = SegmentationOptions(tile=(300, 200))
        written = make_slide(size=(1000, 1500), tile=(256, 128), segmentations=(options,))
        assert export(written)["labels/nucleus/0"].chunks == (1, 600, 600)

    @pytest.mark.parametrize("version", ["0.5", "0.6"])
    def test_chunks_and_shards_may_be_chosen(self, make_slide, export, version):
        written = make_slide(size=(300, 500), factors=(1, 8))
        group = export(written, version=version, chunks=(32, 64), shards=(128, 128))
        assert (group["0"].chunks, group["0"].shards) == ((1, 1, 32, 64), (1, 1, 128, 128))
        # The smallest level has 38 by 63 pixels
        assert (group["1"].chunks, group["1"].shards) == ((1, 1, 32, 63), (1, 1, 64, 63))

    def test_chunks_of_version_0_4_are_in_folders(self, make_slide, export):
        group = export(make_slide(), version="0.4")
        assert (group.store.root / "0/2/0/0/0").is_file()


class TestCompression:
    SIZES = ("blosc", "zstd", "gzip", "none")

    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_codecs_may_be_named(self, make_slide, export, channels_first, version):
        written = make_slide(size=(200, 300))
        sizes = {}
        for name in self.SIZES:
            group = export(written, version=version, compressor=name)
            np.testing.assert_array_equal(group["0"][...], channels_first(written.levels[0]))
            sizes[name] = group["0"].nbytes_stored()
        assert max(sizes.values()) == sizes["none"]
        assert sizes["none"] >= 3 * 200 * 300 > 1.2 * max(sizes[n] for n in self.SIZES[:3])

    def test_default_is_blosc_with_zstandard(self, make_slide, export):
        (codec,) = export(make_slide())["0"].compressors
        assert codec.to_dict()["name"] == "blosc"
        assert codec.to_dict()["configuration"]["cname"] == "zstd"
        (codec,) = export(make_slide(), version="0.4")["0"].compressors
        assert codec.get_config()["cname"] == "zstd"

    def test_codecs_may_be_given(self, make_slide, export):
        group = export(make_slide(), compressor=ZstdCodec(level=7))
        assert group["0"].compressors == (ZstdCodec(level=7),)
        group = export(make_slide(), compressor=numcodecs.LZ4(), version="0.4")
        assert group["0"].compressors == (numcodecs.LZ4(),)
        assert export(make_slide(), compressor=None)["0"].compressors == ()


class TestArguments:
    @pytest.mark.parametrize(
        "options",
        [
            {"version": "0.3"},
            {"version": 0.5},
            {"levels": "all"},
            {"errors": "ignore"},
            {"compressor": "jpeg"},
            {"chunks": 0},
            {"chunks": 100, "shards": 150},
            {"shards": 512, "version": "0.4"},
            {"overwrite": True, "resume": True},
        ],
    )
    def test_impossible_arguments_are_refused_before_anything_is_made(
        self, make_slide, tmp_path, options
    ):
        name = next(iter(options)) if "shards" not in options else "shards"
        with pytest.raises(ValueError, match=name) as caught:
            to_ome_zarr(open_slide(make_slide().folder), tmp_path / "slide.zarr", **options)
        assert isinstance(caught.value, DicomSlideError)
        assert not (tmp_path / "slide.zarr").exists()

    def test_other_things_are_no_slide(self, make_slide, tmp_path):
        with pytest.raises(TypeError, match="slide"):
            to_ome_zarr(make_slide().folder, tmp_path / "slide.zarr")

    def test_other_things_are_no_store(self, make_slide):
        with pytest.raises(TypeError, match="store"):
            to_ome_zarr(open_slide(make_slide().folder), 7)

    def test_level_without_all_optical_paths_is_left_out(self, make_slide, tmp_path):
        written = make_slide(factors=(1, 2), optical_paths=2, optical_paths_in="each")
        missing = written.levels[1].paths[0]
        slide = open_slide([path for path in written.paths if path != missing])
        to_ome_zarr(slide, tmp_path / "slide.zarr")
        group = zarr.open_group(str(tmp_path / "slide.zarr"))
        assert list(group.array_keys()) == ["0"]
        assert len(group.attrs["ome"]["multiscales"][0]["datasets"]) == 1

    def test_slide_without_optical_paths_is_refused(self, make_slide, tmp_path):
        written = make_slide(segmentations=("BINARY",))
        with pytest.raises(ValueError, match="optical paths"):
            to_ome_zarr(open_slide(written.segmentations[0].paths), tmp_path / "slide.zarr")
        assert not (tmp_path / "slide.zarr").exists()
