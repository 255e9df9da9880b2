"""Places of pixels: the same point at all levels, in micrometres, and on the slide."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
import zarr

from dicomslide import open_slide, to_ome_zarr
from dicomslide.errors import ArgumentValueError
from dicomslide.export.calibration import Calibration, slide_affine
from dicomslide.testing import ORIENTATIONS, orientation_from_angle

SPACING = 0.5  # Micrometres of the slides of these tests
HUNDREDTH = SPACING / 100


def transforms(multiscale):
    """Scale and translation of each level along (c, z, y, x)."""
    found = []
    for dataset in multiscale["datasets"]:
        steps = dataset["coordinateTransformations"]
        if steps[0]["type"] == "sequence":
            (sequence,) = steps
            assert sequence["input"] == {"path": dataset["path"]}
            steps = sequence["transformations"]
        scale, translation = steps
        assert (scale["type"], translation["type"]) == ("scale", "translation")
        found.append((np.array(scale["scale"]), np.array(translation["translation"])))
    return found


def affine_of(multiscale):
    (transform,) = multiscale["coordinateTransformations"]
    assert (transform["type"], transform["output"]) == ("affine", {"name": "slide"})
    return np.array(transform["affine"])


VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])


class TestLevels:
    @VERSIONS
    def test_scale_and_translation_are_those_of_the_pixels(
        self, make_slide, export, image_of, version
    ):
        factors = (1, 2, 3.3)
        written = make_slide(factors=factors, pixel_spacing=(0.001, 0.0005))
        (multiscale,) = image_of(export(written, version=version))["multiscales"]
        assert [dataset["path"] for dataset in multiscale["datasets"]] == ["0", "1", "2"]
        for factor, (scale, translation) in zip(factors, transforms(multiscale), strict=True):
            # A pixel of a level has its centre in the middle of what it covers
            shift = (factor - 1) / 2
            np.testing.assert_allclose(scale, [1, 1, factor, factor * 0.5], rtol=1e-6)
            np.testing.assert_allclose(translation, [0, 0, shift, shift * 0.5], atol=1e-5)

    @pytest.mark.parametrize("level_origins", ["centres", "same"])
    @pytest.mark.parametrize("levels", ["stored", "dyadic"])
    @pytest.mark.parametrize("factors", [(1, 2, 4), (1, 4), (1, 2.5, 4)])
    def test_landmark_is_at_the_same_place_at_all_levels(
        self, make_slide, export, image_of, monkeypatch, level_origins, levels, factors
    ):
        monkeypatch.setattr("dicomslide.export.content._SMALLEST_LEVEL", 10)
        size = (128, 192)
        written = make_slide(size=size, factors=factors, level_origins=level_origins)
        group = export(written, levels=levels)
        (multiscale,) = image_of(group)["multiscales"]
        corner = np.array([0, 0, -SPACING / 2, -SPACING / 2])
        for (scale, translation), dataset in zip(
            transforms(multiscale), multiscale["datasets"], strict=True
        ):
            rows, columns = group[dataset["path"]].shape[2:]
            factor = scale[2:] / SPACING
            # The outer corner of the image, and a corner of pixels that all levels share
            np.testing.assert_allclose(
                translation - scale * [0, 0, 0.5, 0.5], corner, atol=HUNDREDTH
            )
            landmark = np.array([64, 96]) / factor
            place = translation[2:] + scale[2:] * (landmark - 0.5)
            expected = SPACING * (np.array([64, 96]) - 0.5)
            np.testing.assert_allclose(place, expected, atol=HUNDREDTH)
            assert rows * factor[0] == pytest.approx(128, abs=factor[0])
            assert columns * factor[1] == pytest.approx(192, abs=factor[1])

    def test_place_of_every_pixel_is_that_of_the_tree(self, make_slide, export, image_of):
        written = make_slide(factors=(1, 1.7, 5), focal_planes=3)
        (multiscale,) = image_of(export(written))["multiscales"]
        tree = open_slide(written.folder).to_datatree()
        for number, (scale, translation) in enumerate(transforms(multiscale)):
            for axis, name in enumerate(("focal_plane", "y", "x"), 1):
                expected = tree[f"level_{number}"][name].values * 1000
                found = translation[axis] + scale[axis] * np.arange(len(expected))
                np.testing.assert_allclose(found, expected, atol=1e-6)

    @VERSIONS
    def test_labels_lie_on_their_image(self, make_slide, export, image_of, version):
        written = make_slide(factors=(1, 2, 4), segmentations=("BINARY",))
        group = export(written, version=version)
        (image,) = image_of(group)["multiscales"]
        (label,) = image_of(group, "labels/nucleus")["multiscales"]
        for one, other in zip(transforms(image), transforms(label), strict=True):
            # Scale and translation along z, y and x: a label image has no channels
            np.testing.assert_array_equal(np.array(one)[:, 1:], other)

    def test_planes_are_as_far_apart_as_focused(self, make_slide, export, image_of):
        written = make_slide(focal_planes=3, focal_plane_spacing=2.5)
        (multiscale,) = image_of(export(written))["multiscales"]
        ((scale, translation),) = transforms(multiscale)
        assert scale[:2] == pytest.approx([1, 2.5])
        assert translation[:2] == pytest.approx([0, 0])

    def test_planes_at_uneven_distances_have_their_mean(self, make_slide, image_of, tmp_path):
        written = make_slide(focal_planes=4, focal_plane_spacing=1.5)
        tree = open_slide(written.folder).to_datatree(None).isel(focal_plane=[0, 1, 3])
        with pytest.warns(UserWarning, match=r"\[0.0, 1.5, 4.5\] micrometres"):
            to_ome_zarr(tree, tmp_path / "uneven.zarr")
        group = zarr.open_group(str(tmp_path / "uneven.zarr"))
        ((scale, translation),) = transforms(image_of(group)["multiscales"][0])
        assert (scale[1], translation[1]) == pytest.approx((2.25, 0))

    def test_every_second_row_is_twice_as_far_away(self, make_slide, image_of, tmp_path):
        tree = open_slide(make_slide().folder).to_datatree(None)
        to_ome_zarr(tree.isel(y=slice(1, None, 2)), tmp_path / "part.zarr")
        group = zarr.open_group(str(tmp_path / "part.zarr"))
        ((scale, translation),) = transforms(image_of(group)["multiscales"][0])
        assert (scale[2], translation[2]) == pytest.approx((2 * SPACING, SPACING))

    @pytest.mark.parametrize("rows", [slice(None, None, -1), [0, 1, 5, 6]])
    def test_rows_that_do_not_ascend_evenly_are_refused(self, make_slide, tmp_path, rows):
        tree = open_slide(make_slide().folder).to_datatree(None)
        with pytest.raises(ValueError, match="along y must be ascending"):
            to_ome_zarr(tree.isel(y=rows), tmp_path / "part.zarr")
        assert not (tmp_path / "part.zarr").exists()

    def test_axes_are_named_and_have_units(self, make_slide, export, image_of):
        group = export(make_slide())
        (multiscale,) = image_of(group)["multiscales"]
        axes = [(axis["name"], axis["type"], axis.get("unit")) for axis in multiscale["axes"]]
        assert axes == [
            ("c", "channel", None),
            *[(name, "space", "micrometer") for name in ("z", "y", "x")],
        ]
        assert group["0"].metadata.dimension_names == ("c", "z", "y", "x")


class TestSlideCoordinates:
    """Version 0.6: the affine to the frame of reference."""

    @pytest.mark.parametrize("orientation", [*ORIENTATIONS, orientation_from_angle(30)])
    def test_are_those_of_the_slide(self, make_slide, export, image_of, orientation):
        written = make_slide(
            orientation=orientation, factors=(1, 2.5), pixel_spacing=(0.001, 0.0005)
        )
        (multiscale,) = image_of(export(written, version="0.6"))["multiscales"]
        slide = open_slide(written.folder)
        affine = affine_of(multiscale)
        for level, (scale, translation) in enumerate(transforms(multiscale)):
            indices = np.array([(0, 0), (5, 9), (17, 20)])
            local = np.array([translation + scale * [0, 0, *index] for index in indices])
            found = np.column_stack([local, np.ones(3)]) @ affine.T
            expected = slide.map_pixel_indices_to_slide_coordinates(indices, level)
            np.testing.assert_allclose(found[:, [3, 2, 1]] / 1000, expected, atol=1e-8)

    def test_have_the_height_of_focal_planes(self, make_slide, export, image_of):
        written = make_slide(focal_planes=3, focal_plane_spacing=2.5)
        (multiscale,) = image_of(export(written, version="0.6"))["multiscales"]
        ((scale, translation),) = transforms(multiscale)
        affine = affine_of(multiscale)
        for plane in range(3):
            point = [*(translation + scale * [0, plane, 0, 0]), 1]
            assert (affine @ point)[1] == pytest.approx(plane * 2.5)

    def test_units_are_micrometres_and_the_systems_are_named(self, make_slide, export, image_of):
        (multiscale,) = image_of(export(make_slide(), version="0.6"))["multiscales"]
        systems = {system["name"]: system["axes"] for system in multiscale["coordinateSystems"]}
        assert list(systems) == ["physical", "slide"]
        for axes in systems.values():
            units = [(axis["name"], axis["type"], axis.get("unit")) for axis in axes]
            space = [(name, "space", "micrometer") for name in ("z", "y", "x")]
            assert units == [("c", "channel", None), *space]
        assert "axes" not in multiscale

    def test_are_there_for_everything_that_is_placed(
        self, make_slide, export, everything, image_of
    ):
        group = export(make_slide(**everything), version="0.6")
        (image,) = image_of(group)["multiscales"]
        for path in ("labels/nucleus", "labels/label_map", "parametric_map"):
            (multiscale,) = image_of(group, path)["multiscales"]
            expected = affine_of(image)[-len(multiscale["coordinateSystems"][0]["axes"]) :]
            np.testing.assert_array_equal(
                affine_of(multiscale), expected[:, -expected.shape[0] - 1 :]
            )

    def test_overview_shows_where_the_image_lies(self, make_slide, export, image_of):
        written = make_slide(overview=True, label=True)
        group = export(written, version="0.6", associated=True)
        slide = open_slide(written.folder)
        for name, images in (("overview", slide.overview_images), ("label", slide.label_images)):
            (multiscale,) = image_of(group, f"associated/{name}")["multiscales"]
            ((scale, translation),) = transforms(multiscale)
            found = affine_of(multiscale) @ [*(translation + scale * [0, 0, 7, 9]), 1]
            expected = images[0].geometry.to_slide([(7, 9)])[0]
            np.testing.assert_allclose(found[[3, 2]] / 1000, expected[:2], atol=1e-8)

    def test_images_of_one_frame_of_reference_lie_together(self, make_slide, export, image_of):
        shared = {"frame_of_reference_uid": "1.2.3", "size": (64, 64)}
        one = make_slide(origin=(20.0, 30.0), orientation=ORIENTATIONS[0], **shared)
        other = make_slide(origin=(20.001, 30.002), orientation=ORIENTATIONS[1], **shared)
        point = {}
        for written in (one, other):
            group = export(written, version="0.6")
            assert group.attrs["dicomslide"]["frame_of_reference_uid"] == "1.2.3"
            (multiscale,) = image_of(group)["multiscales"]
            point[written.origin] = affine_of(multiscale)[[3, 2], 4]
        difference = point[other.origin] - point[one.origin]
        np.testing.assert_allclose(difference, [1, 2], atol=1e-6)

    @pytest.mark.parametrize("chunks", ["frames", None])
    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_coordinates_of_a_tree_are_those_of_its_slide(
        self, make_slide, export, image_of, tmp_path, chunks, orientation
    ):
        written = make_slide(orientation=orientation, pixel_spacing=(0.001, 0.0005))
        (expected,) = image_of(export(written, version="0.6"))["multiscales"]
        tree = open_slide(written.folder).to_datatree(chunks)
        part = tree.isel(y=slice(7, None), x=slice(5, None))
        to_ome_zarr(part, tmp_path / "part.zarr", version="0.6")
        (found,) = image_of(zarr.open_group(str(tmp_path / "part.zarr")))["multiscales"]
        np.testing.assert_allclose(affine_of(found), affine_of(expected), atol=1e-6)


def test_associated_images_that_are_not_placed_have_no_unit(make_slide, image_of, tmp_path):
    tree = open_slide(make_slide(label=True).folder).to_datatree()
    tree["associated/label"].attrs.clear()
    to_ome_zarr(tree, tmp_path / "tree.zarr", version="0.6", associated=True)
    group = zarr.open_group(str(tmp_path / "tree.zarr"))
    (multiscale,) = image_of(group, "associated/label")["multiscales"]
    (system,) = multiscale["coordinateSystems"]
    assert all("unit" not in axis for axis in system["axes"])
    ((scale, translation),) = transforms(multiscale)
    assert scale.tolist() == [1, 1, 1, 1]
    assert translation.tolist() == [0, 0, 0, 0]


def test_levels_come_from_fine_to_coarse(make_slide, export, image_of):
    (multiscale,) = image_of(export(make_slide(factors=(1, 1.5, 2, 7))))["multiscales"]
    for (one, _), (other, _) in pairwise(transforms(multiscale)):
        assert (other[2:] > one[2:]).all()


def test_tree_without_positions_has_pixels_of_unit_size(make_slide, image_of, tmp_path):
    tree = open_slide(make_slide().folder).to_datatree()
    names = ["y", "x", "slide_x", "slide_y", "focal_plane"]
    level = tree["level_0"].to_dataset().drop_vars(names)
    level.attrs.clear()
    bare = xr.DataTree.from_dict({"/level_0": level})
    to_ome_zarr(bare, tmp_path / "bare.zarr")
    (multiscale,) = image_of(zarr.open_group(str(tmp_path / "bare.zarr")))["multiscales"]
    ((scale, _),) = transforms(multiscale)
    assert scale.tolist() == [1, 1, 1, 1]
    assert all("unit" not in axis for axis in multiscale["axes"])


def huge_level(count, **attributes):
    """A level of which only the coordinates matter: spacing of half a micrometre."""
    dataset = xr.Dataset(attrs={"pixel_spacing": [0.0005, 0.0005], **attributes})
    lines = (("y", "y", 1.0), ("x", "x", 2.0), ("slide_x", "y", 20.0), ("slide_y", "x", 30.0))
    for name, dimension, first in lines:
        ends = first, first + 0.0005 * count
        names = {"dim": dimension, "coord_name": name}
        index = xr.indexes.RangeIndex.linspace(*ends, num=count, endpoint=False, **names)
        made = xr.Coordinates.from_xindex(index).to_dataset()
        dataset = dataset.assign_coords(made.drop_indexes(name).coords)
    return dataset


@pytest.mark.skipif(not hasattr(xr.indexes, "RangeIndex"), reason="this xarray lists them")
def test_coordinates_that_are_longer_than_memory_are_not_held():
    level = huge_level(2**24, image_orientation_slide=[0, 1, 0, 1, 0, 0])
    tracemalloc.start()
    try:
        calibration, affine = Calibration.of(level), slide_affine(level)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert calibration == Calibration((1, 0.5, 0.5), (0, 1000, 2000))
    # Here y runs along X from 20 - 1 mm, and x along Y from 30 - 2 mm
    np.testing.assert_allclose(affine[[3, 2], 4], [19000, 28000])
    # One coordinate would take 128 MiB
    assert peak < 8 * 2**20


@pytest.mark.parametrize("place", [1, 2**16, 2**16 + 1, 2**17])
def test_one_row_that_is_out_of_place_is_found(place):
    positions = np.arange(2**17 + 1) * 0.0005
    positions[place - 1] += 0.0001
    level = xr.Dataset(coords={"y": positions, "x": [0.0]})
    with pytest.raises(ArgumentValueError, match="along y"):
        Calibration.of(level)
