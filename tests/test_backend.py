"""The xarray engine ``dicomslide``."""

import pathlib
import pickle
import shutil
from collections.abc import Sequence
from io import BytesIO
from itertools import chain

import numpy as np
import pydicom
import pydicom.data
import pytest
import xarray as xr
from dicomweb_client.api import DICOMfileClient
from pydicom.uid import RLELossless

from dicomslide import open_slide
from dicomslide.errors import DicomSlideError
from dicomslide.sources.files import FileFrames
from dicomslide.testing import make_wide_gamut_profile
from dicomslide.tree.backend import SlideBackendEntrypoint
from tests.descriptors import listed, open_files

ENGINE = "dicomslide"
TILE_CHUNKS = ((16, 16, 16, 16, 6), (24, 24, 24, 18))


@pytest.fixture(scope="session")
def written(make_slide):
    """A slide of two levels with a label and a fractional segmentation."""
    return make_slide(
        factors=(1, 2), label=True, segmentations=("FRACTIONAL",), transfer_syntax=RLELossless
    )


@pytest.fixture
def requests(monkeypatch) -> list[list[int]]:
    """The frames that each read of a file asks for."""
    asked = []
    read = FileFrames.read

    def counted(self: FileFrames, frames: Sequence[int]) -> list[bytes]:
        asked.append(list(frames))
        return read(self, frames)

    monkeypatch.setattr(FileFrames, "read", counted)
    return asked


class TestDiscovery:
    def test_xarray_finds_the_engine(self):
        assert isinstance(xr.backends.list_engines()[ENGINE], SlideBackendEntrypoint)

    def test_engine_says_that_it_has_groups(self):
        assert SlideBackendEntrypoint.supports_groups

    @pytest.mark.parametrize("kind", [str, pathlib.Path])
    def test_folder_and_file_of_a_slide_are_recognised(self, written, kind):
        engine = SlideBackendEntrypoint()
        assert engine.guess_can_open(kind(written.folder))
        assert engine.guess_can_open(kind(written.paths[0]))
        assert engine.guess_can_open([kind(path) for path in written.paths])

    def test_other_things_are_not_recognised(self, tmp_path):
        (tmp_path / "empty").mkdir()
        (tmp_path / "text.dcm").write_text("no DICOM file")
        (tmp_path / "table.nc").write_bytes(b"CDF\x01" + bytes(200))
        (tmp_path / "directory").mkdir()
        (tmp_path / "directory" / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(50))
        engine = SlideBackendEntrypoint()
        for other in (
            tmp_path,
            tmp_path / "empty",
            tmp_path / "text.dcm",
            str(tmp_path / "table.nc"),
            tmp_path / "missing",
            tmp_path / "directory",
            "https://example.org/slide.dcm",
            pydicom.data.get_testdata_file("CT_small.dcm"),
            BytesIO(b"DICM"),
            b"",
            None,
            3,
            [],
            [1, 2],
            xr.Dataset(),
            np.zeros(3),
        ):
            assert not engine.guess_can_open(other), other

    def test_guessing_reads_no_frame(self, written, requests):
        SlideBackendEntrypoint().guess_can_open(written.folder)
        assert requests == []


def open_tree(source, **options) -> xr.DataTree:
    return xr.open_datatree(source, engine=ENGINE, **options)


class TestOpenDataTree:
    def test_tree_is_that_of_the_slide(self, written):
        tree = open_tree(written.folder)
        xr.testing.assert_identical(
            tree.load(), open_slide(written.folder).to_datatree(None).load()
        )

    def test_engine_is_guessed(self, written):
        xr.testing.assert_identical(xr.open_datatree(written.folder), open_tree(written.folder))

    @pytest.mark.parametrize("chunks", [None, {}, "auto", {"y": 32, "x": 48}])
    def test_opening_reads_no_frame_and_a_region_what_it_touches(
        self, make_slide, requests, chunks
    ):
        written = make_slide(
            factors=(1, 2), segmentations=("FRACTIONAL",), transfer_syntax=RLELossless
        )
        level = open_tree(
            written.folder, chunks=chunks, max_frame_cache_size=0
        ).level_0.to_dataset()
        region = level.image.isel(y=slice(30, 34), x=slice(50, 60))
        assert requests == []
        np.testing.assert_array_equal(region[0, 0], written.levels[0].pixels()[30:34, 50:60])
        # Rows 30 to 33 lie in tile rows 1 and 2, columns 50 to 59 in tile column 2
        touched = {6, 10}
        read = list(chain.from_iterable(requests))
        assert len(read) == len(set(read))
        if chunks in (None, {}):
            assert set(read) == touched
        else:
            assert set(read) >= touched

    def test_without_chunks_there_is_no_dask(self, written):
        for node in open_tree(written.folder).subtree:
            assert all(variable.chunks is None for variable in node.variables.values())

    def test_empty_chunks_are_the_frames(self, written):
        tree = open_tree(written.folder, chunks={})
        assert tree.level_0.image.chunks == ((1,), (1,), *TILE_CHUNKS, (3,))
        assert tree.level_0.segmentation.chunks == ((1, 1, 1), (1,), *TILE_CHUNKS)
        assert tree["associated"].label.image.chunks == ((400,), (360,), (3,))

    def test_automatic_chunks_are_whole_frames(self, make_slide):
        written = make_slide(size=(700, 900), tile=(16, 24))
        with pytest.MonkeyPatch.context() as patch:
            import dask.config

            patch.setitem(dask.config.config["array"], "chunk-size", "100 kB")
            image = open_tree(written.folder, chunks="auto").level_0.image
        rows, columns = image.chunks[2:4]
        assert len(rows) * len(columns) > 1
        assert all(size % 16 == 0 for size in rows[:-1])
        assert all(size % 24 == 0 for size in columns[:-1])

    def test_given_chunks_are_used(self, make_slide):
        tree = open_tree(make_slide().folder, chunks={"y": 32, "x": 48})
        assert tree.level_0.image.chunks[2:4] == ((32, 32, 6), (48, 42))

    def test_every_file_and_client_gives_the_same(self, written):
        expected = open_tree(written.folder)
        paths = [str(path) for path in written.paths]
        xr.testing.assert_identical(open_tree(paths), expected)
        client = DICOMfileClient(written.folder.as_uri(), in_memory=True)
        xr.testing.assert_identical(open_tree(client), expected)

    def test_one_file_is_a_tree_of_one_level(self, written):
        tree = open_tree(written.levels[1].paths[0])
        assert list(tree.children) == ["level_0"]
        np.testing.assert_array_equal(tree.level_0.image[0, 0], written.levels[1].pixels())

    @pytest.mark.parametrize("chunks", [None, {}])
    def test_pickled_tree_has_the_same_pixels(self, written, chunks):
        tree = open_tree(written.folder, chunks=chunks)
        xr.testing.assert_identical(pickle.loads(pickle.dumps(tree)), tree)

    def test_tree_can_be_closed(self, written):
        with open_tree(written.folder) as tree:
            tree.level_0.image[0, 0, 0, 0].load()


class TestOpenDataset:
    def open(self, source, **options) -> xr.Dataset:
        return xr.open_dataset(source, engine=ENGINE, **options)

    def test_dataset_is_the_base_level(self, written):
        expected = open_tree(written.folder).level_0.to_dataset()
        xr.testing.assert_identical(self.open(written.folder), expected)

    @pytest.mark.parametrize("group", ["level_1", "/level_1", "level_1/"])
    def test_group_is_a_node(self, written, group):
        dataset = self.open(written.folder, group=group)
        np.testing.assert_array_equal(dataset.image[0, 0], written.levels[1].pixels())

    def test_associated_image_is_a_group(self, written):
        dataset = self.open(written.folder, group="associated/label")
        np.testing.assert_array_equal(dataset.image, written.label)

    def test_root_has_the_attributes(self, written):
        dataset = self.open(written.folder, group="/")
        assert dataset.attrs["container_identifier"] == written.container_identifier
        assert not dataset.variables

    def test_engine_is_guessed(self, written):
        xr.testing.assert_identical(xr.open_dataset(written.folder), self.open(written.folder))

    @pytest.mark.parametrize(
        ("chunks", "expected"),
        [(None, None), ({}, TILE_CHUNKS), ({"y": -1}, ((70,), (24, 24, 24, 18)))],
    )
    def test_chunks_of_a_dataset_are_those_asked_for(self, written, chunks, expected):
        image = self.open(written.folder, chunks=chunks).image
        assert (image.chunks and image.chunks[2:4]) == expected

    @pytest.mark.parametrize("group", ["level_2", "nothing", "associated"])
    def test_group_that_is_not_there_is_named_with_those_that_are(self, written, group):
        with pytest.raises(ValueError, match=rf"{group}.*level_0.*level_1") as caught:
            self.open(written.folder, group=group)
        assert isinstance(caught.value, DicomSlideError)

    @listed
    @pytest.mark.parametrize("group", ["nothing", "associated"])
    def test_nothing_stays_open_when_the_group_is_not_there(self, make_slide, tmp_path, group):
        folder = shutil.copytree(make_slide().folder, tmp_path / "slide")
        # The error holds what it met until the test ends
        with pytest.raises(ValueError, match=group) as _caught:
            self.open(folder, group=group)
        assert open_files(folder) == 0


class TestOpenGroups:
    def test_groups_are_the_nodes_by_their_paths(self, written):
        groups = xr.open_groups(written.folder, engine=ENGINE)
        tree = open_tree(written.folder)
        assert set(groups) == {"/", "/level_0", "/level_1", "/associated/label"}
        for path, dataset in groups.items():
            xr.testing.assert_identical(dataset, tree[path].to_dataset())


class TestKeywords:
    def test_engine_announces_its_keywords(self):
        assert set(SlideBackendEntrypoint.open_dataset_parameters) >= {
            "drop_variables",
            "mask_and_scale",
            "group",
            "correct_color",
            "max_frame_cache_size",
            "pyramid_tolerance",
            "container_identifier",
        }

    def test_fractions_are_decoded_unless_told_otherwise(self, written):
        (segmentation,) = written.segmentations
        stored = segmentation.mask(0, 1)
        decoded = open_tree(written.folder).level_0.segmentation
        np.testing.assert_allclose(decoded[0, 0], stored / 255, rtol=1e-6)
        for options in ({"mask_and_scale": False}, {"decode_cf": False}):
            raw = open_tree(written.folder, **options).level_0.segmentation
            assert raw.dtype == np.uint8
            np.testing.assert_array_equal(raw[0, 0], stored)

    @pytest.mark.parametrize("dropped", ["segmentation", ["segmentation", "wavelength"]])
    def test_variables_are_dropped(self, written, dropped):
        tree = open_tree(written.folder, drop_variables=dropped)
        assert not {"segmentation", *dropped} & set(tree.level_0.variables) - set("segmentation")
        assert "image" in tree.level_0

    def test_colours_are_corrected_unless_told_otherwise(self, make_slide):
        written = make_slide(icc_profile=make_wide_gamut_profile())
        stored = written.levels[0].pixels()
        plain = open_tree(written.folder, correct_color=False).level_0.image[0, 0]
        np.testing.assert_array_equal(plain, stored)
        assert (open_tree(written.folder).level_0.image[0, 0] != stored).any()

    @pytest.mark.parametrize(("size", "calls"), [(0, 2), (4, 1)])
    def test_decoded_frames_are_kept(self, written, requests, size, calls):
        image = open_tree(written.folder, max_frame_cache_size=size).level_0.image[0, 0, 0, 0]
        for _ in range(2):
            image.copy().compute()
        assert requests == [[0]] * calls

    def test_tolerance_of_the_pyramid_decides_what_is_aligned(self, make_slide):
        written = make_slide(factors=(1, 4))
        path = written.levels[1].paths[0]
        moved = pydicom.dcmread(path)
        moved.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem += 0.2
        (written.folder / "moved").mkdir()
        moved.save_as(written.folder / "moved" / path.name)
        paths = [written.levels[0].paths[0], written.folder / "moved" / path.name]
        with pytest.raises(ValueError, match="centres of their areas are"):
            open_tree(paths)
        assert len(open_tree(paths, pyramid_tolerance=0.21).children) == 2

    def test_one_of_several_slides_is_named(self, make_slide, tmp_path):
        slides = [make_slide(seed=seed) for seed in (1, 2)]
        for written in slides:
            (tmp_path / f"{written.container_identifier}.dcm").write_bytes(
                written.paths[0].read_bytes()
            )
        name = slides[1].container_identifier
        tree = open_tree(tmp_path, container_identifier=name)
        assert tree.attrs["container_identifier"] == name
        with pytest.raises(ValueError, match="2 slides"):
            open_tree(tmp_path)

    def test_unknown_keyword_is_an_error(self, written):
        with pytest.raises(TypeError, match="colour"):
            open_tree(written.folder, colour=True)


class TestErrors:
    def test_missing_folder_is_named(self, tmp_path):
        with pytest.raises(OSError, match="missing") as caught:
            open_tree(tmp_path / "missing")
        assert isinstance(caught.value, DicomSlideError)

    def test_folder_without_a_slide_is_named(self, tmp_path):
        with pytest.raises(ValueError, match=tmp_path.name) as caught:
            open_tree(tmp_path)
        assert isinstance(caught.value, DicomSlideError)

    def test_other_dicom_file_is_named_with_what_it_is(self):
        with pytest.raises(ValueError, match=r"CT_small\.dcm.*CT Image Storage"):
            open_tree(pydicom.data.get_testdata_file("CT_small.dcm"))

    @pytest.mark.parametrize("source", [3, None, object()])
    def test_other_sources_are_type_errors(self, source):
        with pytest.raises(TypeError, match="source"):
            open_tree(source)

    @pytest.mark.parametrize("name", ["max_frame_cache_size", "pyramid_tolerance"])
    def test_keyword_of_a_wrong_type_is_named(self, written, name):
        with pytest.raises(TypeError, match=name):
            open_tree(written.folder, **{name: "many"})
