"""Slides as OME-Zarr 0.5: pixels, coordinates in micrometres, and what is never deleted."""

import json
from itertools import chain, pairwise

import numpy as np
import pytest
import zarr
from pydicom.uid import JPEGBaseline8Bit

from dicomslide import Slide, open_slide, to_ome_zarr
from dicomslide.errors import DicomSlideError
from dicomslide.export import ome_zarr
from dicomslide.pixels import array
from dicomslide.testing import OpticalPath

SPACING = 0.0005


def export(written, folder, **options):
    """Write a slide as a store and open it."""
    path = folder / "slide.ome.zarr"
    to_ome_zarr(open_slide(written.folder), path, **options)
    return zarr.open_group(str(path), mode="r")


def expected_pixels(level, channels: int, planes: int):
    """Pixels of a level, of shape (channel and sample, z, y, x)."""
    return np.stack(
        [
            np.stack([level.pixels(c, z)[..., sample] for z in range(planes)])
            for c in range(channels)
            for sample in range(level.options.samples)
        ]
    )


class TestPixels:
    @pytest.mark.parametrize(
        ("channels", "planes", "options"),
        [
            (1, 1, {"factors": (1, 2, 4)}),
            (1, 1, {"factors": (1, 1.5, 3.3)}),
            (2, 1, {"samples": 1, "bits": 16, "factors": (1, 2)}),
            (2, 3, {"samples": 1, "bits": 12, "factors": (1, 2)}),
            (2, 2, {"factors": (1, 2)}),
            (1, 1, {"samples": 1, "bits": 16, "signed": True}),
            (1, 1, {"organization": "TILED_SPARSE", "sparse": "gaps", "factors": (1, 2)}),
        ],
    )
    def test_all_levels_are_equal(self, make_slide, tmp_path, channels, planes, options):
        written = make_slide(optical_paths=channels, focal_planes=planes, **options)
        group = export(written, tmp_path)
        assert sorted(group.array_keys()) == [str(level.index) for level in written.levels]
        for level in written.levels:
            expected = expected_pixels(level, channels, planes)
            assert group[str(level.index)].dtype == expected.dtype
            np.testing.assert_array_equal(group[str(level.index)][...], expected)

    @pytest.mark.parametrize("size", [(70, 90), (64, 96), (7, 300)])
    def test_many_tasks_write_chunks_of_their_own(self, make_slide, tmp_path, monkeypatch, size):
        # Small bounds make a small slide as divided as a large one
        monkeypatch.setattr(array, "_AUTO_CHUNK_BYTES", 4 * 16 * 24 * 3)
        monkeypatch.setattr(ome_zarr, "_CHUNK_SIDE", 20)
        written = make_slide(size=size, factors=(1, 2))
        group = export(written, tmp_path)
        for level in written.levels:
            stored = group[str(level.index)]
            np.testing.assert_array_equal(stored[...], expected_pixels(level, 1, 1))
            for length, chunk, tile in zip(level.size, stored.chunks[2:], (16, 24), strict=True):
                # Tasks of two by two frames begin where a chunk does
                assert 2 * tile % chunk == 0 or chunk >= length

    def test_chunks_are_whole_frames_of_one_plane(self, make_slide, tmp_path):
        written = make_slide(size=(1000, 1500), tile=(256, 128), optical_paths=2)
        stored = export(written, tmp_path)["0"]
        assert stored.chunks[:2] == (1, 1)
        assert (stored.chunks[2] % 256, stored.chunks[3] % 128) == (0, 0)
        assert max(stored.chunks) <= 1024

    def test_every_frame_is_read_once(self, make_slide, open_all_counted, tmp_path):
        written = make_slide(factors=(1, 2), optical_paths=2)
        client, datasets = open_all_counted(written.paths)
        to_ome_zarr(Slide(client, datasets), tmp_path / "slide.zarr")
        frames = sorted(chain.from_iterable(client.requests))
        assert frames == sorted([*range(2 * 5 * 4), *range(2 * 3 * 2)])


class TestMetadata:
    def test_scale_and_translation_are_those_of_the_pixels(self, make_slide, tmp_path):
        factors = (1, 2, 3.3)
        written = make_slide(factors=factors, pixel_spacing=(0.001, SPACING))
        (multiscale,) = export(written, tmp_path).attrs["ome"]["multiscales"]
        assert [dataset["path"] for dataset in multiscale["datasets"]] == ["0", "1", "2"]
        for factor, dataset in zip(factors, multiscale["datasets"], strict=True):
            scale, translation = dataset["coordinateTransformations"]
            assert (scale["type"], translation["type"]) == ("scale", "translation")
            # Micrometres; a pixel of a level has its centre in the middle of what it covers
            assert scale["scale"] == pytest.approx([1, 1, factor * 1.0, factor * 0.5])
            shift = (factor - 1) / 2
            assert translation["translation"] == pytest.approx(
                [0, 0, shift * 1.0, shift * 0.5], abs=1e-5
            )

    @pytest.mark.parametrize("level_origins", ["centres", "same"])
    def test_corners_of_all_levels_coincide(self, make_slide, tmp_path, level_origins):
        written = make_slide(factors=(1, 2.5, 4), level_origins=level_origins)
        (multiscale,) = export(written, tmp_path).attrs["ome"]["multiscales"]
        corners = [
            np.subtract(translation["translation"], np.multiply(scale["scale"], 0.5))[2:]
            for scale, translation in (
                dataset["coordinateTransformations"] for dataset in multiscale["datasets"]
            )
        ]
        for one, other in pairwise(corners):
            np.testing.assert_allclose(one, other, atol=1e-5)

    def test_planes_are_as_far_apart_as_focused(self, make_slide, tmp_path):
        written = make_slide(focal_planes=3, focal_plane_spacing=2.5)
        (multiscale,) = export(written, tmp_path).attrs["ome"]["multiscales"]
        scale, translation = multiscale["datasets"][0]["coordinateTransformations"]
        assert scale["scale"][:2] == pytest.approx([1, 2.5])
        assert translation["translation"][:2] == pytest.approx([0, 0])

    def test_axes_are_named_and_have_units(self, make_slide, tmp_path):
        group = export(make_slide(), tmp_path)
        (multiscale,) = group.attrs["ome"]["multiscales"]
        axes = [(axis["name"], axis["type"], axis.get("unit")) for axis in multiscale["axes"]]
        assert axes == [
            ("c", "channel", None),
            *[(name, "space", "micrometer") for name in ("z", "y", "x")],
        ]
        assert group["0"].metadata.dimension_names == ("c", "z", "y", "x")

    def test_store_is_zarr_3_and_says_which_version_of_the_format(self, make_slide, tmp_path):
        group = export(make_slide(), tmp_path)
        assert group.metadata.zarr_format == 3
        assert group.attrs["ome"]["version"] == "0.5"

    def test_image_has_the_name_of_the_container(self, make_slide, tmp_path):
        written = make_slide(container_identifier="S-1")
        (multiscale,) = export(written, tmp_path).attrs["ome"]["multiscales"]
        assert multiscale["name"] == "S-1"

    def test_channels_of_colour_are_red_green_and_blue(self, make_slide, tmp_path):
        channels = export(make_slide(), tmp_path).attrs["ome"]["omero"]["channels"]
        assert [(c["label"], c["color"]) for c in channels] == [
            ("R", "FF0000"),
            ("G", "00FF00"),
            ("B", "0000FF"),
        ]
        assert all((c["window"]["min"], c["window"]["max"]) == (0, 255) for c in channels)

    def test_other_channels_are_the_optical_paths(self, make_slide, tmp_path):
        paths = (OpticalPath("dapi", wavelength_nm=385.0), OpticalPath("fitc", wavelength_nm=475.0))
        written = make_slide(optical_paths=paths, samples=1, bits=16)
        channels = export(written, tmp_path).attrs["ome"]["omero"]["channels"]
        assert [channel["label"] for channel in channels] == ["dapi", "fitc"]
        assert all(channel["window"]["max"] == 65535 for channel in channels)

    @pytest.mark.parametrize(
        "options",
        [
            {"factors": (1, 2, 3.3)},
            {"samples": 1, "bits": 16, "optical_paths": 3, "focal_planes": 2},
            {"optical_paths": 2, "factors": (1, 2)},
        ],
    )
    def test_another_library_finds_the_metadata_valid(self, make_slide, tmp_path, options):
        models = pytest.importorskip("ome_zarr_models.v05")
        image = models.Image.from_zarr(export(make_slide(**options), tmp_path))
        (multiscale,) = image.ome_attributes.multiscales
        assert multiscale.ndim == 4


class TestStore:
    @pytest.mark.parametrize("there", ["nothing", "an empty folder"])
    def test_is_made(self, make_slide, tmp_path, there):
        if there == "an empty folder":
            (tmp_path / "slide.ome.zarr").mkdir()
        assert "0" in export(make_slide(), tmp_path)

    def test_that_is_there_is_not_replaced(self, make_slide, tmp_path):
        before = export(make_slide(), tmp_path)["0"][...]
        with pytest.raises(OSError, match=r"slide\.ome\.zarr.*already") as caught:
            export(make_slide(seed=2), tmp_path)
        assert isinstance(caught.value, DicomSlideError)
        after = zarr.open_group(str(tmp_path / "slide.ome.zarr"))["0"][...]
        np.testing.assert_array_equal(after, before)

    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_that_is_there_is_replaced_as_a_whole_when_asked_for(
        self, make_slide, tmp_path, zarr_format
    ):
        old = zarr.create_group(str(tmp_path / "slide.ome.zarr"), zarr_format=zarr_format)
        old.create_array("old", shape=(1,), dtype="u1")
        written = make_slide(seed=2)
        group = export(written, tmp_path, overwrite=True)
        assert list(group.array_keys()) == ["0"]
        np.testing.assert_array_equal(group["0"][...], expected_pixels(written.levels[0], 1, 1))

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_other_files_are_never_deleted(self, make_slide, tmp_path, overwrite):
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "thesis.txt").write_text("precious")
        file = tmp_path / "file.zarr"
        file.write_text("precious")
        slide = open_slide(make_slide().folder)
        for target in (folder, file, make_slide().folder):
            with pytest.raises(OSError, match=f"{target.name}.*no Zarr store"):
                to_ome_zarr(slide, target, overwrite=overwrite)
        assert (folder / "thesis.txt").read_text() == file.read_text() == "precious"
        assert all(path.exists() for path in make_slide().paths)

    def test_that_cannot_be_made_is_an_error_with_its_name(self, make_slide, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match=r"slide\.zarr"):
            to_ome_zarr(open_slide(make_slide().folder), tmp_path / "file" / "slide.zarr")

    def test_store_of_a_failed_export_does_not_pass_for_an_image(self, make_slide, tmp_path):
        written = make_slide(transfer_syntax=JPEGBaseline8Bit, factors=(1, 2))
        folder = tmp_path / "broken"
        folder.mkdir()
        for path in written.paths:
            (folder / path.name).write_bytes(path.read_bytes())
        broken = folder / written.levels[0].paths[0].name
        data = bytearray(broken.read_bytes())
        starts = [i for i in range(len(data)) if data[i : i + 4] == b"\xff\xd8\xff\xe0"]
        data[starts[10] : starts[10] + 40] = bytes(40)
        broken.write_bytes(data)
        store = tmp_path / "slide.ome.zarr"
        with pytest.raises(ValueError, match="frame 11"):
            to_ome_zarr(open_slide(folder), store)
        assert "ome" not in zarr.open_group(str(store)).attrs
        assert "multiscales" not in json.dumps(json.loads((store / "zarr.json").read_text()))
        group = export(written, tmp_path, overwrite=True)
        assert "ome" in group.attrs


class TestArguments:
    def test_slide_of_two_kinds_of_optical_paths_is_refused(self, tmp_path, make_slide):
        shared = {
            "container_identifier": "S-1",
            "frame_of_reference_uid": "1.2.3",
            "study_instance_uid": "1.2.4",
        }
        slides = [
            make_slide(samples=3, optical_paths=(OpticalPath("1"),), **shared),
            make_slide(samples=1, bits=16, optical_paths=(OpticalPath("2"),), **shared),
        ]
        slide = open_slide([slide.paths[0] for slide in slides])
        assert slide.num_channels == 2
        with pytest.raises(ValueError, match="one kind") as caught:
            to_ome_zarr(slide, tmp_path / "slide.zarr")
        assert isinstance(caught.value, DicomSlideError)
        assert not (tmp_path / "slide.zarr").exists()

    def test_level_without_all_optical_paths_is_left_out(self, make_slide, tmp_path):
        written = make_slide(factors=(1, 2), optical_paths=2, optical_paths_in="each")
        missing = written.levels[1].paths[0]
        slide = open_slide([path for path in written.paths if path != missing])
        to_ome_zarr(slide, tmp_path / "slide.zarr")
        group = zarr.open_group(str(tmp_path / "slide.zarr"))
        assert list(group.array_keys()) == ["0"]
        assert len(group.attrs["ome"]["multiscales"][0]["datasets"]) == 1

    def test_optical_path_that_is_missing_at_the_largest_level_is_refused(
        self, make_slide, tmp_path
    ):
        written = make_slide(factors=(1, 2), optical_paths=2, optical_paths_in="each")
        missing = written.levels[0].paths[1]
        slide = open_slide([path for path in written.paths if path != missing])
        with pytest.raises(ValueError, match="optical paths"):
            to_ome_zarr(slide, tmp_path / "slide.zarr")

    def test_slide_without_optical_paths_is_refused(self, make_slide, tmp_path):
        written = make_slide(segmentations=("BINARY",))
        with pytest.raises(ValueError, match="optical paths"):
            to_ome_zarr(open_slide(written.segmentations[0].paths), tmp_path / "slide.zarr")
        assert not (tmp_path / "slide.zarr").exists()

    def test_other_things_are_no_slide(self, make_slide, tmp_path):
        with pytest.raises(TypeError, match="slide"):
            to_ome_zarr(make_slide().folder, tmp_path / "slide.zarr")
